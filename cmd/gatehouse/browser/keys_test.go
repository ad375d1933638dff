package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var keysWalks = []walk{
	{"credentials are asked for once, and shown in every form with their secrets masked", keysShown},
	{"Copy puts what is masked on the clipboard, and it works in bash", keysCopied},
	{"without a clipboard Copy shows and marks the text", func(t *testing.T, w *world) {
		b := w.browser(t)
		b.permit("clipboard-write", browser.PermissionSettingDenied)
		b.signIn("bob").open(powerUser).get()
		b.click("[data-copy]")
		b.until("the advice", `document.querySelector("[data-copy]").innerText === "Press Ctrl+C"`)
		if got := eval[string](b, "getSelection().toString()"); !strings.Contains(got, "export AWS_SESSION_TOKEN='") || strings.Contains(got, "•") {
			t.Errorf("marked is %q, want the whole text, unmasked", got)
		}
	}},
	{"Download saves the file under its name", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob")
		files := b.downloads()
		b.open(powerUser).get()
		b.click("#tab-ini")
		b.click("[data-download]")
		text := b.file(filepath.Join(files, "credentials.ini"))
		if !strings.Contains(text, "[sandbox-poweruser]\naws_access_key_id = ASIA") || strings.Contains(text, "•") {
			t.Errorf("the file holds %q", text)
		}
	}},
	{"more hours than the role allows are lowered, and the page says so", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("alice").open("/roles/222233335555/Admin") // AWS's word on another is known by now
		b.wants("#cap", "Your access to this role is limited to 4 hours.")
		b.pick("#duration", "4 hours")
		b.get()
		b.wants("[data-lowered]", "You asked for 4 hours; this role allows 1 hour.")
		if left := b.text("[data-left]"); !regexp.MustCompile(`^(1:00:00|59:\d\d)$`).MatchString(left) {
			t.Errorf("left is %q, want about an hour", left)
		}
	}},
	{"what is chosen goes into the credentials, and Enter asks for them", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser)
		b.retype("#region", "eu-south-1")
		b.retype("#profile", "mine")
		b.press(kb.Enter)
		b.until("the credentials", shown)
		b.click("#tab-ini")
		b.wants("[data-text]", "[mine]", "region = eu-south-1")
		b.retype("#profile", "other")
		b.wants("[data-changed]", "You changed something.")
	}},
	{"what cannot be is refused where it stands", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser)
		b.watch.allows("status of 400")
		b.retype("#region", "nowhere")
		b.click("[data-get]")
		b.until("the refusal", `!document.querySelector("[data-problem]").hidden`)
		b.wants("[data-problem]", "Write the region as AWS does, for example eu-west-1.", "Reference")
		b.retype("#region", "eu-west-1")
		b.get()
		if b.count("[data-problem]") != 0 {
			t.Error("the refusal is still there")
		}
	}},
	{"the form that was used last is there next time", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser).get()
		b.click("#tab-powershell")
		b.open(developer).get()
		b.wants("[aria-selected=true]", "PowerShell")
		b.wants("[data-text]", "$Env:AWS_ACCESS_KEY_ID")
	}},
	{"credentials that have ended are gone from the page", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser).get()
		eval[bool](b, "const now = Date.now; Date.now = () => now() + 3540e3, true")
		b.until("the last minute", `/^(0:\d\d|1:00)$/.test(document.querySelector("[data-left]").innerText)`)
		eval[bool](b, "Date.now = () => now() + 3700e3, true")
		b.until("the end", `document.querySelector("[data-result]").hidden`)
		b.wants("[data-problem]", "These credentials have expired.")
		if text := eval[string](b, `document.querySelector("[data-text]").textContent`); text != "" {
			t.Errorf("the page still holds %q", text)
		}
	}},
	{"a session that ended elsewhere leads to the sign-in and back", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser)
		b.watch.allows(refused)
		call(b, network.DeleteCookies, network.DeleteCookiesParams{Name: "gatehouse", URL: w.Portal})
		b.click("[data-get]")
		b.until("the refusal", `document.querySelector("[data-problem] a")`)
		b.wants("[data-problem]", "You are signed out.")
		b.retype("#profile", "typed")
		b.click("[data-get]")
		b.until("the way back with what was typed", `document.querySelector("[data-problem] a").href.includes("typed")`)
		b.goes(func() { b.click("[data-problem] a") })
		b.signIn("bob")
		b.wants("h1", "Sandbox · PowerUser")
		if got := b.value("#profile"); got != "typed" {
			t.Errorf("after the sign-in the profile is called %q", got)
		}
	}},
	{"a portal that cannot be reached is said to be that", func(t *testing.T, w *world) {
		b := w.browser(t).signIn("bob").open(powerUser)
		b.watch.allows("ERR_INTERNET_DISCONNECTED")
		b.offline(true)
		b.click("[data-get]")
		b.until("the refusal", `!document.querySelector("[data-problem]").hidden`)
		b.wants("[data-problem]", "No answer.", "Check your connection")
		b.offline(false)
		b.get()
	}},
	{"without scripts each form has a button, and shows the text", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		b.signIn("bob").open(powerUser)
		for form, want := range map[string]string{
			"bash": "export AWS_ACCESS_KEY_ID='ASIA", "fish": "set -gx AWS_ACCESS_KEY_ID 'ASIA", "powershell": "$Env:AWS_ACCESS_KEY_ID",
			"cmd": "set \"AWS_ACCESS_KEY_ID=ASIA", "ini": "aws_session_token = ", "env": "AWS_ACCESS_KEY_ID=", "json": `"Version":1`,
		} {
			c := b.opens(func() { b.click("button[value=" + form + "]") })
			c.wants("body", want)
		}
	}},
	{"without scripts a form is saved as a file", func(t *testing.T, w *world) {
		b := w.browser(t).withoutScripts()
		files := b.signIn("bob").downloads()
		b.open(powerUser)
		b.click("[name=download]")
		b.click("button[value=json]")
		var process struct {
			AccessKeyID string `json:"AccessKeyId"`
		}
		if text := b.file(filepath.Join(files, "aws-credentials.json")); json.Unmarshal([]byte(text), &process) != nil || !strings.HasPrefix(process.AccessKeyID, "ASIA") {
			t.Errorf("the file holds %q", text)
		}
	}},
}

