package main

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo"
	"gatehouse/internal/demo/cloud"
)

// soon is within what a person is promised.
func (p page) soon(t testing.TB) {
	t.Helper()
	if p.took > 5*time.Second {
		t.Errorf("%s took %v, want at most 5s", p.url, p.took)
	}
}

// keyless fails the test when a page holds credentials.
func (p page) keyless(t testing.TB) {
	t.Helper()
	if strings.Contains(p.body, "ASIA") || strings.Contains(p.body, "SigninToken") || strings.Contains(p.body, "SAMLResponse") {
		t.Errorf("%s hands something out:\n%s", p.url, p.body)
	}
}

func TestWithTheDirectoryDownPeopleSeeTheirLastListAndNothingIsHandedOut(t *testing.T) {
	t.Parallel()
	g := openGate(t, "max_age: 60s", "max_age: 1ms")
	b := g.browser(t)
	b.signIn("bob")
	s := record(t, g.cfg, nil)
	if err := g.Directory.Close(); err != nil {
		t.Fatal(err)
	}
	p := g.browser(t).post("/login", "username", "alice", "password", demo.Password)
	p.want(t, 503, "The directory cannot be reached.", "It says nothing about your password.")
	p.soon(t)
	if e := lastEvent(t, s); e.Kind != gatehouse.EventSignInRefused || e.Reason != "unavailable" {
		t.Errorf("the record says %s %s", e.Kind, e.Reason)
	}
	p = b.get("/")
	p.want(t, 200, "The directory cannot be reached right now.", "2 accounts, 2 roles.", "PowerUser")
	p.soon(t)
	p = b.post(powerUser, "as", "json")
	p.want(t, 503, "The directory cannot be reached.")
	p.soon(t)
	p.keyless(t)
	if e := lastEvent(t, s); e.Kind != gatehouse.EventRefused || e.Reason != "unavailable" || e.Username != "bob" {
		t.Errorf("the record says %s %s of %s", e.Kind, e.Reason, e.Username)
	}
	if p := b.get("/readyz"); p.status != http.StatusServiceUnavailable || !strings.Contains(p.body, "corp") {
		t.Errorf("/readyz answers %d %s", p.status, p.body)
	}
	if p := b.get("/healthz"); p.status != http.StatusOK {
		t.Errorf("/healthz answers %d: a replica would be restarted for nothing", p.status)
	}
}

func TestWithAWSDownThePageNamesIt(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	s := record(t, g.cfg, nil)
	tests := []struct {
		name string
		door cloud.Door
		kind cloud.FaultKind
		as   string
		says string
	}{
		{"STS hangs", cloud.DoorSTS, cloud.FaultHang, "json", "AWS STS does not answer."},
		{"STS talks nonsense", cloud.DoorSTS, cloud.FaultMalformed, "json", "AWS STS"},
		{"a hotel answers for STS", cloud.DoorSTS, cloud.FaultCaptive, "json", "AWS STS"},
		{"STS is unavailable", cloud.DoorSTS, cloud.FaultUnavailable, "json", "AWS STS"},
		{"STS fails inside", cloud.DoorSTS, cloud.FaultServerError, "json", "AWS STS"},
		{"STS is too busy", cloud.DoorSTS, cloud.FaultThrottle, "json", "AWS"},
		{"sign-in hangs", cloud.DoorSignIn, cloud.FaultHang, "console", "The AWS sign-in page does not answer."},
		{"sign-in talks nonsense", cloud.DoorSignIn, cloud.FaultMalformed, "console", "AWS sign-in"},
		{"a hotel answers for sign-in", cloud.DoorSignIn, cloud.FaultCaptive, "console", "AWS sign-in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g.Cloud.Fault(cloud.Fault{Door: tt.door, Kind: tt.kind, Times: -1})
			defer g.Cloud.Fault(cloud.Fault{Door: tt.door})
			p := b.post(powerUser, "as", tt.as)
			p.soon(t)
			p.keyless(t)
			if p.status < 500 || !strings.Contains(p.text(), tt.says) {
				t.Errorf("answered %d, want 5xx and %q:\n%s", p.status, tt.says, p.text())
			}
			e := lastEvent(t, s)
			if e.Kind != gatehouse.EventRefused || (e.Reason != "unavailable" && e.Reason != "refused_by_aws") || e.AssertionID == "" {
				t.Errorf("the record says %s %s, assertion %q", e.Kind, e.Reason, e.AssertionID)
			}
		})
	}
	t.Run("AWS is gone", func(t *testing.T) {
		if err := g.Cloud.Close(); err != nil {
			t.Fatal(err)
		}
		p := b.post(powerUser, "as", "json")
		p.want(t, 503, "AWS STS does not answer.")
		p.soon(t)
		b.get("/").want(t, 200, "2 accounts, 2 roles.")
		b.post(powerUser, "as", "post").want(t, 200, "Signing you in") // the browser asks AWS itself
	})
}

// locked holds the database's write lock, as a backup that hangs would.
func locked(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() { _, _ = tx.Rollback(), db.Close() }
}

func TestWithTheStoreLockedNobodySignsInAndNothingIsHandedOut(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	release := locked(t, strings.TrimPrefix(g.cfg.Store.URL, "sqlite://"))
	defer release()
	noneWithoutRecord(t, g, b)
	release()
	g.browser(t).signIn("alice") // it heals by itself
	b.credentials(t, powerUser)
}

// noneWithoutRecord asserts the first of the house's rules, with a store that
// takes nothing: no sign-in, no hand-out, and pages that name the store.
func noneWithoutRecord(t *testing.T, g *gate, signedIn *browser) {
	t.Helper()
	b := g.browser(t)
	p := b.post("/login", "username", "alice", "password", demo.Password)
	p.soon(t)
	if p.status != 503 || !strings.Contains(p.text(), "record store") || len(p.header.Values("Set-Cookie")) > 0 {
		t.Errorf("sign-in answered %d, cookies %q, want 503 and the record store named:\n%s", p.status, p.header.Values("Set-Cookie"), p.text())
	}
	for _, as := range []string{"json", "console", "post"} {
		p := signedIn.post(powerUser, "as", as)
		p.soon(t)
		p.keyless(t)
		if p.status != 503 || !strings.Contains(p.text(), "record") {
			t.Errorf("as=%s answered %d, want 503 and the record store named:\n%s", as, p.status, p.text())
		}
	}
	if p := b.get("/readyz"); p.status != http.StatusServiceUnavailable || !strings.Contains(p.body, `"subject":"store","state":"failure"`) {
		t.Errorf("/readyz answers %d %s", p.status, p.body)
	}
}

// What is under way when the end comes is answered; what comes later is not
// let in.
func TestWhatIsUnderWayIsAnsweredAtTheEnd(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the client leave
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer hangs.Close()
	g := openGate(t, "sts_endpoint: ", "sts_endpoint: "+hangs.URL+" # ")
	b := g.browser(t)
	b.signIn("bob")
	answered, ended := make(chan page, 1), make(chan error, 1)
	go func() { answered <- b.post(powerUser, "as", "json") }()
	<-asked
	go func() { ended <- g.end() }()
	(<-answered).want(t, 503, "AWS STS does not answer.")
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := http.Get(g.url); err == nil {
		t.Error("still answers after the end")
	}
}
