package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gatehouse/internal/outside"
)

// home is where the emulator's console begins.
const home = "/console/home?region=eu-west-1"

var consoleWalks = []walk{
	{"one click on a role opens its console in a new tab", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		c := b.opens(func() { b.click(role("PowerUser")) })
		c.atConsole(home)
		c.wants("#account", "4444 5555 6666")
		c.wants("#role", "PowerUser")
		c.wants("#session-name", "bob")
		c.wants("#region", "eu-west-1")
		c.wants("#source-identity", "employee-1001")
		c.wants("#tags", "Engineering")
		b.wantsAt("/")
	}},
	{"the console leads back to the role's page", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		c := b.opens(func() { b.click(role("Developer")) })
		c.atConsole(home)
		c.wants("#session-name", "bob")
		c.goes(func() { c.click("#issuer") })
		c.wantsAt(developer)
		c.wants("h1", "Payments development · Developer")
	}},
	{"without scripts it is one click as well", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob")
		c := b.opens(func() { b.click(role("PowerUser")) })
		c.atConsole(home)
		// A new tab has scripts again. In this one there are none on the
		// leaving page either.
		again := w.browser(t).withoutScripts()
		again.signIn("bob")
		again.stays("form[data-roles]")
		again.click(role("PowerUser"))
		again.atConsole(home)
	}},
	{"a chosen region arrives", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("alice").open("/roles/666677778888/Admin") // which remembers it
		b.retype("#region", "eu-north-1")
		b.opens(func() { b.click("button[value=console]") }).atConsole("/console/home?region=eu-north-1")
	}},
	{"a link's destination arrives", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open("/go/111122225555/Developer?destination=https%3A%2F%2Feu-north-1.console.aws.amazon.com%2Fs3%2Fbuckets%3Fprefix%3Dlogs")
		if got := b.value("#destination"); got != "https://eu-north-1.console.aws.amazon.com/s3/buckets?prefix=logs" {
			t.Errorf("the console would open at %q", got)
		}
		c := b.opens(func() { b.click("button[value=console]") })
		c.atConsole("/console/s3/buckets?prefix=logs&region=eu-north-1")
		c.wants("#region", "eu-north-1")
		c.wants("#service", "s3")
	}},
	{"a link's destination elsewhere is left out, and the page says so", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		for _, elsewhere := range []string{"https%3A%2F%2Fconsole.aws.amazon.com.example.org%2F", "https%3A%2F%2Fexample.org%2F"} {
			b.open("/go?url=" + elsewhere)
			b.wants("main", "Which role?", "so it was left out")
			b.open("/go/111122225555/Developer?destination=" + elsewhere)
			b.wants("main", "so it was left out")
			if got := b.value("#destination"); got != "" {
				t.Errorf("the form holds %q", got)
			}
		}
		b.opens(func() { b.click("button[value=console]") }).atConsole(home)
	}},
	{"one that is typed is refused, and the way back keeps what else was chosen", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob").open(developer)
		b.stays("form[action='" + developer + "']")
		b.retype("#region", "eu-north-1")
		b.retype("#destination", "https://console.aws.amazon.com.example.org/")
		b.watch.allows("status of 400")
		b.goes(func() { b.click("button[value=console]") })
		b.wants("main", "One thing needs correcting.", "Give the address of an AWS console page", "Reference")
		b.goes(func() { b.click("main a.button") })
		if got := b.value("#region"); got != "eu-north-1" {
			t.Errorf("the region is %q, want the one that was typed", got)
		}
	}},
	{"a longer session than the role allows is announced before leaving", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("alice").open(admin)
		b.pick("#duration", "4 hours")
		c := b.opens(func() { b.click("button[value=console]") })
		c.wants("[role=status]", "You asked for 4 hours; this role allows 1 hour.")
		if n := eval[int](c, `document.querySelectorAll("meta[http-equiv=refresh]").length`); n != 0 {
			t.Error("the page leaves by itself")
		}
		c.looks("leaving with less time")
		for _, fault := range c.judgedBy(outside.Axe(t)) {
			t.Errorf("axe-core finds %s", fault)
		}
		c.goes(func() { c.click("main a.button") })
		c.wants("#role", "Admin")
	}},
	{"a second account meets AWS's own advice to log out first", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		b.opens(func() { b.click(role("PowerUser")) }).atConsole(home)
		c := b.opens(func() { b.click(role("Developer")) })
		c.watch.allows("status of 400")
		c.until("AWS's answer", "document.querySelector('#error')")
		c.wants("#error", "You must first log out before logging into a different AWS account.", "To logout, click here.")
		c.goes(func() { c.click("#error a") })
		c.wants("h1", "You are signed out")
		eval[bool](b, "new Promise(done => setTimeout(done, 1000, true))") // sooner it would be a double click
		d := b.opens(func() { b.click(role("Developer")) })
		d.atConsole(home)
		d.wants("#role", "Developer")
	}},
	{"with multi-session support accounts stand side by side, and nobody is signed out", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(developer)
		b.click("details.more summary")
		b.wants("details.more", "Several accounts side by side", "Switch on multi-session support once", "AWS then keeps five sign-ins apart")
		b.open("/")
		c := b.opens(func() { b.click(role("PowerUser")) })
		c.atConsole(home)
		c.goes(func() { c.click("#several") })
		d := b.opens(func() { b.click(role("Developer")) })
		d.atConsole(home)
		d.wants("#role", "Developer")
		d.wants("main", "Other sessions in this browser", "PowerUser")
		d.goes(func() { d.click("main li a") })
		d.wants("#role", "PowerUser")
	}},
	{"the browser itself can take the sign-in to AWS", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser)
		b.click("details.more:has(button[value=post]) > summary")
		c := b.opens(func() { b.click("button[value=post]") })
		c.until("the console", "location.pathname.startsWith('/console')")
		c.wants("#account", "4444 5555 6666")
		c.wants("#role", "PowerUser")
		c.wants("#session-name", "bob")
	}},
	{"and without scripts by a button", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob").open(powerUser)
		b.stays("form[action]:not([role]):not([action='/logout'])")
		b.click("details.more:has(button[value=post]) > summary")
		b.goes(func() { b.click("button[value=post]") })
		b.wants("h1", "Signing you in")
		b.wants("main", strings.TrimPrefix(w.AWS, "http://"))
		b.goes(func() { b.click("main button") })
		b.until("the console", "location.pathname.startsWith('/console')")
		b.wants("#role", "PowerUser")
	}},
}

