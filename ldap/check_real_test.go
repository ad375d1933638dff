package ldap_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
	"gatehouse/ldap"

	goldap "github.com/go-ldap/ldap/v3"
)

// says fails the test unless check says so of d.
func says(t *testing.T, d *ldap.Directory, state gatehouse.FindingState, words ...string) {
	t.Helper()
	findings := d.Check(t.Context())
	for _, want := range words {
		found := false
		for _, f := range findings {
			found = found || f.State == state && strings.Contains(f.Detail, want) && (f.Fix == "") == (state == gatehouse.FindingOK)
		}
		if !found {
			t.Errorf("no %s about %q in %+v", state, want, findings)
		}
	}
}

// allWell fails the test where check finds anything but a short-lived certificate.
func allWell(t *testing.T, d *ldap.Directory) {
	t.Helper()
	for _, f := range d.Check(t.Context()) {
		if f.State != gatehouse.FindingOK && !strings.Contains(f.Detail, "certificate") {
			t.Errorf("%+v", f)
		}
	}
}

const (
	good = gatehouse.FindingOK
	warn = gatehouse.FindingWarning
	bad  = gatehouse.FindingFailure
)

// onlyPeople leaves out those whom a test keeps elsewhere.
func onlyPeople(c *ldap.Config) { c.UserBaseDN = adPeople }

