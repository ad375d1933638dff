package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
)

// told is what the module hears of the session's end.
func (h *house) told(method, cookie string) (ends, int) {
	h.t.Helper()
	r := request(method, "/me/session", cookie, nil)
	if method == http.MethodPost {
		r = request(method, "/me/session", cookie, url.Values{})
	}
	res := h.do(asJSON(r))
	var e ends
	if text := body(h.t, res); res.StatusCode == 200 {
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			h.t.Fatal(err)
		}
	}
	return e, res.StatusCode
}

func TestASessionIsExtendedByAClickAndNotByAPageThatIsOpen(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), `data-ending="/me/session" data-seconds="3600" data-most="43200"`)
	steps := []struct {
		name   string
		after  time.Duration
		method string
		want   ends
		status int
	}{
		{"asking tells what is left", 58 * time.Minute, "GET", ends{120, 12*3600 - 58*60}, 200},
		{"and is no use of the session", time.Minute, "GET", ends{60, 12*3600 - 59*60}, 200},
		{"a click starts the idle hour anew", 0, "POST", ends{3600, 12*3600 - 59*60}, 200},
		{"and again", 59 * time.Minute, "POST", ends{3600, 12*3600 - 118*60}, 200},
		{"who does not click is signed out", time.Hour, "GET", ends{}, 401},
		{"and a click is too late then", 0, "POST", ends{}, 401},
	}
	for _, tt := range steps {
		h.clock = h.clock.Add(tt.after)
		if got, status := h.told(tt.method, cookie); got != tt.want || status != tt.status {
			t.Errorf("%s: %+v with %d, want %+v with %d", tt.name, got, status, tt.want, tt.status)
		}
	}
}

func TestNoClickExtendsASessionBeyondItsLimit(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	for range 23 {
		h.clock = h.clock.Add(30 * time.Minute)
		h.told("POST", cookie)
	}
	h.clock = h.clock.Add(29 * time.Minute)
	if got, _ := h.told("POST", cookie); got != (ends{60, 60}) {
		t.Errorf("a minute before the limit a click leaves %+v", got)
	}
	h.clock = h.clock.Add(time.Minute)
	if _, status := h.told("POST", cookie); status != 401 {
		t.Errorf("at the limit a click is answered with %d", status)
	}
}

func TestStayingSignedInWithoutTheStoreIsNotPretended(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.clock = h.clock.Add(58 * time.Minute)
	h.records.deny = http.ErrServerClosed
	if _, status := h.told("POST", cookie); status != 500 {
		t.Errorf("answered %d", status)
	}
}

