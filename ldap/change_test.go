package ldap_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// tap passes LDAPS on to a real server, and counts what is asked.
type tap struct {
	url string

	mu    sync.Mutex
	asked map[ber.Tag]int
	did   []*doings // by connection
}

// doings are what one connection was used for.
type doings struct{ searched, bound int }

func newTap(t testing.TB, ca *outside.Authority, url string) *tap {
	t.Helper()
	host := strings.TrimPrefix(url, "ldaps://")
	if !strings.Contains(host, ":") {
		host += ":636"
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	own := ca.IssuePair(t, time.Now().Add(time.Hour), "127.0.0.1")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{own}})
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{url: "ldaps://" + l.Addr().String(), asked: map[ber.Tag]int{}}
	serve(t, l, func(c net.Conn) {
		up, err := tls.Dial("tcp", host, &tls.Config{RootCAs: roots})
		if err != nil {
			return
		}
		go func() { io.Copy(c, up); c.Close() }()
		defer up.Close()
		mine := &doings{}
		p.mu.Lock()
		p.did = append(p.did, mine)
		p.mu.Unlock()
		for {
			request, err := ber.ReadPacket(c)
			if err != nil || len(request.Children) < 2 {
				return
			}
			p.mu.Lock()
			p.note(mine, request.Children[1])
			p.mu.Unlock()
			up.Write(request.Bytes())
		}
	})
	return p
}

func (p *tap) note(mine *doings, op *ber.Packet) {
	p.asked[op.Tag]++
	switch op.Tag {
	case goldap.ApplicationSearchRequest:
		mine.searched++
	case goldap.ApplicationBindRequest:
		if dn, _ := op.Children[1].Value.(string); dn != outside.SambaServiceDN {
			mine.bound++
		}
	}
}

// searchers are the connections that searched, and mixed is how many of them
// bound people, too.
func (p *tap) searchers() (list []*doings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.did {
		if d.searched > 0 {
			list = append(list, d)
		}
	}
	return list
}

func (p *tap) mixed() (n int) {
	for _, d := range p.searchers() {
		if d.bound > 0 {
			n++
		}
	}
	return n
}

// count is how many requests of that kind were made since it was last asked.
func (p *tap) count(op ber.Tag) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.asked[op]
	p.asked[op] = 0
	return n
}

// changeCase is a change of password, and what comes of it.
type changeCase struct {
	name               string
	username, old, new string
	kind               error
	reason             string
	sent               int // how often the old password reaches the server
}

// fresh is a password that every rule likes.
const fresh = "New-Battery-Staple-7"

func testChanges(t *testing.T, d *ldap.Directory, sent func() int, tests []changeCase) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sent()
			err := d.ChangePassword(t.Context(), tt.username, gatehouse.Secret(tt.old), gatehouse.Secret(tt.new), admitAll)
			if !errors.Is(err, tt.kind) || (err == nil) != (tt.kind == nil) || reason(err) != tt.reason {
				t.Errorf("%v; want %v (%s)", err, tt.kind, tt.reason)
			}
			if r := (*gatehouse.PasswordRefused)(nil); errors.As(err, &r) && r.Why == "" {
				t.Errorf("%v says nothing to the person", err)
			}
			if n := sent(); n != tt.sent {
				t.Errorf("the old password was sent %d times, want %d", n, tt.sent)
			}
			if tt.kind == nil {
				if _, err := d.Authenticate(t.Context(), tt.username, gatehouse.Secret(tt.new), admitAll); err != nil {
					t.Errorf("signing in with the new password: %v", err)
				}
			}
			if tt.sent > 0 && errors.Is(tt.kind, gatehouse.ErrPasswordRefused) {
				if _, err := d.Authenticate(t.Context(), tt.username, gatehouse.Secret(tt.old), admitAll); errors.Is(err, gatehouse.ErrInvalidCredentials) {
					t.Errorf("the old password is gone: %v", err)
				}
			}
		})
	}
	t.Run("admit ends it before anything is sent", func(t *testing.T) {
		sent()
		stop := errors.New("stop")
		err := d.ChangePassword(t.Context(), "alice", "whatever", fresh, func(u gatehouse.User) error {
			if u.Username != "alice" || u.ID == "" {
				t.Errorf("asked about %+v", u)
			}
			return stop
		})
		if n := sent(); err != stop || n != 0 {
			t.Errorf("%v, sent %d times", err, n)
		}
	})
	t.Run("admit is not asked about nobody", func(t *testing.T) {
		err := d.ChangePassword(t.Context(), "nobody", "whatever", fresh, func(gatehouse.User) error { t.Error("asked"); return nil })
		if !errors.Is(err, gatehouse.ErrUnknownPerson) {
			t.Error(err)
		}
	})
}

