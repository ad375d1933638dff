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
	l := bobsLaptop(t)
	l.judgeKeys("JavaScript", func() (string, error) {
		c := exec.CommandContext(t.Context(), node, "-e", inJavaScript)
		c.Env = []string{"HOME=" + l.home, "NODE_PATH=" + modules, "AWS_PROFILE=sandbox", "NODE_NO_WARNINGS=1"}
		out, err := c.CombinedOutput()
		return string(out), err
	})
}

// lentLaptop is a laptop on which bob signs in by `gatehouse login`, by a code
// as over SSH, for programs that find the token by themselves.
type lentLaptop struct {
	*laptop
	gate   *gate
	signIn func()
}

func bobsLaptop(t *testing.T) *lentLaptop {
	t.Helper()
	g := openGate(t)
	l := &lentLaptop{laptop: newLaptop(t, g), gate: g}
	bob := g.browser(t)
	bob.signIn("bob")
	l.env = []string{"SSH_TTY=x"}
	l.signIn = func() {
		l.login(`^ +[B-Z]{4}-[B-Z]{4}$`, func(code string) { bob.agree(strings.TrimSpace(code)) }, g.url)
	}
	return l
}

// judgeKeys has a program say as whom STS knows it: with a token that is
// fresh, with one that it has to exchange, and with none after the sign-out.
func (l *lentLaptop) judgeKeys(program string, run func() (string, error)) {
	l.t.Helper()
	l.signIn()
	for _, token := range []string{"fresh", "expired"} {
		if token == "expired" {
			l.expire()
		}
		if out, err := run(); err != nil || !strings.HasPrefix(out, "arn:aws:sts::444455556666:assumed-role/PowerUser/bob-") {
			l.t.Errorf("%s, with a token that is %s: %v\n%s", program, token, err, out)
		}
	}
	l.must("logout")
	if out, err := run(); err == nil {
		l.t.Errorf("%s still has keys after the logout: %s", program, out)
	}
}
