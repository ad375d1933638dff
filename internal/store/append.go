package store

import (
	"context"
	"database/sql/driver"
	"errors"

	"gatehouse"
)

const moveHead = `
	update chains
	set head = $1, events = events + $2
	where name = $3 and head = $4 and events = $5 and closed_at is null`

const insertEvent = `
	insert into events (chain, seq, prev, hash, body, time_at, kind,
		person, username, account, role, access_key_id, session_name, ip)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

// appender is the statements of AppendEvents on SQLite, prepared on the
// connection that writes. It is below database/sql, which has a goroutine watch
// each transaction and parses begin and commit every time: a fifth of such a
// commit, for which every hand-out waits.
type appender struct {
	on    driver.Conn
	stmts [6]driver.Stmt
}

const (
	toBegin = iota
	toMove
	toNote
	toInsert
	toCommit
	toRollBack
)

// appendLite is AppendEvents on SQLite.
func (s *Store) appendLite(ctx context.Context, links []gatehouse.Link, events []gatehouse.Event) error {
	ctx, leave, err := s.write.enter(ctx, deadline)
	if err != nil {
		return s.fault(err)
	}
	defer leave()
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return s.fault(err)
	}
	defer conn.Close() // gives it back
	if closed := conn.Raw(func(on any) error {
		broken := false
		if broken, err = s.appendOn(ctx, on.(driver.Conn), links, events); broken {
			_ = s.forgetAppender()
			return driver.ErrBadConn // database/sql makes another
		}
		return nil
	}); err == nil && closed != nil {
		err = closed
	}
	return s.fault(err)
}

// appendOn appends. A connection is broken whose transaction has not ended.
func (s *Store) appendOn(ctx context.Context, on driver.Conn, links []gatehouse.Link, events []gatehouse.Event) (broken bool, err error) {
	a, err := s.appenderOn(ctx, on)
	if err != nil {
		return false, err
	}
	if _, err = a.run(ctx, toBegin); err != nil {
		return false, err
	}
	if err = s.fill(ctx, a, links, events); err == nil {
		_, err = a.run(ctx, toCommit)
	}
	if err != nil {
		_, failed := a.run(ctx, toRollBack)
		broken = failed != nil
	}
	return broken, err
}

// appenderOn is the appender of the connection that writes. That of another
// connection is left alone: it is closed, and its statements with it.
func (s *Store) appenderOn(ctx context.Context, on driver.Conn) (*appender, error) {
	if s.appender != nil && s.appender.on == on {
		return s.appender, nil
	}
	s.appender = &appender{on: on}
	for i, q := range []string{"begin immediate", moveHead, insertOnce, insertEvent, "commit", "rollback"} {
		stmt, err := on.(driver.ConnPrepareContext).PrepareContext(ctx, q)
		if err != nil {
			return nil, errors.Join(err, s.forgetAppender())
		}
		s.appender.stmts[i] = stmt
	}
	return s.appender, nil
}

// forgetAppender must come before its connection is closed.
func (s *Store) forgetAppender() error {
	if s.appender == nil {
		return nil
	}
	var errs []error
	for _, stmt := range s.appender.stmts {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	s.appender = nil
	return errors.Join(errs...)
}

// closeAppender is forgetAppender for whoever has no turn.
func (s *Store) closeAppender() error {
	_, leave, err := s.write.enter(context.Background(), deadline)
	if err != nil {
		return s.fault(err)
	}
	defer leave()
	return s.forgetAppender()
}

// run runs one of the statements. The arguments are int64, string, []byte or
// nil, as drivers take them.
func (a *appender) run(ctx context.Context, which int, args ...any) (driver.Result, error) {
	named := make([]driver.NamedValue, len(args))
	for i, value := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: value}
	}
	return a.stmts[which].(driver.StmtExecContext).ExecContext(ctx, named)
}

// fill moves the chain's head, notes what may happen once, and inserts the
// events.
func (s *Store) fill(ctx context.Context, a *appender, links []gatehouse.Link, events []gatehouse.Event) error {
	first, last := links[0], links[len(links)-1]
	res, err := a.run(ctx, toMove, last.Hash, int64(len(links)), first.Chain, first.Prev, first.Seq-1)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return orConflict(err, first.Chain)
	}
	for i, l := range links {
		if err := s.noteOnce(ctx, a, events[i].Once); err != nil {
			return err
		}
		if _, err := a.run(ctx, toInsert, eventRow(l, events[i])...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) noteOnce(ctx context.Context, a *appender, o gatehouse.Once) error {
	if o.Key == "" {
		return nil
	}
	res, err := a.run(ctx, toNote, s.onceRow(o)...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return gatehouse.ErrTwice
}

// eventRow is one event as a row, in the order of insertEvent.
func eventRow(l gatehouse.Link, e gatehouse.Event) []any {
	row := []any{l.Chain, l.Seq, l.Prev, l.Hash, l.Body, millis(e.Time)}
	for i, value := range eventKeys(e) {
		if i == 0 {
			row = append(row, value) // kind is never null
			continue
		}
		row = append(row, maybe(value))
	}
	return row
}
