package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse"
)

// Query selects events.
type Query = gatehouse.EventQuery

// AppendEvents adds links, which follow each other in one chain, and the
// events they hold to the record, all or none: in one transaction the chain's
// head moves from the first link's Prev to the last one's Hash and the events
// are inserted, together with what they say may happen once. ErrTwice when that
// was noted before, by Once too. ErrConflict when the head is not where the
// first link says that it is, or the chain is closed. After any other error it
// may or may not have happened: read the head again.
func (s *Store) AppendEvents(ctx context.Context, links []gatehouse.Link, events []gatehouse.Event) error {
	if len(links) == 0 || len(links) != len(events) {
		return fmt.Errorf("%d links for %d events", len(links), len(events))
	}
	if s.place.dialect == onPostgres {
		return s.appendAtOnce(ctx, links, events)
	}
	return s.appendLite(ctx, links, events)
}

// The parts of appendAtOnce.
const movedAtOnce = `
	with moved as (
		update chains
		set head = $1, events = events + $2
		where name = $3 and head = $4 and events = $5 and closed_at is null
		returning name
	)`

// A statement cannot take back what a part of it has written, other than
// by its failure: what was noted before gets no time, and must have one.
const notedAtOnce = `, noted as (
		insert into records (kind, key_hash, body, created_at, expires_at)
		select $19, o.key_hash, ''::bytea, $20, o.until
		from moved, unnest($21::bytea[], $22::bigint[]) as o (key_hash, until)
		on conflict (kind, key_hash) do update
		set created_at = excluded.created_at,
			expires_at = case when records.expires_at <= $20 then excluded.expires_at end
	)`

const insertAtOnce = `
	insert into events (chain, seq, prev, hash, body, time_at, kind,
		person, username, account, role, access_key_id, session_name, ip)
	select moved.name, e.seq, e.prev, e.hash, e.body, e.time_at, e.kind,
		nullif(e.person, ''), nullif(e.username, ''), nullif(e.account, ''), nullif(e.role, ''),
		nullif(e.access_key_id, ''), nullif(e.session_name, ''), nullif(e.ip, '')
	from moved, unnest($6::bigint[], $7::text[], $8::text[], $9::bytea[], $10::bigint[], $11::text[],
		$12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[])
		as e (seq, prev, hash, body, time_at, kind,
			person, username, account, role, access_key_id, session_name, ip)`

// appendAtOnce is AppendEvents in one statement, which PostgreSQL can: each
// round trip costs more than all else, and the head's row is locked for none.
// One array per column holds a row for each event.
func (s *Store) appendAtOnce(ctx context.Context, links []gatehouse.Link, events []gatehouse.Event) error {
	first, last := links[0], links[len(links)-1]
	args := []any{last.Hash, len(links), first.Chain, first.Prev, first.Seq - 1}
	args = append(args, eventColumns(links, events)...)
	q := movedAtOnce + insertAtOnce
	keys, until := onceColumns(events)
	if len(keys) > 0 {
		q = movedAtOnce + notedAtOnce + insertAtOnce
		args = append(args, onceKind, s.nowMillis(), keys, until)
	}
	n, err := s.exec(ctx, q, args...)
	switch {
	case len(keys) > 0 && isTwice(err):
		return fmt.Errorf("%w: %v", gatehouse.ErrTwice, err)
	case err == nil && n == 0:
		return orConflict(nil, first.Chain)
	}
	return err
}

// onceColumns are what events say may happen once, as columns. They are in
// order: of two replicas that note the same two things, neither may wait for
// the other.
func onceColumns(events []gatehouse.Event) (keys [][]byte, until []int64) {
	var all []gatehouse.Once
	for _, e := range events {
		if e.Once.Key != "" {
			all = append(all, e.Once)
		}
	}
	slices.SortFunc(all, func(a, b gatehouse.Once) int { return strings.Compare(a.Key, b.Key) })
	for _, o := range all {
		keys, until = append(keys, keyHash(onceKind, o.Key)), append(until, millis(o.Until))
	}
	return keys, until
}

// eventColumns are events as columns, in the order of appendAtOnce.
func eventColumns(links []gatehouse.Link, events []gatehouse.Event) []any {
	n := len(links)
	seq, at, body := make([]int64, n), make([]int64, n), make([][]byte, n)
	prev, hash := make([]string, n), make([]string, n)
	var keys [8][]string
	for c := range keys {
		keys[c] = make([]string, n)
	}
	for i, l := range links {
		seq[i], prev[i], hash[i], body[i], at[i] = l.Seq, l.Prev, l.Hash, l.Body, millis(events[i].Time)
		for c, value := range eventKeys(events[i]) {
			keys[c][i] = value
		}
	}
	args := []any{seq, prev, hash, body, at}
	for _, column := range keys {
		args = append(args, column)
	}
	return args
}

func orConflict(err error, chain string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("chain %s: %w", chain, gatehouse.ErrConflict)
}

// eventKeys are what an event is found by: kind, person, username, account,
// role, access_key_id, session_name and ip.
func eventKeys(e gatehouse.Event) [8]string {
	return [8]string{key(string(e.Kind)), key(e.Person), username(e.Username), key(e.Account), key(e.Role),
		key(e.AccessKeyID), key(e.SessionName), key(e.IP)}
}

// maxKey is how many bytes of a text are indexed: more than any ARN has, and
// less than PostgreSQL refuses (a third of a page).
const maxKey = 1024

// key is a text as its column has it. What people typed must never make the
// record fail, and PostgreSQL takes neither zero bytes nor invalid UTF-8.
// encoding/json replaces the latter in the same way.
func key(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r == 0 {
			return utf8.RuneError
		}
		return r
	}, s)
	if len(clean) <= maxKey {
		return clean
	}
	cut := maxKey
	for !utf8.RuneStart(clean[cut]) {
		cut--
	}
	return clean[:cut]
}

// username is folded, since usernames are searched for in any case.
func username(s string) string { return key(strings.ToLower(s)) }

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
		{"person =", key(q.Person)},
		{"username =", username(q.Username)},
		{"role =", key(q.Role)},
		{"account =", key(q.Account)},
		{"access_key_id =", key(q.AccessKeyID)},
		{"session_name =", key(q.SessionName)},
		{"ip =", key(q.Address)},
		{"kind =", key(string(q.Kind))},
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
		if json.Unmarshal(body, &e) != nil || at != millis(e.Time) || got != eventKeys(e) {
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
