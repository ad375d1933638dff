package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/demo"
	"gatehouse/internal/outside"
)

const (
	powerUser = "/roles/444455556666/PowerUser" // bob's, by a whole DN, up to two hours
	developer = "/roles/111122225555/Developer" // bob's, through nested groups
	admin     = "/roles/111122223333/Admin"     // alice's; the role itself allows an hour
)

const invalid = "Invalid username or password."

func TestWhoSignsInSeesTheirPage(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	tests := []struct {
		name, username, password string
		status                   int
		says                     []string
	}{
		{"an administrator sees a dozen accounts", "alice", demo.Password, 200, []string{"Hello, Alice", "12 accounts, 26 roles.", "Payments staging", "pay-oncall@corp.example.com"}},
		{"a developer sees two roles", "bob", demo.Password, 200, []string{"2 accounts, 2 roles.", "PowerUser", "Developer"}},
		{"somebody sees 300 roles", "carol", demo.Password, 200, []string{"60 accounts, 300 roles."}},
		{"a group in the wrong place gives nothing", "dan", demo.Password, 200, []string{"You have no roles yet", "Tell them your username: dan"}},
		{"a name with everything in it", "zoë", demo.Password, 200, []string{"Hello, Zoë", `Zoë "Zo" O'Brien, PhD`, "1 account, 1 role."}},
		{"the case of a name does not matter", "ALICE", demo.Password, 200, []string{"Hello, Alice"}},
		{"an expired password is named once it was right", "erin", demo.Password, 401, []string{"Your password has expired."}},
		{"an expired password says nothing when it was wrong", "erin", "wrong", 401, []string{invalid}},
		{"a locked account tells nothing: the directory says so to anybody", "frank", demo.Password, 401, []string{invalid}},
		{"a disabled account", "grace", demo.Password, 401, []string{"Your directory account is disabled."}},
		{"a password that must be changed", "heidi", demo.Password, 401, []string{"You must choose a new password first.", "Choose a new password"}},
		{"a wrong password", "bob", "wrong", 401, []string{invalid}},
		{"nobody of that name", "mallory", demo.Password, 401, []string{invalid}},
		{"an empty password never reaches the directory", "alice", "", 401, []string{invalid}},
		{"an empty name", "", demo.Password, 401, []string{invalid}},
		{"nothing at all", "", "", 401, []string{invalid}},
		{"64 KB of name", strings.Repeat("a", 64<<10), demo.Password, 401, []string{invalid}},
		{"a password of 64 KB", "carol", strings.Repeat("a", 64<<10), 401, []string{invalid}},
		{"a NUL in the name", "alice\x00", demo.Password, 401, []string{invalid}},
		{"a NUL in the password", "carol", demo.Password + "\x00", 401, []string{invalid}},
		{"a filter in the name", "*)(uid=*", demo.Password, 401, []string{invalid}},
		{"a filter that closes ours", "alice)(|(uid=*", demo.Password, 401, []string{invalid}},
		{"a star", "*", demo.Password, 401, []string{invalid}},
		{"the service account", "CN=gatehouse,OU=Service,DC=corp,DC=example,DC=com", demo.Password, 401, []string{invalid}},
		{"bytes that are no UTF-8", "al\xffice", demo.Password, 401, []string{invalid}},
		{"markup in the name", `"><script>alert(1)</script>`, demo.Password, 401, []string{invalid}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := g.browser(t)
			p := b.post("/login", "username", tt.username, "password", tt.password)
			p.want(t, tt.status, tt.says...)
			if tt.status == http.StatusOK {
				return
			}
			if !strings.Contains(p.body, `id="input-error"`) || strings.Contains(p.body, "<script>alert") {
				t.Errorf("the page lacks #input-error or echoes markup:\n%s", p.body)
			}
			if again := b.get("/"); again.url.Path != "/login" {
				t.Errorf("after the refusal / leads to %s, want /login", again.url)
			}
		})
	}
}

// Whether somebody exists must not show in the answer: only the reference and
// the echoed name may differ.
func TestARefusalDoesNotTellWhetherAPersonExists(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	answer := func(username string) string {
		p := g.browser(t).post("/login", "username", username, "password", "wrong")
		body := regexp.MustCompile(`<code>[^<]*</code>`).ReplaceAllString(p.body, "REFERENCE")
		return strings.ReplaceAll(body, username, "NAME")
	}
	if diff := cmp.Diff(answer("alice"), answer("aline")); diff != "" {
		t.Errorf("somebody and nobody are answered differently:\n%s", diff)
	}
}

