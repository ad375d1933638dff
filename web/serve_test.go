package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestServeFinishesWhatIsInFlight(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	var h *house
	ln := listen(t)
	h = newHouse(t, func(c *Config, d *Deps) {
		c.PublicURL = "http://" + ln.Addr().String()
		d.Protocol = func(Pages) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(began)
				<-release
				w.WriteHeader(http.StatusTeapot)
			})
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(ctx, ln) }()

	answered := make(chan int, 1)
	go func() {
		res, err := http.Get("http://" + ln.Addr().String() + "/saml/slow")
		if err != nil {
			answered <- 0
			return
		}
		defer res.Body.Close()
		answered <- res.StatusCode
	}()
	<-began
	stop()
	for !h.server.draining.Load() {
		time.Sleep(time.Millisecond) // the only sign is the flag itself
	}
	wantStatus(t, h.do(readyz(ln)), http.StatusServiceUnavailable)
	close(release)
	if got := <-answered; got != http.StatusTeapot {
		t.Errorf("the request in flight was answered %d", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("new connections are still taken")
	}
}

func TestBeforeTheEndAllIsAnsweredAndReadinessSaysNo(t *testing.T) {
	ln := listen(t)
	h := newHouse(t, func(c *Config, _ *Deps) {
		c.PublicURL = "http://" + ln.Addr().String()
		*c.DrainDelay = 300 * time.Millisecond
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(ctx, ln) }()
	get := func(path string) (*http.Response, error) {
		res, err := http.Get("http://" + ln.Addr().String() + path)
		if err == nil {
			_ = res.Body.Close()
		}
		return res, err
	}
	if res, err := get("/login"); err != nil || res.Close {
		t.Fatalf("before the end: %v, closes %v", err, res != nil && res.Close)
	}
	stop()
	for !h.server.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	if res, err := get("/login"); err != nil || res.StatusCode != 200 || !res.Close {
		t.Errorf("meanwhile: %+v, %v; want 200 and the connection closed after it", res, err)
	}
	if res, err := get("/readyz"); err != nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readiness: %+v, %v; want 503", res, err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := get("/login"); err == nil {
		t.Error("answers after the end")
	}
}

func readyz(ln net.Listener) *http.Request {
	r := request("GET", "/readyz", "", nil)
	r.Host = ln.Addr().String()
	return r
}

func TestServeSaysWhenItCannot(t *testing.T) {
	h := newHouse(t)
	ln := listen(t)
	ln.Close()
	if err := h.server.Serve(t.Context(), ln); err == nil {
		t.Error("served on a closed listener")
	}
	if err := h.server.ServeAdmin(t.Context(), ln, h.server.AdminHandler()); err == nil {
		t.Error("served on a closed listener")
	}
}

// writePair writes a self-signed certificate whose serial number tells it apart.
func writePair(t *testing.T, files TLS, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{files.CertFile: {Type: "CERTIFICATE", Bytes: der}, files.KeyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

func TestTheCertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	files := TLS{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	writePair(t, files, 1)
	now := start
	c, err := openCertificate(files, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	later := func() { // file systems may not tell two writes within a tick apart
		now = now.Add(lookEvery)
		for _, f := range []string{files.CertFile, files.KeyFile} {
			if err := os.Chtimes(f, now, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	writePair(t, files, 2)
	if got := serial(); got != 1 {
		t.Errorf("looked again at once: %d", got)
	}
	later()
	if got := serial(); got != 2 {
		t.Errorf("serial %d after a renewal, want 2", got)
	}
	if err := os.WriteFile(files.KeyFile, []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	later()
	if got := serial(); got != 2 {
		t.Errorf("a damaged renewal replaced the certificate: %d", got)
	}
	writePair(t, files, 3)
	later()
	if got := serial(); got != 3 {
		t.Errorf("serial %d after the repair, want 3", got)
	}
}

func TestServeSpeaksTLS(t *testing.T) {
	dir := t.TempDir()
	files := TLS{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	pool := writePair(t, files, 1)
	ln := listen(t)
	h := newHouse(t, func(c *Config, _ *Deps) {
		c.PublicURL, c.TLS = "https://"+ln.Addr().String(), files
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	res, err := client.Get("https://" + ln.Addr().String() + "/login")
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, res, 200)
	if res.TLS.Version < tls.VersionTLS12 || res.ProtoMajor != 2 {
		t.Errorf("TLS %x, HTTP/%d", res.TLS.Version, res.ProtoMajor)
	}
	res.Body.Close()
	client.CloseIdleConnections()
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
