package access

import (
	"context"
	"sync"
)

// turns let the same password for the same name be tried by one attempt at a
// time. An allowance is taken from before the directory is asked; a person's
// tools that all begin at once, each with the right password, would otherwise
// use it up among themselves, and with a wrong one each would be sent. So the
// next begins when the one before has its answer: a right one gave everything
// back, a wrong one is not sent again.
//
// Attempts at different replicas do not wait for each other.
type turns struct {
	mu    sync.Mutex
	lines map[string]*line
}

// line is who waits for one turn.
type line struct {
	turn   chan struct{} // holds one value while nobody has the turn
	people int
}

// enter waits for the turn of key, which leave gives back.
func (t *turns) enter(ctx context.Context, key string) (leave func(), err error) {
	t.mu.Lock()
	l := t.lines[key]
	if l == nil {
		l = &line{turn: make(chan struct{}, 1)}
		l.turn <- struct{}{}
		t.lines[key] = l
	}
	l.people++
	t.mu.Unlock()
	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if l.people--; l.people == 0 {
			delete(t.lines, key)
		}
	}
	select {
	case <-l.turn:
		return func() { l.turn <- struct{}{}; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
