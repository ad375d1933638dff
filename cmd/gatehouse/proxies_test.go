package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/outside"
)

// shipped is a file of deploy/, changed as the test's machine wants it. A
// change that finds nothing fails.
func shipped(t testing.TB, name string, edits ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(string(text), edits[i]) {
			t.Fatalf("deploy/%s has no %q", name, edits[i])
		}
	}
	return strings.NewReplacer(edits...).Replace(string(text))
}

// caddy is the shipped Caddyfile before one replica, without the ACME of a
// real name and the port 80 that goes with it.
func (f *fleet) caddy(t testing.TB) string {
	dir := filepath.Dir(f.config)
	return outside.StartCaddy(t, shipped(t, "Caddyfile", "{\n\tservers {", "{\n\tadmin off\n\tauto_https disable_redirects\n\tservers {",
		"\naws.corp.example.com {", "\nhttps://aws.corp.example.com:PORT {\n\tbind 127.0.0.1\n\ttls "+dir+"/tls.crt "+dir+"/tls.key",
		"reverse_proxy 127.0.0.1:8443", "reverse_proxy "+f.replicas[0].address))
}

// haproxy is the shipped haproxy.cfg before one replica.
func (f *fleet) haproxy(t testing.TB) string {
	t.Helper()
	dir := filepath.Dir(f.config)
	var pair []byte
	for _, name := range []string{"tls.crt", "tls.key"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		pair = append(pair, text...)
	}
	pem := f.write(t, "pair.pem", string(pair))
	return outside.StartHAProxy(t, shipped(t, "haproxy.cfg", "bind :443 ", "bind ADDRESS ", "/etc/haproxy/aws.corp.example.com.pem", pem,
		"server one 10.0.0.11:8443 check", "server one "+f.replicas[0].address+" check", "\tserver two 10.0.0.12:8443 check\n", ""))
}

// by asks by way of a proxy.
func (f *fleet) by(t testing.TB, proxy, method, path, body string, chunked bool, headers ...string) (*http.Response, string) {
	t.Helper()
	var in io.Reader
	if chunked {
		in = io.MultiReader(strings.NewReader(body)) // of a length that nobody knows
	} else if body != "" {
		in = bytes.NewReader([]byte(body))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "https://aws.corp.example.com"+path, in)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = []string{headers[i+1]}
	}
	way := f.way(proxy)
	defer way.CloseIdleConnections()
	res, err := way.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// Each proxy runs with the file that is shipped for it, before a real replica.
func TestTheShippedProxiesPassOnWhatClientsSend(t *testing.T) {
	t.Parallel()
	f := muster(t, 1)
	_, tokens := f.letIn(t, f.signIn(t))
	const keys = "/sso/federation/credentials?account_id=111122223333&role_name=Developer"
	proxies := map[string]string{"nginx": f.nginx, "caddy": f.caddy(t), "haproxy": f.haproxy(t)}
	for name, proxy := range proxies {
		t.Run(name, func(t *testing.T) {
			want := func(what string, status int, text string, res *http.Response, body string) {
				t.Helper()
				if res.StatusCode != status || !strings.Contains(body, text) {
					t.Errorf("%s: %d %.300s, want %d with %q", what, res.StatusCode, body, status, text)
				}
			}
			res, body := f.by(t, proxy, "GET", keys, "", false, "x-amz-sso_bearer_token", tokens.text("accessToken"))
			want("the token of AWS's clients", 200, "secretAccessKey", res, body)
			res, body = f.by(t, proxy, "POST", "/oidc/client/register", `{"clientName":"chunks","clientType":"public"}`, true)
			want("a body in chunks", 200, "clientSecret", res, body)
			res, body = f.by(t, proxy, "GET", authnRequest("_long")+"&SigAlg="+strings.Repeat("a", 20_000), "", false)
			if res.StatusCode == http.StatusRequestURITooLong || res.StatusCode == http.StatusRequestHeaderFieldsTooLarge || res.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("a long address never arrived: %d %.200s", res.StatusCode, body)
			}
			res, _ = f.by(t, proxy, "GET", "/readyz", "", false)
			want("readiness, from outside", 404, "", res, "")
			res, _ = f.by(t, proxy, "HEAD", "/start", "", false)
			want("the start URL", 302, "", res, "")
			if to := res.Header.Get("Location"); to != startAlias {
				t.Errorf("the start URL leads to %q", to)
			}
			f.seenAs(t, proxy, name)
		})
	}
	t.Run("nginx without its line", func(t *testing.T) {
		site := strings.Replace(f.site(t, []string{"server " + f.replicas[0].address + ";"}), "underscores_in_headers on;", "", 1)
		res, body := f.by(t, outside.StartNginx(t, site), "GET", keys, "", false, "x-amz-sso_bearer_token", tokens.text("accessToken"))
		if res.StatusCode != 401 || !strings.Contains(body, "underscores_in_headers on;") || res.Header.Get("x-amzn-ErrorType") != "UnauthorizedException" {
			t.Errorf("the answer is %d %s, want one that names the line", res.StatusCode, body)
		}
	})
}

const startAlias = "https://gatehouse.awsapps.com/start"

// seenAs is where Gatehouse says that a client is who claims to be elsewhere.
// The proxy and the client share an address that is trusted here, so that only
// a proxy that drops the claim shows.
func (f *fleet) seenAs(t testing.TB, proxy, name string) {
	t.Helper()
	form := url.Values{"username": {"ann"}, "password": {"wrong by " + name}}.Encode()
	f.by(t, proxy, "POST", "/login", form, false, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://aws.corp.example.com", "X-Forwarded-For", "203.0.113.99")
	e := lastEvent(t, f.store(t))
	claimed := e.IP == "203.0.113.99"
	if e.Kind != gatehouse.EventSignInRefused || net.ParseIP(e.IP) == nil || claimed != (name == "nginx") {
		t.Errorf("a client that claims to be elsewhere is on the record as %s at %s", e.Kind, e.IP)
	}
}
