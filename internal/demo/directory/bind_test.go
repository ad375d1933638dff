package directory

import (
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
)

// noon is when the tests of account states take place: a Thursday.
var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// ticks is Active Directory's count for noon and d.
func ticks(d time.Duration) string { return formatFileTime(noon.Add(d)) }

// answer is what a client sees of a bind.
type answer struct {
	Code                 uint16
	Data                 string // of Active Directory's text
	Error, Grace, Expire int64  // of the password policy control; -1: absent
}

// try binds with the password policy control.
func try(t testing.TB, c *goldap.Conn, dn, pw string) answer {
	t.Helper()
	r := goldap.NewSimpleBindRequest(dn, pw, []goldap.Control{goldap.NewControlBeheraPasswordPolicy()})
	res, err := c.SimpleBind(r)
	a := answer{Code: code(err), Error: -1, Grace: -1, Expire: -1}
	if err != nil {
		if _, after, ok := strings.Cut(err.Error(), "AcceptSecurityContext error, data "); ok {
			a.Data, _, _ = strings.Cut(after, ",")
		}
	}
	if res == nil {
		return a
	}
	if p, ok := goldap.FindControl(res.Controls, goldap.ControlTypeBeheraPasswordPolicy).(*goldap.ControlBeheraPasswordPolicy); ok {
		a.Error, a.Grace, a.Expire = int64(p.Error), p.Grace, p.Expire
	}
	return a
}

func TestAccountStates(t *testing.T) {
	plain := func(code uint16) answer { return answer{Code: code, Error: -1, Grace: -1, Expire: -1} }
	policy := func(code uint16, err int64) answer { return answer{Code: code, Error: err, Grace: -1, Expire: -1} }
	ad := func(data string) answer { return answer{Code: 49, Data: data, Error: -1, Grace: -1, Expire: -1} }
	normal := map[string]string{"userAccountControl": "512"}
	tests := []struct {
		name         string
		attributes   map[string]string
		wrong, right answer
	}{
		{"an account without marks", nil, plain(49), plain(0)},
		{"locked shows without the password", map[string]string{"pwdAccountLockedTime": "000001010000Z"}, policy(49, 1), policy(49, 1)},
		{"reset: bound, to change it", map[string]string{"pwdReset": "TRUE"}, plain(49), policy(0, 2)},
		{"reset false is nothing", map[string]string{"pwdReset": "FALSE"}, plain(49), plain(0)},
		{"expired shows with the password only", map[string]string{"pwdExpired": "TRUE"}, plain(49), policy(49, 0)},
		{"expired by age", map[string]string{"pwdChangedTime": "20251201000000Z"}, plain(49), policy(49, 0)},
		{"about to expire", map[string]string{"pwdChangedTime": "20251217120000Z"}, plain(49), answer{0, "", -1, -1, 86400}},
		{"far from expiring", map[string]string{"pwdChangedTime": "20260101000000Z"}, plain(49), plain(0)},
		{"the policy of one's own is stricter", map[string]string{"pwdChangedTime": "20260101000000Z", "pwdPolicySubentry": "CN=strict," + suffix}, plain(49), policy(49, 0)},
		{"grace", map[string]string{"pwdExpired": "TRUE", "pwdGraceRemaining": "3"}, plain(49), answer{0, "", -1, 2, -1}},
		{"grace used up", map[string]string{"pwdGraceRemaining": "0"}, plain(49), policy(49, 0)},

		{"AD: an account without marks", normal, ad("52e"), plain(0)},
		{"AD: locked shows without the password", map[string]string{"userAccountControl": "528"}, ad("775"), ad("775")},
		{"AD: locked by time", map[string]string{"userAccountControl": "512", "lockoutTime": ticks(-time.Hour)}, ad("775"), ad("775")},
		{"AD: lockoutTime 0 is not locked", map[string]string{"userAccountControl": "512", "lockoutTime": "0"}, ad("52e"), plain(0)},
		{"AD: disabled", map[string]string{"userAccountControl": "514"}, ad("52e"), ad("533")},
		{"AD: disabled wins over expired", map[string]string{"userAccountControl": "514", "pwdLastSet": "0", "accountExpires": ticks(-1)}, ad("52e"), ad("533")},
		{"AD: account expired", map[string]string{"userAccountControl": "512", "accountExpires": ticks(0)}, ad("52e"), ad("701")},
		{"AD: account expires later", map[string]string{"userAccountControl": "512", "accountExpires": ticks(time.Second)}, ad("52e"), plain(0)},
		{"AD: account never expires", map[string]string{"userAccountControl": "512", "accountExpires": "9223372036854775807"}, ad("52e"), plain(0)},
		{"AD: must change", map[string]string{"userAccountControl": "512", "pwdLastSet": "0"}, ad("52e"), ad("773")},
		{"AD: password expired", map[string]string{"userAccountControl": "512", "msDS-UserPasswordExpiryTimeComputed": ticks(-time.Hour)}, ad("52e"), ad("532")},
		{"AD: password never expires", map[string]string{"userAccountControl": "512", "msDS-UserPasswordExpiryTimeComputed": "9223372036854775807"}, ad("52e"), plain(0)},
		{"AD: no hours", map[string]string{"userAccountControl": "512", "logonHours": strings.Repeat("\x00", 21)}, ad("52e"), ad("530")},
		{"AD: this hour only", map[string]string{"userAccountControl": "512", "logonHours": thursdayNoon()}, ad("52e"), plain(0)},
		{"both dialects: locked by policy, in AD's words", map[string]string{"userAccountControl": "512", "pwdAccountLockedTime": "1"},
			answer{49, "775", 1, -1, -1}, answer{49, "775", 1, -1, -1}},
	}
	s := start(t, Config{Now: func() time.Time { return noon }, PasswordMaxAge: 30 * 24 * time.Hour, PasswordWarning: 2 * 24 * time.Hour})
	put(t, s, "CN=strict,"+suffix, map[string]string{"objectClass": "pwdPolicy", "pwdMaxAge": "86400"})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dn := "CN=state" + strconv.Itoa(i) + "," + suffix
			put(t, s, dn, tt.attributes)
			c := dial(t, s)
			if got := try(t, c, dn, "wrong"); got != tt.wrong {
				t.Errorf("wrong password: %+v, want %+v", got, tt.wrong)
			}
			if got := try(t, c, dn, password); got != tt.right {
				t.Errorf("right password: %+v, want %+v", got, tt.right)
			}
			if got := s.Binds(strings.ToUpper(dn)); got != 2 {
				t.Errorf("%d binds were counted, want 2", got)
			}
		})
	}
}

