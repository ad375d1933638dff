package idp

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/saml"
)

const (
	wikiID   = "https://wiki.corp.example/sp"
	wikiPAOS = "https://wiki.corp.example/saml/ecp"
	wikiACS  = "https://wiki.corp.example/saml/acs"
)

var signingKey = sync.OnceValue(func() gatehouse.SigningKey {
	k, err := saml.NewSigningKey(time.Now(), "https://test")
	if err != nil {
		panic(err)
	}
	return k
})

// world is the door with everything around it, and a browser.
type world struct {
	t       testing.TB
	server  *httptest.Server
	mux     *http.ServeMux
	public  string // its URL as browsers see it
	acs     string
	others  []saml.ServiceProvider // besides the wiki
	browser *http.Client
	idp     *saml.IdP
	door    *Door
	sp      *crewjam.ServiceProvider
	records memory

	mu       sync.Mutex
	session  *gatehouse.Session // who is signed in; nil: nobody
	cookie   string             // what a browser must bring to be signed in; "": nothing
	asks     []gatehouse.Ask
	noted    map[string]time.Time // what was answered once, and until when it counts
	refusal  error                // what the Broker says instead of a grant
	astray   string               // where the Broker sends the answer instead
	problems []error
	declined []access.Post // what the way back takes along

	turns     int // taken and not given back
	busy      error
	attempts  []access.Attempt
	signInErr error

	posts []access.Post
	sent  []access.Dispatch
	ended []string      // person and session
	early time.Duration // how far the clock is ahead
}

func newWorld(t testing.TB) *world {
	t.Helper()
	mux := http.NewServeMux()
	w := newWorldOn(t, mux)
	w.furnish(mux)
	w.browser = w.newBrowser()
	return w
}

// newWorldOn is a world on mux that is not furnished yet.
func newWorldOn(t testing.TB, mux *http.ServeMux) *world {
	w := &world{t: t, server: httptest.NewTLSServer(mux), acs: wikiACS}
	w.public = w.server.URL
	return w
}

// furnish puts the door, and what else browsers come to, on mux.
func (w *world) furnish(mux *http.ServeMux) {
	w.t.Helper()
	w.mux = mux
	w.t.Cleanup(w.server.Close)
	var err error
	w.idp, err = saml.New(
		saml.Config{ServiceProviders: append(w.others, saml.ServiceProvider{Name: "Wiki", MetadataFile: w.wikiMetadata()})},
		saml.Endpoints{Metadata: w.public + "/saml/metadata", SSO: w.public + "/saml/sso", SLO: w.public + "/saml/slo", ECP: w.public + "/saml/ecp", AWS: []string{"https://signin.aws.amazon.com/saml"}},
		[]gatehouse.SigningKey{signingKey()}, make([]byte, 32), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.sp = w.serviceProvider()
	w.records.now = w.now
	w.door = New(Config{PublicURL: w.public, SessionMax: time.Hour}, w.idp, w, &w.records, slog.New(slog.DiscardHandler), w.now)
	mux.Handle("/saml/", w.door.Handler(w))
	mux.HandleFunc("/login", w.login)
	mux.HandleFunc("/go", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "which role?") })
	mux.HandleFunc("/{$}", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "roles: "+r.URL.RawQuery) })
}

