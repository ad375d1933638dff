package ldap_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// TestCertificates: a server that cannot prove its name gets no password, by
// LDAPS and by StartTLS alike, and the reason is in the error.
func TestCertificates(t *testing.T) {
	ca := outside.NewAuthority(t)
	tests := []struct {
		name   string
		server outside.SlapdConfig
		trust  *outside.Authority
		reason func(error) bool
		fix    string
	}{
		{"an expired certificate", outside.SlapdConfig{CA: ca, NotAfter: time.Now().Add(-time.Hour)}, ca, func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == x509.Expired
		}, "renew the server's certificate"},
		{"a certificate for another host", outside.SlapdConfig{CA: ca, Hosts: []string{"dc1.corp.example.com"}}, ca, func(err error) bool {
			var e x509.HostnameError
			return errors.As(err, &e)
		}, "the name that the server's certificate is for"},
		{"a certificate of an authority that nobody configured", outside.SlapdConfig{CA: ca}, outside.NewAuthority(t), func(err error) bool {
			var e x509.UnknownAuthorityError
			return errors.As(err, &e)
		}, "set ca_file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := startSlapd(t, tt.server)
			for _, url := range []string{s.LDAP, s.LDAPS} {
				d := open(t, config([]string{url}, tt.trust.File(t)))
				_, err := signIn(t, d, "alice")
				if !errors.Is(err, gatehouse.ErrUnavailable) || !tt.reason(err) {
					t.Errorf("%s: %v", url, err)
				}
				findings := d.Check(t.Context())
				if len(findings) != 1 || findings[0].State != gatehouse.FindingFailure || !strings.Contains(findings[0].Fix, tt.fix) {
					t.Errorf("check of %s: %+v", url, findings)
				}
			}
		})
	}
}

