package idp

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/saml"
)

// soapRequest is an AuthnRequest of the wiki in an envelope; more are
// further attributes, and children.
func soapRequest(more, children string) string {
	return fmt.Sprintf(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body><samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="1c9a" Version="2.0" IssueInstant="%s" %s><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">%s</saml:Issuer>%s</samlp:AuthnRequest></S:Body></S:Envelope>`,
		time.Now().UTC().Format(time.RFC3339), more, wikiID, children)
}

// program sends body as a program does; alter may change the request.
func (w *world) program(body string, alter func(*http.Request)) visit {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), "POST", w.server.URL+ecpPath, io.NopCloser(strings.NewReader(body))) // chunked
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/xml; charset=utf-8")
	r.SetBasicAuth("alice", "päss:word")
	if alter != nil {
		alter(r)
	}
	return w.do(w.browser, r)
}

func TestProgramsSignIn(t *testing.T) {
	w := newWorld(t)
	v := w.program(soapRequest("", ""), nil)
	if v.status != 200 || !strings.HasPrefix(v.header.Get("Content-Type"), "text/xml") || v.header.Get("Cache-Control") != "no-store" || v.header.Get("Set-Cookie") != "" {
		t.Fatalf("%d %v %s", v.status, v.header, v.body)
	}
	for _, want := range []string{`AssertionConsumerServiceURL="` + wikiPAOS + `"`, `InResponseTo="1c9a"`, `Destination="` + wikiPAOS + `"`, "<saml2:Assertion "} {
		if !strings.Contains(v.body, want) {
			t.Errorf("it lacks %s:\n%s", want, v.body)
		}
	}
	if len(w.asks) != 1 || w.asks[0].ACS != wikiPAOS || w.asks[0].IP != "127.0.0.1" || len(w.posts) != 0 || w.turns != 0 {
		t.Errorf("asks %+v, posts %d, turns %d", w.asks, len(w.posts), w.turns)
	}
	if a := w.attempts[0]; a.Door != gatehouse.DoorECP || a.IP != "127.0.0.1" {
		t.Errorf("attempt %+v", a)
	}
	// A browser's session, or its cookie, is nothing here.
	w.signIn(time.Now())
	if v := w.program(soapRequest("", ""), func(r *http.Request) { r.Header.Del("Authorization") }); v.status != http.StatusUnauthorized {
		t.Errorf("without Basic, in a session: %d", v.status)
	}
}

func TestProgramsAreToldWhyNotAsFarAsEverybodyMayKnow(t *testing.T) {
	fail := func(err error) func(*world) { return func(w *world) { w.signInErr = err } }
	unsuitable := `<samlp:NameIDPolicy Format="urn:x"/>`
	for _, tt := range []struct {
		name   string
		setUp  func(*world)
		body   string
		alter  func(*http.Request)
		status int
		says   string
		proved int // how many passwords were tried
	}{
		{"no Basic", nil, soapRequest("", ""), func(r *http.Request) { r.Header.Del("Authorization") }, 401, "", 0},
		{"another scheme", nil, soapRequest("", ""), func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401, "", 0},
		{"Basic that is none", nil, soapRequest("", ""), func(r *http.Request) { r.Header.Set("Authorization", "Basic !!") }, 401, "", 0},
		{"a wrong password", nil, soapRequest("", ""), func(r *http.Request) { r.SetBasicAuth("alice", "wrong") }, 401, "", 1},
		{"a wrong password, and a request that cannot be granted", nil, soapRequest("", unsuitable), func(r *http.Request) { r.SetBasicAuth("alice", "wrong") }, 401, "", 1},
		{"an account that is disabled", fail(gatehouse.ErrAccountDisabled), soapRequest("", ""), nil, 401, "", 1},
		{"a password that has expired", fail(gatehouse.ErrPasswordExpired), soapRequest("", ""), nil, 401, "", 1},
		{"too many groups", fail(gatehouse.ErrTooManyGroups), soapRequest("", ""), nil, 403, "<S:Fault>", 1},
		{"too many guesses", fail(&gatehouse.Throttled{Until: time.Now().Add(time.Minute), Why: "person"}), soapRequest("", ""), nil, 429, "", 1},
		{"no directory", fail(&gatehouse.Unavailable{What: "directory"}), soapRequest("", ""), nil, 503, "", 1},
		{"no record", fail(gatehouse.ErrNotRecorded), soapRequest("", ""), nil, 503, "", 1},
		{"no turn", func(w *world) { w.busy = &gatehouse.Unavailable{What: "sign-in", Err: errors.New("busy")} }, soapRequest("", ""), nil, 503, "", 0},
		{"something of ours", fail(errors.New("secret cause")), soapRequest("", ""), nil, 500, "", 1},
		{"a form, as another site could send it", nil, soapRequest("", ""), func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415, "<S:Fault>", 0},
		{"no envelope", nil, "hello", nil, 400, "<S:Fault>", 0},
		{"too large", nil, strings.Repeat(" ", maxEnvelope+1), nil, 413, "<S:Fault>", 0},
		{"a foreign address", nil, soapRequest(`AssertionConsumerServiceURL="https://evil.example/"`, ""), nil, 400, "<S:Fault>", 0},
		{"an address for browsers", nil, soapRequest(`AssertionConsumerServiceURL="`+wikiACS+`"`, ""), nil, 400, "<S:Fault>", 0},
		{"a format that the provider may not have", nil, soapRequest("", unsuitable), nil, 200, saml.StatusInvalidNameIDPolicy, 1},
		{"somebody whom no rule admits", func(w *world) { w.refusal = gatehouse.ErrNotEntitled }, soapRequest("", ""), nil, 200, saml.StatusRequestDenied, 1},
		{"another person", func(w *world) { w.refusal = gatehouse.ErrAnotherPerson }, soapRequest("", ""), nil, 200, saml.StatusUnknownPrincipal, 1},
		{"a grant that fails", func(w *world) { w.refusal = gatehouse.ErrNotRecorded }, soapRequest("", ""), nil, 503, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.setUp != nil {
				tt.setUp(w)
			}
			v := w.program(tt.body, tt.alter)
			if v.status != tt.status || !strings.Contains(v.body, tt.says) || strings.Contains(v.body, "Assertion ") || strings.Contains(v.body, "secret") {
				t.Errorf("%d, want %d and %q:\n%s", v.status, tt.status, tt.says, v.body)
			}
			if got := v.header.Get("WWW-Authenticate") != ""; got != (tt.status == 401) {
				t.Errorf("WWW-Authenticate %q", v.header.Get("WWW-Authenticate"))
			}
			if got := v.header.Get("Retry-After") != ""; got != (tt.status == 429 || tt.status == 503) {
				t.Errorf("Retry-After %q", v.header.Get("Retry-After"))
			}
			if len(w.attempts) != tt.proved || w.turns > 0 && w.busy == nil || v.header.Get("Set-Cookie") != "" {
				t.Errorf("%d passwords tried, want %d; %d turns not given back; cookie %q", len(w.attempts), tt.proved, w.turns, v.header.Get("Set-Cookie"))
			}
		})
	}
}

