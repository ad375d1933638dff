package main

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/outside"
	"gatehouse/internal/outside/faults"
)

// A crowd of as many wants what hangs, all at once, again and again: more
// than sign-ins may run at a time, and far more than there are connections.
const hangingCrowd = 48

// crowd makes requests like these until the returned function is called, which
// says how many were answered.
func (m *manned) crowd(t *testing.T, b *browser, method, path string, form url.Values) (end func() int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	answered := 0
	for range hangingCrowd {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := b.attempt(method, path, form); err != nil { // 503 is one
					time.Sleep(50 * time.Millisecond)
				}
				mu.Lock()
				answered++
				mu.Unlock()
			}
		})
	}
	return func() int { stop(); all.Wait(); return answered }
}

// One dependency that hangs takes down what needs it and nothing else,
// however many wait for it.
func TestACrowdThatWaitsForOneThatHangsStopsNobodyElse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		wire      func(*manned) *faults.Proxy
		path      string // what the crowd posts
		form      url.Values
		signIns   bool // others' work meanwhile
		hands     bool
		portal    bool
		readiness int
	}{
		{"the directory", func(m *manned) *faults.Proxy { return m.directory }, "/login", url.Values{"username": {"nobody"}, "password": {"wrong"}}, false, true, true, 503},
		{"AWS STS", func(m *manned) *faults.Proxy { return m.sts }, developerOfAnn, url.Values{"as": {"json"}}, true, false, true, 200},
		{"AWS sign-in", func(m *manned) *faults.Proxy { return m.outskirts.signIn }, developerOfAnn, url.Values{"as": {"console"}}, true, true, true, 200},
		{"the database", func(m *manned) *faults.Proxy { return m.database }, developerOfAnn, url.Values{"as": {"json"}}, false, false, false, 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &manned{pair: startReplicas(t, 1, outside.SlapdConfig{}, "")}
			m.ann = m.browser(t, 0)
			m.signIn(t, m.ann).want(t, 200, "Developer")
			m.ann.client.Transport.(*http.Transport).MaxIdleConnsPerHost = hangingCrowd
			wire := tt.wire(m)
			wire.Set(faults.Fault{Kind: faults.Hang})
			end := m.crowd(t, m.ann, "POST", tt.path, tt.form)
			checked := make(chan struct{})
			go func() {
				defer close(checked)
				ben := m.browser(t, 0)
				for range 4 {
					time.Sleep(500 * time.Millisecond)
					if tt.signIns {
						m.soon(t, "a sign-in", m.signIn(t, ben))
					}
					if tt.portal {
						m.soon(t, "the portal", m.ann.get("/"))
					}
					if tt.hands {
						m.soon(t, "a hand-out", m.ann.post(developerOfAnn, "as", "json"))
					}
				}
			}()
			m.needless(t, checked)
			if p := m.browser(t, 0).get("/readyz"); p.status != tt.readiness {
				t.Errorf("readiness is %d %s, want %d", p.status, p.body, tt.readiness)
			}
			wire.Set(faults.Fault{})
			t.Logf("%d of the crowd were answered meanwhile", end())
			healed(t, func() bool {
				b := m.browser(t, 0)
				return m.ready(b) && m.signIn(t, b).status == 200 && b.post(developerOfAnn, "as", "json").status == 200
			})
		})
	}
}

// soon fails the test unless p came as if nothing were wrong. Whatever waits
// for what hangs is answered 503 after some seconds.
func (m *manned) soon(t *testing.T, what string, p page) {
	t.Helper()
	if p.status != http.StatusOK || p.took > 5*time.Second {
		t.Errorf("meanwhile %s is answered %d after %v", what, p.status, p.took)
	}
}
