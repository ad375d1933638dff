package ldap

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"slices"
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
)

// server is one server of a directory, and how it has been doing.
type server struct {
	endpoint

	mu       sync.Mutex
	failures int // in a row
	restsFor time.Duration
	rests    time.Time // until then it is asked last
	retry    time.Time // until then it is not probed
	probing  bool
}

// failed counts a failure, and reports whether the server now rests.
func (s *server) failed(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	s.retry = now.Add(restMin)
	if s.failures < tolerated {
		return false
	}
	s.restsFor = min(max(2*s.restsFor, restMin), restMax)
	// Jitter keeps replicas from all coming back at once.
	s.rests = now.Add(s.restsFor*3/4 + rand.N(s.restsFor/4))
	s.retry = s.rests
	return true
}

// worked forgets all failures.
func (s *server) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures, s.restsFor, s.rests, s.retry = 0, 0, time.Time{}, time.Time{}
}

// resting reports whether the server is better left alone.
func (s *server) resting(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.rests)
}

// servers knows a directory's servers, and which one to ask first.
type servers struct {
	dns    discovery // where the list comes from, unless it is fixed
	lookup func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	now    func() time.Time

	mu       sync.Mutex
	ranking  ranking
	resolved time.Time
	renewing bool
	healthy  *server // the best of those that worked last
}

func newServers(c Config, resolver *net.Resolver, now func() time.Time) (*servers, error) {
	ss := &servers{dns: c.discovery(), lookup: resolver.LookupSRV, now: now}
	list, err := c.endpoints()
	for i, e := range list {
		ss.ranking.add(&server{endpoint: e}, i)
	}
	return ss, err
}

// count is how many servers were known last.
func (ss *servers) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.ranking.list)
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

// worked makes s the one to ask first, unless a better one is.
func (ss *servers) worked(s *server) {
	s.worked()
	ss.prefer(s)
}

func (ss *servers) prefer(s *server) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.healthy == nil || ss.ranking.rank[s] <= ss.ranking.rank[ss.healthy] {
		ss.healthy = s
	}
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
