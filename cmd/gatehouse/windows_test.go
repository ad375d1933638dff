package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/outside"
	"gatehouse/internal/store"
)

// windowsConfig is a company of Windows computers; its Active Directory is
// the key distribution centre too.
const windowsConfig = `public_url: https://aws.corp.example.com
listen: 127.0.0.1:0
trusted_proxies: [127.0.0.1]
tls: {cert_file: tls.crt, key_file: tls.key}
store: "%s"
secret_files: [secret.key]
directories:
  - name: corp
    type: active_directory
    urls: ["%s"]
    ca_file: ca.pem
    base_dn: DC=corp,DC=example,DC=com
    user_base_dn: OU=People,DC=corp,DC=example,DC=com
    bind_dn: %s
    bind_password_file: bind.pw
windows: {keytab_file: gatehouse.keytab, networks: [127.0.0.0/8]}
aws:
  region: eu-west-1
  accounts:
    "111122223333": {name: Payments, environment: prod}
access:
  rules:
    - under: OU=Groups,DC=corp,DC=example,DC=com
      groups: [org]
      roles: [arn:aws:iam::111122223333:role/Developer]
`

const windowsHost = "aws.corp.example.com"

// domain is two replicas of Gatehouse in a real Active Directory.
type domain struct {
	*outside.SambaAD
	dir       string
	config    string
	addresses []string
	store     *store.Store
}

// startDomain takes tickets, too. The account that they are for is made in the
// domain, once: a single test may call it.
func startDomain(t *testing.T) *domain {
	t.Helper()
	dc := outside.Samba(t)
	keytab, err := os.ReadFile(dc.Keytab(t, "svc-gatehouse", "HTTP/"+windowsHost))
	if err != nil {
		t.Fatal(err)
	}
	return openDomain(t, dc, windowsConfig, keytab)
}

// startPeople takes passwords alone.
func startPeople(t *testing.T) *domain {
	t.Helper()
	lines := slices.DeleteFunc(strings.SplitAfter(windowsConfig, "\n"), func(l string) bool { return strings.HasPrefix(l, "windows:") })
	return openDomain(t, outside.Samba(t), strings.Join(lines, ""), nil)
}

func openDomain(t *testing.T, dc *outside.SambaAD, configuration string, keytab []byte) *domain {
	t.Helper()
	d := &domain{SambaAD: dc, dir: t.TempDir()}
	cert, key := d.CA.Issue(t, time.Now().AddDate(0, 0, 30), windowsHost)
	for name, text := range map[string]string{
		"tls.crt": string(cert), "tls.key": string(key), "ca.pem": string(d.CA.PEM()), "bind.pw": outside.SambaServicePassword,
		"secret.key": strings.Repeat("0123456789abcdef", 2), "gatehouse.keytab": string(keytab),
		"gatehouse.yaml": fmt.Sprintf(configuration, outside.Postgres(t), d.LDAPS, outside.SambaServiceDN),
	} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.config = filepath.Join(d.dir, "gatehouse.yaml")
	var cfg *config.Config
	for range 2 {
		var err error
		if cfg, err = config.Load(d.config); err != nil {
			t.Fatal(err)
		}
		doors, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		d.addresses = append(d.addresses, doors.Addr().String())
		serving(t, cfg, doors, &lines{})
	}
	d.store = record(t, cfg, nil)
	return d
}

// roots trusts the domain's authority alone.
func (d *domain) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(d.CA.PEM())
	return pool
}

// answer is what curl got at last, after all redirects.
type answer struct {
	status   int
	location string // where the first answer led
	body     string
	headers  string // of all answers
	sent     string // every Authorization header, as curl -v tells them
}

