package ldap

import (
	"slices"
	"time"
)

// shelf holds connections that nobody uses just now. Its owner locks it.
type shelf struct {
	maxIdle time.Duration
	conns   []*conn
}

// take is the connection that was used last and that good says yes to, or
// nil. What is old, or was hung up on, it lets go.
func (s *shelf) take(now time.Time, good func(*conn) bool) *conn {
	for len(s.conns) > 0 {
		c := s.conns[len(s.conns)-1]
		s.conns = s.conns[:len(s.conns)-1]
		if !c.IsClosing() && now.Sub(c.used) < s.maxIdle && now.Sub(c.opened) < maxLife && good(c) {
			return c
		}
		go c.close()
	}
	return nil
}

func (s *shelf) put(c *conn, now time.Time) {
	c.used = now
	s.conns = append(s.conns, c)
}

// forget hangs up on what leads to a server that does not answer.
func (s *shelf) forget(dead *server) {
	s.conns = slices.DeleteFunc(s.conns, func(c *conn) bool {
		if c.server == dead {
			c.drop()
		}
		return c.server == dead
	})
}

func (s *shelf) clear() {
	for _, c := range s.conns {
		c.close()
	}
	s.conns = nil
}
