package ldap_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
	"gatehouse/ldap"
)

// sambaDNS asks the domain controller, whose DNS knows the whole domain, and
// nobody else.
func sambaDNS(s *outside.SambaAD) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort(s.Address, "53"))
	}}
}

// discovered is a directory whose servers the domain's own DNS names.
func discovered(t *testing.T, change func(*ldap.Config)) *ldap.Directory {
	t.Helper()
	s := outside.Samba(t)
	c := ldap.Config{
		Name: "corp", Type: ldap.ActiveDirectory, Domain: "corp.example.com", CAFile: s.CA.File(t),
		BaseDN: outside.SambaBaseDN, GroupBaseDN: adGroups,
		BindDN: outside.SambaServiceDN, BindPassword: outside.SambaServicePassword,
	}
	change(&c)
	c.SetDefaults()
	if faults := c.Validate(); len(faults) > 0 {
		t.Fatal(faults)
	}
	d, err := ldap.NewWithResolver(c, sambaDNS(s), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// TestSambaDiscovery: the records that a real domain has lead to a server
// whose certificate is for the name that they say.
func TestSambaDiscovery(t *testing.T) {
	for name, site := range map[string]string{"any": "", "the site that every domain begins with": "Default-First-Site-Name", "a site that is none": "Nowhere"} {
		t.Run(name, func(t *testing.T) {
			d := discovered(t, func(c *ldap.Config) { c.Site = site })
			u, err := d.Authenticate(t.Context(), "alice", adSecret, admitAll)
			if err != nil || len(u.Groups) != 3 {
				t.Errorf("%+v, %v", u, err)
			}
			if got := ldap.Preferred(d); got != "ldaps://"+outside.SambaHost {
				t.Errorf("asked %s", got)
			}
		})
	}
	t.Run("a domain that is none", func(t *testing.T) {
		d := discovered(t, func(c *ldap.Config) { c.Domain = "nowhere.example.com" })
		findings := d.Check(t.Context())
		if len(findings) != 1 || findings[0].State != gatehouse.FindingFailure || !strings.Contains(findings[0].Detail, "_ldap._tcp.nowhere.example.com") {
			t.Errorf("%+v", findings)
		}
	})
}

// clock is a time that a test sets on.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

// TestFailBack: once the preferred server answers again, it is used again
// within half a minute, and no sign-in fails or waits for it before.
func TestFailBack(t *testing.T) {
	t.Parallel()
	ca := outside.NewAuthority(t)
	first, caFile := startSlapd(t, outside.SlapdConfig{CA: ca})
	second, _ := startSlapd(t, outside.SlapdConfig{CA: ca})
	c := config([]string{first.LDAPS, second.LDAPS}, caFile)
	c.Timeout = 8 * time.Second
	c.SetDefaults()
	time0 := &clock{at: time.Now()}
	d, err := ldap.New(c, time0.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	in := func(when string) {
		t.Helper()
		if u, err := signIn(t, d, "alice"); err != nil || len(u.Groups) != 3 {
			t.Fatalf("%s: %d groups, %v", when, len(u.Groups), err)
		}
	}
	in("at first")
	first.Freeze()
	defer first.Thaw()
	in("while the first is silent")
	for range 20 {
		time0.add(5 * time.Second)
		start := time.Now()
		in("while it stays silent")
		if took := time.Since(start); took > c.Timeout/4 {
			t.Errorf("a sign-in waited %v for the silent server", took)
		}
	}
	if got := ldap.Preferred(d); got != second.LDAPS {
		t.Errorf("asks %s, want the second", got)
	}
	first.Thaw()
	for since, end := time.Duration(0), time.Now().Add(20*time.Second); ldap.Preferred(d) != first.LDAPS; {
		if since > ldap.RestMax && time.Now().After(end) {
			t.Fatalf("%v after it came back, the first is not used again", since)
		}
		if since <= ldap.RestMax {
			time0.add(5 * time.Second)
			since += 5 * time.Second
		}
		in("once it is back")
		time.Sleep(20 * time.Millisecond) // a probe is a real connection
	}
	second.Stop()
	in("from the first alone")
}
