package browser

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp/kb"
)

// refused is the answer to a sign-in that failed, as Chromium logs it.
const refused = "status of 401"

var signInWalks = []walk{
	{"typing a name, Tab, a password and Enter is enough", func(t *testing.T, w *world) {
		b := w.browser(t).open("/")
		b.wantsAt("/login")
		b.until("the cursor in the name", "document.activeElement.id === 'username'")
		b.press("bob\t" + password)
		b.goes(func() { b.press(kb.Enter) })
		b.wantsAt("/")
		b.wants("h1", "Bob")
		b.wants(".menu summary", "Bob Okafor")
	}},
	{"a wrong password says so, keeps the name and waits for the password", func(t *testing.T, w *world) {
		b := w.browser(t).open("/login")
		b.watch.allows(refused)
		b.typeIn("#username", "bob")
		b.typeIn("#password", "Gatehouse")
		b.goes(func() { b.click("main button") })
		b.wantsAt("/login")
		b.wants("[role=alert]", "Invalid username or password.", "Check both", "Reference")
		if name, pass := b.value("#username"), b.value("#password"); name != "bob" || pass != "" {
			t.Errorf("the form holds %q and %q, want the name and no password", name, pass)
		}
		b.until("the cursor in the password", "document.activeElement.id === 'password'")
		b.press(password)
		b.goes(func() { b.press(kb.Enter) })
		b.wantsAt("/")
	}},
	{"a person who is not there is refused in the same words", func(t *testing.T, w *world) {
		b := w.browser(t)
		b.watch.allows(refused)
		if known, unknown := refusal(b, "alice", "wrong"), refusal(b, "nobody", "wrong"); known != unknown {
			t.Errorf("alice is told %q, nobody %q", known, unknown)
		}
	}},
	{"a right password that cannot be used says why", func(t *testing.T, w *world) {
		b := w.browser(t)
		b.watch.allows(refused)
		for _, tt := range []struct{ username, password, want string }{
			{"erin", password, "Your password has expired. It was right, but the directory asks for a new one."},
			{"grace", password, "Your directory account is disabled. The password was right."},
			{"erin", "wrong", "Invalid username or password."},
			{"grace", "wrong", "Invalid username or password."},
		} {
			if got := refusal(b, tt.username, tt.password); !strings.Contains(got, tt.want) {
				t.Errorf("%s with %q is told %q, want %q", tt.username, tt.password, got, tt.want)
			}
		}
	}},
	{"whoever must choose a new password does, and signs in with it", func(t *testing.T, w *world) {
		b := w.browser(t)
		b.watch.allows(refused)
		b.open("/login")
		b.typeIn("#username", "heidi")
		b.typeIn("#password", password)
		b.goes(func() { b.press(kb.Enter) })
		b.wants("[role=alert]", "You must choose a new password first.")
		b.goes(func() { b.click("[role=alert] a") })
		b.wants("h1", "Choose a new password")
		if got := b.value("#username"); got != "heidi" {
			t.Errorf("the name is %q, want it kept", got)
		}
		b.until("the cursor in the old password", "document.activeElement.id === 'password'")
		b.typeIn("#password", password)
		b.typeIn("#new", "an entirely new one")
		b.typeIn("#repeat", "an entirely new one")
		b.goes(func() { b.press(kb.Enter) })
		b.wants("[role=status]", "Your password is changed.")
		b.typeIn("#username", "heidi")
		b.typeIn("#password", "an entirely new one")
		b.goes(func() { b.press(kb.Enter) })
		b.wants("h1", "Heidi")
	}},
	{"a name with other letters signs in and is written as it is", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("zoë")
		b.wantsAt("/")
		b.wants("h1", "Zoë")
		b.wants(".menu summary", `Zoë "Zo" O'Brien, PhD`)
		b.click(".menu summary")
		b.wants(".menu .sheet", "Signed in as zoë")
	}},
	{"an empty field is not sent", func(t *testing.T, w *world) {
		b := w.browser(t).open("/login")
		b.typeIn("#username", "bob")
		b.click("main button")
		b.until("the cursor in the password", "document.activeElement.id === 'password'")
		if b.at() != w.Portal+"/login" || b.count("[role=alert]") != 0 {
			t.Errorf("the form was sent: the tab is at %s and says %q", b.at(), b.says())
		}
	}},
	{"a link to a role leads through the sign-in to that role", func(t *testing.T, w *world) {
		b := w.browser(t).open("/go/111122225555/Developer?region=eu-central-1")
		if !strings.HasPrefix(b.at(), w.Portal+"/login?next=") {
			t.Fatalf("the link leads to %s, want the sign-in page", b.at())
		}
		b.signIn("bob")
		b.wantsAt(developer + "?region=eu-central-1")
		b.wants("h1", "Payments development · Developer")
		if got := b.value("#region"); got != "eu-central-1" {
			t.Errorf("the region is %q, want the link's eu-central-1", got)
		}
	}},
	{"a link to another site does not lead there", func(t *testing.T, w *world) {
		b := w.browser(t).open("/login?next=%2F%2Fexample.org%2F")
		b.signIn("bob")
		b.wantsAt("/")
	}},
	{"whoever is signed in is not asked again", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open("/login")
		b.wantsAt("/")
	}},
	{"strangers who guess do not keep a browser out that is known", knownBrowser},
	{"the session cookie is out of reach of scripts and other sites", sessionCookie},
}

