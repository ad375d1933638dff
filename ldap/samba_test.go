package ldap_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
	"gatehouse/ldap"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) { outside.Main(m) }

const (
	adPeople  = "OU=People," + outside.SambaBaseDN
	adGroups  = "OU=Groups," + outside.SambaBaseDN
	adSecret  = outside.SambaPassword
	adWrong   = "Wrong-Horse-1"
	adByMail  = "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName=%s)(userPrincipalName=%s)(mail=%s)))"
	adLockout = 5 // wrong passwords, as samba_populate.py sets it
)

// samba is a configuration for the real domain.
func samba(t testing.TB, change ...func(*ldap.Config)) *ldap.Directory {
	t.Helper()
	s := outside.Samba(t)
	c := ldap.Config{
		Name: "corp", Type: ldap.ActiveDirectory, URLs: []string{s.LDAPS}, CAFile: s.CA.File(t),
		BaseDN: outside.SambaBaseDN, GroupBaseDN: adGroups,
		BindDN: outside.SambaServiceDN, BindPassword: outside.SambaServicePassword,
		Attributes: []string{"department", "otherTelephone", "jpegPhoto"},
	}
	for _, f := range change {
		f(&c)
	}
	return open(t, c)
}

// administrator is a connection that may do everything.
func administrator(t testing.TB) *goldap.Conn {
	t.Helper()
	s := outside.Samba(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA.PEM())
	c, err := goldap.DialURL(s.LDAPS, goldap.DialWithTLSConfig(&tls.Config{RootCAs: roots}))
	if err == nil {
		err = c.Bind(outside.SambaAdminDN, outside.SambaAdminPassword)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func set(t testing.TB, c *goldap.Conn, dn, attribute, value string) {
	t.Helper()
	m := goldap.NewModifyRequest(dn, nil)
	m.Replace(attribute, []string{value})
	if err := c.Modify(m); err != nil {
		t.Fatalf("%s of %s: %v", attribute, dn, err)
	}
}

func adDN(cn string) string { return "CN=" + cn + "," + adPeople }

// lockOut gives wrong passwords until the account is locked.
func lockOut(t testing.TB, d *ldap.Directory, username string) {
	t.Helper()
	for range adLockout {
		if _, err := d.Authenticate(t.Context(), username, adWrong, admitAll); !errors.Is(err, gatehouse.ErrInvalidCredentials) {
			t.Fatalf("locking %s: %v", username, err)
		}
	}
}

// reason is the word of a refusal.
func reason(err error) string {
	var r interface{ Reason() string }
	if !errors.As(err, &r) {
		return ""
	}
	return r.Reason()
}

// TestSambaStates: each state of an account, with the right password and with
// a wrong one. A wrong one always ends in one and the same kind.
func TestSambaStates(t *testing.T) {
	d := samba(t)
	lockOut(t, d, "frank")
	const wrong = "wrong_password"
	tests := []struct {
		name, username string
		kind           error // with the right password
		reason         string
		wrong          string // the word with a wrong password
	}{
		{"nothing special", "alice", nil, "", wrong},
		{"disabled", "grace", gatehouse.ErrAccountDisabled, "disabled", wrong},
		{"disabled goes before expired", "disabled-expired", gatehouse.ErrAccountDisabled, "disabled", wrong},
		{"expired password", "erin", gatehouse.ErrPasswordExpired, "password_expired", wrong},
		{"must change", "must-change", gatehouse.ErrPasswordMustChange, "password_must_change", wrong},
		{"expired account", "gone", gatehouse.ErrAccountExpired, "account_expired", wrong},
		{"no hour of the week", "nights", gatehouse.ErrAccountHours, "logon_hours", wrong},
		{"workstations", "workstation", gatehouse.ErrAccountHours, "workstation", wrong},
		{"smart cards only: nobody is told", "smart-card", gatehouse.ErrInvalidCredentials, wrong, wrong},
		{"locked: nobody is told", "frank", gatehouse.ErrInvalidCredentials, "locked_out", "locked_out"},
		{"a password that never expires", "never-expires", nil, "", wrong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := d.Authenticate(t.Context(), tt.username, adWrong, admitAll)
			if !errors.Is(err, gatehouse.ErrInvalidCredentials) || reason(err) != tt.wrong {
				t.Errorf("wrong password: %v; want ErrInvalidCredentials (%s)", err, tt.wrong)
			}
			u, err := d.Authenticate(t.Context(), tt.username, adSecret, admitAll)
			if !errors.Is(err, tt.kind) || (err == nil) != (tt.kind == nil) || reason(err) != tt.reason {
				t.Errorf("right password: %v; want %v (%s)", err, tt.kind, tt.reason)
			}
			if (u.ID == "") != (tt.kind != nil) {
				t.Errorf("%v came with %+v", err, u)
			}
		})
	}
}

// TestSambaNames: what people type means exactly one of them, or nobody.
func TestSambaNames(t *testing.T) {
	byDefault := samba(t)
	byMail := samba(t, func(c *ldap.Config) { c.UserFilter = adByMail })
	const realm = "corp.example.com"
	tests := []struct {
		name  string
		d     *ldap.Directory
		typed string
		want  string // sAMAccountName; or the reason of the refusal
	}{
		{"two people of one mail address", byMail, "shared@" + realm, "ambiguous"},
		{"one's UPN is another's account name", byDefault, "short", "ambiguous"},
		{"one's UPN is what another's would be: it is the one's", byDefault, "victim@" + realm, "impostor"},
		{"whose UPN somebody else has is still found by account name", byDefault, "victim", "victim"},
		{"a mail address, unless configured", byDefault, "shared@" + realm, "unknown"},
		{"a common name", byDefault, "spaces and", "unknown"},
		{"a computer", byDefault, "DC1$", "unknown"},
		{"a group", byDefault, "team", "unknown"},
		{"a DN", byDefault, adDN("alice"), "unknown"},
		{"a NetBIOS name before it", byDefault, `CORP\alice`, "unknown"},
		{"a filter", byDefault, "*)(sAMAccountName=alice", "unknown"},
		{"sAMAccountName", byDefault, "alice", "alice"},
		{"sAMAccountName in another case", byDefault, "ALICE", "alice"},
		{"UPN", byDefault, "alice@" + realm, "alice"},
		{"UPN in another case", byDefault, "Alice@Corp.Example.Com", "alice"},
		{"a UPN that differs from the account name", byDefault, "someone.else@" + realm, "upn-differs"},
		{"mail, where configured", byMail, "alice@" + realm, "alice"},
		{"an account name that is not ASCII", byDefault, "zoë", "zoë"},
		{"a CN with spaces at both ends", byDefault, "spaces", "spaces"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := tt.d.Authenticate(t.Context(), tt.typed, adSecret, admitAll)
			got := u.Username
			if err != nil {
				if got = reason(err); !errors.Is(err, gatehouse.ErrUnknownPerson) {
					t.Errorf("%v, want ErrUnknownPerson", err)
				}
			}
			if got != tt.want {
				t.Errorf("%q is %q, want %q (%v)", tt.typed, got, tt.want, err)
			}
		})
	}
}

