package directory

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

const suffix = "DC=corp,DC=example,DC=com"

const password = "correct horse"

// service is who the tests search as.
const service = "CN=svc,OU=Service," + suffix

// testEntries is a small company: people, groups in a chain and in a circle.
const testEntries = `version: 1

dn: CN=svc,OU=Service,DC=corp,DC=example,DC=com
objectClass: person
userPassword: correct horse

dn: CN=Alice,OU=People,DC=corp,DC=example,DC=com
objectClass: top
objectClass: inetOrgPerson
uid: alice
sn: Archer
mail: alice@corp.example.com
mail: a.archer@corp.example.com
employeeNumber: 1001
uidNumber: 1001
cn;lang-de: Alissa
userPassword: correct horse
entryUUID: 11111111-2222-3333-4444-555555555555

dn: CN=Doe\, John,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
uid: jdoe
sn: Doe
uidNumber: 20
manager: cn=alice , ou=PEOPLE,dc=corp,dc=example,dc=com
userPassword: correct horse

dn: CN=Zoë+UID=zoe,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
sn: Ångström
pwdChangedTime: 20260101000000Z
userPassword: correct horse

dn: CN=dev,OU=Groups,DC=corp,DC=example,DC=com
objectClass: groupOfNames
member: CN=alice,OU=people,DC=corp,DC=example,DC=com
member: CN=Doe\2C John,OU=People,DC=corp,DC=example,DC=com

dn: CN=staff,OU=Groups,DC=corp,DC=example,DC=com
objectClass: groupOfNames
member: CN=dev,OU=Groups,DC=corp,DC=example,DC=com
member: CN=ring,OU=Groups,DC=corp,DC=example,DC=com

dn: CN=ring,OU=Groups,DC=corp,DC=example,DC=com
objectClass: groupOfUniqueNames
groupType: -2147483646
uniqueMember: uid=ZOE+cn=zo\C3\AB,OU=People,DC=corp,DC=example,DC=com
member: CN=staff,OU=Groups,DC=corp,DC=example,DC=com
`

// start runs a directory for the length of the test.
func start(t testing.TB, cfg Config) *Server {
	t.Helper()
	cfg.Suffix = suffix
	if cfg.Entries == nil {
		entries, err := ParseLDIF(strings.NewReader(testEntries))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Entries = entries
	}
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// clientTLS trusts s and nobody else.
func clientTLS(s *Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CA())
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// dial connects, with StartTLS where the server does not begin with TLS.
func dial(t testing.TB, s *Server) *goldap.Conn {
	t.Helper()
	c, err := goldap.DialURL(s.URL(), goldap.DialWithTLSConfig(clientTLS(s)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	c.SetTimeout(10 * time.Second)
	if strings.HasPrefix(s.URL(), "ldap://") {
		if err := c.StartTLS(clientTLS(s)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// bound is dial and a bind as dn.
func bound(t testing.TB, s *Server, dn string) *goldap.Conn {
	t.Helper()
	c := dial(t, s)
	if err := c.Bind(dn, password); err != nil {
		t.Fatalf("bind as %s: %v", dn, err)
	}
	return c
}

// code is the result code of an error: 0 for none, 200 and more for the
// client's own.
func code(err error) uint16 {
	if err == nil {
		return 0
	}
	var e *goldap.Error
	if errors.As(err, &e) {
		return e.ResultCode
	}
	return 999
}
