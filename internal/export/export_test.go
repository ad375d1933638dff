package export

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/outside"
)

var update = flag.Bool("update", false, "rewrite testdata")

// example is what STS answers; secret and token hold every character that
// AWS's base64 has, as they really do.
func example() gatehouse.Credentials {
	return gatehouse.Credentials{
		AccessKeyID:     "ASIAIOSFODNN7EXAMPLE",
		SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		SessionToken:    "FwoGZXIvYXdzEBYaDGV4YW1wbGU/+tokentokentoken==",
		Expires:         time.Date(2126, 11, 21, 7, 19, 17, 999, time.FixedZone("", 3600)),
		Lasts:           time.Hour,
		AssumedRoleARN:  "arn:aws:sts::111122223333:assumed-role/Developer/alice@example.com",
	}
}

func all() Options {
	return Options{Profile: "payments-Developer", Region: "eu-west-1", STSEndpoint: "http://127.0.0.1:8081"}
}

func render(t *testing.T, f gatehouse.Form, c gatehouse.Credentials, o Options) Text {
	t.Helper()
	text, err := Render(f, c, o)
	if err != nil {
		t.Fatalf("Render(%s): %v", f, err)
	}
	return text
}

var textForms = []gatehouse.Form{gatehouse.FormBash, gatehouse.FormFish, gatehouse.FormPowerShell,
	gatehouse.FormCmd, gatehouse.FormINI, gatehouse.FormEnv, gatehouse.FormJSON}