// thursdayNoon is a mask of logonHours with one bit: the hour of noon.
func thursdayNoon() string {
	b := make([]byte, 21)
	hour := 4*24 + 12
	b[hour/8] |= 1 << (hour % 8)
	return string(b)
}

// put adds an entry with password and one value per attribute.
func put(t testing.TB, s *Server, dn string, attributes map[string]string) {
	t.Helper()
	e := Entry{DN: dn, Attributes: map[string][]string{"userPassword": {password}}}
	for name, v := range attributes {
		e.Attributes[name] = []string{v}
	}
	if err := s.Put(e); err != nil {
		t.Fatal(err)
	}
}

func TestBindsThatNeverReachAPassword(t *testing.T) {
	s := start(t, Config{})
	clear, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = clear.Close() }()
	if err := clear.Bind(service, password); code(err) != goldap.LDAPResultConfidentialityRequired {
		t.Errorf("the right password in clear: %v, want 13", err)
	}
	if err := clear.Bind(service, "wrong"); code(err) != goldap.LDAPResultConfidentialityRequired {
		t.Errorf("a wrong password in clear: %v, want 13", err)
	}
	c := dial(t, s)
	if err := c.UnauthenticatedBind(service); code(err) != goldap.LDAPResultUnwillingToPerform {
		t.Errorf("a DN with an empty password: %v, want 53", err)
	}
	if err := c.Bind("alice", password); code(err) != goldap.LDAPResultInvalidDNSyntax {
		t.Errorf("a name that is no DN: %v, want 34", err)
	}
	if err := c.Bind("", password); code(err) != goldap.LDAPResultInvalidCredentials {
		t.Errorf("a password for nobody: %v, want 49", err)
	}
	if err := c.ExternalBind(); code(err) != goldap.LDAPResultAuthMethodNotSupported {
		t.Errorf("SASL: %v, want 7", err)
	}
	if n := s.Binds(service); n != 0 {
		t.Errorf("%d of these count as attempts, want none", n)
	}
	if got := try(t, c, "CN=nobody,"+suffix, password); got.Code != 49 || got.Data != "" {
		t.Errorf("an unknown DN: %+v, want a plain 49", got)
	}
	if n := s.Binds("cn=nobody," + suffix); n != 1 {
		t.Errorf("%d attempts on an unknown DN, want 1", n)
	}
}