// badNew are new passwords that no server is asked about.
func badNew(old string) []changeCase {
	return []changeCase{
		{"an empty old password", "alice", "", fresh, gatehouse.ErrInvalidCredentials, "malformed_password", 0},
		{"an empty new password", "alice", old, "", gatehouse.ErrPasswordRefused, "malformed", 0},
		{"a new password with a NUL", "alice", old, fresh + "\x00", gatehouse.ErrPasswordRefused, "malformed", 0},
		{"a new password that is not UTF-8", "alice", old, fresh + "\xff", gatehouse.ErrPasswordRefused, "malformed", 0},
		{"the old password again", "alice", old, old, gatehouse.ErrPasswordRefused, "used_before", 0},
	}
}

func TestChangePasswordSamba(t *testing.T) {
	s := outside.Samba(t)
	tapped := newTap(t, s.CA, s.LDAPS)
	d := samba(t, func(c *ldap.Config) { c.URLs = []string{tapped.url} })
	lockOut(t, d, "throttled")
	testChanges(t, d, func() int { return tapped.count(goldap.ApplicationModifyRequest) }, append(badNew(adSecret), []changeCase{
		{"a wrong old password", "changes", adWrong, fresh, gatehouse.ErrInvalidCredentials, "wrong_password", 1},
		{"a wrong old password, and a new one against the rules: nobody is told", "changes", adWrong, "short", gatehouse.ErrInvalidCredentials, "wrong_password", 1},
		{"a wrong old password of somebody who must change", "must-change-too", adWrong, fresh, gatehouse.ErrInvalidCredentials, "wrong_password", 1},
		{"a wrong old password where it is too early to change", "too-young", adWrong, fresh, gatehouse.ErrInvalidCredentials, "wrong_password", 1},
		{"disabled: nobody is told", "grace", adSecret, fresh, gatehouse.ErrInvalidCredentials, "disabled", 0},
		{"expired account: nobody is told", "gone", adSecret, fresh, gatehouse.ErrInvalidCredentials, "account_expired", 0},
		{"locked: nobody is told", "throttled", adSecret, fresh, gatehouse.ErrInvalidCredentials, "locked_out", 0},
		{"too short", "changes", adSecret, "Ab1-Ab1", gatehouse.ErrPasswordRefused, "too_short", 1},
		{"too simple", "changes", adSecret, "aaaaaaaaaaaaaaaaaa", gatehouse.ErrPasswordRefused, "too_simple", 1},
		{"too early", "too-young", adSecret, fresh, gatehouse.ErrPasswordRefused, "too_young", 1},
		{"voluntarily", "changes", adSecret, fresh, nil, "", 1},
		{"must change, and may not yet bind", "must-change-too", adSecret, "Ünïcode-Staple-7\"", nil, "", 1},
		{"an expired one", "erin-changes", adSecret, fresh, nil, "", 1},
	}...))
	t.Run("used before", func(t *testing.T) {
		old := gatehouse.Secret(fresh)
		admin := administrator(t)
		set(t, admin, outside.SambaBaseDN, "minPwdAge", "0")
		defer set(t, admin, outside.SambaBaseDN, "minPwdAge", "-864000000000")
		err := d.ChangePassword(t.Context(), "changes", old, adSecret, admitAll)
		if !errors.Is(err, gatehouse.ErrPasswordRefused) || reason(err) != "used_before" {
			t.Error(err)
		}
	})
	t.Run("wrong ones count towards lock-out as sign-ins do", func(t *testing.T) {
		for range adLockout {
			if err := d.ChangePassword(t.Context(), "guesses", adWrong, fresh, admitAll); !errors.Is(err, gatehouse.ErrInvalidCredentials) {
				t.Fatal(err)
			}
		}
		if err := d.ChangePassword(t.Context(), "guesses", adSecret, fresh, admitAll); !errors.Is(err, gatehouse.ErrInvalidCredentials) || reason(err) != "locked_out" {
			t.Error(err)
		}
	})
}

