package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var programWalks = []walk{
	{"a program on this computer is let in by the button, and the browser leads back to it", func(t *testing.T, w *world) { byAuthorization(t, w.browser(t)) }},
	{"so without scripts", func(t *testing.T, w *world) { byAuthorization(t, w.browser(t).withoutScripts()) }},
	{"a code is typed, looked at, and agreed to; the sign-in is listed", byCode},
	{"aws login is given one role", func(t *testing.T, w *world) {
		p := listening(t, w)
		b := p.tab(w.browser(t)).signIn("bob")
		p.awsLogin(b)
		b.looks("aws login")
		b.click(`[value="444455556666/PowerUser"]`)
		b.click("button[value=agree]")
		p.hears(t, "code")
	}},
	{"aws login finds one of many roles, and what is chosen is in sight in its colour", func(t *testing.T, w *world) { manyForAWSLogin(t, w.browser(t)) }},
	{"so without scripts, in the list", func(t *testing.T, w *world) {
		p := listening(t, w)
		b := p.tab(w.browser(t)).withoutScripts()
		b.open("/login").signIn("carol")
		p.awsLogin(b)
		if n := b.count(".choices li"); n != 300 {
			t.Errorf("%d roles are listed", n)
		}
		b.looks("aws login without scripts")
		b.do("focusing the first", chromedp.Focus(chromedp.CSS(".choices input")))
		b.press(" ")
		b.chosenInSight()
		b.click("button[value=agree]")
		p.hears(t, "code")
	}},
	{"what aws login on another computer waits for fits its box, and can be copied", func(t *testing.T, w *world) {
		b := w.browser(t)
		b.permit("clipboard-read", browser.PermissionSettingGranted)
		b.permit("clipboard-write", browser.PermissionSettingGranted)
		b.signIn("bob")
		listening(t, w).carry(b)
		b.wants("h1", "Paste this into your terminal")
		b.looks("what to paste")
		b.click("[data-copy-desk] button")
		b.until("the copy", `document.querySelector("[data-copy-desk] button").innerText === "Copied"`)
		if text := eval[string](b, "navigator.clipboard.readText()"); text == "" || text != b.value("textarea") {
			t.Errorf("copied is %q", text)
		}
		plain := w.browser(t).withoutScripts()
		plain.open("/login").signIn("bob")
		listening(t, w).carry(plain)
		plain.looks("what to paste, without scripts")
	}},
	{"aws login is asked once more for a role whose rule asks", func(t *testing.T, w *world) {
		p := listening(t, w)
		b := p.tab(w.browser(t)).signIn("alice")
		p.awsLogin(b)
		b.typeIn("[data-filter] input", "identity admin")
		b.press(kb.Enter)
		b.press(" ")
		b.goes(func() { b.click("button[value=agree]") })
		b.wants("main", "Do you mean this account?", "Identity · Admin", "production", "Nothing was handed out yet.")
		b.looks("aws login asks once more")
		b.click("button[value=agree]")
		p.hears(t, "code")
	}},
}

// awsLogin leads the tab to the page on which aws login asks for a role.
func (p *listener) awsLogin(b *tab) {
	b.t.Helper()
	p.show(b, "/v1/authorize", "client_id", "arn:aws:signin:::devtools/same-device", "code_challenge_method", "SHA-256")
}

// chosenInSight holds the page to showing what is chosen, in the colour of its
// environment, without moving the list.
func (b *tab) chosenInSight() {
	b.t.Helper()
	got := eval[string](b, `(() => {
		const list = document.querySelector(".choices").getBoundingClientRect();
		const row = document.querySelector(".choices li:has(:checked)"), box = row.getBoundingClientRect();
		const probe = document.createElement("i");
		probe.style.color = "var(--tint)";
		row.append(probe);
		const tint = getComputedStyle(probe).color;
		probe.remove();
		return [box.top >= list.top - 1 && box.bottom <= list.bottom + 1 ? "in sight" : "out of sight", getComputedStyle(row).backgroundColor === tint ? "in its colour" : "plain"].join(", ");
	})()`)
	if got != "in sight, in its colour" {
		b.t.Errorf("the role that is chosen is %s", got)
	}
}

func manyForAWSLogin(t *testing.T, b *tab) {
	w := &world{house: b.house}
	p := listening(t, w)
	p.tab(b).open("/login").signIn("carol")
	p.awsLogin(b)
	if n := b.count(".choices :checked"); n != 0 {
		t.Error("a role is chosen beforehand")
	}
	b.typeIn("[data-filter] input", "maps staging dev")
	b.wants("[data-found]", "1 role matches.")
	if got := b.text(".choices"); got != "Maps staging (staging) · Developer "+eval[string](b, `document.querySelector(".choices li:not([hidden]) .num").textContent`) {
		t.Errorf("the list says %q", got)
	}
	b.press(kb.Enter)
	b.press(" ")
	b.retype("[data-filter] input", "billing")
	b.wants("[data-found]", "15 roles match.")
	b.chosenInSight()
	b.retype("[data-filter] input", "nothing of the kind")
	b.wants("[data-found]", "No role matches.")
	b.chosenInSight()
	b.retype("[data-filter] input", " ")
	eval[bool](b, `document.querySelector(".choices").scrollTo(0, 1e6), true`)
	b.chosenInSight()
	eval[bool](b, `document.querySelector(".choices").scrollTo(0, 0), true`)
	b.chosenInSight()
	b.looks("aws login with 300 roles")
	b.click("button[value=agree]")
	p.hears(t, "code")
}

