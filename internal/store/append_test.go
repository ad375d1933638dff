package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"os"
	"testing"
	"time"

	"gatehouse"
)

// stuck is a statement that does nothing but fail.
type stuck struct{ driver.Stmt }

func (stuck) ExecContext(context.Context, []driver.NamedValue) (driver.Result, error) {
	return nil, errors.New("input/output error")
}

func TestATransactionThatCannotEndCostsItsConnectionOnly(t *testing.T) {
	s := sqliteBench(t).open(t)
	ctx := t.Context()
	fatal(t, s.OpenChain(ctx, "c"))
	e := anEvent(1)
	links := linked("c", "", 0, e)
	fatal(t, s.AppendEvents(ctx, links, []gatehouse.Event{e}))
	for _, which := range []int{toCommit, toRollBack} {
		s.appender.stmts[which] = stuck{s.appender.stmts[which]}
	}
	next := anEvent(2)
	more := linked("c", links[0].Hash, 1, next)
	wantUnavailable(t, "AppendEvents", s.AppendEvents(ctx, more, []gatehouse.Event{next}))
	c, err := s.Chain(ctx, "c")
	if err != nil || c.Head != links[0].Hash {
		t.Errorf("Chain = %+v, %v; want the head where it was", c, err)
	}
	fatal(t, s.AppendEvents(ctx, more, []gatehouse.Event{next}))
	if found, err := s.Events(ctx, Query{}); err != nil || len(found) != 2 {
		t.Errorf("Events = %d, %v; want 2", len(found), err)
	}
}

// SQLite writes the log into the file and removes it when the last connection
// closes, unless a statement is left open.
func TestAStoreThatClosesLeavesOneFile(t *testing.T) {
	s := sqliteBench(t).open(t)
	fatal(t, s.OpenChain(t.Context(), "c"))
	e := anEvent(1)
	fatal(t, s.AppendEvents(t.Context(), linked("c", "", 0, e), []gatehouse.Event{e}))
	fatal(t, put(s, t))
	fatal(t, s.Close())
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(s.place.path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s after Close: %v, want that it is gone", suffix, err)
		}
	}
}

func TestTheWaitForAConnectionEndsWithTheContext(t *testing.T) {
	s := sqliteBench(t).open(t)
	_, leave, err := s.write.enter(t.Context(), deadline)
	fatal(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	e := anEvent(1)
	for what, err := range map[string]error{
		"Put":          s.Put(ctx, "session", "k", "", nil, time.Now().Add(time.Hour)),
		"AppendEvents": s.AppendEvents(ctx, linked("c", "", 0, e), []gatehouse.Event{e}),
		"OpenChain":    s.OpenChain(ctx, "c"),
	} {
		wantUnavailable(t, what, err)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s = %v, want that the deadline passed", what, err)
		}
	}
	leave()
	fatal(t, s.OpenChain(t.Context(), "c"))
	wantUnavailable(t, "Put", s.Put(ctx, "session", "k", "", nil, time.Now().Add(time.Hour)))
	if _, err := s.Get(t.Context(), "session", "k"); !errors.Is(err, gatehouse.ErrNotFound) {
		t.Errorf("Get = %v, want that a call whose context had ended did nothing", err)
	}
}
