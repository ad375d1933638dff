package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	gobuild "go/build"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/demo"
	"gatehouse/internal/outside"
)

// saml2aws is the program; .ci/install builds it.
func saml2aws(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"saml2aws", filepath.Join(gobuild.Default.GOPATH, "bin", "saml2aws")} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	outside.Missing(t, "saml2aws (Go module github.com/versent/saml2aws/v2)")
	return ""
}

// globalSTS stands for https://sts.amazonaws.com, which saml2aws calls
// whatever it is told: a proxy that leads there leads to the emulator.
func globalSTS(t testing.TB, emulator string) (proxy, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"sts.amazonaws.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(emulator)
	if err != nil {
		t.Fatal(err)
	}
	sts := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
	sts.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	sts.StartTLS()
	t.Cleanup(sts.Close)
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "sts.amazonaws.com:443" {
			http.Error(w, "not here", http.StatusForbidden)
			return
		}
		tunnel(r.Context(), w, sts.Listener.Addr().String())
	}))
	t.Cleanup(p.Close)
	return p.URL, caFile
}

func tunnel(ctx context.Context, w http.ResponseWriter, to string) {
	far, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		http.Error(w, "", http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
	_, _ = io.Copy(near, far)
}

func TestSaml2awsSignsInByThePage(t *testing.T) {
	t.Parallel()
	program := saml2aws(t)
	g := openGate(t)
	proxy, ca := globalSTS(t, g.AWS)
	login := func(password string) (home, said string, err error) {
		l := &laptop{t: t, home: t.TempDir()}
		l.write(".saml2aws", "[default]\nurl = "+g.url+"/login?next=%2Froles%2F444455556666%2FPowerUser%3Fas%3Dpost\nusername = bob\nprovider = KeyCloak\nmfa = Auto\n"+
			"aws_urn = urn:amazon:webservices\naws_session_duration = 3600\naws_profile = saml\nrole_arn = arn:aws:iam::444455556666:role/PowerUser\nregion = eu-west-1\n")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		c := exec.CommandContext(ctx, program, "--disable-keychain", "--skip-prompt", "--password", password, "login", "--force")
		c.Env = []string{"HOME=" + l.home, "PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=" + proxy, "NO_PROXY=localhost,127.0.0.1", "AWS_CA_BUNDLE=" + ca}
		out, err := c.CombinedOutput()
		if ctx.Err() != nil {
			t.Errorf("saml2aws goes on for ever:\n%.2000s", out)
		}
		return l.home, string(out), err
	}
	home, said, err := login(demo.Password)
	keys, _ := os.ReadFile(filepath.Join(home, ".aws/credentials"))
	if err != nil || !strings.Contains(string(keys), "aws_access_key_id") || !strings.Contains(string(keys), "assumed-role/PowerUser/bob-") {
		t.Fatalf("saml2aws: %v\n%s\n%s", err, said, keys)
	}
	if _, said, err := login("wrong"); err == nil {
		t.Errorf("with a wrong password:\n%s", said)
	}
	if e := lastEvent(t, record(t, g.cfg, nil)); e.Reason != "wrong_password" && e.Reason != "invalid_credentials" {
		t.Errorf("the last event is %+v", e)
	}
	g.browser(t).post("/login", "username", "dan", "password", demo.Password, "next", "/roles/444455556666/PowerUser?as=post").want(t, 403, "You do not have this role.")
}
