package outside

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What every SambaAD has.
const (
	SambaRealm           = "CORP.EXAMPLE.COM"
	SambaDomain          = "CORP" // its NetBIOS name
	SambaBaseDN          = "DC=corp,DC=example,DC=com"
	SambaHost            = "dc1.corp.example.com"
	SambaPassword        = "Correct-Horse-1" // of everybody below OU=People
	SambaServiceDN       = "CN=gatehouse,OU=Service," + SambaBaseDN
	SambaServicePassword = "Service-Account-1"
	SambaAdminDN         = "CN=Administrator,CN=Users," + SambaBaseDN
	SambaAdminPassword   = "Administrator-1"
)

// samba is the one domain controller of a test binary.
var samba struct {
	sync.Mutex
	dc *SambaAD
}

// SambaAD is a domain controller of Active Directory, by Samba, on an address
// of loopback that nobody else uses: its ports are what they always are.
// LDAP, Kerberos and DNS answer there; samba_populate.py says who is in it.
// Nobody may sign in without TLS (Samba's default).
type SambaAD struct {
	Address string // 127.0.88.N
	LDAP    string // ldap://127.0.88.N, for StartTLS
	LDAPS   string // ldaps://127.0.88.N
	CA      *Authority

	dir    string
	claim  net.Listener
	cmd    *exec.Cmd
	ended  chan struct{}
	output bytes.Buffer
}

// Samba is a domain controller that serves all tests of the binary, whose
// TestMain must call Main. Making a domain takes about ten seconds, and root:
// the test skips, or fails, without; see Program. What a test changes stays
// changed for the next, so that each has people of its own to change.
func Samba(t testing.TB) *SambaAD {
	t.Helper()
	samba.Lock()
	defer samba.Unlock()
	if !postgres.main {
		t.Fatal("outside.Samba needs: func TestMain(m *testing.M) { outside.Main(m) }")
	}
	if samba.dc != nil {
		return samba.dc
	}
	program, tool := Program(t, "samba", "samba-ad-dc"), Program(t, "samba-tool", "samba")
	if _, err := os.Stat("/usr/share/samba/setup"); err != nil {
		Missing(t, "the templates of a domain (Debian package samba-ad-provision)")
	}
	if os.Geteuid() != 0 {
		Missing(t, "root, for Samba's domain controller and its ports")
	}
	dc := &SambaAD{CA: NewAuthority(t)}
	cert, key := dc.CA.Issue(t, time.Now().Add(24*time.Hour), SambaHost, dc.claimAddress(t))
	err := dc.create(tool, cert, key)
	if err == nil {
		err = dc.start(program)
	}
	if err != nil {
		dc.stop()
		t.Fatalf("starting Samba: %v\n%s", err, dc.output.String())
	}
	samba.dc = dc
	return dc
}

// claimAddress takes an address of loopback that no other test binary has.
// Holding a port on it that Samba has no use for is the claim.
func (s *SambaAD) claimAddress(t testing.TB) string {
	t.Helper()
	for n := range 200 {
		address := fmt.Sprintf("127.0.88.%d", 1+(os.Getpid()+n)%250)
		claim, err := net.Listen("tcp", address+":9")
		if err != nil {
			continue
		}
		if port(address, 389) || port(address, 636) || port(address, 88) {
			claim.Close()
			continue
		}
		s.claim, s.Address, s.LDAP, s.LDAPS = claim, address, "ldap://"+address, "ldaps://"+address
		return address
	}
	t.Fatal("no address of 127.0.88.0/24 is free")
	return ""
}

// port reports whether somebody listens there.
func port(address string, number int) bool {
	c, err := net.Dial("tcp", net.JoinHostPort(address, strconv.Itoa(number)))
	if err == nil {
		c.Close()
	}
	return err == nil
}

//go:embed samba_populate.py
var sambaPopulate []byte