// shown is true once the role page shows credentials.
const shown = `!document.querySelector("[data-result]").hidden && document.querySelector("[data-text]").innerText`

// get asks for credentials, as a person does.
func (b *tab) get() *tab {
	b.t.Helper()
	b.click("[data-get]")
	b.until("the credentials", shown)
	return b
}

func keysShown(t *testing.T, w *world) {
	b := w.browser(t).signIn("bob")
	b.goes(func() { b.click(`.pair a[aria-label="Keys Developer in Payments development"]`) })
	b.wants("h1", "Payments development · Developer")
	if n := b.count("[data-result]") + b.count("[data-expiry]") + b.count("[data-plain]"); n != 0 {
		t.Errorf("%d parts are shown before there is anything to show", n)
	}
	b.get()
	b.wants("[data-text]", "export AWS_ACCESS_KEY_ID='ASIA", "export AWS_SECRET_ACCESS_KEY='••••", "export AWS_SESSION_TOKEN='••••",
		"export AWS_REGION='eu-west-1'", "export AWS_ENDPOINT_URL_STS='"+w.AWS+"'")
	id := regexp.MustCompile(`ASIA\w+`).FindString(b.text("[data-text]"))
	for form, want := range map[string]string{"fish": "set -gx AWS_SESSION_TOKEN '••••", "powershell": "$Env:AWS_SESSION_TOKEN", "cmd": "set \"AWS_SESSION_TOKEN=••••",
		"ini": "aws_session_token = ••••", "env": "AWS_SESSION_TOKEN=", "json": `"SessionToken":"••••`} {
		b.click("#tab-" + form)
		b.wants("[data-text]", want, id, "••••••••")
	}
	b.press(kb.Home)
	b.wants("[aria-selected=true]", "macOS and Linux")
	b.press(kb.ArrowRight)
	b.wants("[aria-selected=true]", "fish")
	b.press(kb.ArrowLeft)
	b.click("[data-show]")
	if text := b.text("[data-text]"); strings.Contains(text, "•") || !regexp.MustCompile(`SECRET_ACCESS_KEY='[\w+/=]{40}'`).MatchString(text) {
		t.Errorf("after Show the page says %q", text)
	}
	b.click("[data-show]")
	b.wants("[data-text]", "AWS_SECRET_ACCESS_KEY='••••")
	b.wants("[data-expiry]", "Expires", ":")
	before := b.text("[data-left]")
	b.until("the clock to move", `document.querySelector("[data-left]").innerText !== "`+before+`"`)
	b.wants(".note:last-child", "Treat these like your password.", "on your history")
}

