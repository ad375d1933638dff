package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/internal/config"
	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/outside"
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

// realDirectory is one of the two that Gatehouse is for.
type realDirectory struct {
	ca       *outside.Authority
	keys     string // of the directory, in YAML
	password string // of the service account
	under    string
	chain    string // as explain prints it
	phones   string // the attribute that has several values
	division string // the attribute that has a department
}

func realSlapd(t *testing.T) realDirectory {
	s := outside.StartSlapd(t, outside.SlapdConfig{Suffix: suffix, LDIF: aliceInSlapd, ServiceDN: serviceDN})
	return realDirectory{s.CA, fmt.Sprintf("    type: openldap\n    urls: [%q]\n    base_dn: %s\n    bind_dn: %s", s.LDAPS, suffix, serviceDN),
		"service secret", "ou=groups," + suffix, "through cn=team,ou=groups," + suffix + " in cn=dept,ou=groups," + suffix, "telephoneNumber", "departmentNumber"}
}

func realSamba(t *testing.T) realDirectory {
	s, base := outside.Samba(t), outside.SambaBaseDN
	return realDirectory{s.CA, fmt.Sprintf("    type: active_directory\n    urls: [%q]\n    base_dn: %s\n    bind_dn: %s", s.LDAPS, base, outside.SambaServiceDN),
		outside.SambaServicePassword, "OU=Groups," + base, "through CN=team,OU=Groups," + base + " in CN=dept,OU=Groups," + base, "otherTelephone", "department"}
}

// serveFrom starts AWS's stand-in and a Gatehouse whose people are in r.
func (r realDirectory) serveFrom(t *testing.T) (file string, b *browser, aws *cloud.Server) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.ca.PEM())
	var address string
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
	file = filepath.Join(dir, "gatehouse.yaml")
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
	return file, fresh(), aws
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
			file, b, aws := r.serveFrom(t)
			b.post("/login", "username", "alice", "password", outside.SambaPassword).want(t, 200, "1 account, 1 role.", "Developer")
			b.post("/roles/111122223333/Developer", "as", "json").want(t, 200, "AccessKeyId")
			calls := aws.Calls()
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
			code := run(t.Context(), []string{"explain", "--config", file, "alice"}, &out, &errs)
			for _, words := range []string{r.chain, "department=Über Payments", "phones=1:2", "photo=/9j/AA==", "employee-4711"} {
				if code != exitDone || !strings.Contains(out.String(), words) {
					t.Errorf("explain ended with %d, without %q:\n%s%s", code, words, &out, &errs)
				}
			}
		})
	}
}
