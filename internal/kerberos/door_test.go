package kerberos

import (
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/store"
	"gatehouse/web"
)

// people is a directory of a few people, and the record beside it. What it
// does not have itself no ticket needs.
type people struct {
	access.Directory

	mu     sync.Mutex
	barred map[string]error // by identifier
	events []gatehouse.Event
}

func (p *people) Name() string { return "corp" }

// Identify finds alice by her name and her address, and nobody else.
func (p *people) Identify(_ context.Context, username string) (gatehouse.User, error) {
	if name := strings.ToLower(username); name != "alice" && name != "ally" {
		return gatehouse.User{}, gatehouse.ErrUnknownPerson
	}
	return gatehouse.User{Directory: "corp", ID: "1", Username: "alice", DN: "CN=alice", DisplayName: "Alice Ng"}, nil
}

func (p *people) Lookup(ctx context.Context, id string) (gatehouse.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.barred[id]; err != nil {
		return gatehouse.User{}, err
	}
	u, err := p.Identify(ctx, "alice")
	u.ReadAt = start
	return u, err
}

func (p *people) Failing() bool { return false }

func (p *people) Record(_ context.Context, e gatehouse.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	return nil
}

func (p *people) last() gatehouse.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events[len(p.events)-1]
}

// portal is one replica: the real pages, broker, acceptor and store.
func portal(t testing.TB, database string, p *people) http.Handler {
	t.Helper()
	now := func() time.Time { return start }
	s, err := store.Open(t.Context(), store.Config{URL: database}, [][]byte{bytes.Repeat([]byte("s"), 32)}, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	policy, faults := access.NewPolicy(access.Config{}, nil, []string{"corp"}, nil)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	a := acceptor(t, s)
	broker := access.New(access.Deps{Directories: []access.Source{{Directory: p, MaxAge: time.Minute}}, Policy: policy, Audit: p,
		Counters: s, Learnt: s, Tickets: a, Throttle: access.Throttle{Failures: 4, FailuresPerAddress: 1000, Window: time.Hour},
		RefusalTime: time.Nanosecond, Now: now})
	server, err := web.New(web.Config{PublicURL: "https://aws.corp.example.com"}, web.Deps{Broker: broker, Records: s, Now: now,
		Windows: Config{Networks: []string{"10.0.0.0/8"}}.Prefixes(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return server.Handler()
}

func visit(h http.Handler, token []byte) *http.Response {
	r := httptest.NewRequest("GET", "https://aws.corp.example.com/login/windows", nil)
	r.RemoteAddr = "10.1.2.3:5678"
	r.Header.Set("Authorization", "Negotiate "+base64.StdEncoding.EncodeToString(token))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestTicketsAtTheDoor(t *testing.T) {
	database := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	p := &people{barred: map[string]error{}}
	one, two := portal(t, database, p), portal(t, database, p)
	good := ticket{}.token(t)
	tests := []struct {
		name   string
		token  []byte
		at     http.Handler
		barred error
		status int
		reason string // on the record
	}{
		{"a good ticket", good, one, nil, 303, ""},
		{"the same at the same replica", good, one, nil, 401, wordReplayed},
		{"the same at another replica", good, two, nil, 401, wordReplayed},
		{"another ticket of the same person", ticket{windows: true}.token(t), two, nil, 303, ""},
		{"a ticket in capitals", ticket{name: "ALICE"}.token(t), one, nil, 303, ""},
		{"a ticket under another key", ticket{key: key{service, corp, "a guess", 3, aes}}.token(t), one, nil, 401, wordMalformed},
		{"an expired ticket", ticket{end: -time.Hour}.token(t), one, nil, 401, wordTime},
		{"a ticket of the future", ticket{begins: time.Hour}.token(t), one, nil, 401, wordTime},
		{"a ticket for another service", ticket{service: "HTTP/wiki.corp.example.com"}.token(t), one, nil, 401, wordForeign},
		{"a ticket of another realm", ticket{realm: "EVIL.EXAMPLE"}.token(t), one, nil, 401, wordForeign},
		{"a realm whose directory is gone", ticket{realm: partners}.token(t), one, nil, 401, "invalid_credentials"},
		{"NTLM", []byte("NTLMSSP\x00\x01\x00\x00\x00"), one, nil, 401, wordNone},
		{"garbage", []byte("garbage"), one, nil, 401, wordMalformed},
		{"half a ticket", good[:len(good)/2], one, nil, 401, wordMalformed},
		{"70 KiB", make([]byte, 70<<10), one, nil, 401, wordMalformed},
		{"somebody unknown", ticket{name: "mallory"}.token(t), one, nil, 401, "unknown"},
		{"somebody called as alice is nicknamed", ticket{name: "ally"}.token(t), one, nil, 401, "unknown"},
		{"somebody disabled since", ticket{}.token(t), one, gatehouse.ErrAccountDisabled, 401, "disabled"},
		{"somebody locked since", ticket{}.token(t), one, gatehouse.ErrAccountLocked, 401, "locked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p.mu.Lock()
			p.barred["1"] = tt.barred
			p.mu.Unlock()
			res := visit(tt.at, tt.token)
			e := p.last()
			if res.StatusCode != tt.status || e.Reason != tt.reason || strings.Join(e.Methods, " ") != "kerberos" || e.IP != "10.1.2.3" {
				t.Errorf("answered %d, recorded %+v; want %d, %q", res.StatusCode, e, tt.status, tt.reason)
			}
			signedIn := false
			for _, c := range res.Cookies() {
				signedIn = signedIn || c.Name == "__Host-gatehouse"
			}
			if signedIn != (tt.status == 303) {
				t.Errorf("signed in: %v", signedIn)
			}
		})
	}
}

// BenchmarkSignInByTicket is the whole way in: page, ticket, replay store,
// directory (a fake one), session.
func BenchmarkSignInByTicket(b *testing.B) {
	h := portal(b, "sqlite://"+filepath.Join(b.TempDir(), "gatehouse.db"), &people{})
	for b.Loop() {
		b.StopTimer()
		token := ticket{}.token(b)
		b.StartTimer()
		if res := visit(h, token); res.StatusCode != 303 {
			b.Fatal(res.StatusCode)
		}
	}
}
