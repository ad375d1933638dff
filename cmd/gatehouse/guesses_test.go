package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"gatehouse"
	"gatehouse/internal/outside"
	"gatehouse/internal/store"
)

// leastRefusal is what every refusal takes at least (docs/security.md).
const leastRefusal = 400 * time.Millisecond

// lockout is OpenLDAP's rule for everybody: five wrong passwords within half
// an hour lock an account until somebody unlocks it.
const lockout = `
dn: ou=policies,dc=corp,dc=example,dc=com
objectClass: organizationalUnit
ou: policies

dn: cn=everybody,ou=policies,dc=corp,dc=example,dc=com
objectClass: pwdPolicy
objectClass: device
cn: everybody
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: 5
pwdFailureCountInterval: 1800
`

// guessing is somebody who guesses at one person's password, at every replica
// at once, each time from another address and by any of the person's names.
type guessing struct {
	ways  []func() *http.Transport // to each replica
	names []string
	n     int
}

// run sends all guesses, and fails the test for one that got in, was answered
// too early, or was told anything else than the rest.
func (g guessing) run(t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	next := make(chan int)
	for range 48 {
		all.Go(func() {
			for i := range next {
				b := newBrowser(t, "https://aws.corp.example.com", g.ways[i%len(g.ways)]())
				b.header.Set("X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", i/250, i%250))
				p := b.post("/login", "username", g.names[i%len(g.names)], "password", fmt.Sprint("Guess-number-", i))
				if p.status != http.StatusUnauthorized && p.status != http.StatusTooManyRequests {
					t.Errorf("guess %d was answered %d:\n%s", i, p.status, p.text())
				}
				if p.took < leastRefusal {
					t.Errorf("guess %d, %d, was answered after %v", i, p.status, p.took)
				}
			}
		})
	}
	for i := range g.n {
		next <- i
	}
	close(next)
	all.Wait()
}

// reader reads a person's entry as the service account.
func reader(t *testing.T, address, bindDN, password string, ca *outside.Authority) func(dn string, attributes ...string) *goldap.Entry {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	c, err := goldap.DialURL(address, goldap.DialWithTLSConfig(&tls.Config{RootCAs: roots}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Bind(bindDN, password); err != nil {
		t.Fatal(err)
	}
	return func(dn string, attributes ...string) *goldap.Entry {
		t.Helper()
		r, err := c.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", attributes, nil))
		if err != nil || len(r.Entries) != 1 {
			t.Fatalf("reading %s: %v", dn, err)
		}
		return r.Entries[0]
	}
}

// bounded fails the test when more than most refusals were recorded, or when
// those that were stand for too few of n.
func bounded(t *testing.T, s *store.Store, n, most int) {
	t.Helper()
	events, err := s.Events(t.Context(), gatehouse.EventQuery{Kind: gatehouse.EventSignInRefused, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	stand := 0
	for _, e := range events {
		stand += max(e.Count, 1)
	}
	if len(events) > most || stand < n/2 || stand > n {
		t.Errorf("%d refusals on the record stand for %d of %d", len(events), stand, n)
	}
}

func TestAThousandGuessesCostOpenLDAPTwoBindsAndThePersonNothing(t *testing.T) {
	t.Parallel()
	p := startPairWith(t, outside.SlapdConfig{LDIF: lockout, DefaultPolicy: "cn=everybody,ou=policies," + suffix}, "trusted_proxies: [127.0.0.1]\n")
	const ann = "uid=ann,ou=people," + suffix
	read := reader(t, p.slapd.LDAPS, serviceDN, "service secret", p.slapd.CA)
	own := p.browser(t, 0)
	own.post("/login", "username", "ann", "password", "correct horse").want(t, 200, "Developer")
	own.post("/logout").want(t, 200, "You are signed out.")

	const n = 1000
	guessing{names: []string{"ann", "ANN", "ann@corp.example.com"}, n: n,
		ways: []func() *http.Transport{func() *http.Transport { return p.way(0) }, func() *http.Transport { return p.way(1) }}}.run(t)

	e := read(ann, "pwdFailureTime", "pwdAccountLockedTime")
	if failures := e.GetAttributeValues("pwdFailureTime"); len(failures) != 2 {
		t.Errorf("slapd counts %d wrong passwords, want 2: %v", len(failures), failures)
	}
	if at := e.GetAttributeValues("pwdAccountLockedTime"); len(at) > 0 {
		t.Errorf("locked since %v", at)
	}
	p.browser(t, 0).post("/login", "username", "ann", "password", "correct horse").want(t, 429, "Too many attempts.")
	own.client.Transport = p.way(1)
	own.post("/login", "username", "ann", "password", "correct horse").want(t, 200, "Developer")
	if failures := read(ann, "pwdFailureTime").GetAttributeValues("pwdFailureTime"); len(failures) != 0 {
		t.Errorf("after the person's own sign-in slapd counts %v", failures)
	}
	bounded(t, record(t, p.load(t), nil), n+1, 100)
}

func TestAThousandGuessesCostActiveDirectoryTwoBindsAndThePersonNothing(t *testing.T) {
	d := startPeople(t)
	dn := "CN=racer,OU=People," + outside.SambaBaseDN
	read := reader(t, d.LDAPS, outside.SambaServiceDN, outside.SambaServicePassword, d.CA)
	way := func(replica int) func() *http.Transport {
		return func() *http.Transport {
			return (&pair{outskirts: &outskirts{roots: d.roots()}, addresses: d.addresses}).way(replica)
		}
	}
	own := newBrowser(t, "https://"+windowsHost, way(0)())
	own.post("/login", "username", "racer", "password", outside.SambaPassword).want(t, 200, "You have no roles yet")

	const n = 1000
	began := time.Now()
	guessing{names: []string{"racer", "Racer", "racer@corp.example.com"}, n: n, ways: []func() *http.Transport{way(0), way(1)}}.run(t)
	t.Logf("%d guesses took %v", n, time.Since(began))

	if count, _ := strconv.Atoi(read(dn, "badPwdCount").GetAttributeValue("badPwdCount")); count != 2 {
		t.Errorf("the domain counts %d wrong passwords, want 2", count)
	}
	own.client.Transport = way(1)()
	own.get("/login")
	own.post("/logout").want(t, 200)
	own.post("/login", "username", "racer", "password", outside.SambaPassword).want(t, 200, "You have no roles yet")
	bounded(t, d.store, n, 100)
}

// A refusal takes its least time whoever it is about and whatever the reason.
// How much longer one takes is not asserted: the least time is well above
// what the work takes.
func TestRefusalsTakeTheSameLeastTimeForKnownAndUnknownNames(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	b := p.browser(t, 0)
	for i, password := range []string{"wrong", "wrong", "guess", "another", "one too many", ""} {
		var status []int
		for _, name := range []string{"ann", "nobody", "*", "uid=ann,ou=people," + suffix} {
			got := b.post("/login", "username", name, "password", password)
			if got.took < leastRefusal {
				t.Errorf("%s, attempt %d: refused with %d after %v", name, i+1, got.status, got.took)
			}
			status = append(status, got.status)
		}
		for _, s := range status {
			if s != status[0] || s == http.StatusOK {
				t.Errorf("attempt %d: answered %v", i+1, status)
			}
		}
	}
}
