package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	// resolveEvery is how long an answer of DNS is good for.
	resolveEvery = 5 * time.Minute

	// resolveFor is how long DNS may take to renew an answer. Nobody waits
	// for it: the last good one serves meanwhile.
	resolveFor = 10 * time.Second
)

// discovery is what DNS is asked for servers (RFC 2782). The zero value asks
// nothing.
type discovery struct {
	service  string   // ldap
	names    []string // what stands after _tcp., preferred servers first; all are asked
	fallback string   // asked where the names above lead nowhere
	within   []string // the domains that hosts must be in, lower case
	port     string   // where they are spoken to, by LDAPS
}

// discovery is how DNS is asked for c's servers. Active Directory names its
// controllers below _msdcs, and those of a site apart (MS-ADTS §6.3.2.3);
// other servers, and some clones, only have the name of RFC 2782.
func (c Config) discovery() discovery {
	within := []string{strings.ToLower(c.Domain)}
	switch {
	case c.Forest != "":
		return c.catalogDiscovery()
	case c.Domain == "":
		return discovery{}
	case c.Type != ActiveDirectory:
		return discovery{service: "ldap", fallback: c.Domain, within: within, port: "636"}
	}
	// _ldaps._tcp does not exist in Active Directory; 636 is where it answers.
	return discovery{service: "ldap", names: c.ofSite("dc._msdcs." + c.Domain), fallback: c.Domain, within: within, port: "636"}
}

// catalogDiscovery is how DNS is asked for the forest's catalogues, which may
// stand in any of its domains.
func (c Config) catalogDiscovery() discovery {
	if len(c.GlobalCatalog) > 0 {
		return discovery{}
	}
	d := discovery{service: "gc", names: c.ofSite(c.Forest), within: []string{strings.ToLower(c.Forest)}, port: "3269"}
	for domain := range c.Domains {
		d.within = append(d.within, strings.ToLower(domain))
	}
	return d
}

// ofSite puts the name of the site's servers before that of all.
func (c Config) ofSite(all string) []string {
	if c.Site == "" {
		return []string{all}
	}
	return []string{c.Site + "._sites." + all, all}
}

// srvHost is the host that an SRV record names, if it is within the domains.
// Nobody signs what DNS says, so a host elsewhere is not believed: it may
// well have a certificate of its own that the system trusts.
func srvHost(target string, within []string) (host string, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(target, "."))
	if len(host) > 253 || !domainName.MatchString(host) {
		return "", false
	}
	return host, slices.ContainsFunc(within, func(domain string) bool { return strings.HasSuffix(host, "."+domain) })
}

// ranking is a list of servers, the preferred first. Servers of one rank are
// as good as each other; the lower the better.
type ranking struct {
	list []*server
	rank map[*server]int
}

func (r *ranking) add(s *server, rank int) {
	if r.rank == nil {
		r.rank = map[*server]int{}
	}
	if _, there := r.rank[s]; !there {
		r.list, r.rank[s] = append(r.list, s), rank
	}
}

// resolve asks DNS for the servers.
func (ss *servers) resolve(ctx context.Context) (ranking, error) {
	var found ranking
	var failed error
	for i, name := range ss.dns.names {
		failed = errors.Join(failed, ss.ask(ctx, name, i, &found))
	}
	if len(found.list) == 0 && ss.dns.fallback != "" {
		failed = errors.Join(failed, ss.ask(ctx, ss.dns.fallback, len(ss.dns.names), &found))
	}
	if len(found.list) == 0 {
		return ranking{}, failed
	}
	return found, nil
}

// ask adds the servers that one name leads to. LookupSRV sorts by priority,
// and shuffles by weight.
func (ss *servers) ask(ctx context.Context, name string, tier int, found *ranking) error {
	// The dot keeps the machine's own search domains out of it.
	_, records, err := ss.lookup(ctx, ss.dns.service, "tcp", name+".")
	full := "_" + ss.dns.service + "._tcp." + name
	if err != nil {
		return fmt.Errorf("DNS SRV records of %s: %w", full, err)
	}
	good := false
	for _, r := range records {
		if host, ok := srvHost(r.Target, ss.dns.within); ok {
			found.add(ss.known(host, *found), tier<<16|int(r.Priority))
			good = true
		}
	}
	if !good {
		return fmt.Errorf("DNS SRV records of %s name no host within the domain", full)
	}
	return nil
}

// known is the server of that host, with its history when it has one.
func (ss *servers) known(host string, found ranking) *server {
	e := endpoint{url: "ldaps://" + host, host: host, addr: net.JoinHostPort(host, ss.dns.port), tls: true}
	if ss.dns.port != "636" {
		e.url += ":" + ss.dns.port
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, list := range [][]*server{found.list, ss.ranking.list} {
		if i := slices.IndexFunc(list, func(s *server) bool { return s.endpoint == e }); i >= 0 {
			return list[i]
		}
	}
	return &server{endpoint: e}
}

// all lists every server, in order of preference. Only the first time does it
// wait for DNS.
func (ss *servers) all(ctx context.Context) ([]*server, error) {
	ss.mu.Lock()
	list := ss.ranking.list
	if len(list) > 0 && ss.dns.service != "" && !ss.renewing && ss.now().Sub(ss.resolved) > resolveEvery {
		ss.renewing = true
		go ss.renew(context.WithoutCancel(ctx))
	}
	ss.mu.Unlock()
	if len(list) > 0 || ss.dns.service == "" {
		return list, nil
	}
	found, err := ss.resolve(ctx)
	if err != nil {
		return nil, err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.ranking, ss.resolved = found, ss.now()
	return found.list, nil
}

// renew asks again. The last good answer is better than none: it is kept, and
// DNS asked again in a while.
func (ss *servers) renew(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resolveFor)
	defer cancel()
	found, err := ss.resolve(ctx)
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.renewing = false
	if err != nil {
		ss.resolved = ss.now().Add(restMax - resolveEvery)
		return
	}
	ss.ranking, ss.resolved = found, ss.now()
	if !slices.Contains(found.list, ss.healthy) {
		ss.healthy = nil
	}
}
