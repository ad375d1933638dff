package store

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"gatehouse"
)

// fault says what an error of the database means to the caller. Unknown
// failures mean that it does not answer: networks fail in more ways than can
// be listed, while our own mistakes have codes.
func (s *Store) fault(err error) error {
	var known *gatehouse.Unavailable
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gatehouse.ErrNotFound), errors.Is(err, gatehouse.ErrConflict), errors.Is(err, gatehouse.ErrTwice),
		errors.As(err, &known), errors.Is(err, errSealed):
		return err
	case s.ours(err):
		return err
	}
	return &gatehouse.Unavailable{What: "store", Name: s.place.name, Err: err}
}

// ours reports whether a failure would come again on a healthy database.
func (s *Store) ours(err error) bool {
	var lite *sqlite.Error
	var pg *pgconn.PgError
	return errors.As(err, &lite) && oursSQLite(lite) || errors.As(err, &pg) && oursPostgres(pg)
}
