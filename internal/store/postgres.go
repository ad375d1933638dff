package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// How many connections one replica uses. A call lasts a millisecond, so a few
// go a long way, and PostgreSQL allows a hundred in all by default.
const (
	maxConns     = 16
	maxConnLife  = 30 * time.Minute // so that replicas follow a moved database
	maxConnSpare = 5 * time.Minute
)

func (s *Store) connectPostgres() error {
	cfg, err := pgx.ParseConfig(s.place.url)
	if err != nil {
		return fmt.Errorf("store: %w", err) // pgx leaves the password out
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = deadline
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "gatehouse"
	}
	s.write = &pool{DB: stdlib.OpenDB(*cfg)}
	s.write.SetMaxOpenConns(maxConns)
	s.write.SetMaxIdleConns(maxConns)
	s.write.SetConnMaxLifetime(maxConnLife)
	s.write.SetConnMaxIdleTime(maxConnSpare)
	s.read = s.write
	return nil
}

// isTwice reports whether what AppendEvents notes was noted before (a time
// that is null), or stands twice in one batch (a row that is changed twice).
func isTwice(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "23502" && pg.ColumnName == "expires_at" || pg.Code == "21000")
}

// oursPostgres reports whether the failure would come again on a healthy
// database: classes 22 (data), 23 (constraints) and 42 (syntax and names) of
// PostgreSQL's "Error Codes", but not 42501, a privilege that somebody can
// give.
func oursPostgres(err *pgconn.PgError) bool {
	if len(err.Code) < 2 || err.Code == "42501" {
		return false
	}
	switch err.Code[:2] {
	case "22", "23", "42":
		return true
	}
	return false
}
