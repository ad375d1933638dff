package access

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gatehouse"
)

// What a session was handed before may be handed to it again hundreds of times
// an hour (see share.go), and to write each time to disk would cost more than
// all else. What an auditor must know before it happens is who has which keys,
// and where they went: that is on the record, by itself, before the first
// delivery to each address, and again as soon as another rule or group gives
// the role. Every further delivery of the same keys to the same session at
// the same address adds one to a number, which is on the record within
// countFor, in one event with that `count`. Who asks is judged each time.
//
// Nothing is counted while the record is known to fail, and a number that
// cannot be written stops deliveries: the next waits until the record has it
// too, and gets nothing if it does not. Only a process that is
// killed loses numbers, of less than countFor, and never the fact itself.

// countFor is how long deliveries are only counted.
const countFor = time.Minute

// mostPlaces bounds what is counted of one hand-out; a delivery beyond it is
// on the record by itself.
const mostPlaces = 100

// uses are the deliveries of one hand-out, by where they went and why.
type uses struct {
	mu sync.Mutex
	at map[string]*use
}

// use counts deliveries that differ in nothing but their time.
type use struct {
	mu    sync.Mutex
	known string        // the event that has the first; empty: none has, or a number could not be written
	busy  chan struct{} // not nil: somebody writes that event; closed when they have
	err   error         // how that ended
	n     int           // deliveries that no event has
	last  gatehouse.Event
}

// counted are the uses with a number that is not on the record yet.
type counted struct {
	mu    sync.Mutex
	ended bool // nothing is left for later
	due   map[*use]*time.Timer
}

// add has write run in time, once for all that u counts until then.
func (c *counted) add(u *use, write func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	after := countFor
	if c.ended {
		after = 0
	}
	if c.due == nil {
		c.due = map[*use]*time.Timer{}
	}
	c.due[u] = time.AfterFunc(after, write)
}

// end returns what is left to write. What is counted from now on is written
// at once.
func (c *counted) end() (due []*use) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for u, t := range c.due {
		t.Stop()
		due = append(due, u)
	}
	clear(c.due)
	return due
}

// over reports whether nothing is to be tried again.
func (c *counted) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *counted) done(u *use) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.due, u)
}

// delivered puts a delivery of h on the record, or counts it where the record
// has one like it. It returns the ID of the event.
func (b *Broker) delivered(ctx context.Context, h *handOut, e gatehouse.Event) (string, error) {
	e.ID = rand.Text()
	u := h.uses.like(e)
	if u == nil {
		return e.ID, b.record(ctx, e)
	}
	if id := b.count(u, e); id != "" {
		return id, nil
	}
	u.mu.Lock()
	busy, joins := u.busy, u.busy != nil
	if !joins {
		busy = b.write(ctx, u, e, 1)
	}
	u.mu.Unlock()
	select {
	case <-busy:
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w: %w", e.Kind, gatehouse.ErrNotRecorded, ctx.Err())
	}
	u.mu.Lock()
	id, err := u.known, u.err
	u.mu.Unlock()
	if err == nil && joins { // that event does not have this one
		return b.delivered(ctx, h, e)
	}
	return id, err
}

// count adds e to the number of u and returns the ID of the event that has the
// first; empty where nothing may only be counted.
func (b *Broker) count(u *use, e gatehouse.Event) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known == "" || b.d.Audit.Failing() {
		return ""
	}
	u.n, u.last = u.n+1, e
	if u.n == 1 {
		b.counted.add(u, func() { b.writeDown(u) })
	}
	return u.known
}

// like are the uses that e is one of; nil where there are too many.
func (s *uses) like(e gatehouse.Event) *use {
	key := fmt.Sprint(e.IP, e.Client, e.DN, e.Rules) + "\n" + strings.Join(e.Groups, "\n") + "\n" + e.Reason
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.at[key]
	if u == nil && len(s.at) < mostPlaces {
		if s.at == nil {
			s.at = map[string]*use{}
		}
		u = new(use)
		s.at[key] = u
	}
	return u
}

// write has e put on the record for all that u has counted, and for more. It
// is called with u locked, and nobody's leaving ends it: others wait for it.
func (b *Broker) write(ctx context.Context, u *use, e gatehouse.Event, more int) chan struct{} {
	busy, taken := make(chan struct{}), u.n
	u.busy, u.n = busy, 0
	if e.Count = taken + more; e.Count == 1 {
		e.Count = 0 // it stands for itself
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.d.Timeout)
	go func() {
		defer cancel()
		defer close(busy)
		err := b.record(own, e)
		u.mu.Lock()
		defer u.mu.Unlock()
		u.known, u.err, u.busy = e.ID, err, nil
		if err == nil {
			return
		}
		u.known, u.n = "", u.n+taken
		b.d.Log.WarnContext(own, "keys are not given again until the record has how often they were", slog.String("user", e.Username), slog.Any("err", err))
		if u.n > 0 && !b.counted.over() {
			b.counted.add(u, func() { b.writeDown(u) })
		}
	}()
	return busy
}

// writeDown puts the number of u on the record and returns once it is there.
func (b *Broker) writeDown(u *use) {
	b.counted.done(u)
	u.mu.Lock()
	busy := u.busy
	if u.n > 0 && busy == nil {
		e := u.last
		e.ID = rand.Text()
		busy = b.write(context.Background(), u, e, 0)
	}
	u.mu.Unlock()
	if busy != nil {
		<-busy
	}
}

// Close puts on the record what is only counted. The Broker may still be used.
func (b *Broker) Close() {
	var all sync.WaitGroup
	for _, u := range b.counted.end() {
		all.Go(func() { b.writeDown(u) })
	}
	all.Wait()
}
