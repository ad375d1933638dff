package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/outside"
	"gatehouse/ldap"
)

// attributesConfig sends what a directory says of a person along to AWS.
const attributesConfig = `public_url: https://aws.corp.example.com
listen: 127.0.0.1:0
tls: {cert_file: tls.crt, key_file: tls.key}
store: gatehouse.db
secret_files: [secret.key]
directories:
  - name: corp
    ca_file: ca.pem
    bind_password_file: bind.pw
%s
aws:
  region: eu-west-1
  sts_endpoint: %s
  signin_endpoint: %[2]s
  accounts:
    "111122223333": {name: Payments, environment: prod}
access:
  rules:
    - directory: corp
      under: %[3]s
      groups: [org]
      roles: [arn:aws:iam::111122223333:role/Developer]
      session_tags:
        mail: "{mail}"
        department: "{attribute:%[4]s}"
        employee: "{attribute:employeeNumber}"
        phones: "{attribute:%[5]s}"
        photo: "{attribute:jpegPhoto}"
        none: "{attribute:carLicense}"
      transitive_tags: [department]
      source_identity: "employee-{attribute:employeeNumber}"
`

// aliceInSlapd has alice as the domain controller of these tests has her: in a
// group that is in a group that is in a group that is in the first again.
const aliceInSlapd = `dn: dc=corp,dc=example,dc=com
objectClass: domain
dc: corp

dn: ou=groups,dc=corp,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: cn=gatehouse,dc=corp,dc=example,dc=com
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: gatehouse
userPassword: service secret

dn: uid=alice,dc=corp,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice Ng
sn: Ng
mail: alice@corp.example.com
departmentNumber: Über Payments
employeeNumber: 4711
telephoneNumber: 2
telephoneNumber: 1
jpegPhoto:: /9j/AA==
userPassword: Correct-Horse-1

dn: cn=team,ou=groups,dc=corp,dc=example,dc=com
objectClass: groupOfNames
cn: team
member: uid=alice,dc=corp,dc=example,dc=com
member: cn=org,ou=groups,dc=corp,dc=example,dc=com

dn: cn=dept,ou=groups,dc=corp,dc=example,dc=com
objectClass: groupOfNames
cn: dept
member: cn=team,ou=groups,dc=corp,dc=example,dc=com

dn: cn=org,ou=groups,dc=corp,dc=example,dc=com
objectClass: groupOfNames
cn: org
member: cn=dept,ou=groups,dc=corp,dc=example,dc=com
`

// policies are what ppolicy needs for the people of statesInSlapd.
const policies = `dn: cn=default,dc=corp,dc=example,dc=com
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 5
pwdMustChange: TRUE

dn: cn=aged,dc=corp,dc=example,dc=com
objectClass: device
objectClass: pwdPolicy
cn: aged
pwdAttribute: userPassword
pwdMaxAge: 864000
pwdExpireWarning: 864000

dn: cn=graced,dc=corp,dc=example,dc=com
objectClass: device
objectClass: pwdPolicy
cn: graced
pwdAttribute: userPassword
pwdMaxAge: 864000
pwdGraceAuthNLimit: 3

`

// statesInSlapd writes people for the states that OpenLDAP knows.
func statesInSlapd() string {
	var b strings.Builder
	b.WriteString(aliceInSlapd + "\n" + policies)
	ago := func(days int) string { return time.Now().UTC().AddDate(0, 0, -days).Format("20060102150405Z") }
	for uid, state := range map[string]string{
		"bob": "", "frank": "", "must-change": "pwdReset: TRUE\n", "shared1": "mail: shared@corp.example.com\n", "shared2": "mail: shared@corp.example.com\n",
		"erin":   "pwdPolicySubentry: cn=aged," + suffix + "\npwdChangedTime: " + ago(365) + "\n",
		"warned": "pwdPolicySubentry: cn=aged," + suffix + "\npwdChangedTime: " + ago(5) + "\n",
		"graced": "pwdPolicySubentry: cn=graced," + suffix + "\npwdChangedTime: " + ago(365) + "\n",
	} {
		fmt.Fprintf(&b, "dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: x\nuserPassword: %[3]s\n%[4]s\n", uid, suffix, outside.SambaPassword, state)
	}
	// deep is nested one level more than is followed.
	fmt.Fprintf(&b, "dn: uid=deep,%s\nobjectClass: inetOrgPerson\nuid: deep\ncn: deep\nsn: x\nuserPassword: %s\n\n", suffix, outside.SambaPassword)
	for i, member := 0, "uid=deep,"+suffix; i < 11; i++ {
		dn := fmt.Sprintf("cn=deep-%d,ou=groups,%s", i, suffix)
		fmt.Fprintf(&b, "dn: %s\nobjectClass: groupOfNames\ncn: deep-%d\nmember: %s\n\n", dn, i, member)
		member = dn
	}
	return b.String()
}

