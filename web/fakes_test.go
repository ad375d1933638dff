package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

// start is when every test begins.
var start = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

// publicURL is where the tests' portal is.
const publicURL = "https://aws.corp.example.com"

// fakeRecords keeps records in memory, by hash, with the test's clock.
type fakeRecords struct {
	mu   sync.Mutex
	now  func() time.Time
	rows map[string]fakeRecord
	err  error // when set, nothing answers
	deny error // when set, nothing is written
	sets int   // writes so far
}

type fakeRecord struct {
	owner   string
	body    []byte
	expires time.Time
}

func hashed(kind, key string) string { return fmt.Sprintf("%s %x", kind, sha256.Sum256([]byte(key))) }

func (f *fakeRecords) write(change func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if f.deny != nil {
		return f.deny
	}
	f.sets++
	return change()
}

func (f *fakeRecords) Put(_ context.Context, kind, key, owner string, body []byte, expires time.Time) error {
	return f.write(func() error {
		f.rows[hashed(kind, key)] = fakeRecord{owner, bytes.Clone(body), expires}
		return nil
	})
}

func (f *fakeRecords) Get(_ context.Context, kind, key string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	r, ok := f.rows[hashed(kind, key)]
	if !ok || !r.expires.After(f.now()) {
		return nil, gatehouse.ErrNotFound
	}
	return r.body, nil
}

func (f *fakeRecords) change(kind, key string, change func(*fakeRecord)) error {
	return f.write(func() error {
		r, ok := f.rows[hashed(kind, key)]
		if !ok {
			return gatehouse.ErrNotFound
		}
		change(&r)
		f.rows[hashed(kind, key)] = r
		return nil
	})
}

func (f *fakeRecords) Touch(_ context.Context, kind, key string, expires time.Time) error {
	return f.change(kind, key, func(r *fakeRecord) { r.expires = expires })
}

func (f *fakeRecords) Replace(_ context.Context, kind, key string, body []byte) error {
	return f.change(kind, key, func(r *fakeRecord) { r.body = bytes.Clone(body) })
}

func (f *fakeRecords) Forget(_ context.Context, kind, key string) error {
	return f.write(func() error { delete(f.rows, hashed(kind, key)); return nil })
}

func (f *fakeRecords) ForgetOwner(_ context.Context, _, owner string) (int, error) {
	n := 0
	return n, f.write(func() error {
		for k, r := range f.rows {
			if r.owner == owner {
				delete(f.rows, k)
				n++
			}
		}
		return nil
	})
}

func (f *fakeRecords) Take(ctx context.Context, kind, key string) ([]byte, error) {
	body, err := f.Get(ctx, kind, key)
	if err != nil {
		return nil, err
	}
	return body, f.Forget(ctx, kind, key)
}

func (f *fakeRecords) Once(ctx context.Context, key string, until time.Time) (bool, error) {
	_, err := f.Get(ctx, onceKind, key)
	if !errors.Is(err, gatehouse.ErrNotFound) {
		return false, err
	}
	return true, f.Put(ctx, onceKind, key, "", nil, until)
}

func (f *fakeRecords) ListOwner(_ context.Context, kind, owner string) (list []gatehouse.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, r := range f.rows {
		if id, ok := strings.CutPrefix(k, kind+" "); ok && r.owner == owner && r.expires.After(f.now()) {
			list = append(list, gatehouse.Record{ID: id, Body: r.body, Expires: r.expires})
		}
	}
	slices.SortFunc(list, func(a, b gatehouse.Record) int { return strings.Compare(a.ID, b.ID) })
	return list, f.err
}

func (f *fakeRecords) Trim(_ context.Context, kind, owner string, most int) (list []gatehouse.Record, err error) {
	err = f.write(func() error {
		for k, r := range f.rows {
			if strings.HasPrefix(k, kind+" ") && r.owner == owner {
				list = append(list, gatehouse.Record{ID: k, Body: r.body, Expires: r.expires})
			}
		}
		slices.SortFunc(list, func(a, b gatehouse.Record) int { return b.Expires.Compare(a.Expires) })
		list = list[min(most, len(list)):]
		for _, r := range list {
			delete(f.rows, r.ID)
		}
		return nil
	})
	return list, err
}

