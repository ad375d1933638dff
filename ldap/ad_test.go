package ldap_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/ldap"
)

// sid is a binary SID of the domain of these tests (MS-DTYP §2.4.2.2).
func sid(rid byte) string {
	return "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00" + "\x01\x02\x03\x04" + "\x05\x06\x07\x08" + "\x09\x0a\x0b\x0c" + string([]byte{rid, 0x04, 0, 0})
}

const builtinUsers = "\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x21\x02\x00\x00"

func adGroup(name string, rid byte, groupType string, members ...string) directory.Entry {
	e := entry("cn="+name+","+groups, "objectClass", "group", "objectCategory", "group", "cn", name,
		"sAMAccountName", name, "groupType", groupType, "objectSid", sid(rid))
	e.Attributes["member"] = members
	return e
}

func adPerson(name string, pairs ...string) directory.Entry {
	e := entry("cn="+name+","+people, append([]string{"objectClass", "user", "objectCategory", "person", "cn", name,
		"sAMAccountName", name, "userPrincipalName", name + "@corp.example.com", "userPassword", secret,
		"objectSid", sid(100), "primaryGroupID", "1025"}, pairs...)...)
	if len(e.Attributes["userAccountControl"]) == 0 {
		e.Attributes["userAccountControl"] = []string{"512"}
	}
	return e
}

const (
	security     = "-2147483646"
	distribution = "2"
	bobGUID      = "33221100-5544-7766-8899-aabbccddeeff"
)

// domain is the part of Active Directory that sign-in sees.
func domain() []directory.Entry {
	cn := func(name string) string { return "cn=" + name + "," + people }
	return []directory.Entry{
		entry(people, "objectClass", "organizationalUnit", "ou", "people"),
		entry(groups, "objectClass", "organizationalUnit", "ou", "groups"),
		entry(suffix, "objectClass", "domainDNS", "dc", "corp"),
		entry(serviceDN, "objectClass", "user", "cn", "gatehouse", "userPassword", serviceID),
		adPerson("alice", "tokenGroups", sid(1), "tokenGroups", sid(2), "tokenGroups", sid(3), "tokenGroups", builtinUsers),
		adPerson("bob", "objectGUID", "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"),
		adPerson("grace", "userAccountControl", "514"),
		adPerson("erin", "msDS-UserPasswordExpiryTimeComputed", "132000000000000000"),
		adPerson("mustchange", "pwdLastSet", "0"),
		adPerson("gone", "accountExpires", "132000000000000000"),
		adPerson("nights", "logonHours", string(make([]byte, 21))),
		adPerson("frank", "lockoutTime", "132000000000000000"),
		adGroup("Domain Staff", 1, security),
		adGroup("team", 2, security, cn("alice"), cn("bob")),
		adGroup("dept", 3, security, groupDN("team")),
		adGroup("newsletter", 4, distribution, cn("alice"), cn("bob")),
	}
}

func activeDirectory(t *testing.T, change func(*ldap.Config)) *ldap.Directory {
	t.Helper()
	s, ca := startDemo(t, directory.Config{Entries: domain(), ActiveDirectory: true})
	c := config([]string{s.URL()}, ca)
	c.Type = ldap.ActiveDirectory
	change(&c)
	return open(t, c)
}

func TestActiveDirectory(t *testing.T) {
	d := activeDirectory(t, func(*ldap.Config) {})
	tests := []struct {
		name               string
		username, password string
		kind               error
		reason             string
	}{
		{"a wrong password", "alice", "wrong", gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"disabled", "grace", secret, gatehouse.ErrAccountDisabled, "disabled"},
		{"disabled, and a wrong password: nobody is told", "grace", "wrong", gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"expired password", "erin", secret, gatehouse.ErrPasswordExpired, "password_expired"},
		{"must change", "mustchange", secret, gatehouse.ErrPasswordMustChange, "password_must_change"},
		{"expired account", "gone", secret, gatehouse.ErrAccountExpired, "account_expired"},
		{"not at this hour", "nights", secret, gatehouse.ErrAccountHours, "logon_hours"},
		{"locked: nobody is told", "frank", secret, gatehouse.ErrInvalidCredentials, "locked_out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := d.Authenticate(t.Context(), tt.username, gatehouse.Secret(tt.password), admitAll)
			var r interface{ Reason() string }
			if !errors.Is(err, tt.kind) || !errors.As(err, &r) || r.Reason() != tt.reason {
				t.Errorf("%v; want %v (%s)", err, tt.kind, tt.reason)
			}
		})
	}
	t.Run("the binary objectGUID is a person's identifier", func(t *testing.T) {
		u, err := signIn(t, d, "bob@corp.example.com")
		if err != nil || u.ID != bobGUID || u.Username != "bob" {
			t.Fatalf("%+v, %v", u, err)
		}
		if again, err := d.Lookup(t.Context(), u.ID); err != nil || again.DN != u.DN {
			t.Errorf("Lookup: %+v, %v", again, err)
		}
	})
	t.Run("accounts that may not be used are not looked up", func(t *testing.T) {
		for name, kind := range map[string]error{
			"grace": gatehouse.ErrAccountDisabled, "gone": gatehouse.ErrAccountExpired, "frank": gatehouse.ErrAccountLocked,
		} {
			u, err := d.Find(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Lookup(t.Context(), u.ID); !errors.Is(err, kind) {
				t.Errorf("%s: %v, want %v", name, err, kind)
			}
		}
	})
}

func TestActiveDirectoryGroups(t *testing.T) {
	no := false
	tests := []struct {
		name     string
		username string
		change   func(*ldap.Config)
		want     []string
	}{
		{"tokenGroups: nested and primary groups, no distribution list", "alice", func(*ldap.Config) {}, []string{"Domain Staff", "dept", "team"}},
		{"tokenGroups unreadable: walked, and the primary group", "bob", func(*ldap.Config) {}, []string{"Domain Staff", "team", "team > dept"}},
		{"direct groups alone", "bob", func(c *ldap.Config) { c.Nested = &no }, []string{"team"}},
		{"a filter of one's own is walked with", "bob", func(c *ldap.Config) { c.GroupFilter = "(member=%s)" }, []string{"newsletter", "team", "team > dept"}},
		{"groups outside the base do not count", "alice", func(c *ldap.Config) { c.GroupBaseDN = groupDN("team") }, []string{"team"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := activeDirectory(t, tt.change)
			u, err := signIn(t, d, tt.username)
			if got := ways(u.Groups); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
	t.Run("Find explains how nested groups came about", func(t *testing.T) {
		u, err := activeDirectory(t, func(*ldap.Config) {}).Find(t.Context(), "alice")
		want := []string{"Domain Staff", "team", "team > dept"}
		if got := ways(u.Groups); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	})
	t.Run("a server that computes no groups is walked", func(t *testing.T) {
		s, ca := startDemo(t, directory.Config{Entries: domain()})
		c := config([]string{s.URL()}, ca)
		c.Type, c.IDAttribute, c.Timeout = ldap.ActiveDirectory, "entryUUID", time.Second
		u, err := signIn(t, open(t, c), "bob")
		if got := ways(u.Groups); err != nil || !slices.Equal(got, []string{"team", "team > dept"}) {
			t.Errorf("%q, %v", got, err)
		}
	})
}