var reference = regexp.MustCompile(`\s*Reference \w+`)

// refusal tries to sign in and is what the person reads, without the reference.
func refusal(b *tab, username, word string) string {
	b.t.Helper()
	b.open("/login")
	b.typeIn("#username", username)
	b.typeIn("#password", word)
	b.goes(func() { b.press(kb.Enter) })
	return reference.ReplaceAllString(b.text("[role=alert]"), "")
}

func sessionCookie(t *testing.T, w *world) {
	b := w.browser(t).open("/login")
	if cookies := b.cookies(); len(cookies) != 0 {
		t.Errorf("the sign-in page sets %d cookies, want none before there is a session", len(cookies))
	}
	b.signIn("bob")
	cookies := b.cookies()
	if len(cookies) != 2 {
		t.Fatalf("the portal holds %d cookies, want the session's and the browser's mark", len(cookies))
	}
	slices.SortFunc(cookies, func(a, b *network.Cookie) int { return strings.Compare(a.Name, b.Name) })
	c, mark := cookies[0], cookies[1]
	// Secure and the __Host- prefix come with https, which a demo has not.
	if c.Name != "gatehouse" || !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.Path != "/" || c.Domain != "localhost" || !c.Session {
		t.Errorf("the cookie is %+v, want HttpOnly, SameSite=Lax, this host only, until the browser closes", c)
	}
	if mark.Name != "gatehouse-device" || !mark.HTTPOnly || mark.SameSite != network.CookieSameSiteStrict || mark.Path != "/" || mark.Domain != "localhost" || mark.Session {
		t.Errorf("the mark is %+v, want HttpOnly, SameSite=Strict, this host only, for long", mark)
	}
	if seen := eval[string](b, "document.cookie"); seen != "" {
		t.Errorf("scripts read %q", seen)
	}
	b.open("/").click(".menu summary")
	b.goes(func() { b.click(".menu button") })
	if left := b.cookies(); len(left) != 1 || left[0].Name != mark.Name {
		t.Errorf("%d cookies are left after the sign-out, want the browser's mark alone", len(left))
	}
}

// knownBrowser signs in where the person has before, while strangers have
// spent their guesses at the password: in a house of its own, since what they
// have spent stays spent.
func knownBrowser(t *testing.T, w *world) {
	w = &world{house: startHouse(t), chromium: w.chromium}
	b := w.browser(t).signIn("dan")
	b.click(".menu summary")
	b.goes(func() { b.click(".menu button") })
	stranger := w.browser(t)
	stranger.watch.allows(refused)
	stranger.watch.allows("status of 429")
	for _, guess := range []string{"one", "two", "three"} {
		refusal(stranger, "dan", guess)
	}
	if got := refusal(stranger, "dan", password); !strings.Contains(got, "Too many attempts.") {
		t.Errorf("after three guesses a stranger with the right password reads %q", got)
	}
	b.signIn("dan")
	b.wantsAt("/")
}

// cookies are those that the browser would send to the portal.
func (b *tab) cookies() []*network.Cookie {
	b.t.Helper()
	return call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{b.house.Portal + "/"}}).Cookies
}
