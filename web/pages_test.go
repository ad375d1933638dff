package web

import (
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

func TestPortal(t *testing.T) {
	h := newHouse(t)
	page := wantStatus(t, h.get("/", h.signIn()), 200)
	wantContains(t, page,
		"Hello, <bdi>Alice</bdi>", "2 accounts, 3 roles.", `<time datetime="2026-11-21T21:30:00Z">21:30 UTC</time>`,
		"<h2>Production</h2>", "<h2>Development</h2>", `<span class="num">1111 2222 3333</span>`, "pay-oncall@corp.example.com",
		`<button formaction="/roles/111122223333/ReadOnly">`, `name="as" value="console"`, `href="/roles/444455556666/PowerUser"`)
	if strings.Index(page, ">ReadOnly<") > strings.Index(page, ">Admin<") {
		t.Error("the least privileged role does not come first")
	}
	if got := regexp.MustCompile(`pair first"><button formaction="([^"]*)"`).FindAllStringSubmatch(page, -1); len(got) != 2 || got[0][1] != "/roles/111122223333/ReadOnly" {
		t.Errorf("accents: %q", got)
	}
	wantContains(t, page, `data-shelf="favourites" hidden`)
	wantLacks(t, page, "Recent", "Most used")
}

func TestPortalWithoutRolesSaysWhomToAsk(t *testing.T) {
	h := newHouse(t, func(c *Config, _ *Deps) { c.Portal.Support = "platform@corp.example.com" })
	h.broker.entitlements = nil
	page := wantStatus(t, h.get("/", h.signIn()), 200)
	wantContains(t, page, "You have no roles yet", `<a href="mailto:platform@corp.example.com">`, "<bdi>alice</bdi>", "1 group, and it gives no role")
	wantLacks(t, page, "data-roles")
}

func TestSearchWithoutScript(t *testing.T) {
	tests := []struct {
		query string
		want  []string // roles that are left
	}{
		{"", []string{"ReadOnly", "Admin", "PowerUser"}},
		{"payments", []string{"ReadOnly", "Admin"}},
		{"PAY admin", []string{"Admin"}},
		{"1111 2222", []string{"ReadOnly", "Admin"}},
		{"111122223333", []string{"ReadOnly", "Admin"}},
		{"production", []string{"ReadOnly", "Admin"}},
		{"oncall", []string{"ReadOnly", "Admin"}},
		{"power", []string{"PowerUser"}},
		{"payments power", nil},
		{`"><script>`, nil},
	}
	h := newHouse(t)
	cookie := h.signIn()
	role := regexp.MustCompile(`formaction="/roles/[^>]*>([^<]*)</button>`)
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			page := wantStatus(t, h.get("/?"+url.Values{"q": {tt.query}}.Encode(), cookie), 200)
			var got []string
			for _, m := range role.FindAllStringSubmatch(page, -1) {
				got = append(got, m[1])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("search %q left %q, want %q", tt.query, got, tt.want)
			}
			wantLacks(t, page, `"><script>`)
			if hidden := strings.Contains(page, "data-nothing hidden"); hidden == (tt.want == nil) {
				t.Errorf("the page says that nothing matches: %v", !hidden)
			}
		})
	}
}

func TestOrderOfRolesAndSections(t *testing.T) {
	var all []gatehouse.Entitlement
	for _, name := range []string{"Admin", "Operator", "Auditor", "ViewOnlyAccess", "AWSReadOnlyAccess", "analyst", "PowerUser"} {
		all = append(all, entitlement("111122223333", "b", "", "", name))
	}
	for i, env := range []string{"zeta", "shared", "dev", "STG", "prod", "alpha"} {
		all = append(all, entitlement(fmt.Sprintf("%012d", i), "a", env, "", "R"))
	}
	rows := rowsOf(all)
	var roles, sections []string
	for _, r := range rows[len(rows)-1].Roles {
		roles = append(roles, r.Name)
	}
	for _, s := range sectionsOf(rows) {
		sections = append(sections, s.Title)
	}
	if want := []string{"AWSReadOnlyAccess", "ViewOnlyAccess", "Auditor", "analyst", "Operator", "PowerUser", "Admin"}; !slices.Equal(roles, want) {
		t.Errorf("roles %q, want %q", roles, want)
	}
	if want := []string{"Production", "Staging", "Development", "Shared", "Alpha", "Zeta", "Other accounts"}; !slices.Equal(sections, want) {
		t.Errorf("sections %q, want %q", sections, want)
	}
}

