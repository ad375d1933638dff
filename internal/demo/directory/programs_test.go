package directory

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/outside"
)

// run runs one of OpenLDAP's clients against s, with StartTLS that must work.
func run(t *testing.T, s *Server, program string, args ...string) (output string, exit int) {
	t.Helper()
	path := outside.Program(t, program, "ldap-utils")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	common := []string{"-x", "-H", s.URL()}
	if strings.HasPrefix(s.URL(), "ldap://") {
		common = append(common, "-ZZ")
	}
	cmd := exec.CommandContext(t.Context(), path, append(common, args...)...)
	cmd.Env = []string{"LDAPTLS_CACERT=" + ca, "LDAPTLS_REQCERT=demand"}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", program, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestOpenLDAPClients(t *testing.T) {
	s := start(t, Config{})
	put(t, s, "CN=reset,"+suffix, map[string]string{"pwdReset": "TRUE"})
	put(t, s, "CN=locked,"+suffix, map[string]string{"pwdAccountLockedTime": "000001010000Z"})
	as := func(dn string, rest ...string) []string { return append([]string{"-D", dn, "-w", password}, rest...) }
	search := func(rest ...string) []string { return as(service, append([]string{"-LLL", "-b", suffix}, rest...)...) }
	tests := []struct {
		name    string
		program string
		args    []string
		exit    int
		want    []string
	}{
		{"wrong password", "ldapwhoami", []string{"-D", alice, "-w", "wrong"}, 49, []string{"Invalid credentials (49)"}},
		{"locked", "ldapwhoami", as("CN=locked,"+suffix, "-e", "ppolicy"), 49, []string{"Account locked"}},
		{"reset", "ldapsearch", as("CN=reset,"+suffix, "-e", "ppolicy", "-b", suffix), 50, []string{"Password must be changed", "Operations are restricted"}},
		{"anonymous search", "ldapsearch", []string{"-b", suffix}, 50, []string{"bind first"}},
		{"a base that does not exist", "ldapsearch", as(service, "-b", "CN=x,"+suffix), 32, []string{"result: 32 No such object"}},
		{"size limit", "ldapsearch", search("-z", "1"), 4, []string{"Size limit exceeded (4)", "dn: CN=svc"}},
		{"a critical control", "ldapsearch", search("-E", "!sss=cn"), 12, []string{"Critical extension is unavailable (12)"}},
		{"comparing a password", "ldapcompare", as(service, alice, "userPassword:"+password), 50, nil},
		{"root DSE", "ldapsearch", []string{"-LLL", "-s", "base", "-b", "", "+"}, 0, []string{"namingContexts: " + suffix, "vendorName: Gatehouse"}},
		{"who am I", "ldapwhoami", as(alice), 0, []string{"dn:" + alice}},
		{"nested groups in pages", "ldapsearch", search("-E", "pr=1/noprompt", "(member:1.2.840.113556.1.4.1941:="+alice+")", "1.1"), 0,
			[]string{"dn: CN=dev,", "dn: CN=staff,", "dn: CN=ring,"}},
		{"a comma in a name", "ldapsearch", search(`(member=CN=Doe\5c, John,OU=People,`+suffix+")", "cn"), 0, []string{"cn: dev"}},
		{"a comparison that holds", "ldapcompare", as(service, alice, "mail:ALICE@corp.example.com"), 6, []string{"TRUE"}},
		{"a comparison that does not", "ldapcompare", as(service, alice, "mail:bob@corp.example.com"), 5, []string{"FALSE"}},
		{"a short new password", "ldappasswd", as(alice, "-e", "ppolicy", "-a", password, "-s", "short"), 1, []string{"Constraint violation (19)", "error=6"}},
		{"a used new password", "ldappasswd", as(alice, "-e", "ppolicy", "-a", password, "-s", password), 1, []string{"Constraint violation (19)", "error=8"}},
		{"a new password", "ldappasswd", as("CN=reset,"+suffix, "-a", password, "-s", "battery staple"), 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, exit := run(t, s, tt.program, tt.args...)
			if exit != tt.exit {
				t.Errorf("%s exits with %d, want %d; it says:\n%s", tt.program, exit, tt.exit, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("%s does not say %q but:\n%s", tt.program, want, out)
				}
			}
		})
	}
}

func TestOpenLDAPClientsOverLDAPS(t *testing.T) {
	s := start(t, Config{LDAPS: true})
	if out, exit := run(t, s, "ldapwhoami", "-D", alice, "-w", password); exit != 0 || !strings.Contains(out, "dn:"+alice) {
		t.Errorf("ldapwhoami exits with %d and says:\n%s", exit, out)
	}
}