// One answer for every name and password that do not lead in.
func TestAProgramIsNotToldWhetherAPersonExists(t *testing.T) {
	answer := func(err error) string {
		w := newWorld(t)
		w.signInErr = err
		v := w.program(soapRequest("", ""), nil)
		return fmt.Sprint(v.status, v.header.Get("WWW-Authenticate"), v.body)
	}
	for _, err := range []error{gatehouse.ErrAccountLocked, gatehouse.ErrPasswordMustChange, gatehouse.ErrAccountExpired} {
		if answer(err) != answer(gatehouse.ErrInvalidCredentials) {
			t.Errorf("%v is told apart", err)
		}
	}
}

func TestAnotherMethodOfTheECPAddress(t *testing.T) {
	w := newWorld(t)
	if v := w.get(ecpPath); v.status != http.StatusMethodNotAllowed || v.header.Get("Allow") != "POST" {
		t.Errorf("%d, %q", v.status, v.header.Get("Allow"))
	}
}

// A program that asks in AWS's name has the one role that the address says.
func TestAProgramHasTheRoleOfItsAddress(t *testing.T) {
	ofAWS := strings.Replace(soapRequest("", ""), wikiID, "  urn:amazon:webservices\n", 1) // as saml2aws pads it
	const path = ecpPath + "/111122223333/ReadOnly"
	for _, tt := range []struct {
		name, body, path string
		refusal          error
		status           int
		says             string
	}{
		{"the role of the address", ofAWS, path, nil, 200, "role/ReadOnly"},
		{"no role", ofAWS, ecpPath, nil, 400, "<S:Fault>"},
		{"a role that is not theirs", ofAWS, path, gatehouse.ErrNotEntitled, 403, "<S:Fault>"},
		{"a role for another provider", soapRequest("", ""), path, nil, 200, saml.StatusRequestDenied},
		{"a role, and no record", ofAWS, path, gatehouse.ErrNotRecorded, 503, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.refusal = tt.refusal
			v := w.program(tt.body, func(r *http.Request) { r.URL.Path = tt.path })
			granted := tt.says == "role/ReadOnly"
			if v.status != tt.status || !strings.Contains(v.body, tt.says) || strings.Contains(v.body, "<saml2:Assertion ") != granted {
				t.Fatalf("%d, want %d and %q:\n%s", v.status, tt.status, tt.says, v.body)
			}
			if granted && (len(w.asks) != 1 || w.asks[0].Account != "111122223333" || w.asks[0].Role != "ReadOnly" || w.asks[0].Form != gatehouse.FormPost || w.asks[0].Provider != "") {
				t.Errorf("asks %+v", w.asks)
			}
		})
	}
}
