package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// gatehouse is the command on the laptop; testscript has put it on PATH.
func (l *laptop) gatehouse(args ...string) *exec.Cmd {
	c := exec.CommandContext(l.t.Context(), "gatehouse", args...)
	c.Env = append(l.env, "HOME="+l.home, "XDG_CONFIG_HOME="+filepath.Join(l.home, ".config"), "PATH="+os.Getenv("PATH"))
	return c
}

// run runs it to its end.
func (l *laptop) run(args ...string) (stdout, stderr string, code int) {
	l.t.Helper()
	c := l.gatehouse(args...)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		l.t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// must is run for what has to work.
func (l *laptop) must(args ...string) string {
	l.t.Helper()
	out, errs, code := l.run(args...)
	if code != 0 {
		l.t.Fatalf("gatehouse %q ended with %d:\n%s%s", args, code, out, errs)
	}
	return out
}

// login begins a sign-in; do gets what it says first that matches, and then
// it must end well.
func (l *laptop) login(pattern string, do func(found string), args ...string) {
	l.t.Helper()
	c := l.gatehouse(append([]string{"login"}, args...)...)
	stderr, err := c.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	said, found := "", ""
	lines := bufio.NewScanner(stderr)
	for found == "" && lines.Scan() {
		said += lines.Text() + "\n"
		found = regexp.MustCompile(pattern).FindString(lines.Text())
	}
	if found == "" {
		l.t.Fatalf("gatehouse login says nothing like %s:\n%s", pattern, said)
	}
	do(found)
	rest, _ := io.ReadAll(stderr)
	if err := c.Wait(); err != nil || !strings.Contains(string(rest), "Signed in.") {
		l.t.Fatalf("gatehouse login: %v\n%s%s", err, said, rest)
	}
}

func TestTheLaptopSide(t *testing.T) {
	g := openGate(t)
	l := &laptop{t: t, home: t.TempDir()}
	t.Setenv("HOME", l.home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(l.home, ".aws/config"))
	bob := g.browser(t)
	bob.signIn("bob")

	_, errs, code := l.run("credential-process", "444455556666/PowerUser")
	if code != 1 || errs != "gatehouse: credential-process: no portal is known yet; try: gatehouse login https://aws.corp.example.com\n" {
		t.Errorf("before anything: %d %q", code, errs)
	}
	l.login(`http://\S+/authorize\?\S+`, func(page string) {
		p := bob.get(page)
		p.want(t, 200, "gatehouse on ", "127.0.0.1:")
		var pairs []string
		for _, name := range []string{"response_type", "client_id", "redirect_uri", "state", "code_challenge_method", "code_challenge"} {
			pairs = append(pairs, name, p.find(t, `name="`+name+`" value="([^"]*)"`))
		}
		left := bob.post("/authorize", append(pairs, "answer", "agree")...)
		back, err := http.Get(left.find(t, `content="0; url=([^"]*)"`))
		if err != nil || back.StatusCode != 200 {
			t.Fatalf("the way back: %v %+v", err, back)
		}
		_ = back.Body.Close()
	}, g.url, "--no-browser")

	t.Run("keys for a shell, a process and a command", func(t *testing.T) {
		if out := l.must("env", "444455556666/PowerUser", "--format", "bash"); !strings.Contains(out, "export AWS_ACCESS_KEY_ID='ASIA") || !strings.Contains(out, g.AWS) {
			t.Errorf("env:\n%s", out)
		}
		if out := l.must("credential-process", "Sandbox/PowerUser"); !regexp.MustCompile(`^\{"Version":1,"AccessKeyId":"ASIA.*"AccountId":"444455556666"\}\n$`).MatchString(out) {
			t.Errorf("credential-process by the account's name:\n%s", out)
		}
		if out := l.must("exec", "444455556666/PowerUser", "--", "sh", "-c", "echo $AWS_ACCESS_KEY_ID $AWS_REGION"); !regexp.MustCompile(`^ASIA\w+ eu-west-1\n$`).MatchString(out) {
			t.Errorf("exec: %q", out)
		}
		if _, errs, code := l.run("exec", "444455556666/PowerUser", "--", "sh", "-c", "exit 42"); code != 42 || errs != "" {
			t.Errorf("exec of a command that ends with 42: %d %q", code, errs)
		}
		if _, errs, code := l.run("credential-process", "111122223333/Admin"); code != 1 || errs != "gatehouse: credential-process: No access: none of your groups gives you this role\n" {
			t.Errorf("somebody else's role: %d %q", code, errs)
		}
		if out := l.must("console", "444455556666/PowerUser", "--print"); out != g.url+"/go/444455556666/PowerUser\n" {
			t.Errorf("console --print: %q", out)
		}
	})
	t.Run("profiles that the SDK works by", func(t *testing.T) {
		l.write(".aws/config", "# mine\n[profile own]\nregion = eu-north-1\n")
		if out := l.must("config"); !strings.Contains(out, "+[profile sandbox-poweruser]") {
			t.Errorf("config shows:\n%s", out)
		}
		l.must("config", "--write", "--names", "sandbox")
		l.must("config", "--write", "--names", "{account}")
		for _, how := range []string{"", "--process"} {
			l.must(append([]string{"config", "--write", "--names", "{account}"}, strings.Fields(how)...)...)
			wantCaller(t, "bob-") // by the profile sandbox
		}
		text, err := os.ReadFile(filepath.Join(l.home, ".aws/config"))
		if err != nil || !strings.HasPrefix(string(text), "# mine\n[profile own]\n") {
			t.Errorf("what was there is gone: %v\n%s", err, text)
		}
	})
	t.Run("fifty processes with an old token refresh once", func(t *testing.T) {
		l.expire()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { l.must("credential-process", "444455556666/PowerUser") })
		}
		all.Wait()
		if number := strings.Split(l.cached()["refreshToken"], ".")[2]; number != "2" {
			t.Errorf("the refresh token's number is %s, want 2", number)
		}
	})
	t.Run("the end", func(t *testing.T) {
		l.must("logout")
		for _, command := range [][]string{{"credential-process", "444455556666/PowerUser"}, {"config"}, {"logout"}} {
			if _, errs, code := l.run(command...); code != 1 || errs != "gatehouse: "+command[0]+": not signed in, or not any more; try: gatehouse login\n" {
				t.Errorf("after logout %s: %d %q", command[0], code, errs)
			}
		}
	})
	t.Run("under SSH by a code; ended in the portal", func(t *testing.T) {
		l.env = []string{"SSH_CONNECTION=198.51.100.1 1 198.51.100.2 22"}
		l.login(`^ +[B-Z]{4}-[B-Z]{4}$`, func(code string) { bob.agree(strings.TrimSpace(code)) })
		l.must("credential-process", "444455556666/PowerUser")
		bob.post("/me/sessions", "id", bob.get("/me/sessions").find(t, `name="id" value="([^"]*)"`)).want(t, 200, "There are none.")
		if _, errs, code := l.run("credential-process", "444455556666/PowerUser"); code != 1 || !strings.Contains(errs, "try: gatehouse login") {
			t.Errorf("after its end: %d %q", code, errs)
		}
	})
}