// realDirectory is one of the two that Gatehouse is for.
type realDirectory struct {
	ca       *outside.Authority
	slapd    *outside.Slapd // where it is one
	keys     string         // of the directory, in YAML
	password string         // of the service account
	under    string
	chain    string // as explain prints it
	phones   string // the attribute that has several values
	division string // the attribute that has a department
}

func realSlapd(t *testing.T) realDirectory {
	s := outside.StartSlapd(t, outside.SlapdConfig{Suffix: suffix, LDIF: statesInSlapd(), ServiceDN: serviceDN, DefaultPolicy: "cn=default," + suffix})
	return realDirectory{s.CA, s, fmt.Sprintf("    type: openldap\n    urls: [%q]\n    base_dn: %s\n    bind_dn: %s", s.LDAPS, suffix, serviceDN),
		"service secret", "ou=groups," + suffix, "through cn=team,ou=groups," + suffix + " in cn=dept,ou=groups," + suffix, "telephoneNumber", "departmentNumber"}
}

func realSamba(t *testing.T) realDirectory {
	s, base := outside.Samba(t), outside.SambaBaseDN
	return realDirectory{s.CA, nil, fmt.Sprintf("    type: active_directory\n    urls: [%q]\n    base_dn: %s\n    bind_dn: %s", s.LDAPS, base, outside.SambaServiceDN),
		outside.SambaServicePassword, "OU=Groups," + base, "through CN=team,OU=Groups," + base + " in CN=dept,OU=Groups," + base, "otherTelephone", "department"}
}

// served is a Gatehouse whose people are in a real directory.
type served struct {
	file    string // its configuration
	cfg     *config.Config
	browser func() *browser
	aws     *cloud.Server
}

// serve starts AWS's stand-in and Gatehouse.
func (r realDirectory) serve(t *testing.T) served {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.ca.PEM())
	var address string // once it serves
	fresh := func() *browser {
		return newBrowser(t, "https://aws.corp.example.com", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
				if strings.HasPrefix(to, "aws.corp.example.com:") {
					to = address
				}
				return new(net.Dialer).DialContext(ctx, network, to)
			}})
	}
	aws, err := cloud.Start(cloud.Config{
		Accounts: []cloud.Account{{ID: "111122223333", Name: "Payments", Providers: []string{"Gatehouse"}, Roles: []cloud.Role{
			{Name: "Developer", Path: "/", MaxSession: time.Hour, Trust: cloud.Trust{Providers: []string{"Gatehouse"}, TagSession: true, SetSourceIdentity: true}}}}},
		Metadata: func(context.Context) ([]byte, error) { return []byte(fresh().get("/saml/metadata").body), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = aws.Close() })
	cert, key := r.ca.Issue(t, time.Now().AddDate(0, 3, 0), "aws.corp.example.com")
	dir := t.TempDir()
	file := filepath.Join(dir, "gatehouse.yaml")
	for name, text := range map[string]string{
		"tls.crt": string(cert), "tls.key": string(key), "ca.pem": string(r.ca.PEM()), "bind.pw": r.password, "secret.key": strings.Repeat("0123456789abcdef", 2),
		"gatehouse.yaml": strings.Replace(fmt.Sprintf(attributesConfig, r.keys, aws.URL(), r.under, r.division, r.phones), "store: ", "store: sqlite://"+dir+"/", 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	doors, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = doors.Addr().String()
	serving(t, cfg, doors, &lines{})
	return served{file, cfg, fresh, aws}
}

// What a real directory says of a person, in several values, in bytes that
// are no text and in letters that are not ASCII, is what AWS is told of the
// session; and explain shows it, and the chain of groups that gave the role.
func TestAttributesReachAWSFromRealDirectories(t *testing.T) {
	want := []cloud.Tag{{Key: "department", Value: "Über Payments"}, {Key: "employee", Value: "4711"}, {Key: "mail", Value: "alice@corp.example.com"},
		{Key: "phones", Value: "1:2"}, {Key: "photo", Value: "/9j/AA=="}}
	for name, start := range map[string]func(*testing.T) realDirectory{"OpenLDAP": realSlapd, "Active Directory": realSamba} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			g := r.serve(t)
			b := g.browser()
			b.post("/login", "username", "alice", "password", outside.SambaPassword).want(t, 200, "1 account, 1 role.", "Developer")
			b.post("/roles/111122223333/Developer", "as", "json").want(t, 200, "AccessKeyId")
			calls := g.aws.Calls()
			if len(calls) == 0 {
				t.Fatal("AWS was not asked")
			}
			call := calls[len(calls)-1]
			if diff := cmp.Diff(want, call.Tags); diff != "" || call.Why != "" {
				t.Errorf("AWS was told (-want +got):\n%s%s", diff, call.Why)
			}
			if call.SourceIdentity != "employee-4711" || !cmp.Equal(call.Transitive, []string{"department"}) {
				t.Errorf("source identity %q, transitive %q", call.SourceIdentity, call.Transitive)
			}
			var out, errs lines
			code := run(t.Context(), []string{"explain", "--config", g.file, "alice"}, &out, &errs)
			for _, words := range []string{r.chain, "department=Über Payments", "phones=1:2", "photo=/9j/AA==", "employee-4711"} {
				if code != exitDone || !strings.Contains(out.String(), words) {
					t.Errorf("explain ended with %d, without %q:\n%s%s", code, words, &out, &errs)
				}
			}
		})
	}
}

