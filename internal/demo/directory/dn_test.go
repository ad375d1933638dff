package directory

import (
	"strings"
	"testing"
)

func TestDNsCompareByMeaning(t *testing.T) {
	tests := []struct {
		name string
		a, b string
		same bool
	}{
		{"an escaped comma does not make another level", `CN=a\,OU=x,DC=c`, `CN=a,OU=x,DC=c`, false},
		{"a value that ends in a separator is not a shorter value", `CN=a\+b=c`, `CN=a+b=c`, false},
		{"the order of RDNs matters", `OU=a,OU=b`, `OU=b,OU=a`, false},
		{"a space inside a value matters", `CN=ab`, `CN=a b`, false},
		{"a letter that only looks alike is another", `CN=Аlice`, `CN=Alice`, false},
		{"dotless i is no i", `CN=ı`, `CN=i`, false},
		{"case is ignored", `cn=ALICE,dc=Corp`, `CN=alice,DC=corp`, true},
		{"case is ignored beyond ASCII", `CN=ZOË ÅNGSTRÖM`, `cn=zoë ångström`, true},
		{"spaces around separators are ignored", ` CN = a , DC = c `, `CN=a,DC=c`, true},
		{"runs of spaces count as one", `CN=a  b`, `CN=a b`, true},
		{"spaces at the ends count for nothing, even escaped", `CN=\ a\ ,DC=c`, `CN=a,DC=c`, true},
		{"an escape may be a character or hex", `CN=Doe\, J`, `CN=Doe\2c J`, true},
		{"letters may be written in hex", `CN=\41lice`, `CN=alice`, true},
		{"UTF-8 may be written in hex", `CN=Zo\C3\AB`, `CN=zoë`, true},
		{"BER in hex is its contents", `CN=#040561 6c696365`, `CN=alice`, false},
		{"BER in hex is the string in it", `CN=#0405616c696365`, `CN=alice`, true},
		{"UTF8String in hex too", `CN=#0c05616c696365,DC=c`, `CN=alice,DC=c`, true},
		{"the parts of an RDN have no order", `CN=a+UID=b,DC=c`, `uid=B + cn=A,DC=c`, true},
		{"a type may be an OID", `2.5.4.3=a,0.9.2342.19200300.100.1.25=c`, `CN=a,DC=c`, true},
		{"a type may be spelt out", `commonName=a,domainComponent=c`, `CN=a,DC=c`, true},
		{"a hash inside a value needs no escape", `CN=a#b`, `CN=a\#b`, true},
		{"quotes and angles are values when escaped", `CN=\"a\" \<b\>`, `CN=\22a\22 \3Cb\3E`, true},
		{"an empty value is a value", `CN=,DC=c`, `CN=\20,DC=c`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, errA := normalDN(tt.a)
			b, errB := normalDN(tt.b)
			if same := a == b && errA == nil && errB == nil; same != tt.same {
				t.Errorf("%q is %q (%v), %q is %q (%v): same is %v, want %v", tt.a, a, errA, tt.b, b, errB, same, tt.same)
			}
		})
	}
}

func TestWhatIsNoDNIsRefused(t *testing.T) {
	for _, s := range []string{
		"alice", "CN=a,", ",CN=a", "CN=a,,DC=c", "=a", "CN=a+", "CN=a;DC=c", `CN="a,b"`, "CN=a<b", "CN=a\x00b",
		`CN=a\`, `CN=a\z`, `CN=a\4`, "CN=\xff", `CN=\ff`, "CN=#", "CN=#04", "CN=#4", "CN=#zz", "CN=#0405616c6963",
		"CN=#30030401ff", "C N=a", "1a=b", "-a=b", "CN=#04026161#", "<SID=S-1-5-32-544>",
	} {
		if key, err := normalDN(s); err == nil {
			t.Errorf("normalDN(%q) = %q, want an error", s, key)
		}
	}
}

func TestBelowIsAQuestionOfRDNs(t *testing.T) {
	base, _ := normalDN("DC=example,DC=com")
	tests := []struct {
		name string
		dn   string
		want bool
	}{
		{"a longer last label is elsewhere", "CN=a,DC=notexample,DC=com", false},
		{"an escaped comma does not lead under a base", `CN=a\,DC=example\,DC=com`, false},
		{"a value that ends like the base is not under it", `CN=a\,DC=example,DC=com`, false},
		{"the base is under itself", "dc=EXAMPLE, dc=com", true},
		{"any depth", "CN=a,OU=b,OU=c,DC=example,DC=com", true},
	}
	for _, tt := range tests {
		key, err := normalDN(tt.dn)
		if got := isUnder(key, base); got != tt.want || err != nil {
			t.Errorf("%s: isUnder(%q) = %v, %v, want %v", tt.name, tt.dn, got, err, tt.want)
		}
	}
}

// FuzzDN holds that a normal form is a DN, and its own normal form; and that
// cutting it at commas cuts it at RDNs.
func FuzzDN(f *testing.F) {
	for _, s := range []string{
		`CN=Doe\, John,OU=People,DC=corp,DC=example,DC=com`, `CN=Zoë+UID=zoe,DC=c`, `CN=#0405616c696365`,
		`2.5.4.3=\ a\ \22`, `CN=a\,DC=x`, `OID.2.5.4.3=K`, "OID.=", "OID.OID.1=", "OID.0A=x", "", " ", `CN=ſ\00\2b\2C\3d`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := parseDN(s)
		if err != nil {
			return
		}
		key := dnKey(name)
		again, err := parseDN(key)
		if err != nil || dnKey(again) != key {
			t.Fatalf("%q has the normal form %q, whose normal form is %q (%v)", s, key, dnKey(again), err)
		}
		if levels := strings.Count(key, ",") + 1; len(name) > 0 && levels != len(name) {
			t.Fatalf("%q has %d RDNs, its normal form %q has %d", s, len(name), key, levels)
		}
	})
}

// FuzzFold holds that folding agrees with the standard library on what is
// equal but for case.
func FuzzFold(f *testing.F) {
	f.Add("Straße", "STRASSE")
	f.Add("K", "k")
	f.Add("ſ", "S")
	f.Add("ı", "I")
	f.Add("\xff", "\xfe")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !strings.EqualFold(fold(a), a) {
			t.Fatalf("fold(%q) = %q differs by more than case", a, fold(a))
		}
		if strings.ToValidUTF8(a, "") == a && strings.ToValidUTF8(b, "") == b && strings.EqualFold(a, b) != (fold(a) == fold(b)) {
			t.Fatalf("EqualFold(%q, %q) = %v, but they fold to %q and %q", a, b, strings.EqualFold(a, b), fold(a), fold(b))
		}
	})
}
