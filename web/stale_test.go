package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gatehouse"
	"gatehouse/internal/access"
)

// A page that was open for long posts what is not so any more.
func TestStaleTabs(t *testing.T) {
	tests := []struct {
		name, path string
		form       url.Values
		change     func(h *house)
		status     int
		want       string // on the page, or where it leads
	}{
		{"a role that was lost is not handed out, and the page says why not", readOnly, url.Values{"as": {"console"}},
			func(h *house) { h.broker.entitlements = nil }, 403, `href="/why/111122223333/ReadOnly"`},
		{"nor as one of several", "/several", url.Values{"as": {"ini"}, "role": {"111122223333/ReadOnly", "444455556666/PowerUser"}},
			func(h *house) { h.broker.entitlements = h.broker.entitlements[2:] }, 403, "You do not have this role."},
		{"a rule that asks for one click more by now gets it", readOnly, url.Values{"as": {"bash"}},
			func(h *house) { h.broker.entitlements[1].Confirm = true }, 200, "Do you mean this account?"},
		{"a longer duration than is allowed by now is the Broker's to refuse", readOnly, url.Values{"as": {"bash"}, "duration": {"7200"}},
			func(h *house) {
				h.broker.grantErr = &gatehouse.Invalid{Field: "duration", Why: "At most an hour by now."}
			}, 400, "At most an hour by now."},
		{"an account that was lost can still be starred no less than unstarred", "/me/favourites", url.Values{"unstar": {"111122223333"}},
			func(h *house) { h.broker.entitlements = nil }, 303, "/"},
		{"a sign-in that was ended already is ended", "/me/sessions", url.Values{"end": {"gone"}}, func(*house) {}, 303, "/me/sessions?said=one"},
		{"a sign-out of who is signed out leads to the sign-in page", "/logout", url.Values{},
			func(h *house) { clear(h.records.rows) }, 303, "/login?said=out"},
		{"a sign-in page of before signs in", "/login", url.Values{"username": {"alice"}, "password": {"correct horse"}, "next": {readOnly}},
			func(*house) {}, 303, readOnly},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			cookie := h.signIn()
			wantStatus(t, h.get("/several", cookie), 200) // what is kept of before does not count
			tt.change(h)
			h.clock = h.clock.Add(heldFor)
			res := h.post(tt.path, cookie, tt.form)
			page := wantStatus(t, res, tt.status)
			if tt.status == 303 {
				page = res.Header.Get("Location")
			}
			if wantContains(t, page, tt.want); strings.Contains(page, "aws_session_token") {
				t.Error("keys all the same")
			}
		})
	}
}

// What somebody else calls things, on every page that says it.
func TestHostileNamesAreTextOnEveryPage(t *testing.T) {
	names := map[string]string{"markup": `<script>alert(1)</script><b>`, "quotes": `" onmouseover="alert(1) '`, "a way round": "abc\u202egnitide\u2066x", "500 characters": strings.Repeat("x", 500)}
	for kind, name := range names {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, func(c *Config, _ *Deps) { c.Portal.Notice = name })
			h.broker.user.Username, h.broker.user.Directory = name, name
			h.broker.user.Attributes = map[string][]string{"givenname": {name}}
			h.broker.applications = []gatehouse.Application{{EntityID: name, Name: name}}
			e := entitlement("111122223333", name, name, name, "ReadOnly")
			e.Via = []gatehouse.Via{{Rule: 1, Group: gatehouse.Group{DN: "CN=" + name, Name: name, Via: []string{name}}}}
			e.SourceIdentity, e.Tags = name, []gatehouse.Tag{{Key: name, Value: name}}
			h.broker.entitlements = []gatehouse.Entitlement{e}
			h.broker.explanation = access.Explanation{Misses: []access.Miss{{Rule: 1, Group: gatehouse.Group{DN: name}, Why: name}}, Would: []access.Would{{Rule: 2, To: name}}}
			h.events.all = []gatehouse.Event{{Kind: gatehouse.EventGranted, Person: h.broker.user.Key(), Account: "111122223333", Scope: name, Form: gatehouse.Form(name), Provider: name, IP: name, AccessKeyID: name, Time: start}}
			cookie := h.signIn()
			for _, path := range []string{"/", "/?q=" + url.QueryEscape(name), readOnly, "/several", "/several?q=" + url.QueryEscape(name), "/why/111122223333/ReadOnly",
				"/why/111122223333/Other", "/go/x", "/go?account=" + url.QueryEscape(name) + "&role=" + url.QueryEscape(name), "/me/history", "/me/sessions", "/me/password"} {
				page := body(t, h.get(path, cookie))
				wantLacks(t, page, "<script>alert", "<b>", `onmouseover="alert`)
				title, _, _ := strings.Cut(page, "</title>")
				wantLacks(t, title, "\u202e", "\u2066")
				if n := strings.Count(page, "<h1"); n != 1 {
					t.Errorf("%s has %d headings", path, n)
				}
			}
			for _, as := range []string{"ini", "link", "pickup"} {
				wantLacks(t, body(t, h.post(readOnly, cookie, url.Values{"as": {as}, "line": {"bash"}})), "<script>alert", "<b>", `onmouseover="alert`)
			}
		})
	}
}

