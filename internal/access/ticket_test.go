package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/saml"
)

// realm is a Tickets: a token is good when its text names somebody.
type realm struct {
	err    error
	asked  int
	proved time.Time
}

func (r *realm) Accept(_ context.Context, token []byte) (gatehouse.Principal, error) {
	r.asked++
	name, ok := strings.CutPrefix(string(token), "ticket of ")
	switch {
	case r.err != nil:
		return gatehouse.Principal{}, r.err
	case !ok:
		return gatehouse.Principal{}, gatehouse.ErrInvalidCredentials
	}
	return gatehouse.Principal{Name: name, Realm: "CORP.EXAMPLE.COM", Directory: "corp", ProvedAt: r.proved}, nil
}

func withRealm(t testing.TB) (*world, *Broker, *realm) {
	w, b := newWorld(t)
	r := &realm{proved: w.now.Add(-3 * time.Hour)}
	b.d.Tickets = r
	return w, b, r
}

func ticketAttempt(token string) Attempt {
	return Attempt{Proof: Ticket{[]byte(token)}, Door: gatehouse.DoorPages, IP: "192.0.2.7", RequestID: "R"}
}

func TestSignInByTicket(t *testing.T) {
	t.Run("opens the session of the person as the directory has them now, and is on the record", func(t *testing.T) {
		w, b, r := withRealm(t)
		s, err := b.SignIn(t.Context(), ticketAttempt("ticket of alice"))
		if err != nil {
			t.Fatal(err)
		}
		if s.User.Key() != w.people["alice"].Key() || len(s.User.Groups) == 0 || !s.User.ReadAt.Equal(w.now) || strings.Join(s.Methods, " ") != "kerberos" {
			t.Errorf("session %+v", s)
		}
		if !s.ProvedAt.Equal(r.proved) {
			t.Errorf("proved at %v, want %v: when the realm was given the password", s.ProvedAt, r.proved)
		}
		if w.lookups != 1 || w.binds != 0 {
			t.Errorf("%d look-ups, %d binds", w.lookups, w.binds)
		}
		e := w.events[0]
		if e.Kind != gatehouse.EventSignInAccepted || e.Person != s.User.Key() || e.Session != s.ID || strings.Join(e.Methods, " ") != "kerberos" || e.IP != "192.0.2.7" {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("that cannot be recorded opens no session", func(t *testing.T) {
		w, b, _ := withRealm(t)
		w.auditErr = errors.New("disk full")
		if s, err := b.SignIn(t.Context(), ticketAttempt("ticket of alice")); !errors.Is(err, gatehouse.ErrNotRecorded) || s.ID != "" {
			t.Errorf("session %+v, error %v", s, err)
		}
	})
	t.Run("is asked for in the realm's own domain, where the directory claims it", func(t *testing.T) {
		for _, suffix := range []string{"corp.example.com", ".example.com"} {
			w, b, _ := withRealm(t)
			w.people[`CORP.EXAMPLE.COM\alice`] = w.people["alice"]
			delete(w.people, "alice") // of which a forest may have several
			b.d.Directories[0].Suffixes = []string{suffix}
			if s, err := b.SignIn(t.Context(), ticketAttempt("ticket of alice")); err != nil || s.User.Username != "alice" {
				t.Errorf("%s: session of %q, error %v", suffix, s.User.Username, err)
			}
		}
	})
	t.Run("does not depend on the case of a name", func(t *testing.T) {
		w, b, _ := withRealm(t)
		w.people["ALICE"] = w.people["alice"]
		if s, err := b.SignIn(t.Context(), ticketAttempt("ticket of ALICE")); err != nil || s.User.Username != "alice" {
			t.Errorf("session of %q, error %v", s.User.Username, err)
		}
	})
}

func TestRefusedTickets(t *testing.T) {
	tests := []struct {
		name   string
		token  string
		change func(*world, *Broker, *realm)
		want   error
		reason string
		person bool // the record names the person
	}{
		{"a ticket that proves nothing", "garbage", func(*world, *Broker, *realm) {}, gatehouse.ErrInvalidCredentials, "invalid_credentials", false},
		{"where tickets are not accepted", "ticket of alice", func(_ *world, b *Broker, _ *realm) { b.d.Tickets = nil }, gatehouse.ErrInvalidCredentials, "invalid_credentials", false},
		{"somebody whom the directory does not know", "ticket of zoe", func(w *world, _ *Broker, _ *realm) { w.findErr = gatehouse.ErrUnknownPerson }, gatehouse.ErrInvalidCredentials, "unknown", false},
		{"somebody who is found by another's name", "ticket of mallory", func(w *world, _ *Broker, _ *realm) { w.people["mallory"] = w.people["alice"] }, gatehouse.ErrInvalidCredentials, "unknown", false},
		{"somebody whose realm's directory is gone from the configuration", "ticket of alice", func(_ *world, b *Broker, _ *realm) { b.d.Directories = nil }, gatehouse.ErrInvalidCredentials, "invalid_credentials", false},
		{"somebody disabled since", "ticket of alice", func(w *world, _ *Broker, _ *realm) { w.dirErr = gatehouse.ErrAccountDisabled }, gatehouse.ErrAccountDisabled, "disabled", true},
		{"somebody in too many groups since", "ticket of alice", func(w *world, _ *Broker, _ *realm) { w.dirErr = gatehouse.ErrTooManyGroups }, gatehouse.ErrTooManyGroups, "too_many_groups", true},
		{"somebody gone since", "ticket of alice", func(w *world, _ *Broker, _ *realm) { w.dirErr = gatehouse.ErrUnknownPerson }, gatehouse.ErrInvalidCredentials, "unknown", true},
		{"a directory that is down", "ticket of alice", func(w *world, _ *Broker, _ *realm) {
			w.findErr = &gatehouse.Unavailable{What: "directory", Err: errors.New("x")}
		}, gatehouse.ErrUnavailable, "unavailable", false},
		{"a replay store that is down", "ticket of alice", func(_ *world, _ *Broker, r *realm) {
			r.err = &gatehouse.Unavailable{What: "store", Err: errors.New("x")}
		}, gatehouse.ErrUnavailable, "unavailable", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, b, r := withRealm(t)
			tt.change(w, b, r)
			s, err := b.SignIn(t.Context(), ticketAttempt(tt.token))
			if !errors.Is(err, tt.want) || errors.Is(err, gatehouse.ErrUnknownPerson) || s.ID != "" {
				t.Errorf("session %q, error %v, want %v", s.ID, err, tt.want)
			}
			if len(w.events) != 1 {
				t.Fatalf("events %v", w.kinds())
			}
			e := w.events[0]
			if e.Kind != gatehouse.EventSignInRefused || e.Reason != tt.reason || (e.Person != "") != tt.person {
				t.Errorf("event %+v, want reason %q", e, tt.reason)
			}
		})
	}
}

func TestTicketsAndAllowances(t *testing.T) {
	t.Run("an address that keeps sending tickets that prove nothing is refused, unread", func(t *testing.T) {
		_, b, r := withRealm(t)
		var err error
		for range 25 {
			_, err = b.SignIn(t.Context(), ticketAttempt("garbage"))
		}
		if !errors.Is(err, gatehouse.ErrThrottled) || r.asked != 20 {
			t.Errorf("error %v after %d tickets, want 20", err, r.asked)
		}
		if _, err := b.SignIn(t.Context(), attempt("alice", "right")); err != nil {
			t.Errorf("a password from there: %v: an office must be able to type when its tickets fail", err)
		}
	})
	t.Run("an address that has guessed too many passwords may not go on with tickets", func(t *testing.T) {
		_, b, r := withRealm(t)
		for i := range 20 {
			_, _ = b.SignIn(t.Context(), attempt(fmt.Sprint("name", i), "x"))
		}
		if _, err := b.SignIn(t.Context(), ticketAttempt("ticket of alice")); !errors.Is(err, gatehouse.ErrThrottled) || r.asked != 0 {
			t.Errorf("error %v", err)
		}
	})
	t.Run("computers without tickets use up nothing", func(t *testing.T) {
		w, b, r := withRealm(t)
		r.err = errors.Join(gatehouse.ErrInvalidCredentials, gatehouse.ErrNoTicket)
		for range 25 {
			_, _ = b.SignIn(t.Context(), ticketAttempt("NTLM"))
		}
		if len(w.counts) > 0 {
			t.Errorf("counted %v", w.counts)
		}
	})
	t.Run("guesses at a person's password do not lock them out of their ticket, nor does the ticket forgive them", func(t *testing.T) {
		w, b, _ := withRealm(t)
		guesses(t, b, "alice", 3)
		if _, err := b.SignIn(t.Context(), ticketAttempt("ticket of alice")); err != nil {
			t.Errorf("ticket: %v", err)
		}
		if _, err := b.SignIn(t.Context(), attempt("alice", "right")); !errors.Is(err, gatehouse.ErrThrottled) || w.binds != 3 {
			t.Errorf("a fourth guess: %v after %d binds", err, w.binds)
		}
	})
}

func TestAnAssertionSaysThatItRestsOnATicket(t *testing.T) {
	for _, tt := range []struct {
		name, method, want string
		ask                gatehouse.Ask
	}{
		{"to AWS", "kerberos", saml.Kerberos, gatehouse.Ask{Account: payments, Role: "Admin", Form: gatehouse.FormPost}},
		{"to AWS, for a password", "password", saml.PasswordProtectedTransport, gatehouse.Ask{Account: payments, Role: "Admin", Form: gatehouse.FormPost}},
		{"to another provider", "kerberos", saml.Kerberos, gatehouse.Ask{Provider: "wiki"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, b := newWorld(t)
			s := w.session()
			s.Methods = []string{tt.method}
			if _, err := b.Grant(t.Context(), s, tt.ask); err != nil {
				t.Fatal(err)
			}
			if got := w.said[0].AuthnContext; got != tt.want {
				t.Errorf("class %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNoProofProvesNothing(t *testing.T) {
	_, b := newWorld(t)
	if s, err := b.SignIn(t.Context(), Attempt{}); !errors.Is(err, gatehouse.ErrInvalidCredentials) || s.ID != "" {
		t.Errorf("session %q, error %v", s.ID, err)
	}
}
