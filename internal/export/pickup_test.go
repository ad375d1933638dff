package export

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
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
	if got, ok := PickupRefusal(gatehouse.FormINI, "It is\nover."); ok || got != "gatehouse: It is over.\n" {
		t.Errorf("a file is refused with %q, %v", got, ok)
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