// login is the sign-in page: it signs alice in and leads on by a link.
func (w *world) login(rw http.ResponseWriter, r *http.Request) {
	if w.cookie != "" {
		w.signIn(time.Now())
		http.SetCookie(rw, &http.Cookie{Name: "session", Value: w.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	fmt.Fprintf(rw, `<!doctype html><a id="next" href="%s">go on</a>`, html.EscapeString(r.URL.Query().Get("next")))
}

func (w *world) now() time.Time { return time.Now().Add(w.early) }

// newBrowser keeps cookies and follows redirects, as browsers do.
func (w *world) newBrowser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := *w.server.Client()
	c.Jar = jar
	return &c
}

func (w *world) wikiMetadata() string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "wiki.xml")
	document := `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + wikiID + `">
<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` + w.acs + `" index="0"/>
<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:PAOS" Location="` + wikiPAOS + `" index="1"/>
</md:SPSSODescriptor></md:EntityDescriptor>`
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// serviceProvider is crewjam's, which has read our metadata.
func (w *world) serviceProvider() *crewjam.ServiceProvider {
	w.t.Helper()
	var entity crewjam.EntityDescriptor
	if err := xml.Unmarshal(w.idp.Metadata(), &entity); err != nil {
		w.t.Fatal(err)
	}
	acs, _ := url.Parse(w.acs)
	return &crewjam.ServiceProvider{
		EntityID: wikiID, AcsURL: *acs, IDPMetadata: &entity, AllowIDPInitiated: true,
		AuthnNameIDFormat: crewjam.PersistentNameIDFormat,
	}
}

// The pages, the Broker and the store, as far as the door needs them.

func (w *world) Session(r *http.Request) (gatehouse.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := r.Cookie("session")
	if w.session == nil || (w.cookie != "" && (err != nil || c.Value != w.cookie)) {
		return gatehouse.Session{}, gatehouse.ErrNoSession
	}
	return *w.session, nil
}

func (w *world) Turn(*http.Request) (leave func(), err error) {
	w.turns++
	return func() { w.turns-- }, w.busy
}

func (w *world) SignIn(_ context.Context, a access.Attempt) (gatehouse.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts = append(w.attempts, a)
	if p := a.Proof.(access.Password); w.signInErr == nil && (p.Username != "alice" || p.Password != "päss:word") {
		return gatehouse.Session{}, gatehouse.ErrInvalidCredentials
	}
	return gatehouse.Session{ID: "program", User: gatehouse.User{Directory: "corp", ID: "1", Username: "alice"}, ProvedAt: time.Now(), Door: a.Door}, w.signInErr
}

func (w *world) Post(rw http.ResponseWriter, _ *http.Request, p access.Post) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.posts = append(w.posts, p)
	_, err := fmt.Fprintf(rw, `<!doctype html><form method="post" action="%s"><input type="hidden" name="SAMLResponse" value="%s"><input type="hidden" name="RelayState" value="%s"><button id="post">Post</button></form>`,
		html.EscapeString(p.URL), html.EscapeString(string(p.SAMLResponse)), html.EscapeString(p.RelayState))
	return err
}

func (w *world) Dispatch(rw http.ResponseWriter, _ *http.Request, d access.Dispatch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, d)
	_, err := fmt.Fprintf(rw, "signing out at %s", d.To)
	return err
}

func (w *world) SignOut(_ http.ResponseWriter, _ *http.Request, person string, sessions []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range sessions {
		w.ended = append(w.ended, person+" "+id)
		if w.session != nil && w.session.ID == id {
			w.session = nil
		}
	}
	return nil
}

func (w *world) Decline(rw http.ResponseWriter, r *http.Request, err error, refusal access.Post) {
	w.declined = append(w.declined, refusal)
	w.Problem(rw, r, err)
}

func (w *world) Problem(rw http.ResponseWriter, _ *http.Request, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, err)
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, gatehouse.ErrInvalid):
		status = http.StatusBadRequest
	case errors.Is(err, gatehouse.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, gatehouse.ErrNotEntitled):
		status = http.StatusForbidden
	case errors.Is(err, gatehouse.ErrTwice):
		status = http.StatusConflict
	}
	rw.WriteHeader(status)
}

func (w *world) Grant(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask) (access.Grant, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asks = append(w.asks, ask)
	if w.refusal != nil {
		return access.Grant{}, w.refusal
	}
	if err := w.note(ask.Once); err != nil {
		return access.Grant{}, err
	}
	if ask.Role != "" {
		return w.grantRole(ctx, s, ask)
	}
	sp, ok := w.idp.Provider(ask.Provider)
	if !ok || !w.idp.Registered(ask.Provider, ask.ACS, s.Door == gatehouse.DoorECP) {
		return access.Grant{}, gatehouse.ErrNotFound
	}
	name, err := w.idp.Subject(s, sp, ask.NameIDFormat)
	if err != nil {
		return access.Grant{}, err
	}
	r, err := w.idp.Respond(ctx, saml.Assertion{Recipient: ask.ACS, Audience: sp.EntityID, InResponseTo: ask.InResponseTo,
		NameID: name, AuthnInstant: s.ProvedAt, SessionIndex: "_index of " + s.ID, Sign: sp.Sign, ECP: s.Door == gatehouse.DoorECP})
	told := saml.Participant{Provider: sp.EntityID, NameID: name, SessionIndex: "_index of " + s.ID}
	return access.Grant{Ask: ask, Participant: told, Post: &access.Post{URL: w.astray + r.Destination, SAMLResponse: r.Encoded}}, err
}

// note says what the record does.
func (w *world) note(o gatehouse.Once) error {
	if o.Key == "" {
		return nil
	}
	if w.now().Before(w.noted[o.Key]) {
		return gatehouse.ErrTwice
	}
	if w.noted == nil {
		w.noted = map[string]time.Time{}
	}
	w.noted[o.Key] = o.Until
	return nil
}

// grantRole grants a role as the Broker does.
func (w *world) grantRole(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask) (access.Grant, error) {
	r, err := w.idp.Respond(ctx, saml.Assertion{Recipient: "https://signin.aws.amazon.com/saml", Audience: "urn:amazon:webservices",
		NameID: saml.NameID{Value: "n"}, AuthnInstant: s.ProvedAt, SessionIndex: "_i", Sign: saml.SignBoth, ECP: s.Door == gatehouse.DoorECP,
		AWS: &saml.AWS{Roles: []saml.RolePair{{RoleARN: "arn:aws:iam::" + ask.Account + ":role/" + ask.Role, ProviderARN: "arn:aws:iam::" + ask.Account + ":saml-provider/G"}},
			RoleSessionName: "alice", SessionDuration: time.Hour}})
	return access.Grant{Ask: ask, Post: &access.Post{URL: r.Destination, SAMLResponse: r.Encoded}}, err
}

// memory is a store of records.
type memory struct {
	mu  sync.Mutex
	all map[string]record
	now func() time.Time
}

type record struct {
	owner   string
	body    []byte
	expires time.Time
}

func (m *memory) Put(_ context.Context, kind, key, owner string, body []byte, expires time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]record{}
	}
	m.all[kind+" "+key] = record{owner, slices.Clone(body), expires}
	return nil
}

func (m *memory) Get(_ context.Context, kind, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.all[kind+" "+key]
	if !ok || !m.now().Before(r.expires) {
		return nil, gatehouse.ErrNotFound
	}
	return r.body, nil
}

func (m *memory) Take(ctx context.Context, kind, key string) ([]byte, error) {
	body, err := m.Get(ctx, kind, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, kind+" "+key)
	return body, err
}

func (m *memory) Forget(_ context.Context, kind, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, kind+" "+key)
	return nil
}

func (m *memory) ListOwner(_ context.Context, kind, owner string) ([]gatehouse.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []gatehouse.Record
	for key, r := range m.all {
		if strings.HasPrefix(key, kind+" ") && r.owner == owner {
			list = append(list, gatehouse.Record{ID: key, Body: r.body, Expires: r.expires})
		}
	}
	slices.SortFunc(list, func(a, b gatehouse.Record) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// waiting counts the requests and sign-outs that wait in the store.
func (w *world) waiting() int {
	n := 0
	for key := range w.records.all {
		if !strings.HasPrefix(key, participantKind) {
			n++
		}
	}
	return n
}

// signIn makes alice the one who is signed in, proved at that moment.
func (w *world) signIn(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session = &gatehouse.Session{ID: "s", User: gatehouse.User{Directory: "corp", ID: "1", Username: "alice"}, ProvedAt: at}
}

// visit is what the browser gets at last, and where.
type visit struct {
	status int
	at     string // path and query
	body   string
	header http.Header
}

func (w *world) do(browser *http.Client, r *http.Request) visit {
	w.t.Helper()
	resp, err := browser.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return visit{resp.StatusCode, resp.Request.URL.RequestURI(), string(body), resp.Header}
}

func (w *world) get(target string) visit {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), "GET", w.abs(target), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(w.browser, r)
}

func (w *world) abs(target string) string {
	if strings.HasPrefix(target, "/") {
		return w.public + target
	}
	return target
}

// post sends a form as another site's page would.
func (w *world) post(target string, form url.Values) visit {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), "POST", w.abs(target), strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "https://wiki.corp.example")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return w.do(w.browser, r)
}

// request makes an AuthnRequest of the wiki; alter may change it.
func (w *world) request(binding string, alter func(*crewjam.AuthnRequest)) *crewjam.AuthnRequest {
	w.t.Helper()
	r, err := w.sp.MakeAuthenticationRequest(w.public+"/saml/sso", binding, crewjam.HTTPPostBinding)
	if err != nil {
		w.t.Fatal(err)
	}
	if alter != nil {
		alter(r)
	}
	return r
}

func (w *world) redirectURL(r *crewjam.AuthnRequest, relayState string) string {
	w.t.Helper()
	u, err := r.Redirect("", w.sp)
	if err != nil {
		w.t.Fatal(err)
	}
	if relayState != "" { // crewjam does not escape it
		u.RawQuery += "&RelayState=" + url.QueryEscape(relayState)
	}
	return u.String()
}

// lastPost is what was last handed to the browser to post.
func (w *world) lastPost() access.Post {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.posts) == 0 {
		w.t.Fatalf("nothing was posted; problems: %v", w.problems)
	}
	return w.posts[len(w.posts)-1]
}

// accepted lets the provider read what was posted to it.
func (w *world) accepted(p access.Post, ids ...string) (*crewjam.Assertion, error) {
	w.t.Helper()
	document, err := base64.StdEncoding.DecodeString(string(p.SAMLResponse))
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.sp.ParseXMLResponse(document, ids, w.sp.AcsURL)
	var invalid *crewjam.InvalidResponseError
	if errors.As(err, &invalid) {
		err = invalid.PrivateErr
	}
	return a, err
}
