package ldap_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"

	goldap "github.com/go-ldap/ldap/v3"
)

// bare is what a sign-in costs with go-ldap alone, written straight down: no
// limits, no deadlines, no failover.
type bare struct {
	b      testing.TB
	url    string
	tls    *tls.Config
	search *goldap.Conn
	kept   *goldap.Conn // to bind on; nil: a new connection each time
}

func newBare(b testing.TB, url, caFile, bindDN, password string, keep bool) *bare {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	x := &bare{b: b, url: url, tls: &tls.Config{RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(8)}}
	x.search = x.dial()
	if err := x.search.Bind(bindDN, password); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { x.search.Close() })
	if keep {
		x.kept = x.dial()
		b.Cleanup(func() { x.kept.Close() })
	}
	return x
}

func (x *bare) dial() *goldap.Conn {
	c, err := goldap.DialURL(x.url, goldap.DialWithTLSConfig(x.tls))
	if err != nil {
		x.b.Fatal(err)
	}
	return c
}

func (x *bare) find(base, filter string, attributes ...string) *goldap.SearchResult {
	r, err := x.search.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, 0, 0, 0, false, filter, attributes, nil))
	if err != nil {
		x.b.Fatal(err)
	}
	return r
}

// signIn makes the requests that Authenticate makes for bob: himself, the
// bind, and three levels of groups.
func (x *bare) signIn() {
	u := x.find(people, "(&(objectClass=inetOrgPerson)(|(uid=bob)(mail=bob)))", "entryUUID", "uid", "displayName", "cn", "mail", "departmentNumber", "jpegPhoto")
	x.prove(u.Entries[0].DN, secret)
	for _, dn := range []string{u.Entries[0].DN, groupDN("unique"), groupDN("over-unique")} {
		v := goldap.EscapeFilter(dn)
		x.find(groups, "(|(&(objectClass=groupOfNames)(member="+v+"))(&(objectClass=groupOfUniqueNames)(uniqueMember="+v+"))(&(objectClass=posixGroup)(memberUid=bob)))", "cn")
	}
}

func (x *bare) prove(dn, password string) {
	c := x.kept
	if c == nil {
		c = x.dial()
		defer c.Close()
	}
	if err := c.Bind(dn, password); err != nil {
		x.b.Fatal(err)
	}
}

