package web

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// How long a sign-in waits for its turn, and what share of those who may wait
// one client address may be: a directory that hangs, or a crowd, must not take
// memory and the other pages with it, and whoever floods the page from one
// address must leave turns to all others. How many run and wait is Limits.
const (
	queueTime  = 5 * time.Second
	queueShare = 4
)

// turns gives sign-ins their turn.
type turns struct {
	limits  Limits
	all     chan struct{} // one place per sign-in that runs
	waiting atomic.Int64  // those that do not run yet

	mu      sync.Mutex
	clients map[string]*client
}

// client is an address that signs somebody in just now.
type client struct {
	places chan struct{}
	users  int // that hold a place or wait for one
}

func newTurns(l Limits) *turns {
	return &turns{limits: l, all: make(chan struct{}, l.SignIns), clients: map[string]*client{}}
}

// enter waits for a turn to sign in from ip. The caller leaves again, unless
// it got an error: errBusy when there was no turn for too long, or when too
// many wait already.
func (t *turns) enter(ctx context.Context, ip string) (leave func(), err error) {
	late := time.NewTimer(queueTime)
	defer late.Stop()
	key := gatehouse.Network(ip)
	c, err := t.join(key)
	if err != nil {
		return nil, err
	}
	if err := t.place(ctx, late, c.places); err != nil {
		t.part(key)
		return nil, err
	}
	if err := t.place(ctx, late, t.all); err != nil {
		<-c.places
		t.part(key)
		return nil, err
	}
	return func() { <-t.all; <-c.places; t.part(key) }, nil
}

// place takes one of places, and waits for it where there is room to wait.
func (t *turns) place(ctx context.Context, late *time.Timer, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	defer t.waiting.Add(-1)
	if t.waiting.Add(1) > int64(t.limits.SignInsWaiting) {
		return errBusy
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-late.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join counts one more sign-in of a client, unless it has too many already.
func (t *turns) join(key string) (*client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[key]
	if c == nil {
		c = &client{places: make(chan struct{}, t.limits.SignInsPerAddress)}
		t.clients[key] = c
	}
	if c.users >= t.limits.SignInsPerAddress+t.limits.SignInsWaiting/queueShare {
		return nil, errBusy
	}
	c.users++
	return c, nil
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

// Turn waits for a turn to prove the person of r, for another door.
func (s *Server) Turn(r *http.Request) (leave func(), err error) {
	leave, err = s.signIns.enter(r.Context(), factsFrom(r.Context()).ip)
	if errors.Is(err, errBusy) {
		return nil, &gatehouse.Unavailable{What: "sign-in", Name: "turn", Err: err}
	}
	return leave, err
}
