package outside

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Tool runs samba-tool on the domain, as its administrator.
func (s *SambaAD) Tool(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command(Program(t, "samba-tool", "samba"), append(args, "--configfile="+s.path("smb.conf"))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("samba-tool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Keytab makes an account for a service, with AES keys alone, gives it the
// principal (HTTP/aws.corp.example.com), and returns a file with its keys.
func (s *SambaAD) Keytab(t testing.TB, account, principal string) string {
	t.Helper()
	database := "--URL=" + s.path("private/sam.ldb")
	s.Tool(t, "user", "create", account, "Service-Account-"+account+"-1", database)
	s.Tool(t, "spn", "add", principal, account, database)
	s.modify(t, "dn: CN="+account+",CN=Users,"+SambaBaseDN+"\nchangetype: modify\nreplace: msDS-SupportedEncryptionTypes\nmsDS-SupportedEncryptionTypes: 24\n")
	return s.Export(t, principal)
}

// Rekey gives an account of Keytab another password, and so other keys.
func (s *SambaAD) Rekey(t testing.TB, account string) {
	t.Helper()
	s.Tool(t, "user", "setpassword", account, "--newpassword=Service-Account-"+account+"-2", "--URL="+s.path("private/sam.ldb"))
}

// Export writes a principal's keys to a new keytab.
func (s *SambaAD) Export(t testing.TB, principal string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "service.keytab")
	s.Tool(t, "domain", "exportkeytab", file, "--principal="+principal)
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Disable disables a person's account.
func (s *SambaAD) Disable(t testing.TB, account string) {
	t.Helper()
	s.Tool(t, "user", "disable", account, "--URL="+s.path("private/sam.ldb"))
}

func (s *SambaAD) modify(t testing.TB, ldif string) {
	t.Helper()
	cmd := exec.Command(Program(t, "ldbmodify", "ldb-tools"), "-H", s.path("private/sam.ldb"))
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ldbmodify: %v\n%s", err, out)
	}
}

// Kinit signs a person in to the realm, as a computer of the domain does, and
// returns the environment under which programs have their ticket. With no
// name the environment has no ticket, but knows the realm.
func (s *SambaAD) Kinit(t testing.TB, name, password string) []string {
	t.Helper()
	kinit, dir := Program(t, "kinit", "krb5-user"), t.TempDir()
	conf := fmt.Sprintf(`[libdefaults]
default_realm = %[1]s
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
%[1]s = {
  kdc = %[2]s:88
}
[domain_realm]
.%[3]s = %[1]s
`, SambaRealm, s.Address, strings.ToLower(SambaRealm))
	if err := os.WriteFile(filepath.Join(dir, "krb5.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "KRB5_CONFIG="+filepath.Join(dir, "krb5.conf"), "KRB5CCNAME=FILE:"+filepath.Join(dir, "tickets"))
	if name == "" {
		return env
	}
	cmd := exec.Command(kinit, name)
	cmd.Env, cmd.Stdin = env, strings.NewReader(password+"\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kinit %s: %v\n%s", name, err, out)
	}
	return env
}
