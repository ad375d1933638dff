package access

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/saml"
)

// guardedWorld makes the world fit for many at once.
type guardedWorld struct {
	*world
	mu    sync.Mutex
	calls int
	err   error
	hold  chan struct{} // AWS answers once it is closed
}

func (g *guardedWorld) Respond(ctx context.Context, a saml.Assertion) (saml.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.world.Respond(ctx, a)
}

func (g *guardedWorld) AppendResponse(ctx context.Context, dst gatehouse.Lent, a saml.Assertion) (gatehouse.Lent, saml.Response, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.world.AppendResponse(ctx, dst, a)
}

func (g *guardedWorld) Record(ctx context.Context, e gatehouse.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.world.Record(ctx, e)
}

func (g *guardedWorld) AssumeRole(ctx context.Context, a gatehouse.Account, r gatehouse.Role, s gatehouse.Lent, d time.Duration, limits gatehouse.SessionPolicy) (gatehouse.Credentials, error) {
	if g.hold != nil {
		<-g.hold
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	if g.err != nil {
		return gatehouse.Credentials{}, g.err
	}
	return g.world.AssumeRole(ctx, a, r, s, d, limits)
}

func newGuarded(t testing.TB) (*guardedWorld, *Broker) {
	w, b := newWorld(t)
	g := &guardedWorld{world: w}
	b.d.IdP, b.d.AWS, b.d.Audit = g, g, g
	return g, b
}

func shared() gatehouse.Ask {
	a := ask(gatehouse.FormJSON)
	a.Shared = true
	return a
}

func TestManyProcessesCostOneCall(t *testing.T) {
	g, b := newGuarded(t)
	g.hold = make(chan struct{})
	s := g.session()
	keys := make(chan string, 500)
	var all sync.WaitGroup
	for range cap(keys) {
		all.Go(func() {
			grant, err := b.Grant(t.Context(), s, shared())
			if err != nil {
				t.Error(err)
			}
			keys <- grant.Credentials.AccessKeyID
		})
	}
	close(g.hold)
	all.Wait()
	b.Close()
	close(keys)
	seen := map[string]bool{}
	for k := range keys {
		seen[k] = true
	}
	if g.calls != 1 || len(seen) != 1 {
		t.Errorf("%d calls, %d different keys; want one of each", g.calls, len(seen))
	}
	uses := 0
	for _, e := range g.events {
		if e.Kind != gatehouse.EventGranted || e.AccessKeyID == "" || e.SessionName == "" || e.AssertionID == "" || e.Expires.IsZero() {
			t.Fatalf("a use is on the record as %+v", e)
		}
		uses += max(1, e.Count)
	}
	if uses != 500 || g.events[0].Count != 0 || len(g.events) > 2 {
		t.Errorf("%d uses on the record, in %d events; want 500, in the first's and one for the others", uses, len(g.events))
	}
}

func TestWhatIsNotGivenAgain(t *testing.T) {
	tests := []struct {
		name   string
		change func(g *guardedWorld, s *gatehouse.Session, a *gatehouse.Ask)
		calls  int
		err    error
	}{
		{"the same to the same session is", func(*guardedWorld, *gatehouse.Session, *gatehouse.Ask) {}, 1, nil},
		{"to another session", func(_ *guardedWorld, s *gatehouse.Session, _ *gatehouse.Ask) { s.ID = "T" }, 2, nil},
		{"for another time", func(_ *guardedWorld, _ *gatehouse.Session, a *gatehouse.Ask) { a.Duration = 30 * time.Minute }, 2, nil},
		{"within other limits", func(_ *guardedWorld, _ *gatehouse.Session, a *gatehouse.Ask) { a.Scope = ScopeReadOnly }, 2, nil},
		{"for another region", func(_ *guardedWorld, _ *gatehouse.Session, a *gatehouse.Ask) { a.Region = "eu-north-1" }, 2, nil},
		{"to who does not ask for it", func(_ *guardedWorld, _ *gatehouse.Session, a *gatehouse.Ask) { a.Shared = false }, 2, nil},
		{"in the last quarter of an hour", func(g *guardedWorld, s *gatehouse.Session, _ *gatehouse.Ask) {
			g.now = g.now.Add(45*time.Minute + time.Second)
			s.User.ReadAt = g.now
		}, 2, nil},
		{"to who lost the role", func(_ *guardedWorld, s *gatehouse.Session, _ *gatehouse.Ask) { s.User.Groups = nil }, 1, gatehouse.ErrNotEntitled},
		{"without a record", func(g *guardedWorld, _ *gatehouse.Session, _ *gatehouse.Ask) { g.auditErr = errors.New("disk full") }, 1, gatehouse.ErrNotRecorded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, b := newGuarded(t)
			s, a := g.session(), shared()
			a.Duration = time.Hour
			if _, err := b.Grant(t.Context(), s, a); err != nil {
				t.Fatal(err)
			}
			tt.change(g, &s, &a)
			grant, err := b.Grant(t.Context(), s, a)
			if !errors.Is(err, tt.err) || g.calls != tt.calls {
				t.Errorf("%v after %d calls, want %v after %d", err, g.calls, tt.err, tt.calls)
			}
			if tt.err != nil && grant.Credentials.AccessKeyID != "" {
				t.Error("there are keys all the same")
			}
		})
	}
}

func TestARefusalByAWSIsAskedForAnew(t *testing.T) {
	g, b := newGuarded(t)
	g.err = &gatehouse.Refusal{Service: "STS", Code: "AccessDenied"}
	for range 2 {
		if _, err := b.Grant(t.Context(), g.session(), shared()); !errors.Is(err, gatehouse.ErrRefusedByAWS) {
			t.Fatal(err)
		}
	}
	g.err = nil
	if _, err := b.Grant(t.Context(), g.session(), shared()); err != nil || g.calls != 3 {
		t.Errorf("%v after %d calls", err, g.calls)
	}
}

func TestDelegate(t *testing.T) {
	wish := Delegation{Client: "aws-cli", ClientIP: "198.51.100.7", IP: "192.0.2.7", RequestID: "R"}
	t.Run("is on the record, with the program and where the person agreed", func(t *testing.T) {
		w, b := newWorld(t)
		s, err := b.Delegate(t.Context(), w.session(), wish)
		if err != nil {
			t.Fatal(err)
		}
		e := w.events[0]
		if s.ID == "S" || s.Client != "aws-cli" || s.IP != "198.51.100.7" || s.Door != gatehouse.DoorAPI || e.Session != s.ID || e.Client != "aws-cli" || e.IP != "192.0.2.7" || e.Door != gatehouse.DoorAPI {
			t.Errorf("session %+v, event %+v", s, e)
		}
	})
	t.Run("without a record opens nothing", func(t *testing.T) {
		w, b := newWorld(t)
		w.auditErr = errors.New("disk full")
		if s, err := b.Delegate(t.Context(), w.session(), wish); !errors.Is(err, gatehouse.ErrNotRecorded) || s.ID != "" {
			t.Errorf("session %+v, %v", s, err)
		}
	})
	t.Run("is refused to who has left the company meanwhile", func(t *testing.T) {
		w, b := newWorld(t)
		s := w.session()
		delete(w.people, "alice")
		w.now = w.now.Add(time.Hour)
		if _, err := b.Delegate(t.Context(), s, wish); !errors.Is(err, gatehouse.ErrNoSession) {
			t.Errorf("%v, want ErrNoSession", err)
		}
	})
}