// curl is `curl --negotiate -u :` at a replica, under the environment of kinit.
func (d *domain) curl(t *testing.T, replica int, env []string, path string, args ...string) answer {
	t.Helper()
	dump, jar := filepath.Join(t.TempDir(), "headers"), filepath.Join(t.TempDir(), "jar")
	args = append([]string{"--silent", "--show-error", "--verbose", "--max-time", "30", "--cacert", filepath.Join(d.dir, "ca.pem"),
		"--connect-to", windowsHost + ":443:" + d.addresses[replica], "--cookie", jar, "--cookie-jar", jar, "--dump-header", dump,
		"--write-out", "\n%{http_code}"}, args...)
	cmd := exec.Command(outside.Program(t, "curl", "curl"), append(args, "https://"+windowsHost+path)...)
	cmd.Env = env
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("curl: %v\n%s", err, errs.String())
	}
	headers, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	body, status, _ := cutLast(out.String(), "\n")
	a := answer{body: body, headers: string(headers)}
	a.status, _ = strconv.Atoi(status)
	if m := regexp.MustCompile(`(?i)\nlocation: (\S*)`).FindStringSubmatch(a.headers); m != nil {
		a.location = m[1]
	}
	if m := regexp.MustCompile(`(?i)> authorization: (Negotiate \S+)`).FindStringSubmatch(errs.String()); m != nil {
		a.sent = m[1]
	}
	return a
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

var negotiating = []string{"--negotiate", "--user", ":"}

func (d *domain) last(t *testing.T) gatehouse.Event { return lastEvent(t, d.store) }

