package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

// Query selects events.
type Query = gatehouse.EventQuery

const moveHead = `
	update chains
	set head = $1, events = events + $2
	where name = $3 and head = $4 and events = $5 and closed_at is null`

const insertEvent = `
	insert into events (chain, seq, prev, hash, body, time_at, kind,
		person, username, account, role, access_key_id, session_name, ip)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

// AppendEvents adds links, which follow each other in one chain, and the
// events they hold to the record, all or none: in one transaction the chain's
// head moves from the first link's Prev to the last one's Hash and the events
// are inserted. ErrConflict when the head is not where the first link says
// that it is, or the chain is closed. After any other error it may or may not
// have happened: read the head again.
func (s *Store) AppendEvents(ctx context.Context, links []gatehouse.Link, events []gatehouse.Event) error {
	if len(links) == 0 || len(links) != len(events) {
		return fmt.Errorf("%d links for %d events", len(links), len(events))
	}
	first, last := links[0], links[len(links)-1]
	move, insert, err := s.appending(ctx)
	if err != nil {
		return s.fault(err)
	}
	return s.within(ctx, deadline, func(ctx context.Context, tx *sql.Tx) error {
		res, err := move(ctx, tx, last.Hash, len(links), first.Chain, first.Prev, first.Seq-1)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return orConflict(err, first.Chain)
		}
		for i, l := range links {
			if _, err := insert(ctx, tx, eventRow(l, events[i])...); err != nil {
				return err
			}
		}
		return nil
	})
}

func orConflict(err error, chain string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("chain %s: %w", chain, gatehouse.ErrConflict)
}

// inTx runs a statement in a transaction.
type inTx func(ctx context.Context, tx *sql.Tx, args ...any) (sql.Result, error)

// appending prepares the two statements of AppendEvents. That happens before
// the transaction begins, which on SQLite holds the only connection.
func (s *Store) appending(ctx context.Context) (move, insert inTx, err error) {
	if move, err = s.ready(ctx, moveHead); err != nil {
		return nil, nil, err
	}
	insert, err = s.ready(ctx, insertEvent)
	return move, insert, err
}

func (s *Store) ready(ctx context.Context, q string) (inTx, error) {
	stmt, err := s.statement(ctx, s.write, q)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx *sql.Tx, args ...any) (sql.Result, error) {
		if stmt == nil {
			return tx.ExecContext(ctx, q, args...)
		}
		return tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	}, nil
}

// eventRow is one event as a row, in the order of insertEvent. Usernames are
// searched for in any case, so they are folded.
func eventRow(l gatehouse.Link, e gatehouse.Event) []any {
	return []any{
		l.Chain, l.Seq, l.Prev, l.Hash, l.Body, millis(e.Time), string(e.Kind),
		maybe(e.Person), maybe(strings.ToLower(e.Username)), maybe(e.Account), maybe(e.Role),
		maybe(e.AccessKeyID), maybe(e.SessionName), maybe(e.IP),
	}
}

// Events returns the events that q selects, newest first.
func (s *Store) Events(ctx context.Context, q Query) ([]gatehouse.Event, error) {
	where, args := conditions(q)
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	text := `select body from events` + where + `
		order by time_at desc, chain, seq desc
		limit ` + strconv.Itoa(min(limit, 1000))
	var list []gatehouse.Event
	err := s.list(ctx, text, args, func(row scanner) error {
		var body []byte
		if err := row.Scan(&body); err != nil {
			return err
		}
		var e gatehouse.Event
		if err := json.Unmarshal(body, &e); err != nil {
			// One damaged row must not hide the others; gatehouse audit
			// verify names it.
			e = gatehouse.Event{Kind: "damaged"}
		}
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// conditions turns a query into SQL. Only the constants below become text;
// what was asked for travels as arguments.
func conditions(q Query) (where string, args []any) {
	var terms []string
	add := func(term string, value any) {
		args = append(args, value)
		terms = append(terms, term+" $"+strconv.Itoa(len(args)))
	}
	for _, c := range []struct{ term, value string }{
		{"person =", q.Person},
		{"username =", strings.ToLower(q.Username)},
		{"role =", q.Role},
		{"account =", q.Account},
		{"access_key_id =", q.AccessKeyID},
		{"session_name =", q.SessionName},
		{"ip =", q.Address},
		{"kind =", string(q.Kind)},
	} {
		if c.value != "" {
			add(c.term, c.value)
		}
	}
	if !q.Since.IsZero() {
		add("time_at >=", millis(q.Since))
	}
	if !q.Until.IsZero() {
		add("time_at <", millis(q.Until))
	}
	if len(terms) == 0 {
		return "", nil
	}
	return " where " + strings.Join(terms, " and "), args
}

// ChainEvents returns up to limit links of a chain, in order, beginning after
// a sequence number.
func (s *Store) ChainEvents(ctx context.Context, chain string, after int64, limit int) ([]gatehouse.Link, error) {
	const q = `
		select seq, prev, hash, body
		from events
		where chain = $1 and seq > $2
		order by seq
		limit $3`
	var links []gatehouse.Link
	err := s.list(ctx, q, []any{chain, after, limit}, func(row scanner) error {
		l := gatehouse.Link{Chain: chain}
		err := row.Scan(&l.Seq, &l.Prev, &l.Hash, &l.Body)
		links = append(links, l)
		return err
	})
	if err != nil {
		return nil, err
	}
	return links, nil
}

// Misfiled returns the sequence numbers, after one of them and among the next
// limit events, whose columns do not say what their bodies say: such an event
// is in its chain, and yet not found by who looks for it.
func (s *Store) Misfiled(ctx context.Context, chain string, after int64, limit int) ([]int64, error) {
	const q = `
		select seq, body, time_at, kind, coalesce(person, ''), coalesce(username, ''), coalesce(account, ''),
			coalesce(role, ''), coalesce(access_key_id, ''), coalesce(session_name, ''), coalesce(ip, '')
		from events
		where chain = $1 and seq > $2
		order by seq
		limit $3`
	var bad []int64
	err := s.list(ctx, q, []any{chain, after, limit}, func(row scanner) error {
		var seq, at int64
		var body []byte
		var got [8]string
		err := row.Scan(&seq, &body, &at, &got[0], &got[1], &got[2], &got[3], &got[4], &got[5], &got[6], &got[7])
		if err != nil {
			return err
		}
		var e gatehouse.Event
		want := func() [8]string {
			return [8]string{string(e.Kind), e.Person, strings.ToLower(e.Username), e.Account, e.Role, e.AccessKeyID, e.SessionName, e.IP}
		}
		if json.Unmarshal(body, &e) != nil || at != millis(e.Time) || got != want() {
			bad = append(bad, seq)
		}
		return nil
	})
	return bad, err
}

// at is the time of a column that may be null.
func at(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return instant(ms.Int64)
}
