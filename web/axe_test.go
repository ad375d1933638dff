package web

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/outside"
	"gatehouse/web/inbound"
)

// states are what pages look like at other times, by template and state.
func (s *Server) states() map[string]any {
	full := fullPages()
	states := map[string]any{}
	for name, data := range full {
		states[name] = data
	}
	blocked := full["role.html"].(rolePage)
	blocked.Blocked = "Your department is not known, and this role is tagged with it."
	states["role.html?blocked"] = blocked
	none := portalPage{frame: full["portal.html"].(portalPage).frame, None: true, Name: "n", Username: "u", Groups: "g"}
	states["portal.html?none"] = none
	ticket := full["login.html"].(loginPage)
	ticket.Refused, ticket.Plain, ticket.Windows = nil, false, "/login/windows"
	states["login.html?fresh"] = ticket
	dispatch := full["logout.html"].(dispatching)
	dispatch.Dispatch = access.Dispatch{To: "Wiki", URL: "https://wiki.example/slo?SAMLRequest=x"}
	states["logout.html?redirect"] = dispatch
	remote := full["rolelogin.html"].(roleLoginPage)
	remote.Host = ""
	states["rolelogin.html?remote"] = remote
	consent := full["consent.html"].(consentPage)
	consent.Code, consent.Same = "", true
	states["consent.html?here"] = consent
	states["sessions.html?programs"] = sessionsPage{frame: full["sessions.html"].(sessionsPage).frame, Sessions: []signIn{{Name: "Firefox on Linux", Here: true}}}
	for i, err := range []error{gatehouse.ErrNotEntitled, &gatehouse.Invalid{Field: "region", Why: whyRegion}, gatehouse.ErrNotFound, inbound.ErrMethod, gatehouse.ErrRefusedByAWS, errPanic} {
		states[fmt.Sprint("problem.html?", i)] = s.problem(request("POST", "/roles/111122223333/ReadOnly", "", nil), err)
	}
	return states
}

// onward is what would lead a page on before anybody has looked at it.
var onward = regexp.MustCompile(` http-equiv="refresh"| data-post`)

// gallery shows a state of a page at /page?…, and else what the portal does.
type gallery struct{ *Server }

func (g gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, ok := g.states()[r.URL.RawQuery]
	if r.URL.Path != "/page" || !ok {
		g.Handler().ServeHTTP(w, r)
		return
	}
	name, _, _ := strings.Cut(r.URL.RawQuery, "?")
	var page bytes.Buffer
	if err := g.pages.Execute(&page, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", policy)
	write(w, http.StatusOK, "text/html; charset=utf-8", onward.ReplaceAll(page.Bytes(), nil))
}

// Those too that nobody stays on, and states that take a failure to see.
func TestAxeFindsNothingOnAnyPageInAnyState(t *testing.T) {
	axe := outside.Axe(t)
	b := openBrowser(t, manyRoles(3), func(s *Server) http.Handler { return gallery{s} })
	states := b.house.server.states()
	for name := range b.house.server.pages {
		if _, ok := states[name]; !ok {
			t.Errorf("%s is not shown", name)
		}
	}
	for _, state := range slices.Sorted(maps.Keys(states)) {
		for _, scheme := range []string{"light", "dark"} {
			b.prefers(scheme)
			b.do(chromedp.Navigate(b.origin + "/page?" + state))
			b.want(`document.querySelectorAll("h1").length`, "1")
			b.await(axe + `; ""`)
			for _, fault := range strings.Fields(b.await(judgement)) {
				t.Errorf("%s, %s: axe-core finds %s", state, scheme, strings.ReplaceAll(fault, "·", " "))
			}
		}
	}
}

// judgement is what axe-core finds, in words that hold no blank.
const judgement = `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }).then(r =>
	r.violations.map(v => (v.id + ": " + v.help + " " + v.nodes.slice(0, 2).map(n => n.html.slice(0, 160)).join(" | ")).replaceAll(/\s/g, "·")).join("\n"))`

// prefers has the person's system prefer a colour scheme.
func (b *browser) prefers(scheme string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// await is what a promise comes to.
func (b *browser) await(expression string) string {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.60s: %v", expression, err)
	}
	return v
}
