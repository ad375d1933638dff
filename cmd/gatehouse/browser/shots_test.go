package browser

import (
	"html"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// fleeting are the pages that nobody stays on, and those that take a slip or a
// failure to see.
var fleeting = []shot{
	{"leave", "bob", wide, 560, func(b *tab) { b.held(developer, "console") }},
	{"post", "bob", wide, 560, func(b *tab) { b.held(developer, "post") }},
	{"link", "bob", wide, 640, func(b *tab) { b.plainly(developer, "link") }},
	{"pickup", "bob", wide, 640, func(b *tab) { b.plainly(developer, "pickup") }},
	{"new-place", "bob", wide, 760, func(b *tab) {
		newPlace(b, net.IPv4(127, 0, 0, 4))
		b.open("/")
	}},
	{"signed-out", "", wide, 640, func(b *tab) { b.open("/login?said=out") }},
	{"not-quite-out", "", wide, 860, func(b *tab) { b.open("/login?said=kept") }},
	{"new-password-refused", "alice", wide, 860, func(b *tab) {
		b.open("/me/password")
		for field, word := range map[string]string{"#password": password, "#new": "one", "#repeat": "another"} {
			b.typeIn(field, word)
		}
		b.goes(func() { b.press(kb.Enter) })
	}},
	{"several-refused", "alice", wide, 800, func(b *tab) {
		b.open("/several")
		b.goes(func() { b.click(".bar button") })
	}},
	{"device-refused", "alice", wide, 560, func(b *tab) {
		b.open("/device").typeIn("#user_code", "BBBB-BBBB")
		b.goes(func() { b.click("main button") })
	}},
	{"link-left-out", "bob", wide, 560, func(b *tab) { b.open("/go?url=https%3A%2F%2Fexample.org%2F") }},
	{"problem-role", "dan", wide, 640, func(b *tab) { b.open("/roles/111122223333/Admin") }},
	{"problem-form", "bob", wide, 560, func(b *tab) {
		b.withoutScripts().open(developer)
		b.stays("form[action='" + developer + "']")
		b.retype("#region", "nowhere")
		b.withScripts()
		b.goes(func() { b.click("button[value=console]") })
	}},
	{"problem-application", "", wide, 640, func(b *tab) { b.open("/saml/sso?SAMLRequest=x") }},
	{"problem-program", "bob", wide, 640, func(b *tab) { b.open("/authorize?client_id=x") }},
}

// shownBy names, for every template, a shot of it.
var shownBy = map[string]string{
	"answered": "agreed", "applications": "applications", "carry": "carry", "confirm": "confirm", "consent": "consent", "device": "device", "history": "history",
	"leave": "leave", "link": "link", "login": "sign-in", "password": "new-password", "pick": "link-pick", "pickup": "pickup", "portal": "portal", "post": "post",
	"problem": "problem", "role": "role", "rolelogin": "aws-login", "sessions": "sign-ins", "several": "several", "why": "why",
}

// unseen are the templates that the demo has no way to, and who looks at them.
var unseen = map[string]string{
	"logout": "the demo has no application that hears of a sign-out; web's TestAxeFindsNothingOnAnyPageInAnyState judges the page, web/idp's TestASignOutInChromium walks through it",
}

const templates = "../../../templates"

func TestEveryPageHasAPictureOrAReason(t *testing.T) {
	files, err := filepath.Glob(templates + "/*.html")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	var names []string
	for _, s := range allShots {
		names = append(names, s.name)
	}
	pages := map[string]bool{}
	for _, file := range files {
		page := strings.TrimSuffix(filepath.Base(file), ".html")
		if page == "layout" || page == "parts" {
			continue
		}
		pages[page] = true
		if shown := slices.Contains(names, shownBy[page]); shown == (unseen[page] != "") {
			t.Errorf("%s has a picture: %v, and a reason for none: %q", page, shown, unseen[page])
		}
	}
	for page := range maps.Keys(shownBy) {
		if !pages[page] {
			t.Errorf("there is no page %s", page)
		}
	}
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("two pictures have one name: %q", names)
	}
}

func TestThePortalsGuideShowsEveryPicture(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/portal.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile(`\]\(pictures/([a-z0-9-]+)\.png\)`).FindAllStringSubmatch(string(guide), -1) {
		if !strings.HasSuffix(m[1], "-dark") {
			named = append(named, m[1])
		}
	}
	for _, s := range allShots {
		if !slices.Contains(named, s.name) || !strings.Contains(string(guide), "(pictures/"+s.name+"-dark.png)") {
			t.Errorf("docs/portal.md does not show %s in light and in the dark", s.name)
		}
	}
	for _, name := range named {
		if !slices.ContainsFunc(allShots, func(s shot) bool { return s.name == name }) {
			t.Errorf("docs/portal.md shows %s, which nobody takes", name)
		}
	}
}

var action = regexp.MustCompile(`\\\{\\\{.*?\\\}\\\}`)

// isA fails unless the tab shows the template that the shot is said to be of.
// Only what a template says by itself is compared.
func (b *tab) isA(name string) {
	b.t.Helper()
	for page, shown := range shownBy {
		if shown != name {
			continue
		}
		text, err := os.ReadFile(filepath.Join(templates, page+".html"))
		if err != nil {
			b.t.Fatal(err)
		}
		said := regexp.MustCompile(`{{define "title"}}(.*){{end}}`).FindStringSubmatch(string(text))[1]
		title := regexp.MustCompile("^" + action.ReplaceAllString(regexp.QuoteMeta(said), ".*") + " · ")
		if got := html.UnescapeString(eval[string](b, "document.title")); !title.MatchString(got) && !strings.Contains(said, "{{if") {
			b.t.Errorf("%s is called %q, a page of %s would be %s", name, got, page, title)
		}
	}
}

// held takes a role in the same tab, and shows the page that would lead on:
// where it leads, there is nothing to show (RFC 9110 §15.3.5), so that the
// browser stays.
func (b *tab) held(path, form string) {
	b.t.Helper()
	b.open(path)
	b.stays("form[action='" + path + "']")
	b.click("details.more summary")
	err := chromedp.Listen(b.ctx, func(ev any) {
		if paused, ok := ev.(*fetch.EventRequestPaused); ok {
			go func() { // this is the reader of the protocol
				_, _ = chromedp.Call(b.ctx, fetch.FulfillRequest, fetch.FulfillRequestParams{RequestID: paused.RequestID, ResponseCode: http.StatusNoContent})
			}()
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	call(b, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: b.house.AWS + "/*"}}})
	b.goes(func() { b.click("button[value=" + form + "]") })
}

// withScripts lets scripts run again.
func (b *tab) withScripts() *tab {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{})
	return b
}