func TestCleartextIsForThoseWhoAllowIt(t *testing.T) {
	s := start(t, Config{AllowCleartext: true})
	c, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Bind(service, password); err != nil {
		t.Errorf("bind in clear: %v", err)
	}
}

func TestAFailedBindForgetsWhoItWas(t *testing.T) {
	s := start(t, Config{})
	c := bound(t, s, service)
	if got := try(t, c, service, "wrong").Code; got != 49 {
		t.Fatalf("wrong password: %d, want 49", got)
	}
	if _, err := c.Search(ask("(uid=alice)")); code(err) != goldap.LDAPResultInsufficientAccessRights {
		t.Errorf("a search after a refused bind: %v, want 50", err)
	}
}

func TestGraceLoginsAreSpentOneByOne(t *testing.T) {
	s := start(t, Config{})
	dn := "CN=late," + suffix
	put(t, s, dn, map[string]string{"pwdGraceRemaining": "2"})
	c := dial(t, s)
	try(t, c, dn, "wrong")
	got := []answer{try(t, c, dn, password), try(t, c, dn, password), try(t, c, dn, password)}
	want := []answer{{0, "", -1, 1, -1}, {0, "", -1, 0, -1}, {49, "", 0, -1, -1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("three binds in grace (-want +got):\n%s", diff)
	}
}

func TestLockOutAfterWrongPasswordsInARow(t *testing.T) {
	const dn, adDN = "CN=unlucky," + suffix, "CN=unlucky too," + suffix
	s := start(t, Config{LockoutThreshold: 3})
	put(t, s, dn, nil)
	put(t, s, adDN, map[string]string{"userAccountControl": "512"})
	c := dial(t, s)
	for _, pw := range []string{"wrong", "wrong", password, "wrong", "wrong", password} {
		if got := try(t, c, dn, pw); (got.Code == 0) != (pw == password) {
			t.Fatalf("before the threshold, %q: %+v", pw, got)
		}
	}
	for range 3 {
		try(t, c, dn, "wrong")
		try(t, c, adDN, "wrong")
	}
	if got := try(t, c, dn, password); got.Code != 49 || got.Error != 1 {
		t.Errorf("right password after three wrong ones: %+v, want locked", got)
	}
	if got := try(t, c, adDN, password); got.Data != "775" {
		t.Errorf("AD, right password after three wrong ones: %+v, want 775", got)
	}
	put(t, s, dn, nil)
	if got := try(t, c, dn, password); got.Code != 0 {
		t.Errorf("once put anew: %+v, want a bind", got)
	}
}

func TestPrincipalNamesBindInActiveDirectoryOnly(t *testing.T) {
	s := start(t, Config{ActiveDirectory: true})
	upn := map[string]string{"userPrincipalName": "ann@corp.example.com", "userAccountControl": "512"}
	put(t, s, "CN=Ann,"+suffix, upn)
	c := dial(t, s)
	if got := try(t, c, "ANN@corp.example.com", password); got.Code != 0 {
		t.Errorf("bind by principal name: %+v", got)
	}
	if got := try(t, c, "bob@corp.example.com", password); got.Data != "52e" {
		t.Errorf("bind by a name of nobody: %+v, want 52e", got)
	}
	put(t, s, "CN=Other Ann,"+suffix, upn)
	if got := try(t, c, "ann@corp.example.com", password); got.Data != "52e" {
		t.Errorf("bind by a name of two: %+v, want 52e", got)
	}
}
