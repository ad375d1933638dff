package ldap_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"
)

const (
	suffix    = "dc=corp,dc=example,dc=com"
	people    = "ou=people," + suffix
	groups    = "ou=groups," + suffix
	serviceDN = "cn=gatehouse," + suffix
	serviceID = "serviceaccount" // its password
	secret    = "correct horse"

	// oddDN holds everything that a DN has to escape.
	oddDN = `cn=Zo\C3\AB \"Zo\" O'Brien\, PhD \#1 \+ \<x\=y\>\; (a*b) \\c,` + people
)

// entry is a directory.Entry from pairs of attribute and value.
func entry(dn string, pairs ...string) directory.Entry {
	e := directory.Entry{DN: dn, Attributes: map[string][]string{}}
	for i := 0; i < len(pairs); i += 2 {
		e.Attributes[pairs[i]] = append(e.Attributes[pairs[i]], pairs[i+1])
	}
	return e
}

func person(dn, uid string, pairs ...string) directory.Entry {
	e := entry(dn, append([]string{"objectClass", "inetOrgPerson", "uid", uid, "sn", "x", "userPassword", secret}, pairs...)...)
	if _, ok := e.Attributes["cn"]; !ok {
		e.Attributes["cn"] = []string{uid}
	}
	return e
}

func group(cn string, members ...string) directory.Entry {
	e := entry("cn="+cn+","+groups, "objectClass", "groupOfNames", "cn", cn)
	e.Attributes["member"] = members
	return e
}

func uidDN(uid string) string { return "uid=" + uid + "," + people }

func groupDN(cn string) string { return "cn=" + cn + "," + groups }

// company is who is in both directories. Parents come first, for slapadd.
func company() []directory.Entry {
	const policies = "ou=policies," + suffix
	es := []directory.Entry{
		entry(suffix, "objectClass", "domain", "dc", "corp"),
		entry(people, "objectClass", "organizationalUnit", "ou", "people"),
		entry(groups, "objectClass", "organizationalUnit", "ou", "groups"),
		entry("ou=elsewhere,"+suffix, "objectClass", "organizationalUnit", "ou", "elsewhere"),
		entry(policies, "objectClass", "organizationalUnit", "ou", "policies"),
		entry("cn=default,"+policies, "objectClass", "device", "objectClass", "pwdPolicy", "cn", "default",
			"pwdAttribute", "userPassword", "pwdLockout", "TRUE", "pwdMaxFailure", "5", "pwdMustChange", "TRUE"),
		entry("cn=aged,"+policies, "objectClass", "device", "objectClass", "pwdPolicy", "cn", "aged",
			"pwdAttribute", "userPassword", "pwdMaxAge", "86400", "pwdLockout", "TRUE", "pwdMaxFailure", "5"),
		entry("cn=strict,"+policies, "objectClass", "device", "objectClass", "pwdPolicy", "cn", "strict", "pwdAttribute", "userPassword",
			"pwdCheckQuality", "2", "pwdMinLength", "12", "pwdInHistory", "5", "pwdMustChange", "TRUE", "pwdLockout", "TRUE", "pwdMaxFailure", "3", "pwdFailureCountInterval", "600"),
		entry("cn=warned,"+policies, "objectClass", "device", "objectClass", "pwdPolicy", "cn", "warned", "pwdAttribute", "userPassword",
			"pwdMaxAge", "864000", "pwdExpireWarning", "864000"),
		entry("cn=graced,"+policies, "objectClass", "device", "objectClass", "pwdPolicy", "cn", "graced", "pwdAttribute", "userPassword",
			"pwdMaxAge", "86400", "pwdGraceAuthNLimit", "3"),
		entry("cn=young,"+policies, "objectClass", "device", "objectClass", "pwdPolicy", "cn", "young", "pwdAttribute", "userPassword",
			"pwdMinAge", "86400"),
		entry("cn=fixed,"+policies, "objectClass", "device", "objectClass", "pwdPolicy", "cn", "fixed", "pwdAttribute", "userPassword",
			"pwdAllowUserChange", "FALSE"),
		entry(serviceDN, "objectClass", "applicationProcess", "objectClass", "simpleSecurityObject", "cn", "gatehouse", "userPassword", serviceID),

		person(uidDN("alice"), "alice", "displayName", "Alice Ng", "mail", "alice@corp.example.com",
			"departmentNumber", "payments", "departmentNumber", "Über", "jpegPhoto", "\xff\xd8\xff\x00"),
		person(uidDN("bob"), "bob", "mail", "bob@corp.example.com", "entryUUID", "0f1e2d3c-4b5a-4978-8a6b-5c4d3e2f1a0b"),
		person(uidDN("carol"), "carol"),
		person(uidDN("dan"), "dan", "mail", "shared@corp.example.com"),
		person(uidDN("grace"), "grace", "mail", "shared@corp.example.com"),
		person(uidDN("erin"), "erin", "pwdPolicySubentry", "cn=aged,"+policies, "pwdChangedTime", "20200101000000Z"),
		person(uidDN("frank"), "frank", "pwdAccountLockedTime", "000001010000Z"),
		person(uidDN("reset"), "reset", "pwdReset", "TRUE"),
		person(oddDN, "zoë", "cn", `Zoë "Zo" O'Brien, PhD #1 + <x=y>; (a*b) \c`),
	}
	return append(es, companyGroups()...)
}