func TestEveryFormIsWrittenAsReviewed(t *testing.T) {
	for _, f := range textForms {
		t.Run(string(f), func(t *testing.T) {
			got := render(t, f, example(), all())
			path := filepath.Join("testdata", got.Filename)
			if *update {
				if err := os.WriteFile(path, []byte(got.Body), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.Body); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

func TestRenderRefusals(t *testing.T) {
	with := func(change func(*gatehouse.Credentials)) gatehouse.Credentials {
		c := example()
		change(&c)
		return c
	}
	profile := func(p string) Options { return Options{Profile: p} }
	tests := []struct {
		name    string
		form    gatehouse.Form
		c       gatehouse.Credentials
		o       Options
		invalid bool // it is the person's doing
	}{
		{"a console is no text", gatehouse.FormConsole, example(), all(), true},
		{"a post is no text", gatehouse.FormPost, example(), all(), true},
		{"an unknown form", "zsh; id", example(), all(), true},
		{"no access key", gatehouse.FormBash, with(func(c *gatehouse.Credentials) { c.AccessKeyID = "" }), all(), false},
		{"no secret", gatehouse.FormBash, with(func(c *gatehouse.Credentials) { c.SecretAccessKey = "" }), all(), false},
		{"no token", gatehouse.FormJSON, with(func(c *gatehouse.Credentials) { c.SessionToken = "" }), all(), false},
		{"no expiry, which SDKs take for never", gatehouse.FormJSON, with(func(c *gatehouse.Credentials) { c.Expires = time.Time{} }), all(), false},
		{"a newline in a key", gatehouse.FormBash, with(func(c *gatehouse.Credentials) { c.SecretAccessKey = "a\nid" }), all(), false},
		{"a newline in a key, as JSON", gatehouse.FormJSON, with(func(c *gatehouse.Credentials) { c.SecretAccessKey = "a\nid" }), all(), false},
		{"broken UTF-8, which JSON would mend", gatehouse.FormJSON, with(func(c *gatehouse.Credentials) { c.SessionToken = "\xff" }), all(), false},
		{"a comment that ends", gatehouse.FormFish, with(func(c *gatehouse.Credentials) { c.AssumedRoleARN = "x\nid" }), all(), false},
		{"a comment with an end of a command", gatehouse.FormBash, with(func(c *gatehouse.Credentials) { c.AssumedRoleARN = "x;id" }), all(), false},
		{"a comment with the quote that ends it", gatehouse.FormBash, with(func(c *gatehouse.Credentials) { c.AssumedRoleARN = "x' id" }), all(), false},
		{"a percent sign in cmd.exe's comment", gatehouse.FormCmd, with(func(c *gatehouse.Credentials) { c.AssumedRoleARN = "%PATH%" }), all(), false},
		{"a region with a quote", gatehouse.FormEnv, example(), Options{Region: `eu"`}, false},
		{"an endpoint with a blank in an .env file", gatehouse.FormEnv, example(), Options{STSEndpoint: "http://a b"}, false},
		{"an endpoint that leaves the comment", gatehouse.FormINI, example(), Options{Profile: "p", STSEndpoint: "http://a\n[default]"}, false},
		{"an INI file without a profile", gatehouse.FormINI, example(), Options{}, true},
		{"a profile that closes its section", gatehouse.FormINI, example(), profile("a]\n[default"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Render(tt.form, tt.c, tt.o)
			if err == nil || errors.Is(err, gatehouse.ErrInvalid) != tt.invalid {
				t.Errorf("Render = %v, want an error that is ErrInvalid: %v", err, tt.invalid)
			}
			if got != (Text{}) {
				t.Errorf("Render gives %q beside its error", got.Body)
			}
			if err != nil && strings.Contains(err.Error(), "wJalr") {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestProfileName(t *testing.T) {
	for _, s := range []string{"default", "payments-Developer", "1", "a.b_c@d+e=f,g", strings.Repeat("x", 64)} {
		if err := ProfileName(s); err != nil {
			t.Errorf("ProfileName(%q) = %v, want nil", s, err)
		}
	}
	for _, s := range []string{"", "-x", "=x", "+x", "@x", ".x", "a b", "a]", "a\n", "a'", "a\"", "a%", "a/b", "a\\b", "Zoë", "a#", "a;", strings.Repeat("x", 65)} {
		var invalid *gatehouse.Invalid
		if err := ProfileName(s); !errors.As(err, &invalid) || invalid.Field != "profile" {
			t.Errorf("ProfileName(%q) = %v, want Invalid{profile}", s, err)
		}
	}
}

// environment is what the variables must be once a script has run.
func environment(c gatehouse.Credentials, o Options) map[string]string {
	env := map[string]string{}
	for _, v := range variables(c, o) {
		env[v.name] = v.value
	}
	return env
}

// awkward are credentials such as AWS never makes, so that quoting is seen to work.
func awkward() gatehouse.Credentials {
	c := example()
	c.SecretAccessKey = `it's $HOME "and" ` + "`id` %PATH% !! \\"
	c.SessionToken = `\'\\''!$(id)`
	return c
}

// run feeds script to a shell, and returns the AWS_ variables of a child.
func run(t *testing.T, script, program string, args ...string) map[string]string {
	t.Helper()
	envProgram := outside.Program(t, "env", "coreutils")
	c := exec.CommandContext(t.Context(), program, args...)
	c.Stdin = strings.NewReader(script + envProgram + " -0\n")
	c.Env = []string{"LC_ALL=C.UTF-8", "HOME=" + t.TempDir()}
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	got := map[string]string{}
	for line := range strings.SplitSeq(string(out), "\x00") {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "AWS_") {
			got[name] = value
		}
	}
	return got
}

func TestShellsTakeTheVariables(t *testing.T) {
	shells := []struct {
		form    gatehouse.Form
		program string
		args    []string
	}{
		{gatehouse.FormBash, "bash", []string{"--norc"}},
		{gatehouse.FormBash, "sh", nil},
		{gatehouse.FormBash, "dash", nil},
		{gatehouse.FormBash, "zsh", []string{"-f"}},
		{gatehouse.FormFish, "fish", []string{"--no-config"}},
	}
	for _, tt := range shells {
		for name, c := range map[string]gatehouse.Credentials{"real": example(), "awkward": awkward()} {
			t.Run(tt.program+"/"+name, func(t *testing.T) {
				sh := outside.Program(t, tt.program, tt.program)
				got := run(t, render(t, tt.form, c, all()).Body, sh, tt.args...)
				if diff := cmp.Diff(environment(c, all()), got); diff != "" {
					t.Errorf("environment (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// pasted is what a shell at a terminal prints when script is pasted into it:
// its prompts are empty, and the terminal does not repeat what is typed.
func pasted(t *testing.T, script, shell string) string {
	t.Helper()
	terminal := outside.Program(t, "script", "bsdutils")
	c := exec.CommandContext(t.Context(), terminal, "-qec", "stty -echo; exec "+shell, "/dev/null")
	c.Env = []string{"LC_ALL=C.UTF-8", "TERM=dumb", "SHELL=/bin/sh", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	c.Stdin = strings.NewReader("PS1= PS2='more: '\necho 'be''gin'\n" + script + "echo 'en''d'\nexit\n")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	_, after, begun := strings.Cut(strings.ReplaceAll(string(out), "\r", ""), "begin\n")
	printed, _, ended := strings.Cut(after, "end\n")
	if !begun || !ended {
		t.Fatalf("%s: not run to its end:\n%q", shell, out)
	}
	return printed
}

func TestShellsAtATerminalTakeTheVariablesInSilence(t *testing.T) {
	for _, tt := range []struct{ program, options string }{
		{"bash", "--norc --noediting -i"},
		{"dash", "-i"},
		{"zsh", "-f -i +Z +o promptsp"}, // as a Mac's: without a line editor, which repeats what it reads
	} {
		t.Run(tt.program, func(t *testing.T) {
			sh := outside.Program(t, tt.program, tt.program) + " " + tt.options
			for name, c := range map[string]gatehouse.Credentials{"real": example(), "awkward": awkward()} {
				if got := pasted(t, render(t, gatehouse.FormBash, c, all()).Body, sh); got != "" {
					t.Errorf("pasting %s credentials prints %q, want nothing", name, got)
				}
			}
			if got := pasted(t, "gatehouse-knows-no-such-command\n", sh); !strings.Contains(got, "not found") {
				t.Errorf("a wrong line prints %q: this test would see nothing", got)
			}
		})
	}
}

func TestPowerShellAssignsVerbatimStrings(t *testing.T) {
	got := map[string]string{}
	for line := range strings.Lines(render(t, gatehouse.FormPowerShell, awkward(), all()).Body) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		text, ok := readPowerShell(value)
		if !ok {
			t.Fatalf("%q is no verbatim string", value)
		}
		got[strings.TrimPrefix(name, "$Env:")] = text
	}
	if diff := cmp.Diff(environment(awkward(), all()), got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestCmdSetsQuotedOperandsOnLinesOfWindows(t *testing.T) {
	got := map[string]string{}
	body := render(t, gatehouse.FormCmd, example(), all()).Body
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\r\n"), "\r\n") {
		if strings.ContainsAny(line, "\r\n") {
			t.Errorf("%q does not end in CRLF", line)
		}
		operand, ok := strings.CutPrefix(line, `set "`)
		if !ok {
			if !strings.HasPrefix(line, "rem ") {
				t.Errorf("%q is neither a comment nor a set", line)
			}
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(operand, `"`), "=")
		got[name] = value
	}
	if diff := cmp.Diff(environment(example(), all()), got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// docker run --env-file: a line is NAME=value up to its end, # begins a comment.
func TestEnvIsReadAsDockerDoes(t *testing.T) {
	got := map[string]string{}
	for line := range strings.Lines(render(t, gatehouse.FormEnv, example(), all()).Body) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && !strings.HasPrefix(line, "#") {
			got[name] = value
		}
	}
	if diff := cmp.Diff(environment(example(), all()), got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestWithoutRegionAndEndpointTheirVariablesAreAbsent(t *testing.T) {
	body := render(t, gatehouse.FormBash, example(), Options{}).Body
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_STS"} {
		if strings.Contains(body, name) {
			t.Errorf("%s is set:\n%s", name, body)
		}
	}
}

func TestJSONIsWhatACredentialProcessAnswers(t *testing.T) {
	body := render(t, gatehouse.FormJSON, example(), all()).Body
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"Version": float64(1), "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
		"SecretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		"SessionToken":    "FwoGZXIvYXdzEBYaDGV4YW1wbGU/+tokentokentoken==",
		"Expiration":      "2126-11-21T06:19:17Z", "AccountId": "111122223333",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("credential process (-want +got):\n%s", diff)
	}
}

func TestTheSDKReadsTheJSON(t *testing.T) {
	cat := outside.Program(t, "cat", "coreutils")
	path := filepath.Join(t.TempDir(), "creds.json")
	if err := os.WriteFile(path, []byte(render(t, gatehouse.FormJSON, example(), all()).Body), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := processcreds.NewProvider(cat + " " + path).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := example()
	if got.AccessKeyID != want.AccessKeyID || got.SecretAccessKey != string(want.SecretAccessKey) ||
		got.SessionToken != string(want.SessionToken) || got.AccountID != "111122223333" ||
		!got.Expires.Equal(want.Expires.Truncate(time.Second)) {
		t.Errorf("the SDK read %s, expiry %s", got.AccessKeyID, got.Expires)
	}
}

// awsCLI runs the stock aws command.
func awsCLI(t *testing.T, env []string, args ...string) string {
	t.Helper()
	aws := outside.Program(t, "aws", "awscli")
	c := exec.CommandContext(t.Context(), aws, args...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true"}, env...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// callerIdentity answers GetCallerIdentity, and keeps what it was called with.
func callerIdentity(t *testing.T) (url string, header func() http.Header) {
	t.Helper()
	seen := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.Header().Set("Content-Type", "text/xml")
		io.WriteString(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
			`<Arn>arn:aws:sts::111122223333:assumed-role/Developer/alice</Arn><UserId>AROAEXAMPLE:alice</UserId><Account>111122223333</Account>`+
			`</GetCallerIdentityResult></GetCallerIdentityResponse>`)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() http.Header { return <-seen }
}

func checkSigned(t *testing.T, h http.Header) {
	t.Helper()
	scope := "Credential=" + example().AccessKeyID + "/"
	if auth := h.Get("Authorization"); !strings.Contains(auth, scope) || !strings.Contains(auth, "/eu-west-1/sts/") {
		t.Errorf("Authorization = %q, want %s and the region", auth, scope)
	}
	if got := h.Get("X-Amz-Security-Token"); got != string(example().SessionToken) {
		t.Errorf("X-Amz-Security-Token = %q", got)
	}
}

func TestTheStockCLIReadsTheINIFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte(render(t, gatehouse.FormINI, example(), all()).Body), 0o600); err != nil {
		t.Fatal(err)
	}
	url, header := callerIdentity(t)
	env := []string{"AWS_SHARED_CREDENTIALS_FILE=" + path, "AWS_CONFIG_FILE=" + path + ".none", "AWS_ENDPOINT_URL_STS=" + url}
	awsCLI(t, env, "sts", "get-caller-identity", "--profile", all().Profile)
	checkSigned(t, header())
	got := awsCLI(t, env, "configure", "get", "aws_secret_access_key", "--profile", all().Profile)
	if strings.TrimSpace(got) != string(example().SecretAccessKey) {
		t.Errorf("aws configure get aws_secret_access_key = %q", got)
	}
}

func TestTheStockCLIReadsTheVariables(t *testing.T) {
	o := all()
	url, header := callerIdentity(t)
	o.STSEndpoint = url
	var env []string
	for _, v := range variables(example(), o) {
		env = append(env, v.name+"="+v.value)
	}
	awsCLI(t, env, "sts", "get-caller-identity")
	checkSigned(t, header())
}

func TestTheStockCLIRunsTheCredentialProcess(t *testing.T) {
	dir := t.TempDir()
	creds, config := filepath.Join(dir, "creds.json"), filepath.Join(dir, "config")
	url, header := callerIdentity(t)
	for path, body := range map[string]string{
		creds:  render(t, gatehouse.FormJSON, example(), all()).Body,
		config: "[default]\nregion = eu-west-1\ncredential_process = cat " + creds + "\n",
	} {
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	awsCLI(t, []string{"AWS_CONFIG_FILE=" + config, "AWS_ENDPOINT_URL_STS=" + url}, "sts", "get-caller-identity")
	checkSigned(t, header())
}