// create provisions the domain and fills it.
func (s *SambaAD) create(tool string, cert, key []byte) (err error) {
	if s.dir, err = os.MkdirTemp("", "gatehouse-samba-"); err != nil {
		return err
	}
	provision := exec.Command(tool, "domain", "provision", "--targetdir="+s.dir, "--realm="+SambaRealm, "--domain="+SambaDomain,
		"--host-name=dc1", "--host-ip="+s.Address, "--server-role=dc", "--dns-backend=SAMBA_INTERNAL", "--adminpass="+SambaAdminPassword,
		"--option=interfaces="+s.Address+"/8", "--option=bind interfaces only=yes",
		// The file system may have no extended attributes.
		"--option=vfs objects=dfs_samba4 acl_xattr xattr_tdb", "--option=xattr_tdb:file="+s.path("xattr.tdb"))
	if out, err := provision.CombinedOutput(); err != nil {
		return fmt.Errorf("samba-tool: %w\n%s", err, out)
	}
	for name, content := range map[string][]byte{
		"smb.conf": s.conf(), "populate.py": sambaPopulate, "cert.pem": cert, "key.pem": key, "ca.pem": s.CA.PEM(),
	} {
		if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
			return err
		}
	}
	// Debian's own Python is the one that has Samba's modules.
	populate := exec.Command("/usr/bin/python3", s.path("populate.py"), s.path("smb.conf"), s.path("private/sam.ldb"),
		SambaBaseDN, SambaPassword, SambaServicePassword)
	if out, err := populate.CombinedOutput(); err != nil {
		return fmt.Errorf("populate: %w\n%s", err, out)
	}
	return os.Mkdir(s.path("winbindd"), 0o750)
}

func (s *SambaAD) path(name string) string { return filepath.Join(s.dir, name) }

// conf is smb.conf(5) for a controller that keeps to itself: LDAP, Kerberos
// and DNS on its own address, every file below its own folder.
func (s *SambaAD) conf() []byte {
	return []byte(strings.NewReplacer("DIR", s.dir, "ADDRESS", s.Address, "REALM", SambaRealm, "DOMAIN", SambaDomain).Replace(`[global]
netbios name = DC1
realm = REALM
workgroup = DOMAIN
server role = active directory domain controller
server services = ldap, cldap, kdc, dns
interfaces = ADDRESS/8
bind interfaces only = yes
disable netbios = yes
private dir = DIR/private
state directory = DIR/state
cache directory = DIR/cache
lock directory = DIR
pid directory = DIR
ncalrpc dir = DIR/ncalrpc
binddns dir = DIR/bind-dns
winbindd socket directory = DIR/winbindd
log file = DIR/log
max log size = 0
tls enabled = yes
tls keyfile = DIR/key.pem
tls certfile = DIR/cert.pem
tls cafile = DIR/ca.pem
xattr_tdb:file = DIR/xattr.tdb
`))
}

// start runs the controller until it answers, which takes about a second.
func (s *SambaAD) start(program string) error {
	s.cmd = exec.Command(program, "-s", s.path("smb.conf"), "-F", "--no-process-group", "-M", "prefork")
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if s.cmd.SysProcAttr = runAs(os.Getuid(), os.Getgid()); s.cmd.SysProcAttr == nil {
		s.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	s.cmd.SysProcAttr.Setsid = true // it signals its whole group
	s.ended = make(chan struct{})
	if err := startHere(s.cmd); err != nil {
		return err
	}
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	deadline := time.After(30 * time.Second)
	for !port(s.Address, 389) || !port(s.Address, 636) || !port(s.Address, 88) {
		select {
		case <-s.ended:
			return errors.New("it ended before it was ready")
		case <-deadline:
			return errors.New("it does not listen")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// stop ends the controller; its children follow it.
func (s *SambaAD) stop() {
	if s.ended != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(10 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.ended
		}
	}
	_ = s.claim.Close()
	_ = os.RemoveAll(s.dir)
}
