package main

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/outside"
	"gatehouse/internal/outside/faults"
)

const developerOfAnn = "/roles/111122223333/Developer"

// troubles are what a network does to a connection.
var troubles = []struct {
	name  string
	fault faults.Fault
}{
	{"hangs", faults.Fault{Kind: faults.Hang}},
	{"is half-open", faults.Fault{Kind: faults.HalfOpen}},
	{"resets", faults.Fault{Kind: faults.Reset}},
	{"talks nonsense", faults.Fault{Kind: faults.Corrupt}},
	{"ends in mid-answer", faults.Fault{Kind: faults.Cut, After: 70}},
}

// manned is a replica in production with a browser in which Ann is signed in.
type manned struct {
	*pair
	ann *browser
}

func man(t *testing.T, edits ...string) *manned {
	t.Helper()
	m := &manned{pair: startReplicas(t, 1, outside.SlapdConfig{}, "", edits...)}
	m.ann = m.browser(t, 0)
	m.signIn(t, m.ann).want(t, 200, "Developer")
	return m
}

func (m *manned) signIn(t *testing.T, b *browser) page {
	t.Helper()
	return b.post("/login", "username", "ann", "password", "correct horse")
}

// during runs check while the trouble lasts, beside what needs nothing of the
// outside, and then waits until heals says that all is well again.
func (m *manned) during(t *testing.T, wire *faults.Proxy, check func(t *testing.T), heals func() bool) {
	for _, tt := range troubles {
		t.Run(tt.name, func(t *testing.T) {
			wire.Set(tt.fault)
			checked := make(chan struct{})
			go func() { defer close(checked); check(t) }()
			m.needless(t, checked)
			wire.Set(faults.Fault{})
			healed(t, heals)
		})
	}
	t.Run("is a little late", func(t *testing.T) {
		wire.Set(faults.Fault{Kind: faults.Delay, By: 50 * time.Millisecond})
		defer wire.Set(faults.Fault{})
		healed(t, heals)
	})
}

// needless asks, until done, for what needs neither directory nor AWS nor
// store: it must be there as if nothing were wrong.
func (m *manned) needless(t *testing.T, done <-chan struct{}) {
	t.Helper()
	b := m.browser(t, 0)
	style := b.get("/login").find(t, `href="(/static/[^"]*\.css)"`)
	for {
		for _, path := range []string{"/healthz", "/login", style, "/saml/metadata"} {
			if p := b.get(path); p.status != 200 || p.took > 2*time.Second {
				t.Errorf("meanwhile %s answers %d after %v", path, p.status, p.took)
			}
		}
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// healed fails the test unless good comes true within seconds, by itself.
func healed(t *testing.T, good func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !good(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not heal by itself")
		}
	}
}

// What operators are promised of each fault (docs/operations.md).
const (
	withinOfDirectory = 5 * time.Second
	withinOfAWS       = 5 * time.Second
	withinOfStore     = 6 * time.Second
)

// refused fails the test unless p says in time that what does not answer.
func refused(t *testing.T, p page, text string, promised time.Duration) {
	t.Helper()
	p.inTime(t, promised)
	p.keyless(t)
	if p.status < 500 || !strings.Contains(p.text(), text) || len(p.header.Values("Set-Cookie")) > 0 {
		t.Errorf("answered %d, cookies %q, want 5xx and %q:\n%s", p.status, p.header.Values("Set-Cookie"), text, p.text())
	}
}

func (p page) inTime(t *testing.T, promised time.Duration) {
	t.Helper()
	if p.took > promised {
		t.Errorf("%s took %v, want at most %v", p.url, p.took, promised)
	}
	t.Logf("%s took %v", p.url.Path, p.took.Round(time.Millisecond))
}

// atOnce runs all of acts, and returns when the last has ended.
func atOnce(acts ...func()) {
	var all sync.WaitGroup
	for _, act := range acts {
		all.Go(act)
	}
	all.Wait()
}

// unready fails the test unless readiness turns 503 for the reason. An answer
// from before the fault is given for a second more.
func (m *manned) unready(t *testing.T, reason string) {
	t.Helper()
	b := m.browser(t, 0)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		p := b.get("/readyz")
		if p.status == http.StatusServiceUnavailable && strings.Contains(p.body, reason) {
			return
		}
		if time.Now().After(end) {
			t.Errorf("/readyz answers %d %s", p.status, p.body)
			return
		}
	}
}

