package browser

import (
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// plainWalks are done without scripts. Others of the kind stand beside the
// walks that they repeat.
var plainWalks = []walk{
	{"several roles are searched for, ticked and come in one file", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		files := b.signIn("alice").downloads()
		b.open("/several")
		b.watch.allows("status of 400")
		b.goes(func() { b.click(".bar button") })
		b.wants("[role=alert]", "Tick at least one role.")
		b.typeIn(".search input", "data lake analyst")
		b.goes(func() { b.press(kb.Enter) })
		b.wants("[role=status]", "Matching", "data lake analyst")
		b.tick("222233334444/Analyst")
		b.retype("#region", "nowhere")
		b.goes(func() { b.click(".bar button") })
		b.wants("[role=alert]", "Write the region as AWS does")
		if got := eval[bool](b, `document.querySelector('[value="222233334444/Analyst"]').checked`); !got {
			t.Error("what was ticked is not any more")
		}
		b.retype("#region", "eu-north-1")
		b.click(".bar button")
		b.fileHas(filepath.Join(files, "credentials.ini"), "[data-lake-analyst]\n", "region = eu-north-1")
	}},
	{"a role that is not held leads to why not, and to a text to send", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.watch.allows("status of 403")
		b.signIn("bob").open("/roles/111122225555/Admin")
		b.wants("h1", "You do not have this role.")
		b.goes(func() { b.click("main a.button") })
		b.wantsAt("/why/111122225555/Admin")
		b.wants("[data-desk]", "Please give me Admin in the AWS account 1111 2222 5555", "Bob Okafor, bob")
		b.open(developer)
		b.click("details.more summary")
		b.goes(func() { b.click(`details.more a[href="/why/111122225555/Developer"]`) })
		b.wants("main", "Why you have Developer", "through CN=Payments Developers")
	}},
	{"what was taken stands in the history, and leads back to the role", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob").open(powerUser)
		c := b.opens(func() { b.click("button[value=fish]") })
		c.wants("body", "set -gx AWS_ACCESS_KEY_ID")
		b.open("/")
		b.click(".menu summary")
		b.goes(func() { b.click(`.menu a[href="/me/history"]`) })
		b.wants("main", "Still good", "Sandbox · PowerUser", "Keys for fish", "UTC")
		b.goes(func() { b.click(`main a[href="` + powerUser + `"]`) })
		b.wants("h1", "Sandbox · PowerUser")
	}},
	{"a sign-in elsewhere is ended, then all others, then this one", func(t *testing.T, w *world) {
		here, there, third := w.browser(t).withoutScripts(), w.browser(t).withoutScripts(), w.browser(t).withoutScripts()
		for _, b := range []*tab{there, third, here} {
			b.signIn("zoë")
		}
		here.open("/me/sessions")
		here.goes(func() { here.click(here.ending("End it")) })
		here.wants("[role=status]", "That sign-in is ended.")
		here.goes(func() { here.click("[name=others]") })
		here.wants("[role=status]", "All other sign-ins in browsers are ended.")
		for _, b := range []*tab{there, third} {
			b.open("/")
			b.wantsAt("/login")
		}
		here.wants("main h3", "This browser, Chrome on Linux")
		here.goes(func() { here.click(here.ending("Sign out")) })
		here.wants("[role=status]", "You are signed out.")
	}},
	{"a code is typed, agreed to, and its sign-in ended", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob")
		b.watch.allows("status of 404")
		b.open("/device").typeIn("#user_code", "BBBB-BBBB")
		b.goes(func() { b.click("main button") })
		b.wants("main", "There is no such code.")
		p := askedFrom(b, nil)
		b.wants("main", p.UserCode, "a tool", "Did somebody send you this link or this code?")
		b.goes(func() { b.click("button[value=agree]") })
		b.wants("main", "The program is signed in")
		p.fetch(b)
		b.open("/me/sessions")
		b.goes(func() { b.click("#stop-0") })
		b.wants("[role=status]", "Ended.")
		b.wants("main", "There are none.")
	}},
}

// ending selects the first button of a sign-in that says so.
func (b *tab) ending(says string) string {
	b.t.Helper()
	return "#" + eval[string](b, `[...document.querySelectorAll("button[name=end]")].find(e => e.innerText === "`+says+`").id`)
}