// TestClientCertificate: a server that asks for one is shown the configured one.
func TestClientCertificate(t *testing.T) {
	s, ca := startSlapd(t, outside.SlapdConfig{ClientCertificates: true})
	c := config([]string{s.LDAPS}, ca)
	c.Timeout = time.Second
	if _, err := signIn(t, open(t, c), "alice"); !errors.Is(err, gatehouse.ErrUnavailable) {
		t.Errorf("without a certificate: %v", err)
	}
	cert, key := s.CA.Issue(t, time.Now().Add(time.Hour), "gatehouse")
	dir := t.TempDir()
	c.CertFile, c.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := errors.Join(os.WriteFile(c.CertFile, cert, 0o600), os.WriteFile(c.KeyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{s.LDAPS, s.LDAP} {
		c.URLs = []string{url}
		if _, err := signIn(t, open(t, c), "alice"); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestNothingIsLeftBehind: calls that fail end their connections and goroutines.
func TestNothingIsLeftBehind(t *testing.T) {
	ca := outside.NewAuthority(t)
	silent := script(t, ca, func(op ber.Tag, dn string) answer {
		if dn == people {
			return answer{}
		}
		return wellBehaved(op, dn)
	})
	c := config([]string{silent.url, "ldap://" + blackHole(t)}, ca.File(t))
	c.Timeout = 100 * time.Millisecond
	d := open(t, c)
	before := runtime.NumGoroutine()
	for range 10 {
		if _, err := signIn(t, d, "alice"); !errors.Is(err, gatehouse.ErrUnavailable) {
			t.Error(err)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before+4 {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestFailover: one bad server among two costs some time once, and never the answer.
func TestFailover(t *testing.T) {
	t.Parallel()
	good, ca := startSlapd(t, outside.SlapdConfig{})
	goodAddr := strings.TrimPrefix(good.LDAPS, "ldaps://")
	nobody := listen(t)
	nobody.Close()
	tests := []struct{ name, bad string }{
		{"refuses connections", "ldaps://" + nobody.Addr().String()},
		{"accepts LDAPS and never answers", "ldaps://" + blackHole(t)},
		{"accepts StartTLS and never answers", "ldap://" + blackHole(t)},
		{"hangs up in the handshake", "ldaps://" + cutter(t, goodAddr, 100)},
		{"dies in mid search", "ldaps://" + cutter(t, goodAddr, 20000)},
		{"speaks no LDAP", "ldap://" + garbage(t)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := config([]string{tt.bad, good.LDAP}, ca)
			c.Timeout = 8 * time.Second
			d := open(t, c)
			for i := range 2 {
				start := time.Now()
				u, err := signIn(t, d, "carol")
				if err != nil || len(u.Groups) != 700 {
					t.Fatalf("sign-in %d: %d groups, %v", i, len(u.Groups), err)
				}
				// Waiting for a server in vain takes a quarter of the timeout.
				if took := time.Since(start); i > 0 && took > c.Timeout/4 {
					t.Errorf("the bad server was asked again: %v", took)
				}
			}
		})
		t.Run(tt.name+", alone", func(t *testing.T) {
			t.Parallel()
			c := config([]string{tt.bad}, ca)
			c.Timeout = 300 * time.Millisecond
			start := time.Now()
			u, err := signIn(t, open(t, c), "carol")
			if !errors.Is(err, gatehouse.ErrUnavailable) || len(u.Groups) > 0 {
				t.Errorf("%d groups, %v; want ErrUnavailable", len(u.Groups), err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v of 300ms", took)
			}
		})
	}
}

// garbage answers everything with bytes that mean nothing.
func garbage(t testing.TB) string {
	l := listen(t)
	serve(t, l, func(c net.Conn) {
		c.Read(make([]byte, 100))
		c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	})
	return l.Addr().String()
}

// TestFrozen: a server that stops answering on connections that are already
// open is left for another one, within the time of one call.
func TestFrozen(t *testing.T) {
	t.Parallel()
	ca := outside.NewAuthority(t)
	first, caFile := startSlapd(t, outside.SlapdConfig{CA: ca})
	second, _ := startSlapd(t, outside.SlapdConfig{CA: ca})
	c := config([]string{first.LDAPS, second.LDAPS}, caFile)
	c.Timeout = 6 * time.Second
	d := open(t, c)
	if _, err := signIn(t, d, "alice"); err != nil {
		t.Fatal(err)
	}
	first.Freeze()
	defer first.Thaw()
	for i := range 2 {
		start := time.Now()
		u, err := signIn(t, d, "alice")
		if err != nil || len(u.Groups) != 3 {
			t.Fatalf("%d groups, %v", len(u.Groups), err)
		}
		// Some of the time goes to the frozen server, and only once.
		if took := time.Since(start); i > 0 && took > c.Timeout/4 {
			t.Errorf("the frozen server was asked again: %v", took)
		}
	}
}

// TestHeals: a directory that is down when Gatehouse starts, or goes away in
// between, is used as soon as it is there.
func TestHeals(t *testing.T) {
	ca := outside.NewAuthority(t)
	cert := ca.IssuePair(t, time.Now().Add(time.Hour), "127.0.0.1")
	l := listen(t)
	addr := l.Addr().String()
	l.Close()
	d := open(t, config([]string{"ldaps://" + addr}, ca.File(t)))
	for range 5 {
		if _, err := signIn(t, d, "alice"); !errors.Is(err, gatehouse.ErrUnavailable) {
			t.Fatalf("while it is down: %v", err)
		}
	}
	for range 2 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			outside.Missing(t, "its port again: "+err.Error())
		}
		s, err := directory.Serve(l, directory.Config{Suffix: suffix, Entries: company(), Certificate: &cert, LDAPS: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := signIn(t, d, "alice"); err != nil {
				t.Errorf("once it is up: %v", err)
			}
		}
		s.Close()
	}
}

// TestBadAnswers: what is not a whole and good answer is no answer.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	groupAnswer := func(messages ...*ber.Packet) func(ber.Tag, string) answer {
		return func(op ber.Tag, dn string) answer {
			if op == goldap.ApplicationSearchRequest && dn == groups {
				return answer{messages: messages}
			}
			return wellBehaved(op, dn)
		}
	}
	aGroup := func() *ber.Packet { return found(groupDN("team"), "cn", "team") }
	reference := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultReference, nil, "")
	reference.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "ldaps://evil.example.net/", ""))
	tests := []struct {
		name  string
		reply func(ber.Tag, string) answer
		good  bool
	}{
		{"a search that ends well", groupAnswer(aGroup(), done(0)), true},
		{"references to elsewhere are not followed", groupAnswer(aGroup(), reference, done(0)), true},
		{"time limit exceeded, with some groups", groupAnswer(aGroup(), done(3)), false},
		{"size limit exceeded, with some groups", groupAnswer(aGroup(), done(4)), false},
		{"administrative limit exceeded, with some groups", groupAnswer(aGroup(), done(11)), false},
		{"a referral", groupAnswer(done(10)), false},
		{"busy", groupAnswer(done(51)), false},
		{"other", groupAnswer(done(80)), false},
		{"insufficient access", groupAnswer(done(50)), false},
		{"hangs up after some groups", func(op ber.Tag, dn string) answer {
			a := groupAnswer(aGroup())(op, dn)
			a.hangUp = dn == groups
			return a
		}, false},
		{"an entry without attributes where there must be some", groupAnswer(ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultEntry, nil, "")), false},
		{"bytes that mean nothing", func(op ber.Tag, dn string) answer {
			if dn == groups {
				return answer{raw: []byte("\x30\x84\x7f\xff\xff\xff\x02\x01\x01garbage")}
			}
			return wellBehaved(op, dn)
		}, false},
		{"a person without an identifier", func(op ber.Tag, dn string) answer {
			if dn == people {
				return answer{messages: []*ber.Packet{found(uidDN("alice"), "uid", "alice"), done(0)}}
			}
			return wellBehaved(op, dn)
		}, false},
		{"a person without a DN: that bind would be anonymous", func(op ber.Tag, dn string) answer {
			if dn == people {
				return answer{messages: []*ber.Packet{found("", alice...), done(0)}}
			}
			return wellBehaved(op, dn)
		}, false},
	}
	ca := outside.NewAuthority(t)
	caFile := ca.File(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := script(t, ca, tt.reply)
			c := config([]string{s.url}, caFile)
			no := false
			c.Timeout, c.Nested = 2*time.Second, &no
			u, err := signIn(t, open(t, c), "alice")
			if tt.good && (err != nil || len(u.Groups) != 1) {
				t.Errorf("%+v, %v", u, err)
			}
			if !tt.good && (!errors.Is(err, gatehouse.ErrUnavailable) || u.ID != "" || len(u.Groups) > 0) {
				t.Errorf("%+v, %v; want ErrUnavailable and nobody", u, err)
			}
			if n := s.bound(uidDN("alice")); n > 1 {
				t.Errorf("her password was sent %d times", n)
			}
		})
	}
}

