package ldap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

func TestJudge(t *testing.T) {
	behera := func(code int8) *goldap.SimpleBindResult {
		c := goldap.NewControlBeheraPasswordPolicy()
		c.Error = code
		return &goldap.SimpleBindResult{Controls: []goldap.Control{c}}
	}
	refused := func(code uint16, text string) error { return goldap.NewError(code, errors.New(text)) }
	windows := func(data string) error {
		return refused(49, "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data "+data+", v3839\x00")
	}
	tests := []struct {
		name   string
		result *goldap.SimpleBindResult
		err    error
		kind   error // nil: accepted, or not about the password
		reason string
	}{
		{"success", &goldap.SimpleBindResult{}, nil, nil, ""},
		{"success with an expiry warning", behera(-1), nil, nil, ""},
		{"success after a reset is not a sign-in", behera(2), nil, gatehouse.ErrPasswordMustChange, "password_must_change"},
		{"success after a reset, in 389's words", &goldap.SimpleBindResult{Controls: []goldap.Control{&goldap.ControlVChuPasswordMustChange{MustChange: true}}}, nil, gatehouse.ErrPasswordMustChange, "password_must_change"},
		{"success and expired at once is not a sign-in", behera(0), nil, gatehouse.ErrPasswordExpired, "password_expired"},
		{"success and locked at once is not a sign-in", behera(1), nil, gatehouse.ErrAccountLocked, "locked"},
		{"success with an error of another kind is not a sign-in", behera(7), nil, gatehouse.ErrPasswordMustChange, "password_must_change"},
		{"49 and nothing else", nil, refused(49, ""), gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"49 and expired", behera(0), refused(49, ""), gatehouse.ErrPasswordExpired, "password_expired"},
		{"49 and locked, which is said to anybody", behera(1), refused(49, ""), gatehouse.ErrInvalidCredentials, "locked_out"},
		{"data 525", nil, windows("525"), gatehouse.ErrInvalidCredentials, "unknown"},
		{"data 52e", nil, windows("52e"), gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"data 52E", nil, windows("52E"), gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"data 530", nil, windows("530"), gatehouse.ErrAccountHours, "logon_hours"},
		{"data 531", nil, windows("531"), gatehouse.ErrAccountHours, "workstation"},
		{"data 532", nil, windows("532"), gatehouse.ErrPasswordExpired, "password_expired"},
		{"data 533", nil, windows("533"), gatehouse.ErrAccountDisabled, "disabled"},
		{"data 57: a name that means several", nil, windows("57"), gatehouse.ErrInvalidCredentials, "bind_refused"},
		{"data 701", nil, windows("701"), gatehouse.ErrAccountExpired, "account_expired"},
		{"data 773", nil, windows("773"), gatehouse.ErrPasswordMustChange, "password_must_change"},
		{"data 775, which is said to anybody", nil, windows("775"), gatehouse.ErrInvalidCredentials, "locked_out"},
		{"data 5330 is not 533", nil, windows("5330"), gatehouse.ErrInvalidCredentials, "bind_refused"},
		{"533 elsewhere in the text means nothing", nil, refused(49, "user data 533, and so on"), gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"389: too many tries", nil, refused(19, "exceed password retry limit"), gatehouse.ErrInvalidCredentials, "locked_out"},
		{"389: inactivated, which is said to anybody", nil, refused(53, "account inactivated"), gatehouse.ErrInvalidCredentials, "bind_refused"},
		{"the entry is gone", nil, refused(32, ""), gatehouse.ErrInvalidCredentials, "bind_refused"},
		{"busy says nothing of the password", nil, refused(51, ""), nil, ""},
		{"nor does a lost connection", nil, io.ErrUnexpectedEOF, nil, ""},
		{"nor go-ldap's own codes", nil, refused(goldap.ErrorNetwork, ""), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := judge(tt.result, tt.err)
			if !errors.Is(err, tt.kind) || (err == nil) != (tt.kind == nil) {
				t.Fatalf("%v, want %v", err, tt.kind)
			}
			if r := (*refusal)(nil); err != nil && (!errors.As(err, &r) || r.Reason() != tt.reason) {
				t.Errorf("%v, want the reason %s", err, tt.reason)
			}
		})
	}
}

