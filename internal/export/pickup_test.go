package export

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
)

const aCode = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func TestPickupLinesAreRefused(t *testing.T) {
	const good = "https://aws.corp.example.com/pickup"
	for _, tt := range []struct {
		form      gatehouse.Form
		url, code string
	}{
		{gatehouse.FormBash, good, "a'; id #"},
		{gatehouse.FormBash, good, ""},
		{gatehouse.FormBash, "https://evil'$(id)/pickup", aCode},
		{gatehouse.FormBash, "https://aws.corp.example.com/pickup?x", aCode},
		{gatehouse.FormCmd, `https://a"&calc&"/pickup`, aCode},
		{gatehouse.FormJSON, good, aCode},
		{gatehouse.FormConsole, good, aCode},
	} {
		if line, err := PickupLine(tt.form, tt.url, tt.code); err == nil || line != "" {
			t.Errorf("PickupLine(%s, %q, %q) = %q, %v; want it refused", tt.form, tt.url, tt.code, line, err)
		}
	}
	if _, err := PickupLine(gatehouse.FormJSON, good, aCode); !errors.Is(err, gatehouse.ErrInvalid) {
		t.Errorf("another form: %v", err)
	}
}

func TestPickupLinesOfWindows(t *testing.T) {
	for form, want := range map[gatehouse.Form]string{
		gatehouse.FormPowerShell: "Invoke-RestMethod -Method Post -TimeoutSec 30 -Body @{as='powershell';code='" + aCode + "'} 'https://gw:8443/pickup' | Invoke-Expression",
		gatehouse.FormCmd:        `for /f "delims=" %i in ('curl -fsS -m 30 -d "as=cmd&code=` + aCode + `" "https://gw:8443/pickup"') do @%i`,
	} {
		if got, err := PickupLine(form, "https://gw:8443/pickup", aCode); err != nil || got != want {
			t.Errorf("%s: %s, %v", form, got, err)
		}
	}
	for form, want := range map[gatehouse.Form]string{
		gatehouse.FormPowerShell: "throw 'gatehouse: It is over. id x'\n",
		gatehouse.FormCmd:        "echo gatehouse: It is over. id x 1>&2& cmd /c exit 1\r\n",
	} {
		if got, ok := PickupRefusal(form, "It is over.\n'&|$(id)`x%"); got != want || !ok {
			t.Errorf("%s refuses with %q", form, got)
		}
	}
	if got, ok := PickupRefusal(PickupForm("ini"), "It is\nover."); ok || got != "gatehouse: It is over.\n" {
		t.Errorf("what no line asks for is refused with %q, %v", got, ok)
	}
}

// shellsForFiles are those that a person may paste the line for the credentials
// file into. zsh is no part of a usual Debian.
func shellsForFiles(t *testing.T) (programs []string) {
	t.Helper()
	for _, name := range []string{"bash", "dash", "fish"} {
		programs = append(programs, outside.Program(t, name, name))
	}
	if zsh, err := exec.LookPath("zsh"); err == nil {
		programs = append(programs, zsh)
	}
	return programs
}

// fileDoor answers as /pickup does, for the credentials file: keys that are
// new each time, or, in place of them, what is said.
func fileDoor(t *testing.T, said *string) (url string) {
	t.Helper()
	served := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("code") != aCode || PickupForm(r.PostFormValue("as")) != gatehouse.FormINI {
			t.Errorf("it asked for %v", r.PostForm)
		}
		served++
		text, err := Pickup(gatehouse.FormINI, gatehouse.Credentials{AccessKeyID: fmt.Sprintf("ASIA%d", served), SecretAccessKey: "s/+", SessionToken: "t",
			Expires: time.Date(2026, 11, 21, 10, 30, 0, 0, time.UTC)}, Options{Profile: "payments-admin", Region: "eu-west-1"})
		if err != nil {
			t.Error(err)
		}
		if *said != "" {
			text.Body = *said
		}
		_, _ = w.Write([]byte(text.Body))
	}))
	t.Cleanup(s.Close)
	return s.URL + "/pickup"
}

// pasteLine pastes the line for the credentials file into a shell, whose home
// is home, and returns what the person sees.
func pasteLine(t *testing.T, shell, home, url string, env ...string) (seen string, failed bool) {
	t.Helper()
	line, err := PickupLine(gatehouse.FormINI, url, aCode)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), shell, "-c", "umask 022; "+line)
	c.Env, c.Dir = append([]string{"PATH=/usr/bin:/bin", "HOME=" + home}, env...), home
	out, err := c.CombinedOutput()
	return string(out), err != nil
}

const others = "; the team's\n[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = w%s\\n\n"

