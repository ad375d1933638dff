package browser

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var waysWalks = []walk{
	{"the keyboard alone finds a role, stars it, copies its link and opens its keys", keysToARole},
	{"a single key does nothing for who wants none", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		b.press("?")
		b.until("the list of keys", "document.querySelector('dialog').open")
		b.click("[data-keys-on]")
		b.goes(func() { b.open("/") })
		b.press("/")
		b.press("?")
		if open := eval[bool](b, "document.querySelector('dialog').open || document.activeElement.name === 'q'"); open {
			t.Error("a key still does something")
		}
	}},
	{"without scripts a star is a form", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob")
		b.goes(func() { b.click(`.group:not(.shelf) .star[value="444455556666"]`) })
		b.wantsAt("/")
		b.wants("[data-shelf=favourites]", "Favourites", "Sandbox")
		b.goes(func() { b.click(`[data-shelf=favourites] .star`) })
		if n := b.count("[data-shelf=favourites]"); n != 0 {
			t.Error("the shelf is still there")
		}
	}},
	{"what was taken is met again", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("carol").open("/roles/700140960000/Support").get()
		b.retype("#profile", "on-call")
		b.click("[data-get]")
		b.until("the other name", `document.querySelector("[data-changed]").hidden`)
		b.open("/")
		b.wants("[data-shelf=recent]", "Recent", "Billing", "Support")
		b.wants(".strip", "Keys of 1 role are still good, until")
		b.open("/roles/700140960000/Support")
		if got := b.value("#profile"); got != "on-call" {
			t.Errorf("the profile is called %q", got)
		}
	}},
	{"a line brings the keys into a terminal, once", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser)
		line := b.line()
		arn := identify(t, w, pasted(t, line, "env"))
		if !regexp.MustCompile(`^arn:aws:sts::444455556666:assumed-role/PowerUser/bob-\w+$`).MatchString(arn) {
			t.Errorf("AWS takes the credentials for %s", arn)
		}
		if said := failing(t, line); !strings.Contains(said, "gatehouse: This line was used or is over.") {
			t.Errorf("a second time it says %q", said)
		}
		line = b.line()
		b.signOut()
		if said := failing(t, line); !strings.Contains(said, "gatehouse: You are signed out.") {
			t.Errorf("after a sign-out it says %q", said)
		}
	}},
	{"and without scripts by a page", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob").open(powerUser)
		c := b.opens(func() { b.click("button[value=pickup]") })
		c.wants("h1", "One line for your terminal")
		identify(t, w, pasted(t, c.value("textarea"), "env"))
	}},
	{"a scope is sent to AWS and named on the page, in the profile and in the history", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser)
		b.pick("#scope", "Only the logs")
		b.get()
		b.wants("[data-limits]", "These are limited: Only the logs.")
		b.click("#tab-ini")
		b.wants("[data-text]", "-logs]", "limited to logs,")
		if link := eval[string](b, `document.querySelector("[data-share]").textContent`); !strings.HasSuffix(link, "/go/sandbox/PowerUser?scope=logs") {
			t.Errorf("the link to share is %s", link)
		}
		b.open("/me/history")
		b.wants("main", "Sandbox · PowerUser", "only logs", "until")
	}},
	{"a sign-in address works in another browser", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob").open(powerUser)
		b.click("details.more summary")
		b.wants("details.more", "Good for 15 minutes, for whoever has it")
		c := b.opens(func() { b.click("button[value=link]") })
		c.wants("main", "Whoever has this address is you")
		d := w.browser(t).open(c.value("textarea"))
		d.until("the console", "document.querySelector('#session-name')")
		d.wants("#role", "PowerUser")
	}},
	{"a role whose rule asks is taken after one click more", confirmed},
	{"a double click opens one console", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		c := b.opens(func() {
			b.do("clicking twice", chromedp.DoubleClick(chromedp.CSS(role("PowerUser"))))
		})
		c.atConsole(home)
		mine := 0
		infos, _ := chromedp.Targets(b.ctx)
		for _, info := range infos {
			if info.Type == "page" && info.BrowserContextID == chromedp.FromContext(b.ctx).BrowserContextID {
				mine++
			}
		}
		if mine != 2 {
			t.Errorf("%d tabs are open, want the portal and one console", mine)
		}
	}},
	{"several roles come in one file", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("alice")
		files := b.downloads()
		b.open("/several")
		b.typeIn(".search input", "data lake analyst")
		b.tick("222233334444/Analyst")
		b.retype(".search input", "networking")
		b.tick("555566667777/Operator")
		b.wants("[data-ticked]", "2 ticked")
		b.click(".bar button")
		b.fileHas(filepath.Join(files, "credentials.ini"), "[data-lake-analyst]\n", "[networking-operator]\n")
	}},
	{"a shared link survives the sign-in and finds the role", func(t *testing.T, w *world) {
		b := w.browser(t).open("/go?url=https%3A%2F%2F444455556666-abc.eu-north-1.console.aws.amazon.com%2Fs3%2Fbuckets")
		b.signIn("bob")
		b.wants("h1", "Sandbox · PowerUser")
		if got := b.value("#region"); got != "eu-north-1" {
			t.Errorf("the region is %q", got)
		}
	}},
	{"a shortcut of AWS's own portal does as well, whose words stand behind the #", func(t *testing.T, w *world) {
		b := w.browser(t).open("/start/#/console?account_id=111122225555&role_name=Developer&destination=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3")
		b.until("the sign-in that leads on", "location.search.includes('role_name')")
		b.signIn("bob")
		b.wants("h1", "Payments development · Developer")
	}},
	{"a link to a role that is not held, as Copy copied it, says how to ask", func(t *testing.T, w *world) {
		a := w.browser(t)
		a.permit("clipboard-read", browser.PermissionSettingGranted)
		a.permit("clipboard-write", browser.PermissionSettingGranted)
		a.signIn("alice").open(identityAdmin)
		a.click("details.more summary")
		a.click("[data-copy-share]")
		a.until("the copy", `document.querySelector("[data-copy-share]").innerText === "Copied"`)
		link := eval[string](a, "navigator.clipboard.readText()")
		b := w.browser(t).signIn("bob")
		b.watch.allows("status of 403")
		b.open(link)
		b.wants("main", "You have no role in this account.", "Identity · Admin")
		b.looks("a link to an account without a role")
		b.goes(func() { b.click("main a.button") })
		b.wants("[data-desk]", "Please give me Admin in the AWS account 3333 4444 5555 (Identity).", "members of CN=AWS-333344445555-Admin")
	}},
	{"a link to a role that is not held offers what is, and how to ask", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		b.watch.allows("status of 403")
		b.open("/go/111122225555/Admin")
		b.wants("main", "You do not have Admin in Payments development.", "Developer")
		b.goes(func() { b.click("main a.button") })
		b.wants("[data-desk]", "Please give me Admin in the AWS account 1111 2222 5555 (Payments development).", "Bob Okafor, bob", "members of a group named AWS-111122225555-Admin")
		b.open("/why/111122225555/Developer")
		b.wants("main", "Why you have Developer", "through CN=Payments Developers")
	}},
	{"a sign-in elsewhere can be ended from here", func(t *testing.T, w *world) {
		here, there := w.browser(t).signIn("zoë"), w.browser(t).signIn("zoë")
		here.open("/me/sessions")
		here.goes(func() { here.click("[name=others]") })
		here.wants("[role=status]", "All other sign-ins in browsers are ended.")
		there.watch.allows(refused)
		there.open("/")
		there.wantsAt("/login")
		there.do("going back", chromedp.NavigateBack())
		if text := there.says(); strings.Contains(text, "Sandbox") {
			t.Errorf("the back button shows %q", text)
		}
	}},
	{"a session that ends in the middle of a form loses nothing that was chosen", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob").open(powerUser)
		b.stays("form[action='" + powerUser + "']")
		b.retype("#region", "eu-north-1")
		b.pick("#scope", "Read-only")
		call(b, network.DeleteCookies, network.DeleteCookiesParams{Name: "gatehouse", URL: w.Portal})
		b.goes(func() { b.click("button[value=bash]") })
		b.signIn("bob")
		if region, scope := b.value("#region"), b.value("#scope"); region != "eu-north-1" || scope != "read-only" {
			t.Errorf("after the sign-in region and scope are %q and %q", region, scope)
		}
	}},
	{"nothing moves while a page loads, and the first page is small", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("alice")
		for _, page := range []string{"/", readOnly, "/several", "/me/history", "/me/sessions"} {
			b.open(page)
			moved := eval[[]string](b, `new Promise(done => { const all = [];
				new PerformanceObserver(list => { for (const e of list.getEntries()) if (e.value > 0.0005)
					all.push(e.value.toFixed(4) + " " + e.sources.map(s => (s.node?.outerHTML ?? s.node?.data ?? "?").slice(0, 80)).join(" | ")); }).observe({ type: "layout-shift", buffered: true });
				setTimeout(() => done(all), 300) })`)
			for _, what := range moved {
				t.Errorf("%s shifts: %s", page, what)
			}
		}
		fresh := w.browser(t).open("/login").signIn("carol")
		sum := eval[int](fresh, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((n, e) => n + e.transferSize, 0)`)
		all := eval[int](fresh, `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((n, e) => n + e.encodedBodySize, 0)`)
		t.Logf("the portal of 300 roles and all that it loads: %d bytes, %d of them over the wire now", all, sum)
		if all > 60<<10 {
			t.Errorf("the first page is %d bytes, with all that it loads; 60 KB are allowed", all)
		}
	}},
}

func keysToARole(t *testing.T, w *world) {
	b := w.browser(t)
	b.permit("clipboard-read", browser.PermissionSettingGranted)
	b.permit("clipboard-write", browser.PermissionSettingGranted)
	b.signIn("carol")
	b.press("/maps dev")
	b.press(kb.ArrowDown)
	focus := `[document.activeElement.closest(".row")?.querySelector("h3").textContent, document.activeElement.textContent.trim()].join(": ")`
	at := func(want string) {
		t.Helper()
		b.until(want, focus+` === "`+want+`"`)
	}
	at("Maps: Developer")
	b.press(kb.ArrowDown)
	at("Maps staging: Developer")
	b.press(kb.ArrowRight)
	at("Maps staging: Keys Developer")
	b.press(kb.ArrowUp)
	at("Maps: Keys Developer")
	b.press("f")
	b.until("the star", `document.querySelector(".group:not(.shelf) .row:not([hidden]) .star").getAttribute("aria-pressed") === "true"`)
	at("Maps: Keys Developer")
	b.press("c")
	b.until("word of the copy", `document.querySelector("[data-said]").textContent.startsWith("Copied")`)
	link := eval[string](b, "navigator.clipboard.readText()")
	b.goes(func() { b.press("k") })
	b.wants("h1", "Maps · Developer")
	b.goes(func() { b.open(link) })
	b.wants("h1", "Maps · Developer")
	b.open("/")
	b.wants("[data-shelf=favourites]", "Maps")
	b.press(kb.ArrowDown)
	at("Maps: ReadOnly")
	b.press("f")
	b.until("no shelf", `document.querySelector("[data-shelf=favourites]").hidden`)
	at("Maps: ☆")
}

func confirmed(t *testing.T, w *world) {
	b := w.browser(t).signIn("alice").open(identityAdmin)
	b.wants("main", "Yes, I mean Identity, which is production.")
	b.click("[data-get]")
	if n := b.count("[data-result]"); n != 0 {
		t.Error("keys without the click")
	}
	b.click("[data-confirm]")
	b.get()
	plain := w.browser(t).withoutScripts()
	plain.signIn("alice")
	plain.stays("form[data-roles]")
	plain.do("focusing the role", chromedp.Focus(chromedp.CSS(`.group:not(.shelf) button[formaction="`+identityAdmin+`"]`)))
	plain.goes(func() { plain.press(kb.Enter) })
	plain.wants("main", "Do you mean this account?", "Identity · Admin", "Nothing was handed out yet.")
	plain.goes(func() { plain.click("main button") })
	plain.atConsole(home)
	plain.wants("#role", "Admin")
}

// tick ticks a role of the page of several.
func (b *tab) tick(role string) {
	b.t.Helper()
	b.do("focusing "+role, chromedp.Focus(chromedp.CSS(`[value="`+role+`"]`)))
	b.press(" ")
}

// line asks for a pickup line.
func (b *tab) line() string {
	b.t.Helper()
	eval[bool](b, `document.querySelector("[data-line]").textContent = "", true`)
	b.click("[data-park]")
	b.until("the line", `document.querySelector("[data-line]").textContent.startsWith("eval")`)
	b.wants("[data-line-left]", "It works once")
	return eval[string](b, `document.querySelector("[data-line]").textContent`)
}

// signOut signs out by the menu.
func (b *tab) signOut() {
	b.t.Helper()
	b.click(".menu summary")
	b.goes(func() { b.click(".menu button") })
}

// failing is what a line that must fail says on the standard error of a bash.
func failing(t *testing.T, line string) string {
	t.Helper()
	var stderr strings.Builder
	c := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-c", line+"\n[ $? = 1 ]")
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		t.Errorf("the line does not fail as it should: %v", err)
	}
	return stderr.String()
}
