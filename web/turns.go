package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"gatehouse"
)

// How many sign-ins run at a time, how many of them for one client address,
// and how long one waits for its turn: a directory that hangs, or a crowd,
// must not take memory and the other pages with it, and whoever floods the
// page from one address must leave turns to all others.
const (
	mostSignIns   = 128
	mostFromOne   = 32
	queueTime     = 5 * time.Second
	ipv6OneClient = 64 // bits: an IPv6 client commands at least the /64 it lives in
)

// turns gives sign-ins their turn.
type turns struct {
	all chan struct{} // one place per sign-in that runs

	mu      sync.Mutex
	clients map[string]*client
}

// client is an address that signs somebody in just now.
type client struct {
	places chan struct{}
	users  int // that hold a place or wait for one
}

func newTurns() *turns {
	return &turns{all: make(chan struct{}, mostSignIns), clients: map[string]*client{}}
}

// enter waits for a turn to sign in from ip. The caller leaves again, unless
// it got an error: errBusy when there was no turn for too long.
func (t *turns) enter(ctx context.Context, ip string) (leave func(), err error) {
	late := time.NewTimer(queueTime)
	defer late.Stop()
	key := clientOf(ip)
	c := t.join(key)
	if err := place(ctx, late, c.places); err != nil {
		t.part(key)
		return nil, err
	}
	if err := place(ctx, late, t.all); err != nil {
		<-c.places
		t.part(key)
		return nil, err
	}
	return func() { <-t.all; <-c.places; t.part(key) }, nil
}

func place(ctx context.Context, late *time.Timer, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-late.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turns) join(key string) *client {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[key]
	if c == nil {
		c = &client{places: make(chan struct{}, mostFromOne)}
		t.clients[key] = c
	}
	c.users++
	return c
}

// part forgets a client whose last sign-in is over.
func (t *turns) part(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clients[key]; c.users > 1 {
		c.users--
		return
	}
	delete(t.clients, key)
}

// clientOf is what counts as one address.
func clientOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Is4() {
		return ip
	}
	prefix, _ := addr.Prefix(ipv6OneClient)
	return prefix.String()
}

// Turn waits for a turn to prove the person of r, for another door.
func (s *Server) Turn(r *http.Request) (leave func(), err error) {
	leave, err = s.signIns.enter(r.Context(), factsFrom(r.Context()).ip)
	if errors.Is(err, errBusy) {
		return nil, &gatehouse.Unavailable{What: "sign-in", Name: "turn", Err: err}
	}
	return leave, err
}