// role selects the button that opens the console as the role.
func role(name string) string { return `.group:not(.shelf) .pair button[formaction$="/` + name + `"]` }

// atConsole waits for a page of the emulator's console.
func (b *tab) atConsole(path string) {
	b.t.Helper()
	b.until("the console", "document.querySelector('#session-name')")
	if got := b.at(); got != b.house.AWS+path {
		b.t.Errorf("the tab is at %s, want %s", got, b.house.AWS+path)
	}
}

// stays makes a form open in its own tab: a person would drag its answer
// there.
func (b *tab) stays(form string) {
	b.t.Helper()
	b.do("keeping "+form, chromedp.RemoveAttribute(chromedp.CSS(form), "target"))
}

// retype replaces what a field holds.
func (b *tab) retype(selector, text string) {
	b.t.Helper()
	b.click(selector)
	eval[bool](b, "document.activeElement.select(), true")
	b.press(text)
}

// pick chooses a line of a select by typing it, as one does by keyboard.
func (b *tab) pick(selector, line string) {
	b.t.Helper()
	b.do("focusing "+selector, chromedp.Focus(chromedp.CSS(selector)))
	b.press(line)
	b.until(line+" to be chosen", "/^"+line+"(, until .*)?$/.test(document.activeElement.selectedOptions[0].text)")
}
