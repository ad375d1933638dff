package ldap_test

import (
	"errors"
	"slices"
	"testing"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"
)

func TestSuffixes(t *testing.T) {
	d := open(t, ldap.Config{Name: "corp", URLs: []string{"ldap://dc1"}, BaseDN: suffix, Suffixes: []string{"Corp.Example.com", "CORP"}})
	if got := d.Suffixes(); !slices.Equal(got, []string{"corp", "corp.example.com"}) {
		t.Errorf("%q", got)
	}
	if got := open(t, ldap.Config{Name: "corp", URLs: []string{"ldap://dc1"}, BaseDN: suffix}).Suffixes(); len(got) != 0 {
		t.Errorf("without a key: %q", got)
	}
}

// TestSambaSuffixes: a name with a suffix of the directory's means one person
// of it, or nobody.
func TestSambaSuffixes(t *testing.T) {
	d := samba(t, func(c *ldap.Config) { c.Suffixes = []string{outside.SambaDomain, "corp.example.com"} })
	testNames(t, d, adSecret, []nameCase{
		{"an explicit UPN beats an implicit one", "victim@corp.example.com", "impostor"},
		{"a UPN that another has as their account name", "short", "ambiguous"},
		{"the same in the NetBIOS form", `CORP\short`, "ambiguous"},
		{"the same with the suffix, which nobody has as UPN", "short@corp.example.com", "ambiguous"},
		{"whose UPN somebody else has is still found by NetBIOS name", `CORP\victim`, "victim"},
		{"an implicit UPN, where the explicit one differs", "upn-differs@corp.example.com", "upn-differs"},
		{"an explicit UPN", "someone.else@corp.example.com", "upn-differs"},
		{"a NetBIOS name in any case", `corp\ALICE`, "alice"},
		{"the domain's DNS name before the backslash", `Corp.Example.Com\alice`, "alice"},
		{"a suffix of nobody's", `EVIL\alice`, "unknown"},
		{"a suffix of nobody's after the name", "alice@evil.example.net", "unknown"},
		{"a longer suffix", "alice@xcorp.example.com", "unknown"},
		{"two suffixes after the name", "alice@corp.example.com@corp.example.com", "unknown"},
		{"two suffixes before it", `CORP\CORP\alice`, "unknown"},
		{"one before and one after", `CORP\alice@corp`, "unknown"},
		{"a foreign one before and ours after", `EVIL\alice@corp`, "unknown"},
		{"nothing but a suffix", `CORP\`, "malformed_username"},
		{"nothing but a suffix after", "@corp", "malformed_username"},
		{"a space after the suffix", `CORP\ alice`, "malformed_username"},
		{"a star after the suffix", `CORP\*`, "unknown"},
		{"a filter before the suffix", "*)(sAMAccountName=alice@corp", "unknown"},
		{"a slash is no backslash", "CORP/alice", "unknown"},
	})
}

// TestSuffixesElsewhere: the same in a directory without UPNs, where a mail
// address is what a name may be as a whole.
func TestSuffixesElsewhere(t *testing.T) {
	entries := append(company(), person(uidDN("box"), "box", "mail", "dan@corp.example.com"))
	s, ca := startDemo(t, directory.Config{Entries: entries})
	c := config([]string{s.URL()}, ca)
	c.Suffixes = []string{"corp.example.com"}
	testNames(t, open(t, c), secret, []nameCase{
		{"a mail address beats a login name with the suffix", "dan@corp.example.com", "box"},
		{"a login name with the suffix, which is nobody's mail address", "carol@corp.example.com", "carol"},
		{"a mail address that two people have", "shared@corp.example.com", "ambiguous"},
		{"a name before which the suffix stands", `corp.example.com\dan`, "dan"},
	})
}

type nameCase struct{ name, typed, want string }

// testNames signs in as each typed name: want is the login name of whom it
// means, or the reason of the refusal.
func testNames(t *testing.T, d *ldap.Directory, password gatehouse.Secret, tests []nameCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, err := d.Authenticate(t.Context(), tt.typed, password, admitAll)
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
