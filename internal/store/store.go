// Package store keeps what must outlive a request: records that expire
// (sessions, parked requests, codes, tokens), throttle counters, the audit
// record and its chains, what people prefer, and signing keys.
//
// It runs on SQLite, for one replica, and on PostgreSQL, for many. The SQL is
// the same for both, as are the migrations; one conformance suite holds both
// to the same behaviour. Replicas share nothing else, so every promise that
// holds for all of them (single use, counting, who makes the first signing
// key) is kept by one statement or one transaction of the database.
//
// Bearer secrets are never stored: a record is found by SHA-256 over its kind
// and its key. What is secret in itself (signing keys, named secrets) is
// sealed, see seal.go.
//
// Times are Unix milliseconds and come from the injected clock. (Seconds
// would not order the events of a busy morning, and two units in one schema
// would be worse than either.) The database's own clock is never asked,
// except by Check and Ahead.
//
// Every call has a deadline of four seconds, or the caller's where that is
// sooner. On SQLite the deadline bounds the wait for a connection; what has
// begun there and touches a few rows is not broken off, see pool. Whatever means that the database does not answer (locked, full,
// read-only, gone) is a gatehouse.Unavailable; ErrNotFound and ErrConflict
// are as documented; anything else is a fault of ours.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// dialect says which database this is. They differ in a handful of places,
// each of which asks.
type dialect int

const (
	onSQLite dialect = iota
	onPostgres
)

// deadline bounds every call: longer than any wait that heals by itself,
// (SQLite's own is three seconds), shorter than the patience of a person in
// front of a page, and than what a sign-in may take altogether: then the cause
// is told, and not that time ran out.
const deadline = 4 * time.Second

// maxSkew is how far in the future another replica's clock may be. A record
// that claims to be younger than that is not believed.
const maxSkew = 5 * time.Minute

// Store is the database. It is safe for concurrent use, by many goroutines
// and, on PostgreSQL, by many replicas.
type Store struct {
	place place
	now   func() time.Time
	seal  atomic.Pointer[sealer]

	// SQLite has one writer at a time. Queueing for a single connection in
	// Go is fair and ends with the context; queueing inside SQLite is a
	// sleep of growing length that ends with SQLITE_BUSY. Reads have
	// connections of their own, which WAL lets go on beside the writer. On
	// PostgreSQL both are the same pool.
	write, read *pool

	prepared sync.Map  // pooled statement -> *sql.Stmt
	appender *appender // on SQLite, guarded by the turn to write
}

// pool is connections to the database.
type pool struct {
	*sql.DB

	// turns has a place for each connection to SQLite; nil on PostgreSQL,
	// where database/sql does the waiting.
	turns chan struct{}
}

// enter waits, within limit, until a connection is free, and returns the
// context for what is brief. Whoever entered must leave.
//
// On SQLite that context never ends. What touches a few rows takes
// microseconds there; or it waits for the disk, which nothing can interrupt,
// or for another process, which busy_timeout bounds. A context that may end
// would cost two goroutines that watch it, more than the reading itself.
func (p *pool) enter(ctx context.Context, limit time.Duration) (brief context.Context, leave func(), err error) {
	if p.turns == nil {
		ctx, cancel := context.WithTimeout(ctx, limit)
		return ctx, cancel, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	select {
	case p.turns <- struct{}{}:
	default:
		if err := p.wait(ctx, limit); err != nil {
			return nil, nil, err
		}
	}
	return context.WithoutCancel(ctx), p.leave, nil
}

func (p *pool) wait(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case p.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) leave() { <-p.turns }

// Open connects to the database that cfg names, brings its schema up to date
// and makes sure that secrets, the contents of cfg.SecretFiles in their
// order, open what is sealed in it. now may be nil.
//
// Errors: Unavailable when the database does not answer; otherwise what is
// wrong with the configuration, the schema or the secrets, in a line for the
// operator.
func Open(ctx context.Context, cfg Config, secrets [][]byte, now func() time.Time) (*Store, error) {
	p, err := parseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	s := &Store{place: p, now: now}
	with, err := newSealer(secrets)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s.seal.Store(with)
	if err := s.connect(); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		_ = s.Close()
		if errors.Is(err, gatehouse.ErrUnavailable) {
			return nil, err // which names the store itself
		}
		return nil, fmt.Errorf("store %s: %w", p.name, err)
	}
	return s, nil
}

func (s *Store) connect() error {
	if s.place.dialect == onPostgres {
		return s.connectPostgres()
	}
	return s.connectSQLite()
}

// prepare is what happens between connecting and the first use.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.reseal(ctx, s.seal.Load())
}

// Close ends all connections. Calls that are under way may fail.
func (s *Store) Close() error {
	if s.read == s.write {
		return s.write.Close()
	}
	return errors.Join(s.read.Close(), s.closeAppender(), s.write.Close())
}

// Ping tries whether the store does what a sign-in needs, which is to write.
func (s *Store) Ping(ctx context.Context) error {
	_, _, err := s.Hit(ctx, "store: ping", time.Minute)
	return err
}

// millis is t as the database keeps it.
func millis(t time.Time) int64 { return t.UnixMilli() }

// instant is the time that millis made ms of.
func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func (s *Store) nowMillis() int64 { return millis(s.now()) }

