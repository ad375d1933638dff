package store

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
)

// wantUnavailable is what callers turn into a page that names the store.
func wantUnavailable(t *testing.T, what string, err error) {
	t.Helper()
	var u *gatehouse.Unavailable
	if !errors.As(err, &u) || u.What != "store" || u.Name == "" {
		t.Errorf("%s: error = %v, want Unavailable of the store", what, err)
	}
}

func put(s *Store, t *testing.T) error {
	return s.Put(t.Context(), "session", "k", "", make([]byte, 1<<16), time.Now().Add(time.Hour))
}

func TestAReadOnlyStoreReadsAndSaysSo(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		fatal(t, put(s, t))
		if s.place.dialect == onPostgres {
			_, err := s.write.Exec(`alter database ` + s.place.name[strings.Index(s.place.name, "/")+1:] + ` set default_transaction_read_only = on`)
			fatal(t, err)
			s = b.reconnect(t)
		} else {
			_, err := s.write.Exec(`pragma query_only = 1`)
			fatal(t, err)
		}
		wantUnavailable(t, "Put", put(s, t))
		wantUnavailable(t, "Ping", s.Ping(t.Context()))
		_, err := s.Get(t.Context(), "session", "k")
		fatal(t, err)
		if f := s.Check(t.Context()); f[0].State != gatehouse.FindingFailure {
			t.Errorf("Check = %+v, want a failure", f)
		}
	})
}

// reconnect is a store with new connections and without a migration.
func (b *bench) reconnect(t *testing.T) *Store {
	t.Helper()
	p, err := parseURL(b.cfg.URL)
	fatal(t, err)
	s := &Store{place: p, now: b.clock.now}
	with, err := newSealer([][]byte{secretA})
	fatal(t, err)
	s.seal.Store(with)
	fatal(t, s.connect())
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAFullDiskIsUnavailableAndHealsByItself(t *testing.T) {
	b := sqliteBench(t)
	s := b.open(t)
	fatal(t, put(s, t))
	_, err := s.write.Exec(`pragma max_page_count = 1`) // SQLite takes the present size
	fatal(t, err)
	wantUnavailable(t, "Put", s.Put(t.Context(), "session", "k2", "", make([]byte, 1<<16), b.clock.now().Add(time.Hour)))
	_, err = s.Get(t.Context(), "session", "k")
	fatal(t, err)
	_, err = s.write.Exec(`pragma max_page_count = 1000000`)
	fatal(t, err)
	fatal(t, s.Put(t.Context(), "session", "k2", "", make([]byte, 1<<16), b.clock.now().Add(time.Hour)))
}

func sqliteBench(t *testing.T) *bench {
	return &bench{cfg: Config{URL: databases[0].url(t)}, clock: &clock{t: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}}
}

func TestALockedDatabaseIsReadAndThenUnavailable(t *testing.T) {
	b := sqliteBench(t)
	s := b.open(t)
	fatal(t, put(s, t))
	other, err := sql.Open("sqlite", dataSource(s.place.path, "immediate"))
	fatal(t, err)
	defer other.Close()
	tx, err := other.Begin()
	fatal(t, err)
	start := time.Now()
	wantUnavailable(t, "Put while another process writes", put(s, t))
	if took := time.Since(start); took > deadline {
		t.Errorf("Put waited %s, beyond the deadline", took)
	}
	_, err = s.Get(t.Context(), "session", "k")
	fatal(t, err)
	fatal(t, tx.Rollback())
	fatal(t, put(s, t))
}

func TestADamagedFileIsRefusedAtTheStart(t *testing.T) {
	b := sqliteBench(t)
	path := strings.TrimPrefix(b.cfg.URL, "sqlite://")
	fatal(t, os.WriteFile(path, []byte(strings.Repeat("this is not a database\n", 1000)), 0o600))
	_, err := b.tryOpen(t)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "not a database") {
		t.Errorf("Open = %v, want an error that names the file", err)
	}
}

func TestTheFileIsItsOwnersOnly(t *testing.T) {
	b := sqliteBench(t)
	path := strings.TrimPrefix(b.cfg.URL, "sqlite://")
	fatal(t, os.WriteFile(path, nil, 0o666))
	fatal(t, os.Chmod(path, 0o666))
	s := b.open(t)
	fatal(t, put(s, t))
	files, err := filepath.Glob(path + "*")
	fatal(t, err)
	if len(files) != 3 {
		t.Errorf("files = %q, want the database, -wal and -shm", files)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		fatal(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", f, info.Mode())
		}
	}
}

func TestADirectoryThatIsMissingIsNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := Open(t.Context(), Config{URL: "sqlite://" + missing + "/g.db"}, [][]byte{secretA}, nil)
	if err == nil || !strings.Contains(err.Error(), "directory "+missing) {
		t.Errorf("Open = %v, want an error that names the directory", err)
	}
}

