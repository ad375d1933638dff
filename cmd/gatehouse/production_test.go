package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/config"
	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/outside"
	"gatehouse/internal/outside/faults"
)

const (
	suffix    = "dc=corp,dc=example,dc=com"
	serviceDN = "cn=gatehouse," + suffix
)

// company is what slapd holds: Ann has her role through a group in a group in
// a group.
const company = `dn: dc=corp,dc=example,dc=com
objectClass: domain
dc: corp

dn: ou=people,dc=corp,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=corp,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: ou=aws,ou=groups,dc=corp,dc=example,dc=com
objectClass: organizationalUnit
ou: aws

dn: cn=gatehouse,dc=corp,dc=example,dc=com
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: gatehouse
userPassword: service secret

dn: uid=ann,ou=people,dc=corp,dc=example,dc=com
objectClass: inetOrgPerson
uid: ann
cn: Ann Fischer
sn: Fischer
mail: ann@corp.example.com
userPassword: correct horse

dn: cn=developers,ou=groups,dc=corp,dc=example,dc=com
objectClass: groupOfNames
cn: developers
member: uid=ann,ou=people,dc=corp,dc=example,dc=com

dn: cn=engineers,ou=groups,dc=corp,dc=example,dc=com
objectClass: groupOfNames
cn: engineers
member: cn=developers,ou=groups,dc=corp,dc=example,dc=com

dn: cn=AWS-111122223333-Developer,ou=aws,ou=groups,dc=corp,dc=example,dc=com
objectClass: groupOfNames
cn: AWS-111122223333-Developer
member: cn=engineers,ou=groups,dc=corp,dc=example,dc=com
`

const production = `public_url: https://aws.corp.example.com
listen: 127.0.0.1:0
drain_delay: 0s
tls: {cert_file: tls.crt, key_file: tls.key}
store: "%s"
secret_files: [secret.key]
directories:
  - name: corp
    type: openldap
    urls: ["%s"]
    ca_file: ca.pem
    base_dn: dc=corp,dc=example,dc=com
    bind_dn: cn=gatehouse,dc=corp,dc=example,dc=com
    bind_password_file: bind.pw
aws:
  region: eu-west-1
  sts_endpoint: %s
  signin_endpoint: %s
  accounts:
    "111122223333": {name: Payments, environment: prod}
access:
  rules:
    - directory: corp
      under: ou=aws,ou=groups,dc=corp,dc=example,dc=com
      group_pattern: '^AWS-(?P<account>\d{12})-(?P<role>[\w+=,.@-]+)$'
`

// pair is Gatehouse as it runs in production: two replicas behind one name,
// over TLS, on one PostgreSQL, with people in a real OpenLDAP over LDAPS.
type pair struct {
	*outskirts
	addresses []string
}

// outskirts is what a replica in production stands on, each behind a proxy
// that can misbehave.
type outskirts struct {
	config string // the file
	roots  *x509.CertPool
	aws    *cloud.Server
	slapd  *outside.Slapd

	directory, database, sts, signIn *faults.Proxy
}

// reach starts the world around production: more is added to the directory,
// and keys to the configuration. metadata is the document that operators take
// to IAM. Each edit is a pair for strings.NewReplacer, over the configuration.
func reach(t testing.TB, metadata func() string, more outside.SlapdConfig, keys string, edits ...string) *outskirts {
	t.Helper()
	if more.CA == nil {
		more.CA = outside.NewAuthority(t)
	}
	ca := more.CA
	more.Suffix, more.LDIF, more.ServiceDN = suffix, company+more.LDIF, serviceDN
	slapd := outside.StartSlapd(t, more)
	o := &outskirts{roots: x509.NewCertPool(), slapd: slapd}
	o.roots.AppendCertsFromPEM(ca.PEM())
	var err error
	o.aws, err = cloud.Start(cloud.Config{
		Accounts: []cloud.Account{{ID: "111122223333", Name: "Payments", Providers: []string{"Gatehouse"}, Roles: []cloud.Role{
			{Name: "Developer", Path: "/", MaxSession: time.Hour, Trust: cloud.Trust{Providers: []string{"Gatehouse"}}}}}},
		Metadata: func(context.Context) ([]byte, error) { return []byte(metadata()), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.aws.Close() })
	var database, directory, sts, signIn string
	database, o.database = through(t, outside.Postgres(t))
	directory, o.directory = through(t, slapd.LDAPS)
	sts, o.sts = through(t, o.aws.URL())
	signIn, o.signIn = through(t, o.aws.URL())
	cert, key := ca.Issue(t, time.Now().AddDate(0, 3, 0), "aws.corp.example.com")
	text := strings.NewReplacer(edits...).Replace(fmt.Sprintf(production, database, directory, sts, signIn)) + keys
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tls.crt": string(cert), "tls.key": string(key), "ca.pem": string(ca.PEM()), "bind.pw": "service secret\n",
		"secret.key": strings.Repeat("0123456789abcdef", 2), "gatehouse.yaml": text,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.config = filepath.Join(dir, "gatehouse.yaml")
	return o
}

// through puts a proxy before the server of a URL.
func through(t testing.TB, address string) (string, *faults.Proxy) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p, err := faults.Start(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	u.Host = p.Address()
	return u.String(), p
}

func startPair(t *testing.T) *pair { return startPairWith(t, outside.SlapdConfig{}, "") }

// startPairWith is startPair with more entries in the directory (those of
// more.LDIF) and more lines in the configuration. Each edit is a pair for
// strings.NewReplacer, over the configuration.
func startPairWith(t *testing.T, more outside.SlapdConfig, keys string, edits ...string) *pair {
	t.Helper()
	return startReplicas(t, 2, more, keys, edits...)
}

// startReplicas serves one configuration n times.
func startReplicas(t *testing.T, n int, more outside.SlapdConfig, keys string, edits ...string) *pair {
	t.Helper()
	p := &pair{}
	p.outskirts = reach(t, func() string { return p.browser(t, 0).get("/saml/metadata").body }, more, keys, edits...)
	for range n {
		cfg, err := config.Load(p.config)
		if err != nil {
			t.Fatal(err)
		}
		doors, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.addresses = append(p.addresses, doors.Addr().String())
		serving(t, cfg, doors, &lines{})
	}
	return p
}

// load reads the configuration, as a command beside the replicas does.
func (p *pair) load(t *testing.T) *config.Config {
	t.Helper()
	cfg, err := config.Load(p.config)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// browser is one that a load balancer sends to a replica.
func (p *pair) browser(t testing.TB, replica int) *browser {
	return newBrowser(t, "https://aws.corp.example.com", p.way(replica))
}

func (p *pair) way(replica int) *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "aws.corp.example.com:") {
				address = p.addresses[replica]
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}}
}

