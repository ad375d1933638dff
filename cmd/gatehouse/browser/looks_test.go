package browser

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var looksWalks = []walk{
	{"Tab reaches everything on the sign-in page in reading order", func(t *testing.T, w *world) {
		b := w.browser(t).open("/login")
		b.tabOrder("username password Sign·in platform@corp.example.com")
	}},
	{"Tab reaches everything on the portal in reading order", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		b.tabOrder("Skip·to·the·page Gatehouse q Bob·Okafor Take·several·roles·at·once ☆ Developer Keys ☆ PowerUser Keys My·history Keyboard platform@corp.example.com")
	}},
	{"Tab reaches everything on a role's page in reading order", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser)
		before := "Skip·to·the·page Gatehouse q Bob·Okafor Accounts "
		fields := "Open·console profile duration scope region Regions·by·place destination macOS·and·Linux sheet "
		after := "Make·a·line Links,·and·other·ways·to·the·console The·AWS·CLI,·SDKs·and·other·clients platform@corp.example.com"
		b.tabOrder(before + "Get·credentials " + fields + after)
		b.get()
		b.tabOrder(before + "Renew " + fields + "Copy Show Download " + strings.Replace(after, "Links", "your·history Links", 1))
	}},
	{"the keyboard alone signs in, takes credentials and signs out", keyboardAlone},
	{"the skip link leads past the header", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		b.press(kb.Tab)
		b.press(kb.Enter)
		b.press(kb.Tab)
		b.until("the cursor on the first link of the page", `document.activeElement.innerText === "Take several roles at once"`)
	}},
	{"every page fits, can be touched, and can be read in light and in the dark", everyPage},
	{"what happens on a page is told to who only hears it", heardAlone},
	{"with forced colours and without motion the page is all there", func(t *testing.T, w *world) {
		b := w.browser(t)
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "forced-colors", Value: "active"}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		b.signIn("bob")
		if n := eval[int](b, `[...document.querySelectorAll("*")].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0).length`); n != 0 {
			t.Errorf("%d elements move", n)
		}
		if n := b.count(pairs); n != 2 {
			t.Errorf("%d roles are shown", n)
		}
	}},
}

// tabOrder walks with Tab from the top to the end of the page. Each stop must
// be what is wanted next, in view, and visibly focused.
func (b *tab) tabOrder(want string) {
	b.t.Helper()
	eval[bool](b, `document.activeElement.blur(), getSelection().removeAllRanges(), scrollTo(0, 0),
		document.body.tabIndex = -1, document.body.focus(), document.body.removeAttribute("tabindex"), true`)
	var got []string
	for range len(strings.Fields(want)) + 1 {
		b.press(kb.Tab)
		stop := eval[string](b, `(() => {
			const e = document.activeElement;
			if (!e || e === document.body) return "";
			const box = e.getBoundingClientRect(), style = getComputedStyle(e);
			const seen = box.width > 1 && box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
			const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
			const name = e.name && e.tagName !== "BUTTON" ? e.name : e.id === "sheet" ? "sheet" : e.innerText.trim().split("\n")[0];
			return name.replaceAll(" ", "·") + (seen ? "" : "(out·of·view)") + (ring ? "" : "(no·ring)");
		})()`)
		if stop == "" {
			break
		}
		got = append(got, stop)
	}
	if line := strings.Join(got, " "); line != want {
		b.t.Errorf("Tab at %s leads to\n%s\nwant\n%s", b.at(), line, want)
	}
}

func keyboardAlone(t *testing.T, w *world) {
	b := w.browser(t).open("/login")
	b.until("the cursor in the name", "document.activeElement.id === 'username'")
	b.press("bob\t" + password + "\t")
	b.goes(func() { b.press(" ") })
	b.press("/pay")
	b.press(kb.Enter)
	b.until("the cursor on the role", `document.activeElement.innerText === "Developer"`)
	b.press(kb.Tab)
	b.goes(func() { b.press(kb.Enter) })
	b.wantsAt(developer)
	b.do("focusing the way back", chromedp.Focus(chromedp.CSS(".crumbs a")))
	b.press(kb.Tab)
	b.press(" ")
	b.until("the credentials", shown)
	// While AWS is asked the button is out of use; the focus must not be lost by it.
	b.until("the cursor where it was", `document.activeElement.matches("[data-get]")`)
	b.do("focusing the menu", chromedp.Focus(chromedp.CSS(".menu summary")))
	b.press(kb.Enter)
	b.press(kb.Tab)
	b.goes(func() { b.press(kb.Enter) })
	b.wants("[role=status]", "You are signed out.")
}