func TestUsable(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	ticks := func(at time.Time) string { return fmt.Sprint((at.Unix() + 11644473600) * 1e7) }
	tests := []struct {
		name             string
		attribute, value string
		kind             error
	}{
		{"a normal account", "userAccountControl", "512", nil},
		{"disabled", "userAccountControl", "514", gatehouse.ErrAccountDisabled},
		{"attribute names ignore case", "useraccountcontrol", "514", gatehouse.ErrAccountDisabled},
		{"an account control that is no number", "userAccountControl", "x", errNotNumber},
		{"never expires, in one way", "accountExpires", "0", nil},
		{"never expires, in the other", "accountExpires", "9223372036854775807", nil},
		{"expires tomorrow", "accountExpires", ticks(now.Add(24 * time.Hour)), nil},
		{"expires now", "accountExpires", ticks(now), gatehouse.ErrAccountExpired},
		{"expires in the year 9999", "accountExpires", ticks(now.AddDate(7900, 0, 0)), nil},
		{"locked until an administrator unlocks", "pwdAccountLockedTime", "000001010000Z", gatehouse.ErrAccountLocked},
		{"locked at some time", "pwdAccountLockedTime", "20260301000000Z", gatehouse.ErrAccountLocked},
		{"locked out by Windows", "lockoutTime", ticks(now), gatehouse.ErrAccountLocked},
		{"never locked out", "lockoutTime", "0", nil},
		{"locked as Windows computes it", "msDS-User-Account-Control-Computed", "16", gatehouse.ErrAccountLocked},
		{"an expired password does not end a session", "msDS-User-Account-Control-Computed", "8388608", nil},
		{"inactivated in 389", "nsAccountLock", "true", gatehouse.ErrAccountDisabled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := goldap.NewEntry("cn=x", map[string][]string{tt.attribute: {tt.value}})
			err := usable(e, now)
			if err == nil {
				err = unlocked(e)
			}
			if !errors.Is(err, tt.kind) || (err == nil) != (tt.kind == nil) {
				t.Errorf("%v, want %v", err, tt.kind)
			}
		})
	}
	t.Run("what Windows computes goes before an old lockoutTime", func(t *testing.T) {
		e := goldap.NewEntry("cn=x", map[string][]string{"msDS-User-Account-Control-Computed": {"0"}, "lockoutTime": {ticks(now)}})
		if err := unlocked(e); err != nil {
			t.Error(err)
		}
	})
}