func TestTwoReplicasAreOneGatehouse(t *testing.T) {
	t.Parallel()
	p := startPair(t)

	if one, two := p.browser(t, 0).get("/saml/metadata"), p.browser(t, 1).get("/saml/metadata"); one.body != two.body || !strings.Contains(one.body, "X509Certificate") {
		t.Errorf("the replicas' metadata differ, or have no certificate:\n%s\n%s", one.body, two.body)
	}

	// Sign in at one, go on at the other, and get what nested groups give.
	b := p.browser(t, 0)
	page := b.post("/login", "username", "ann", "password", "correct horse")
	page.want(t, 200, "1 account, 1 role.", "Developer")
	cookie := b.client.Jar.Cookies(page.url)
	if len(cookie) != 2 || cookie[0].Name != "__Host-gatehouse" || cookie[1].Name != "__Host-gatehouse-device" {
		t.Errorf("cookies = %v, want __Host-gatehouse and __Host-gatehouse-device", cookie)
	}
	b.client.Transport = p.way(1)
	b.get("/").want(t, 200, "1 account, 1 role.")
	var c process
	if err := json.Unmarshal([]byte(b.post("/roles/111122223333/Developer", "as", "json").body), &c); err != nil || c.AccessKeyId == "" {
		t.Errorf("the other replica handed out %+v, %v", c.AccessKeyId, err)
	}
	b.client.Transport = p.way(0)
	b.post("/roles/111122223333/Developer", "as", "console").want(t, 200, "Opening the AWS console")

	// Both wrote to one record, each its own chain.
	s := record(t, p.load(t), nil)
	grants, err := s.Events(t.Context(), gatehouse.EventQuery{Kind: gatehouse.EventGranted})
	if err != nil || len(grants) != 2 || grants[0].Session != grants[1].Session {
		t.Errorf("grants on the record: %+v, %v", grants, err)
	}
	if report, err := audit.Verify(t.Context(), s); err != nil || !report.OK() || report.Chains != 2 {
		t.Errorf("verification: %+v, %v", report, err)
	}

	// Guesses at one count at the other.
	for _, password := range []string{"wrong", "guess", "another"} {
		p.browser(t, 0).post("/login", "username", "ann", "password", password).want(t, 401, invalid)
	}
	p.browser(t, 1).post("/login", "username", "ann", "password", "correct horse").want(t, 429, "Too many attempts.")

	// Signed out at one is signed out at the other.
	b.post("/logout").want(t, 200, "You are signed out.")
	stolen := p.browser(t, 1)
	stolen.client.Jar.SetCookies(page.url, cookie)
	if got := stolen.get("/"); got.url.Path != "/login" {
		t.Errorf("a session that was signed out at the other replica leads to %s", got.url)
	}
}

func TestWithPostgreSQLGoneThePageNamesTheStore(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	b := p.browser(t, 0)
	b.post("/login", "username", "ann", "password", "correct horse").want(t, 200, "Developer")
	p.database.Close()
	for name, got := range map[string]page{
		"a sign-in":  p.browser(t, 1).post("/login", "username", "ann", "password", "correct horse"),
		"a hand-out": b.post("/roles/111122223333/Developer", "as", "json"),
		"the portal": b.get("/"),
	} {
		got.soon(t)
		got.keyless(t)
		if got.status != 503 || !strings.Contains(got.text(), "The record store cannot be reached.") || len(got.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s answered %d:\n%s", name, got.status, got.text())
		}
	}
}

// check and explain work from the same file that production serves from.
func TestCheckAndExplainSpeakOfTheSameCompany(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	var out, errs lines
	if code := run(t.Context(), []string{"check", "--config", p.config}, &out, &errs); code != exitDone {
		t.Errorf("check ended with %d:\n%s%s", code, &out, &errs)
	}
	for _, want := range []string{"tls", "signing key", "directory corp", "AWS STS"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("check says nothing of %s:\n%s", want, &out)
		}
	}
	out = lines{}
	if code := run(t.Context(), []string{"explain", "--config", p.config, "ann"}, &out, &errs); code != exitDone ||
		!strings.Contains(out.String(), "through cn=developers,ou=groups,"+suffix+" in cn=engineers,ou=groups,"+suffix) {
		t.Errorf("explain ended with %d:\n%s%s", code, &out, &errs)
	}
}
