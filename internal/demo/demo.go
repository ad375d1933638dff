// Package demo is a sample company: a directory with people who show what can
// happen at a sign-in, and an AWS with a dozen accounts and then some. Both
// run on loopback, and the configuration that joins Gatehouse to them is an
// ordinary one: the portal of a demo is served by the same code as any other.
package demo

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/demo/directory"
)

const providerName = "Gatehouse"

// Options say where the demo runs.
type Options struct {
	Portal string // HOST:PORT of the portal, with the port it really has
	AWS    string // HOST:PORT of the AWS emulator; port 0: any free one
	LDAP   string // HOST:PORT of the directory; port 0: any free one
	State  string // folder for the store, the secrets and the certificate; it must exist
	Log    *slog.Logger
}

// World is the sample company, running.
type World struct {
	AWS    string // URL of the emulator
	LDAP   string // URL of the directory
	People []Person

	ConfigFile string // where the configuration would lie
	Config     []byte // its text

	Directory *directory.Server
	Cloud     *cloud.Server
}

// Start brings up the directory and AWS. The caller serves World.Load's
// configuration, or has somebody else do it, and calls Close in the end.
func Start(o Options) (*World, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w, s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	w.Directory, err = directory.Start(directory.Config{
		Listen: o.LDAP, Suffix: Suffix, Entries: entries(s.bindPassword), Certificate: &s.certificate, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the directory on %s: %w", o.LDAP, err)
	}
	w.LDAP = w.Directory.URL()
	if err := w.startCloud(o); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if w.Config, err = w.configuration(o); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Describe is Start without starting: the World that would run, with a free
// port in the place of each 0.
func Describe(o Options) (*World, error) {
	w, _, err := prepare(o)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		url             *string
		scheme, address string
	}{{&w.LDAP, "ldap://", o.LDAP}, {&w.AWS, "http://", o.AWS}} {
		address := part.address
		if _, port, _ := net.SplitHostPort(address); port == "0" {
			if address, err = settled(address); err != nil {
				return nil, err
			}
		}
		*part.url = part.scheme + address
	}
	w.Config, err = w.configuration(o)
	return w, err
}

// prepare makes what the state folder holds.
func prepare(o Options) (*World, state, error) {
	s, err := openState(o.State)
	if err != nil {
		return nil, s, fmt.Errorf("preparing %s: %w", o.State, err)
	}
	w := &World{ConfigFile: filepath.Join(o.State, "gatehouse.yaml"), People: people()}
	for i := range w.People {
		w.People[i].Password = Password
	}
	return w, s, nil
}

// startCloud starts AWS on a listener's address, which must be known before
// its roles can say what they trust. Where any port will do, one that
// somebody else was quicker to take is no reason to give up.
func (w *World) startCloud(o Options) error {
	metadata := "http://" + o.Portal + "/saml/metadata"
	_, port, _ := net.SplitHostPort(o.AWS)
	for tries := 1; ; tries++ {
		address, err := settled(o.AWS)
		if err != nil {
			return fmt.Errorf("starting AWS on %s: %w", o.AWS, err)
		}
		w.AWS = "http://" + address
		w.Cloud, err = cloud.Start(cloud.Config{
			Listen:   address,
			Accounts: estate(w.AWS + "/saml"),
			Metadata: func(ctx context.Context) ([]byte, error) { return fetch(ctx, metadata) },
			Log:      o.Log,
		})
		if err == nil {
			return nil
		}
		if port != "0" || tries == 3 {
			return fmt.Errorf("starting AWS on %s: %w", address, err)
		}
	}
}

// settled turns port 0 into one that is free just now.
func settled(address string) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// fetch does what an operator does by hand: it takes the identity provider's
// metadata to IAM.
func fetch(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, 1<<20))
}

// Load reads the configuration as `serve` would.
func (w *World) Load() (*config.Config, error) { return config.Parse(w.ConfigFile, w.Config) }

// Close ends the directory and AWS.
func (w *World) Close() error {
	var errs []error
	if w.Cloud != nil {
		errs = append(errs, w.Cloud.Close())
	}
	if w.Directory != nil {
		errs = append(errs, w.Directory.Close())
	}
	return errors.Join(errs...)
}

// state is what the demo keeps in its folder, so that with --state the same
// company is there again.
type state struct {
	bindPassword string
	certificate  tls.Certificate
}

// Files of the state folder, beside the store.
const (
	secretFile   = "secret.key"
	bindFile     = "bind.pw"
	caFile       = "directory-ca.pem"
	keyFile      = "directory-key.pem"
	accountsFile = "accounts.csv"
)

func openState(dir string) (state, error) {
	var s state
	if _, err := keep(dir, secretFile, func() ([]byte, error) { return []byte(rand.Text() + rand.Text()), nil }); err != nil {
		return s, err
	}
	password, err := keep(dir, bindFile, func() ([]byte, error) { return []byte(rand.Text()), nil })
	if err != nil {
		return s, err
	}
	s.bindPassword = string(password)
	if err := os.WriteFile(filepath.Join(dir, accountsFile), accountsCSV(), 0o600); err != nil {
		return s, err
	}
	s.certificate, err = certificate(dir)
	return s, err
}

