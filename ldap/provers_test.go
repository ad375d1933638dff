package ldap_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
	"gatehouse/ldap"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// TestProversAreKept: which answers to a bind leave its connection good for
// the next one. Whatever else comes, it is not used again.
func TestProversAreKept(t *testing.T) {
	ca := outside.NewAuthority(t)
	for _, tt := range []struct {
		name string
		a    answer
		kept bool
	}{
		{"accepted", bindAnswer(0, ""), true},
		{"wrong password", bindAnswer(49, ""), true},
		{"a constraint", bindAnswer(19, ""), false},
		{"unwilling", bindAnswer(53, ""), false},
		{"busy", bindAnswer(51, ""), false},
		{"other", bindAnswer(80, ""), false},
		{"operations error", bindAnswer(1, ""), false},
		{"hangs up", answer{hangUp: true}, false},
		{"means nothing", answer{raw: []byte("\x30\x03\x02\x01\x02")}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			now, first := time.Now(), true
			clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
			s := script(t, ca, func(op ber.Tag, dn string) answer {
				mu.Lock()
				defer mu.Unlock()
				if op == goldap.ApplicationBindRequest && dn == uidDN("alice") && first {
					first = false
					return tt.a
				}
				return wellBehaved(op, dn)
			})
			c := config([]string{s.url}, ca.File(t))
			c.Timeout = 2 * time.Second
			c.SetDefaults()
			d, err := ldap.New(c, clock, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			signIn(t, d, "alice")
			before := s.connections()
			if _, err := signIn(t, d, "alice"); err != nil {
				t.Fatal(err)
			}
			if opened := s.connections() - before; (opened == 0) != tt.kept {
				t.Errorf("%d connections were opened for the next bind; kept should be %v", opened, tt.kept)
			}
			mu.Lock()
			now = now.Add(31 * time.Second)
			mu.Unlock()
			before = s.connections()
			if _, err := signIn(t, d, "alice"); err != nil || s.connections() != before+1 {
				t.Errorf("after half a minute a new connection should bind: %d, %v", s.connections()-before, err)
			}
		})
	}
}

// TestProversNeverSearch: on Samba a connection whose bind was refused still
// is whoever it was before. Each sign-in here is told its own groups, read by
// the service account, whoever else failed or came in before.
func TestProversNeverSearch(t *testing.T) {
	s := outside.Samba(t)
	tapped := newTap(t, s.CA, s.LDAPS)
	d := samba(t, func(c *ldap.Config) { c.URLs, c.Connections = []string{tapped.url}, 1 })
	for range 3 {
		for name, want := range map[string]int{"alice": 3, "bob": 2, "carol": 300} {
			u, err := d.Authenticate(t.Context(), name, adSecret, admitAll)
			if err != nil || len(u.Groups) != want {
				t.Errorf("%s: %d groups, %v", name, len(u.Groups), err)
			}
		}
		if _, err := d.Authenticate(t.Context(), "grace", adSecret, admitAll); !errors.Is(err, gatehouse.ErrAccountDisabled) {
			t.Error(err)
		}
	}
	if by := tapped.searchers(); len(by) != 1 {
		t.Errorf("%d connections searched, want the one that the service account bound", len(by))
	}
	if mixed := tapped.mixed(); mixed != 0 {
		t.Errorf("%d connections both searched and bound a person", mixed)
	}
}

// TestSambaSearches: 300 groups cost one search for tokens and one for names.
func TestSambaSearches(t *testing.T) {
	s := outside.Samba(t)
	tapped := newTap(t, s.CA, s.LDAPS)
	d := samba(t, func(c *ldap.Config) { c.URLs, c.Timeout = []string{tapped.url}, time.Minute })
	u, err := d.Find(t.Context(), "carol") // opens connections, asks for capabilities
	if err != nil {
		t.Fatal(err)
	}
	tapped.count(goldap.ApplicationSearchRequest)
	if u, err = d.Lookup(t.Context(), u.ID); err != nil || len(u.Groups) != 300 {
		t.Fatalf("%d groups, %v", len(u.Groups), err)
	}
	if n := tapped.count(goldap.ApplicationSearchRequest); n != 3 {
		t.Errorf("%d searches, want one for her, one for tokens and one for names", n)
	}
}

// TestProversSlapd: whoever bound before on a connection, and whatever came
// of it, is nothing to the next: neither the restrictions of somebody whose
// password was reset, nor a lock-out, nor a refusal.
func TestProversSlapd(t *testing.T) {
	s, ca := startSlapd(t, outside.SlapdConfig{})
	c := config([]string{s.LDAPS}, ca)
	c.Connections = 1
	d := open(t, c)
	for before, kind := range map[string]error{
		"reset": gatehouse.ErrPasswordMustChange, "frank": gatehouse.ErrInvalidCredentials, "erin": gatehouse.ErrPasswordExpired, "bob": nil,
	} {
		if _, err := signIn(t, d, before); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", before, err, kind)
		}
		if u, err := signIn(t, d, "alice"); err != nil || u.Username != "alice" || len(u.Groups) != 3 {
			t.Errorf("alice after %s: %+v, %v", before, u, err)
		}
		if _, err := d.Authenticate(t.Context(), "alice", "wrong", admitAll); !errors.Is(err, gatehouse.ErrInvalidCredentials) {
			t.Errorf("a wrong password after %s and alice: %v", before, err)
		}
	}
}
