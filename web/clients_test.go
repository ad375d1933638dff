package web

import (
	"html"
	"os"
	"regexp"
	"strings"
	"testing"

	"gatehouse"
)

// noPrograms is there, and keeps nothing.
type noPrograms struct{ Programs }

// What docs/clients.md has to paste is what a role's page has, byte for byte,
// and is called as the file with all roles calls it.
func TestTheRolePageHasTheLinesOfTheDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```ini\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	h := newHouse(t, func(c *Config, d *Deps) { c.PublicURL, d.Programs = "https://aws.corp.example.com", noPrograms{} })
	e := entitlement("111122223333", "Payments", "prod", "", "ReadOnly")
	e.Account.Region = "eu-west-1"
	lines := h.server.clientLines(gatehouse.User{Username: "alice"}, e)
	config := strings.Replace(lines.Config, "# Payments ReadOnly\n", "", 1)
	for what, want := range map[string]string{"~/.aws/config": config, "~/.saml2aws": lines.Saml2aws} {
		found := false
		for _, b := range blocks {
			found = found || b[1] == want
		}
		if want == "" || !found {
			t.Errorf("for %s the docs do not have what the page has:\n%s", what, want)
		}
	}
	for _, command := range []string{"aws sso login --profile " + lines.Name, "aws login --endpoint-url " + lines.Portal, "gatehouse login " + lines.Portal, "gatehouse credential-process " + lines.Role} {
		if !strings.Contains(string(text), command) {
			t.Errorf("the docs do not have %q", command)
		}
	}
}

func TestOneRuleNamesProfiles(t *testing.T) {
	h := newHouse(t, func(c *Config, d *Deps) {
		c.Portal.Profile, d.Programs = "{environment}.{account}.{role}", noPrograms{}
	})
	cookie := h.signIn()
	page := html.UnescapeString(body(t, h.get(readOnly, cookie)))
	file := body(t, h.get("/me/aws-config", cookie))
	name := regexp.MustCompile(`id="profile" name="profile" value="([^"]*)"`).FindStringSubmatch(page)
	if name == nil || !strings.Contains(page, "[profile "+name[1]+"]") || !strings.Contains(file, "[profile "+name[1]+"]") {
		t.Errorf("the page says %q, and the file:\n%s", name, file)
	}
}
