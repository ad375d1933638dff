package ldap_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"

	"github.com/google/go-cmp/cmp"
)

var _ access.Directory = (*ldap.Directory)(nil)

// TestDirectory holds the demo directory and a real slapd, by StartTLS and by
// LDAPS, to one suite.
func TestDirectory(t *testing.T) {
	t.Run("demo", func(t *testing.T) {
		s, ca := startDemo(t, directory.Config{Entries: company()})
		suite(t, config([]string{s.URL()}, ca))
	})
	t.Run("slapd", func(t *testing.T) {
		s, ca := startSlapd(t, outside.SlapdConfig{})
		t.Run("StartTLS", func(t *testing.T) { suite(t, config([]string{s.LDAP}, ca)) })
		t.Run("LDAPS", func(t *testing.T) { suite(t, config([]string{s.LDAPS}, ca)) })
	})
}

func suite(t *testing.T, c ldap.Config) {
	d := open(t, c)
	t.Run("refusals", func(t *testing.T) { testRefusals(t, d) })
	t.Run("person", func(t *testing.T) { testPerson(t, d) })
	t.Run("groups", func(t *testing.T) { testGroups(t, d) })
	t.Run("lookup", func(t *testing.T) { testLookup(t, d) })
	t.Run("admit", func(t *testing.T) { testAdmit(t, d) })
	t.Run("check", func(t *testing.T) { testCheckOK(t, d) })
	t.Run("direct", func(t *testing.T) {
		c, no := c, false
		c.Nested = &no
		testDirect(t, open(t, c))
	})
}

func testRefusals(t *testing.T, d *ldap.Directory) {
	tests := []struct {
		name               string
		username, password string
		kind               error
		reason             string
	}{
		{"an empty password is not sent", "alice", "", gatehouse.ErrInvalidCredentials, "malformed_password"},
		{"a blank password is not sent", "alice", " \t ", gatehouse.ErrInvalidCredentials, "malformed_password"},
		{"a password with a NUL is not sent", "alice", secret + "\x00", gatehouse.ErrInvalidCredentials, "malformed_password"},
		{"a filter for a name finds nobody", "*)(uid=*", secret, gatehouse.ErrUnknownPerson, "unknown"},
		{"a star finds nobody", "*", secret, gatehouse.ErrUnknownPerson, "unknown"},
		{"a prefix and a star finds nobody", "ali*", secret, gatehouse.ErrUnknownPerson, "unknown"},
		{"closing every parenthesis finds nobody", "alice)))(|(uid=alice", secret, gatehouse.ErrUnknownPerson, "unknown"},
		{"escapes in a name are not escapes", `\61lice`, secret, gatehouse.ErrUnknownPerson, "unknown"},
		{"a DN is not a name", uidDN("alice"), secret, gatehouse.ErrUnknownPerson, "unknown"},
		{"a name with a NUL", "alice\x00", secret, gatehouse.ErrUnknownPerson, "malformed_username"},
		{"a name with a line break", "alice\n", secret, gatehouse.ErrUnknownPerson, "malformed_username"},
		{"a name with a space after it", "alice ", secret, gatehouse.ErrUnknownPerson, "malformed_username"},
		{"a name that is not UTF-8", "alice\xff", secret, gatehouse.ErrUnknownPerson, "malformed_username"},
		{"a name of 64 KB", strings.Repeat("a", 64<<10), secret, gatehouse.ErrUnknownPerson, "malformed_username"},
		{"no name", "", secret, gatehouse.ErrUnknownPerson, "malformed_username"},
		{"nobody of that name", "nobody", secret, gatehouse.ErrUnknownPerson, "unknown"},
		{"a name that means two people", "shared@corp.example.com", secret, gatehouse.ErrUnknownPerson, "ambiguous"},
		{"a wrong password", "alice", "wrong", gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"a password is not trimmed", "alice", secret + " ", gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"locked, and the right password: nobody is told", "frank", secret, gatehouse.ErrInvalidCredentials, "locked_out"},
		{"locked, and a wrong password", "frank", "wrong", gatehouse.ErrInvalidCredentials, "locked_out"},
		{"expired, and the right password", "erin", secret, gatehouse.ErrPasswordExpired, "password_expired"},
		{"expired, and a wrong password: nobody is told", "erin", "wrong", gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"reset: the bind succeeds, the sign-in does not", "reset", secret, gatehouse.ErrPasswordMustChange, "password_must_change"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := d.Authenticate(t.Context(), tt.username, gatehouse.Secret(tt.password), admitAll)
			if !errors.Is(err, tt.kind) {
				t.Fatalf("Authenticate(%.40q) = %v, %v; want %v", tt.username, u, err, tt.kind)
			}
			var r interface{ Reason() string }
			if !errors.As(err, &r) || r.Reason() != tt.reason {
				t.Errorf("reason of %q, want %q", err, tt.reason)
			}
			if u.ID != "" || u.Groups != nil {
				t.Errorf("a refusal came with a person: %+v", u)
			}
		})
	}
}