func (f *fakeRecords) ForgetID(_ context.Context, kind, owner, id string) error {
	return f.write(func() error {
		r, ok := f.rows[kind+" "+id]
		if !ok || r.owner != owner {
			return gatehouse.ErrNotFound
		}
		delete(f.rows, kind+" "+id)
		return nil
	})
}

// fakePeople keeps preferences in memory.
type fakePeople struct {
	mu   sync.Mutex
	rows map[string]map[string][]byte
	err  error  // when set, nothing answers
	race func() // when set, happens once between reading and writing
}

func (f *fakePeople) Preferences(_ context.Context, person string) (map[string][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.rows[person]), f.err
}

func (f *fakePeople) SwapPreference(_ context.Context, person, key string, old, body []byte) error {
	if race := f.race; race != nil {
		f.race = nil
		race()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if !bytes.Equal(f.rows[person][key], old) {
		return gatehouse.ErrConflict
	}
	if f.rows[person] == nil {
		f.rows[person] = map[string][]byte{}
	}
	f.rows[person][key] = body
	return nil
}

// fakeEvents is a record that is read only.
type fakeEvents struct {
	all   []gatehouse.Event
	asked []gatehouse.EventQuery
	err   error
}

func (f *fakeEvents) Events(_ context.Context, q gatehouse.EventQuery) (list []gatehouse.Event, err error) {
	f.asked = append(f.asked, q)
	for _, e := range f.all {
		if e.Person == q.Person && (q.Kind == "" || e.Kind == q.Kind) && (q.Until.IsZero() || e.Time.Before(q.Until)) {
			list = append(list, e)
		}
	}
	return list, f.err
}

// fakeBroker knows alice, and answers with what the test put in.
type fakeBroker struct {
	mu           sync.Mutex
	now          func() time.Time
	user         gatehouse.User
	entitlements []gatehouse.Entitlement
	applications []gatehouse.Application
	accounts     []gatehouse.Account // that nobody here has a role in

	signInErr, refreshErr, grantErr, signOutErr error
	changeErr                                   error
	lower                                       time.Duration    // what the role allows; zero: what was asked
	known                                       time.Duration    // what the role is known to allow
	refuse                                      map[string]error // by role
	explanation                                 access.Explanation
	post                                        *access.Post
	releases                                    []access.Release
	consoleURL                                  gatehouse.Secret // empty: one of AWS

	attempts []access.Attempt
	changes  []access.PasswordChange
	asks     []gatehouse.Ask
	signOuts int
	ended    []string // sessions whose end was recorded
	panics   bool
}

func (f *fakeBroker) SignIn(_ context.Context, a access.Attempt) (gatehouse.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempts = append(f.attempts, a)
	if f.signInErr != nil {
		return gatehouse.Session{}, f.signInErr
	}
	if t, ok := a.Proof.(access.Ticket); ok {
		if string(t.Token) != "alice's ticket" {
			return gatehouse.Session{}, fmt.Errorf("ticket: %w", gatehouse.ErrInvalidCredentials)
		}
		return gatehouse.Session{ID: "s-1", User: f.user, Methods: []string{"kerberos"}, ProvedAt: f.now().Add(-time.Hour), Door: a.Door, IP: a.IP}, nil
	}
	if p := a.Proof.(access.Password); p.Username != "alice" || p.Password != "correct horse" {
		return gatehouse.Session{}, fmt.Errorf("bind: %w", gatehouse.ErrInvalidCredentials)
	}
	return gatehouse.Session{ID: fmt.Sprint("s-", len(f.attempts)), User: f.user, Methods: []string{"password"}, ProvedAt: f.now(), Door: a.Door, IP: a.IP}, nil
}

func (f *fakeBroker) ChangePassword(_ context.Context, c access.PasswordChange) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, c)
	if f.changeErr != nil {
		return "", f.changeErr
	}
	return f.user.Key(), nil
}

