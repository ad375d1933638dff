package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed sql/*.sql
var migrations embed.FS

// migrationLimit is how long the schema may take to come up to date, the wait
// for another replica that does it included.
const migrationLimit = 5 * time.Minute

// migrate brings the schema up to date. One replica does it, the others wait.
func (s *Store) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, migrationLimit)
	defer cancel()
	files, err := fs.Sub(migrations, "sql")
	if err != nil {
		return err
	}
	if s.place.dialect == onPostgres {
		return s.migratePostgres(ctx, files)
	}
	return s.migrateSQLite(ctx, files)
}

// migrateTries is how often a migration on SQLite is tried. While several
// processes start together, one may fail at another's table of versions, and
// then once more at what that other has done meanwhile.
const (
	migrateTries = 6
	migratePause = 50 * time.Millisecond
)

// migrateSQLite needs no lock: each migration is one immediate transaction,
// so of two processes the slower one fails as a whole, changes nothing, and
// finds the work done when it looks again.
func (s *Store) migrateSQLite(ctx context.Context, files fs.FS) error {
	for try := 1; ; try++ {
		err := s.up(ctx, goose.DialectSQLite3, files)
		if err == nil || errors.Is(err, errNewerSchema) || try == migrateTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(migratePause):
		}
	}
}

// migratePostgres holds an advisory lock meanwhile. Goose has one of its own,
// but looks at its table before it takes it, and polls for it in steps of
// seconds. The lock belongs to a transaction rather than to a session, so
// that a pooler in between does not strand it.
func (s *Store) migratePostgres(ctx context.Context, files fs.FS) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.fault(err)
	}
	defer tx.Rollback() // it holds the lock and nothing else
	const lock = `select pg_advisory_xact_lock($1)`
	if _, err := tx.ExecContext(ctx, lock, int64(lockMigration)); err != nil {
		return s.fault(err)
	}
	return s.up(ctx, goose.DialectPostgres, files)
}

var errNewerSchema = errors.New("the database was written by a newer gatehouse")

// up applies what is missing, unless a newer release was here before.
func (s *Store) up(ctx context.Context, dialect goose.Dialect, files fs.FS) error {
	p, err := goose.NewProvider(dialect, s.write.DB, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	has, knows, err := p.GetVersions(ctx)
	if err != nil {
		return s.fault(fmt.Errorf("reading the schema's version: %w", err))
	}
	if has > knows {
		return fmt.Errorf("%w: its schema is version %d, this release knows up to %d; run the newer release", errNewerSchema, has, knows)
	}
	_, err = p.Up(ctx)
	if partial := (*goose.PartialError)(nil); errors.As(err, &partial) && s.ours(partial.Err) {
		// Each migration is one transaction: a kill leaves all of it or nothing.
		return fmt.Errorf("schema version %d is half applied, which no gatehouse leaves behind: %w; restore a backup", partial.Failed.Source.Version, partial.Err)
	}
	if err != nil {
		return s.fault(fmt.Errorf("bringing the schema up to date: %w", err))
	}
	return nil
}