// keep reads a file of the folder, or makes it.
func keep(dir, name string, make func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if text, err = make(); err != nil {
		return nil, err
	}
	return text, os.WriteFile(path, text, 0o600)
}

// certificate is the directory's own, signed by itself, which is why it is
// also the CA file of the configuration.
func certificate(dir string) (tls.Certificate, error) {
	cert, key := filepath.Join(dir, caFile), filepath.Join(dir, keyFile)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err == nil && time.Now().Before(pair.Leaf.NotAfter.Add(-24*time.Hour)) {
		return pair, nil
	}
	certPEM, keyPEM, err := newCertificate()
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := errors.Join(os.WriteFile(cert, certPEM, 0o600), os.WriteFile(key, keyPEM, 0o600)); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

func newCertificate() (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Gatehouse demo directory"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

// colours are those of accounts that are to differ from their environment's.
var colours = map[string]string{"Logs": "teal", "Sandbox": "olive"}

func accountsCSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"id", "name", "environment", "owner", "colour"})
	for _, a := range accounts() {
		_ = w.Write([]string{a.id, a.name, a.environment, a.owner, colours[a.name]})
	}
	w.Flush()
	return b.Bytes()
}

// Whatever depends on the machine is written as JSON, which YAML reads: a
// folder may have any name.
var configurationTemplate = template.Must(template.New("gatehouse.yaml").Funcs(template.FuncMap{"quote": quote}).Parse(`# The configuration of the Gatehouse demo: a sample company on loopback.
public_url: {{quote .PublicURL}}
listen: {{quote .Listen}}
admin_listen: 127.0.0.1:0
drain_delay: 0s
store: {{quote .Store}}
secret_files: [{{quote .Secret}}]
directories:
  - name: corp
    type: openldap
    urls: [{{quote .LDAP}}]
    ca_file: {{quote .CA}}
    base_dn: {{.Suffix}}
    bind_dn: {{.BindDN}}
    bind_password_file: {{quote .BindPassword}}
    max_age: 60s
aws:
  region: eu-west-1
  provider: Gatehouse
  accounts_file: {{quote .Accounts}}
  sts_endpoint: {{quote .AWS}}
  signin_endpoint: {{quote .AWS}}
access:
  # What keys may be limited to, beside read-only and one's own address. In the
  # demo everybody is on loopback, which the emulator does not mind.
  scopes:
    - {name: logs, title: Only the logs, policy: '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}}'}
  addresses: [127.0.0.1, "::1"]
  rules:
    # The convention: a group named AWS-<account>-<role>, below one entry that only administrators may write to.
    - directory: corp
      under: {{.AWSUnit}}
      group_pattern: '^AWS-(?P<account>\d{12})-(?P<role>[\w+=,.@-]+)$'
      max_session: 4h
    # A whole DN, with session tags and the person's name for CloudTrail.
    - directory: corp
      groups: ["CN=Sandbox Users,{{.GroupsUnit}}"]
      roles: [arn:aws:iam::444455556666:role/PowerUser]
      max_session: 2h
      session_tags: {department: "{attribute:department}", employee: "{attribute:employeeNumber}"}
      source_identity: "employee-{attribute:employeeNumber}"
    # Everybody's access hangs on the Identity account: the pages ask once more.
    - directory: corp
      groups: ["CN=AWS-333344445555-Admin,{{.AWSUnit}}"]
      roles: [arn:aws:iam::333344445555:role/Admin]
      confirm: true
session: {idle: 1h, max: 12h, cli: 12h}
audit: {file: {{quote .Audit}}}
portal: {support: platform@corp.example.com, notice: "This is the demo: a sample company, and an emulator in the place of AWS."}
`))

func quote(s string) (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

func (w *World) configuration(o Options) ([]byte, error) {
	host, port, err := net.SplitHostPort(o.Portal)
	if err != nil {
		return nil, fmt.Errorf("--portal %s: %w", o.Portal, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	dir, err := filepath.Abs(o.State)
	if err != nil {
		return nil, err
	}
	store := url.URL{Scheme: "sqlite", Path: filepath.Join(dir, "gatehouse.db")}
	var b bytes.Buffer
	err = configurationTemplate.Execute(&b, map[string]string{
		"PublicURL": "http://" + o.Portal, "Listen": net.JoinHostPort(host, port), "Store": store.String(), "LDAP": w.LDAP, "AWS": w.AWS,
		"Secret": filepath.Join(dir, secretFile), "CA": filepath.Join(dir, caFile), "BindPassword": filepath.Join(dir, bindFile),
		"Accounts": filepath.Join(dir, accountsFile), "Audit": filepath.Join(dir, "audit.jsonl"),
		"Suffix": Suffix, "BindDN": serviceDN, "AWSUnit": awsUnit, "GroupsUnit": groupsUnit,
	})
	return b.Bytes(), err
}
