package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/outside"
)

// program in JavaScript: the SDK finds the profile, the token and us by itself.
const inJavaScript = `
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
new STSClient({}).send(new GetCallerIdentityCommand({})).then(
  (who) => console.log(who.Arn),
  (err) => { console.log(err.name + ": " + err.message); process.exit(1); });
`

func TestAJavaScriptProgramHasKeys(t *testing.T) {
	t.Parallel()
	node := outside.Program(t, "node", "nodejs")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(cache, "gatehouse-tests/js/node_modules")
	if _, err := os.Stat(filepath.Join(modules, "@aws-sdk/client-sts")); err != nil {
		outside.Missing(t, "@aws-sdk/client-sts (npm)")
	}
	g := openGate(t)
	l := newLaptop(t, g)
	bob := g.browser(t)
	bob.signIn("bob")
	l.env = []string{"SSH_TTY=x"}
	l.login(`^ +[B-Z]{4}-[B-Z]{4}$`, func(code string) { bob.agree(strings.TrimSpace(code)) }, g.url)
	run := func() (string, error) {
		c := exec.CommandContext(t.Context(), node, "-e", inJavaScript)
		c.Env = []string{"HOME=" + l.home, "NODE_PATH=" + modules, "AWS_PROFILE=sandbox", "NODE_NO_WARNINGS=1"}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, token := range []string{"fresh", "expired"} {
		if token == "expired" {
			l.expire()
		}
		if out, err := run(); err != nil || !strings.HasPrefix(out, "arn:aws:sts::444455556666:assumed-role/PowerUser/bob-") {
			t.Errorf("with a token that is %s: %v\n%s", token, err, out)
		}
	}
	l.must("logout")
	if out, err := run(); err == nil {
		t.Errorf("after logout it still has keys: %s", out)
	}
}