// seen is somebody in some state, and what the page says to their password.
type seen struct {
	state, username string
	status          int
	says            string
}

var seenFromSamba = []seen{
	{"ordinary", "alice", 200, "1 account, 1 role."},
	{"password expires soon", "strictly", 200, "Your password expires in"},
	{"password expired", "erin", 401, "Your password has expired."},
	{"password must be changed", "must-change", 401, "You must choose a new password first."},
	{"disabled", "grace", 401, "Your directory account is disabled."},
	{"account expired", "gone", 401, "Your directory account has expired."},
	{"no hour of the week", "nights", 401, "You cannot sign in now."},
	{"workstations", "workstation", 401, "You cannot sign in now."},
	{"smart cards only", "smart-card", 401, invalid},
	{"locked", "frank", 401, invalid},
	{"two people", "short", 401, invalid},
	{"nobody", "nobody", 401, invalid},
}

var seenFromSlapd = []seen{
	{"ordinary", "alice", 200, "1 account, 1 role."},
	{"password expires soon", "warned", 200, "Your password expires in 4 days."},
	{"password expired", "erin", 401, "Your password has expired."},
	{"password expired, with grace", "graced", 200, "Your password expires today."},
	{"password must be changed", "must-change", 401, "You must choose a new password first."},
	{"locked", "frank", 401, invalid},
	{"groups too deep in each other", "deep", 403, "You are in too many groups."},
	{"two people", "shared@corp.example.com", 401, invalid},
	{"nobody", "nobody", 401, invalid},
}

// What a person sees in each state of their account, in a real directory:
// with a wrong password always the same; and once the right one was given, why not.
func TestWhatPeopleSeeFromActiveDirectory(t *testing.T) {
	realSamba(t).serve(t).shows(t, seenFromSamba)
}

func TestWhatPeopleSeeFromOpenLDAP(t *testing.T) {
	r := realSlapd(t)
	g := r.serve(t)
	g.shows(t, seenFromSlapd)
	var out, errs lines
	if code := run(t.Context(), []string{"explain", "--config", g.file, "deep"}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "groups_too_deep") || !strings.Contains(errs.String(), "; try: narrow group_base_dn or group_filter") {
		t.Errorf("explain ended with %d:\n%s%s", code, &out, &errs)
	}
	r.slapd.Freeze()
	g.browser().post("/login", "username", "alice", "password", outside.SambaPassword).want(t, 503, "The directory cannot be reached.")
}

func (g served) shows(t *testing.T, list []seen) {
	t.Helper()
	d := g.directory(t)
	for range 5 {
		_, _ = d.Authenticate(t.Context(), "frank", "wrong", func(gatehouse.User) error { return nil })
	}
	t.Run("each", func(t *testing.T) {
		for _, s := range list {
			t.Run(s.state, func(t *testing.T) {
				t.Parallel()
				b := g.browser()
				b.post("/login", "username", s.username, "password", "Wrong-Horse-1").want(t, 401, invalid)
				b.post("/login", "username", s.username, "password", outside.SambaPassword).want(t, s.status, s.says)
			})
		}
	})
	g.guessed(t, d)
}

// directory is the one that g has, asked past g.
func (g served) directory(t *testing.T) *ldap.Directory {
	t.Helper()
	d, err := ldap.New(g.cfg.Directories[0], nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// guessed fails the test if a stranger who guesses locks bob out of his
// directory, rather than being paused.
func (g served) guessed(t *testing.T, d *ldap.Directory) {
	t.Helper()
	g.browser().post("/login", "username", "bob", "password", outside.SambaPassword).want(t, 200)
	b, paused := g.browser(), false
	for i := range 8 {
		p := b.post("/login", "username", "bob", "password", fmt.Sprintf("Wrong-Horse-%d", i))
		paused = paused || p.status == http.StatusTooManyRequests && strings.Contains(p.text(), "Too many attempts.")
	}
	u, err := d.Identify(t.Context(), "bob")
	if err == nil {
		_, err = d.Lookup(t.Context(), u.ID)
	}
	if err != nil || !paused {
		t.Errorf("after eight guesses: paused %v, and the directory says %v", paused, err)
	}
}