// heard is what the page's live regions say, those that are there to be heard.
func (b *tab) heard() string {
	b.t.Helper()
	return eval[string](b, `[...document.querySelectorAll("[role=status], [role=alert], [aria-live=polite]")]
		.filter(e => e.checkVisibility() && e.getAttribute("aria-live") !== "off").map(e => e.textContent.trim()).filter(Boolean).join(" | ")`)
}

// hears acts and fails unless the page then says text.
func (b *tab) hears(text string, act func()) {
	b.t.Helper()
	if before := b.heard(); strings.Contains(before, text) {
		b.t.Errorf("%q was said before: %q", text, before)
	}
	act()
	said := ""
	b.await("a live region to say "+text, func(context.Context) bool {
		said = b.heard()
		return strings.Contains(said, text)
	})
	if strings.Contains(said, " | ") {
		b.t.Errorf("several speak at once: %q", said)
	}
}

func heardAlone(t *testing.T, w *world) {
	b := w.browser(t)
	b.permit("clipboard-write", browser.PermissionSettingGranted)
	b.signIn("carol")
	b.hears("3 accounts, 15 roles match.", func() { b.typeIn(".search input", "billing") })
	b.hears("Nothing matches.", func() { b.press(" of the kind") })
	b.hears("1 role matches.", func() { b.open("/several").typeIn(".search input", "maps staging admin") })
	b.hears("Nothing matches.", func() { b.press("s") })
	b.open("/roles/700140960000/Support")
	b.hears("The credentials are here, until ", func() { b.get() })
	b.hears("Copied", func() { b.click("[data-copy]") })
	b.hears("The credentials are here, until ", func() { b.click("[data-get]") })
	b.click("details.more summary")
	b.hears("Copied", func() { b.click("[data-copy-share]") })
	b.open("/why/111122223333/Admin")
	b.hears("Copied", func() { b.click("[data-copy-desk] button") })
	alice := w.browser(t).signIn("alice").open("/roles/999900001111/Admin")
	alice.pick("#duration", "4 hours")
	alice.hears("You asked for 4 hours; this role allows 1 hour.", func() { alice.get() })
}

// everyPage holds all pages to the rules of looks.
func everyPage(t *testing.T, w *world) {
	b := w.browser(t)
	b.watch.allows(refused, "status of 403")
	b.open("/login").looks("sign-in")
	refusal(b, "erin", password)
	b.looks("refused sign-in")
	b.open("/me/password?username=alice").looks("new-password")
	b.open("/login").signIn("alice").looks("portal")
	b.click(".menu summary")
	b.looks("person menu")
	b.open("/roles/777788889999/Admin").looks("role")
	b.pick("#duration", "4 hours")
	b.get().looks("credentials")
	b.click("[data-show]")
	b.looks("credentials in the open")
	b.open("/several").looks("several")
	b.open("/roles/111122223333/Nothing").looks("problem")
	w.browser(t).signIn("carol").looks("300 roles")
	w.browser(t).signIn("dan").looks("no roles")
	plain := w.browser(t).withoutScripts()
	plain.signIn("bob").open(powerUser).looks("role without scripts")
	plain.open("/?q=nothing").looks("search without scripts")
}

// looks holds the page that is shown to every rule, each in its own window.
func (b *tab) looks(page string) {
	b.t.Helper()
	b.size(320, 640, 1).fits(page + " at 320 pixels")
	b.size(683, 384, 2).fits(page + " at 200 % of a laptop's screen")
	b.size(360, 740, 1).touchable(page + " on a phone")
	b.size(1120, 800, 1).spelledOut(page)
	b.scheme("light").readable(page+" in light", "rgb(249, 250, 252)")
	b.scheme("dark").readable(page+" in the dark", "rgb(14, 18, 23)")
}