// From being asked for a new password to working with it, as somebody clicks.
func TestANewPasswordIsChosenAndCounts(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	change := func(old, new string) page {
		return b.post("/me/password", "username", "heidi", "password", old, "new", new, "repeat", new)
	}
	b.post("/login", "username", "heidi", "password", demo.Password).want(t, 401, "Choose a new password")
	change("wrong", "an entirely new one").want(t, 401, invalid)
	change(demo.Password, "short").want(t, 422, "The directory does not take this new password.", "too short")
	change(demo.Password, "an entirely new one").want(t, 200, "Your password is changed.")
	b.post("/login", "username", "heidi", "password", demo.Password).want(t, 401, invalid)
	b.post("/login", "username", "heidi", "password", "an entirely new one").want(t, 200, "Hello, Heidi")

	b.get("/me/password").want(t, 200, "Change the password")
	b.post("/me/password", "password", "an entirely new one", "new", "yet another one", "repeat", "yet another one").want(t, 200, "Your password is changed.")
	if p := b.get("/"); p.url.Path != "/login" {
		t.Errorf("after the change / leads to %s, want /login", p.url)
	}
}

func TestGuessesBeyondTheAllowanceAreRefusedUnseen(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	for _, password := range []string{"wrong", "wrong", "wrong", "guess", "another"} { // one of them over and over costs nothing
		b.post("/login", "username", "bob", "password", password).want(t, 401, invalid)
	}
	p := b.post("/login", "username", "bob", "password", demo.Password)
	p.want(t, 429, "Too many attempts.", "Try again in")
	if p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	g.browser(t).signIn("alice") // somebody else is not held up
}

func TestEveryFormOfCredentials(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	tests := []struct {
		form gatehouse.Form
		want string
	}{
		{gatehouse.FormBash, `(?m)^export AWS_ACCESS_KEY_ID='ASIA\w{16}'$`},
		{gatehouse.FormFish, `(?m)^set -gx AWS_ACCESS_KEY_ID '?ASIA\w{16}'?;?$`},
		{gatehouse.FormPowerShell, `(?m)^\$Env:AWS_ACCESS_KEY_ID ?= ?['"]ASIA\w{16}['"]\r?$`},
		{gatehouse.FormCmd, `(?im)^set "?AWS_ACCESS_KEY_ID=ASIA\w{16}"?\r?$`},
		{gatehouse.FormINI, `(?m)^\[sandbox-poweruser\]\r?\n(.*\n)*aws_access_key_id ?= ?ASIA\w{16}$`},
		{gatehouse.FormEnv, `(?m)^AWS_ACCESS_KEY_ID='?ASIA\w{16}'?$`},
		{gatehouse.FormJSON, `"AccessKeyId": ?"ASIA\w{16}"`},
	}
	for _, tt := range tests {
		t.Run(string(tt.form), func(t *testing.T) {
			for _, download := range []string{"", "1"} {
				p := b.post(powerUser, "as", string(tt.form), "download", download, "duration", "900")
				if p.status != 200 || !regexp.MustCompile(tt.want).MatchString(p.body) {
					t.Fatalf("answered %d, no match for %s:\n%s", p.status, tt.want, p.body)
				}
				if !strings.Contains(p.body, g.AWS) && tt.form != gatehouse.FormJSON {
					t.Errorf("does not name the STS endpoint %s:\n%s", g.AWS, p.body)
				}
				if got := p.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
					t.Errorf("Cache-Control = %q", got)
				}
				if got := p.header.Get("Content-Disposition"); strings.HasPrefix(got, "attachment; filename=") != (download == "1") {
					t.Errorf("download=%q has Content-Disposition %q", download, got)
				}
			}
		})
	}
}

// process is the output of a credential_process.
type process struct {
	Version                                    int
	AccessKeyId, SecretAccessKey, SessionToken string // as the SDKs spell it
	Expiration                                 time.Time
}

func (b *browser) credentials(t testing.TB, role string, pairs ...string) process {
	t.Helper()
	p := b.post(role, append([]string{"as", "json"}, pairs...)...)
	var c process
	if err := json.Unmarshal([]byte(p.body), &c); err != nil || c.Version != 1 {
		t.Fatalf("%d: %v, version %d:\n%s", p.status, err, c.Version, p.body)
	}
	return c
}