// Names come from directories and tables that others keep: they are text.
func TestHostileNamesAreText(t *testing.T) {
	long := strings.Repeat("x", 500)
	hostile := []string{`<script>alert(1)</script>`, `" onmouseover="alert(1)`, `'; alert(1); '`, "\u202eesrever\u2066", long, `</title><h1>`, "{{.}}", "a\x00b", "Ünïcödé, \"Bob\""}
	for _, name := range hostile {
		t.Run(fmt.Sprintf("%.20q", name), func(t *testing.T) {
			h := newHouse(t, func(c *Config, _ *Deps) { c.Portal = Portal{Name: name, Support: name, Notice: name} })
			h.broker.user.DisplayName, h.broker.user.Directory = name, name
			h.broker.entitlements = []gatehouse.Entitlement{entitlement("111122223333", name, name, name, "ReadOnly")}
			cookie := h.signIn()
			for _, path := range []string{"/", "/roles/111122223333/ReadOnly", "/roles/111122223333/Other", "/login"} {
				c := cookie
				if path == "/login" {
					c = ""
				}
				page := body(t, h.get(path, c))
				wantLacks(t, page, "<script>alert", `onmouseover="alert`, "</title><h1>", "\x00")
				if strings.Count(page, "<h1") != 1 {
					t.Errorf("%s has %d headings", path, strings.Count(page, "<h1"))
				}
			}
			res := h.post("/roles/111122223333/ReadOnly", cookie, url.Values{"as": {"ini"}, "download": {"1"}})
			wantStatus(t, res, 200)
			if got := res.Header.Get("Content-Disposition"); got != "attachment; filename=credentials.ini" {
				t.Errorf("Content-Disposition %q", got)
			}
		})
	}
}

func TestRolePage(t *testing.T) {
	h := newHouse(t)
	page := wantStatus(t, h.get("/roles/111122223333/readonly?region=us-east-1&duration=7200&destination=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3%2Fhome%3Fa%3Db", h.signIn()), 200)
	wantContains(t, page,
		"<bdi>Payments</bdi> · ReadOnly", `action="/roles/111122223333/ReadOnly" method="post" target="_blank"`,
		`name="profile" value="payments-readonly"`, `name="region" value="us-east-1"`, `<option value="7200" selected>2 hours</option>`,
		`<option value="14400">4 hours</option>`, "Your access to this role is limited to 4 hours.",
		`name="destination" value="https://console.aws.amazon.com/s3/home?a=b"`, `data-share="https://aws.corp.example.com/go/payments/ReadOnly"`,
		`<option value="read-only">Read-only</option>`, `<option value="my-address" disabled>`, "Your address here is a private one.",
		`value="console">Open console`, `value="post">Open console from this browser`)
	wantLacks(t, page, `value="28800"`)
	for _, f := range []gatehouse.Form{"bash", "fish", "powershell", "cmd", "ini", "env", "json"} {
		wantContains(t, page, `name="as" value="`+string(f)+`"`, `data-form="`+string(f)+`"`)
	}
	if len(h.broker.asks) > 0 {
		t.Error("a GET asked for a grant")
	}
}

func TestRolePageRefusals(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	var pages []string
	reference := regexp.MustCompile(`[A-Z2-7]{16}`)
	for _, path := range []string{"/roles/111122223333/Owner", "/roles/999999999999/ReadOnly"} {
		page := reference.ReplaceAllString(wantStatus(t, h.get(path, cookie), 403), "")
		wantContains(t, page, strings.Replace(path, "/roles/", `href="/why/`, 1)+`"`)
		pages = append(pages, strings.ReplaceAll(page, strings.TrimPrefix(path, "/roles"), ""))
	}
	if pages[0] != pages[1] {
		t.Error("one can tell which accounts and roles exist")
	}
	wantContains(t, wantStatus(t, h.get("/roles/x/y", cookie), 403), `href="/">See your roles`)
	wantLacks(t, body(t, h.get("/roles/111122223333/ReadOnly?destination=javascript:alert(1)&region=%3Cb%3E&duration=x&scope=%3Cb%3E", cookie)), "javascript:", "<b>")
}