func changeCompany() []directory.Entry {
	const policies = ",ou=policies," + suffix
	return append(company(),
		person(uidDN("changes"), "changes"),
		person(uidDN("strict"), "strict", "pwdPolicySubentry", "cn=strict"+policies),
		person(uidDN("strict-reset"), "strict-reset", "pwdPolicySubentry", "cn=strict"+policies, "pwdReset", "TRUE"),
		person(uidDN("young"), "young", "pwdPolicySubentry", "cn=young"+policies, "pwdChangedTime", time.Now().UTC().Format("20060102150405Z")),
		person(uidDN("fixed"), "fixed", "pwdPolicySubentry", "cn=fixed"+policies),
		person(uidDN("warned"), "warned", "pwdPolicySubentry", "cn=warned"+policies, "pwdChangedTime", time.Now().Add(-120*time.Hour).UTC().Format("20060102150405Z")),
		person(uidDN("graced"), "graced", "pwdPolicySubentry", "cn=graced"+policies, "pwdChangedTime", "20200101000000Z"),
	)
}

func TestChangePasswordSlapd(t *testing.T) {
	s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(changeCompany())})
	tapped := newTap(t, s.CA, s.LDAPS)
	d := open(t, config([]string{tapped.url}, ca))
	// One bind is that of the service account, where a search opens a connection.
	if _, err := d.Find(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	testChanges(t, d, func() int { return tapped.count(goldap.ApplicationBindRequest) }, append(badNew(secret), []changeCase{
		{"a wrong old password", "changes", "wrong", fresh, gatehouse.ErrInvalidCredentials, "wrong_password", 1},
		{"a wrong old password, and a new one against the rules: nobody is told", "strict", "wrong", "short", gatehouse.ErrInvalidCredentials, "wrong_password", 1},
		{"locked: nobody is told", "frank", secret, fresh, gatehouse.ErrInvalidCredentials, "locked_out", 1},
		{"expired without grace: an administrator must", "erin", secret, fresh, gatehouse.ErrPasswordExpired, "password_expired", 1},
		{"too short", "strict", secret, "Ab1-Ab1", gatehouse.ErrPasswordRefused, "too_short", 1},
		{"too early", "young", secret, fresh, gatehouse.ErrPasswordRefused, "too_young", 1},
		{"not allowed", "fixed", secret, fresh, gatehouse.ErrPasswordRefused, "not_allowed", 1},
		{"reset, and too short", "strict-reset", secret, "Ab1-Ab1", gatehouse.ErrPasswordRefused, "too_short", 1},
		{"voluntarily", "changes", secret, fresh, nil, "", 1},
		{"must change after a reset", "strict-reset", secret, fresh, nil, "", 1},
		{"expired, with grace", "graced", secret, fresh, nil, "", 1},
	}...))
	t.Run("used before", func(t *testing.T) {
		if err := d.ChangePassword(t.Context(), "strict", secret, fresh, admitAll); err != nil {
			t.Fatal(err)
		}
		if err := d.ChangePassword(t.Context(), "strict", fresh, secret, admitAll); !errors.Is(err, gatehouse.ErrPasswordRefused) || reason(err) != "used_before" {
			t.Error(err)
		}
	})
}

