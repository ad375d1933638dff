package ldap

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// tolerated is how many calls in a row may fail before a server is left
	// alone for a while.
	tolerated = 3

	// restMin and restMax bound that while; it doubles with each failure.
	restMin = 7 * time.Second
	restMax = 30 * time.Second

	// resolveEvery is how long an answer of DNS is good for.
	resolveEvery = 5 * time.Minute
)

// server is one server of a directory, and how it has been doing.
type server struct {
	endpoint

	mu       sync.Mutex
	failures int // in a row
	restsFor time.Duration
	rests    time.Time // until then it is asked last
}

// failed counts a failure, and reports whether the server now rests.
func (s *server) failed(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	if s.failures < tolerated {
		return false
	}
	s.restsFor = min(max(2*s.restsFor, restMin), restMax)
	// Jitter keeps replicas from all coming back at once.
	s.rests = now.Add(s.restsFor*3/4 + rand.N(s.restsFor/4))
	return true
}

// worked forgets all failures.
func (s *server) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures, s.restsFor, s.rests = 0, 0, time.Time{}
}

// resting reports whether the server is better left alone.
func (s *server) resting(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.rests)
}

// servers knows a directory's servers, and which one to ask first.
type servers struct {
	domain string // to resolve; empty when the list is fixed
	lookup func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	now    func() time.Time

	mu       sync.Mutex
	list     []*server
	resolved time.Time
	healthy  *server // the last one that worked
}

func newServers(c Config, now func() time.Time) (*servers, error) {
	ss := &servers{domain: c.Domain, lookup: net.DefaultResolver.LookupSRV, now: now}
	for _, u := range c.URLs {
		e, err := parseURL(u)
		if err != nil {
			return nil, fmt.Errorf("urls: %w", err)
		}
		ss.list = append(ss.list, &server{endpoint: e})
	}
	return ss, nil
}

// all lists every server, in order of preference.
func (ss *servers) all(ctx context.Context) ([]*server, error) {
	ss.mu.Lock()
	list, stale := ss.list, ss.domain != "" && ss.now().Sub(ss.resolved) > resolveEvery
	ss.mu.Unlock()
	if !stale {
		return list, nil
	}
	found, err := ss.resolve(ctx)
	ss.mu.Lock()
	defer ss.mu.Unlock()
	switch {
	case err == nil:
		ss.list, ss.resolved = found, ss.now()
	case len(ss.list) == 0:
		return nil, err
	default:
		// The last good answer is better than none; ask again in a while.
		ss.resolved = ss.now().Add(restMax - resolveEvery)
	}
	return ss.list, nil
}

// resolve asks DNS for the domain's servers. Nobody signs that answer, so a
// host outside the domain is not believed: it may well have a certificate of
// its own that the system trusts.
func (ss *servers) resolve(ctx context.Context) ([]*server, error) {
	_, records, err := ss.lookup(ctx, "ldap", "tcp", ss.domain)
	if err != nil {
		return nil, fmt.Errorf("DNS SRV records of _ldap._tcp.%s: %w", ss.domain, err)
	}
	var found []*server
	for _, r := range records {
		host := strings.ToLower(strings.TrimSuffix(r.Target, "."))
		if !strings.HasSuffix(host, "."+strings.ToLower(ss.domain)) {
			continue
		}
		found = append(found, ss.known(host))
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("DNS SRV records of _ldap._tcp.%s name no host within the domain", ss.domain)
	}
	return found, nil
}

// known is the server of that host, with its history when it has one.
func (ss *servers) known(host string) *server {
	// _ldaps._tcp does not exist in Active Directory; 636 is where it answers.
	e := endpoint{url: "ldaps://" + host, host: host, addr: net.JoinHostPort(host, "636"), tls: true}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	i := slices.IndexFunc(ss.list, func(s *server) bool { return s.endpoint == e })
	if i >= 0 {
		return ss.list[i]
	}
	return &server{endpoint: e}
}

// count is how many servers were known last.
func (ss *servers) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.list)
}

// order lists the servers as they should be asked now: the last that worked,
// then the others in their order, and those at rest at the end. They are not
// left out: when nothing else answers, a rested one may have come back.
func (ss *servers) order(ctx context.Context) ([]*server, error) {
	all, err := ss.all(ctx)
	if err != nil {
		return nil, err
	}
	ss.mu.Lock()
	first := ss.healthy
	ss.mu.Unlock()
	now := ss.now()
	rank := func(s *server) int {
		switch {
		case s == first:
			return 0
		case s.resting(now):
			return 2
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b *server) int {
		return cmp.Compare(rank(a), rank(b))
	}), nil
}

// worked makes s the one to ask first.
func (ss *servers) worked(s *server) {
	s.worked()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.healthy = s
}

// failed notes that s did not answer, and reports whether it now rests.
func (ss *servers) failed(s *server) bool {
	ss.mu.Lock()
	if ss.healthy == s {
		ss.healthy = nil
	}
	ss.mu.Unlock()
	return s.failed(ss.now())
}

// favours reports whether s is the one that worked last.
func (ss *servers) favours(s *server) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.healthy == s
}