func keysCopied(t *testing.T, w *world) {
	b := w.browser(t)
	b.permit("clipboard-read", browser.PermissionSettingGranted)
	b.permit("clipboard-write", browser.PermissionSettingGranted)
	b.signIn("bob").open(powerUser).get()
	b.click("[data-copy]")
	b.until("the copy", `document.querySelector("[data-copy]").innerText === "Copied"`)
	text := eval[string](b, "navigator.clipboard.readText()")
	arn := identify(t, w, pasted(t, text, "env"))
	if !regexp.MustCompile(`^arn:aws:sts::444455556666:assumed-role/PowerUser/bob-\w+$`).MatchString(arn) {
		t.Errorf("AWS takes the credentials for %s", arn)
	}
	if _, err := exec.LookPath("aws"); err != nil {
		t.Log("skipped: the aws command is not here; the SDK has judged")
		return
	}
	if said := pasted(t, text, "aws sts get-caller-identity --query Arn --output text"); strings.TrimSpace(said) != arn {
		t.Errorf("aws sts get-caller-identity says %q, want %s", said, arn)
	}
}

// pasted is what a bash prints for a command after the text was pasted.
func pasted(t *testing.T, text, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bash := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	bash.Stdin = strings.NewReader(text + "\n" + command + "\n")
	nothing := filepath.Join(t.TempDir(), "nothing")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") {
			bash.Env = append(bash.Env, v)
		}
	}
	bash.Env = append(bash.Env, "AWS_CONFIG_FILE="+nothing, "AWS_SHARED_CREDENTIALS_FILE="+nothing, "AWS_EC2_METADATA_DISABLED=true")
	var stderr bytes.Buffer
	bash.Stderr = &stderr
	out, err := bash.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("bash, %s: %v\n%s", command, err, stderr.String())
	}
	return string(out)
}

// identify is whom STS takes an environment's credentials for.
func identify(t *testing.T, w *world, environment string) string {
	t.Helper()
	v := map[string]string{}
	for line := range strings.Lines(environment) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			v[name] = value
		}
	}
	if v["AWS_ENDPOINT_URL_STS"] != w.AWS {
		t.Errorf("AWS_ENDPOINT_URL_STS is %q, want %s", v["AWS_ENDPOINT_URL_STS"], w.AWS)
	}
	client := sts.New(sts.Options{Region: v["AWS_REGION"], BaseEndpoint: aws.String(w.AWS),
		Credentials: credentials.NewStaticCredentialsProvider(v["AWS_ACCESS_KEY_ID"], v["AWS_SECRET_ACCESS_KEY"], v["AWS_SESSION_TOKEN"])})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatalf("GetCallerIdentity: %v", err)
	}
	return aws.ToString(out.Arn)
}

// permit answers what the browser would ask the person.
func (b *tab) permit(what string, answer browser.PermissionSetting) {
	b.t.Helper()
	_, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: what}, Setting: answer, Origin: b.house.Portal,
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID})
	if err != nil {
		b.t.Fatalf("permission %s: %v", what, err)
	}
}

// downloads is the folder that this browser saves files to.
func (b *tab) downloads() string {
	b.t.Helper()
	dir := b.t.TempDir()
	_, err := chromedp.CallBrowser(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir,
		BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID})
	if err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// file waits for a saved file. Chromium writes to another name and renames.
func (b *tab) file(path string) string {
	b.t.Helper()
	var text []byte
	b.await("the file "+path, func(context.Context) bool {
		var err error
		text, err = os.ReadFile(path)
		return err == nil && len(text) > 0
	})
	return string(text)
}

// fileHas waits for a download that holds all parts.
func (b *tab) fileHas(path string, parts ...string) {
	b.t.Helper()
	text := b.file(path)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.t.Errorf("the file lacks %q:\n%s", part, text)
		}
	}
}

// offline cuts the tab's connection, and mends it.
func (b *tab) offline(cut bool) {
	b.t.Helper()
	conditions := []*network.Conditions{}
	if cut {
		conditions = append(conditions, &network.Conditions{Offline: true, DownloadThroughput: -1, UploadThroughput: -1})
	}
	call(b, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: conditions})
}
