package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/outside"
	"gatehouse/internal/store"
)

// A store that cannot be used ends serve and check with one line that says
// what is wrong, and nothing half started.
func TestAStoreThatCannotBeUsedEndsTheStartWithOneLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(t *testing.T, file, secret string)
		says  string
		fix   string // that check tells
	}{
		{"a file that is no database", func(t *testing.T, file, _ string) {
			write(t, file, strings.Repeat("not a database\n", 1000))
		}, "file is not a database", "stop gatehouse and restore a backup"},
		{"a database with a damaged page", func(t *testing.T, file, _ string) {
			made(t, file)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i := 100; i < len(text); i++ {
				text[i] ^= 0xa5
			}
			write(t, file, string(text))
		}, "malformed", "stop gatehouse and restore a backup"},
		{"a file that was cut off", func(t *testing.T, file, _ string) {
			made(t, file)
			if err := os.Truncate(file, 5000); err != nil {
				t.Fatal(err)
			}
		}, "malformed", "stop gatehouse and restore a backup"},
		{"a store from a newer release", func(t *testing.T, file, _ string) {
			made(t, file, `insert into goose_db_version (version_id, is_applied) values (9999, 1)`)
		}, "was written by a newer gatehouse", "run the newer release"},
		{"a migration that was half applied", func(t *testing.T, file, _ string) {
			made(t, file, `drop table secrets`, `delete from goose_db_version where version_id > 0`)
		}, "half applied", "stop gatehouse and restore a backup"},
		{"another secret", func(t *testing.T, file, secret string) {
			made(t, file)
			write(t, secret, strings.Repeat("x", 32))
		}, "cannot be opened with secret_files", "put the file that sealed the store back"},
		{"a secret that is too short", func(t *testing.T, _, secret string) { write(t, secret, "short") }, "secret_files", "for a new store make one"},
		{"a secret that everybody may read", func(t *testing.T, _, secret string) {
			if err := os.Chmod(secret, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "is open to everybody", "chmod o-rwx "},
		{"a folder that is not there", func(t *testing.T, file, _ string) {
			if err := os.RemoveAll(filepath.Dir(file)); err != nil {
				t.Fatal(err)
			}
		}, "does not exist", "install -d -m 0700 -o gatehouse "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			secret, file := filepath.Join(dir, "secret.key"), filepath.Join(dir, "store", "gatehouse.db")
			if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, secret, strings.Repeat("s", 32))
			text := fmt.Sprintf(benchConfig, filepath.Dir(file), "http://127.0.0.1:1") + "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n"
			write(t, filepath.Join(dir, "gatehouse.yaml"), text)
			tt.spoil(t, file, secret)
			var out, errs bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			code := run(ctx, []string{"serve", "--config", filepath.Join(dir, "gatehouse.yaml")}, &out, &errs)
			said := strings.TrimSpace(errs.String())
			if code != exitFailed || !strings.Contains(said, tt.says) || strings.Contains(said, "\n") {
				t.Errorf("serve ended with %d and said\n%s\nwant 1, and one line with %q", code, said, tt.says)
			}
			if code := run(ctx, []string{"check", "--config", filepath.Join(dir, "gatehouse.yaml")}, &out, &errs); code != exitFailed || !strings.Contains(out.String(), tt.says) || !strings.Contains(out.String(), "→ "+tt.fix) {
				t.Errorf("check ended with %d and said\n%s\nwant 1, and to do %q", code, &out, tt.fix)
			}
		})
	}
}

func TestWhatToDoAboutAStoreDependsOnWhy(t *testing.T) {
	for _, tt := range []struct {
		name, store string
		err         error
		want        string
	}{
		{"a folder of another user's", "sqlite:///var/lib/gatehouse/gatehouse.db", &fs.PathError{Op: "open", Path: "/var/lib/gatehouse/gatehouse.db", Err: fs.ErrPermission}, "write to /var/lib/gatehouse and the files in it"},
		{"PostgreSQL that does not answer", "postgres://gatehouse:hidden@db1:5432/gatehouse", &gatehouse.Unavailable{What: "store", Name: "db1"}, "make the database answer: see that PostgreSQL runs at db1:5432,"},
		{"a full disk", "sqlite:///var/lib/gatehouse/gatehouse.db", errors.New("database or disk is full"), "look at the disk of /var/lib/gatehouse"},
	} {
		if got := storeFix(tt.store, tt.err); !strings.Contains(got, tt.want) || strings.Contains(got, "hidden") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// made is a store with a sealed value in it, all of it in one file, after
// statements have changed it by hand.
func made(t testing.TB, file string, statements ...string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + file}, [][]byte{bytes.Repeat([]byte("s"), 32)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Secret(t.Context(), "nameid", 32)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range append(statements, `pragma wal_checkpoint(truncate)`) {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
}

// previous is the commit of the release before this one, and is moved at each
// release. There has been none yet: it is a state of main that others ran.
const previous = "d5bb43d"

// buildPrevious makes the previous release's binary from the history.
func buildPrevious(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := exec.Command("git", "cat-file", "-e", previous+"^{commit}").Run(); err != nil {
		outside.Missing(t, "the history back to the previous release, "+previous+" (a whole clone: git fetch --unshallow)")
	}
	script := fmt.Sprintf(`git -C "$(git rev-parse --show-toplevel)" archive %s | tar -x -C %q && cd %[2]q && CGO_ENABLED=0 GOFLAGS= go build -o previous ./cmd/gatehouse`, previous, dir)
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("building the previous release: %v\n%s", err, out)
	}
	return filepath.Join(dir, "previous")
}

// An upgrade goes replica by replica, so for a while both releases stand on
// one database, with one configuration: yesterday's. The database is the
// previous release's; this one brings it up to date while that one works.
func TestThePreviousReleaseRunsBesideThisOne(t *testing.T) {
	t.Parallel()
	old := buildPrevious(t)
	f := equip(t, 2)
	for _, r := range f.replicas {
		text, err := os.ReadFile(r.config)
		if err != nil {
			t.Fatal(err)
		}
		write(t, r.config, regexp.MustCompile(`(?m)^(drain_delay|limits): .*\n`).ReplaceAllString(string(text), ""))
		r.program = old
		r.start(t)
	}
	before := f.signIn(t)
	work := f.work(t, 4)
	f.replicas[1].stop(t)
	f.replicas[1].program = "gatehouse"
	f.replicas[1].start(t)
	time.Sleep(2 * time.Second) // of work on both
	if wrong := work.end(); len(wrong) > 0 {
		t.Errorf("%d of %d requests went wrong: %s", len(wrong), work.requests.Load(), wrong[0])
	}
	b := f.signIn(t)
	for _, r := range f.replicas {
		for who, b := range map[string]*browser{"from before": before, "that has just begun": b} {
			if res := f.through(t, b, r, "GET", "/"); res.StatusCode != 200 {
				t.Errorf("%s answers a session %s with %d", r.program, who, res.StatusCode)
			}
		}
	}
	f.nothingIsLost(t, before, work)
	if _, err := config.Load(f.replicas[1].config); err != nil {
		t.Errorf("yesterday's configuration: %v", err)
	}
}