func TestARoleThatCannotBeHandedOutSaysWhy(t *testing.T) {
	h := newHouse(t)
	h.broker.entitlements[1].Blocked = "Your department is not known, and this role is tagged with it."
	cookie := h.signIn()
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "Why not<i> ReadOnly</i></a>")
	page := wantStatus(t, h.get("/roles/111122223333/ReadOnly", cookie), 200)
	wantContains(t, page, "Your department is not known")
	wantLacks(t, page, `name="as"`, "role.js")
}

func TestDurations(t *testing.T) {
	tests := []struct {
		most time.Duration
		wish string
		want []int
		pick int
	}{
		{4 * time.Hour, "", []int{900, 1800, 3600, 7200, 14400}, 3600},
		{12 * time.Hour, "43200", []int{900, 1800, 3600, 7200, 14400, 28800, 43200}, 43200},
		{90 * time.Minute, "", []int{900, 1800, 3600, 5400}, 3600},
		{30 * time.Minute, "", []int{900, 1800}, 1800},
		{15 * time.Minute, "3600", []int{900}, 900},
		{0, "", []int{900, 1800, 3600, 7200, 14400, 28800, 43200}, 3600},
		{4 * time.Hour, "28800", []int{900, 1800, 3600, 7200, 14400}, 3600},
	}
	for _, tt := range tests {
		var got []int
		pick := 0
		choices, _ := durations(tt.most, tt.wish, false)
		for _, c := range choices {
			got = append(got, c.Seconds)
			if c.Selected {
				pick = c.Seconds
			}
		}
		if !slices.Equal(got, tt.want) || pick != tt.pick {
			t.Errorf("durations(%v, %q) = %v, selected %d; want %v, %d", tt.most, tt.wish, got, pick, tt.want, tt.pick)
		}
	}
}

