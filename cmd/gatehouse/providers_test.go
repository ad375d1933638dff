package main

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"gatehouse/internal/demo"
)

// metadataOf describes an application that nobody runs. format is of the
// names that it wants; empty: it does not say.
func metadataOf(entityID, format string) string {
	if format != "" {
		format = "<md:NameIDFormat>" + format + "</md:NameIDFormat>"
	}
	return `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + html.EscapeString(entityID) + `" validUntil="2126-01-01T00:00:00Z">` +
		`<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + format +
		`<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://app.example/acs" index="0"/>` +
		`<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:PAOS" Location="https://app.example/ecp" index="1"/>` +
		`</md:SPSSODescriptor></md:EntityDescriptor>`
}

// openApplications is Gatehouse with applications of that metadata, by name.
// bob may use each; it is told terms, as YAML.
func openApplications(t *testing.T, terms string, metadata map[string]string) *gate {
	t.Helper()
	dir, rules := t.TempDir(), "  rules:\n"
	for name, document := range metadata {
		if err := os.WriteFile(filepath.Join(dir, name+".xml"), []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		rules += fmt.Sprintf("    - {directory: corp, groups: [\"CN=Sandbox Users,OU=Groups,%s\"], service_provider: %s, attributes: %s}\n", demo.Suffix, name, terms)
	}
	return openGate(t, "access:\n", fmt.Sprintf("saml:\n  metadata_dir: %q\naccess:\n", dir), "  rules:\n", rules)
}

// tells runs gatehouse providers for somebody; nobody where that is empty.
func tells(t *testing.T, g *gate, person string) string {
	t.Helper()
	file := filepath.Join(filepath.Dir(g.ConfigFile), "providers.yaml")
	if err := os.WriteFile(file, g.Config, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"providers", "--config", file}
	if person != "" {
		args = append(args, "--for", person)
	}
	var out bytes.Buffer
	if code := run(context.Background(), args, &out, &out); code != exitDone {
		t.Fatalf("gatehouse providers ended with %d:\n%s", code, &out)
	}
	return out.String()
}

// What the page and the command say is what the assertion says, word for word.
func TestWhatIsShownToBeReleasedIsWhatIsReleased(t *testing.T) {
	t.Parallel()
	const mail = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	g := openApplications(t, `{"urn:oid:0.9.2342.19200300.100.1.3": "{mail}", groups: "{groups}", who: "{name} <&\"> {username}", none: "{attribute:telexNumber}"}`,
		map[string]string{"Plain": metadataOf("https://plain.example/?a=1&b", ""), "Mail": metadataOf("https://mail.example", mail)})
	b := g.browser(t)
	b.signIn("bob")
	page := b.get("/me/applications")
	page.want(t, 200, "What applications are told")
	rows := strings.Split(page.body, `<li class="row`)[1:]
	said := strings.Split(tells(t, g, "bob"), "\n\n")[1:]
	for i, app := range []struct{ name, entityID string }{{"Mail", "https://mail.example"}, {"Plain", "https://plain.example/?a=1&b"}} {
		released := releasedTo(t, b, app.entityID)
		if len(released) != 3+len(bobsGroups(t, released)) {
			t.Errorf("%s is told %q", app.name, released)
		}
		if got := onThePage(rows[i]); !slices.Equal(got, released) {
			t.Errorf("%s: the page shows\n%q\nthe assertion has\n%q", app.name, got, released)
		}
		if got := onTheTerminal(said[i]); !slices.Equal(got, released) || !strings.HasPrefix(said[i], app.name+"\n") {
			t.Errorf("%s: the command says\n%q\nthe assertion has\n%q in\n%s", app.name, got, released, said[i])
		}
	}
}

// releasedTo is what a Response for an application says: the name, then each
// value of each attribute.
func releasedTo(t *testing.T, b *browser, entityID string) []string {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(posted(t, b.get("/saml/launch?sp="+url.QueryEscape(entityID)))); err != nil {
		t.Fatal(err)
	}
	list := []string{"NameID=" + doc.FindElement("//NameID").Text()}
	for _, a := range doc.FindElements("//Attribute") {
		for _, v := range a.ChildElements() {
			list = append(list, a.SelectAttrValue("Name", "")+"="+v.Text())
		}
	}
	return list
}

func bobsGroups(t *testing.T, released []string) (groups []string) {
	for _, r := range released {
		if strings.HasPrefix(r, "groups=") {
			groups = append(groups, r)
		}
	}
	if len(groups) < 2 {
		t.Errorf("bob has the groups %q", groups)
	}
	return groups
}

var (
	term = regexp.MustCompile(`<dt>(.*?)</dt>|<dd>(.*?)</dd>`)
	tag  = regexp.MustCompile(`<[^>]*>`)
)

func onThePage(row string) (list []string) {
	name := ""
	for _, m := range term.FindAllStringSubmatch(row, -1) {
		text := html.UnescapeString(tag.ReplaceAllString(m[1]+m[2], ""))
		switch {
		case m[2] != "":
			list = append(list, name+"="+text)
		case text == "Your name there":
			name = "NameID"
		default:
			name = text
		}
	}
	return list
}

var toldLine = regexp.MustCompile(`(?m)^  is told (\S+) +(.*?)(?: \((?:persistent|emailAddress)\))?$`)

func onTheTerminal(said string) (list []string) {
	for _, m := range toldLine.FindAllStringSubmatch(said, -1) {
		list = append(list, m[1]+"="+m[2])
	}
	return list
}

func TestProvidersAreListedWithWhatIsKnownOfThem(t *testing.T) {
	t.Parallel()
	const mail = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	g := openApplications(t, `{mail: "{mail}"}`, map[string]string{"Wiki": metadataOf("https://wiki.example/\u202e", mail)})
	said := tells(t, g, "")
	for _, want := range []string{"Wiki\n", `entity ID +https://wiki.example/` + "\ufffd", `metadata +/\S+/Wiki.xml, good until 2126-01-01`,
		`answers go to +https://app.example/acs by HTTP-POST, unless`, `https://app.example/ecp by PAOS`, `requests +may be unsigned`,
		`signed +both`, `encrypted +never`, `name +emailAddress`, `rule 1 admits +members of CN=Sandbox Users`} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("not there: %s\n%s", want, said)
		}
	}
	for person, want := range map[string]string{"dan": "is told +nothing: no rule admits them", "bob": "admitted +by rule 1, through CN=Sandbox Users"} {
		if said := tells(t, g, person); !regexp.MustCompile(want).MatchString(said) || strings.Contains(said, "is told mail") != (person == "bob") {
			t.Errorf("of %s: no %s\n%s", person, want, said)
		}
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"providers"}, &out, &out); code != exitUsage {
		t.Errorf("without a configuration: %d %s", code, &out)
	}
	if said := tells(t, openGate(t), ""); !strings.Contains(said, "no application besides AWS") {
		t.Errorf("without one: %s", said)
	}
}
