package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var guardWalks = []walk{
	{"after a sign-out Back shows nothing of what was there", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser).get()
		b.click(".menu summary")
		b.goes(func() { b.click(".menu button") })
		b.showsNothingOnTheWayBack()
	}},
	{"nor without scripts", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob").open(powerUser)
		b.click(".menu summary")
		b.goes(func() { b.click(".menu button") })
		b.showsNothingOnTheWayBack()
	}},
	{"a sign-out in one tab holds in the others", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		ctx, cancel := chromedp.NewContext(b.ctx)
		t.Cleanup(cancel)
		other := newTab(t, w.house, ctx)
		other.open(powerUser)
		other.watch.allows(refused)
		b.click(".menu summary")
		b.goes(func() { b.click(".menu button") })
		other.click("[data-get]")
		other.until("the refusal", `!document.querySelector("[data-problem]").hidden`)
		other.wants("[data-problem]", "You are signed out.")
	}},
	{"another site cannot take a role, sign out, or sign in", crossSite},
	{"another site cannot frame the portal", func(t *testing.T, w *world) {
		other := attacker(t, fmt.Sprintf(`<iframe id=frame src="%s/login"></iframe>`, w.Portal))
		b := w.browser(t)
		b.watch.allows(other, "ERR_BLOCKED_BY_RESPONSE")
		b.open(other)
		b.await("the browser's refusal", func(context.Context) bool {
			return strings.Contains(strings.Join(b.watch.bad(), "\n"), "frame-ancestors 'none'")
		})
		b.watch.allows("frame-ancestors")
	}},
	{"another site that links to a role gets no further than its page", func(t *testing.T, w *world) {
		other := attacker(t, fmt.Sprintf(`<a href="%s%s?as=console&download=1">a present</a>`, w.Portal, powerUser))
		b := w.browser(t).signIn("bob")
		b.watch.allows(other)
		b.open(other)
		b.goes(func() { b.click("a") })
		b.wants("h1", "Sandbox · PowerUser")
	}},
}

// showsNothingOnTheWayBack goes back through all that the tab has shown.
func (b *tab) showsNothingOnTheWayBack() {
	b.t.Helper()
	if !strings.HasPrefix(b.at(), b.house.Portal+"/login") {
		b.t.Fatalf("the sign-out leads to %s", b.at())
	}
	b.wants("[role=status]", "You are signed out.")
	history := call(b, page.GetNavigationHistory, struct{}{})
	for i := int(history.CurrentIndex) - 1; i > 0; i-- {
		b.do("going back", chromedp.NavigateToHistoryEntry(history.Entries[i].ID))
		b.until("the sign-in page", `location.pathname === "/login" && document.readyState === "complete"`)
		for _, private := range []string{"Bob", "PowerUser", "4444", "ASIA"} {
			if strings.Contains(b.says(), private) {
				b.t.Errorf("back at %s the page says %q", history.Entries[i].URL, b.says())
			}
		}
	}
}

// crossSite is another site that has the person's browser post to the portal:
// 127.0.0.1 and localhost are different sites.
func crossSite(t *testing.T, w *world) {
	form := func(id, path, fields string) string {
		return fmt.Sprintf(`<form id=%s action="%s%s" method=post>%s<button>Win</button></form>`, id, w.Portal, path, fields)
	}
	other := attacker(t, form("out", "/logout", "")+
		form("role", powerUser, `<input name=as value=bash>`)+
		form("in", "/login", `<input name=username value=alice><input name=password value=gatehouse>`))
	b := w.browser(t).signIn("bob")
	b.watch.allows(other, "status of 403", "status of 401")
	for _, id := range []string{"out", "role", "in"} {
		b.open(other)
		b.goes(func() { b.click("#" + id + " button") })
		b.wants("main", "This came from another site.", "nothing was done")
	}
	b.open(other)
	b.watch.allows("CORS policy", "ERR_FAILED")
	for _, request := range []string{
		`{method: "POST", credentials: "include", mode: "no-cors", body: new URLSearchParams({as: "bash"})}`,
		`{method: "POST", credentials: "include", headers: {Accept: "application/json"}, body: new URLSearchParams({as: "bash"})}`,
		`{credentials: "include"}`,
	} {
		got := eval[string](b, `fetch("`+w.Portal+powerUser+`", `+request+`).then(r => r.text(), () => "")`)
		if got != "" {
			t.Errorf("a script of another site reads %q", got)
		}
	}
	b.open("/")
	b.wants(".menu summary", "Bob Okafor")
}

// attacker is another site with one page.
func attacker(t *testing.T, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><link rel=icon href="data:,"><title>Elsewhere</title>%s`, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
