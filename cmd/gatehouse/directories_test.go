package main

import (
	"strings"
	"testing"
	"time"

	"gatehouse/internal/outside"
)

// labs is a second company's directory. It has an Ann of its own, and Zed.
const labs = `dn: dc=lab,dc=example,dc=net
objectClass: domain
dc: lab

dn: cn=gatehouse,dc=lab,dc=example,dc=net
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: gatehouse
userPassword: service secret

dn: uid=ann,dc=lab,dc=example,dc=net
objectClass: inetOrgPerson
uid: ann
cn: Ann of the lab
sn: Lab
userPassword: another horse

dn: uid=zed,dc=lab,dc=example,dc=net
objectClass: inetOrgPerson
uid: zed
cn: Zed
sn: Zed
mail: zed@mail.example
userPassword: zebra crossing

dn: cn=everybody,dc=lab,dc=example,dc=net
objectClass: pwdPolicy
objectClass: device
cn: everybody
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 5
pwdFailureCountInterval: 1800
`

// kim is in the first alone.
const kim = `
dn: uid=kim,ou=people,dc=corp,dc=example,dc=com
objectClass: inetOrgPerson
uid: kim
cn: Kim
sn: Kim
userPassword: kind regards
`

// second is labs in the configuration. What the first claims is written
// before it, where its own keys are.
const second = `
  - name: lab
    type: openldap
    suffixes: [lab.example.net, LAB]
    urls: ["%s"]
    ca_file: ca.pem
    base_dn: dc=lab,dc=example,dc=net
    bind_dn: cn=gatehouse,dc=lab,dc=example,dc=net
    bind_password_file: bind.pw
`

// Two real directories, each with an Ann: her password goes to hers alone.
func TestSeveralDirectories(t *testing.T) {
	t.Parallel()
	ca := outside.NewAuthority(t)
	const suffixOfLab = "dc=lab,dc=example,dc=net"
	lab := outside.StartSlapd(t, outside.SlapdConfig{Suffix: suffixOfLab, LDIF: labs, ServiceDN: "cn=gatehouse," + suffixOfLab,
		DefaultPolicy: "cn=everybody," + suffixOfLab, CA: ca})
	p := startPairWith(t, outside.SlapdConfig{LDIF: lockout + kim, DefaultPolicy: "cn=everybody,ou=policies," + suffix, CA: ca}, "",
		"    base_dn: dc=corp", "    suffixes: [corp.example.com, CORP]\n    base_dn: dc=corp", "aws:\n", strings.TrimPrefix(strings.Replace(second, "%s", lab.LDAPS, 1), "\n")+"aws:\n")
	reads := map[string]func() int{}
	for dn, s := range map[string]*outside.Slapd{"uid=ann,ou=people," + suffix: p.slapd, "uid=ann," + suffixOfLab: lab} {
		service := "cn=gatehouse," + dn[strings.Index(dn, "dc="):]
		read := reader(t, s.LDAPS, service, "service secret", ca)
		reads[dn] = func() int { return len(read(dn, "pwdFailureTime").GetAttributeValues("pwdFailureTime")) }
	}
	s := record(t, p.load(t), nil)
	signIn := func(username, password string) page {
		t.Helper()
		return p.browser(t, 0).post("/login", "username", username, "password", password)
	}

	p.browser(t, 0).get("/login").want(t, 200, "Or in full, such as bob@corp.example.com or bob@lab.example.net .")
	for _, tt := range []struct{ name, username, password, directory string }{
		{"a suffix names the directory", "ann@corp.example.com", "correct horse", "corp"},
		{"either of them", "ann@lab.example.net", "another horse", "lab"},
		{"in the old way, too", `lab\ann`, "another horse", "lab"},
		{"a bare name that one knows", "zed", "zebra crossing", "lab"},
		{"a mail address under nobody's suffix", "zed@mail.example", "zebra crossing", "lab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := signIn(tt.username, tt.password); got.status != 200 {
				t.Errorf("answered %d:\n%s", got.status, got.text())
			}
			if e := lastEvent(t, s); e.Directory != tt.directory || e.Reason != "" {
				t.Errorf("event %+v, want directory %s", e, tt.directory)
			}
		})
	}
	for _, tt := range []struct{ name, username, password, reason string }{
		{"a bare name that both know is nobody's, with either password", "ann", "correct horse", "ambiguous"},
		{"with either", "ann", "another horse", "ambiguous"},
		{"a claimed suffix is no way to the other directory's people", "zed@corp.example.com", "zebra crossing", "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signIn(tt.username, tt.password).want(t, 401, invalid)
			if e := lastEvent(t, s); e.Reason != tt.reason || e.Username != "" {
				t.Errorf("event %+v, want %s", e, tt.reason)
			}
		})
	}
	t.Run("nobody's password was tried on another's account", func(t *testing.T) {
		for dn, failures := range reads {
			if n := failures(); n != 0 {
				t.Errorf("%s: %d wrong passwords", dn, n)
			}
		}
	})
	t.Run("explain says that a name is ambiguous, and goes by a suffix as a sign-in does", func(t *testing.T) {
		var out, errs lines
		if code := run(t.Context(), []string{"explain", "--config", p.config, "ann"}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "more than one person") {
			t.Errorf("ended with %d:\n%s%s", code, &out, &errs)
		}
		if code := run(t.Context(), []string{"explain", "--config", p.config, "ann@lab.example.net"}, &out, &errs); code != exitDone || !strings.Contains(out.String(), "Ann of the lab") {
			t.Errorf("ended with %d:\n%s%s", code, &out, &errs)
		}
	})
	t.Run("one that hangs keeps nobody of the other out, and claims nobody", func(t *testing.T) {
		lab.Freeze()
		defer lab.Thaw()
		own := signIn("ann@corp.example.com", "correct horse")
		own.want(t, 200)
		if own.took > time.Second {
			t.Errorf("whose suffix leads elsewhere took %v", own.took)
		}
		got := signIn("kim", "kind regards")
		got.want(t, 200)
		got.soon(t)
		got = signIn("zed", "zebra crossing")
		got.want(t, 503, "The directory cannot be reached.")
		got.soon(t)
	})
}