func TestAServerThatDoesNotAnswerIsUnavailableInTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	fatal(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	const password = "hunter2-in-the-url"
	_, err = Open(ctx, Config{URL: "postgres://u:" + password + "@" + l.Addr().String() + "/db?sslmode=disable"}, [][]byte{secretA}, nil)
	wantUnavailable(t, "Open", err)
	if strings.Contains(err.Error(), password) {
		t.Errorf("the error gives the password away: %v", err)
	}
}

func TestALostConnectionHealsByItself(t *testing.T) {
	b := &bench{cfg: Config{URL: outside.Postgres(t)}, clock: &clock{t: time.Now()}}
	s := b.open(t)
	err := put(s, t)
	fatal(t, err)
	const q = `select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
	other := b.open(t)
	var ended int
	fatal(t, other.write.QueryRow(q).Scan(&ended))
	if ended == 0 {
		t.Fatal("no connection was ended")
	}
	// A call may meet the end of its connection, and there are a few of them.
	for range maxConns {
		if err = put(s, t); err == nil {
			return
		}
		wantUnavailable(t, "Put", err)
	}
	t.Errorf("Put after every connection was replaced: %v", err)
}

// A process that is killed in mid-write leaves a database that opens, and
// has what it had committed.
func TestKilledInMidWriteNothingCommittedIsLost(t *testing.T) {
	if url := os.Getenv("STORE_TEST_WRITE_UNTIL_KILLED"); url != "" {
		writeUntilKilled(t, url)
	}
	b := sqliteBench(t)
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "STORE_TEST_WRITE_UNTIL_KILLED="+b.cfg.URL)
	out, err := cmd.StdoutPipe()
	fatal(t, err)
	fatal(t, cmd.Start())
	committed := 0
	buf := make([]byte, 1)
	for committed < 50 {
		if _, err := out.Read(buf); err != nil {
			t.Fatalf("after %d writes: %v", committed, err)
		}
		if buf[0] == '.' {
			committed++
		}
	}
	fatal(t, cmd.Process.Kill())
	_ = cmd.Wait()

	s := b.open(t)
	n, _, err := s.Hits(t.Context(), "k")
	fatal(t, err)
	if n < committed {
		t.Errorf("%d writes are there, %d had been answered", n, committed)
	}
	if f := s.Check(t.Context()); f[0].State != gatehouse.FindingOK {
		t.Errorf("Check = %+v, want ok", f)
	}
}

func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	if url := os.Getenv("STORE_TEST_OPEN"); url != "" {
		s, err := Open(t.Context(), Config{URL: url}, [][]byte{secretA}, nil)
		fatal(t, err)
		fatal(t, s.Close())
		return
	}
	onBoth(t, func(t *testing.T, b *bench) {
		together(4, func(i int) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcessesThatStartTogetherMigrateOnce$")
			cmd.Env = append(os.Environ(), "STORE_TEST_OPEN="+b.cfg.URL)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", i, err, out)
			}
		})
		s := b.reconnect(t)
		var applied int
		fatal(t, s.read.QueryRow(`select count(*) from goose_db_version where version_id > 0`).Scan(&applied))
		if known := migrationCount(t); applied != known {
			t.Errorf("%d migrations were applied, want each of %d once", applied, known)
		}
	})
}

func migrationCount(t *testing.T) int {
	t.Helper()
	files, err := migrations.ReadDir("sql")
	fatal(t, err)
	return len(files)
}

func writeUntilKilled(t *testing.T, url string) {
	s, err := Open(t.Context(), Config{URL: url}, [][]byte{secretA}, func() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) })
	fatal(t, err)
	for {
		_, _, err := s.Hit(t.Context(), "k", time.Hour)
		fatal(t, err)
		_, _ = os.Stdout.WriteString(".")
	}
}

func TestURLsThatMeanNothingAreRefused(t *testing.T) {
	for _, url := range []string{
		"", "gatehouse.db", "sqlite:gatehouse.db", "sqlite://gatehouse.db", "sqlite:///a/../b.db", "sqlite:///a.db?mode=memory",
		"sqlite:///a.db#x", "sqlite://:memory:", "mysql://u@h/db", "postgres://u:p%zz@h/db",
	} {
		faults := Config{URL: url, SecretFiles: []string{"secret.key"}}.Validate()
		if len(faults) != 1 || faults[0].Key != "store" || strings.Contains(faults[0].What, "p%zz") {
			t.Errorf("Validate of store %q = %v, want one fault of store", url, faults)
		}
	}
	for _, url := range []string{"sqlite:///var/lib/gatehouse/gatehouse.db", "postgres://gatehouse@db/gatehouse", "postgresql:///gatehouse"} {
		if faults := (Config{URL: url, SecretFiles: []string{"secret.key"}}).Validate(); len(faults) != 0 {
			t.Errorf("Validate of store %q = %v, want no fault", url, faults)
		}
	}
	if faults := (Config{URL: "sqlite:///a.db"}).Validate(); len(faults) != 1 || faults[0].Key != "secret_files" {
		t.Errorf("Validate without secrets = %v, want a fault of secret_files", faults)
	}
}