// Device has the one shape that cookies must carry unharmed.
func (f *fakeBroker) Device(person string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("mark of " + person))
}

func (f *fakeBroker) Refresh(_ context.Context, s gatehouse.Session) (gatehouse.Session, error) {
	if f.panics {
		panic("broker fell over")
	}
	return s, f.refreshErr
}

func (f *fakeBroker) Entitlements(gatehouse.Session) []gatehouse.Entitlement { return f.entitlements }

func (f *fakeBroker) Applications(gatehouse.Session) []gatehouse.Application { return f.applications }

func (f *fakeBroker) Releases(gatehouse.Session) []access.Release { return f.releases }

func (f *fakeBroker) Grant(_ context.Context, _ gatehouse.Session, a gatehouse.Ask) (access.Grant, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asks = append(f.asks, a)
	if f.grantErr != nil {
		return access.Grant{}, f.grantErr
	}
	if err := f.refuse[a.Role]; err != nil {
		return access.Grant{}, err
	}
	e, ok := find(f.entitlements, a.Account, a.Role)
	if !ok {
		return access.Grant{}, gatehouse.ErrNotEntitled
	}
	g := access.Grant{ID: "e-1", Entitlement: e, Ask: a}
	if a.Form == gatehouse.FormPost {
		g.Post = f.post
		return g, nil
	}
	asked := a.Duration
	if asked == 0 {
		asked = e.MaxSession
	}
	lasts := asked
	if f.lower > 0 && f.lower < asked {
		g.LoweredFrom, lasts = asked, f.lower
	}
	g.Credentials = gatehouse.Credentials{AccessKeyID: "ASIAQ3EGXAMPLE7KWZ2M", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		SessionToken: "IQoJb3JpZ2luX2VjEXAMPLE" + gatehouse.Secret(strings.Repeat("Tok3n/+", 60)), Expires: f.now().Add(lasts), Lasts: lasts,
		AssumedRoleARN: "arn:aws:sts::" + a.Account + ":assumed-role/" + e.Role.Name + "/alice"}
	if a.Form == gatehouse.FormConsole {
		g.ConsoleURL = f.consoleURL
	}
	if a.Form == gatehouse.FormConsole && f.consoleURL == "" {
		g.ConsoleURL = "https://signin.aws.amazon.com/federation?Action=login&SigninToken=t0k%2Ben&Destination=https%3A%2F%2Fconsole.aws.amazon.com%2F"
	}
	return g, nil
}

func (f *fakeBroker) Scopes(string) []access.Offer {
	return []access.Offer{{Name: "read-only", Title: "Read-only"}, {Name: "my-address", Title: "Only from my address", Why: "Your address here is a private one."}}
}

func (f *fakeBroker) Longest(_ context.Context, e gatehouse.Entitlement) (time.Duration, bool) {
	if f.known > 0 && f.known < e.MaxSession {
		return f.known, true
	}
	return e.MaxSession, false
}

func (f *fakeBroker) Opens(account gatehouse.Account, _, wish string) bool {
	u, err := url.Parse(wish)
	if err != nil {
		return false
	}
	mine := strings.TrimPrefix(u.Host, account.ID+"-abc123.")
	return u.Host == "" || mine == "console.aws.amazon.com" || strings.HasSuffix(mine, ".console.aws.amazon.com") && strings.Count(mine, ".") == 4
}

func (f *fakeBroker) Explain(_ gatehouse.Session, account, role string) access.Explanation {
	x := f.explanation
	for _, e := range f.entitlements {
		if e.Role.Account == account && (role == "" || e.Role.Name == role) {
			x.Has = append(x.Has, e)
		}
	}
	return x
}

func (f *fakeBroker) Accounts() []gatehouse.Account {
	all := slices.Clone(f.accounts)
	for _, e := range f.entitlements {
		if !slices.Contains(all, e.Account) {
			all = append(all, e.Account)
		}
	}
	return all
}

func (f *fakeBroker) SignOut(_ context.Context, s gatehouse.Session) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = append(f.ended, s.ID)
	f.signOuts++
	return f.signOutErr
}