func TestNamesDoNotTurnAroundWhatStandsBesideThem(t *testing.T) {
	v := viewOf(gatehouse.Account{ID: "111122223333", Name: "\u202eflow\u2069 שלום", Owner: "a\u2067b", Environment: "\u202dprod"})
	if v.Name != "flow שלום" || v.Owner != "ab" {
		t.Errorf("shown as %+q", v)
	}
}

// A second click while the first is on its way, in a browser: whatever the
// form, it arrives once.
func TestDoubleClicksInABrowser(t *testing.T) {
	b := openBrowser(t, manyRoles(3))
	b.house.broker.consoleURL = gatehouse.Secret(b.origin + "/start")
	sent := func(what string, count func() int, page string, fill []chromedp.Action[chromedp.Void], button string) {
		t.Helper()
		b.newTab()
		b.do(append([]chromedp.Action[chromedp.Void]{chromedp.Navigate(b.origin + page)}, fill...)...)
		before := count()
		b.do(chromedp.DoubleClick(button))
		for range 100 {
			if count() > before {
				break
			}
			b.eval("new Date()")
		}
		b.eval(`new Promise(done => setTimeout(done, 300))`)
		if n := count() - before; n != 1 {
			t.Errorf("%s arrived %d times", what, n)
		}
	}
	asks := func() int {
		b.house.broker.mu.Lock()
		defer b.house.broker.mu.Unlock()
		return len(b.house.broker.asks)
	}
	sent("a console from the list", asks, "/", nil, ".pair.first button")
	sent("a console from its page", asks, "/roles/100000000000/Admin", nil, ".actions [value=console]")
	sent("keys", asks, "/roles/100000000000/Admin", nil, "[data-get]")
	sent("a file of several roles", asks, "/several", []chromedp.Action[chromedp.Void]{chromedp.Click(`[value="100000000000/Admin"]`)}, ".bar button")
	changes := func() int {
		b.house.broker.mu.Lock()
		defer b.house.broker.mu.Unlock()
		return len(b.house.broker.changes)
	}
	sent("a new password", changes, "/me/password", []chromedp.Action[chromedp.Void]{chromedp.SendKeys("#password", "old"), chromedp.SendKeys("#new", "new"),
		chromedp.SendKeys("#repeat", "new")}, "main button[type=submit]")
	attempts := func() int {
		b.house.broker.mu.Lock()
		defer b.house.broker.mu.Unlock()
		return len(b.house.broker.attempts)
	}
	sent("a sign-in", attempts, "/login", []chromedp.Action[chromedp.Void]{chromedp.SendKeys("#username", "alice"), chromedp.SendKeys("#password", "correct horse")}, "main button[type=submit]")
	signOuts := func() int { b.house.broker.mu.Lock(); defer b.house.broker.mu.Unlock(); return b.house.broker.signOuts }
	sent("a sign-out", signOuts, "/", []chromedp.Action[chromedp.Void]{chromedp.Click(".menu summary")}, ".menu button")
}

// A reload of what came of a click by script, and the way back to it, hand
// out nothing more.
func TestReloadsInABrowser(t *testing.T) {
	b := openBrowser(t, manyRoles(3))
	b.house.broker.consoleURL = gatehouse.Secret(b.origin + "/healthz")
	b.eval(`document.querySelector("form[data-roles]").removeAttribute("target")`)
	b.do(chromedp.Click(".pair.first button"))
	b.until(`location.pathname === "/healthz"`)
	b.do(chromedp.NavigateBack())
	b.until(`location.pathname !== "/healthz" && document.readyState === "complete"`)
	b.do(chromedp.Reload())
	b.until(`document.readyState === "complete"`)
	if n := len(b.house.broker.asks); n != 1 {
		t.Errorf("%d hand-outs, want 1; the page says %s", n, b.eval("document.body.innerText"))
	}
	for _, page := range []string{"/", "/roles/100000000000/Admin", "/several", "/me/history", "/me/sessions"} {
		b.do(chromedp.Navigate(b.origin+page), chromedp.Reload())
	}
	if n := len(b.house.broker.asks); n != 1 {
		t.Errorf("%d hand-outs after reloads of pages, want 1", n)
	}
}
