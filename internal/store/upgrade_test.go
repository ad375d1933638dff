package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// While an upgrade goes from replica to replica, this release runs on a schema
// that the next one has added to. It goes on; only a new start is refused.
func TestThisReleaseGoesOnWhenTheNextOneHasAddedToTheSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		use(t, s, b, "before")
		for _, q := range []string{
			`alter table records add column note text`, `alter table counters add column note text`,
			`alter table events add column note text not null default ''`, `alter table chains add column note text`,
			`alter table signing_keys add column note text`, `create table further (id bigint not null primary key)`,
			`insert into goose_db_version (version_id, is_applied) values (2, true)`,
		} {
			_, err := s.write.Exec(q)
			fatal(t, err)
		}
		use(t, s, b, "after")
		_, err := b.tryOpen(t)
		if err == nil || !strings.Contains(err.Error(), "newer gatehouse") {
			t.Errorf("a new start: %v, want a refusal that names the newer release", err)
		}
	})
}

// use does a bit of all that a replica does.
func use(t *testing.T, s *Store, b *bench, when string) {
	t.Helper()
	ctx, later := t.Context(), b.clock.now().Add(time.Hour)
	fatal(t, s.Put(ctx, "session", when, "corp/1", []byte("x"), later))
	_, err := s.Get(ctx, "session", when)
	fatal(t, err)
	fatal(t, s.Touch(ctx, "session", when, later))
	fatal(t, s.Replace(ctx, "session", when, []byte("y")))
	_, err = s.ListOwner(ctx, "session", "corp/1")
	fatal(t, err)
	_, _, err = s.Hit(ctx, when, time.Hour)
	fatal(t, err)
	fatal(t, s.OpenChain(ctx, when))
	e := gatehouse.Event{ID: when, Time: b.clock.now(), Kind: gatehouse.EventStarted}
	fatal(t, s.AppendEvents(ctx, linked(when, "", 0, e), []gatehouse.Event{e}))
	events, err := s.Events(ctx, Query{})
	if err != nil || len(events) == 0 {
		t.Errorf("%s: events %v, %v", when, events, err)
	}
	fatal(t, s.CloseChain(ctx, when))
	_, err = s.SigningKeys(ctx)
	fatal(t, err)
	_, err = s.Secret(ctx, "name", 32)
	fatal(t, err)
	_, err = s.Take(ctx, "session", when)
	fatal(t, err)
	_, err = s.Sweep(ctx)
	fatal(t, err)
}

// A process that is killed while it makes the schema leaves all of a migration
// or nothing, and the next one finds its way.
func TestKilledInMidMigrationTheNextStartCompletesIt(t *testing.T) {
	if url := os.Getenv("STORE_TEST_MIGRATE_UNTIL_KILLED"); url != "" {
		_, _ = os.Stdout.WriteString(".")
		s, err := Open(t.Context(), Config{URL: url}, [][]byte{secretA}, nil)
		fatal(t, err)
		fatal(t, s.Close())
		return
	}
	onBoth(t, func(t *testing.T, b *bench) {
		for i := range 8 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestKilledInMidMigrationTheNextStartCompletesIt$")
			cmd.Env = append(os.Environ(), "STORE_TEST_MIGRATE_UNTIL_KILLED="+b.cfg.URL)
			out, err := cmd.StdoutPipe()
			fatal(t, err)
			fatal(t, cmd.Start())
			_, _ = out.Read(make([]byte, 1))
			time.Sleep(time.Duration(i) * 3 * time.Millisecond) // somewhere in it
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		use(t, b.open(t), b, "after the kills")
	})
}

// What has expired goes in small steps: whoever writes meanwhile waits for one
// of them at most.
func TestExpiredRowsGoWithoutAPause(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		const rows = 20_000
		fatal(t, s.within(t.Context(), time.Minute, func(ctx context.Context, tx *sql.Tx) error {
			const fill = `
				with recursive n(i) as (select 1 union all select i + 1 from n where i < $1)
				insert into records (kind, key_hash, owner, body, created_at, expires_at)
				select 'session', cast(cast(i as text) as bytea), 'corp/1', cast('x' as bytea), $2, $2 from n`
			_, err := tx.ExecContext(ctx, fill, rows, millis(b.clock.now().Add(-time.Hour)))
			return err
		}))
		swept := make(chan int)
		go func() {
			n, err := s.Sweep(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Error(err)
			}
			swept <- n
		}()
		var longest time.Duration
		for writes := 0; ; writes++ {
			select {
			case n := <-swept:
				t.Logf("%d rows went beside %d writes, the longest of which took %v", n, writes, longest)
				if n != rows || writes < 10 {
					t.Errorf("%d of %d rows went, beside %d writes", n, rows, writes)
				}
				if longest > time.Second {
					t.Errorf("a write waited %v for the sweep", longest)
				}
				return
			default:
				began := time.Now()
				_, _, err := s.Hit(t.Context(), "k", time.Hour)
				fatal(t, err)
				longest = max(longest, time.Since(began))
			}
		}
	})
}

// A migration that somebody ran is history: what changes the schema from here
// on is another file.
func TestMigrationsThatWereRunDoNotChange(t *testing.T) {
	for name, want := range map[string]string{
		"sql/00001_first.sql": "7eaafed6426617f6b85cb6cc02d2ac9c065f5bcf0c4946a65c16a2a786ecddb5",
	} {
		text, err := migrations.ReadFile(name)
		fatal(t, err)
		if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != want {
			t.Errorf("%s has become %s: write a further migration, which only adds", name, got)
		}
	}
}
