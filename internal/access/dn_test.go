package access

import (
	"strings"
	"testing"
)

func TestParseDN(t *testing.T) {
	equal := []struct{ name, a, b string }{
		{"case does not matter", "CN=Admins,DC=Corp", "cn=admins,dc=corp"},
		{"nor does the case of other alphabets", "CN=ÄRZTE,DC=corp", "cn=ärzte,dc=corp"},
		{"an escaped comma is the same in hex", `uid=w\,comma,dc=x`, `uid=w\2Ccomma,dc=x`},
		{"spaces around separators do not matter", "CN = a , DC = x", "CN=a,DC=x"},
		{"parts of one RDN come in any order", "cn=a+uid=b,dc=x", "uid=B+cn=A,dc=x"},
		{"an escaped trailing space may be written in hex", `cn=a\ ,dc=x`, `cn=a\20,dc=x`},
		{"UTF-8 in hex", `cn=Jos\c3\a9,dc=x`, "cn=josé,dc=x"},
	}
	for _, tt := range equal {
		t.Run(tt.name, func(t *testing.T) {
			if a, b := mustDN(t, tt.a), mustDN(t, tt.b); !a.equal(b) {
				t.Errorf("%q and %q differ: %q, %q", tt.a, tt.b, a, b)
			}
		})
	}
	differ := []struct{ name, a, b string }{
		{"a comma in a value is not a separator", `cn=a\,dc=x`, "cn=a,dc=x"},
		{"a plus in a value is not a separator", `cn=a\+uid=b,dc=x`, "cn=a+uid=b,dc=x"},
		{"an escaped trailing space counts", `cn=a\ ,dc=x`, "cn=a,dc=x"},
		{"a NUL that imitates the inner separator", `cn=a\00\+uid=b,dc=x`, "cn=a+uid=b,dc=x"},
	}
	for _, tt := range differ {
		t.Run(tt.name, func(t *testing.T) {
			a, err := parseDN(tt.a)
			if err == nil && a.equal(mustDN(t, tt.b)) {
				t.Errorf("%q is taken for %q", tt.a, tt.b)
			}
		})
	}
	for _, bad := range []string{"", "cn", "cn=", "=x", "cn=a,", ",cn=a", `cn=a\`, `cn=a\2`, `cn=a\zz`, `cn="a,b",dc=x`, "cn=#04024869", "cn=a;dc=x", "c n=a", "cn=a,,dc=x", "cn=\xff"} {
		t.Run("refused: "+bad, func(t *testing.T) {
			if got, err := parseDN(bad); err == nil {
				t.Errorf("parseDN(%q) = %q", bad, got)
			}
		})
	}
}

func TestUnder(t *testing.T) {
	tests := []struct {
		name, dn, base string
		want           bool
	}{
		{"a child", "CN=g,OU=AWS,DC=corp", "ou=aws,dc=corp", true},
		{"a grandchild", "CN=g,OU=EU,OU=AWS,DC=corp", "ou=aws,dc=corp", true},
		{"not the base itself", "OU=AWS,DC=corp", "ou=aws,dc=corp", false},
		{"not a sibling", "CN=g,OU=AWS2,DC=corp", "ou=aws,dc=corp", false},
		{"not a base that is only written in a value", `CN=g\,OU=AWS\,DC=corp,OU=Other,DC=corp`, "ou=aws,dc=corp", false},
		{"not the same units in another tree", "CN=g,OU=AWS,DC=corp,DC=evil", "ou=aws,dc=corp", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustDN(t, tt.dn).under(mustDN(t, tt.base)); got != tt.want {
				t.Errorf("%q under %q = %v", tt.dn, tt.base, got)
			}
		})
	}
}

func mustDN(t *testing.T, s string) dn {
	t.Helper()
	d, err := parseDN(s)
	if err != nil {
		t.Fatalf("parseDN(%q): %v", s, err)
	}
	return d
}

func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"CN=a,DC=b", `cn=a\,b+uid=c\20,dc=\c3\a9`, `cn=a\`, "cn=\x00,dc=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDN(s)
		if err != nil {
			return
		}
		if len(d) == 0 || !d.equal(d) || d.under(d) {
			t.Errorf("parseDN(%q) = %q", s, d)
		}
	})
}

func TestFoldIsEqualFold(t *testing.T) {
	for _, pair := range [][2]string{{"ask", "AſK"}, {"straße", "STRASSE"}, {"Σ", "ς"}, {"abc", "ABC"}, {"a", "b"}, {"İ", "i"}} {
		if got, want := fold(pair[0]) == fold(pair[1]), strings.EqualFold(pair[0], pair[1]); got != want {
			t.Errorf("%q and %q fold alike: %v; EqualFold says %v", pair[0], pair[1], got, want)
		}
	}
}