func testPerson(t *testing.T, d *ldap.Directory) {
	for _, name := range []string{"alice", "ALICE", "alice@corp.example.com"} {
		u, err := signIn(t, d, name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if u.Directory != "corp" || u.Username != "alice" || u.DisplayName != "Alice Ng" || u.Mail != "alice@corp.example.com" || u.ReadAt.IsZero() {
			t.Errorf("%s: %+v", name, u)
		}
		want := map[string][]string{"departmentnumber": {"payments", "Über"}, "jpegphoto": {"/9j/AA=="}}
		slices.Sort(u.Attributes["departmentnumber"])
		if diff := cmp.Diff(want, u.Attributes); diff != "" {
			t.Errorf("attributes (-want +got):\n%s", diff)
		}
	}
	u, err := signIn(t, d, "bob")
	if err != nil || u.ID != "0f1e2d3c-4b5a-4978-8a6b-5c4d3e2f1a0b" || u.DisplayName != "bob" {
		t.Errorf("bob = %+v, %v; want his entryUUID, and his cn for want of a displayName", u, err)
	}
	if u, err = signIn(t, d, "zoë"); err != nil || u.Username != "zoë" {
		t.Errorf("a DN of metacharacters: %+v, %v", u, err)
	}
}

// ways writes each group as the chain of names that leads to it.
func ways(gs []gatehouse.Group) []string {
	var out []string
	short := func(dn string) string { return strings.TrimSuffix(strings.TrimPrefix(dn, "cn="), ","+groups) }
	for _, g := range gs {
		var chain []string
		for _, dn := range g.Via {
			chain = append(chain, short(dn))
		}
		out = append(out, strings.Join(append(chain, g.Name), " > "))
	}
	slices.Sort(out)
	return out
}

func testGroups(t *testing.T, d *ldap.Directory) {
	tests := []struct {
		name, username string
		want           []string
	}{
		{"nested groups that are members of each other", "alice", []string{"team", "team > dept", "team > dept > org"}},
		{"groupOfUniqueNames, posixGroup, and a group over one", "bob", []string{"posix", "unique", "unique > over-unique"}},
		{"a group of the same name in the wrong place does not count", "dan", nil},
		{"a group with a DN of metacharacters, nested", "zoë", []string{`AWS, "prod" + #1`, `over-odd`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := signIn(t, d, tt.username)
			if err != nil {
				t.Fatal(err)
			}
			got := ways(u.Groups)
			if tt.username == "zoë" {
				// The chain's spelling is the server's own.
				for i, w := range got {
					if chain, name, ok := strings.Cut(w, " > "); ok && strings.HasPrefix(chain, "AWS") {
						got[i] = name
					}
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("more groups than a page", func(t *testing.T) {
		u, err := signIn(t, d, "carol")
		if err != nil || len(u.Groups) != 700 {
			t.Errorf("%d groups, %v; want 700", len(u.Groups), err)
		}
	})
	t.Run("nested too deep is refused, not cut off", func(t *testing.T) {
		u, err := signIn(t, d, "deep")
		if !errors.Is(err, gatehouse.ErrTooManyGroups) || errors.Is(err, gatehouse.ErrUnavailable) || reason(err) != "groups_too_deep" || len(u.Groups) > 0 {
			t.Errorf("%d groups, %v; want ErrTooManyGroups", len(u.Groups), err)
		}
	})
}

func testDirect(t *testing.T, d *ldap.Directory) {
	u, err := signIn(t, d, "alice")
	if got := ways(u.Groups); err != nil || !slices.Equal(got, []string{"team"}) {
		t.Errorf("without nesting: %q, %v; want team alone", got, err)
	}
}

func testLookup(t *testing.T, d *ldap.Directory) {
	alice, err := d.Find(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.Lookup(t.Context(), alice.ID)
	if err != nil || again.Username != "alice" || !slices.Equal(ways(again.Groups), ways(alice.Groups)) {
		t.Errorf("Lookup(%s) = %+v, %v", alice.ID, again, err)
	}
	frank, err := d.Find(t.Context(), "frank")
	if err != nil {
		t.Fatalf("Find reads people whatever their state: %v", err)
	}
	if who, err := d.Identify(t.Context(), "frank"); err != nil || who.Key() != frank.Key() || who.Username != "frank" || who.DN != frank.DN || who.Groups != nil {
		t.Errorf("Identify = %+v, %v; want %+v, without groups and whatever their state", who, err, frank)
	}
	for _, name := range []string{"nobody", "*", "alice)(uid=*", ""} {
		if who, err := d.Identify(t.Context(), name); !errors.Is(err, gatehouse.ErrUnknownPerson) && !errors.Is(err, gatehouse.ErrInvalidCredentials) {
			t.Errorf("Identify(%q) = %+v, %v", name, who, err)
		}
	}
	if _, err := d.Lookup(t.Context(), frank.ID); !errors.Is(err, gatehouse.ErrAccountLocked) {
		t.Errorf("Lookup of a locked account: %v", err)
	}
	for _, id := range []string{"", "*", "0f1e2d3c-4b5a-4978-8a6b-000000000000", "x)(uid=alice", alice.ID + " "} {
		if u, err := d.Lookup(t.Context(), id); !errors.Is(err, gatehouse.ErrUnknownPerson) {
			t.Errorf("Lookup(%q) = %+v, %v; want ErrUnknownPerson", id, u, err)
		}
	}
}

func testAdmit(t *testing.T, d *ldap.Directory) {
	stop := errors.New("stop")
	asked := ""
	_, err := d.Authenticate(t.Context(), "bob", "wrong", func(u gatehouse.User) error { asked = u.ID; return stop })
	if err != stop || asked != "0f1e2d3c-4b5a-4978-8a6b-5c4d3e2f1a0b" {
		t.Errorf("admit was asked about %q, and its error became %v", asked, err)
	}
	_, err = d.Authenticate(t.Context(), "nobody", secret, func(gatehouse.User) error { t.Error("admit was asked about nobody"); return nil })
	if !errors.Is(err, gatehouse.ErrUnknownPerson) {
		t.Error(err)
	}
}

func testCheckOK(t *testing.T, d *ldap.Directory) {
	for _, f := range d.Check(t.Context()) {
		warned := f.State == gatehouse.FindingWarning && strings.Contains(f.Detail, "certificate")
		if f.State != gatehouse.FindingOK && !warned {
			t.Errorf("%+v", f)
		}
	}
}