// signInWindows makes the requests that Authenticate makes for name in
// Active Directory: the person, the bind, tokens, and the groups' names.
func (x *bare) signInWindows(name string) {
	u := x.find(outside.SambaBaseDN, "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName="+name+")(userPrincipalName="+name+")))",
		"objectGUID", "sAMAccountName", "displayName", "cn", "mail", "userAccountControl", "msDS-User-Account-Control-Computed",
		"msDS-UserPasswordExpiryTimeComputed", "lockoutTime", "accountExpires")
	x.prove(u.Entries[0].DN, adSecret)
	tokens, err := x.search.Search(goldap.NewSearchRequest(u.Entries[0].DN, goldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{"tokenGroups"}, nil))
	if err != nil {
		x.b.Fatal(err)
	}
	var filter strings.Builder
	for _, sid := range tokens.Entries[0].GetRawAttributeValues("tokenGroups") {
		filter.WriteString("(objectSid=" + goldap.EscapeFilter(string(sid)) + ")")
	}
	x.find(adGroups, "(&(objectCategory=group)(|"+filter.String()+"))", "sAMAccountName")
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// compare runs both in turns, and reports how many times the processor and
// the wall-clock time of bare ours takes.
func compare(b *testing.B, ours, bare func()) {
	var cpus, walls [2]time.Duration
	ours()
	bare()
	for b.Loop() {
		for i, f := range []func(){ours, bare} {
			c, w := cpu(b), time.Now()
			for range 20 {
				f()
			}
			cpus[i] += cpu(b) - c
			walls[i] += time.Since(w)
		}
	}
	b.ReportMetric(float64(cpus[0])/float64(cpus[1]), "cpu-ratio")
	b.ReportMetric(float64(walls[0])/float64(walls[1]), "wall-ratio")
	b.ReportMetric(float64(walls[0].Microseconds())/float64(20*b.N), "µs/sign-in")
}

// BenchmarkSignIn compares Authenticate with bare go-ldap against slapd over
// LDAPS: once where both open a connection for the bind, and once where bare
// keeps one.
func BenchmarkSignIn(b *testing.B) {
	s, ca := startSlapd(b, outside.SlapdConfig{})
	d := open(b, config([]string{s.LDAPS}, ca))
	ours := func() {
		if _, err := signIn(b, d, "bob"); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("bare dials for the bind", func(b *testing.B) { compare(b, ours, newBare(b, s.LDAPS, ca, serviceDN, serviceID, false).signIn) })
	b.Run("bare keeps a connection for the bind", func(b *testing.B) { compare(b, ours, newBare(b, s.LDAPS, ca, serviceDN, serviceID, true).signIn) })
}

// BenchmarkSamba compares Authenticate with bare go-ldap against a domain
// controller, bare keeping a connection for the bind: somebody with three
// nested groups, and somebody with 300.
func BenchmarkSamba(b *testing.B) {
	s, d := outside.Samba(b), samba(b)
	x := newBare(b, s.LDAPS, s.CA.File(b), outside.SambaServiceDN, outside.SambaServicePassword, true)
	for _, name := range []string{"alice", "carol"} {
		b.Run(name, func(b *testing.B) {
			compare(b, func() {
				if _, err := d.Authenticate(b.Context(), name, adSecret, admitAll); err != nil {
					b.Fatal(err)
				}
			}, func() { x.signInWindows(name) })
		})
	}
}

// BenchmarkManyGroups compares reading somebody with 700 groups with the same
// two searches of bare go-ldap.
func BenchmarkManyGroups(b *testing.B) {
	s, ca := startSlapd(b, outside.SlapdConfig{})
	no := false
	c := config([]string{s.LDAPS}, ca)
	c.Nested = &no
	d, x := open(b, c), newBare(b, s.LDAPS, ca, serviceDN, serviceID, false)
	compare(b, func() {
		if u, err := d.Find(b.Context(), "carol"); err != nil || len(u.Groups) != 700 {
			b.Fatal(len(u.Groups), err)
		}
	}, func() {
		x.find(people, "(&(objectClass=inetOrgPerson)(|(uid=carol)(mail=carol)))", "entryUUID", "uid", "cn")
		if r := x.find(groups, "(&(objectClass=groupOfNames)(member="+uidDN("carol")+"))", "cn"); len(r.Entries) != 700 {
			b.Fatal(len(r.Entries))
		}
	})
}

// BenchmarkBlackHole compares Authenticate where the first of two servers
// never answers, once that is known, with Authenticate where it is not there.
func BenchmarkBlackHole(b *testing.B) {
	s, ca := startSlapd(b, outside.SlapdConfig{})
	in := func(urls ...string) func() {
		d := open(b, config(urls, ca))
		return func() {
			if _, err := signIn(b, d, "bob"); err != nil {
				b.Fatal(err)
			}
		}
	}
	compare(b, in("ldaps://"+blackHole(b), s.LDAPS), in(s.LDAPS))
}

// crowd is a company of so many people in so many groups of fifty, and of one
// group with everybody in it.
func crowd(people, many int) []directory.Entry {
	es := company()
	everybody := group("everybody")
	for i := range people {
		uid := fmt.Sprintf("p%05d", i)
		es = append(es, person(uidDN(uid), uid, "mail", uid+"@corp.example.com", "displayName", "Person "+uid))
		everybody.Attributes["member"] = append(everybody.Attributes["member"], uidDN(uid))
	}
	for i := range many {
		g := group(fmt.Sprintf("crowd-%04d", i))
		for j := range 50 {
			g.Attributes["member"] = append(g.Attributes["member"], uidDN(fmt.Sprintf("p%05d", (i*50+j)%people)))
		}
		es = append(es, g)
	}
	return append(es, everybody)
}

// BenchmarkCrowd compares Authenticate among 50,000 people and 2,000 groups
// with Authenticate among 50 people, for somebody in three groups in both.
func BenchmarkCrowd(b *testing.B) {
	in := func(people, many int) func() {
		s, ca := startSlapd(b, outside.SlapdConfig{LDIF: ldif(crowd(people, many))})
		d := open(b, config([]string{s.LDAPS}, ca))
		return func() {
			if u, err := signIn(b, d, "p00007"); err != nil || len(u.Groups) != 3 {
				b.Fatal(len(u.Groups), err)
			}
		}
	}
	compare(b, in(50_000, 2_000), in(50, 2))
}
