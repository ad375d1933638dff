package main

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/chromedp/chromedp"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/demo"
	"gatehouse/internal/outside"
	"gatehouse/saml"
)

// estate is Gatehouse with real service providers around it, which bob may
// use and dan may not.
type estate struct {
	*gate
	applications []*outside.Application
}

// openEstate starts Gatehouse and the applications; terms are further keys of
// each one's service provider, as YAML.
func openEstate(t *testing.T, terms string, applications ...*outside.Application) *estate {
	t.Helper()
	providers, rules := "saml:\n  service_providers:\n", "  rules:\n"
	for _, a := range applications {
		file := filepath.Join(t.TempDir(), a.Name+".xml")
		if err := os.WriteFile(file, a.Metadata, 0o600); err != nil {
			t.Fatal(err)
		}
		providers += fmt.Sprintf("    - {name: %s, metadata_file: %q%s}\n", a.Name, file, terms)
		rules += fmt.Sprintf("    - {directory: corp, groups: [\"CN=Sandbox Users,OU=Groups,%s\"], service_provider: %s, attributes: {mail: \"{mail}\"}}\n", demo.Suffix, a.Name)
	}
	e := &estate{applications: applications, gate: openGateAfter(t, func(cfg *config.Config) { addECDSA(t, cfg) }, "access:\n", providers+"access:\n", "  rules:\n", rules)}
	idp := []byte(e.browser(t).get("/saml/metadata").body)
	for _, a := range applications {
		if a.Name != down {
			a.Start(t, idp)
		}
	}
	return e
}

