package web

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/saml"
)

func TestThePortalShowsApplications(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	if body := wantStatus(t, h.get("/", cookie), 200); strings.Contains(body, "Applications") {
		t.Error("without an application there is a heading for them")
	}
	h.broker.applications = []gatehouse.Application{{Name: "<Wiki>", EntityID: "https://wiki.example/sp?a=1&b"}, {Name: "Blog", EntityID: "blog"}}
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "<h2>Applications</h2>", `href="/saml/launch?sp=https%3A%2F%2Fwiki.example%2Fsp%3Fa%3D1%26b" target="_blank" rel="noopener"><bdi>&lt;Wiki&gt;</bdi>`, ">Blog<")
	body := wantStatus(t, h.get("/?q=WIKI", cookie), 200)
	wantContains(t, body, "&lt;Wiki&gt;")
	if strings.Contains(body, ">Blog<") {
		t.Error("the search does not hold for applications")
	}
	h.broker.entitlements = nil
	h.clock = h.clock.Add(heldFor) // the list is kept so long
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "You have no roles yet", ">Blog<")
}

func TestOnesOwnReleasesAreShown(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	wantContains(t, wantStatus(t, h.get("/me/applications", cookie), 200), "You have no applications")
	wiki := saml.Provider{Name: "<Wiki>", EntityID: "https://wiki.example/sp?a=1&b"}
	h.broker.releases = []access.Release{
		{Provider: wiki, NameID: saml.NameID{Format: saml.NameIDPersistent, Value: "_abc<"}, Attributes: []saml.Attribute{{Name: "groups", Values: []string{"Ops & Co", "<b>"}}}},
		{Provider: saml.Provider{Name: "Vault"}, Err: &gatehouse.Invalid{Field: "mail", Why: "Vault needs your mail address."}},
		{Provider: saml.Provider{Name: "Blog"}, Err: errors.New("goroutine 1 [running]")},
	}
	body := wantStatus(t, h.get("/me/applications", cookie), 200)
	wantContains(t, body, "<bdi>&lt;Wiki&gt;</bdi>", `href="/saml/launch?sp=https%3A%2F%2Fwiki.example%2Fsp%3Fa%3D1%26b"`, "_abc&lt;", "A name that no other application has",
		"<bdi>groups</bdi>", "<bdi>Ops &amp; Co</bdi>", "<bdi>&lt;b&gt;</bdi>", "Vault needs your mail address.", "It is told nothing, and cannot be opened.")
	wantLacks(t, body, "goroutine", "<b>")
	wantStatus(t, h.get("/me/applications", ""), 303)
	h.broker.applications = []gatehouse.Application{{Name: "Blog", EntityID: "blog"}}
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), `<a href="/me/applications">What they are told about you</a>`)
}

func TestFavouriteApplications(t *testing.T) {
	const wiki = "https://wiki.example/sp?a=1&b"
	h := newHouse(t)
	h.broker.applications = []gatehouse.Application{{Name: "Blog", EntityID: "blog"}, {Name: "Wiki", EntityID: wiki}}
	cookie := h.signIn()
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), `data-shelf="applications" hidden`)
	wantStatus(t, h.post("/me/favourites", cookie, url.Values{"star": {"somebody else's"}}), 400)
	for range 2 { // twice is once
		wantStatus(t, h.post("/me/favourites", cookie, url.Values{"star": {wiki}}), 303)
	}
	page := wantStatus(t, h.get("/", cookie), 200)
	wantContains(t, page, `<section class="group shelf" data-shelf="applications">`, `name="unstar" value="https://wiki.example/sp?a=1&amp;b"`, `name="star" value="blog"`)
	if n := strings.Count(page, "<bdi>Wiki</bdi>"); n != 2 {
		t.Errorf("the favourite is there %d times, want above the roles and among all", n)
	}
	var told struct{ Applications, Favourites []string }
	r := asJSON(request("POST", "/me/favourites", cookie, url.Values{"star": {"blog"}}))
	if err := json.Unmarshal([]byte(wantStatus(t, h.do(r), 200)), &told); err != nil || !slices.Equal(told.Applications, []string{wiki, "blog"}) || told.Favourites != nil {
		t.Errorf("told %+v, %v", told, err)
	}
	h.broker.applications = h.broker.applications[:1]
	page = wantStatus(t, h.get("/", cookie), 200)
	wantContains(t, page, `name="unstar" value="blog"`)
	wantLacks(t, page, "Wiki")
}

