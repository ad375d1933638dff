package web

import (
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"gatehouse"
)

// addressShare is what part of all connections one address may have.
const addressShare = 4

// spareFiles are left to the store, the directories, AWS and logs when
// connections could otherwise take every file that the process may open.
const spareFiles = 128

// silence is how long a connection that has just been made may take to say
// what it wants, where others wait for its place or for the end: long enough
// for a busy client, less than the five seconds that a header may take.
const silence = 2 * time.Second

// crowd is a listener that bounds how many connections are open. At the limit
// the one that has idled longest, or said nothing yet, makes room; where there
// is none, new ones wait in the kernel's queue until there is, or one ends:
// that costs us no memory, and every request has an end.
type crowd struct {
	net.Listener
	most    int
	isProxy func(netip.Addr) bool // many clients' address, which has no share

	mu      sync.Mutex
	room    *sync.Cond     // there may be room again
	open    map[string]int // by address
	guests  map[*guest]struct{}
	idle    *list.List // of *guest: those without a request, the longest idle first
	wanting bool       // somebody waits for room
	closed  bool
	late    []net.Conn // that came while the listener was being closed
}

// guest is one connection.
type guest struct {
	net.Conn
	crowd *crowd
	from  string
	since time.Time
	spoke bool          // a request has begun
	idle  *list.Element // among crowd.idle
	gone  bool
}

func newCrowd(l net.Listener, most int, isProxy func(netip.Addr) bool) *crowd {
	c := &crowd{Listener: l, most: most, isProxy: isProxy, open: map[string]int{}, guests: map[*guest]struct{}{}, idle: list.New()}
	c.room = sync.NewCond(&c.mu)
	return c
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		c.await()
		conn, err := c.Listener.Accept()
		if err != nil {
			if conn = c.latecomer(); conn == nil {
				return nil, err
			}
		}
		if g := c.admit(conn); g != nil {
			return g, nil
		}
		_ = conn.Close() // its address has its share
	}
}

// await waits until there is room for one more, or the end.
func (c *crowd) await() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.guests) >= c.most && !c.closed {
		if c.evict("") {
			continue
		}
		c.wanting = true
		soon := time.AfterFunc(silence/10, c.room.Broadcast) // somebody may have been silent for long enough
		c.room.Wait()
		soon.Stop()
	}
	c.wanting = false
}

// latecomer is a connection that came at the very end, if there is one.
func (c *crowd) latecomer() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.late) == 0 {
		return nil
	}
	conn := c.late[0]
	c.late = c.late[1:]
	return conn
}

// admit counts conn in; nil when its address has too many, none of them idle.
func (c *crowd) admit(conn net.Conn) *guest {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &guest{Conn: conn, crowd: c, since: time.Now()}
	if addr, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil && !c.isProxy(addr.Addr().Unmap()) {
		g.from = gatehouse.Network(addr.Addr().String())
		if c.open[g.from] >= max(1, c.most/addressShare) && !c.evict(g.from) {
			return nil
		}
		c.open[g.from]++
	}
	c.guests[g] = struct{}{}
	g.idle = c.idle.PushBack(g)
	return g
}

// crowded reports whether room is running out: then connections are not kept
// for a next request, and so need not be closed at a moment when it comes.
func (c *crowd) crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.guests) > c.most/4*3
}

// evict closes the connection that has idled longest, among all or among
// those from one address; one that was just made has its moment, and one whose
// request has come, though nobody had the time to read it, stays. The lock is
// held.
func (c *crowd) evict(from string) bool {
	for e := c.idle.Front(); e != nil; {
		g := e.Value.(*guest)
		e = e.Next()
		switch {
		case from != "" && g.from != from || !g.wantsNothing():
		case pending(g.Conn):
			c.busy(g) // about to be read; a request that does not go on has a deadline
		default:
			c.forget(g)
			_ = g.Conn.Close()
			return true
		}
	}
	return false
}

// wantsNothing reports whether g may be closed for others' sake. The lock is held.
func (g *guest) wantsNothing() bool {
	return g.idle != nil && (g.spoke || time.Since(g.since) >= silence)
}

// forget counts g out. The lock is held.
func (c *crowd) forget(g *guest) {
	if g.gone {
		return
	}
	g.gone = true
	c.busy(g)
	delete(c.guests, g)
	if g.from != "" {
		if c.open[g.from]--; c.open[g.from] == 0 {
			delete(c.open, g.from)
		}
	}
	c.room.Signal()
}

// busy takes g off those that idle. The lock is held.
func (c *crowd) busy(g *guest) {
	if g.idle != nil {
		c.idle.Remove(g.idle)
		g.idle = nil
	}
}

// note is for http.Server.ConnState: it knows when a connection idles.
func (c *crowd) note(conn net.Conn, state http.ConnState) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn() // below TLS
	}
	g, ok := conn.(*guest)
	if !ok || state == http.StateNew {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy(g)
	g.spoke = g.spoke || state == http.StateActive
	if state != http.StateIdle || g.gone {
		return
	}
	g.idle = c.idle.PushBack(g)
	if c.wanting {
		c.room.Signal()
	}
}

// Close implements net.Listener. Whoever the kernel has connected already is
// still let in: it would be cut off otherwise, request and all.
func (c *crowd) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.late = waiting(c.Listener)
	c.room.Broadcast()
	return c.Listener.Close()
}

// finish closes the listener, and waits until every request that has come was
// answered, or ctx ends. http.Server.Shutdown drops a request that it reads
// after it was called, so that it must not be called before.
func (c *crowd) finish(ctx context.Context) {
	_ = c.Close() // Serve then returns
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !c.quiet() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// quiet reports whether nobody is being answered or about to ask.
func (c *crowd) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.late) > 0 {
		return false
	}
	for g := range c.guests {
		if !g.wantsNothing() {
			return false
		}
	}
	return true
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.crowd.mu.Lock()
	g.crowd.forget(g)
	g.crowd.mu.Unlock()
	return g.Conn.Close()
}

// room is how many connections may be open: what is configured, or less where
// the process may not have as many files open.
func (s *Server) room() int {
	most := s.cfg.Limits.Connections
	files := mostFiles()
	if files == 0 || most+spareFiles <= files {
		return most
	}
	fewer := max(files-spareFiles, files/4, 1)
	s.log.Warn("fewer connections than limits.connections: the process may not open as many files",
		slog.Int("connections", fewer), slog.Int("files", files))
	return fewer
}

// isProxy reports whether connections from addr are many clients'.
func (s *Server) isProxy(addr netip.Addr) bool { return within(addr, s.acting().trusted) }
