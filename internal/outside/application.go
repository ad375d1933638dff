package outside

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Application is a service provider of SAML on loopback, by software that the
// field uses. It is described first, so that an identity provider can be told
// of it, and started once that has metadata of its own.
type Application struct {
	Name     string // of the software
	EntityID string
	Metadata []byte // for the identity provider
	Page     string // a page for people who signed in; its headers X-User and X-Mail are the NameID and the attribute mail
	Logout   string // signs out here and, by SAML, everywhere else

	run func(t testing.TB, idp []byte)
}

// Start starts the application for the identity provider with that metadata.
// It ends with the test.
func (a *Application) Start(t testing.TB, idp []byte) {
	t.Helper()
	a.run(t, idp)
}

// site is where an application lives: an address that nobody else has, a
// folder, and the user who owns both.
type site struct {
	t        testing.TB
	dir      string
	address  string // HOST:PORT
	uid, gid int
	cert     []byte // DER
}

// newSite makes a site. The address is a random one of 127/8: the port may be
// held free for later, since nobody else will look there, and browsers keep
// the cookies of two applications apart.
func newSite(t testing.TB) *site {
	t.Helper()
	Program(t, "apache2", "apache2-bin") // before anything is made for it
	s := &site{t: t, uid: os.Getuid(), gid: os.Getgid()}
	var host [3]byte
	rand.Read(host[:])
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", host[0], host[1], 1+host[2]%254))
	if err != nil {
		Missing(t, fmt.Sprintf("loopback addresses besides 127.0.0.1 (%v)", err))
	}
	s.address = l.Addr().String()
	_ = l.Close()
	if s.dir, err = os.MkdirTemp("", "gatehouse-sp-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	if os.Geteuid() == 0 { // Apache serves nobody as root
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		s.uid, _ = strconv.Atoi(nobody.Uid)
		s.gid, _ = strconv.Atoi(nobody.Gid)
	}
	s.own(s.dir)
	s.makeKey()
	return s
}

func (s *site) url(path string) string { return "http://" + s.address + path }

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) own(path string) {
	s.t.Helper()
	if err := os.Chown(path, s.uid, s.gid); err != nil {
		s.t.Fatal(err)
	}
}

// write puts a file into the site's folder and says where it is.
func (s *site) write(name, content string) string {
	s.t.Helper()
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.own(filepath.Dir(path))
	s.own(path)
	return path
}

// makeKey writes key.pem and cert.pem: one pair that signs and is encrypted to.
func (s *site) makeKey() {
	s.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "application"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	if s.cert, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	s.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert})))
}

// endpoint is one line of metadata: the element's name, the binding's last
// part, and where it is.
type endpoint struct{ element, binding, path string }

// metadata describes an application that signs its requests, with one key for
// everything.
func (s *site) metadata(entityID string, endpoints ...endpoint) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="%s">
<md:SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<md:KeyDescriptor><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
`, entityID, base64.StdEncoding.EncodeToString(s.cert))
	format := `<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>` + "\n"
	for i, e := range endpoints {
		if e.element == "AssertionConsumerService" { // formats come before these, and after the others
			b.WriteString(format)
			format = ""
		}
		index := ""
		if e.element == "AssertionConsumerService" {
			index = fmt.Sprintf(` index="%d"`, i)
		}
		fmt.Fprintf(&b, `<md:%s Binding="urn:oasis:names:tc:SAML:2.0:bindings:%s" Location="%s"%s/>`+"\n", e.element, e.binding, s.url(e.path), index)
	}
	b.WriteString("</md:SPSSODescriptor></md:EntityDescriptor>\n")
	return []byte(b.String())
}

// process runs program as the site's user until the test ends. When the test
// fails, what it and its log files said is shown.
func (s *site) process(env []string, logs []string, program string, args ...string) (ended chan struct{}) {
	s.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), env...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = runAs(s.uid, s.gid)
	if err := startHere(cmd); err != nil {
		s.t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if s.t.Failed() {
			s.show(filepath.Base(program), output.Bytes(), logs)
		}
	})
	return ended
}

func (s *site) show(program string, output []byte, logs []string) {
	for _, name := range logs {
		text, _ := os.ReadFile(s.path(name))
		output = append(append(output, "\n--- "+name+"\n"...), text...)
	}
	s.t.Logf("%s said:\n%s", program, output)
}

// awaitDial waits until something listens at address.
func (s *site) awaitDial(address string, ended chan struct{}) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ended:
			s.t.Fatalf("ended before it listened on %s", address)
		case <-deadline:
			s.t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// awaitLine waits until a log file has a text. Some servers (shibd 3.4.1) do
// not bear being knocked at while they start.
func (s *site) awaitLine(name, text string, ended chan struct{}) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		log, _ := os.ReadFile(s.path(name))
		if bytes.Contains(log, []byte(text)) {
			return
		}
		select {
		case <-ended:
			s.t.Fatalf("ended before %s said %q", name, text)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not say %q", name, text)
		}
	}
}

// apache serves the site with these modules besides the usual ones; more is
// further configuration.
func (s *site) apache(more string, modules ...string) {
	s.t.Helper()
	program := Program(s.t, "apache2", "apache2-bin")
	s.write("pages/private/index.html", "<!doctype html><title>Private</title><p>Signed in.</p>\n")
	s.write("pages/index.html", "<!doctype html><title>Public</title><p>Signed out.</p>\n")
	var b strings.Builder
	for _, m := range append([]string{"mpm_event", "authn_core", "authz_core", "authz_user", "dir", "headers", "mime"}, modules...) {
		fmt.Fprintf(&b, "LoadModule %s /usr/lib/apache2/modules/mod_%s.so\n", moduleNames(m), m)
	}
	fmt.Fprintf(&b, `ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/apache.pid
ErrorLog %[1]s/error.log
ServerName http://%[2]s
UseCanonicalName On
Listen %[2]s
StartServers 1
TypesConfig /dev/null
AddType text/html .html
DocumentRoot %[1]s/pages
DirectoryIndex index.html
<Location /private>
Header always set X-User "expr=%%{REMOTE_USER}"
Header always set X-Mail "expr=%%{reqenv:MELLON_mail}%%{reqenv:mail}"
</Location>
`, s.dir, s.address)
	conf := s.write("apache.conf", b.String()+more)
	s.awaitDial(s.address, s.process(nil, []string{"error.log"}, program, "-DFOREGROUND", "-f", conf))
}

// moduleNames is the name under which Apache knows a module.
func moduleNames(m string) string {
	if m == "shib" {
		return "mod_shib"
	}
	return m + "_module"
}

// module fails or skips the test for want of an Apache module.
func module(t testing.TB, file, pkg string) {
	t.Helper()
	if _, err := os.Stat("/usr/lib/apache2/modules/" + file); err != nil {
		Missing(t, file+" (Debian package "+pkg+")")
	}
}
