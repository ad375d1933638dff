// Package faults is a network that misbehaves: a proxy for TCP that stands
// between a program and a real server, and delays, hangs, resets, corrupts or
// cuts what passes, as it is told.
//
// It knows no protocol. What is set counts at once, for connections that are
// open as for later ones, and ends as soon as something else is set: so a
// test sees both how a fault is met and how its end is.
package faults

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is what goes wrong.
type Kind int

const (
	// None passes everything on.
	None Kind = iota

	// Delay passes everything on, each piece late by Fault.By.
	Delay

	// Hang accepts connections and passes nothing on, in neither direction.
	// What was held goes through once the fault ends.
	Hang

	// HalfOpen is a peer that is gone without a word, or a firewall that has
	// forgotten the connection: what is sent is swallowed, for connections
	// that lived through it even after the fault has ended.
	HalfOpen

	// Reset ends every connection by RST, and new ones as soon as they come.
	Reset

	// Corrupt flips bits in every piece that the server sends.
	Corrupt

	// Cut ends each connection after Fault.After bytes from the server.
	Cut
)

// Fault is what goes wrong, and how much of it.
type Fault struct {
	Kind  Kind
	By    time.Duration // of Delay
	After int           // of Cut: bytes
}

// Proxy passes TCP connections on to one server.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed when fault is another
	links   map[*link]struct{}
	closed  bool
}

// Start listens on a free port of loopback and passes on to target, HOST:PORT.
func Start(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: l, changed: make(chan struct{}), links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

// Address is HOST:PORT of the proxy.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Set replaces the fault. The zero Fault heals.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	for l := range p.links {
		switch f.Kind {
		case Reset:
			l.reset()
		case HalfOpen:
			l.dead.Store(true)
		}
	}
}

// Open is how many connections pass through just now.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close ends the proxy and all its connections; from then on connecting is
// refused. Closing twice does nothing.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(c) })
	}
}

// pass connects c to the server, and ends when both directions have.
func (p *Proxy) pass(c net.Conn) {
	s, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = c.Close()
		return
	}
	l := &link{client: c, server: s, done: make(chan struct{})}
	if !p.join(l) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(l, l.client, l.server, false) })
	both.Go(func() { p.pump(l, l.server, l.client, true) })
	both.Wait()
	l.close()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// join registers l, unless the present fault or the end leave no room for it.
func (p *Proxy) join(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		l.close()
		return false
	case p.fault.Kind == Reset:
		l.reset()
		return false
	}
	l.dead.Store(p.fault.Kind == HalfOpen)
	p.links[l] = struct{}{}
	return true
}

// now is the present fault, and what is closed when there is another.
func (p *Proxy) now() (Fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.changed
}

// pump copies one direction, piece by piece.
func (p *Proxy) pump(l *link, from, to net.Conn, answer bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.forward(l, to, buf[:n], answer) {
			l.close()
			return
		}
		if err == nil {
			continue
		}
		if l.dead.Load() && answer {
			return // that the server has left is not told either
		}
		p.await(l)
		l.close()
		return
	}
}

// await waits while nothing passes, not even the end of a connection.
func (p *Proxy) await(l *link) {
	for {
		f, changed := p.now()
		if f.Kind != Hang {
			return
		}
		select {
		case <-changed:
		case <-l.done:
			return
		}
	}
}

// forward passes a piece on as the fault says. false: the connection is over.
func (p *Proxy) forward(l *link, to net.Conn, piece []byte, answer bool) bool {
	p.await(l)
	f, changed := p.now()
	switch {
	case l.dead.Load():
		return true
	case f.Kind == Delay:
		select {
		case <-time.After(f.By):
		case <-changed:
		case <-l.done:
		}
	case f.Kind == Corrupt && answer:
		for i := 0; i < len(piece); i += 16 {
			piece[i] ^= 0x55
		}
	case f.Kind == Cut && answer:
		left := f.After - l.passed
		piece = piece[:max(0, min(len(piece), left))]
	}
	n, err := to.Write(piece)
	if !answer {
		return err == nil
	}
	l.passed += n
	return err == nil && (f.Kind != Cut || l.passed < f.After)
}

// link is one connection, both halves of it.
type link struct {
	client, server net.Conn
	dead           atomic.Bool // lived through HalfOpen
	passed         int         // bytes from the server; the answers' own
	once           sync.Once
	done           chan struct{}
}

func (l *link) close() {
	l.once.Do(func() { close(l.done) })
	_ = l.client.Close()
	_ = l.server.Close()
}

// reset closes without the farewell of TCP.
func (l *link) reset() {
	for _, c := range []net.Conn{l.client, l.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	l.close()
}
