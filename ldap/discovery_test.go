package ldap

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// names is a DNS that knows these SRV records.
type names map[string][]*net.SRV

func (n names) lookup(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if records, ok := n["_"+service+"._"+proto+"."+strings.TrimSuffix(name, ".")]; ok && strings.HasSuffix(name, ".") {
		return "", records, nil
	}
	return "", nil, errors.New("server misbehaving") // Samba's word for no such zone
}

func to(hosts ...string) []*net.SRV {
	var records []*net.SRV
	for _, h := range hosts {
		records = append(records, &net.SRV{Target: h + ".", Port: 389})
	}
	return records
}

// TestDiscovery: which names are asked for, and which hosts are believed.
func TestDiscovery(t *testing.T) {
	const domain, all, site = "_ldap._tcp.Corp.example.com", "_ldap._tcp.dc._msdcs.Corp.example.com", "_ldap._tcp.Bonn._sites.dc._msdcs.Corp.example.com"
	tests := []struct {
		name string
		c    Config
		dns  names
		want []string
	}{
		{"no answer", Config{}, names{}, nil},
		{"a host outside the domain is not believed", Config{}, names{domain: to("dc1.evil.example.net", "evilcorp.example.com", "corp.example.com")}, nil},
		{"nor a service that is declared not to be there", Config{}, names{domain: {{Target: "."}}}, nil},
		{"those within are", Config{}, names{domain: to("dc1.evil.example.net", "DC1.corp.example.com")}, []string{"dc1.corp.example.com"}},
		{"a host that is there twice counts once", Config{}, names{domain: to("dc1.corp.example.com", "dc1.corp.example.com")}, []string{"dc1.corp.example.com"}},
		{"what is not Active Directory has one name", Config{Type: OpenLDAP}, names{all: to("dc2.corp.example.com"), domain: to("dc1.corp.example.com")}, []string{"dc1.corp.example.com"}},
		{"Active Directory's controllers", Config{Type: ActiveDirectory}, names{all: to("dc2.corp.example.com"), domain: to("dc1.corp.example.com")}, []string{"dc2.corp.example.com"}},
		{"without _msdcs, the domain's", Config{Type: ActiveDirectory}, names{domain: to("dc1.corp.example.com")}, []string{"dc1.corp.example.com"}},
		{"where _msdcs names nobody within, the domain's", Config{Type: ActiveDirectory}, names{all: to("dc.evil.example.net"), domain: to("dc1.corp.example.com")}, []string{"dc1.corp.example.com"}},
		{"the site's first, then all others", Config{Type: ActiveDirectory, Site: "Bonn"},
			names{site: to("dc3.corp.example.com"), all: to("dc1.corp.example.com", "dc3.corp.example.com")}, []string{"dc3.corp.example.com", "dc1.corp.example.com"}},
		{"a site without servers", Config{Type: ActiveDirectory, Site: "Bonn"}, names{all: to("dc1.corp.example.com")}, []string{"dc1.corp.example.com"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.Domain = "Corp.example.com"
			ss := discovering(t, tt.c, tt.dns)
			list, err := ss.order(t.Context())
			if got := hosts(list); !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
			for _, s := range list {
				if !s.tls || s.addr != s.host+":636" {
					t.Errorf("%+v, want LDAPS", s.endpoint)
				}
			}
		})
	}
}

func discovering(t *testing.T, c Config, dns names) *servers {
	t.Helper()
	ss, err := newServers(c, net.DefaultResolver, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ss.lookup = dns.lookup
	return ss
}

// TestCatalogDiscovery: a forest's catalogues stand in any domain of it.
func TestCatalogDiscovery(t *testing.T) {
	dns := names{
		"_gc._tcp.example.com":              to("gc1.example.com", "gc2.emea.example.com", "gc3.example.net", "gc4.evil.example.org"),
		"_gc._tcp.Bonn._sites.example.com":  to("gc2.emea.example.com"),
		"_ldap._tcp.dc._msdcs.example.com":  to("dc1.example.com"),
		"_gc._tcp.Paris._sites.example.com": to("gc4.evil.example.org"),
	}
	for site, want := range map[string][]string{
		"":      {"gc1.example.com", "gc2.emea.example.com", "gc3.example.net"},
		"Bonn":  {"gc2.emea.example.com", "gc1.example.com", "gc3.example.net"},
		"Paris": {"gc1.example.com", "gc2.emea.example.com", "gc3.example.net"},
	} {
		c := Config{Type: ActiveDirectory, Forest: "example.com", Site: site, Domains: map[string]ForestDomain{"Example.net": {}}}
		list, err := discovering(t, c, dns).order(t.Context())
		if got := hosts(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("site %q: %q, %v; want %q", site, got, err, want)
		}
		if list[0].addr != list[0].host+":3269" || list[0].url != "ldaps://"+list[0].host+":3269" {
			t.Errorf("%+v, want the catalogue's port", list[0].endpoint)
		}
	}
}

// TestDiscoveryAgain: DNS is asked again in its time, which nobody waits for,
// and its last good answer serves while it has none.
func TestDiscoveryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := names{"_ldap._tcp.corp.example.com": to("dc1.corp.example.com", "dc2.corp.example.com")}
		asked, hangs := 0, false
		ss := discovering(t, Config{Domain: "corp.example.com"}, nil)
		ss.lookup = func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
			asked++
			if hangs {
				<-ctx.Done()
				return "", nil, ctx.Err()
			}
			return dns.lookup(ctx, service, proto, name)
		}
		check := func(when string, wantAsked int, want ...string) []*server {
			t.Helper()
			list, err := ss.order(t.Context())
			synctest.Wait()
			if got := hosts(list); err != nil || !slices.Equal(got, want) || asked != wantAsked {
				t.Errorf("%s: %q, %v, asked %d times; want %q and %d", when, got, err, asked, want, wantAsked)
			}
			return list
		}
		first := check("at first", 1, "dc1.corp.example.com", "dc2.corp.example.com")
		ss.worked(first[1])
		check("within its time", 1, "dc2.corp.example.com", "dc1.corp.example.com")

		time.Sleep(resolveEvery + time.Second)
		hangs = true
		start := time.Now()
		check("while DNS hangs", 2, "dc2.corp.example.com", "dc1.corp.example.com")
		check("it is asked by one only", 2, "dc2.corp.example.com", "dc1.corp.example.com")
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a sign-in waited %v for DNS", waited)
		}
		time.Sleep(resolveFor)
		check("soon after it failed", 2, "dc2.corp.example.com", "dc1.corp.example.com")

		hangs = false
		dns["_ldap._tcp.corp.example.com"] = to("dc3.corp.example.com", "dc1.corp.example.com")
		time.Sleep(restMax + time.Second)
		check("a while later, the old answer once more", 3, "dc2.corp.example.com", "dc1.corp.example.com")
		last := check("and from then on the new one", 3, "dc3.corp.example.com", "dc1.corp.example.com")
		if last[1] != first[0] {
			t.Error("a server that stays has lost its history")
		}
	})
}