func TestCredentialsWorkWithTheSDK(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	for role, name := range map[string]string{powerUser: "444455556666:assumed-role/PowerUser", developer: "111122225555:assumed-role/Developer"} {
		c := b.credentials(t, role, "duration", "1800")
		client := sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: awssdk.String(g.AWS),
			Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyId, c.SecretAccessKey, c.SessionToken)})
		who, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil {
			t.Fatal(err)
		}
		if want := "arn:aws:sts::" + name + "/bob-"; !strings.HasPrefix(awssdk.ToString(who.Arn), want) {
			t.Errorf("the caller is %s, want %s…", awssdk.ToString(who.Arn), want)
		}
		if left := time.Until(c.Expiration); left < 29*time.Minute || left > 31*time.Minute {
			t.Errorf("asked for half an hour, expires in %v", left)
		}
	}
}

func TestPastedIntoAShellTheStockCLIAnswers(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	cli := outside.Program(t, "aws", "awscli")
	for shell, form := range map[string]string{"bash": "bash", "fish": "fish"} {
		path := outside.Program(t, shell, shell)
		home := t.TempDir()
		script := filepath.Join(home, "paste")
		text := b.post(powerUser, "as", form).body + "\n" + cli + " sts get-caller-identity --output text --query Arn\n"
		if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, script)
		cmd.Env = append(os.Environ(), "HOME="+home, "AWS_EC2_METADATA_DISABLED=true", "NO_PROXY=127.0.0.1")
		if root := os.Getenv("PYENV_ROOT"); root == "" { // a pyenv shim looks below HOME
			cmd.Env = append(cmd.Env, "PYENV_ROOT="+filepath.Join(os.Getenv("HOME"), ".pyenv"))
		}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "arn:aws:sts::444455556666:assumed-role/PowerUser/bob-") {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}

func TestTheConsoleOpensInTheRightAccountAsTheRightPerson(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	const destination = "https://eu-central-1.console.aws.amazon.com/s3/buckets?region=eu-central-1"
	p := b.post(powerUser, "as", "console", "destination", destination, "region", "eu-central-1")
	p.want(t, 200, "Opening the AWS console")
	if got := p.header.Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("Referrer-Policy = %q: the portal's address would follow", got)
	}
	leave := p.find(t, `<meta http-equiv="refresh" content="0; url=([^"]*)"`)
	if u, err := url.Parse(leave); err != nil || u.Query().Get("Issuer") != g.url+powerUser {
		t.Errorf("the login URL's Issuer leads to %q, want %s: %v", u.Query().Get("Issuer"), g.url+powerUser, err)
	}
	console := b.get(leave)
	console.want(t, 200, "Sandbox")
	for id, want := range map[string]string{"account": "4444 5555 6666", "role": "PowerUser", "region": "eu-central-1", "destination": destination, "source-identity": "employee-1001"} {
		if got := console.find(t, `id="`+id+`"[^>]*>([^<]*)<`); strings.TrimSpace(got) != want {
			t.Errorf("the console's %s is %q, want %q", id, got, want)
		}
	}
	if got := console.find(t, `id="session-name">([^<]*)<`); !strings.HasPrefix(got, "bob-") {
		t.Errorf("session name %q", got)
	}
}

func TestABrowserMayCarryTheResponseToAWSItself(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("alice")
	p := b.post(admin, "as", "post")
	p.want(t, 200, "Signing you in")
	action := p.find(t, `<form action="([^"]*)" method="post"`)
	if action != g.AWS+"/saml" {
		t.Fatalf("the form goes to %s, want %s/saml", action, g.AWS)
	}
	console := b.post(action, "SAMLResponse", p.find(t, `name="SAMLResponse" value="([^"]*)"`), "RelayState", p.find(t, `name="RelayState" value="([^"]*)"`))
	console.want(t, 200, "1111 2222 3333", "Admin", "alice-")
}

func TestLessThanAskedForIsSaid(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("alice")
	b.post(admin, "as", "console", "duration", "14400").want(t, 200, "You asked for 4 hours; this role allows 1 hour.")
	p := b.post(admin, "as", "env", "duration", "14400")
	if got := p.header.Get("X-Gatehouse-Lowered-From"); got != "14400" {
		t.Errorf("X-Gatehouse-Lowered-From = %q", got)
	}
	if c := b.credentials(t, admin, "duration", "14400"); time.Until(c.Expiration) > time.Hour {
		t.Errorf("credentials last until %s", c.Expiration)
	}
}

