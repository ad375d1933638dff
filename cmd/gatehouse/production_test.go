package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/config"
	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/outside"
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
  signin_endpoint: %[3]s
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
	config    string // the file
	addresses []string
	roots     *x509.CertPool
	database  *cable
	aws       *cloud.Server
	slapd     *outside.Slapd
}

func startPair(t *testing.T) *pair { return startPairWith(t, outside.SlapdConfig{}, "") }

// startPairWith is startPair with more entries in the directory (those of
// more.LDIF) and more lines in the configuration. Each edit is a pair for
// strings.NewReplacer, over the configuration.
func startPairWith(t *testing.T, more outside.SlapdConfig, keys string, edits ...string) *pair {
	t.Helper()
	if more.CA == nil {
		more.CA = outside.NewAuthority(t)
	}
	ca := more.CA
	more.Suffix, more.LDIF, more.ServiceDN = suffix, company+more.LDIF, serviceDN
	slapd := outside.StartSlapd(t, more)
	p := &pair{roots: x509.NewCertPool(), slapd: slapd}
	p.roots.AppendCertsFromPEM(ca.PEM())
	database, err := url.Parse(outside.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	p.database = plug(t, database.Host)
	database.Host = p.database.address
	p.aws, err = cloud.Start(cloud.Config{
		Accounts: []cloud.Account{{ID: "111122223333", Name: "Payments", Providers: []string{"Gatehouse"}, Roles: []cloud.Role{
			{Name: "Developer", Path: "/", MaxSession: time.Hour, Trust: cloud.Trust{Providers: []string{"Gatehouse"}}}}}},
		Metadata: func(context.Context) ([]byte, error) { return []byte(p.browser(t, 0).get("/saml/metadata").body), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.aws.Close() })
	cert, key := ca.Issue(t, time.Now().AddDate(0, 3, 0), "aws.corp.example.com")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tls.crt": string(cert), "tls.key": string(key), "ca.pem": string(ca.PEM()), "bind.pw": "service secret\n",
		"secret.key": strings.Repeat("0123456789abcdef", 2), "gatehouse.yaml": strings.NewReplacer(edits...).Replace(fmt.Sprintf(production, database, slapd.LDAPS, p.aws.URL())) + keys,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.config = filepath.Join(dir, "gatehouse.yaml")
	for range 2 {
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

// cable leads to a server, until it is pulled.
type cable struct {
	address string
	l       net.Listener
	mu      sync.Mutex
	open    []net.Conn
}

func plug(t *testing.T, target string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{address: l.Addr().String(), l: l}
	t.Cleanup(c.pull)
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target)
			if err != nil {
				_ = from.Close()
				continue
			}
			c.mu.Lock()
			c.open = append(c.open, from, to)
			c.mu.Unlock()
			go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
			go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
		}
	}()
	return c
}

func (c *cable) pull() {
	_ = c.l.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		_ = conn.Close()
	}
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
	p.database.pull()
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