// addECDSA has an ECDSA key sign beside the first key, where an application
// wants it to.
func addECDSA(t testing.TB, cfg *config.Config) {
	t.Helper()
	if !cfg.SAML.WantsECDSA() {
		return
	}
	s := record(t, cfg, nil)
	made := func() (gatehouse.SigningKey, error) { return saml.NewSigningKey(time.Now(), cfg.SAML.EntityID) }
	if _, err := s.FirstSigningKey(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	err := s.ChangeSigningKeys(t.Context(), func(keys []gatehouse.SigningKey) ([]gatehouse.SigningKey, error) {
		k, err := saml.NewECDSAKey(time.Now(), cfg.SAML.EntityID)
		if err != nil {
			return nil, err
		}
		return append(keys, k), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// down is the name of an application that does not answer.
const down = "down"

var (
	formTag  = regexp.MustCompile(`(?is)<form[^>]*>`)
	inputTag = regexp.MustCompile(`(?is)<input[^>]*>`)
	attr     = func(name string) *regexp.Regexp {
		return regexp.MustCompile(`(?is)\b` + name + `\s*=\s*["']([^"']*)["']`)
	}
)

// submit sends the form of p as a person without script does: all hidden
// fields, and pairs.
func (b *browser) submit(p page, pairs ...string) page {
	b.t.Helper()
	tag := formTag.FindString(p.body)
	if tag == "" {
		b.t.Fatalf("%s %d has no form:\n%s", p.url, p.status, p.text())
	}
	form := page{body: tag, url: p.url}
	target, err := p.url.Parse(form.find(b.t, attr("action").String()))
	if err != nil {
		b.t.Fatal(err)
	}
	values := url.Values{}
	for _, input := range inputTag.FindAllString(p.body, -1) {
		field := page{body: input, url: p.url}
		if attr("name").MatchString(input) && attr("value").MatchString(input) {
			values.Set(field.find(b.t, attr("name").String()), field.find(b.t, attr("value").String()))
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	if strings.Contains(strings.ToLower(tag), `method="post"`) {
		return b.do("POST", target.String(), strings.NewReader(values.Encode()))
	}
	target.RawQuery = values.Encode()
	return b.do("GET", target.String(), nil)
}

// enter opens an application's page, signing in on the way where that is asked.
func (b *browser) enter(a *outside.Application, username string) page {
	b.t.Helper()
	p := b.get(a.Page)
	for range 6 {
		switch {
		case p.header.Get("X-User") != "":
			return p
		case strings.Contains(p.body, `name="password"`):
			p = b.submit(p, "username", username, "password", demo.Password)
		case p.status == 200 && formTag.MatchString(p.body):
			p = b.submit(p)
		default:
			return p
		}
	}
	return p
}

// posted is the document of a posting page.
func posted(t testing.TB, p page) string {
	t.Helper()
	document, err := base64.StdEncoding.DecodeString(p.find(t, `name="SAMLResponse" value="([^"]*)"`))
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

var refresh = regexp.MustCompile(`(?i)<meta http-equiv="refresh" content="0; url=([^"]*)"`)

// carry takes messages from one page to the next, as a browser does by itself.
func (b *browser) carry(p page) page {
	b.t.Helper()
	for range 20 {
		switch {
		case refresh.MatchString(p.body):
			p = b.get(p.find(b.t, refresh.String()))
		case strings.Contains(p.body, `name="SAMLRequest"`) || strings.Contains(p.body, `name="SAMLResponse"`):
			p = b.submit(p)
		default:
			return p
		}
	}
	b.t.Fatalf("messages go round in circles, now at %s:\n%s", p.url, p.text())
	return p
}

// signedInAt says whether an application knows the browser's person.
func (b *browser) signedInAt(a *outside.Application) bool {
	b.t.Helper()
	stay := *b.client
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	here := *b
	here.client = &stay
	return here.get(a.Page).header.Get("X-User") != ""
}

func TestASignOutReachesEveryApplication(t *testing.T) {
	t.Parallel()
	pysaml2, mellon, shibboleth := outside.PySAML2(t), outside.Mellon(t), outside.Shibboleth(t)
	e := openEstate(t, "", pysaml2, mellon, shibboleth)
	for _, tt := range []struct {
		name string
		end  func(*browser) page
		said string // at the end
	}{
		{"from the portal", func(b *browser) page { return b.post("/logout") }, "You are signed out."},
		{"from pysaml2", func(b *browser) page { return b.get(pysaml2.Logout) }, "Signed out."},
		{"from mellon", func(b *browser) page { return b.get(mellon.Logout) }, "Signed out."},
		{"from Shibboleth, which wants no answer", func(b *browser) page { return b.get(shibboleth.Logout) }, "You are signed out."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := e.browser(t)
			for _, a := range e.applications {
				if p := b.enter(a, "bob"); p.header.Get("X-User") == "" {
					t.Fatalf("bob was not signed in at %s: %s %d\n%s", a.Name, p.url, p.status, p.text())
				}
			}
			p := b.carry(tt.end(b))
			if !strings.Contains(p.text(), tt.said) {
				t.Errorf("the sign-out ended at %.100s %d:\n%s\n%s", p.url, p.status, p.text(), e.log)
			}
			for _, a := range e.applications {
				if b.signedInAt(a) {
					t.Errorf("bob is still signed in at %s\n%s", a.Name, e.log)
				}
			}
			if p := b.get("/"); p.url.Path != "/login" {
				t.Errorf("bob is still signed in here: %s", p.url)
			}
		})
	}
}

// Logout messages by ECDSA, one posted and one in a query, in which a signature
// by it is written as XML Signature does.
func TestASignOutByECDSAReachesEveryApplication(t *testing.T) {
	t.Parallel()
	pysaml2, shibboleth := outside.PySAML2(t), outside.Shibboleth(t)
	e := openEstate(t, ", signature: ecdsa-sha256", pysaml2, shibboleth)
	for name, end := range map[string]func(*browser) page{
		"from the portal": func(b *browser) page { return b.post("/logout") },
		"from pysaml2":    func(b *browser) page { return b.get(pysaml2.Logout) },
	} {
		b := e.browser(t)
		for _, a := range e.applications {
			if p := b.enter(a, "bob"); p.header.Get("X-User") == "" {
				t.Fatalf("%s: bob was not signed in at %s: %s %d\n%s", name, a.Name, p.url, p.status, p.text())
			}
		}
		p := b.carry(end(b))
		for _, a := range e.applications {
			if b.signedInAt(a) {
				t.Errorf("%s: bob is still signed in at %s; the sign-out ended at %s:\n%s", name, a.Name, p.url, p.text())
			}
		}
	}
}

// The same by Debian's browser, with its own mind about forms, policies and
// cookies of other sites.
func TestASignOutInChromium(t *testing.T) {
	t.Parallel()
	chromium := outside.Chromium(t)
	pysaml2, shibboleth := outside.PySAML2(t), outside.Shibboleth(t)
	e := openEstate(t, "", pysaml2, shibboleth)
	ctx, cancel := context.WithTimeout(chromium, time.Minute)
	defer cancel()
	w := &window{t, ctx}
	w.opens(pysaml2.Page)
	w.do(chromedp.SendKeys(chromedp.CSS("#username"), "bob"), chromedp.SendKeys(chromedp.CSS("#password"), demo.Password),
		chromedp.Click(chromedp.CSS(`form button[type="submit"]`)))
	signedIn := func(a *outside.Application) {
		t.Helper()
		w.awaits("Signed in.")
		if at, _ := w.sees(); !strings.HasPrefix(at, a.Page) {
			t.Fatalf("at %s, want %s", at, a.Page)
		}
	}
	signedIn(pysaml2)
	w.opens(shibboleth.Page)
	signedIn(shibboleth)
	w.opens(e.url + "/")
	w.do(chromedp.Click(chromedp.CSS(`header summary`)), chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)))
	w.awaits("You are signed out.")
	for _, a := range e.applications {
		w.opens(a.Page)
		w.awaits("With your company account")
	}
}

// awaits waits until the page says text.
func (w *window) awaits(text string) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		at, said := w.sees()
		if strings.Contains(said, text) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s does not say %q:\n%s", at, text, said)
		}
	}
}

// An application that does not answer holds nobody up: the page before it leads
// on, and whoever began hears that not everything was reached.
func TestAnApplicationThatIsDownStrandsNobody(t *testing.T) {
	t.Parallel()
	mellon, dead := outside.Mellon(t), outside.PySAML2(t)
	dead.Name = down
	e := openEstate(t, "", mellon, dead)
	for _, tt := range []struct {
		name   string
		resume func(b *browser, leaving page) page // of somebody stuck at a page that does not load
	}{
		{"by the link of the page", func(b *browser, leaving page) page {
			return b.get(leaving.find(t, `<a href="([^"]*)">go on without it`))
		}},
		{"by the Back button", func(b *browser, leaving page) page { return b.get(leaving.url.String()) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := e.browser(t)
			b.enter(mellon, "bob")
			if p := b.get("/saml/launch?sp=" + url.QueryEscape(dead.EntityID)); !strings.Contains(p.body, "SAMLResponse") {
				t.Fatalf("no answer for the application: %d %s", p.status, p.text())
			}
			leaving := b.get(mellon.Logout)
			leaving.want(t, 200, "Signing you out", "down")
			if b.get("/").url.Path != "/login" {
				t.Error("bob is still signed in here while an application is waited for")
			}
			p := tt.resume(b, leaving)
			if document := inQuery(t, p.find(t, refresh.String()), "SAMLResponse"); !strings.Contains(document, saml.StatusPartialLogout) {
				t.Errorf("mellon is answered without %s:\n%s", saml.StatusPartialLogout, document)
			}
			b.carry(p).want(t, 200, "Signed out.")
			if b.signedInAt(mellon) {
				t.Error("bob is still signed in at mellon")
			}
		})
	}
	t.Run("from the portal", func(t *testing.T) {
		b := e.browser(t)
		b.signIn("bob")
		b.get("/saml/launch?sp=" + url.QueryEscape(dead.EntityID))
		b.get(b.post("/logout").url.String()).want(t, 200, "An application may still have you signed in")
	})
}

// inQuery is a deflated message of an address.
func inQuery(t testing.TB, address, field string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := base64.StdEncoding.DecodeString(u.Query().Get(field))
	if err != nil {
		t.Fatal(err)
	}
	document, err := io.ReadAll(flate.NewReader(bytes.NewReader(compressed)))
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

func TestRealApplicationsSignPeopleIn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		open  func(testing.TB) *outside.Application
		terms string
		holds string // what the answer holds
	}{
		{"pysaml2", outside.PySAML2, "", "xmlenc11#aes128-gcm"},
		{"pysaml2, AES-256-GCM", outside.PySAML2, ", encrypt: aes256-gcm", "xmlenc11#aes256-gcm"},
		{"mellon", outside.Mellon, "", "xmlenc11#aes128-gcm"},
		{"mellon, CBC where it is chosen", outside.Mellon, ", encrypt: aes128-cbc, sign: assertion", "xmlenc#aes128-cbc"},
		{"Shibboleth", outside.Shibboleth, "", "xmlenc11#aes128-gcm"},
		{"pysaml2, ECDSA", outside.PySAML2, ", signature: ecdsa-sha256, encrypt: never", "xmldsig-more#ecdsa-sha256"},
		{"Shibboleth, ECDSA", outside.Shibboleth, ", signature: ecdsa-sha256, encrypt: never", "xmldsig-more#ecdsa-sha256"},
		{"Shibboleth, not encrypted", outside.Shibboleth, ", encrypt: never", "<saml:Assertion "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.open(t)
			e := openEstate(t, tt.terms, a)
			b := e.browser(t)
			b.signIn("bob")
			posting := b.get(a.Page)
			if document := posted(t, posting); !strings.Contains(document, tt.holds) {
				t.Errorf("the answer has no %s:\n%.3000s", tt.holds, document)
			}
			first := b.submit(posting)
			if name := first.header.Get("X-User"); !strings.HasPrefix(name, "_") {
				t.Fatalf("the application calls bob %q, want a persistent name; the last page was %s %d:\n%s\n%s", name, first.url, first.status, first.text(), e.log)
			}
			if mail := first.header.Get("X-Mail"); mail != "bob@corp.example.com" {
				t.Errorf("the application has the mail address %q", mail)
			}
			tile := e.browser(t)
			if p := tile.submit(tile.get(tile.signIn("bob").find(t, `<a class="button" href="(/saml/launch[^"]*)"`))); !tile.signedInAt(a) {
				t.Errorf("by the portal's tile bob is not signed in: %d %s\n%s", p.status, p.url, p.text())
			}
			if again := e.browser(t).enter(a, "bob"); again.header.Get("X-User") != first.header.Get("X-User") {
				t.Errorf("at the next sign-in it calls bob %q, was %q", again.header.Get("X-User"), first.header.Get("X-User"))
			}
			if p := e.browser(t).enter(a, "dan"); p.header.Get("X-User") != "" || p.status != 403 {
				t.Errorf("dan, whom no rule admits, got %d as %q:\n%s", p.status, p.header.Get("X-User"), p.text())
			}
		})
	}
}

