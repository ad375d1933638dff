package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse"
)

// Check looks at the store the way an operator would want to know about it.
func (s *Store) Check(ctx context.Context) []gatehouse.Finding {
	if err := s.Ping(ctx); err != nil {
		return []gatehouse.Finding{{Subject: "store", State: gatehouse.FindingFailure,
			Detail: err.Error(), Fix: "sign-ins and hand-outs are refused until the store can be written; look at the disk, its space and permissions, or at the database server"}}
	}
	if s.place.dialect == onPostgres {
		return s.checkPostgres(ctx)
	}
	return s.checkSQLite(ctx)
}

func (s *Store) checkSQLite(ctx context.Context) []gatehouse.Finding {
	const q = `pragma quick_check(1)`
	var verdict string
	err := s.list(ctx, q, nil, func(row scanner) error { return row.Scan(&verdict) })
	detail := "SQLite " + s.place.path + ", writable; one replica only: a second one needs postgres://"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		detail += "; too large to be searched for damage in " + deadline.String()
	case err != nil:
		return []gatehouse.Finding{failure("store", err, "see whether the disk is healthy")}
	case verdict != "ok":
		return []gatehouse.Finding{{Subject: "store", State: gatehouse.FindingFailure,
			Detail: "the database is damaged: " + verdict, Fix: "stop gatehouse and restore the file from a backup"}}
	}
	return []gatehouse.Finding{{Subject: "store", State: gatehouse.FindingOK, Detail: detail}}
}

func (s *Store) checkPostgres(ctx context.Context) []gatehouse.Finding {
	const q = `select current_setting('server_version')`
	var version string
	err := s.get(ctx, q, nil, &version)
	ahead, ofClock := s.Ahead(ctx)
	if err := errors.Join(err, ofClock); err != nil {
		return []gatehouse.Finding{failure("store", err, "see whether the database server is healthy")}
	}
	found := []gatehouse.Finding{{Subject: "store", State: gatehouse.FindingOK,
		Detail: "PostgreSQL " + version + " at " + s.place.name + ", writable"}}
	if ahead.Abs() > TolerableSkew {
		found = append(found, gatehouse.Finding{Subject: "store clock", State: gatehouse.FindingWarning,
			Detail: fmt.Sprintf("this clock and the database's differ by %s", ahead.Abs().Round(time.Second)),
			Fix:    "synchronise both clocks; replicas must agree on when sessions end"})
	}
	if unverified(s.place.url) {
		found = append(found, gatehouse.Finding{Subject: "store encryption", State: gatehouse.FindingWarning,
			Detail: "the connection to " + s.place.name + " does not verify the server's certificate",
			Fix:    "add sslmode=verify-full and sslrootcert= to the store's URL"})
	}
	return found
}

// TolerableSkew is how far a replica's clock may be from the database's
// without anybody noticing.
const TolerableSkew = time.Minute

// Ahead is how far this clock is ahead of the database's. Every replica is
// compared with the same one, so that it tells who is wrong when two differ.
// On SQLite both are one clock.
func (s *Store) Ahead(ctx context.Context) (time.Duration, error) {
	if s.place.dialect == onSQLite {
		return 0, nil
	}
	const q = `select cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`
	var theirs int64
	if err := s.get(ctx, q, nil, &theirs); err != nil {
		return 0, err
	}
	return s.now().Sub(instant(theirs)), nil
}

// unverified reports whether a connection over a network would talk to
// whoever answers: without TLS, or with a mode below verify-full.
func unverified(raw string) bool {
	cfg, err := pgx.ParseConfig(raw)
	if err != nil || cfg.Host == "localhost" || strings.HasPrefix(cfg.Host, "/") {
		return false
	}
	if addr, err := netip.ParseAddr(cfg.Host); err == nil && addr.IsLoopback() {
		return false
	}
	return cfg.TLSConfig == nil || cfg.TLSConfig.InsecureSkipVerify
}

func failure(subject string, err error, fix string) gatehouse.Finding {
	return gatehouse.Finding{Subject: subject, State: gatehouse.FindingFailure, Detail: err.Error(), Fix: fix}
}