// TestSambaStartTLS: the other way to encrypt, for all that is sent.
func TestSambaStartTLS(t *testing.T) {
	s := outside.Samba(t)
	d := samba(t, func(c *ldap.Config) { c.URLs = []string{s.LDAP} })
	if u, err := d.Authenticate(t.Context(), "alice", adSecret, admitAll); err != nil || len(u.Groups) != 3 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := d.ChangePassword(t.Context(), "must-change", adWrong, fresh, admitAll); reason(err) != "wrong_password" {
		t.Error(err)
	}
}

// TestSambaPerson: what a person's entry says reaches User whole, binary and
// non-ASCII values included.
func TestSambaPerson(t *testing.T) {
	u, err := samba(t).Authenticate(t.Context(), "alice", adSecret, admitAll)
	if err != nil {
		t.Fatal(err)
	}
	if u.DN != adDN("alice") || u.DisplayName != "Alice Ng" || u.Mail != "alice@corp.example.com" || len(u.ID) != 36 {
		t.Errorf("%+v", u)
	}
	slices.Sort(u.Attributes["othertelephone"])
	want := map[string][]string{"department": {"Über Payments"}, "othertelephone": {"1", "2"}, "jpegphoto": {"/9j/AA=="}}
	if diff := cmp.Diff(want, u.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

// adWays is ways for the domain: CN=…,OU=Groups,… shortened.
func adWays(gs []gatehouse.Group) []string {
	var out []string
	for _, g := range gs {
		var chain []string
		for _, dn := range g.Via {
			chain = append(chain, strings.TrimSuffix(strings.TrimPrefix(dn, "CN="), ","+adGroups))
		}
		out = append(out, strings.Join(append(chain, g.Name), " > "))
	}
	slices.Sort(out)
	return out
}

// TestSambaGroups: the groups that count are those that the domain itself
// would give, below group_base_dn.
func TestSambaGroups(t *testing.T) {
	// Walking to 300 groups takes Samba long on a busy machine.
	byDefault := samba(t, func(c *ldap.Config) { c.Timeout = time.Minute })
	noNesting := false
	direct := samba(t, func(c *ldap.Config) { c.Nested = &noNesting })
	walked := samba(t, func(c *ldap.Config) { c.GroupFilter = "(&(objectCategory=group)(member=%s))" })
	inChain := samba(t, func(c *ldap.Config) {
		c.GroupFilter, c.Nested = "(&(objectCategory=group)(member:1.2.840.113556.1.4.1941:=%s))", &noNesting
	})
	tests := []struct {
		name     string
		d        *ldap.Directory
		username string
		want     []string
	}{
		{"nested, a cycle, no distribution list nor what is behind one", byDefault, "alice", []string{"dept", "org", "team"}},
		{"the primary group and what is above it; a CN elsewhere does not count", byDefault, "bob", []string{"over-primary", "primary"}},
		{"a DN of metacharacters", byDefault, "zoë", []string{"over-strange", "strange"}},
		{"none", byDefault, "dan", nil},
		{"direct groups alone", direct, "alice", []string{"team"}},
		{"a filter of one's own brings distribution lists", walked, "alice",
			[]string{"newsletter", "team", "team > all-hands", "team > all-hands > behind-a-list", "team > dept", "team > dept > org"}},
		{"so does one in chain, in one search, but for the primary group", inChain, "alice",
			[]string{"all-hands", "behind-a-list", "dept", "newsletter", "org", "team"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := tt.d.Authenticate(t.Context(), tt.username, adSecret, admitAll)
			if diff := cmp.Diff(tt.want, adWays(u.Groups)); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	t.Run("Find explains how nested groups came about", func(t *testing.T) {
		u, err := byDefault.Find(t.Context(), "alice")
		if diff := cmp.Diff([]string{"team", "team > dept", "team > dept > org"}, adWays(u.Groups)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("Find explains a chain through the primary group", func(t *testing.T) {
		u, err := byDefault.Find(t.Context(), "bob")
		if diff := cmp.Diff([]string{"primary", "primary > over-primary"}, adWays(u.Groups)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("deeper than anybody follows, all the same", func(t *testing.T) {
		u, err := byDefault.Authenticate(t.Context(), "deep", adSecret, admitAll)
		if err != nil || len(u.Groups) != 15 {
			t.Errorf("%d groups, %v; want 15", len(u.Groups), err)
		}
	})
	t.Run("300 groups", func(t *testing.T) {
		u, err := byDefault.Authenticate(t.Context(), "carol", adSecret, admitAll)
		if err != nil || len(u.Groups) != 300 {
			t.Errorf("%d groups, %v", len(u.Groups), err)
		}
	})
	t.Run("where tokenGroups is hidden, walking finds the same", func(t *testing.T) {
		for _, name := range []string{"alice", "bob", "carol", "zoë", "dan"} {
			u, err := byDefault.Find(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			groups, err := ldap.WindowsWalk(byDefault, t.Context(), u)
			if diff := cmp.Diff(names(u.Groups), names(groups)); err != nil || diff != "" {
				t.Errorf("%s: %v (-tokenGroups +walked):\n%s", name, err, diff)
			}
		}
	})
	t.Run("Find explains as far as anybody follows, and leaves out no group", func(t *testing.T) {
		u, err := byDefault.Find(t.Context(), "deep")
		if err != nil || len(u.Groups) != 15 {
			t.Errorf("%d groups, %v; want 15", len(u.Groups), err)
		}
	})
}

func names(gs []gatehouse.Group) []string {
	var out []string
	for _, g := range gs {
		out = append(out, g.Name)
	}
	slices.Sort(out)
	return out
}

// TestSambaIdentity: a person is their objectGUID, whatever becomes of names.
func TestSambaIdentity(t *testing.T) {
	d, admin := samba(t), administrator(t)
	find := func(name string) gatehouse.User {
		t.Helper()
		u, err := d.Find(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	t.Run("a renamed person stays the same", func(t *testing.T) {
		before := find("renamed")
		if err := admin.ModifyDN(goldap.NewModifyDNRequest(before.DN, "CN=Married", true, "OU=Elsewhere,"+outside.SambaBaseDN)); err != nil {
			t.Fatal(err)
		}
		dn := "CN=Married,OU=Elsewhere," + outside.SambaBaseDN
		set(t, admin, dn, "sAMAccountName", "married")
		after, err := d.Lookup(t.Context(), before.ID)
		if err != nil || after.ID != before.ID || after.Username != "married" || after.DN != dn {
			t.Errorf("%+v, %v", after, err)
		}
	})
	t.Run("a name used again is another person", func(t *testing.T) {
		before := find("reused")
		if err := admin.Del(goldap.NewDelRequest(before.DN, nil)); err != nil {
			t.Fatal(err)
		}
		again := goldap.NewAddRequest(before.DN, nil)
		for name, value := range map[string]string{"objectClass": "user", "sAMAccountName": "reused", "userPrincipalName": "reused@corp.example.com"} {
			again.Attribute(name, []string{value})
		}
		if err := admin.Add(again); err != nil {
			t.Fatal(err)
		}
		if after := find("reused"); after.DN != before.DN || after.ID == before.ID {
			t.Errorf("%s was %s, is %s", before.DN, before.ID, after.ID)
		}
		if u, err := d.Lookup(t.Context(), before.ID); !errors.Is(err, gatehouse.ErrUnknownPerson) {
			t.Errorf("Lookup of the one before: %+v, %v", u, err)
		}
	})
}

// TestSambaLookup: who may no longer sign in is not looked up either.
func TestSambaLookup(t *testing.T) {
	d, admin := samba(t), administrator(t)
	signedIn := func(name string) gatehouse.User {
		t.Helper()
		u, err := d.Authenticate(t.Context(), name, adSecret, admitAll)
		if err == nil {
			_, err = d.Lookup(t.Context(), u.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	t.Run("disabled since the sign-in", func(t *testing.T) {
		u := signedIn("leaver")
		set(t, admin, u.DN, "userAccountControl", "514")
		if _, err := d.Lookup(t.Context(), u.ID); !errors.Is(err, gatehouse.ErrAccountDisabled) {
			t.Error(err)
		}
		set(t, admin, u.DN, "userAccountControl", "512")
		set(t, admin, u.DN, "accountExpires", "132000000000000000")
		if _, err := d.Lookup(t.Context(), u.ID); !errors.Is(err, gatehouse.ErrAccountExpired) {
			t.Error(err)
		}
	})
	t.Run("locked since the sign-in, and unlocked", func(t *testing.T) {
		u := signedIn("frank-later")
		lockOut(t, d, u.Username)
		if _, err := d.Lookup(t.Context(), u.ID); !errors.Is(err, gatehouse.ErrAccountLocked) {
			t.Error(err)
		}
		set(t, admin, u.DN, "lockoutTime", "0")
		if _, err := d.Lookup(t.Context(), u.ID); err != nil {
			t.Error(err)
		}
	})
	t.Run("taken out of a group since the sign-in", func(t *testing.T) {
		u := signedIn("racer")
		member := goldap.NewModifyRequest("CN=dept,"+adGroups, nil)
		member.Add("member", []string{u.DN})
		if err := admin.Modify(member); err != nil {
			t.Fatal(err)
		}
		in, err := d.Lookup(t.Context(), u.ID)
		if diff := cmp.Diff([]string{"dept", "org", "team"}, adWays(in.Groups)); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		member = goldap.NewModifyRequest("CN=dept,"+adGroups, nil)
		member.Delete("member", []string{u.DN})
		if err := admin.Modify(member); err != nil {
			t.Fatal(err)
		}
		out, err := d.Lookup(t.Context(), u.ID)
		if err != nil || len(out.Groups) != 0 {
			t.Errorf("%q, %v", adWays(out.Groups), err)
		}
	})
}