// maybe is s for a column that is null where it does not apply.
func maybe(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// scanner is the part of sql.Rows that reads one row.
type scanner interface{ Scan(dest ...any) error }

// exec runs one statement in a transaction of its own and returns how many
// rows it touched.
func (s *Store) exec(ctx context.Context, q string, args ...any) (int, error) {
	ctx, leave, err := s.write.enter(ctx, deadline)
	if err != nil {
		return 0, s.fault(err)
	}
	defer leave()
	res, err := s.run(ctx, q, args)
	if err != nil {
		return 0, s.fault(err)
	}
	n, err := res.RowsAffected()
	return int(n), s.fault(err)
}

func (s *Store) run(ctx context.Context, q string, args []any) (sql.Result, error) {
	stmt, err := s.statement(ctx, s.write, q)
	if stmt == nil || err != nil {
		return orDirect(err, func() (sql.Result, error) { return s.write.ExecContext(ctx, q, args...) })
	}
	return stmt.ExecContext(ctx, args...)
}

// change runs one statement that writes and returns a single row, such as
// delete … returning, and reads that row. ErrNotFound when there is none.
func (s *Store) change(ctx context.Context, q string, args []any, dest ...any) error {
	return s.one(ctx, s.write, q, args, dest)
}

// get reads a single row. ErrNotFound when there is none.
func (s *Store) get(ctx context.Context, q string, args []any, dest ...any) error {
	return s.one(ctx, s.read, q, args, dest)
}

// one reads the only row of a query, and reads on until the database says
// that there are no more. Row.Scan of database/sql stops after the first,
// when SQLite has not yet committed a delete … returning.
func (s *Store) one(ctx context.Context, p *pool, q string, args, dest []any) error {
	found := false
	err := s.each(ctx, p, q, args, func(row scanner) error {
		found = true
		return row.Scan(dest...)
	})
	if err == nil && !found {
		return gatehouse.ErrNotFound
	}
	return err
}

// each reads every row of a query that is brief.
func (s *Store) each(ctx context.Context, p *pool, q string, args []any, scan func(scanner) error) error {
	ctx, leave, err := p.enter(ctx, deadline)
	if err != nil {
		return s.fault(err)
	}
	defer leave()
	return s.rows(ctx, p, q, args, scan)
}

// list reads every row of a query that may take long, and so ends with ctx.
func (s *Store) list(ctx context.Context, q string, args []any, scan func(scanner) error) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	_, leave, err := s.read.enter(ctx, deadline)
	if err != nil {
		return s.fault(err)
	}
	defer leave()
	return s.rows(ctx, s.read, q, args, scan)
}

func (s *Store) rows(ctx context.Context, p *pool, q string, args []any, scan func(scanner) error) error {
	rows, err := s.query(ctx, p, q, args)
	if err != nil {
		return s.fault(err)
	}
	return s.fault(drain(rows, scan))
}

func (s *Store) query(ctx context.Context, p *pool, q string, args []any) (*sql.Rows, error) {
	stmt, err := s.statement(ctx, p, q)
	if stmt == nil || err != nil {
		return orDirect(err, func() (*sql.Rows, error) { return p.QueryContext(ctx, q, args...) })
	}
	return stmt.QueryContext(ctx, args...)
}

// drain scans rows to their end and closes them.
func drain(rows *sql.Rows, scan func(scanner) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func orDirect[T any](err error, direct func() (T, error)) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return direct()
}

// pooled names a statement of one of the two pools.
type pooled struct {
	in *pool
	q  string
}

// statement is q prepared, once per Store. On PostgreSQL it is nil: pgx
// prepares what it sees by itself, or does not where default_query_exec_mode
// says that a pooler stands in between.
func (s *Store) statement(ctx context.Context, p *pool, q string) (*sql.Stmt, error) {
	if s.place.dialect == onPostgres {
		return nil, nil
	}
	if known, ok := s.prepared.Load(pooled{p, q}); ok {
		return known.(*sql.Stmt), nil
	}
	stmt, err := p.PrepareContext(ctx, q)
	if err != nil {
		return nil, err
	}
	if known, raced := s.prepared.LoadOrStore(pooled{p, q}, stmt); raced {
		_ = stmt.Close()
		return known.(*sql.Stmt), nil
	}
	return stmt, nil
}

// within runs do in one transaction that writes. On SQLite it holds the only
// write lock from its beginning on.
func (s *Store) within(ctx context.Context, limit time.Duration, do func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, leave, err := s.write.enter(ctx, limit)
	if err != nil {
		return s.fault(err)
	}
	defer leave()
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.fault(err)
	}
	if err := do(ctx, tx); err != nil {
		_ = tx.Rollback()
		return s.fault(err)
	}
	return s.fault(tx.Commit())
}

// Locks of PostgreSQL's advisory kind; the numbers mean nothing.
const (
	lockMigration = 0x6761746501
	lockSecrets   = 0x6761746502
)

// locked runs do in a transaction that no other replica's locked overlaps.
func (s *Store) locked(ctx context.Context, limit time.Duration, do func(ctx context.Context, tx *sql.Tx) error) error {
	return s.within(ctx, limit, func(ctx context.Context, tx *sql.Tx) error {
		if s.place.dialect == onPostgres {
			const q = `select pg_advisory_xact_lock($1)`
			if _, err := tx.ExecContext(ctx, q, int64(lockSecrets)); err != nil {
				return err
			}
		}
		return do(ctx, tx)
	})
}