// carry leads the tab to the text that a person carries to another computer.
func (p *listener) carry(b *tab) {
	b.t.Helper()
	p.show(b, "/v1/authorize", "client_id", "arn:aws:signin:::devtools/cross-device", "code_challenge_method", "SHA-256",
		"redirect_uri", b.house.Portal+"/v1/sessions/confirmation")
	b.wants("main", "It waits on another computer")
	b.click(`[value="444455556666/PowerUser"]`)
	b.goes(func() { b.click("button[value=agree]") })
}

// listener is a program that waits for an answer on a port of its own.
type listener struct {
	id, secret string
	home       *httptest.Server
	heard      chan url.Values
	client     http.Client
}

func listening(t *testing.T, w *world) *listener {
	t.Helper()
	p := &listener{heard: make(chan url.Values, 1)}
	p.home = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprint(rw, `<!doctype html><title>Back</title><link rel="icon" href="data:,"><h1>Back in the terminal</h1>`)
		if r.URL.Path == "/oauth/callback" {
			p.heard <- r.URL.Query()
		}
	}))
	t.Cleanup(p.home.Close)
	var client struct{ ClientID, ClientSecret string }
	p.call(t, w, "/oidc/client/register", map[string]any{"clientName": "a tool", "clientType": "public", "redirectUris": []string{"http://127.0.0.1/oauth/callback"}}, &client)
	p.id, p.secret = client.ClientID, client.ClientSecret
	return p
}

func (p *listener) call(t *testing.T, w *world, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.client.Post(w.Portal+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, res.Status, err)
	}
}

// tab lets the tab ask the program too.
func (p *listener) tab(b *tab) *tab {
	b.watch.knows(p.home.URL)
	return b
}

// show leads the tab to the page that asks.
func (p *listener) show(b *tab, path string, change ...string) {
	b.t.Helper()
	q := url.Values{"response_type": {"code"}, "client_id": {p.id}, "redirect_uri": {p.home.URL + "/oauth/callback"}, "state": {"st8"}, "code_challenge_method": {"S256"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}}
	for i := 0; i < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	b.open(path + "?" + q.Encode())
}

// hears waits for the answer.
func (p *listener) hears(t *testing.T, word string) {
	t.Helper()
	if q := <-p.heard; q.Get(word) == "" || q.Get("state") != "st8" {
		t.Errorf("the program hears %v, want %s", q, word)
	}
}

func byAuthorization(t *testing.T, b *tab) {
	w := &world{house: b.house}
	b.open("/login").signIn("bob")
	for answer, word := range map[string]string{"agree": "code", "decline": "error"} {
		p := listening(t, w)
		p.tab(b)
		p.show(b, "/authorize")
		b.wants("main", "a tool", "That is what it calls itself", strings.TrimPrefix(p.home.URL, "http://"))
		b.click("button[value=" + answer + "]")
		p.hears(t, word)
		b.until("the program's own page", `document.title === "Back"`)
	}
}

// asked shows the page on which a program asks to be signed in.
func asked(b *tab) *waiting { b.t.Helper(); return askedFrom(b, nil) }

// waiting is a program that waits under a code.
type waiting struct {
	*listener
	UserCode, DeviceCode string
}

// askedFrom is asked, by a program at another address.
func askedFrom(b *tab, ip net.IP) *waiting {
	b.t.Helper()
	p := &waiting{listener: listening(b.t, &world{house: b.house})}
	if ip != nil {
		p.client.Transport = &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}).DialContext}
	}
	p.call(b.t, &world{house: b.house}, "/oidc/device_authorization", map[string]string{"clientId": p.id, "clientSecret": p.secret}, p)
	b.open("/device").typeIn("#user_code", strings.ToLower(p.UserCode))
	b.goes(func() { b.click("main button") })
	return p
}

// fetch takes the token that the person agreed to.
func (p *waiting) fetch(b *tab) {
	b.t.Helper()
	var token struct{ AccessToken string }
	p.call(b.t, &world{house: b.house}, "/oidc/token", map[string]string{"clientId": p.id, "clientSecret": p.secret, "deviceCode": p.DeviceCode,
		"grantType": "urn:ietf:params:oauth:grant-type:device_code"}, &token)
}

// newPlace lets a program at an address where the person has not been act for
// them, so that they are told.
func newPlace(b *tab, ip net.IP) {
	b.t.Helper()
	p := askedFrom(b, ip)
	b.goes(func() { b.click("button[value=agree]") })
	p.fetch(b)
}

func byCode(t *testing.T, w *world) {
	b := w.browser(t).signIn("alice")
	b.open("/device").looks("code")
	p := askedFrom(b, net.IPv4(127, 0, 0, 2)) // where nobody has been
	b.wants("main", p.UserCode, "a tool", "Did somebody send you this link or this code?")
	b.looks("consent")
	b.goes(func() { b.click("button[value=agree]") })
	b.wants("main", "The program is signed in")
	b.looks("agreed")
	p.fetch(b)
	b.open("/").looks("a sign-in in a new place")
	b.wants("main", "A command-line sign-in in a new place.", "127.0.0.2", "It was me")
	b.open("/me/sessions").looks("command-line sign-ins")
	b.goes(func() { b.click("button[name=id]") })
	b.wants("main", "There are none.")
}
