package directory

import (
	"bytes"
	"errors"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

const alice = "CN=Alice,OU=People," + suffix

func TestStartTLSHappensOnce(t *testing.T) {
	for name, cfg := range map[string]Config{"after StartTLS": {}, "on ldaps": {LDAPS: true}} {
		c := bound(t, start(t, cfg), service)
		// The client's own StartTLS refuses a second time, so the request is sent bare.
		if _, err := c.Extended(goldap.NewExtendedRequest(oidStartTLS, nil)); code(err) != goldap.LDAPResultOperationsError {
			t.Errorf("%s: %v, want 1", name, err)
		}
		if _, err := c.Search(ask("(uid=alice)")); err != nil {
			t.Errorf("%s: the connection is not what it was: %v", name, err)
		}
	}
}

func TestTheCertificateIsVerifiedByItsCAOnly(t *testing.T) {
	s, other := start(t, Config{}), start(t, Config{})
	for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
		c, err := goldap.DialURL(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		cfg := clientTLS(s)
		cfg.ServerName = name
		if err := c.StartTLS(cfg); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
		_ = c.Close()
	}
	c, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.StartTLS(clientTLS(other)); err == nil {
		t.Error("another server's authority verified it")
	}
}

func TestUnknownExtensionsAreProtocolErrors(t *testing.T) {
	c := bound(t, start(t, Config{}), service)
	if _, err := c.Extended(goldap.NewExtendedRequest("1.2.3.4", nil)); code(err) != goldap.LDAPResultProtocolError {
		t.Errorf("%v, want 2", err)
	}
}

func TestWhoAmI(t *testing.T) {
	c := dial(t, start(t, Config{}))
	for _, want := range []string{"", "dn:" + alice} {
		if want != "" {
			if err := c.Bind("cn=ALICE, ou=people,"+suffix, password); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := c.WhoAmI(nil); err != nil || r.AuthzID != want {
			t.Errorf("WhoAmI = %+v, %v; want %q", r, err, want)
		}
	}
}

// change asks for a password change; the client library cannot send controls
// with it, so the policy's errors are seen by ldappasswd only.
func change(c *goldap.Conn, identity, from, to string) uint16 {
	_, err := c.PasswordModify(goldap.NewPasswordModifyRequest(identity, from, to))
	return code(err)
}

func TestPasswordChanges(t *testing.T) {
	const better = "battery staple"
	s := start(t, Config{Now: func() time.Time { return noon }})
	anonymous, c := dial(t, s), bound(t, s, alice)
	clear, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = clear.Close() }()
	tests := []struct {
		name               string
		conn               *goldap.Conn
		identity, from, to string
		want               uint16
	}{
		{"in clear", clear, "", password, better, goldap.LDAPResultConfidentialityRequired},
		{"by nobody", anonymous, alice, password, better, goldap.LDAPResultStrongAuthRequired},
		{"of somebody else", c, service, password, better, goldap.LDAPResultInsufficientAccessRights},
		{"of no DN", c, "alice", password, better, goldap.LDAPResultInsufficientAccessRights},
		{"without the old one", c, "", "", better, goldap.LDAPResultInsufficientAccessRights},
		{"with a wrong old one", c, "", "wrong", better, goldap.LDAPResultUnwillingToPerform},
		{"without a new one", c, "", password, "", goldap.LDAPResultUnwillingToPerform},
		{"to a short one", c, "", password, "sevench", goldap.LDAPResultConstraintViolation},
		{"bytes are not characters", c, "", password, "ééééééé", goldap.LDAPResultConstraintViolation},
		{"to the same", c, "", password, password, goldap.LDAPResultConstraintViolation},
		{"to a better one", c, "dn:" + alice, password, better, 0},
		{"back to the one before", c, "", better, password, goldap.LDAPResultConstraintViolation},
		{"and on", c, "cn=ALICE,ou=People," + suffix, better, "éééééééé", 0},
		{"back to the first", c, "", "éééééééé", password, goldap.LDAPResultConstraintViolation},
	}
	for _, tt := range tests {
		if got := change(tt.conn, tt.identity, tt.from, tt.to); got != tt.want {
			t.Errorf("%s: code %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := try(t, c, alice, password).Code; got != 49 {
		t.Errorf("the first password: %d, want 49", got)
	}
	if got := try(t, c, alice, "éééééééé").Code; got != 0 {
		t.Errorf("the last password: %d, want 0", got)
	}
}

func TestAResetPasswordAllowsNothingElse(t *testing.T) {
	s := start(t, Config{})
	put(t, s, alice, map[string]string{"pwdReset": "TRUE", "uid": "alice"})
	c := bound(t, s, alice)
	_, search := c.Search(ask("(uid=alice)"))
	_, compare := c.Compare(alice, "uid", "alice")
	for name, err := range map[string]error{
		"search": search, "compare": compare, "modify": c.Modify(goldap.NewModifyRequest(alice, nil)),
	} {
		if code(err) != goldap.LDAPResultInsufficientAccessRights {
			t.Errorf("%s: %v, want 50", name, err)
		}
	}
	q := ask("(uid=alice)")
	q.Controls = []goldap.Control{goldap.NewControlBeheraPasswordPolicy()}
	_, err := c.Search(q)
	var refused *goldap.Error
	if want := []byte(oidPasswordPolicy + "\x04\x05\x30\x03\x81\x01\x02"); !errors.As(err, &refused) || !bytes.Contains(refused.Packet.Bytes(), want) {
		t.Errorf("search: %v, want the control with error 2", err)
	}
	if got := change(c, "", password, "battery staple"); got != 0 {
		t.Fatalf("the change: code %d", got)
	}
	if _, err := c.Search(ask("(uid=alice)")); err != nil {
		t.Errorf("a search after the change: %v", err)
	}
	if got := try(t, c, alice, "battery staple"); got.Code != 0 || got.Error != -1 {
		t.Errorf("the next bind: %+v, want no mark", got)
	}
}

func TestAPasswordChangeEndsExpiry(t *testing.T) {
	s := start(t, Config{Now: func() time.Time { return noon }, PasswordMaxAge: time.Hour})
	put(t, s, alice, map[string]string{"pwdGraceRemaining": "1", "pwdChangedTime": "20250101000000Z", "userAccountControl": "512"})
	c := bound(t, s, alice)
	if got := change(c, "", password, "battery staple"); got != 0 {
		t.Fatalf("the change: code %d", got)
	}
	if got := try(t, c, alice, "battery staple"); got.Code != 0 || got.Grace != -1 {
		t.Errorf("the next bind: %+v, want no grace", got)
	}
}

func TestPolicyControlIsSentToThoseWhoAsk(t *testing.T) {
	s := start(t, Config{})
	put(t, s, alice, map[string]string{"pwdReset": "TRUE"})
	r, err := dial(t, s).SimpleBind(goldap.NewSimpleBindRequest(alice, password, nil))
	if err != nil || len(r.Controls) > 0 {
		t.Errorf("bind without the control: %v, controls %v; want none", err, r.Controls)
	}
}
