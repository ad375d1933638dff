package cloud_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/outside"
)

// tab is a page in a real browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func newTab(t *testing.T) tab {
	t.Helper()
	path := outside.Program(t, "chromium", "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1000, 1000))
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	return tab{t, ctx}
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b tab) text(css string) string {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(css)))
	if err != nil {
		b.t.Fatalf("%s: %v", css, err)
	}
	return got
}

// picture keeps a screenshot where somebody wants to look.
func (b tab) picture(name string) {
	dir := os.Getenv("GATEHOUSE_TEST_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// poster is a site whose page posts a response to the emulator.
func poster(t *testing.T, s *cloud.Server, encoded string) string {
	t.Helper()
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form action="%s/saml" method="post"><input type="hidden" name="SAMLResponse" value="%s"><button id="go">go</button></form>`,
			s.URL(), html.EscapeString(encoded))
	}))
	t.Cleanup(portal.Close)
	// localhost and 127.0.0.1 are different sites; two ports of one host are not.
	return strings.Replace(portal.URL, "127.0.0.1", "localhost", 1)
}

// TestPostFromAnotherSiteSeesTheSession: a browser sends no SameSite cookie
// with a post from another site, and still must be told to log out first.
func TestPostFromAnotherSiteSeesTheSession(t *testing.T) {
	b := newTab(t)
	s := start(t)
	portal := poster(t, s, with("Role", boxARN+","+boxSAML).encoded(t))
	b.do(chromedp.Navigate(loginURL(s, signinToken(t, s, held(t, s, usual())), s3)))
	if got, want := b.text("#account"), "1111 2222 3333"; got != want {
		t.Errorf("account = %q, want %q", got, want)
	}
	b.do(chromedp.Navigate(portal), chromedp.Click(chromedp.CSS("#go")))
	if got := b.text("#error"); !strings.Contains(got, "You must first log out before logging into a different AWS account.") {
		t.Errorf("saw %q", got)
	}
	b.do(chromedp.Click(chromedp.CSS("#error a")), chromedp.WaitNotPresent(chromedp.CSS("#error")))
	if got, want := b.text("h1"), "You are signed out"; got != want {
		t.Errorf("saw %q, want %q", got, want)
	}
	b.do(chromedp.Navigate(portal), chromedp.Click(chromedp.CSS("#go")))
	if got, want := b.text("#account"), "4444 5555 6666"; got != want {
		t.Errorf("account = %q, want %q", got, want)
	}
}

// TestChooserAndSignOutWorkInABrowser under the pages' own content policy.
func TestChooserAndSignOutWorkInABrowser(t *testing.T) {
	b := newTab(t)
	s := start(t)
	w := with("SourceIdentity", "alice", "PrincipalTag:team", "pay", "TransitiveTagKeys", "team")
	w.attributes = append(w.attributes, [2]string{"Role", opsARN + "," + provider}, [2]string{"Role", boxARN + "," + boxSAML})
	b.do(chromedp.Navigate(poster(t, s, w.encoded(t))), chromedp.Click(chromedp.CSS("#go")), chromedp.WaitVisible(chromedp.CSS("#saml_form")))
	b.picture("chooser")
	b.do(chromedp.Click(chromedp.CSS(`label[for="`+opsARN+`"]`)), chromedp.Click(chromedp.CSS("#signin_button")))
	if got, want := b.text("#role"), "Ops"; got != want {
		t.Errorf("role = %q, want %q", got, want)
	}
	b.picture("console")
	b.do(chromedp.Click(chromedp.CSS(`form[action="/oauth"] button`)), chromedp.WaitNotPresent(chromedp.CSS("#role")))
	if got, want := b.text("h1"), "You are signed out"; got != want {
		t.Errorf("saw %q, want %q", got, want)
	}
}
