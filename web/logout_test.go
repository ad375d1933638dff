package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"gatehouse"
	"gatehouse/internal/access"
)

func TestASignOutLeadsOnToWhoeverElseIsTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		path string
		err  error
		want string
	}{
		{"nobody", "", nil, "/login?said=out"},
		{"somebody", "/saml/logout?request=x", nil, "/saml/logout?request=x"},
		{"when they cannot be told", "", errors.New("store"), "/login?said=partly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told := 0
			h := newHouse(t, func(_ *Config, d *Deps) {
				d.Leaving = func(_ http.ResponseWriter, _ *http.Request, s gatehouse.Session) (string, error) {
					if s.User.Username == "alice" {
						told++
					}
					return tt.path, tt.err
				}
			})
			cookie := h.signIn()
			res := h.post("/logout", cookie, url.Values{})
			if got := res.Header.Get("Location"); got != tt.want || told != 1 {
				t.Errorf("leads to %s, want %s; told %d times", got, tt.want, told)
			}
			wantStatus(t, h.get("/", cookie), 303)
			wantStatus(t, h.post("/logout", "", url.Values{}), 303)
			if told != 1 {
				t.Error("somebody was told of a sign-out of nobody")
			}
		})
	}
	h := newHouse(t)
	wantContains(t, wantStatus(t, h.get("/login?said=partly", ""), 200), "An application may still have you signed in")
}

// SignOut ends sessions by their public names, in whichever browser.
func TestSessionsEndByTheirPublicName(t *testing.T) {
	h := newHouse(t)
	here, elsewhere, another := h.signIn(), h.signIn(), h.signIn()
	id := func(cookie string) string {
		v, err := h.server.sessions.load(t.Context(), cookie)
		if err != nil {
			t.Fatal(err)
		}
		return v.Session.ID
	}
	rename := func(cookie, to string) { // the fake Broker gives all the same
		v, err := h.server.sessions.load(t.Context(), cookie)
		if err != nil {
			t.Fatal(err)
		}
		v.Session.ID = to
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.records.Replace(t.Context(), recordKind, cookie, body); err != nil {
			t.Fatal(err)
		}
	}
	rename(here, "A")
	rename(elsewhere, "B")
	rename(another, "C")
	w := httptest.NewRecorder()
	r := request("GET", "/saml/logout", here, nil)
	if err := h.server.SignOut(w, r, "corp/0001", []string{"B", "A", "unknown"}); err != nil {
		t.Fatal(err)
	}
	if c := sessionCookie(t, w.Result()); c.MaxAge >= 0 {
		t.Errorf("the browser keeps %s", c)
	}
	wantStatus(t, h.get("/", here), 303)
	wantStatus(t, h.get("/", elsewhere), 303)
	wantStatus(t, h.get("/", another), 200)
	if h.broker.signOuts != 2 || id(another) != "C" {
		t.Errorf("%d sign-outs recorded", h.broker.signOuts)
	}
	if err := h.server.SignOut(httptest.NewRecorder(), request("GET", "/", another, nil), "corp/0002", []string{"C"}); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, h.get("/", another), 303)
}

func TestThePageThatCarriesALogoutMessage(t *testing.T) {
	h := newHouse(t)
	show := func(d access.Dispatch) *http.Response {
		w := httptest.NewRecorder()
		if err := h.server.Dispatch(w, request("GET", "/saml/logout", "", nil), d); err != nil {
			t.Fatal(err)
		}
		return w.Result()
	}
	res := show(access.Dispatch{To: "<Wiki>", URL: "https://wiki.example/slo?a=1&SAMLRequest=x%2By", Skip: "/saml/logout?request=H"})
	body := wantStatus(t, res, 200)
	wantContains(t, body, "&lt;Wiki&gt;", `content="0; url=https://wiki.example/slo?a=1&amp;SAMLRequest=x%2By"`, `href="/saml/logout?request=H"`)
	if res.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers %v", res.Header)
	}
	res = show(access.Dispatch{To: "Wiki", URL: "https://wiki.example/slo", Field: "SAMLResponse", Message: "bWVzc2FnZQ==", RelayState: `a"b`})
	wantContains(t, wantStatus(t, res, 200), `action="https://wiki.example/slo"`, `name="SAMLResponse" value="bWVzc2FnZQ=="`, `name="RelayState" value="a&#34;b"`)
	wantContains(t, res.Header.Get("Content-Security-Policy"), "form-action https:")
}

func TestWhoeverAnApplicationSentReadsWhyNotAndMayGoBack(t *testing.T) {
	h := newHouse(t)
	w := httptest.NewRecorder()
	h.server.Decline(w, request("GET", "/saml/sso", "", nil), errors.Join(gatehouse.ErrNotAdmitted, gatehouse.ErrNotEntitled),
		access.Post{URL: "https://wiki.example/acs", SAMLResponse: "cmVmdXNhbA==", RelayState: "s"})
	body := wantStatus(t, w.Result(), 403)
	wantContains(t, body, "You may not use this application.", `action="https://wiki.example/acs"`, `value="cmVmdXNhbA=="`, `name="RelayState" value="s"`, "Back to <bdi>wiki.example</bdi>")
	wantContains(t, w.Result().Header.Get("Content-Security-Policy"), "form-action https:")
}
