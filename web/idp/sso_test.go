package idp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/saml"
	"gatehouse/web/inbound"
)

// State with everything in it that a careless hop would alter.
const relayState = `/page?a=b&c=%20+"<ü>😀`

func TestServiceProviderSignsPeopleIn(t *testing.T) {
	for _, tt := range []struct {
		name string
		send func(*world, *crewjam.AuthnRequest) visit
	}{
		{"by redirect", func(w *world, r *crewjam.AuthnRequest) visit { return w.get(w.redirectURL(r, relayState)) }},
		{"by a cross-site POST", func(w *world, r *crewjam.AuthnRequest) visit {
			return w.post("/saml/sso", url.Values{"SAMLRequest": {w.encoded(r)}, "RelayState": {relayState}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			r := w.request(crewjam.HTTPRedirectBinding, nil)
			login := tt.send(w, r)
			next := mustURL(t, login.at).Query().Get("next")
			if login.status != 200 || !strings.HasPrefix(login.at, "/login?next=") || !strings.HasPrefix(next, "/saml/continue?request=") {
				t.Fatalf("came to %d %s, want the sign-in page", login.status, login.at)
			}
			w.signIn(time.Now())
			if v := w.get(next); v.status != 200 || v.header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%d %v, problems %v", v.status, v.header, w.problems)
			}
			p := w.lastPost()
			if p.URL != wikiACS || p.RelayState != relayState {
				t.Errorf("posts %q to %s", p.RelayState, p.URL)
			}
			a, err := w.accepted(p, r.ID)
			if err != nil || a.Subject.NameID.Value != w.idp.NameID("corp/1", wikiID) {
				t.Fatalf("the provider says %v to %+v", err, a)
			}
			want := gatehouse.Ask{Provider: wikiID, Form: gatehouse.FormPost, InResponseTo: r.ID, ACS: wikiACS, RelayState: relayState,
				NameIDFormat: saml.NameIDPersistent, IP: "127.0.0.1",
				Once: gatehouse.Once{Key: "saml request " + wikiID + " " + r.ID, Until: r.IssueInstant.Add(5*time.Minute + parkedFor).UTC().Truncate(time.Millisecond)}}
			if diff := cmp.Diff(want, w.asks[0]); diff != "" {
				t.Errorf("asked otherwise:\n%s", diff)
			}
		})
	}
}

func (w *world) encoded(r *crewjam.AuthnRequest) string {
	w.t.Helper()
	document, err := etree.NewDocumentWithRoot(r.Element()).WriteToBytes()
	if err != nil {
		w.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(document)
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestTwoTabsDoNotMix(t *testing.T) {
	w := newWorld(t)
	first, second := w.request(crewjam.HTTPRedirectBinding, nil), w.request(crewjam.HTTPRedirectBinding, nil)
	one := mustURL(t, w.get(w.redirectURL(first, "first")).at).Query().Get("next")
	two := mustURL(t, w.get(w.redirectURL(second, "second")).at).Query().Get("next")
	w.signIn(time.Now())
	w.get(two)
	if a, err := w.accepted(w.lastPost(), second.ID); err != nil || w.lastPost().RelayState != "second" {
		t.Errorf("second tab: %v %+v", err, a)
	}
	w.get(one)
	if a, err := w.accepted(w.lastPost(), first.ID); err != nil || w.lastPost().RelayState != "first" {
		t.Errorf("first tab: %v %+v", err, a)
	}
}

func TestParkedRequestIsAnsweredOnceInTimeAndInItsBrowser(t *testing.T) {
	parkedIn := func(t *testing.T) (*world, string) {
		w := newWorld(t)
		v := w.get(w.redirectURL(w.request(crewjam.HTTPRedirectBinding, nil), ""))
		w.signIn(time.Now())
		return w, mustURL(t, v.at).Query().Get("next")
	}
	for _, tt := range []struct {
		name string
		try  func(w *world, next string) visit
	}{
		{"a second time", func(w *world, next string) visit { w.get(next); return w.get(next) }},
		{"after ten minutes", func(w *world, next string) visit { w.early = parkedFor; return w.get(next) }},
		{"in another browser", func(w *world, next string) visit { w.browser = w.newBrowser(); return w.get(next) }},
		{"in a browser that guesses the cookie", func(w *world, next string) visit {
			w.browser = w.newBrowser()
			name := "__Host-gatehouse-saml-" + mustURL(w.t, next).Query().Get("request")[:8]
			w.browser.Jar.SetCookies(mustURL(w.t, w.public), []*http.Cookie{{Name: name, Value: "guess", Path: "/", Secure: true}})
			return w.get(next)
		}},
		{"another handle", func(w *world, _ string) visit { return w.get(pathOf("AAAAAAAAAAAAAAAAAAAAAAAAAA")) }},
		{"no handle", func(w *world, _ string) visit { return w.get(continuePath) }},
		{"a handle that is none", func(w *world, _ string) visit { return w.get(pathOf("../../etc/passwd")) }},
		{"a short handle", func(w *world, _ string) visit { return w.get(pathOf("AAA")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, next := parkedIn(t)
			before := len(w.posts)
			v := tt.try(w, next)
			if v.status != http.StatusBadRequest || len(w.problems) != 1 || len(w.posts) > before+1 {
				t.Errorf("%d, problems %v, posts %d", v.status, w.problems, len(w.posts))
			}
		})
	}
}

// A request that somebody loads again, or another brings, opens nothing.
func TestARequestIsAnsweredOnceByWhicheverBinding(t *testing.T) {
	t.Run("loaded again by whoever is signed in", func(t *testing.T) {
		w := newWorld(t)
		w.signIn(time.Now())
		r := w.request(crewjam.HTTPRedirectBinding, nil)
		address := w.redirectURL(r, relayState)
		if v := w.get(address); v.status != http.StatusOK {
			t.Fatalf("the first time: %d, %v", v.status, w.problems)
		}
		again := map[string]func() visit{
			"the same":           func() visit { return w.get(address) },
			"with other state":   func() visit { return w.get(w.redirectURL(r, "other")) },
			"in a form":          func() visit { return w.post("/saml/sso", url.Values{"SAMLRequest": {w.encoded(r)}}) },
			"in another browser": func() visit { w.browser = w.newBrowser(); return w.get(address) },
			"at the last moment": func() visit { w.early = 5*time.Minute - time.Second; return w.get(address) },
		}
		for name, try := range again {
			if v := try(); v.status != http.StatusConflict || len(w.posts) != 1 {
				t.Errorf("%s: %d, %d answers; %v", name, v.status, len(w.posts), w.problems)
			}
		}
		if len(w.declined) > 0 || w.waiting() != 0 {
			t.Errorf("%d refusals to take along, %d that wait", len(w.declined), w.waiting())
		}
	})
	t.Run("parked twice, and one of them for as long as can be", func(t *testing.T) {
		w := newWorld(t)
		r := w.request(crewjam.HTTPRedirectBinding, nil)
		one := mustURL(t, w.get(w.redirectURL(r, "")).at).Query().Get("next")
		two := mustURL(t, w.get(w.redirectURL(r, "")).at).Query().Get("next")
		w.signIn(time.Now())
		if v := w.get(two); v.status != http.StatusOK {
			t.Fatalf("%d, %v", v.status, w.problems)
		}
		w.early = parkedFor - time.Second
		if v := w.get(one); v.status != http.StatusConflict || len(w.posts) != 1 || w.waiting() != 0 {
			t.Errorf("the other tab: %d, %d answers, %d that wait", v.status, len(w.posts), w.waiting())
		}
	})
	t.Run("where nothing may be shown, the provider is told", func(t *testing.T) {
		w := newWorld(t)
		w.signIn(time.Now())
		yes := true
		r := w.request(crewjam.HTTPRedirectBinding, func(r *crewjam.AuthnRequest) { r.IsPassive = &yes })
		w.get(w.redirectURL(r, ""))
		if v := w.get(w.redirectURL(r, "")); v.status != http.StatusOK || statusOf(t, w, r.ID) != saml.StatusNoPassive {
			t.Errorf("%d, %v", v.status, w.problems)
		}
	})
	t.Run("of a program", func(t *testing.T) {
		w := newWorld(t)
		body := soapRequest("", "")
		if v := w.program(body, nil); v.status != http.StatusOK || !strings.Contains(v.body, "<saml2:Assertion ") {
			t.Fatalf("%d %s", v.status, v.body)
		}
		if v := w.program(body, nil); v.status != http.StatusOK || strings.Contains(v.body, "Assertion ") || !strings.Contains(v.body, saml.StatusRequestDenied) {
			t.Errorf("again: %d %s", v.status, v.body)
		}
	})
	t.Run("of a program, in AWS's name", func(t *testing.T) {
		w := newWorld(t)
		body := strings.Replace(soapRequest("", ""), wikiID, "urn:amazon:webservices", 1)
		to := func(r *http.Request) { r.URL.Path += "/111122223333/ReadOnly" }
		if v := w.program(body, to); v.status != http.StatusOK {
			t.Fatalf("%d %s", v.status, v.body)
		}
		if v := w.program(body, to); v.status != http.StatusBadRequest || !strings.Contains(v.body, "<S:Fault>") {
			t.Errorf("again: %d %s", v.status, v.body)
		}
	})
	if one, other := once(saml.Request{ID: "_1", Provider: "a"}), once(saml.Request{ID: "_1", Provider: "b"}); one == other {
		t.Error("two providers cannot have requests of one ID")
	}
	if o := once(saml.Request{Provider: "a"}); o != (gatehouse.Once{}) {
		t.Errorf("what began here: %+v", o)
	}
}

func TestWhoIsSignedInIsSentOnAtOnce(t *testing.T) {
	w := newWorld(t)
	w.signIn(time.Now())
	r := w.request(crewjam.HTTPRedirectBinding, nil)
	w.refusal = gatehouse.ErrNotEntitled
	if v := w.get(w.redirectURL(r, relayState)); v.status != http.StatusForbidden {
		t.Errorf("%d %v", v.status, w.problems)
	}
	w.refusal = nil
	w.get(w.redirectURL(r, relayState))
	if _, err := w.accepted(w.lastPost(), r.ID); err != nil || w.lastPost().RelayState != relayState || w.waiting() != 0 {
		t.Errorf("%v, %q, %d parked", err, w.lastPost().RelayState, w.waiting())
	}
}

func TestAnswerForAnotherPlaceIsNotPosted(t *testing.T) {
	w := newWorld(t)
	w.signIn(time.Now())
	w.astray = "https://evil.example/?"
	if v := w.get(w.redirectURL(w.request(crewjam.HTTPRedirectBinding, nil), "")); v.status != 500 || len(w.posts) != 0 {
		t.Errorf("%d, posts %+v", v.status, w.posts)
	}
}

func TestFailedGrantLosesNothing(t *testing.T) {
	w := newWorld(t)
	r := w.request(crewjam.HTTPRedirectBinding, nil)
	next := mustURL(t, w.get(w.redirectURL(r, "")).at).Query().Get("next")
	w.signIn(time.Now())
	w.refusal = fmt.Errorf("no: %w", gatehouse.ErrNotEntitled)
	if v := w.get(next); v.status != http.StatusForbidden || len(w.posts) != 0 {
		t.Errorf("%d, %d posts", v.status, len(w.posts))
	}
	w.posts = w.declined // the person reads why, and may take the refusal back
	if got := statusOf(t, w, r.ID); got != saml.StatusRequestDenied {
		t.Errorf("the provider would hear %s", got)
	}
	w.posts = nil
	w.refusal = nil
	if v := w.get(next); v.status != 200 {
		t.Errorf("reload: %d %v", v.status, w.problems)
	}
	if _, err := w.accepted(w.lastPost(), r.ID); err != nil {
		t.Error(err)
	}
}

// statusOf reads the second-level status of what was posted.
func statusOf(t *testing.T, w *world, id string) string {
	t.Helper()
	p := w.lastPost()
	document, err := base64.StdEncoding.DecodeString(string(p.SAMLResponse))
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(document); err != nil {
		t.Fatal(err)
	}
	root := doc.Root()
	if p.URL != wikiACS || root.SelectAttrValue("InResponseTo", "") != id || root.FindElement(".//Assertion") != nil {
		t.Errorf("posts to %s: %s", p.URL, document)
	}
	code := root.FindElement("./Status/StatusCode/StatusCode")
	if code == nil {
		t.Fatalf("no second-level status: %s", document)
	}
	return code.SelectAttrValue("Value", "")
}

func TestProviderIsToldWhyNot(t *testing.T) {
	yes := true
	passive := func(r *crewjam.AuthnRequest) { r.IsPassive = &yes }
	force := func(r *crewjam.AuthnRequest) { r.ForceAuthn = &yes }
	other := "urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName"
	for _, tt := range []struct {
		name  string
		alter func(*crewjam.AuthnRequest)
		setUp func(*world)
		want  string
	}{
		{"passive and nobody signed in", passive, nil, saml.StatusNoPassive},
		{"passive and not entitled", passive, func(w *world) { w.signIn(time.Now()); w.refusal = gatehouse.ErrNotEntitled }, saml.StatusNoPassive},
		{"passive and forced", func(r *crewjam.AuthnRequest) { passive(r); force(r) }, func(w *world) { w.signIn(time.Now().Add(-time.Hour)) }, saml.StatusNoPassive},
		{"somebody else signed in than the provider means", nil, func(w *world) { w.signIn(time.Now()); w.refusal = gatehouse.ErrAnotherPerson }, saml.StatusUnknownPrincipal},
		{"a class that no password gives, and somebody signed in by one", func(r *crewjam.AuthnRequest) {
			r.RequestedAuthnContext = &crewjam.RequestedAuthnContext{Comparison: "exact", AuthnContextClassRef: saml.Kerberos}
		}, func(w *world) { w.signIn(time.Now()) }, saml.StatusNoAuthnContext},
		{"another format of name", func(r *crewjam.AuthnRequest) { r.NameIDPolicy.Format = &other }, nil, saml.StatusInvalidNameIDPolicy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.setUp != nil {
				tt.setUp(w)
			}
			r := w.request(crewjam.HTTPRedirectBinding, tt.alter)
			if v := w.get(w.redirectURL(r, "state")); v.status != 200 || w.lastPost().RelayState != "state" {
				t.Errorf("%d, %+v", v.status, w.lastPost())
			}
			if got := statusOf(t, w, r.ID); got != tt.want {
				t.Errorf("status %s, want %s", got, tt.want)
			}
		})
	}
}

// Whoever came by a ticket is asked for a password where the provider wants one.
func TestTheProofHasTheClassThatTheProviderWants(t *testing.T) {
	w := newWorld(t)
	w.signIn(time.Now())
	w.session.Methods = []string{"kerberos"}
	r := w.request(crewjam.HTTPRedirectBinding, func(r *crewjam.AuthnRequest) {
		r.RequestedAuthnContext = &crewjam.RequestedAuthnContext{Comparison: "exact", AuthnContextClassRef: saml.PasswordProtectedTransport}
	})
	login := mustURL(t, w.get(w.redirectURL(r, "")).at)
	if login.Path != "/login" || login.Query().Get("again") != "1" || len(w.asks) != 0 {
		t.Fatalf("came to %s with %d grants", login, len(w.asks))
	}
	w.signIn(time.Now())
	w.get(login.Query().Get("next"))
	if _, err := w.accepted(w.lastPost(), r.ID); err != nil {
		t.Error(err)
	}
	if want := []string{saml.PasswordProtectedTransport}; !slices.Equal(w.asks[0].Contexts, want) {
		t.Errorf("the Broker is asked for one of %q, want %q", w.asks[0].Contexts, want)
	}
}

func TestForceAuthnWantsANewProof(t *testing.T) {
	yes := true
	w := newWorld(t)
	w.signIn(time.Now().Add(-time.Hour))
	r := w.request(crewjam.HTTPRedirectBinding, func(r *crewjam.AuthnRequest) { r.ForceAuthn = &yes })
	login := mustURL(t, w.get(w.redirectURL(r, "")).at)
	if login.Path != "/login" || login.Query().Get("again") != "1" || len(w.asks) != 0 {
		t.Fatalf("came to %s with %d grants", login, len(w.asks))
	}
	t.Run("which an old session is not", func(t *testing.T) {
		w := newWorld(t)
		w.signIn(time.Now().Add(-time.Hour))
		r := w.request(crewjam.HTTPRedirectBinding, func(r *crewjam.AuthnRequest) { r.ForceAuthn = &yes })
		login := mustURL(t, w.get(w.redirectURL(r, "")).at)
		w.get(login.Query().Get("next"))
		if got := statusOf(t, w, r.ID); got != saml.StatusAuthnFailed || len(w.asks) != 0 {
			t.Errorf("status %s after %d grants", got, len(w.asks))
		}
	})
	t.Run("nor a ticket of whoever is not signed in yet", func(t *testing.T) {
		w := newWorld(t)
		r := w.request(crewjam.HTTPRedirectBinding, func(r *crewjam.AuthnRequest) { r.ForceAuthn = &yes })
		if login := mustURL(t, w.get(w.redirectURL(r, "")).at); login.Path != "/login" || login.Query().Get("again") != "1" {
			t.Errorf("came to %s, which may try one", login)
		}
	})
	w.signIn(time.Now())
	w.get(login.Query().Get("next"))
	if _, err := w.accepted(w.lastPost(), r.ID); err != nil {
		t.Error(err)
	}
}

func TestAWSNeverGetsAGrantByLink(t *testing.T) {
	for _, tt := range []struct{ name, target, at string }{
		{"launched", "/saml/launch?sp=urn:amazon:webservices", "/"},
		{"launched with a console page", "/saml/launch?sp=urn:amazon:webservices&RelayState=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3", "/go?destination=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3"},
		{"launched for another partition", "/saml/launch?sp=urn:amazon:webservices:govcloud", "/"},
		{"asked for by a request", "", "/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.signIn(time.Now())
			target := tt.target
			if target == "" {
				w.sp.EntityID = "urn:amazon:webservices"
				target = w.redirectURL(w.request(crewjam.HTTPRedirectBinding, nil), "")
			}
			if v := w.get(target); v.at != tt.at || len(w.asks) != 0 {
				t.Errorf("came to %s with %d grants; %v", v.at, len(w.asks), w.problems)
			}
		})
	}
}

func TestLaunch(t *testing.T) {
	w := newWorld(t)
	login := w.get("/saml/launch?" + url.Values{"sp": {wikiID}, "RelayState": {relayState}}.Encode())
	w.signIn(time.Now())
	w.get(mustURL(t, login.at).Query().Get("next"))
	p := w.lastPost()
	if a, err := w.accepted(p); err != nil || p.RelayState != relayState {
		t.Errorf("%v, %+v, %q", err, a, p.RelayState)
	}
}

func TestBadRequestsGetAClearAnswer(t *testing.T) {
	w := newWorld(t)
	w.signIn(time.Now())
	post := func(body io.Reader, alter func(*http.Request)) visit {
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.server.URL+"/saml/sso", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if alter != nil {
			alter(r)
		}
		return w.do(w.browser, r)
	}
	method := func(name, path string) func() visit {
		return func() visit {
			r, err := http.NewRequestWithContext(t.Context(), name, w.server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			return w.do(w.browser, r)
		}
	}
	good := w.redirectURL(w.request(crewjam.HTTPRedirectBinding, nil), "")
	for _, tt := range []struct {
		name   string
		do     func() visit
		status int
	}{
		{"no SAMLRequest", func() visit { return w.get("/saml/sso") }, 400},
		{"rubbish", func() visit { return w.get("/saml/sso?SAMLRequest=rubbish") }, 400},
		{"a parameter twice", func() visit { return w.get(good + "&RelayState=a&RelayState=b") }, 400},
		{"a foreign ACS", func() visit {
			return w.get(w.redirectURL(w.request(crewjam.HTTPRedirectBinding, func(r *crewjam.AuthnRequest) { r.AssertionConsumerServiceURL = "https://evil.example/" }), ""))
		}, 400},
		{"no issuer", func() visit {
			return w.get(w.redirectURL(w.request(crewjam.HTTPRedirectBinding, func(r *crewjam.AuthnRequest) { r.Issuer = nil }), ""))
		}, 400},
		{"a posted request in the query", func() visit { return w.post(good, nil) }, 400},
		{"a chunked form", func() visit { return post(io.MultiReader(strings.NewReader("SAMLRequest=x")), nil) }, 411},
		{"another type", func() visit {
			return post(strings.NewReader("{}"), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") })
		}, 415},
		{"too large a form", func() visit { return post(strings.NewReader(strings.Repeat("a", maxBody+1)), nil) }, 413},
		{"launch without sp", func() visit { return w.get("/saml/launch") }, 400},
		{"launch with two", func() visit { return w.get("/saml/launch?sp=a&sp=b") }, 400},
		{"launch of a stranger", func() visit { return w.get("/saml/launch?sp=https://evil.example") }, 400},
		{"launch with a state that no form carries", func() visit { return w.get("/saml/launch?sp=" + wikiID + "&RelayState=%0A") }, 400},
		{"an unknown path", func() visit { return w.get("/saml/other") }, 404},
		{"PUT", method("PUT", "/saml/sso"), 405},
		{"POST of the metadata", method("POST", "/saml/metadata"), 405},
		{"HEAD of a request, which would park it", method("HEAD", "/saml/sso"), 405},
		{"HEAD of a launch", method("HEAD", "/saml/launch?sp="+wikiID), 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v := tt.do(); v.status != tt.status {
				t.Errorf("%d at %s, want %d; problems %v", v.status, v.at, tt.status, w.problems)
			}
			if len(w.posts)+len(w.asks)+len(w.records.all) != 0 {
				t.Errorf("%d posts, %d grants, %d parked", len(w.posts), len(w.asks), len(w.records.all))
			}
		})
	}
}

// What a person's browser brings is answered with a page, and what a program
// sends with a line; both have the reference.
func TestWhatIsNoFormIsToldToWhoeverWaits(t *testing.T) {
	for _, tt := range []struct {
		name, method, path string
		change             func(*http.Request)
		status             int
		want               error
	}{
		{"a chunked form", "POST", "/saml/sso", func(r *http.Request) { r.ContentLength = -1 }, 411, inbound.ErrLength},
		{"another type", "POST", "/saml/slo", func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 415, inbound.ErrType},
		{"too large a form", "POST", "/saml/sso", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("a", maxBody+1))), maxBody+1
		}, 413, inbound.ErrTooLarge},
		{"another method", "PUT", "/saml/slo", func(*http.Request) {}, 405, inbound.ErrMethod},
		{"POST of the metadata", "POST", "/saml/metadata", func(*http.Request) {}, 405, inbound.ErrMethod},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			answer := func(accept string) *http.Response {
				r := httptest.NewRequest(tt.method, tt.path, strings.NewReader("SAMLRequest=x"))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Accept", accept)
				r.Header.Set(inbound.IDHeader, "REFERENCE")
				tt.change(r)
				rec := httptest.NewRecorder()
				w.door.Handler(w).ServeHTTP(rec, r)
				return rec.Result()
			}
			answer("text/html,application/xhtml+xml,*/*;q=0.8")
			if len(w.problems) != 1 || !errors.Is(w.problems[0], tt.want) {
				t.Errorf("a person is shown %v, want %v", w.problems, tt.want)
			}
			res := answer("*/*")
			text, _ := io.ReadAll(res.Body)
			if res.StatusCode != tt.status || len(w.problems) != 1 || !strings.Contains(string(text), "Reference REFERENCE") {
				t.Errorf("a program reads %d %q", res.StatusCode, text)
			}
		})
	}
}

func TestMetadataIsCacheable(t *testing.T) {
	w := newWorld(t)
	first := w.get("/saml/metadata")
	if first.header.Get("Content-Type") != "application/samlmetadata+xml" || first.body != string(w.idp.Metadata()) ||
		!strings.Contains(first.header.Get("Cache-Control"), "max-age") {
		t.Errorf("%v %s", first.header, first.body)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", w.server.URL+"/saml/metadata", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("If-None-Match", first.header.Get("ETag"))
	if again := w.do(w.browser, r); again.status != http.StatusNotModified || again.body != "" {
		t.Errorf("%d %q", again.status, again.body)
	}
}

func TestCookieOfAParkedRequest(t *testing.T) {
	w := newWorld(t)
	w.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	v := w.get(w.redirectURL(w.request(crewjam.HTTPRedirectBinding, nil), ""))
	got := v.header.Get("Set-Cookie")
	if v.status != http.StatusSeeOther || !strings.HasPrefix(got, "__Host-gatehouse-saml-") {
		t.Fatalf("%d %q", v.status, got)
	}
	for _, want := range []string{"; Path=/", "; Max-Age=600", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}
