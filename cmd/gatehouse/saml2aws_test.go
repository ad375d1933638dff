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

	"gatehouse"
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

// tool is saml2aws on a laptop, before the stand-in of the global STS.
type tool struct {
	t                  testing.TB
	program, proxy, ca string
}

func newTool(t testing.TB, g *gate) *tool {
	program := saml2aws(t)
	proxy, ca := globalSTS(t, g.AWS)
	return &tool{t, program, proxy, ca}
}

// login signs bob in at an address of ours, and returns the keys that came of it.
func (s *tool) login(provider, mfa, address, password string) (keys, said string, err error) {
	s.t.Helper()
	l := &laptop{t: s.t, home: s.t.TempDir()}
	l.write(".saml2aws", "[default]\nurl = "+address+"\nusername = bob\nprovider = "+provider+"\nmfa = "+mfa+"\n"+
		"aws_urn = urn:amazon:webservices\naws_session_duration = 3600\naws_profile = saml\nrole_arn = arn:aws:iam::444455556666:role/PowerUser\nregion = eu-west-1\n")
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, s.program, "--disable-keychain", "--skip-prompt", "--password", password, "login", "--force")
	c.Env = []string{"HOME=" + l.home, "PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=" + s.proxy, "NO_PROXY=localhost,127.0.0.1", "AWS_CA_BUNDLE=" + s.ca}
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		s.t.Errorf("saml2aws goes on for ever:\n%.2000s", out)
	}
	text, _ := os.ReadFile(filepath.Join(l.home, ".aws/credentials"))
	return string(text), string(out), err
}

// signsIn is what must come of a right password and of a wrong one: keys, and
// one failure that is on the record once, since each more could lock the account.
func (s *tool) signsIn(g *gate, provider, mfa, address string) {
	s.t.Helper()
	keys, said, err := s.login(provider, mfa, address, demo.Password)
	if err != nil || !strings.Contains(keys, "aws_access_key_id") || !strings.Contains(keys, "assumed-role/PowerUser/bob-") {
		s.t.Fatalf("saml2aws: %v\n%s\n%s", err, said, keys)
	}
	if keys, said, err := s.login(provider, mfa, address, "wrong"); err == nil || strings.Contains(keys, "aws_access_key_id") {
		s.t.Errorf("with a wrong password:\n%s\n%s", said, keys)
	}
	failed, err := record(s.t, g.cfg, nil).Events(s.t.Context(), gatehouse.EventQuery{Kind: gatehouse.EventSignInRefused})
	if err != nil || len(failed) != 1 || failed[0].Reason != "wrong_password" && failed[0].Reason != "invalid_credentials" {
		s.t.Errorf("after one wrong password the record has %+v, %v", failed, err)
	}
}

func TestSaml2awsSignsInByThePage(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	newTool(t, g).signsIn(g, "KeyCloak", "Auto", g.url+"/login?next=%2Froles%2F444455556666%2FPowerUser%3Fas%3Dpost")
	g.browser(t).post("/login", "username", "dan", "password", demo.Password, "next", "/roles/444455556666/PowerUser?as=post").want(t, 403, "You do not have this role.")
}

func TestSaml2awsSignsInByECP(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	s := newTool(t, g)
	s.signsIn(g, "ShibbolethECP", "auto", g.url+"/saml/ecp/444455556666/PowerUser")
	granted, err := record(t, g.cfg, nil).Events(t.Context(), gatehouse.EventQuery{Kind: gatehouse.EventGranted})
	if err != nil || len(granted) != 1 || granted[0].Door != gatehouse.DoorECP || granted[0].Form != gatehouse.FormPost || granted[0].Account != "444455556666" {
		t.Errorf("on the record: %+v, %v", granted, err)
	}
	for what, path := range map[string]string{"somebody else's role": "/saml/ecp/111122223333/Admin", "no role": "/saml/ecp"} {
		if keys, said, err := s.login("ShibbolethECP", "auto", g.url+path, demo.Password); err == nil || strings.Contains(keys, "aws_access_key_id") {
			t.Errorf("%s:\n%s\n%s", what, said, keys)
		}
	}
}