// TestBindOnce: once a password is on its way it is not sent again, whatever
// comes back, and to no other server.
func TestBindOnce(t *testing.T) {
	t.Parallel()
	ca := outside.NewAuthority(t)
	for name, a := range map[string]answer{
		"hangs up":          {hangUp: true},
		"busy":              bindAnswer(51, ""),
		"unavailable":       bindAnswer(52, ""),
		"other":             bindAnswer(80, ""),
		"no answer at all":  {},
		"means nothing":     {raw: []byte("\x30\x03\x02\x01\x02")},
		"an operation lost": bindAnswer(1, ""),
	} {
		t.Run(name, func(t *testing.T) {
			reply := func(op ber.Tag, dn string) answer {
				if op == goldap.ApplicationBindRequest && dn == uidDN("alice") {
					return a
				}
				return wellBehaved(op, dn)
			}
			one, two := script(t, ca, reply), script(t, ca, reply)
			c := config([]string{one.url, two.url}, ca.File(t))
			c.Timeout = time.Second
			_, err := signIn(t, open(t, c), "alice")
			if !errors.Is(err, gatehouse.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
			if n := one.bound(uidDN("alice")) + two.bound(uidDN("alice")); n != 1 {
				t.Errorf("the password was sent %d times", n)
			}
		})
	}
}

// TestServiceAccountRefused: our own wrong password must not lock the service
// account, on any server.
func TestServiceAccountRefused(t *testing.T) {
	s, ca := startDemo(t, directory.Config{Entries: company()})
	c := config([]string{s.URL(), s.URL() + "/"}, ca)
	c.BindPassword = "wrong"
	c.SetDefaults()
	now := time.Now()
	d, err := ldap.New(c, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 20 {
		if _, err := signIn(t, d, "alice"); !errors.Is(err, gatehouse.ErrUnavailable) || !strings.Contains(err.Error(), "service account") {
			t.Fatal(err)
		}
	}
	if n := s.Binds(serviceDN); n != 1 {
		t.Errorf("bound %d times in one moment, want 1", n)
	}
	// In half an hour, the time that lock-outs commonly count over.
	for range 30 {
		now = now.Add(time.Minute)
		signIn(t, d, "alice")
	}
	if n := s.Binds(serviceDN); n < 2 || n > 4 {
		t.Errorf("bound %d times in half an hour, want 2 to 4", n)
	}
	findings := d.Check(t.Context())
	if last := findings[len(findings)-1]; last.State != gatehouse.FindingFailure || !strings.Contains(last.Fix, "bind_dn") {
		t.Errorf("check: %+v", findings)
	}
}

// TestCancel: who goes away is not waited for, and the server is not blamed.
func TestCancel(t *testing.T) {
	s, ca := startDemo(t, directory.Config{Entries: company()})
	d := open(t, config([]string{s.URL()}, ca))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		if _, err := d.Find(ctx, "alice"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want canceled", err)
		}
	}
	if _, err := signIn(t, d, "alice"); err != nil {
		t.Error(err)
	}
}

// TestWaiting: more callers than connections wait for their turn, and no
// longer than their time.
func TestWaiting(t *testing.T) {
	ca := outside.NewAuthority(t)
	silent := script(t, ca, func(op ber.Tag, dn string) answer {
		if op == goldap.ApplicationSearchRequest {
			return answer{}
		}
		return wellBehaved(op, dn)
	})
	c := config([]string{silent.url}, ca.File(t))
	c.Connections, c.Timeout = 1, 200*time.Millisecond
	d := open(t, c)
	start := time.Now()
	failed := make(chan error)
	for range 10 {
		go func() { _, err := d.Find(t.Context(), "alice"); failed <- err }()
	}
	for range 10 {
		if err := <-failed; !errors.Is(err, gatehouse.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("ten callers took %v of 200ms", took)
	}
}

// TestConnectionLimit: many sign-ins at once hold no more connections than
// configured, even where no bind is ever answered.
func TestConnectionLimit(t *testing.T) {
	ca := outside.NewAuthority(t)
	s := script(t, ca, func(op ber.Tag, dn string) answer {
		if op == goldap.ApplicationBindRequest && dn == uidDN("alice") {
			return answer{}
		}
		return wellBehaved(op, dn)
	})
	c := config([]string{s.url}, ca.File(t))
	c.Connections, c.Timeout = 3, time.Second
	d := open(t, c)
	failed := make(chan error)
	for range 100 {
		go func() { _, err := signIn(t, d, "alice"); failed <- err }()
	}
	for range 100 {
		if err := <-failed; !errors.Is(err, gatehouse.ErrUnavailable) {
			t.Error(err)
		}
	}
	// The server may see an end after the beginning that followed it.
	if most := s.most(); most > 2*3+3 {
		t.Errorf("%d connections at once, want 3 to search and 3 to prove", most)
	}
}

// TestPlainOnly: without TLS there is no sign-in, not even a name is sent.
func TestPlainOnly(t *testing.T) {
	ca := outside.NewAuthority(t)
	l := listen(t)
	heard := make(chan []byte, 10)
	serve(t, l, func(c net.Conn) {
		p, err := ber.ReadPacket(c)
		if err != nil {
			return
		}
		heard <- p.Bytes()
		envelope := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		envelope.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
		envelope.AppendChild(result(goldap.ApplicationExtendedResponse, goldap.LDAPResultUnwillingToPerform, "no TLS here"))
		c.Write(envelope.Bytes())
		if rest, err := ber.ReadPacket(c); err == nil {
			heard <- rest.Bytes()
		}
	})
	d := open(t, config([]string{"ldap://" + l.Addr().String()}, ca.File(t)))
	if _, err := signIn(t, d, "alice"); !errors.Is(err, gatehouse.ErrUnavailable) {
		t.Error(err)
	}
	close(heard)
	for b := range heard {
		if !strings.Contains(string(b), "1.3.6.1.4.1.1466.20037") {
			t.Errorf("sent in clear: %q", b)
		}
	}
}

// TestOldTLS: versions before 1.2 are not spoken.
func TestOldTLS(t *testing.T) {
	ca := outside.NewAuthority(t)
	cert := ca.IssuePair(t, time.Now().Add(time.Hour), "127.0.0.1")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, func(c net.Conn) { c.Read(make([]byte, 1)) })
	d := open(t, config([]string{"ldaps://" + l.Addr().String()}, ca.File(t)))
	if _, err := signIn(t, d, "alice"); !errors.Is(err, gatehouse.ErrUnavailable) || !strings.Contains(err.Error(), "version") {
		t.Error(err)
	}
}
