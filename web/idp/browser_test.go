package idp

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	crewjam "github.com/crewjam/saml"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/outside"
)

// In a real browser, with cookies that are SameSite=Lax: the wiki lives on
// 127.0.0.1 and the identity provider on localhost, which are two sites.
func TestCrossSitePostInChromium(t *testing.T) {
	ctx := chromium(t)
	wikiMux, doorMux := http.NewServeMux(), http.NewServeMux()
	wiki := httptest.NewServer(wikiMux)
	t.Cleanup(wiki.Close)
	w := &world{t: t, server: httptest.NewServer(doorMux), acs: wiki.URL + "/acs", cookie: "alice"}
	w.public = strings.Replace(w.server.URL, "127.0.0.1", "localhost", 1)
	w.furnish(doorMux)
	one, two := w.request(crewjam.HTTPPostBinding, nil), w.request(crewjam.HTTPPostBinding, nil)
	requests := make(chan *crewjam.AuthnRequest, 2)
	requests <- one
	requests <- two
	wikiMux.HandleFunc("/start", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `<!doctype html><form method="post" action="%s/saml/sso"><input type="hidden" name="SAMLRequest" value="%s"><input type="hidden" name="RelayState" value="%s"><button id="start">Sign in</button></form>`,
			w.public, w.encoded(<-requests), html.EscapeString(relayState))
	})
	wikiMux.HandleFunc("/acs", func(rw http.ResponseWriter, q *http.Request) {
		a, err := w.accepted(access.Post{SAMLResponse: gatehouse.Secret(q.PostFormValue("SAMLResponse"))}, one.ID, two.ID)
		if err != nil || q.PostFormValue("RelayState") != relayState {
			fmt.Fprintf(rw, `<p id="said">refused: %v</p>`, err)
			return
		}
		fmt.Fprintf(rw, `<p id="said">%s</p>`, a.Subject.NameID.Value)
	})
	want := w.idp.NameID("corp/1", wikiID)
	signIn := func(clicks ...string) string {
		steps := []chromedp.Action[chromedp.Void]{chromedp.Navigate(wiki.URL + "/start")}
		for _, c := range clicks {
			steps = append(steps, chromedp.Click(c))
		}
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%v; problems %v", err, w.problems)
		}
		said, err := chromedp.Run(ctx, chromedp.Text("#said"))
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	if got := signIn("#start", "#next", "#post"); got != want {
		t.Errorf("by way of the sign-in page the wiki says %q, want %q", got, want)
	}
	// The POST itself brings no cookie; the redirect after it does.
	if got := signIn("#start", "#post"); got != want {
		t.Errorf("signed in already, the wiki says %q, want %q", got, want)
	}
}

// chromium is a browser with one window.
func chromium(t *testing.T) context.Context {
	t.Helper()
	program := outside.Program(t, "chromium", "chromium")
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	window, stop := chromedp.NewContext(alloc)
	t.Cleanup(stop)
	// The first action starts the browser, which must outlive it: no deadline.
	if err := chromedp.Do(window, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(window, 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
