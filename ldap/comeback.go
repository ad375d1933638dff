package ldap

import (
	"context"
	"log/slog"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// A server that failed is not asked by somebody's sign-in while another one
// answers: it is probed beside them, from its rest's end on, and is preferred
// again once it answers. So new connections go back to a preferred server
// within restMax and the next sign-in of its recovery.

// due is a server that is preferred to s and may be probed now, which whoever
// asks must then do; or nil.
func (ss *servers) due(s *server) *server {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, better := range ss.ranking.list {
		if better == ss.healthy || ss.ranking.rank[better] >= ss.ranking.rank[s] {
			return nil
		}
		if better.mayProbe(ss.now()) {
			return better
		}
	}
	return nil
}

// mayProbe reports whether the server is to be probed, which it is by one at
// a time.
func (s *server) mayProbe(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probing || now.Before(s.retry) {
		return false
	}
	s.probing = true
	return true
}

// probed notes how a probe ended. A server that answers probes and fails
// otherwise must not come back each time: its next failure sends it to rest
// for longer than the last.
func (ss *servers) probed(s *server, answers bool) {
	if !answers {
		s.failed(ss.now())
	}
	s.mu.Lock()
	s.probing = false
	if answers {
		s.failures, s.rests = tolerated-1, time.Time{}
	}
	s.mu.Unlock()
	if answers {
		ss.prefer(s)
	}
}

// worked notes that s answered somebody, and has a server that is preferred
// to it probed where that is due.
func (p *pool) worked(ctx context.Context, s *server) {
	p.servers.worked(s)
	if better := p.servers.due(s); better != nil {
		go p.probe(context.WithoutCancel(ctx), better)
	}
}

// probe looks whether s answers. It sends no password: a wrong one would
// count towards the service account's lock-out. Some servers show their root
// to nobody who has not bound, but say so: that is an answer, too.
func (p *pool) probe(ctx context.Context, s *server) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	c, err := p.dial(ctx, s)
	if err == nil {
		root := goldap.NewSearchRequest("", goldap.ScopeBaseObject, goldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
		err = c.during(ctx, func() error { _, err := c.Search(root); return err })
		c.close()
	}
	answers := !broken(err) && !troubled(err)
	p.servers.probed(s, answers)
	if answers {
		p.log.LogAttrs(ctx, slog.LevelInfo, "preferred directory server answers again",
			slog.String("directory", p.cfg.Name), slog.String("server", s.url))
	}
}
