package store

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"modernc.org/sqlite"
)

// connectSQLite opens the file twice: one connection that writes, and a few
// that only read.
func (s *Store) connectSQLite() error {
	if err := guardFile(s.place.path); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var err error
	if s.write, err = openSQLite(dataSource(s.place.path, "immediate"), 1); err != nil {
		return s.fault(err)
	}
	s.read, err = openSQLite(dataSource(s.place.path, "deferred", "query_only(1)"), max(2, runtime.GOMAXPROCS(0)))
	return s.fault(err)
}

// openSQLite is a pool of as many connections.
func openSQLite(source string, connections int) (*pool, error) {
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return &pool{DB: db, turns: make(chan struct{}, connections)}, nil
}

// dataSource is the driver's name for the file.
//
// txlock=immediate takes the write lock when a transaction begins: one that
// reads first and writes later would fail at once, whatever busy_timeout
// says, when another wrote in between. synchronous=FULL makes a commit
// outlive a power failure; under WAL the default, NORMAL, may lose the last
// ones, and with them the record of a hand-out. busy_timeout is for other
// processes (a backup), and stays below our deadline.
//
// cache_size is in pages, for each connection. A page takes 8 KiB of the
// driver's memory, which has sizes of powers of two, for its 4 KiB and what
// is known about them. Records are found by hash, so that few are on a page
// that was read before: SQLite's own size, twice ours, spares one read in
// seventy, and those are of the kernel's cache.
func dataSource(path, txlock string, pragmas ...string) string {
	q := url.Values{"_txlock": {txlock}, "_pragma": append([]string{
		"busy_timeout(3000)", "cache_size(256)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)",
	}, pragmas...)}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// guardFile sees to it that only we can read the file, from the first byte
// on. SQLite gives its companions (-wal, -shm) the same mode.
func guardFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the directory %s does not exist; make it, for the user that runs gatehouse only", filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o077 == 0:
		return nil
	}
	if err := f.Chmod(0o600); err != nil {
		return fmt.Errorf("%s must be readable by its owner only: %w", path, err)
	}
	return nil
}

// Result codes that are our own mistakes, not the database's state
// (sqlite.org/rescode.html).
const (
	sqliteError      = 1
	sqliteTooBig     = 18
	sqliteConstraint = 19
	sqliteMismatch   = 20
	sqliteMisuse     = 21
	sqliteRange      = 25
)

// oursSQLite reports whether the failure would come again on a healthy
// database.
func oursSQLite(err *sqlite.Error) bool {
	switch err.Code() & 0xff { // the rest of an extended code only refines it
	case sqliteError, sqliteTooBig, sqliteConstraint, sqliteMismatch, sqliteMisuse, sqliteRange:
		return true
	}
	return false
}