func TestApplicationsInABrowser(t *testing.T) {
	b := openBrowser(t, manyRoles(12))
	for _, name := range []string{"Wiki", "Team calendar", "Blog"} {
		b.house.broker.applications = append(b.house.broker.applications, gatehouse.Application{Name: name, EntityID: "https://sp.example/" + name})
	}
	b.do(chromedp.Navigate(b.origin + "/"))
	const seen = `[...document.querySelectorAll("[data-applications] .app")].filter(a => a.checkVisibility()).map(a => a.querySelector("bdi").textContent).join()`
	const shelf = `[...document.querySelectorAll("[data-shelf=applications] .app")].filter(a => a.checkVisibility()).map(a => a.querySelector("bdi").textContent).join()`
	b.want(seen, "Wiki,Team calendar,Blog")
	b.want(shelf, "")
	b.do(chromedp.SendKeys(".search input", "cal"))
	b.want(seen, "Team calendar")
	b.want(`document.querySelector("[data-nothing]").hidden`, "true")
	b.do(chromedp.SendKeys(".search input", "\r"))
	b.want(`document.activeElement.textContent`, "Team calendar")
	b.do(chromedp.SendKeys(".search input", " zzz"))
	b.want(seen, "")
	b.want(`document.querySelector("[data-nothing]").hidden`, "false")
	b.do(chromedp.SendKeys(".search input", "\u001b"))
	b.want(seen, "Wiki,Team calendar,Blog")

	// By script: rows that come back into view move what is below them.
	b.eval(`document.querySelector('[data-applications] .star[value="https://sp.example/Blog"]').click()`)
	b.until(shelf + ` === "Blog"`)
	b.do(chromedp.Navigate(b.origin + "/"))
	b.want(shelf, "Blog")
	b.eval(`document.querySelector("[data-shelf=applications] .star").click()`)
	b.until(shelf + ` === ""`)
	b.want(`document.querySelectorAll(".app .star[name=star]").length`, "3")
	b.quiet()
}

// The times that a duration ends at are the reader's own.
func TestDurationsAreOfferedAsTimesInABrowser(t *testing.T) {
	b := openBrowser(t, manyRoles(3))
	page := b.origin + "/roles/100000000000/ReadOnly"
	const at = `(h, m) => { globalThis.real ??= Date.now; const d = new Date(); d.setHours(h, m, 0, 0); const ahead = d - real(); Date.now = () => real() + ahead; }`
	b.do(chromedp.Navigate(page))
	b.want(`[...document.querySelector("#duration").options].filter(o => /^(\d+ (hour|minute)s?|Until \d\d:\d\d$)/.test(o.text)).length >= 5`, "true")
	b.want(`/^1 hour, until \d\d:\d\d$/.test(document.querySelector("#duration").selectedOptions[0].text)`, "true")
	b.eval("(" + at + ")(16, 30)")
	b.until(`[...document.querySelector("#duration").options].some(o => o.text === "Until 18:00" && Math.abs(o.value - 5400) < 60)`)
	b.until(`document.querySelector("#duration").selectedOptions[0].text === "1 hour, until 17:30"`)
	// The keys end by the server's clock: at 16:30 in the browser they may be long gone.
	b.eval(`(() => { const d = document.querySelector("#duration"); d.selectedIndex = d.options.length - 1; Date.now = real; document.querySelector("[data-get]").click(); })()`)
	b.do(chromedp.WaitVisible("[data-text]"))
	if d := b.house.broker.asks[0].Duration.Minutes(); d < 89 || d > 90 {
		t.Errorf("until 18:00 at 16:30 asked for %v minutes", d)
	}
	b.eval("(" + at + ")(17, 50)")
	b.until(`![...document.querySelector("#duration").options].some(o => o.text.startsWith("Until"))`)
	b.quiet()
}

func TestTheMenuOfRegionsFillsTheField(t *testing.T) {
	b := openBrowser(t, manyRoles(3))
	for _, page := range []string{"/roles/100000000000/ReadOnly", "/several"} {
		b.do(chromedp.Navigate(b.origin+page), chromedp.WaitVisible("[data-regions]"), chromedp.SetValue("#region", "typed-by-hand-1"))
		b.eval(`(() => { const m = document.querySelector("[data-regions]"); m.value = "sa-east-1"; m.dispatchEvent(new Event("change")) })()`)
		b.want(`document.querySelector("#region").value + document.activeElement.id + document.querySelector("[data-regions]").value`, "sa-east-1region")
	}
	b.quiet()
}