// program is an enhanced client: it asks an application for a page, takes the
// envelope that it gets to Gatehouse, and the answer back (saml-profiles §4.2).
type program struct {
	t      *testing.T
	client *http.Client
}

func newProgram(t *testing.T) *program {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &program{t, &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

func (c *program) do(method, address, body string, alter func(*http.Request)) (*http.Response, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html, application/vnd.paos+xml")
	r.Header.Set("PAOS", `ver="urn:liberty:paos:2003-08";"urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp"`)
	if alter != nil {
		alter(r)
	}
	res, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res, string(text)
}

// envelope is a SOAP document that a program changes.
func (c *program) envelope(text string) *etree.Document {
	c.t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil || doc.Root() == nil || doc.Root().Tag != "Envelope" {
		c.t.Fatalf("no envelope: %v\n%s", err, text)
	}
	return doc
}

func (c *program) text(doc *etree.Document) string {
	c.t.Helper()
	text, err := doc.WriteToString()
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// signIn goes all the way, and says what the application then calls the person.
func (c *program) signIn(g *gate, a *outside.Application, username, password string) (status int, user, answer string) {
	c.t.Helper()
	_, text := c.do("GET", a.Page, "", nil)
	asked := c.envelope(text)
	where := asked.FindElement("./Envelope/Header/Request[@responseConsumerURL]").SelectAttrValue("responseConsumerURL", "")
	relayState := asked.FindElement("./Envelope/Header/RelayState")
	forIdP := asked.Copy()
	forIdP.Root().RemoveChild(forIdP.FindElement("./Envelope/Header"))
	res, text := c.do("POST", g.url+"/saml/ecp", c.text(forIdP), func(r *http.Request) {
		r.SetBasicAuth(username, password)
		r.Header.Set("Content-Type", "text/xml")
		r.ContentLength = -1 // chunked, as saml2aws sends it
	})
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, "", text
	}
	if len(res.Cookies()) > 0 {
		c.t.Errorf("a program got the cookies %v", res.Cookies())
	}
	given := c.envelope(text)
	if to := given.FindElement("./Envelope/Header/Response").SelectAttrValue("AssertionConsumerServiceURL", ""); to != where {
		c.t.Fatalf("the answer is for %q, the application is at %q", to, where)
	}
	header := given.FindElement("./Envelope/Header")
	for _, el := range header.ChildElements() {
		header.RemoveChild(el)
	}
	if relayState != nil {
		header.AddChild(relayState.Copy())
	}
	page, body := c.do("POST", where, c.text(given), func(r *http.Request) { r.Header.Set("Content-Type", "application/vnd.paos+xml") })
	if user := page.Header.Get("X-User"); user != "" {
		return page.StatusCode, user, text
	}
	page, _ = c.do("GET", a.Page, "", nil)
	return page.StatusCode, page.Header.Get("X-User"), text + "\n" + body
}

func TestProgramsSignInAtRealApplications(t *testing.T) {
	t.Parallel()
	for _, open := range []func(testing.TB) *outside.Application{outside.Mellon, outside.Shibboleth} {
		a := open(t)
		t.Run(a.Name, func(t *testing.T) {
			e := openEstate(t, "", a)
			status, user, answer := newProgram(t).signIn(e.gate, a, "bob", demo.Password)
			if browser := e.browser(t).enter(a, "bob").header.Get("X-User"); user == "" || user != browser {
				t.Errorf("to a program bob is %q (%d), in a browser %q\n%.3000s\n%s", user, status, browser, answer, e.log)
			}
			if !strings.Contains(answer, "<saml2p:Response ") || !strings.Contains(answer, "xmlenc11#aes128-gcm") {
				t.Errorf("want prefixes that every client reads, and an encrypted assertion:\n%.3000s", answer)
			}
			if status, user, answer := newProgram(t).signIn(e.gate, a, "bob", "wrong"); status != http.StatusUnauthorized || user != "" {
				t.Errorf("a wrong password: %d, %q\n%s", status, user, answer)
			}
			if _, user, answer := newProgram(t).signIn(e.gate, a, "dan", demo.Password); user != "" || !strings.Contains(answer, saml.StatusRequestDenied) {
				t.Errorf("dan, whom no rule admits, is %q\n%s", user, answer)
			}
			for i := range 3 { // one that failed counts once
				newProgram(t).signIn(e.gate, a, "bob", fmt.Sprint("wrong", i))
			}
			if status, _, _ := newProgram(t).signIn(e.gate, a, "bob", demo.Password); status != http.StatusTooManyRequests {
				t.Errorf("the fifth guess was answered with %d", status)
			}
			e.browser(t).post("/login", "username", "bob", "password", demo.Password).want(t, 429, "Too many attempts.")
		})
	}
}
