package main

import (
	"bytes"
	"context"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/demo"
	"gatehouse/internal/store"
)

// gate is a Gatehouse that runs in this process, as serve runs it, beside the
// sample company.
type gate struct {
	*demo.World
	url string // of the portal
	cfg *config.Config
	log *lines
	end func() error // ends it as SIGTERM does, once
}

// lines are what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// openGate starts the sample company and Gatehouse. Each edit is a pair for
// strings.NewReplacer, over the demo's own configuration.
func openGate(t testing.TB, edits ...string) *gate {
	t.Helper()
	return openGateAfter(t, func(*config.Config) {}, edits...)
}

// openGateAfter does before beforehand, as an operator would.
func openGateAfter(t testing.TB, before func(*config.Config), edits ...string) *gate {
	t.Helper()
	doors, portal, err := bindPortal("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{url: "http://" + portal, log: &lines{}}
	g.World, err = demo.Start(demo.Options{Portal: portal, AWS: "127.0.0.1:0", LDAP: "127.0.0.1:0", State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.World.Close() })
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(string(g.Config), edits[i]) {
			t.Fatalf("the demo's configuration has no %q to edit", edits[i])
		}
	}
	g.Config = []byte(strings.NewReplacer(edits...).Replace(string(g.Config)))
	if g.cfg, err = g.Load(); err != nil {
		t.Fatal(err)
	}
	before(g.cfg)
	g.end = serving(t, g.cfg, doors, g.log)
	return g
}

// serving runs Gatehouse on doors until the test ends, or the returned
// function is called.
func serving(t testing.TB, cfg *config.Config, doors net.Listener, log *lines) (end func() error) {
	t.Helper()
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		logger := slog.New(slog.NewJSONHandler(log, nil))
		ended <- serveOn(ctx, listeners{doors, admin}, cfg, logger, func() (*config.Config, error) { return cfg, nil }, func() { close(up) })
	}()
	end = sync.OnceValue(func() error { cancel(); return <-ended })
	select {
	case <-up:
	case err := <-ended:
		cancel()
		t.Fatalf("Gatehouse did not start: %v", err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Errorf("Gatehouse ended with %v", err)
		}
		if strings.Contains(log.String(), "panic") {
			t.Errorf("a panic was logged:\n%s", log)
		}
	})
	return end
}

// record opens the store beside the running Gatehouse, as `gatehouse audit`
// will, by another clock if now is not nil.
func record(t testing.TB, cfg *config.Config, now func() time.Time) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), cfg.Store, cfg.Secrets, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// lastEvent is the newest event on the record.
func lastEvent(t testing.TB, s *store.Store) gatehouse.Event {
	t.Helper()
	events, err := s.Events(t.Context(), gatehouse.EventQuery{Limit: 1})
	if err != nil || len(events) != 1 {
		t.Fatalf("reading the record: %d events, %v", len(events), err)
	}
	return events[0]
}

// browser is a person's browser: it keeps cookies and follows redirects.
type browser struct {
	t      testing.TB
	client *http.Client
	base   string
	header http.Header // sent with everything
}

// page is what a browser got.
type page struct {
	status int
	body   string
	header http.Header
	url    *url.URL
	took   time.Duration
}

func (g *gate) browser(t testing.TB) *browser { return newBrowser(t, g.url, nil) }

func newBrowser(t testing.TB, base string, transport http.RoundTripper) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, base: base, header: http.Header{}, client: &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}}
}

// get opens a path of the portal, or a whole address.
func (b *browser) get(path string) page {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil)
}

// post sends a form.
func (b *browser) post(path string, pairs ...string) page {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, path, strings.NewReader(form.Encode()))
}

func (b *browser) do(method, path string, body io.Reader) page {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.base + path
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for name, values := range b.header {
		r.Header[name] = values
		if name == "Host" {
			r.Host = values[0]
		}
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	began := time.Now()
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := page{res.StatusCode, string(text), res.Header, res.Request.URL, time.Since(began)}
	p.clean(b.t)
	return p
}

// signIn signs somebody of the demo in, who must get through.
func (b *browser) signIn(username string) page {
	b.t.Helper()
	p := b.post("/login", "username", username, "password", demo.Password)
	if p.status != http.StatusOK || p.url.Path != "/" {
		b.t.Fatalf("%s signed in to %d %s:\n%s", username, p.status, p.url, p.text())
	}
	return p
}

// leaks are pieces of what is for logs only.
var leaks = regexp.MustCompile(`goroutine \d|runtime error|\.go:\d+|LDAP Result Code|dial tcp|connection refused|SQLITE_|SQLSTATE|sqlite:|postgres:|context deadline|operation error|%!|Err[A-Z]\w+:`)

// clean fails the test when a page tells what no person should read.
func (p page) clean(t testing.TB) {
	t.Helper()
	if leak := leaks.FindString(p.body); leak != "" && strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
		t.Errorf("%s shows %q:\n%s", p.url, leak, p.body)
	}
}

var markup = regexp.MustCompile(`(?s)<(script|style|svg).*?</(script|style|svg)>|<[^>]*>|\s+`)

// text is the page's words.
func (p page) text() string {
	return strings.TrimSpace(html.UnescapeString(regexp.MustCompile(`\s+`).ReplaceAllString(markup.ReplaceAllString(p.body, " "), " ")))
}

// want fails the test unless the page has the status and says all of texts.
func (p page) want(t testing.TB, status int, texts ...string) {
	t.Helper()
	if p.status != status {
		t.Errorf("%s answered %d, want %d:\n%s", p.url, p.status, status, p.text())
		return
	}
	for _, text := range texts {
		if !strings.Contains(p.text(), text) {
			t.Errorf("%s does not say %q:\n%s", p.url, text, p.text())
		}
	}
}

// find is the first group of pattern in the page's source, unescaped.
func (p page) find(t testing.TB, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("%s has no %s:\n%s", p.url, pattern, p.body)
	}
	return html.UnescapeString(m[1])
}

// auditLines are the lines of the audit file, once there are at least n.
func auditLines(t testing.TB, g *gate, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Clean(g.cfg.Audit.File))
		list := strings.Split(strings.TrimSpace(string(text)), "\n")
		if err == nil && len(list) >= n {
			return list
		}
		if time.Now().After(deadline) {
			t.Fatalf("the audit file has %d lines, want %d: %v\n%s", len(list), n, err, text)
		}
	}
}