func TestChangePasswordDemo(t *testing.T) {
	s, ca := startDemo(t, directory.Config{Entries: changeCompany()})
	d := open(t, config([]string{s.URL()}, ca))
	change := func(username, old, new string) error {
		return d.ChangePassword(t.Context(), username, gatehouse.Secret(old), gatehouse.Secret(new), admitAll)
	}
	if err := change("changes", "wrong", fresh); !errors.Is(err, gatehouse.ErrInvalidCredentials) {
		t.Error(err)
	}
	if err := change("changes", secret, "short"); reason(err) != "too_short" {
		t.Error(err)
	}
	for _, name := range []string{"changes", "reset"} {
		if err := change(name, secret, fresh); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Authenticate(t.Context(), name, fresh, admitAll); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := change("changes", fresh, secret); reason(err) != "used_before" {
		t.Error(err)
	}
}

// TestChangeOnce: whatever comes back, the old password is sent once.
func TestChangeOnce(t *testing.T) {
	t.Parallel()
	ca := outside.NewAuthority(t)
	for name, bad := range map[string]answer{"hangs up": {hangUp: true}, "busy": {messages: []*ber.Packet{result(goldap.ApplicationModifyResponse, 51, "")}}} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			sent := 0
			reply := func(op ber.Tag, dn string) answer {
				if op == goldap.ApplicationModifyRequest {
					mu.Lock()
					sent++
					mu.Unlock()
					return bad
				}
				return wellBehaved(op, dn)
			}
			one, two := script(t, ca, reply), script(t, ca, reply)
			c := config([]string{one.url, two.url}, ca.File(t))
			c.Type, c.IDAttribute, c.UsernameAttribute, c.Timeout = ldap.ActiveDirectory, "entryUUID", "uid", time.Second
			err := open(t, c).ChangePassword(t.Context(), "alice", secret, fresh, admitAll)
			mu.Lock()
			defer mu.Unlock()
			if !errors.Is(err, gatehouse.ErrUnavailable) || sent != 1 {
				t.Errorf("sent %d times: %v", sent, err)
			}
		})
	}
}

// TestPasswordExpires: when a password expires, as far as the directory says.
func TestPasswordExpires(t *testing.T) {
	near := func(t *testing.T, d *ldap.Directory, username, password string, want time.Duration) {
		t.Helper()
		u, err := d.Authenticate(t.Context(), username, gatehouse.Secret(password), admitAll)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(u.PasswordExpires) - want; off.Abs() > 2*time.Minute {
			t.Errorf("%s: %v, want in %v", username, u.PasswordExpires, want)
		}
	}
	never := func(t *testing.T, d *ldap.Directory, username, password string) {
		t.Helper()
		if u, err := d.Authenticate(t.Context(), username, gatehouse.Secret(password), admitAll); err != nil || !u.PasswordExpires.IsZero() {
			t.Errorf("%s: %v, %v", username, u.PasswordExpires, err)
		}
	}
	t.Run("slapd", func(t *testing.T) {
		s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(changeCompany())})
		d := open(t, config([]string{s.LDAPS}, ca))
		near(t, d, "warned", secret, 120*time.Hour)
		near(t, d, "graced", secret, 0)
		never(t, d, "alice", secret)
	})
	t.Run("samba", func(t *testing.T) {
		d := samba(t)
		near(t, d, "alice", adSecret, 42*24*time.Hour)
		near(t, d, "too-young", adSecret, 42*24*time.Hour)
		never(t, d, "never-expires", adSecret)
		// A stricter policy for some, of 3 days.
		near(t, d, "strictly", adSecret, 72*time.Hour)
		u, err := d.Find(context.Background(), "must-change")
		if err != nil || !u.PasswordExpires.IsZero() {
			t.Errorf("%v, %v", u.PasswordExpires, err)
		}
	})
}