// entitlement is one role of an account, for at most four hours.
func entitlement(id, name, environment, owner, role string) gatehouse.Entitlement {
	return gatehouse.Entitlement{
		Account:    gatehouse.Account{ID: id, Name: name, Environment: environment, Owner: owner, Provider: "Gatehouse", Region: "eu-west-1"},
		Role:       gatehouse.Role{Account: id, Path: "/", Name: role},
		Via:        []gatehouse.Via{{Group: gatehouse.Group{DN: "CN=g", Name: "g"}}},
		MaxSession: 4 * time.Hour,
	}
}

// house is a running portal with its fakes.
type house struct {
	t       testing.TB
	server  *Server
	broker  *fakeBroker
	records *fakeRecords
	people  *fakePeople
	events  *fakeEvents
	logs    *lockedBuffer
	clock   time.Time
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newHouse opens a portal; change may alter its configuration.
func newHouse(t testing.TB, change ...func(*Config, *Deps)) *house {
	t.Helper()
	h := &house{t: t, logs: new(lockedBuffer), clock: start}
	now := func() time.Time { return h.clock }
	h.records = &fakeRecords{now: now, rows: map[string]fakeRecord{}}
	h.broker = &fakeBroker{now: now, user: gatehouse.User{Directory: "corp", ID: "0001", Username: "alice", DN: "CN=Alice Ng,DC=corp",
		DisplayName: "Alice Ng", Groups: []gatehouse.Group{{DN: "CN=g", Name: "g"}}, ReadAt: start}}
	h.broker.entitlements = []gatehouse.Entitlement{
		entitlement("111122223333", "Payments", "prod", "pay-oncall@corp.example.com", "Admin"),
		entitlement("111122223333", "Payments", "prod", "pay-oncall@corp.example.com", "ReadOnly"),
		entitlement("444455556666", "Sandbox", "dev", "", "PowerUser"),
	}
	cfg := Config{PublicURL: publicURL, DrainDelay: new(time.Duration)}
	h.people, h.events = &fakePeople{rows: map[string]map[string][]byte{}}, new(fakeEvents)
	deps := Deps{Broker: h.broker, Records: h.records, People: h.people, Events: h.events, Now: now,
		Log: slog.New(slog.NewTextHandler(h.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(&cfg, &deps)
	}
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	h.server = s
	return h
}

// do sends one request as a browser on our own pages would.
func (h *house) do(r *http.Request) *http.Response {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.server.Handler().ServeHTTP(w, r)
	return w.Result()
}

func request(method, path, cookie string, form url.Values) *http.Request {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, publicURL+path, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-gatehouse", Value: cookie})
	}
	return r
}

func (h *house) get(path, cookie string) *http.Response {
	return h.do(request("GET", path, cookie, nil))
}

func (h *house) post(path, cookie string, form url.Values) *http.Response {
	return h.do(request("POST", path, cookie, form))
}

// signIn signs alice in and returns the cookie's value.
func (h *house) signIn() string {
	h.t.Helper()
	res := h.post("/login", "", url.Values{"username": {"alice"}, "password": {"correct horse"}})
	if res.StatusCode != http.StatusSeeOther {
		h.t.Fatalf("sign-in answered %d: %s", res.StatusCode, body(h.t, res))
	}
	return sessionCookie(h.t, res).Value
}

func sessionCookie(t testing.TB, res *http.Response) *http.Cookie {
	t.Helper()
	i := slices.IndexFunc(res.Cookies(), func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, "gatehouse") })
	if i < 0 {
		t.Fatalf("no session cookie in %v", res.Header)
	}
	return res.Cookies()[i]
}

func body(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantStatus ends the test unless res has the status; it returns the body.
func wantStatus(t testing.TB, res *http.Response, status int) string {
	t.Helper()
	b := body(t, res)
	if res.StatusCode != status {
		t.Fatalf("answered %d, want %d:\n%s", res.StatusCode, status, b)
	}
	return b
}

func wantContains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("missing %q in:\n%s", p, text)
		}
	}
}

func wantLacks(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("unwanted %q in:\n%s", p, text)
		}
	}
}