func TestTheSessionsEndAsAPageLeadsHome(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	for _, res := range []*http.Response{h.get("/me/session", cookie), h.post("/me/session", cookie, url.Values{})} {
		if wantStatus(t, res, 303); res.Header.Get("Location") != "/" {
			t.Errorf("led to %q", res.Header.Get("Location"))
		}
	}
	if res := h.post("/me/session", "", url.Values{}); res.StatusCode != 303 || res.Header.Get("Location") != "/login" {
		t.Errorf("signed out: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
}

// Whatever form somebody was at when the session ended, after the sign-in it
// is as they had filled it in.
func TestALostSessionLosesNothingTyped(t *testing.T) {
	const role = "/roles/111122223333/ReadOnly"
	typed := url.Values{"profile": {"on-call"}, "region": {"eu-north-1"}, "duration": {"7200"}, "scope": {"read-only"},
		"destination": {"https://console.aws.amazon.com/s3?a=b&c=d"}, "once": {"p-AAAAAAAAAAAAAAAAAAAAAAAAAA"}}
	with := func(more ...string) url.Values {
		form := url.Values{}
		for name, values := range typed {
			form[name] = values
		}
		for i := 0; i < len(more); i += 2 {
			form.Add(more[i], more[i+1])
		}
		return form
	}
	asFilled := []string{`value="on-call"`, `name="region" value="eu-north-1"`, `<option value="7200" selected>`, `<option value="read-only" selected>`,
		`value="https://console.aws.amazon.com/s3?a=b&amp;c=d"`}
	tests := []struct {
		name, path string
		form       url.Values
		want       []string // on the page after the sign-in
	}{
		{"a role's console", role, with("as", "console"), asFilled},
		{"its keys as a file", role, with("as", "ini", "download", "1"), append([]string{`name="download" value="1" checked`}, asFilled...)},
		{"a line for a terminal", role, with("as", "pickup", "line", "fish"), append([]string{`<option value="fish" selected>`}, asFilled...)},
		{"an address to copy", role, with("as", "link"), asFilled},
		{"several roles", "/several", with("as", "ini", "role", "111122223333/Admin", "role", "444455556666/PowerUser"),
			[]string{`value="111122223333/Admin" checked`, `value="444455556666/PowerUser" checked`, `name="region" value="eu-north-1"`,
				`<option value="7200" selected>`, `<option value="read-only" selected>`}},
		{"ending a sign-in elsewhere", "/me/sessions", url.Values{"others": {"1"}}, []string{"<h1>My sign-ins</h1>"}},
		{"a star", "/me/favourites", url.Values{"star": {"111122223333"}}, []string{"Hello, <bdi>Alice</bdi>"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			res := h.post(tt.path, "", tt.form)
			wantStatus(t, res, 303)
			to := h.through(res.Header.Get("Location"))
			wantContains(t, wantStatus(t, h.get(to.path, to.cookie), 200), tt.want...)
			if len(h.broker.asks) > 0 || len(h.people.rows) > 0 {
				t.Error("what was asked for was done by the way")
			}
			var told struct{ Login string }
			if text := body(t, h.do(asJSON(request("POST", tt.path, "", tt.form)))); json.Unmarshal([]byte(text), &told) != nil || told.Login != res.Header.Get("Location") {
				t.Errorf("a script is led to %q, a form to %q", told.Login, res.Header.Get("Location"))
			}
		})
	}
}

// arrival is where somebody is after the sign-in.
type arrival struct{ path, cookie string }

// through signs in on the sign-in page at path, with a wrong password first:
// that costs nobody their way back either.
func (h *house) through(path string) arrival {
	h.t.Helper()
	u, err := url.Parse(path)
	if err != nil || u.Path != "/login" {
		h.t.Fatalf("led to %q", path)
	}
	next := u.Query().Get("next")
	page := wantStatus(h.t, h.post("/login", "", url.Values{"username": {"alice"}, "password": {"wrong"}, "next": {next}}), 401)
	wantContains(h.t, page, `value="alice"`)
	wantLacks(h.t, page, `value="wrong"`)
	if next != "" {
		wantContains(h.t, page, `name="next" value="`+strings.NewReplacer("&", "&amp;", "+", "&#43;").Replace(next)+`"`)
	}
	res := h.post("/login", "", url.Values{"username": {"alice"}, "password": {"correct horse"}, "next": {next}})
	return arrival{res.Header.Get("Location"), sessionCookie(h.t, res).Value}
}

func TestALostSessionOfTheLongestFormLosesOnlyWhatCannotFit(t *testing.T) {
	h := newHouse(t)
	form := url.Values{"as": {"bash"}, "region": {"eu-north-1"}, "profile": {"on-call"}, "destination": {"https://console.aws.amazon.com/?" + strings.Repeat("&", 2000)}}
	u, err := url.Parse(h.post("/roles/111122223333/ReadOnly", "", form).Header.Get("Location"))
	if want := "/roles/111122223333/ReadOnly?profile=on-call&region=eu-north-1"; err != nil || u.Query().Get("next") != want {
		t.Errorf("led back to %q, want %q", u.Query().Get("next"), want)
	}
	var twenty []string
	for range 20 {
		twenty = append(twenty, "111122223333/"+strings.Repeat("R", 64))
	}
	u, err = url.Parse(h.post("/several", "", url.Values{"as": {"ini"}, "role": twenty}).Header.Get("Location"))
	next, _ := url.Parse(u.Query().Get("next"))
	if got := next.Query()["role"]; err != nil || !slices.Equal(got, twenty) {
		t.Errorf("of twenty ticks are left %s", cmp.Diff(twenty, got))
	}
}

func TestALostSessionWhileChoosingAPasswordKeepsTheName(t *testing.T) {
	h := newHouse(t)
	form := newPassword("0ld-secret", "n3w-secret", "another-secret")
	form.Set("username", "alice")
	page := wantStatus(t, h.post("/me/password", "", form), 400)
	wantContains(t, page, `name="username" type="text" value="alice"`, "The two new passwords differ.")
	wantLacks(t, page, "-secret")
}

// The strip at the end of a session, as somebody meets it in the middle of a form.
func TestTheEndOfASessionInABrowser(t *testing.T) {
	b := openBrowser(t, manyRoles(3))
	const strip, wakes = `document.querySelector("[data-ending]").textContent`, `document.dispatchEvent(new Event("visibilitychange"))`
	b.do(chromedp.Navigate(b.origin+"/roles/100000000000/ReadOnly"), chromedp.SetValue("#profile", "typed"))
	b.want(strip, "")

	b.ahead.Store(int64(58*time.Minute + 30*time.Second))
	b.eval(wakes)
	b.until(`/^Your session ends at \d\d:\d\d\.Stay signed in$/.test(` + strip + `)`)
	b.want(`getComputedStyle(document.querySelector("[data-ending]")).position`, "fixed")
	// A window behind others hears of no focus.
	b.eval(`document.querySelector("[data-ending] button").dispatchEvent(new FocusEvent("focusin", { bubbles: true, relatedTarget: document.querySelector("#profile") }))`)
	b.do(chromedp.Click("[data-ending] button"))
	b.until(`/^You stay signed in until \d\d:\d\d\.$/.test(` + strip + `)`)
	b.want(`document.activeElement.id`, "profile")

	for times := 1; times <= 13; times++ { // busy in another tab
		b.ahead.Store(int64(time.Duration(times+1) * 50 * time.Minute))
		b.eval(`fetch("/me/session", {method: "POST"}).then(() => (globalThis.busy = (globalThis.busy ?? 0) + 1))`)
		b.until(fmt.Sprintf("globalThis.busy === %d", times))
	}
	b.ahead.Store(int64(12*time.Hour - 90*time.Second))
	b.eval(wakes)
	b.until(`/^Your session ends at \d\d:\d\d and cannot last longer\. What you typed stays here\.Sign in again in a new tab$/.test(` + strip + `)`)
	b.want(`document.querySelector("[data-ending] a").target + document.querySelector("[data-ending] a").rel`, "_blanknoopener")
	b.quiet()

	b.ahead.Store(int64(12 * time.Hour))
	b.eval(wakes)
	b.until(strip + `.startsWith("Your session has ended.")`)
	b.want(`document.querySelector("#profile").value`, "typed")
	here := b.ctx
	b.newTab()
	b.do(chromedp.Navigate(b.origin+"/login"), chromedp.SendKeys("#username", "alice"), chromedp.SendKeys("#password", "correct horse\r"), chromedp.WaitVisible("header.top"))
	b.ctx = here
	b.eval(wakes)
	b.until(strip + ` === ""`)
	b.want(`document.querySelector("#profile").value`, "typed")
}
