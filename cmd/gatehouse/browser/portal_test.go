package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// pairs are the roles of the portal, each a button and a link.
const pairs = ".group:not(.shelf) .pair"

var portalWalks = []walk{
	{"bob sees his two roles and nothing else", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		b.wants(".lead", "2 accounts, 2 roles.", "Signed in until")
		if got := b.roles(); got != "Payments development: Developer; Sandbox: PowerUser" {
			t.Errorf("bob has %q", got)
		}
		b.wants(".row:first-child", "development", "1111 2222 5555", "pay-oncall@corp.example.com")
	}},
	{"alice sees a dozen accounts, the dangerous ones named", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("alice")
		b.wants(".lead", "12 accounts")
		if rows, production := b.count(".group:not(.shelf) .row"), b.count(".group:not(.shelf) .row.red"); rows != 12 || production != 5 {
			t.Errorf("alice has %d accounts, %d of them production, want 12 and 5", rows, production)
		}
		if n := eval[int](b, `[...document.querySelectorAll(".group:not(.shelf) .row.red .env")].filter(e => e.innerText === "production").length`); n != 5 {
			t.Errorf("%d of 5 production accounts say so in words", n)
		}
		b.wants(".row.red .pair.first", "ReadOnly")
	}},
	{"carol's 300 roles are all there, and typing narrows them", searchOfMany},
	{"five roles of an account stand in one line where there is room", func(t *testing.T, w *world) {
		for _, width := range []int64{1280, 1920} {
			b := w.browser(t).size(width, 900, 1).signIn("carol")
			if n := eval[int](b, `[...document.querySelectorAll(".row .roles")].filter(r => new Set([...r.children].map(p => p.offsetTop)).size > 1).length`); n != 0 {
				t.Errorf("at %d pixels %d rows wrap", width, n)
			}
		}
	}},
	{"whoever has nothing is told whom to ask", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("dan")
		b.wants(".empty", "You have no roles yet", "The directory lists you in 2 groups", "platform@corp.example.com", "dan")
		if got := eval[string](b, `document.querySelector(".empty a").href`); got != "mailto:platform@corp.example.com" {
			t.Errorf("whom to ask is a link to %q", got)
		}
		if n := b.count(pairs); n != 0 {
			t.Errorf("dan has %d roles: a group of the right name in the wrong place counted", n)
		}
		b.open("/roles/111122223333/Admin")
		b.watch.allows("status of 403")
		b.wants("main", "You do not have this role.", "Reference")
	}},
	{"without scripts Enter searches", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("carol")
		b.wants("h1", "Hello, Carol")
		b.typeIn(".search input", "billing admin")
		b.goes(func() { b.press(kb.Enter) })
		b.wants("[data-found]", "Matching", "billing admin")
		if got := b.roles(); got != "Billing: Admin; Billing staging: Admin; Billing development: Admin" {
			t.Errorf("the search found %q", got)
		}
		b.typeIn(".search input", " nonsense")
		b.goes(func() { b.press(kb.Enter) })
		b.wants(".empty", "Nothing matches “billing admin nonsense”")
		b.goes(func() { b.click(".empty a") })
		if n := b.count(pairs); n != 300 {
			t.Errorf("Show all shows %d roles", n)
		}
	}},
	{"a search from another page leads to what it found", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("alice").open(readOnly)
		b.press("/")
		b.until("the cursor in the search", "document.activeElement.name === 'q'")
		b.press("networking operator")
		b.goes(func() { b.press(kb.Enter) })
		b.wantsAt("/?q=networking+operator")
		if got := b.roles(); got != "Networking: Operator" {
			t.Errorf("the search found %q", got)
		}
	}},
	{"what is typed into the search is text", func(t *testing.T, w *world) {
		const hostile = `<img src=x onerror=alert(1)>"'&`
		b := w.browser(t).signIn("bob")
		b.typeIn(".search input", hostile)
		b.wants("[data-nothing]", "Nothing matches “"+hostile+"”")
		b.goes(func() { b.withoutScripts().open("/?q=" + `%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%22'%26`) })
		b.wants("[data-nothing]", "Nothing matches “"+hostile+"”")
		if n := b.count("main img"); n != 0 {
			t.Errorf("%d images were made of it", n)
		}
	}},
	{"the person menu closes with Escape and by a click elsewhere", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		for _, leave := range []func(){func() { b.press(kb.Escape) }, func() { b.click("h1") }} {
			b.click(".menu summary")
			b.until("the menu", "document.querySelector('.menu').open")
			b.wants(".menu .sheet", "Signed in as bob", "directory corp", "Sign out")
			leave()
			b.until("no menu", "!document.querySelector('.menu').open")
		}
	}},
}

func searchOfMany(t *testing.T, w *world) {
	b := w.browser(t).signIn("carol")
	b.wants(".lead", "60 accounts, 300 roles.")
	if n := b.count(pairs); n != 300 {
		t.Fatalf("%d roles are shown, want 300", n)
	}
	b.press("/")
	b.until("the cursor in the search", "document.activeElement.name === 'q'")
	for _, tt := range []struct {
		typed string
		left  int
	}{
		{"ship", 15}, {"ping", 15}, {" ", 15}, {"stag", 5}, {"ing ", 5}, {"admin", 1},
	} {
		b.press(tt.typed)
		if n := b.count(pairs); n != tt.left {
			t.Errorf("after %q, %d roles are left, want %d", b.value(".search input"), n, tt.left)
		}
	}
	b.wants("[data-found]", "1 account, 1 role match.")
	if got := b.roles(); got != "Shipping staging: Admin" {
		t.Errorf("left is %q", got)
	}
	b.press(kb.Enter)
	b.until("the cursor on the role", `document.activeElement.innerText === "Admin"`)
	b.press("/")
	b.press("nothing of the kind") // what was there is selected, and gives way
	b.wants("[data-nothing]", "Nothing matches “nothing of the kind”", "Show all")
	if n := b.count(pairs); n != 0 {
		t.Errorf("%d roles are shown beside it", n)
	}
	b.press(kb.Escape)
	if n := b.count(pairs); n != 300 {
		t.Errorf("after Escape %d roles are shown, want 300", n)
	}
	b.press("7018 4096")
	if n := b.count(".row"); n != 3 {
		t.Errorf("the account number as it is written finds %d accounts, want 3", n)
	}
}

// roles are the roles that are shown: Account: Role, Role; Account: Role.
func (b *tab) roles() string {
	b.t.Helper()
	return strings.Join(eval[[]string](b, `[...document.querySelectorAll(".group:not(.shelf) .row")].filter(r => r.checkVisibility()).map(r =>
		r.querySelector("h3").textContent + ": " + [...r.querySelectorAll(".pair")].filter(p => p.checkVisibility())
			.map(p => p.firstElementChild.textContent).join(", "))`), "; ")
}