// A file in which a section stands twice, AWS's tools do not read at all.
func TestAPickupLineReplacesTheSection(t *testing.T) {
	aws := outside.Program(t, "aws", "awscli")
	const ours = "[payments-admin]\naws_access_key_id = ASIA%d\naws_secret_access_key = s/+\naws_session_token = t\nregion = eu-west-1\n"
	const head = "# Gatehouse: temporary AWS credentials until 2026-11-21T10:30:00Z\n"
	twice := func(n int) string { return head + fmt.Sprintf(ours, n) }
	files := []struct{ name, before, after string }{
		{"none yet", "", "@"},
		{"others' only", others, others + "\n@"},
		{"an end without a line end", "[work]\nregion = eu-west-2", "[work]\nregion = eu-west-2\n\n@"},
		{"between others, with a comment of who comes next", others + "[ payments-admin ]\naws_access_key_id=OLD\n  x\n\n# next\r\n[old]\r\nregion = a\r\n",
			others + "@\n# next\r\n[old]\r\nregion = a\r\n"},
		{"twice, as what was added to it comes to", "[payments-admin]\na = b\n" + others + twice(7) + twice(8), "@" + others},
		{"a name that is longer", "[payments-admin-2]\nregion = a\n\n" + head + "[payments]\nregion = b\n", "[payments-admin-2]\nregion = a\n\n" + head + "[payments]\nregion = b\n\n@"},
	}
	for i, shell := range shellsForFiles(t) {
		for _, f := range files {
			t.Run(filepath.Base(shell)+" and a file that has "+f.name, func(t *testing.T) {
				said := ""
				home, url := t.TempDir(), fileDoor(t, &said)
				file := filepath.Join(home, ".aws", "credentials")
				if f.before != "" {
					writeFile(t, file, f.before)
				}
				for n := range 2 {
					if seen, failed := pasteLine(t, shell, home, url); failed || seen != "gatehouse: wrote payments-admin to "+file+"\n" {
						t.Fatalf("the line says %q, failed %v", seen, failed)
					}
					want := strings.Replace(f.after, "@", twice(n+1), 1)
					if got, err := os.ReadFile(file); err != nil || string(got) != want {
						t.Errorf("time %d leaves\n%s\nwant\n%s (%v)", n+1, got, want, err)
					}
				}
				wantPrivate(t, file)
				if i == 0 && strings.HasPrefix(f.name, "twice") {
					c := exec.CommandContext(t.Context(), aws, "configure", "get", "aws_access_key_id", "--profile", "payments-admin")
					c.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home}
					if out, err := c.CombinedOutput(); err != nil || string(out) != "ASIA2\n" {
						t.Errorf("the AWS CLI reads %q (%v)", out, err)
					}
				}
			})
		}
	}
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantPrivate holds the folder to the file alone, and the file to its owner.
func wantPrivate(t *testing.T, file string) {
	t.Helper()
	info, err := os.Lstat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%s is %v (%v)", file, info, err)
	}
	if all, err := os.ReadDir(filepath.Dir(file)); err != nil || len(all) != 1 {
		t.Errorf("beside it is %v (%v)", all, err)
	}
}

// What stands in the file stays there, whatever becomes of the line.
func TestAPickupLineThatFailsLeavesTheFile(t *testing.T) {
	refusal, _ := PickupRefusal(gatehouse.FormINI, "This line was used or is over.")
	half, err := Pickup(gatehouse.FormINI, gatehouse.Credentials{AccessKeyID: "ASIA1", SecretAccessKey: "s", SessionToken: "t", Expires: time.Unix(0, 0)}, Options{Profile: "payments-admin"})
	if err != nil {
		t.Fatal(err)
	}
	cut := half.Body[:strings.Index(half.Body, "aws_session_token")]
	for _, shell := range shellsForFiles(t) {
		for _, tt := range []struct{ name, answer, url, says string }{
			{"it was used", refusal, "", "gatehouse: This line was used or is over.\n"},
			{"nobody answers", "", "http://127.0.0.1:1/pickup", "curl: "},
			{"the answer breaks off", cut, "", "yntax error"},
		} {
			t.Run(filepath.Base(shell)+": "+tt.name, func(t *testing.T) {
				home := t.TempDir()
				file := filepath.Join(home, ".aws", "credentials")
				writeFile(t, file, others)
				url := cmp.Or(tt.url, fileDoor(t, &tt.answer))
				if seen, failed := pasteLine(t, shell, home, url); !failed || !strings.Contains(seen, tt.says) || tt.answer == refusal && seen != tt.says {
					t.Errorf("the line says %q, failed %v; want %q", seen, failed, tt.says)
				}
				if got, err := os.ReadFile(file); err != nil || string(got) != others {
					t.Errorf("the file is %q (%v)", got, err)
				}
			})
		}
	}
}

