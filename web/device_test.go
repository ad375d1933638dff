package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/access"
)

const deviceCookie = "__Host-gatehouse-device"

// deviceMark is the browser's mark that an answer sets, or nil.
func deviceMark(res *http.Response) *http.Cookie {
	i := slices.IndexFunc(res.Cookies(), func(c *http.Cookie) bool { return c.Name == deviceCookie })
	if i < 0 {
		return nil
	}
	return res.Cookies()[i]
}

func TestABrowserIsMarkedForWhoeverSignedIn(t *testing.T) {
	h := newHouse(t)
	want := h.broker.Device(h.broker.user.Key())
	changed := url.Values{"username": {"alice"}, "password": {"old"}, "new": {"a new one"}, "repeat": {"a new one"}}
	for name, res := range map[string]*http.Response{
		"a sign-in":                       h.post("/login", "", credentials("alice", "correct horse")),
		"a change of password beforehand": h.post("/me/password", "", changed),
	} {
		c := deviceMark(res)
		if c == nil || c.Value != want {
			t.Errorf("%s left %v", name, c)
			continue
		}
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != int(access.DeviceLife.Seconds()) {
			t.Errorf("%s left %s", name, c)
		}
	}
}

func TestWhatLeavesNoMark(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	for name, res := range map[string]*http.Response{
		"a refused sign-in":  h.post("/login", "", credentials("alice", "wrong")),
		"the sign-in page":   h.get("/login", ""),
		"a page":             h.get("/", cookie),
		"a sign-out":         h.post("/logout", cookie, url.Values{}), // nor does it take one away
		"a different repeat": h.post("/me/password", "", url.Values{"username": {"alice"}, "password": {"old"}, "new": {"a"}, "repeat": {"b"}}),
	} {
		if c := deviceMark(res); c != nil {
			t.Errorf("%s set %s", name, c)
		}
	}
}

func TestAnAttemptCarriesTheBrowsersMarkAsItCame(t *testing.T) {
	for _, value := range []string{"", "bWFyaw", "garbled", strings.Repeat("x", 4000)} {
		h := newHouse(t)
		send := func(path string, form url.Values) {
			r := request("POST", path, "", form)
			r.Header.Set("Cookie", deviceCookie+"="+value)
			h.do(r)
		}
		send("/login", credentials("alice", "correct horse"))
		send("/me/password", url.Values{"username": {"alice"}, "password": {"old"}, "new": {"a new one"}, "repeat": {"a new one"}})
		if h.broker.attempts[0].Device != value || h.broker.changes[0].Device != value {
			t.Errorf("of %q came %q and %q", value, h.broker.attempts[0].Device, h.broker.changes[0].Device)
		}
	}
}

func TestAMarkOpensNothing(t *testing.T) {
	h := newHouse(t)
	r := request("GET", "/", "", nil)
	r.AddCookie(&http.Cookie{Name: deviceCookie, Value: h.broker.Device(h.broker.user.Key())})
	if res := h.do(r); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), "/login") {
		t.Errorf("answered %d, %s", res.StatusCode, res.Header.Get("Location"))
	}
}

func TestTheSignInPageSaysHowANameTellsItsDirectory(t *testing.T) {
	h := newHouse(t, func(_ *Config, d *Deps) { d.NameForms = []string{"bob@corp.example.com", `LAB\bob`} })
	page := wantStatus(t, h.get("/login", ""), 200)
	wantContains(t, page, "Or in full, such as <bdi>bob@corp.example.com</bdi> or <bdi>LAB\\bob</bdi>.", `aria-describedby="forms"`)
	h.broker.signInErr = gatehouse.ErrInvalidCredentials
	wantContains(t, wantStatus(t, h.post("/login", "", credentials("bob", "x")), 401), "<bdi>bob@corp.example.com</bdi>", `aria-describedby="refusal forms"`)
	wantLacks(t, wantStatus(t, newHouse(t).get("/login", ""), 200), "directory", "forms")
}