// The real thing: Samba's key distribution centre, kinit, curl, Chromium.
func TestWindowsSignIn(t *testing.T) {
	d := startDomain(t)
	alice := d.Kinit(t, "alice", outside.SambaPassword)
	var ticket string

	t.Run("a ticket opens the portal, with the groups that the directory has", func(t *testing.T) {
		a := d.curl(t, 0, alice, "/login/windows", append(negotiating, "--location")...)
		if a.status != 200 || !strings.Contains(a.body, "Hello, <bdi>Alice</bdi>") || !strings.Contains(a.body, "Developer") {
			t.Errorf("answered %d:\n%s\n%s", a.status, a.headers, a.body)
		}
		ticket = a.sent
		if e := d.last(t); e.Kind != gatehouse.EventSignInAccepted || e.Username != "alice" || strings.Join(e.Methods, " ") != "kerberos" || e.IP != "127.0.0.1" {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("a name in capitals is the same person", func(t *testing.T) {
		a := d.curl(t, 1, d.Kinit(t, "ALICE", outside.SambaPassword), "/login/windows", append(negotiating, "--location")...)
		if a.status != 200 || !strings.Contains(a.body, "Hello, <bdi>Alice</bdi>") {
			t.Errorf("answered %d:\n%s", a.status, a.headers)
		}
	})
	t.Run("the same ticket is refused when it is sent again, to any replica", func(t *testing.T) {
		for replica := range 2 {
			a := d.curl(t, replica, alice, "/login/windows", "--header", "Authorization: "+ticket)
			if a.status != 401 || !strings.Contains(a.body, "Windows sign-in did not work.") || !strings.Contains(a.body, "<form") {
				t.Errorf("answered %d:\n%s", a.status, a.body)
			}
			if e := d.last(t); e.Reason != "ticket_replayed" {
				t.Errorf("event %+v", e)
			}
		}
	})
	t.Run("without a ticket there is the form, and no loop", func(t *testing.T) {
		a := d.curl(t, 0, d.Kinit(t, "", ""), "/login/windows", append(negotiating, "--location")...)
		if a.status != 401 || !strings.Contains(a.body, `name="password"`) || strings.Count(a.headers, "HTTP/") > 2 {
			t.Errorf("answered %d:\n%s\n%s", a.status, a.headers, a.body)
		}
	})
	t.Run("somebody in 300 groups", func(t *testing.T) {
		began := time.Now()
		a := d.curl(t, 0, d.Kinit(t, "carol", outside.SambaPassword), "/login/windows", negotiating...)
		if a.status != 303 {
			t.Errorf("answered %d:\n%s", a.status, a.headers)
		}
		t.Logf("header of %d bytes, %v with curl's own time", len(a.sent), time.Since(began).Round(time.Millisecond))
	})
	t.Run("somebody whom user_base_dn leaves out", func(t *testing.T) {
		a := d.curl(t, 0, d.Kinit(t, "Administrator", outside.SambaAdminPassword), "/login/windows", negotiating...)
		if a.status != 401 || d.last(t).Reason != "unknown" {
			t.Errorf("answered %d, event %+v", a.status, d.last(t))
		}
	})
	t.Run("somebody disabled since their ticket was issued", func(t *testing.T) {
		env := d.Kinit(t, "leaver", outside.SambaPassword)
		if a := d.curl(t, 0, env, "/login/windows", negotiating...); a.status != 303 {
			t.Fatalf("before: %d", a.status)
		}
		d.Disable(t, "leaver")
		a := d.curl(t, 0, env, "/login/windows", negotiating...)
		if a.status != 401 || !strings.Contains(a.body, "Your directory account is disabled.") || d.last(t).Reason != "disabled" {
			t.Errorf("answered %d, event %+v", a.status, d.last(t))
		}
	})
	t.Run("Chromium is signed in by itself, stays signed out after a sign-out, and asks when told to", func(t *testing.T) { d.browse(t, alice) })
	t.Run("Chromium without a ticket shows the form", func(t *testing.T) {
		w := d.chromium(t, d.Kinit(t, "", ""))
		w.opens("https://" + windowsHost + "/")
		if at, text := w.sees(); !strings.Contains(at, "/login/windows") || !strings.Contains(text, "Password") || strings.Contains(text, "did not work") {
			t.Errorf("at %s:\n%s", at, text)
		}
	})
	t.Run("check reads the keytab", func(t *testing.T) {
		var out, errs lines
		_ = run(t.Context(), []string{"check", "--config", d.config}, &out, &errs)
		if want := "HTTP/" + windowsHost + "@" + outside.SambaRealm + " version "; !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "aes256") {
			t.Errorf("check does not say %q:\n%s%s", want, &out, &errs)
		}
	})
	t.Run("a ticket under a newer key than the keytab's", func(t *testing.T) {
		d.Rekey(t, "svc-gatehouse")
		a := d.curl(t, 0, d.Kinit(t, "bob", outside.SambaPassword), "/login/windows", negotiating...)
		if a.status != 401 || d.last(t).Reason != "ticket_garbled" {
			t.Errorf("answered %d, event %+v", a.status, d.last(t))
		}
	})
}

// window is Chromium on a computer of the domain.
type window struct {
	t   *testing.T
	ctx context.Context
}

func (d *domain) chromium(t *testing.T, env []string) *window {
	t.Helper()
	// Chromium on Linux loads no Kerberos on the first challenge that it ever
	// sees; from then on it remembers to. The name to ask a ticket for is the
	// one typed: resolving it here leads to an address.
	profile := t.TempDir()
	if err := os.WriteFile(filepath.Join(profile, "Local State"), []byte(`{"net":{"received_http_auth_negotiate_headers":true},"auth":{"disable_negotiate_cname_lookup":true}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := outside.Chromium(t, chromedp.UserDataDir(profile), chromedp.Env(env...), chromedp.Flag("auth-server-allowlist", windowsHost),
		chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("host-resolver-rules", "MAP "+windowsHost+":443 "+d.addresses[0]))
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	return &window{t, ctx}
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		at, text := w.sees()
		w.t.Fatalf("%v; at %s:\n%s", err, at, text)
	}
}

func (w *window) opens(address string) { w.t.Helper(); w.do(chromedp.Navigate(address)) }

// sees is where the window is, and what it says.
func (w *window) sees() (at, text string) {
	ctx := context.WithoutCancel(w.ctx)
	at, _ = chromedp.Run(ctx, chromedp.Evaluate[string]("location.href"))
	text, _ = chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return at, text
}

func (d *domain) browse(t *testing.T, env []string) {
	w := d.chromium(t, env)
	role := "https://" + windowsHost + "/roles/111122223333/Developer"
	menu, form := chromedp.CSS(".menu summary"), chromedp.CSS("#password")
	w.opens(role)
	if at, text := w.sees(); at != role || !strings.Contains(text, "Developer") {
		t.Fatalf("at %s, want %s:\n%s", at, role, text)
	}
	w.do(chromedp.Click(menu), chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)), chromedp.WaitVisible(form))
	if at, text := w.sees(); !strings.Contains(at, "said=out") {
		t.Errorf("signed out at %s:\n%s", at, text)
	}
	w.opens(role)
	if at, text := w.sees(); !strings.Contains(at, "/login?") || !strings.Contains(text, "Use Windows sign-in") {
		t.Errorf("after a sign-out came to %s:\n%s", at, text)
	}
	w.do(chromedp.Click(chromedp.CSS(`a[href^="/login/windows"]`)), chromedp.WaitVisible(menu))
	if at, text := w.sees(); at != role {
		t.Errorf("asked for Windows sign-in and came to %s:\n%s", at, text)
	}
}
