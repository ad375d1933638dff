package main

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse/internal/demo"
	"gatehouse/internal/outside"
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
	providers, rules := "saml:\n  service_providers:\n", "access:\n  rules:\n"
	for _, a := range applications {
		file := filepath.Join(t.TempDir(), a.Name+".xml")
		if err := os.WriteFile(file, a.Metadata, 0o600); err != nil {
			t.Fatal(err)
		}
		providers += fmt.Sprintf("    - {name: %s, metadata_file: %q%s}\n", a.Name, file, terms)
		rules += fmt.Sprintf("    - {directory: corp, groups: [\"CN=Sandbox Users,OU=Groups,%s\"], service_provider: %s}\n", demo.Suffix, a.Name)
	}
	e := &estate{gate: openGate(t, "access:\n  rules:\n", providers+rules), applications: applications}
	idp := []byte(e.browser(t).get("/saml/metadata").body)
	for _, a := range applications {
		a.Start(t, idp)
	}
	return e
}

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
			if again := e.browser(t).enter(a, "bob"); again.header.Get("X-User") != first.header.Get("X-User") {
				t.Errorf("at the next sign-in it calls bob %q, was %q", again.header.Get("X-User"), first.header.Get("X-User"))
			}
			if p := e.browser(t).enter(a, "dan"); p.header.Get("X-User") != "" || p.status != 403 {
				t.Errorf("dan, whom no rule admits, got %d as %q:\n%s", p.status, p.header.Get("X-User"), p.text())
			}
		})
	}
}