// refusals are what must be refused, each with its page, its status and what
// the record says of it; the record is empty where nothing was asked of it.
var refusals = []struct {
	name   string
	role   string
	form   []string
	status int
	says   string
	reason string
}{
	{"a role of somebody else", admin, []string{"as", "console"}, 403, "You do not have this role.", "not_entitled"},
	{"a role that does not exist", "/roles/444455556666/Nothing", []string{"as", "json"}, 403, "You do not have this role.", "not_entitled"},
	{"an account that is not configured", "/roles/000000000000/Admin", []string{"as", "json"}, 403, "You do not have this role.", "not_entitled"},
	{"a destination that is not AWS's", powerUser, []string{"as", "console", "destination", "https://evil.example.com/"}, 400, "One thing needs correcting.", "invalid"},
	{"a destination that looks like AWS's", powerUser, []string{"as", "console", "destination", "https://console.aws.amazon.com.evil.example.com/"}, 400, "One thing needs correcting.", "invalid"},
	{"a destination that is a script", powerUser, []string{"as", "console", "destination", "javascript:alert(1)"}, 400, "One thing needs correcting.", "invalid"},
	{"a duration that is too short", powerUser, []string{"as", "json", "duration", "60"}, 400, "Choose between 15 minutes and 12 hours.", ""},
	{"a duration that is too long", powerUser, []string{"as", "json", "duration", "43201"}, 400, "Choose between 15 minutes and 12 hours.", ""},
	{"a duration that is negative", powerUser, []string{"as", "json", "duration", "-900"}, 400, "Choose between 15 minutes and 12 hours.", ""},
	{"a duration that is no number", powerUser, []string{"as", "json", "duration", "1h"}, 400, "Choose between 15 minutes and 12 hours.", ""},
	{"a form that does not exist", powerUser, []string{"as", "xml"}, 400, "Choose a console or one of the forms", ""},
	{"no form", powerUser, nil, 400, "Choose a console or one of the forms", ""},
	{"a region with a slash", powerUser, []string{"as", "json", "region", "eu-west-1/../x"}, 400, "Write the region as AWS does", ""},
	{"a profile that would begin another section", powerUser, []string{"as", "ini", "profile", "a]\n[b"}, 400, "One thing needs correcting.", ""},
}

func TestWhatMayNotBeAskedForIsRefusedAndOnTheRecord(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	s := record(t, g.cfg, nil)
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			before := lastEvent(t, s)
			p := b.post(tt.role, tt.form...)
			p.want(t, tt.status, tt.says)
			e := lastEvent(t, s)
			if tt.reason == "" {
				if e.ID != before.ID {
					t.Errorf("the record got %s %s", e.Kind, e.Reason)
				}
				return
			}
			if e.Kind != gatehouse.EventRefused || e.Reason != tt.reason || e.Username != "bob" || e.RequestID == "" || e.AccessKeyID != "" {
				t.Errorf("the record says %+v", e)
			}
			if !strings.Contains(p.body, e.RequestID) {
				t.Errorf("the page does not carry the reference %s", e.RequestID)
			}
		})
	}
}

// cookie sets the session's cookie by hand.
func (b *browser) cookie(value string) {
	u, _ := url.Parse(b.base)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "gatehouse", Value: value, Path: "/"}})
}

func TestCookiesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	for name, value := range map[string]string{
		"of our shape": "AAAAAAAAAAAAAAAAAAAAAAAAAA", "a guess": "admin", "empty": "", "long": strings.Repeat("A", 4000), "a filter": "*)(uid=*",
	} {
		b := g.browser(t)
		b.cookie(value)
		if p := b.get("/"); p.status != 200 || p.url.Path != "/login" {
			t.Errorf("a cookie that is %s leads to %d %s", name, p.status, p.url)
		}
		if p := b.post(powerUser, "as", "json"); p.url.Path != "/login" || strings.Contains(p.body, "ASIA") {
			t.Errorf("a cookie that is %s gets %d %s:\n%s", name, p.status, p.url, p.text())
		}
	}
}

func TestASessionThatIsOverIsOver(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	u, _ := url.Parse(g.url)
	kept := b.client.Jar.Cookies(u)[0].Value
	// Another replica, two hours from now, removes what has expired by then.
	later := record(t, g.cfg, func() time.Time { return time.Now().Add(2 * time.Hour) })
	if n, err := later.Sweep(t.Context()); err != nil || n == 0 {
		t.Fatalf("swept %d rows, %v", n, err)
	}
	if p := b.get("/"); p.url.Path != "/login" {
		t.Errorf("an expired session leads to %s", p.url)
	}
	b.signIn("bob")
	if b.client.Jar.Cookies(u)[0].Value == kept {
		t.Error("the name of the session stayed the same over a sign-in")
	}
	stolen := b.client.Jar.Cookies(u)[0].Value
	b.post("/logout").want(t, 200, "You are signed out.")
	thief := g.browser(t)
	thief.cookie(stolen)
	if p := thief.get("/"); p.url.Path != "/login" {
		t.Errorf("a session that was signed out leads to %s", p.url)
	}
}