// fullPages is every page with every field set.
func fullPages() map[string]any {
	at := momentOf(start)
	f := frame{Product: "P", Logo: "/logo", SearchAt: "/", Support: support{"help", "https://help.example"}, Notice: "notice", Person: &person{"n", "u", "d"}, Query: "q", Script: "page.js"}
	view := accountView{"111122223333", "1111 2222 3333", "name", "owner", "production", "red"}
	p := problem{frame: f, Status: 500, Title: "t", Text: "x", Next: "n", Cause: "cause", Cure: "cure", Href: "/", Button: "b", Ask: true, Reference: "r", At: at, AfterForm: true}
	sections := []section{{"s", "favourites", []account{{view, true, []role{{Name: "r", Path: "/r", Primary: true}, {Name: "r2", Path: "/r2", Blocked: true}}}}}}
	return map[string]any{
		"login.html":    loginPage{frame: f, Action: "https://x/login", Next: "/", Username: "u", Refused: &p, Said: "said", Change: "/me/password?username=u", Forms: []string{"bob@corp.example.com", `LAB\bob`}},
		"password.html": passwordPage{frame: f, Username: "u", Fixed: true, Refused: &p},
		"portal.html": portalPage{Applications: []application{{"Wiki", "x", "/saml/launch?sp=x", true}}, Opened: []application{{"Wiki", "x", "/saml/launch?sp=x", true}}, frame: f, Name: "n", Counts: "c", Until: at, Stale: &at, Username: "u", Groups: "g", Found: true, Password: "today",
			Alive: "a", Next: &at, Once: "o", ListHere: "here", Strange: []programView{{Client: "c", New: []placeView{{"192.0.2.3", at}}}}},
		"role.html": rolePage{frame: f, Account: view, Role: "r", Path: "/p", Profile: "p", Region: "r", Regions: suggestions,
			Durations: []choice{{900, "l", true}}, Cap: "cap", Destination: "https://d", LeftOut: true, Texts: textForms, Lines: lineForms, Stale: &at, Confirm: true, Client: clientLines{"n", "c", "s", "https://x", "a/r"},
			Scopes: []scopeChoice{{access.Offer{Name: "s", Title: "S", Why: "why"}, true}}},
		"link.html":     linkPage{frame: f, Account: view, Role: "r", Scope: "s", URL: "https://x", Until: at},
		"pickup.html":   pickupPage{frame: f, Account: view, Role: "r", Line: "l", File: true, Until: at},
		"confirm.html":  confirmPage{frame: f, Accounts: []confirmed{{view, "r"}}, Path: "/p", Fields: []field{{"n", "v"}}, Does: "d", Answers: true},
		"several.html":  severalPage{frame: f, Found: true, Refused: "r", Sections: sections, Scopes: []scopeChoice{{access.Offer{Name: "s", Title: "S"}, true}}, Durations: []choice{{900, "l", true}}},
		"pick.html":     pickPage{frame: f, Missing: "m", Account: "a", There: "t", Why: "/w", Opens: "o", LeftOut: true, Keep: "?k", Sections: sections},
		"why.html":      whyPage{frame: f, Account: view, Role: "r", Path: "/p", Has: []because{{"r", 1, "CN=g", []string{"CN=h"}}}, Terms: []string{"t"}, Stale: &at},
		"history.html":  historyPage{frame: f, Alive: []event{{At: at, Until: at, Account: view, Role: "r", Path: "/p", What: "w", Scope: "s", Lasts: "l", KeyID: "k"}}, Past: []event{{Provider: "p", Refused: "r"}}, Older: "/o"},
		"sessions.html": sessionsPage{frame: f, Sessions: []signIn{{Name: "Firefox on Linux", Here: true, Began: at, Seen: at}, {Name: "Safari on macOS", Began: at, Seen: at}}, Programs: []programView{{"id", "c", "192.0.2.1", "a/r", "192.0.2.2", at, at, at, []placeView{{"192.0.2.3", at}, {"192.0.2.4", at}}}}, Ended: "e", Portal: "https://x"},
		"device.html":   devicePage{frame: f, Code: "ABCD-EFGH", Refused: "why"},
		"consent.html": consentPage{frame: f, Action: "/device", Fields: []field{{"n", "v"}}, Client: "c", Code: "ABCD-EFGH", Host: "127.0.0.1:1",
			IP: "192.0.2.1", Own: "192.0.2.2", At: &at, Lasts: "12 hours", Roles: "1 role"},
		"rolelogin.html": roleLoginPage{frame: f, Fields: []field{{"n", "v"}}, Host: "127.0.0.1:1", Roles: []loginRole{{view, "r", true}}, Many: true, Lasts: "l"},
		"carry.html":     carryPage{frame: f, Answer: "x"},
		"answered.html":  answeredPage{frame: f, Client: "c", Agreed: true},
		"problem.html":   withBack(p),
		"leave.html":     leaving{frame: f, URL: "https://aws.example/x", To: "there", Lowered: "less"},
		"logout.html":    dispatching{frame: f, Dispatch: access.Dispatch{To: "Wiki", URL: "https://wiki.example/slo", Field: "SAMLRequest", RelayState: "y", Skip: "/saml/logout"}, Message: "x"},
		"post.html":      posting{frame: f, URL: "https://aws.example/saml", Host: "aws.example", SAMLResponse: "x", RelayState: "y"},

		"applications.html": applicationsPage{frame: f, Stale: &at, Applications: []told{{application{Name: "n", Path: "/p"}, "e", "v", "k", []toldAttribute{{"a", []string{"x", "y"}}}, ""}, {application: application{Name: "m"}, Why: "w"}}},
	}
}

// Every page is executed with every field set, so that a template that names
// a field which is gone fails here and not in front of a person.
func TestEveryPageWithFullData(t *testing.T) {
	h, full := newHouse(t), fullPages()
	for name := range h.server.pages {
		data, ok := full[name]
		if !ok {
			t.Errorf("no sample data for %s", name)
			continue
		}
		if err := h.server.pages.Execute(io.Discard, name, data); err != nil {
			t.Error(err)
		}
	}
	if err := h.server.pages.Execute(io.Discard, "portal.html", portalPage{frame: full["portal.html"].(portalPage).frame, None: true}); err != nil {
		t.Error(err)
	}
	if err := h.server.pages.Part(io.Discard, "portal.html", "sections", full["pick.html"].(pickPage).Sections); err != nil {
		t.Error(err)
	}
}

func TestInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "1 hour", 90 * time.Minute: "1 hour 30 minutes", 15 * time.Minute: "15 minutes", 0: "a moment", 61 * time.Second: "1 minute 1 second"} {
		if got := inWords(d); got != want {
			t.Errorf("inWords(%v) = %q, want %q", d, got, want)
		}
	}
}

// withBack is p for somebody whom an application sent.
func withBack(p problem) problem {
	p.Back = &posting{URL: "https://wiki.example/acs", Host: "wiki.example", SAMLResponse: "x", RelayState: "y"}
	return p
}