func (m *manned) ready(b *browser) bool { return b.get("/readyz").status == http.StatusOK }

func TestWhateverTheDirectoryDoesSessionsGoOnAndItHeals(t *testing.T) {
	t.Parallel()
	m := man(t, "bind_dn:", "max_age: 1ms\n    bind_dn:")
	m.during(t, m.directory, func(t *testing.T) {
		atOnce(
			func() {
				refused(t, m.signIn(t, m.browser(t, 0)), "The directory cannot be reached.", withinOfDirectory)
			},
			func() {
				refused(t, m.ann.post(developerOfAnn, "as", "json"), "The directory cannot be reached.", withinOfDirectory)
			},
			func() { m.unready(t, `"subject":"directory corp","state":"failure"`) },
			func() {
				first, then := m.ann.get("/"), m.ann.get("/")
				first.want(t, 200, "1 account, 1 role.", "The directory cannot be reached right now.")
				first.inTime(t, withinOfDirectory)
				if then.took > time.Second {
					t.Errorf("a second page took %v: whoever is signed in must not wait again and again", then.took)
				}
			})
	}, func() bool {
		b := m.browser(t, 0)
		return m.ready(b) && m.signIn(t, b).status == 200 && b.post(developerOfAnn, "as", "json").status == 200
	})
}

func TestWhateverAWSDoesSignInsGoOnAndItHeals(t *testing.T) {
	t.Parallel()
	m := man(t)
	for what, at := range map[string]struct {
		wire     *faults.Proxy
		as, says string
	}{"STS": {m.sts, "json", "AWS STS"}, "the sign-in endpoint": {m.outskirts.signIn, "console", "AWS sign-in"}} {
		t.Run(what, func(t *testing.T) {
			m.during(t, at.wire, func(t *testing.T) {
				refused(t, m.ann.post(developerOfAnn, "as", at.as), at.says, withinOfAWS)
				b := m.browser(t, 0)
				m.signIn(t, b).want(t, 200, "Developer")
				if !m.ready(b) {
					t.Error("not ready, although people can sign in")
				}
			}, func() bool { return m.ann.post(developerOfAnn, "as", at.as).status == 200 })
		})
	}
}

func TestWhateverTheDatabaseDoesNothingIsGivenWithoutARecordAndItHeals(t *testing.T) {
	t.Parallel()
	m := man(t)
	const says = "record store cannot be reached"
	m.during(t, m.database, func(t *testing.T) {
		atOnce(
			func() { refused(t, m.signIn(t, m.browser(t, 0)), says, withinOfStore) },
			func() { refused(t, m.ann.get("/"), says, withinOfStore) },
			func() { refused(t, m.ann.post(developerOfAnn, "as", "json"), says, withinOfStore) },
			func() { m.unready(t, `"subject":"store","state":"failure"`) })
	}, func() bool {
		b := m.browser(t, 0)
		return m.ready(b) && m.signIn(t, b).status == 200 && m.ann.post(developerOfAnn, "as", "json").status == 200
	})
	m.ann.get("/").want(t, 200, "1 account, 1 role.") // the session has outlived all of it
}

// At the start the directory may be away; the store may not.
func TestWithTheDirectoryAwayAtTheStartItStartsAndHeals(t *testing.T) {
	t.Parallel()
	var p *pair
	o := reach(t, func() string { return p.browser(t, 0).get("/saml/metadata").body }, outside.SlapdConfig{}, "")
	o.directory.Set(faults.Fault{Kind: faults.Hang})
	cfg, err := config.Load(o.config)
	if err != nil {
		t.Fatal(err)
	}
	doors, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = &pair{outskirts: o, addresses: []string{doors.Addr().String()}}
	serving(t, cfg, doors, &lines{})
	b := p.browser(t, 0)
	b.get("/healthz").want(t, 200)
	if got := b.get("/readyz"); got.status != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d", got.status)
	}
	o.directory.Set(faults.Fault{})
	healed(t, func() bool { return b.get("/readyz").status == 200 })
	b.post("/login", "username", "ann", "password", "correct horse").want(t, 200, "Developer")
	if e := lastEvent(t, record(t, cfg, nil)); e.Kind != gatehouse.EventSignInAccepted {
		t.Errorf("the record says %s", e.Kind)
	}
}