func TestRequestsFromElsewhere(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	b.header.Set("Sec-Fetch-Site", "cross-site")
	b.post(powerUser, "as", "json").want(t, 403, "This came from another site.")
	b.header.Del("Sec-Fetch-Site")
	b.header.Set("Origin", "https://evil.example.com")
	b.post(powerUser, "as", "json").want(t, 403, "This came from another site.")
	b.header.Del("Origin")
	b.header.Set("Host", "evil.example.com")
	b.get("/login").want(t, 421, "This is not the address of this portal.")
	b.post(powerUser, "as", "json").want(t, 421)
}

func TestEverythingIsOnTheRecordBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	s := record(t, g.cfg, nil)
	b := g.browser(t)
	steps := []struct {
		act  func() page
		want gatehouse.Event
	}{
		{func() page { return b.post("/login", "username", "mallory", "password", "x") }, gatehouse.Event{Kind: "signin.refused", Reason: "unknown"}},
		{func() page { return b.post("/login", "username", "bob", "password", "wrong") }, gatehouse.Event{Kind: "signin.refused", Reason: "wrong_password", Username: "bob"}},
		{func() page { return b.post("/login", "username", "erin", "password", demo.Password) }, gatehouse.Event{Kind: "signin.refused", Reason: "password_expired", Username: "erin"}},
		{func() page { return b.post("/login", "username", "frank", "password", demo.Password) }, gatehouse.Event{Kind: "signin.refused", Reason: "locked_out", Username: "frank"}},
		{func() page { return b.signIn("bob") }, gatehouse.Event{Kind: "signin.accepted", Username: "bob"}},
		{func() page { return b.post(powerUser, "as", "console") }, gatehouse.Event{Kind: "granted", Username: "bob", Form: "console", Duration: 2 * time.Hour}},
		{func() page { return b.post(powerUser, "as", "post") }, gatehouse.Event{Kind: "granted", Username: "bob", Form: "post", Duration: 2 * time.Hour}},
		{func() page { return b.post(developer, "as", "json", "duration", "900") }, gatehouse.Event{Kind: "granted", Username: "bob", Form: "json", Duration: 15 * time.Minute}},
		{func() page { return b.post(admin, "as", "json") }, gatehouse.Event{Kind: "refused", Username: "bob", Form: "json", Reason: "not_entitled"}},
		{func() page { return b.post("/logout") }, gatehouse.Event{Kind: "signout", Username: "bob"}},
	}
	for i, step := range steps {
		p := step.act()
		e := lastEvent(t, s)
		got := gatehouse.Event{Kind: e.Kind, Reason: e.Reason, Username: e.Username, Form: e.Form, Duration: e.Duration}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("step %d: the record (-want +got):\n%s", i+1, diff)
		}
		granted := e.Kind == gatehouse.EventGranted
		if granted && (e.Role == "" || len(e.Groups) == 0 || len(e.Rules) == 0 || e.SessionName == "" || e.AssertionID == "" || e.IP == "" || e.RequestID == "" || e.Person == "") {
			t.Errorf("step %d: the grant is not told in full: %+v", i+1, e)
		}
		if keyed := e.Form == "json" || e.Form == "console"; granted && keyed != (e.AccessKeyID != "" && e.AWSRequestID != "") {
			t.Errorf("step %d: key %q, AWS request %q", i+1, e.AccessKeyID, e.AWSRequestID)
		}
		if granted && e.Form == "json" && !strings.Contains(p.body, e.AccessKeyID) {
			t.Errorf("step %d: the record names another key than the person has", i+1)
		}
	}
	file := auditLines(t, g, len(steps)+2) // and the start, and the key
	for _, secret := range []string{demo.Password, "mallory", "SAMLResponse", "SecretAccessKey"} {
		if strings.Contains(strings.Join(file, "\n"), secret) || strings.Contains(g.log.String(), secret) {
			t.Errorf("%q stands in the record or the log", secret)
		}
	}
	if err := g.end(); err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(t.Context(), s)
	if err != nil || !report.OK() || report.Events < int64(len(file)) {
		t.Errorf("verification: %+v, %v", report, err)
	}
}