func companyGroups() []directory.Entry {
	es := []directory.Entry{
		// alice is in team, team in dept, dept in org; org is in team again.
		group("team", uidDN("alice"), groupDN("org")),
		group("dept", groupDN("team")),
		group("org", groupDN("dept")),
		entry(groupDN("unique"), "objectClass", "groupOfUniqueNames", "cn", "unique", "uniqueMember", uidDN("bob")),
		group("over-unique", groupDN("unique")),
		entry(groupDN("posix"), "objectClass", "posixGroup", "cn", "posix", "gidNumber", "1000", "memberUid", "bob"),
		group(`AWS\, \"prod\" \+ \#1`, oddDN),
		group("over-odd", `cn=AWS\, \"prod\" \+ \#1,`+groups),
		entry("cn=team,ou=elsewhere,"+suffix, "objectClass", "groupOfNames", "cn", "team", "member", uidDN("dan")),
	}
	es[6].Attributes["cn"] = []string{`AWS, "prod" + #1`}
	// carol is in more groups than a page holds.
	for i := range 700 {
		es = append(es, group(fmt.Sprintf("many-%03d", i), uidDN("carol")))
	}
	// deep is nested one level more than is followed.
	es = append(es, person(uidDN("deep"), "deep"), group("deep-0", uidDN("deep")))
	for i := range 10 {
		es = append(es, group(fmt.Sprintf("deep-%d", i+1), groupDN(fmt.Sprintf("deep-%d", i))))
	}
	return es
}

// ldif writes entries as RFC 2849 does, every value in base64.
func ldif(entries []directory.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "dn:: %s\n", base64.StdEncoding.EncodeToString([]byte(e.DN)))
		for name, values := range e.Attributes {
			for _, v := range values {
				fmt.Fprintf(&b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(v)))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// config is a configuration for servers at urls that ca verifies.
func config(urls []string, caFile string) ldap.Config {
	return ldap.Config{
		Name: "corp", Type: ldap.OpenLDAP, URLs: urls, CAFile: caFile, BaseDN: suffix,
		UserBaseDN: people, GroupBaseDN: groups, BindDN: serviceDN, BindPassword: serviceID,
		Attributes: []string{"departmentNumber", "jpegPhoto"}, Timeout: 5 * time.Second,
	}
}

// open makes a Directory from c, which must be without fault.
func open(t testing.TB, c ldap.Config) *ldap.Directory {
	t.Helper()
	c.SetDefaults()
	if faults := c.Validate(); len(faults) > 0 {
		t.Fatalf("the test's configuration has faults: %v", faults)
	}
	d, err := ldap.New(c, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// startDemo serves entries from memory.
func startDemo(t testing.TB, c directory.Config) (*directory.Server, string) {
	t.Helper()
	c.Suffix = suffix
	s, err := directory.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, ca
}

func startSlapd(t testing.TB, c outside.SlapdConfig) (*outside.Slapd, string) {
	t.Helper()
	c.Suffix, c.ServiceDN, c.DefaultPolicy = suffix, serviceDN, "cn=default,ou=policies,"+suffix
	if c.LDIF == "" {
		c.LDIF = ldif(company())
	}
	s := outside.StartSlapd(t, c)
	return s, s.CA.File(t)
}

func admitAll(gatehouse.User) error { return nil }

// signIn is Authenticate with the right password.
func signIn(t testing.TB, d *ldap.Directory, username string) (gatehouse.User, error) {
	t.Helper()
	return d.Authenticate(t.Context(), username, secret, admitAll)
}