// Where the file is, others may have said: a link to where somebody keeps
// their settings, or the variable that AWS's tools read.
func TestAPickupLineFindsTheFile(t *testing.T) {
	outside.Program(t, "curl", "curl")
	said := ""
	url := fileDoor(t, &said)
	home := t.TempDir()
	kept := filepath.Join(home, "settings", "aws credentials")
	writeFile(t, kept, others)
	if err := os.Mkdir(filepath.Join(home, ".aws"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(home, ".aws", "credentials")
	if err := os.Symlink("../settings/aws credentials", link); err != nil {
		t.Fatal(err)
	}
	if seen, failed := pasteLine(t, "bash", home, url); failed {
		t.Fatal(seen)
	}
	wantPrivate(t, kept)
	if to, err := os.Readlink(link); err != nil || to != "../settings/aws credentials" {
		t.Errorf("the link leads to %q (%v)", to, err)
	}
	for _, file := range []string{"~/elsewhere/credentials", "elsewhere/a=b"} {
		if seen, failed := pasteLine(t, "bash", home, url, "AWS_SHARED_CREDENTIALS_FILE="+file); failed {
			t.Fatal(seen)
		}
		where := filepath.Join(home, strings.TrimPrefix(file, "~/"))
		wantPrivate(t, where)
		if err := os.Remove(where); err != nil {
			t.Error(err)
		}
	}
	if err := os.Symlink("round", filepath.Join(home, "round")); err != nil {
		t.Fatal(err)
	}
	if seen, failed := pasteLine(t, "bash", home, url, "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "round")); !failed {
		t.Errorf("into a link that leads round: %s", seen)
	}
}

// A person's shell must have the keys after the line, or say why not and fail.
func TestPickupLinesInRealShells(t *testing.T) {
	outside.Program(t, "curl", "curl")
	shells := []struct {
		form          gatehouse.Form
		program, then string
	}{
		{gatehouse.FormBash, "bash", `; echo "$? $AWS_ACCESS_KEY_ID"`},
		{gatehouse.FormFish, "fish", `; echo "$status $AWS_ACCESS_KEY_ID"`},
	}
	for _, sh := range shells {
		refusal, _ := PickupRefusal(sh.form, "This line was used or is over. $(id) 'x'")
		answers := []struct {
			name   string
			status int
			body   string
			out    string
			stderr string
		}{
			{"the keys", 200, mustRender(t, sh.form), "0 ASIAQ3EGXAMPLE7KWZ2M\n", ""},
			{"a refusal", 200, refusal, "1 \n", "gatehouse: This line was used or is over. id x\n"},
			{"a page of a proxy's, which must not be run", 502, "echo run", "1 \n", "502"},
			{"nobody", 0, "", "1 \n", "curl: "},
		}
		for _, tt := range answers {
			t.Run(sh.program+" is answered with "+tt.name, func(t *testing.T) {
				program := outside.Program(t, sh.program, sh.program)
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != "POST" || r.PostFormValue("code") != aCode || r.PostFormValue("as") != string(sh.form) {
						t.Errorf("it asked %s %v", r.Method, r.PostForm)
					}
					w.WriteHeader(tt.status)
					_, _ = w.Write([]byte(tt.body))
				}))
				url := s.URL + "/pickup"
				if tt.status == 0 {
					s.Close()
				} else {
					defer s.Close()
				}
				line, err := PickupLine(sh.form, url, aCode)
				if err != nil {
					t.Fatal(err)
				}
				var out, stderr strings.Builder
				c := exec.CommandContext(t.Context(), program, "-c", line+sh.then)
				c.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}
				c.Stdout, c.Stderr = &out, &stderr
				if err := c.Run(); err != nil {
					t.Errorf("%v", err)
				}
				if out.String() != tt.out || !strings.Contains(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
					t.Errorf("%s\nsays %q and %q, want %q and %q", line, out.String(), stderr.String(), tt.out, tt.stderr)
				}
			})
		}
	}
}

func mustRender(t *testing.T, form gatehouse.Form) string {
	t.Helper()
	text, err := Render(form, gatehouse.Credentials{AccessKeyID: "ASIAQ3EGXAMPLE7KWZ2M", SecretAccessKey: "s/+", SessionToken: "t",
		Expires: time.Date(2026, 11, 21, 10, 30, 0, 0, time.UTC)}, Options{Scope: "read-only"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.Body, "limited to read-only,") {
		t.Errorf("the limits are not named in %s", text.Body)
	}
	return text.Body
}