// TestSambaCheck: what check says of a real domain.
func TestSambaCheck(t *testing.T) {
	service := func(name string) func(*ldap.Config) {
		return func(c *ldap.Config) { c.BindDN = "CN=" + name + ",OU=Service," + outside.SambaBaseDN }
	}
	t.Run("as it should be", func(t *testing.T) {
		d := samba(t, onlyPeople)
		allWell(t, d)
		says(t, d, good, "locked out after 5 wrong passwords within 30m", "its password does not expire", "may change neither a person nor a group",
			"all of member, objectguid, samaccountname, userprincipalname are indexed",
			"trusts the forest partner.example.net, whose people are not found here", "trusts old.example.net")
	})
	t.Run("tokenGroups that the service account may not read", func(t *testing.T) {
		d := samba(t, func(c *ldap.Config) { c.UserBaseDN = "OU=Elsewhere," + outside.SambaBaseDN })
		says(t, d, warn, "tokenGroups is hidden from the service account, for 1 of")
		u, err := d.Authenticate(t.Context(), "hidden", adSecret, admitAll)
		if got := adWays(u.Groups); err != nil || !slices.Equal(got, []string{"team", "team > dept", "team > dept > org"}) {
			t.Errorf("groups that are found all the same: %q, %v", got, err)
		}
	})
	t.Run("a service account that may do anything", func(t *testing.T) {
		says(t, samba(t, service("powerful")), warn, "is in Domain Admins", "is in Administrators", "may change CN=")
		says(t, samba(t, func(c *ldap.Config) { c.BindDN = "powerful@corp.example.com" }), warn, "is in Domain Admins", "may change CN=")
		says(t, samba(t, service("powerful")), good, "its password expires on "+time.Now().Add(42*24*time.Hour).UTC().Format(time.DateOnly))
	})
	t.Run("one that was an administrator", func(t *testing.T) {
		admin, dn := administrator(t), "CN=expiring,OU=Service,"+outside.SambaBaseDN
		set(t, admin, dn, "adminCount", "1")
		says(t, samba(t, service("expiring")), warn, "counts as an administrator")
		m := goldap.NewModifyRequest(dn, nil)
		m.Delete("adminCount", nil)
		if err := admin.Modify(m); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("one whose password expires soon", func(t *testing.T) {
		says(t, samba(t, service("expiring")), warn, "expires on "+time.Now().Add(4*24*time.Hour).UTC().Format(time.DateOnly))
	})
	t.Run("an attribute without an index", func(t *testing.T) {
		says(t, samba(t, func(c *ldap.Config) {
			c.UserFilter = "(&(objectCategory=person)(|(sAMAccountName=%s)(employeeNumber=%s)))"
		}), warn, "no index for employeenumber")
	})
	t.Run("a group with members from another forest", func(t *testing.T) {
		admin, dn := administrator(t), "CN=mixed,OU=Elsewhere,"+outside.SambaBaseDN
		add := goldap.NewAddRequest(dn, nil)
		add.Attribute("objectClass", []string{"group"})
		add.Attribute("groupType", []string{localGroup})
		if err := admin.Add(add); err != nil {
			t.Fatal(err)
		}
		member := goldap.NewModifyRequest(dn, nil)
		member.Add("member", []string{"<SID=S-1-5-21-1-2-3-1104>"})
		if err := admin.Modify(member); err != nil {
			t.Fatal(err)
		}
		says(t, samba(t, func(c *ldap.Config) { c.GroupBaseDN = "OU=Elsewhere," + outside.SambaBaseDN }), warn, "members from another forest, who get nothing by them: "+dn)
	})
	t.Run("a site without servers", func(t *testing.T) {
		says(t, discovered(t, func(c *ldap.Config) { c.Site = "Nowhere" }), warn, "site Nowhere")
		allWell(t, discovered(t, func(c *ldap.Config) { onlyPeople(c); c.Site = "Default-First-Site-Name" }))
	})
}

// TestSambaCheckForest: a forest compares its own list of domains with what
// is configured, and looks at each of them.
func TestSambaCheckForest(t *testing.T) {
	s := outside.Samba(t)
	forest := func(change func(*ldap.Config)) *ldap.Directory {
		return samba(t, func(c *ldap.Config) {
			c.URLs, c.BaseDN, c.Forest, c.BindDN = nil, "", "corp.example.com", "gatehouse@corp.example.com"
			c.GlobalCatalog = []string{"ldaps://" + s.Address}
			c.Domains = map[string]ldap.ForestDomain{"corp.example.com": {URLs: []string{s.LDAPS}, NetBIOS: "CORP"}}
			change(c)
		})
	}
	d := forest(onlyPeople)
	allWell(t, d)
	says(t, d, good, "domain corp.example.com of the forest, CORP", "people below "+adPeople+" can be found", "locked out after 5", "its password does not expire", "are indexed")
	says(t, forest(func(c *ldap.Config) { c.Domains["corp.example.com"] = ldap.ForestDomain{URLs: []string{s.LDAPS}} }), warn, `names such as CORP\alice are not understood`)
	says(t, forest(func(c *ldap.Config) {
		c.Forest, c.Domains = "example.net", map[string]ldap.ForestDomain{"example.net": {URLs: []string{s.LDAPS}}}
	}), warn, "people of the forest's domain corp.example.com are refused")
	says(t, forest(func(c *ldap.Config) {
		c.UserFilter = "(&(objectCategory=person)(sAMAccountName=%s)(!(employeeNumber=x)))"
	}), bad, "does not have employeenumber")
}

// TestSlapdCheck: what check says of a real OpenLDAP.
func TestSlapdCheck(t *testing.T) {
	outside.Program(t, "slapd", "slapd")
	start := func(c outside.SlapdConfig) *ldap.Directory {
		s, ca := startSlapd(t, c)
		return open(t, config([]string{s.LDAPS}, ca))
	}
	// serviceWith is the company with more said of the service account.
	serviceWith := func(pairs ...string) string {
		entries := company()
		for i := range entries {
			if entries[i].DN == serviceDN {
				for j := 0; j < len(pairs); j += 2 {
					entries[i].Attributes[pairs[j]] = []string{pairs[j+1]}
				}
			}
		}
		return ldif(entries)
	}
	generalized := func(at time.Time) string { return at.UTC().Format("20060102150405Z") }
	t.Run("as it should be", func(t *testing.T) {
		d := start(outside.SlapdConfig{ReadableConfig: true})
		allWell(t, d)
		says(t, d, good, "all of entryuuid, mail, member, memberuid, uid, uniquemember are indexed", "does not see userPassword", "may not change mail",
			"has not warned that its password expires")
	})
	t.Run("where cn=config is hidden", func(t *testing.T) {
		d := start(outside.SlapdConfig{})
		allWell(t, d)
		says(t, d, good, "which attributes have an index is not for the service account to read")
	})
	t.Run("attributes without an index", func(t *testing.T) {
		says(t, start(outside.SlapdConfig{ReadableConfig: true, Indexes: "objectClass,uid,member,uniqueMember,entryUUID"}), warn, "no index for mail, memberuid:")
	})
	t.Run("the same in a large directory, where cn=config is hidden", func(t *testing.T) {
		entries := company()
		for i := range 30000 {
			name := fmt.Sprintf("one-of-many-%05d", i)
			entries = append(entries, person(uidDN(name), name, "mail", name+"@corp.example.com"))
		}
		says(t, start(outside.SlapdConfig{LDIF: ldif(entries), Indexes: "objectClass,member,uniqueMember,memberUid,entryUUID"}), warn, "finding nobody by user_filter takes")
		says(t, start(outside.SlapdConfig{LDIF: ldif(entries)}), good, "searches are quick")
	})
	t.Run("a server that does not do so much work", func(t *testing.T) {
		entries := company()
		for i := range 50 {
			entries = append(entries, person(uidDN(fmt.Sprint("one-", i)), fmt.Sprint("one-", i)))
		}
		says(t, start(outside.SlapdConfig{LDIF: ldif(entries), Indexes: "objectClass,uid,member,uniqueMember,memberUid,entryUUID", Limits: "size.unchecked=20"}),
			warn, "finding nobody by user_filter is more than the server does", "does not list people")
	})
	t.Run("a service account that reads passwords", func(t *testing.T) {
		says(t, start(outside.SlapdConfig{Access: []string{fmt.Sprintf("to attrs=userPassword by dn.exact=%q read by anonymous auth by * none", serviceDN)}}),
			warn, "can read people's passwords")
	})
	t.Run("a service account that may write", func(t *testing.T) {
		d := start(outside.SlapdConfig{Access: []string{fmt.Sprintf("to attrs=mail by dn.exact=%q write by * none", serviceDN)}})
		before, err := d.Find(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		says(t, d, warn, "may change people (mail of")
		after, err := d.Find(t.Context(), "alice")
		if err != nil || after.Mail != before.Mail || after.Mail == "" {
			t.Errorf("check changed %q to %q, %v", before.Mail, after.Mail, err)
		}
	})
	t.Run("a service account whose password expires, as the server warns", func(t *testing.T) {
		at := time.Now().Add(9 * 24 * time.Hour)
		says(t, start(outside.SlapdConfig{LDIF: serviceWith("pwdPolicySubentry", "cn=warned,ou=policies,"+suffix, "pwdChangedTime", generalized(at.Add(-10*24*time.Hour)))}),
			warn, "the password of the service account "+serviceDN+" expires on "+at.UTC().Format(time.DateOnly))
	})
	t.Run("a service account whose password expires, as its policy says", func(t *testing.T) {
		at := time.Now().Add(12 * time.Hour)
		says(t, start(outside.SlapdConfig{LDIF: serviceWith("pwdPolicySubentry", "cn=aged,ou=policies,"+suffix, "pwdChangedTime", generalized(at.Add(-24*time.Hour)))}),
			warn, "the password of the service account "+serviceDN+" expires on "+at.UTC().Format(time.DateOnly))
	})
	t.Run("a service account whose password was reset", func(t *testing.T) {
		says(t, start(outside.SlapdConfig{LDIF: serviceWith("pwdReset", "TRUE")}), bad, "its password was reset")
	})
	t.Run("a service account whose password has expired", func(t *testing.T) {
		says(t, start(outside.SlapdConfig{LDIF: serviceWith("pwdPolicySubentry", "cn=aged,ou=policies,"+suffix, "pwdChangedTime", "20200101000000Z")}), bad, "service account is refused")
	})
}

// TestCheckForest: the demo directory's forest, of two domains.
func TestCheckForest(t *testing.T) {
	f := startForest(t)
	d := open(t, f.config())
	allWellBut := func(words string) {
		t.Helper()
		for _, found := range d.Check(t.Context()) {
			if found.State != good && !strings.Contains(found.Detail, words) {
				t.Errorf("%+v", found)
			}
		}
	}
	allWellBut("hidden from the service account")
	f.catalog.Close()
	f.emea.Close()
	says(t, d, bad, f.catalog.URL(), f.emea.URL())
	says(t, d, good, f.corp.URL(), "people below DC=corp,DC=example,DC=com can be found")
}
