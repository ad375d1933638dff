package outside

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Authority is a certificate authority of a test's own.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that nobody trusts yet.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := certificateTemplate("Gatehouse test authority", time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour))
	template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// File is the path of a file that holds PEM.
func (a *Authority) File(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Issue makes a certificate for hosts (names or addresses) that is good until
// notAfter, for servers and clients alike; and its key, both as PEM.
func (a *Authority) Issue(t testing.TB, notAfter time.Time, hosts ...string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := certificateTemplate("Gatehouse test", time.Now().Add(-24*time.Hour), notAfter)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// IssuePair is Issue for a server of the test's own.
func (a *Authority) IssuePair(t testing.TB, notAfter time.Time, hosts ...string) tls.Certificate {
	t.Helper()
	cert, key := a.Issue(t, notAfter, hosts...)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func certificateTemplate(name string, from, to time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		SerialNumber:          new(big.Int).SetBytes([]byte(rand.Text())[:15]),
		NotBefore:             from,
		NotAfter:              to,
		BasicConstraintsValid: true,
	}
}

// SlapdConfig says what a Slapd holds.
type SlapdConfig struct {
	// Suffix is the DN of the topmost entry, which LDIF must hold.
	Suffix string

	// LDIF is loaded before the server starts. Operational attributes may be
	// set there (pwdReset, pwdAccountLockedTime, entryUUID); memberOf is not
	// computed for what is loaded.
	LDIF string

	// ServiceDN may read everything, without limits. Everybody else may
	// only bind.
	ServiceDN string

	// DefaultPolicy is the DN of the pwdPolicy entry for everybody. Optional.
	DefaultPolicy string

	// Indexes are the attributes that have an index for equality. Default:
	// those that sign-in searches by.
	Indexes string

	// Access stands before the usual rules, one to each (slapd.access(5)).
	Access []string

	// Limits are further limits of ServiceDN (slapd.conf(5)), such as
	// size.unchecked=100.
	Limits string

	// ReadableConfig lets ServiceDN read cn=config.
	ReadableConfig bool

	// CA issues the server's certificate. Default: a new one.
	CA *Authority

	// Hosts are what the certificate is for. Default: 127.0.0.1 and localhost.
	Hosts []string

	// ClientCertificates makes the server refuse clients without a
	// certificate of CA's.
	ClientCertificates bool

	// NotAfter is when the certificate expires. Default: tomorrow.
	NotAfter time.Time

	// NoTLS leaves the server without a certificate: it refuses StartTLS,
	// and has no LDAPS.
	NoTLS bool

	// Global are further lines of slapd.conf(5), before the database's.
	Global []string
}

// Slapd is OpenLDAP's server on loopback: TLS is required for passwords, and
// anonymous binds are refused.
type Slapd struct {
	LDAP  string // ldap://127.0.0.1:PORT, for StartTLS
	LDAPS string // ldaps://127.0.0.1:PORT
	CA    *Authority

	RootDN string // may do anything, with SlapdRootPassword

	cmd    *exec.Cmd
	ended  chan struct{}
	output bytes.Buffer
}

// SlapdRootPassword is that of RootDN.
const SlapdRootPassword = "Root-Account-1"

// StartSlapd starts a slapd that ends with the test. The test skips, or
// fails, where there is none: see Program.
func StartSlapd(t testing.TB, cfg SlapdConfig) *Slapd {
	t.Helper()
	slapd := Program(t, "slapd", "slapd")
	slapadd := Program(t, "slapadd", "slapd")
	if cfg.CA == nil {
		cfg.CA = NewAuthority(t)
	}
	if cfg.Hosts == nil {
		cfg.Hosts = []string{"127.0.0.1", "localhost"}
	}
	if cfg.NotAfter.IsZero() {
		cfg.NotAfter = time.Now().Add(24 * time.Hour)
	}
	dir := t.TempDir()
	cert, key := cfg.CA.Issue(t, cfg.NotAfter, cfg.Hosts...)
	for name, content := range map[string][]byte{
		"ca.pem": cfg.CA.PEM(), "cert.pem": cert, "key.pem": key,
		"slapd.conf": []byte(slapdConf(dir, cfg)), "data.ldif": []byte(cfg.LDIF),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "slapd.conf")
	if out, err := exec.Command(slapadd, "-q", "-f", conf, "-l", filepath.Join(dir, "data.ldif")).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	var err error
	// The ports were free a moment ago; somebody else may be quicker.
	for range 3 {
		var s *Slapd
		if s, err = runSlapd(slapd, conf, cfg); err == nil {
			t.Cleanup(s.Stop)
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// slapdConf is slapd.conf(5): simpler than cn=config, and still supported.
func slapdConf(dir string, cfg SlapdConfig) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, schema := range []string{"core", "cosine", "inetorgperson", "nis"} {
		line("include /etc/ldap/schema/%s.schema", schema)
	}
	line("modulepath /usr/lib/ldap")
	for _, module := range []string{"back_mdb", "memberof", "ppolicy"} {
		line("moduleload %s", module)
	}
	line("pidfile %s/slapd.pid", dir)
	if !cfg.NoTLS {
		line("TLSCACertificateFile %s/ca.pem\nTLSCertificateFile %[1]s/cert.pem\nTLSCertificateKeyFile %[1]s/key.pem", dir)
	}
	if cfg.ClientCertificates {
		line("TLSVerifyClient demand")
	}
	for _, l := range cfg.Global {
		line("%s", l)
	}
	line("security simple_bind=128")
	line("disallow bind_anon")
	if cfg.ReadableConfig {
		line("database config\naccess to * by dn.exact=%q read by * none", cfg.ServiceDN)
	}
	line("database mdb\nmaxsize 268435456\nsuffix %q\ndirectory %s/db\ndbnosync", cfg.Suffix, dir)
	// The overlays write as this one: without it nobody is ever locked out.
	line("rootdn %q\nrootpw %s", "cn=root,"+cfg.Suffix, SlapdRootPassword)
	line("index %s eq", cmp.Or(cfg.Indexes, "objectClass,uid,mail,cn,member,uniqueMember,memberUid,entryUUID"))
	for _, rule := range cfg.Access {
		line("access %s", rule)
	}
	line("access to attrs=userPassword by self =xw by anonymous auth by * none")
	line("access to * by dn.exact=%q read by * auth", cfg.ServiceDN)
	line("limits dn.exact=%q size.soft=1000 size.hard=unlimited size.pr=1000 size.prtotal=unlimited %s", cfg.ServiceDN, cfg.Limits)
	line("overlay memberof")
	line("overlay ppolicy\nppolicy_use_lockout")
	if cfg.DefaultPolicy != "" {
		line("ppolicy_default %q", cfg.DefaultPolicy)
	}
	return b.String()
}

func runSlapd(slapd, conf string, cfg SlapdConfig) (*Slapd, error) {
	plain, err := freePort()
	if err != nil {
		return nil, err
	}
	secure, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Slapd{
		LDAP:  fmt.Sprintf("ldap://127.0.0.1:%d", plain),
		LDAPS: fmt.Sprintf("ldaps://127.0.0.1:%d", secure),
		CA:    cfg.CA, RootDN: "cn=root," + cfg.Suffix, ended: make(chan struct{}),
	}
	listeners, ports := s.LDAP+"/ "+s.LDAPS+"/", []int{plain, secure}
	if cfg.NoTLS {
		s.LDAPS, listeners, ports = "", s.LDAP+"/", []int{plain}
	}
	// With -d it stays in the foreground, so that its pid is the one we know.
	s.cmd = exec.Command(slapd, "-d", "0", "-f", conf, "-h", listeners)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = runAs(os.Getuid(), os.Getgid())
	if err := startHere(s.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	for _, port := range ports {
		if err := s.awaitPort(port); err != nil {
			s.Stop()
			return nil, fmt.Errorf("slapd: %w\n%s", err, s.output.String())
		}
	}
	return s, nil
}

// awaitPort waits until the server listens.
func (s *Slapd) awaitPort(port int) error {
	deadline := time.After(10 * time.Second)
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.ended:
			return fmt.Errorf("ended before it was ready")
		case <-deadline:
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Freeze stops the server without ending it: connections are still accepted
// by the kernel, and nothing answers. It returns once every thread has
// stopped, where /proc tells. Thaw lets it go on.
func (s *Slapd) Freeze() {
	_ = s.cmd.Process.Signal(syscall.SIGSTOP)
	for range 1000 {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
		if !slices.ContainsFunc(threads, running) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// running reports whether a thread is anything but stopped (proc_pid_stat(5)).
func running(stat string) bool {
	b, err := os.ReadFile(stat)
	if err != nil {
		return false
	}
	after := b[bytes.LastIndexByte(b, ')')+1:]
	return !bytes.HasPrefix(after, []byte(" T"))
}

// Thaw is the end of Freeze.
func (s *Slapd) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// Stop ends the server. Stopping twice does nothing.
func (s *Slapd) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.ended
}