// fits fails where a page is wider than its window.
func (b *tab) fits(page string) {
	b.t.Helper()
	wide := eval[[]string](b, `(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth ? [] : [...document.querySelectorAll("body *")]
		.filter(e => e.getBoundingClientRect().right > clientWidth).map(e => e.tagName + "." + e.className))(document.scrollingElement)`)
	if len(wide) > 0 {
		b.t.Errorf("%s: wider than the window are %q", page, wide)
	}
}

// spelledOut fails where a field's example is cut.
func (b *tab) spelledOut(page string) {
	b.t.Helper()
	cut := eval[[]string](b, `[...document.querySelectorAll("input[placeholder]")].filter(e => e.checkVisibility() && !e.value).filter(e => {
		const canvas = new OffscreenCanvas(1, 1).getContext("2d"), style = getComputedStyle(e);
		canvas.font = style.font;
		return canvas.measureText(e.placeholder).width > e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
	}).map(e => e.placeholder)`)
	if len(cut) > 0 {
		b.t.Errorf("%s: cut are %q", page, cut)
	}
}

// touchable fails where something to press is lower than 40 pixels, links in
// running text and the boxes of a label aside.
func (b *tab) touchable(page string) {
	b.t.Helper()
	small := eval[[]string](b, `[...document.querySelectorAll("button, summary, select, input:not([type=hidden]):not([type=checkbox]):not([type=radio]), .choices label, .pair a, a.button, a.brand")]
		.filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 39.5)
		.map(e => (e.innerText || e.name) + " " + e.getBoundingClientRect().height)`)
	if len(small) > 0 {
		b.t.Errorf("%s: too low for a finger are %q", page, slices.Compact(small))
	}
}

// leastContrast is what WCAG 2.2 asks of text (1.4.3, level AA).
const leastContrast = 4.5

// readable computes the contrast of every text, once the page has the
// background of its colour scheme.
func (b *tab) readable(page, background string) {
	b.t.Helper()
	b.until(page, `getComputedStyle(document.body).backgroundColor === "`+background+`" && document.getAnimations().length === 0`)
	found := eval[[]struct {
		Text, Ink, Ground string
		Ratio             float64
	}](b, contrasts)
	if len(found) < 4 {
		b.t.Errorf("%s: only %d texts were found", page, len(found))
	}
	for _, f := range found {
		if f.Ratio < leastContrast {
			b.t.Errorf("%s: %q is %s on %s, %.2f to 1", page, f.Text, f.Ink, f.Ground, f.Ratio)
		}
	}
}

// contrasts lists each visible text with the ratio of its colour to what lies
// behind it (WCAG 2.2, "contrast ratio" and "relative luminance").
const contrasts = `(() => {
	const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
	const rgba = (colour) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = colour;
		canvas.fillRect(0, 0, 1, 1);
		return [...canvas.getImageData(0, 0, 1, 1).data];
	};
	const over = (top, below) => [0, 1, 2].map((i) => (top[i] * top[3] + below[i] * (255 - top[3])) / 255).concat(255);
	const luminance = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (e) => {
		const layers = [];
		for (let n = e; n; n = n.parentElement) layers.push(rgba(getComputedStyle(n).backgroundColor));
		return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 255]);
	};
	const fields = [...document.querySelectorAll("input:not([type=hidden]):not([type=checkbox]), select")];
	const texts = [...document.querySelectorAll("body *")].filter((e) => !["SCRIPT", "OPTION"].includes(e.tagName) &&
		[...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim()));
	return [...texts, ...fields].filter((e) => e.checkVisibility()).map((e) => {
		const below = ground(e), style = getComputedStyle(e, e.value === "" && e.placeholder ? "::placeholder" : null);
		const ink = over(rgba(style.color), below);
		const [a, b] = [luminance(ink), luminance(below)].sort((x, y) => y - x);
		return { Text: (e.innerText || e.value || e.placeholder || "").trim().slice(0, 40), Ink: style.color, Ground: below.slice(0, 3).join(" "), Ratio: (a + 0.05) / (b + 0.05) };
	});
})()`