// TestComeback: a preferred server that failed is probed beside the traffic,
// never too often, and preferred again as soon as it answers.
func TestComeback(t *testing.T) {
	now := time.Now()
	ss, err := newServers(Config{URLs: []string{"ldaps://a", "ldaps://b", "ldaps://c"}}, net.DefaultResolver, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := ss.ranking.list[0], ss.ranking.list[1], ss.ranking.list[2]
	due := func(when string, s, want *server) {
		t.Helper()
		if got := ss.due(s); got != want {
			t.Errorf("%s: %v is due, want %v", when, got, want)
		}
	}
	first := func(when string, want *server) {
		t.Helper()
		if list, err := ss.order(t.Context()); err != nil || list[0] != want {
			t.Errorf("%s: %q, %v; want %s first", when, hosts(list), err, want.host)
		}
	}
	ss.worked(a)
	due("while the first works", a, nil)
	ss.failed(a)
	ss.worked(b)
	due("right after it failed", b, nil)
	now = now.Add(restMin)
	due("a while later", b, a)
	due("which one is probing already", b, nil)
	ss.probed(a, false)
	due("right after a probe failed", b, nil)
	first("until it answers, others are", b)
	for range 10 {
		ss.failed(a)
	}
	now = now.Add(restMax)
	due("within the longest rest", b, a)
	ss.probed(a, true)
	first("once it answers it is", a)
	ss.worked(b)
	first("and stays so, whatever old connections to others do", a)
	due("then nothing is due", b, nil)

	if !ss.failed(a) {
		t.Error("one that answers probes and fails otherwise does not rest")
	}
	ss.worked(c)
	due("the next best is probed while the best rests", c, b)
	ss.probed(b, true)
	first("the next best is better than the last", b)
	now = now.Add(restMax)
	due("and the best is still looked for", b, a)
}

// TestAlikeServersDoNotComeBack: among servers of one site and priority none
// is better, and whichever works is kept.
func TestAlikeServersDoNotComeBack(t *testing.T) {
	records := to("dc1.corp.example.com", "dc2.corp.example.com", "dc3.corp.example.com")
	records[2].Priority = 10
	ss := discovering(t, Config{Domain: "corp.example.com"}, names{"_ldap._tcp.corp.example.com": records})
	list, err := ss.all(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ss.worked(list[1])
	if got := ss.due(list[1]); got != nil {
		t.Errorf("%s is due", got.host)
	}
	ss.failed(list[1])
	ss.worked(list[2])
	if got := ss.due(list[2]); got != list[0] {
		t.Errorf("%v is due beside one of a lower priority, want %s", got, list[0].host)
	}
}

// FuzzSRVHost: a host that is believed is a plain name within the domain.
func FuzzSRVHost(f *testing.F) {
	for _, s := range []string{"dc1.corp.example.com.", "DC1.Corp.Example.Com", ".", "", "corp.example.com.", "evilcorp.example.com.",
		"dc1.corp.example.com.evil.example.net.", "a b.corp.example.com.", "*.corp.example.com.", "..corp.example.com", "dc1.corp.example.com\x00", "dc1/corp.example.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		host, ok := srvHost(target, []string{"corp.example.com"})
		if !ok {
			return
		}
		before, within := strings.CutSuffix(host, ".corp.example.com")
		if !within || before == "" || len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || strings.Contains(host, "..") {
			t.Errorf("%q was believed as %q", target, host)
		}
	})
}