func TestServersOrder(t *testing.T) {
	now := time.Now()
	ss, err := newServers(Config{URLs: []string{"ldaps://a", "ldaps://b", "ldaps://c"}}, net.DefaultResolver, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := ss.ranking.list[0], ss.ranking.list[1], ss.ranking.list[2]
	check := func(when string, want ...*server) {
		t.Helper()
		got, err := ss.order(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", when, hosts(got), err, hosts(want))
		}
	}
	check("at first, as configured", a, b, c)
	ss.worked(b)
	check("the one that worked is asked first", b, a, c)
	ss.failed(b)
	check("until it fails", a, b, c)
	ss.failed(a)
	ss.failed(a)
	check("two failures are tolerated", a, b, c)
	if !ss.failed(a) {
		t.Error("three failures in a row, and it does not rest")
	}
	check("at rest it is asked last", b, c, a)
	now = now.Add(restMin)
	check("after its rest it has its place again", a, b, c)
	ss.failed(a)
	check("and loses it at the next failure", b, c, a)
	if a.restsFor != 2*restMin {
		t.Errorf("rests %v, want twice as long", a.restsFor)
	}
	ss.worked(a)
	check("one success forgets all", a, b, c)
}

func hosts(list []*server) []string {
	var names []string
	for _, s := range list {
		names = append(names, s.host)
	}
	return names
}

func TestGUID(t *testing.T) {
	b := []byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	s, err := guidText(b)
	if err != nil || s != "33221100-5544-7766-8899-aabbccddeeff" {
		t.Errorf("%s, %v", s, err)
	}
	if _, err := guidText(b[:15]); err == nil {
		t.Error("15 bytes are no GUID")
	}
}

func TestPrimaryGroupSID(t *testing.T) {
	user := []byte("\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x50\x04\x00\x00")
	got, err := primaryGroupSID(user, 513)
	want := append(slices.Clone(user[:24]), 0x01, 0x02, 0, 0)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	for _, bad := range [][]byte{nil, user[:8], user[:27], append(slices.Clone(user), 0)} {
		if _, err := primaryGroupSID(bad, 513); err == nil {
			t.Errorf("%x was accepted", bad)
		}
	}
}

func TestDNKey(t *testing.T) {
	same := [][2]string{
		{`uid=w\,comma,dc=corp`, `UID=w\2Ccomma, DC=Corp`},
		{`cn=a+ou=b,dc=corp`, `OU=B+CN=A,dc=corp`},
		{`cn=Cloud Admins,dc=corp`, `cn = Cloud\20Admins , dc = corp`},
		{`cn=a=b,dc=corp`, `cn=a\3Db,dc=corp`},
		{`cn=Zoë,dc=corp`, `cn=ZO\C3\AB,dc=corp`},
	}
	for _, p := range same {
		if dnKey(p[0]) != dnKey(p[1]) {
			t.Errorf("%s and %s are one DN", p[0], p[1])
		}
	}
	different := [][2]string{
		{`cn=a\,cn\=b,dc=corp`, `cn=a,cn=b,dc=corp`},
		{`cn=a\+ou\=b,dc=corp`, `cn=a+ou=b,dc=corp`},
		{`cn=a,dc=corp`, `cn=a,ou=x,dc=corp`},
	}
	for _, p := range different {
		if dnKey(p[0]) == dnKey(p[1]) {
			t.Errorf("%s and %s are two DNs", p[0], p[1])
		}
	}
}

func TestGroupFilter(t *testing.T) {
	const template = "(|(member=%s)(memberUid=%u))"
	tests := []struct{ name, dn, username, want string }{
		{"metacharacters are escaped once", `cn=Doe\, (J*)`, "a*", `(|(member=cn=Doe\5c, \28J\2a\29)(memberUid=a\2a))`},
		{"a DN does not become a template", "cn=%u", "alice", "(|(member=cn=%u)(memberUid=alice))"},
		{"a group has no username", "cn=x", "", `(|(member=cn=x)(memberUid=\00))`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := groupFilter(template, tt.dn, tt.username); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// FuzzUserFilter: whatever somebody types is one value of one assertion.
func FuzzUserFilter(f *testing.F) {
	for _, s := range []string{"alice", "*", "*)(uid=*", "zoë", `\2a`, "a\x00b", "(&", "%s", "\xff", `\`, "a)(|(b=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, username string) {
		filter := userFilter("(&(objectClass=person)(uid=%s))", username)
		p, err := goldap.CompileFilter(filter)
		if err != nil {
			t.Fatalf("%q does not compile: %v", filter, err)
		}
		if p.Tag != goldap.FilterAnd || len(p.Children) != 2 {
			t.Fatalf("%q became another filter", filter)
		}
		assertion := p.Children[1]
		if checkUsername(username) != nil {
			return // never sent
		}
		if assertion.Tag != goldap.FilterEqualityMatch || assertion.Children[0].Value != "uid" || assertion.Children[1].Data.String() != username {
			t.Fatalf("%q asks for %q = %q", username, assertion.Children[0].Value, assertion.Children[1].Data)
		}
	})
}

// FuzzDiagnosticData: the word is hexadecimal, short, and in the text.
func FuzzDiagnosticData(f *testing.F) {
	for _, s := range []string{
		"80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1",
		"80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 775, v2580\x00",
		"acceptsecuritycontext error, DATA 533", "AcceptSecurityContext error, data , v", "data 52e", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data := diagnosticData(text)
		if len(data) > 8 || strings.Trim(data, "0123456789abcdef") != "" || !strings.Contains(strings.ToLower(text), data) {
			t.Errorf("%q has the word %q", text, data)
		}
		r := (*refusal)(nil)
		if err := judge(nil, goldap.NewError(49, errors.New(text))); !errors.As(err, &r) {
			t.Errorf("%q is no refusal", text)
		}
	})
}

// FuzzGUID: text and bytes lead to each other, and to nothing else.
func FuzzGUID(f *testing.F) {
	f.Add("33221100-5544-7766-8899-aabbccddeeff")
	f.Add("00000000-0000-0000-0000-000000000000")
	f.Add("33221100-5544-7766-8899-aabbccddeefg")
	f.Add("332211005-544-7766-8899-aabbccddeeff")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := guidBytes(s)
		if err != nil {
			return
		}
		if again, err := guidText(b); err != nil || again != strings.ToLower(s) {
			t.Errorf("%q became %q, %v", s, again, err)
		}
	})
}

// FuzzStartTLS: only a success is taken for one, and not a byte is read
// beyond the answer: it would have been sent in clear.
func FuzzStartTLS(f *testing.F) {
	f.Add([]byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x35\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00injected"))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		rest := bytes.NewReader(answer)
		if startTLS(struct {
			io.Reader
			io.Writer
		}{rest, io.Discard}) != nil {
			return
		}
		read := answer[:len(answer)-rest.Len()]
		p, err := ber.DecodePacketErr(read)
		if err != nil || len(p.Children) < 2 || p.Children[1].Tag != goldap.ApplicationExtendedResponse {
			t.Fatalf("%x was taken for a success: %v", read, err)
		}
	})
}

// FuzzUsername: what is accepted is sound text.
func FuzzUsername(f *testing.F) {
	f.Add("alice")
	f.Add(" alice")
	f.Add("a\x7fb")
	f.Fuzz(func(t *testing.T, s string) {
		if checkUsername(s) != nil {
			return
		}
		if s == "" || len(s) > 256 || !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\r\n\t") || strings.TrimSpace(s) != s {
			t.Errorf("%q was accepted", s)
		}
	})
}

// FuzzReadings: a typed name is read as it is, or as what is left of it
// without a suffix of ours, and never in more than two ways.
func FuzzReadings(f *testing.F) {
	for _, s := range []string{"alice", `CORP\alice`, "alice@corp.example.com", "alice@CORP", `CORP\a@corp`, `a\b\c`, "a@b@corp", "@", `\`, "@corp", `corp\`, "\xff@corp"} {
		f.Add(s)
	}
	claims := Config{Suffixes: []string{"corp.example.com", "CORP"}, Forest: "example.net", Domains: map[string]ForestDomain{"emea.example.net": {NetBIOS: "EMEA"}}}.claims()
	ours := func(suffix, domain string) bool {
		is, ok := claims.domain(suffix)
		return ok && is == domain
	}
	f.Fuzz(func(t *testing.T, typed string) {
		all := claims.readings(typed)
		if len(all) == 0 || len(all) > 2 {
			t.Fatalf("%q is read as %q", typed, all)
		}
		for i, r := range all {
			before, isPrefixed := strings.CutSuffix(typed, `\`+r.name)
			after, isSuffixed := strings.CutPrefix(typed, r.name+"@")
			switch {
			case i == 0 && r == reading{name: typed}:
			case i == 0 && isPrefixed && ours(before, r.domain) && len(all) == 1:
			case i == 1 && isSuffixed && ours(after, r.domain) && !strings.ContainsAny(r.name, `\@`):
			default:
				t.Errorf("%q is read as %q", typed, all)
			}
		}
	})
}

// FuzzDomainOf: a DN is in the domain whose own DN it ends with.
func FuzzDomainOf(f *testing.F) {
	for _, s := range []string{"CN=alice,OU=People,DC=corp,DC=example,DC=com", "dc=corp, dc = Example,dc=com", "CN=a,DC=a.b,DC=com", `CN=a,DC=a\2eb,DC=com`,
		"CN=a,DC=x+OU=y,DC=corp,DC=com", "DC=a,CN=b,DC=corp,DC=com", "CN=a", "", "DC=com", "CN=a,DC=,DC=com", "DC=0,=DC=00", "cn=a,dc=#04024869,dc=com", `CN=a\,DC\=evil,DC=corp,DC=com`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		domain, ok := domainOf(dn)
		if !ok {
			return
		}
		if !domainName.MatchString(domain) || !under(dn, domainDN(domain)) {
			t.Errorf("%q is not in %q", dn, domain)
		}
		if again, ok := domainOf(domainDN(domain)); !ok || again != domain {
			t.Errorf("%q became %q", domain, again)
		}
	})
}

func TestNarrower(t *testing.T) {
	const corp, emea, unit = "DC=corp,DC=com", "DC=emea,DC=corp,DC=com", "OU=AWS,DC=emea,DC=corp,DC=com"
	tests := []struct{ name, limit, base, want string }{
		{"without a limit", "", emea, emea},
		{"a limit above", corp, emea, emea},
		{"the same place in another spelling", "dc=EMEA, dc=corp,dc=com", emea, emea},
		{"a limit within", unit, emea, unit},
		{"a limit elsewhere", "OU=AWS,DC=apac,DC=corp,DC=com", emea, ""},
		{"a name that ends alike", "DC=xemea,DC=corp,DC=com", emea, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := narrower(tt.limit, tt.base); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestSplitSIDs(t *testing.T) {
	domain := "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"
	account, same, other := []byte(domain+"\x50\x04\x00\x00"), []byte(domain+"\x01\x02\x00\x00"), []byte(domain[:23]+"\xff\x01\x02\x00\x00")
	builtin := []byte("\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x21\x02\x00\x00")
	own, others := splitSIDs(account, [][]byte{same, other, builtin, nil, []byte(domain)})
	if len(own) != 2 || !bytes.Equal(own[0], same) || !bytes.Equal(own[1], builtin) || len(others) != 3 {
		t.Errorf("own %x, others %x", own, others)
	}
	if own, _ := splitSIDs(nil, [][]byte{same, nil}); len(own) != 0 {
		t.Errorf("of an account without a SID: %x", own)
	}
}

// FuzzRangeOf: the next part begins after this one, under the attribute's name.
func FuzzRangeOf(f *testing.F) {
	for _, s := range []string{"member", "member;range=0-1499", "member;range=1500-*", "member;binary;Range=0-9", "member;range=", "member;range=0--1", "member;range=0-99999999999", ";range=0-1;range=2-3", "range=0-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, description string) {
		name, next, ranged := rangeOf(description)
		switch {
		case !ranged && (name != description || next != -1):
			t.Errorf("%q has no range, and is %q from %d", description, name, next)
		case ranged && (next < -1 || len(name) >= len(description)):
			t.Errorf("%q is %q from %d", description, name, next)
		}
	})
}

func TestIndexed(t *testing.T) {
	tests := []struct {
		name   string
		values []string
		want   bool
	}{
		{"none at all", nil, false},
		{"its own", []string{"objectClass eq", "uid eq"}, true},
		{"among others, in another case", []string{"cn,UID,mail pres,EQ,sub"}, true},
		{"of another kind", []string{"uid pres,sub"}, false},
		{"of a longer name", []string{"uidNumber,xuid eq"}, false},
		{"of the usual kinds", []string{"uid", "default pres,eq"}, true},
		{"of the usual kinds, without equality", []string{"default sub", "uid"}, false},
		{"nothing usual", []string{"uid"}, false},
		{"an empty line", []string{"", " "}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := indexed(tt.values, "uid"); got != tt.want {
				t.Errorf("%q: %v", tt.values, got)
			}
		})
	}
}

func TestAsserted(t *testing.T) {
	const filter = "(&(objectCategory=person)(groupType:1.2.840.113556.1.4.803:=8)(!(employeeType>=x))(|(sAMAccountName=%s)(memberUid=%u)(member:1.2.840.113556.1.4.1941:=%s)))"
	if got := asserted(nameAssertion, filter); !slices.Equal(got, []string{"member", "memberuid", "samaccountname"}) {
		t.Errorf("compared with names: %q", got)
	}
	if got := asserted(anyAssertion, filter); !slices.Equal(got, []string{"employeetype", "grouptype", "member", "memberuid", "objectcategory", "samaccountname"}) {
		t.Errorf("looked at: %q", got)
	}
}

// FuzzIndexed: only an index that names the attribute and equality counts.
func FuzzIndexed(f *testing.F) {
	for _, s := range []string{"uid eq", "uid,mail pres,eq", "default eq\nuid", "uid", "", ", ,", "uid  eq  sub"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		lower := strings.ToLower(lines)
		if indexed(strings.Split(lines, "\n"), "uid") && !(strings.Contains(lower, "uid") && strings.Contains(lower, "eq")) {
			t.Errorf("%q has no such index", lines)
		}
	})
}

func TestValuesThatAreNoTextAreBase64(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"text", "Köln", "Köln"},
		{"text of two lines", "Am Ring 1\r\n50667 Köln", "Am Ring 1\r\n50667 Köln"},
		{"not UTF-8", "\xff\xfe", "//4="},
		{"UTF-8 by chance", "\x01\x05\x00\x00", "AQUAAA=="},
		{"a control character beyond ASCII", "a\u0085b", "YcKFYg=="},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := texts([][]byte{[]byte(tc.value)}); len(got) != 1 || got[0] != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
