package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/outside"
)

func TestMain(m *testing.M) { outside.Main(m) }

// bench is one database under test, and the clock that its stores share.
type bench struct {
	cfg   Config
	clock *clock
}

// clock is an injected clock that tests move by hand.
type clock struct {
	sync.Mutex
	t time.Time
}

func (c *clock) now() time.Time {
	c.Lock()
	defer c.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.Lock()
	defer c.Unlock()
	c.t = c.t.Add(d)
}

// secretA and its like are contents of secret files.
var (
	secretA = bytes.Repeat([]byte("a"), 32)
	secretB = bytes.Repeat([]byte("b"), 32)
)

// open opens the database, with secretA unless told otherwise.
func (b *bench) open(t testing.TB, secrets ...[]byte) *Store {
	t.Helper()
	s, err := b.tryOpen(t, secrets...)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func (b *bench) tryOpen(t testing.TB, secrets ...[]byte) (*Store, error) {
	t.Helper()
	if len(secrets) == 0 {
		secrets = [][]byte{secretA}
	}
	s, err := Open(context.Background(), b.cfg, secrets, b.clock.now)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

// databases are what the suite runs on.
var databases = []struct {
	name string
	url  func(t testing.TB) string
}{
	{"sqlite", func(t testing.TB) string { return "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db") }},
	{"postgres", outside.Postgres},
}

// onBoth runs a test of the suite on both databases.
func onBoth(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
			test(t, &bench{cfg: Config{URL: db.url(t)}, clock: &clock{t: at}})
		})
	}
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t testing.TB, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: error = %v, want %v", what, err, kind)
	}
}

func TestABearerSecretIsNowhereInTheDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		const key = "this-is-the-secret-in-the-cookie"
		fatal(t, s.Put(ctx, "session", key, "corp/1", []byte("body"), b.clock.now().Add(time.Hour)))
		_, _, err := s.Hit(ctx, "name:"+key, time.Hour)
		fatal(t, err)
		named, err := s.Secret(ctx, "name-id", 32)
		fatal(t, err)
		private := []byte("this is the private key, to be kept")
		_, err = s.FirstSigningKey(ctx, func() (gatehouse.SigningKey, error) { return aKey("k1", private), nil })
		fatal(t, err)

		everything := dump(t, s)
		for what, hidden := range map[string][]byte{"bearer secret": []byte(key), "named secret": named, "private key": private} {
			if bytes.Contains(everything, hidden) || bytes.Contains(everything, []byte(hex.EncodeToString(hidden))) {
				t.Errorf("the database contains the %s", what)
			}
		}
		if !bytes.Contains(everything, []byte("corp/1")) {
			t.Error("the dump does not even contain the owner: this test looks in the wrong place")
		}
	})
}

// dump is every value of every table, and on SQLite every byte of the files.
func dump(t *testing.T, s *Store) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, table := range []string{"records", "counters", "learnt", "chains", "events", "people", "factors", "signing_keys", "secrets"} {
		rows, err := s.read.Query("select * from " + table)
		fatal(t, err)
		columns, err := rows.Columns()
		fatal(t, err)
		fatal(t, drain(rows, func(row scanner) error {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(sql.RawBytes)
			}
			err := row.Scan(values...)
			for _, v := range values {
				out.Write(*v.(*sql.RawBytes))
				out.WriteByte('\n')
			}
			return err
		}))
	}
	files, _ := filepath.Glob(s.place.path + "-*") // -wal and -shm
	if s.place.path != "" {
		files = append(files, s.place.path)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		fatal(t, err)
		out.Write(raw)
	}
	return out.Bytes()
}

func TestRecordsExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		expires := b.clock.now().Add(time.Minute)
		fatal(t, s.Put(ctx, "code", "k", "o", []byte("body"), expires))
		got, err := s.Get(ctx, "code", "k")
		fatal(t, err)
		if string(got) != "body" {
			t.Errorf("Get = %q, want %q", got, "body")
		}
		_, err = s.Get(ctx, "token", "k")
		wantKind(t, "the same key of another kind", err, gatehouse.ErrNotFound)

		b.clock.advance(time.Minute)
		_, err = s.Get(ctx, "code", "k")
		wantKind(t, "Get at the expiry", err, gatehouse.ErrNotFound)
		_, err = s.Take(ctx, "code", "k")
		wantKind(t, "Take at the expiry", err, gatehouse.ErrNotFound)
		wantKind(t, "Touch at the expiry", s.Touch(ctx, "code", "k", expires.Add(time.Hour)), gatehouse.ErrNotFound)
		wantKind(t, "Replace at the expiry", s.Replace(ctx, "code", "k", []byte("x")), gatehouse.ErrNotFound)
		list, err := s.ListOwner(ctx, "code", "o")
		fatal(t, err)
		if len(list) != 0 {
			t.Errorf("ListOwner at the expiry = %v, want nothing", list)
		}
	})
}

func TestARecordFromTheFutureIsNotBelieved(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		b.clock.advance(24 * time.Hour)
		fatal(t, s.Put(ctx, "session", "k", "o", []byte("body"), b.clock.now().Add(time.Hour)))
		b.clock.advance(-maxSkew)
		_, err := s.Get(ctx, "session", "k")
		fatal(t, err) // within the skew of another replica
		b.clock.advance(-time.Second)
		_, err = s.Get(ctx, "session", "k")
		wantKind(t, "Get before it was made", err, gatehouse.ErrNotFound)
	})
}

func TestOnceIsTrueOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		one, two := b.open(t), b.open(t)
		ctx := t.Context()
		until := b.clock.now().Add(10 * time.Minute)
		seen := func(s *Store, key string) bool {
			t.Helper()
			first, err := s.Once(ctx, key, until)
			fatal(t, err)
			return first
		}
		for i, step := range []struct {
			what  string
			store *Store
			key   string
			want  bool
		}{
			{"the first time", one, "k", true},
			{"again", one, "k", false},
			{"again, on another replica", two, "k", false},
			{"another key", two, "K", true},
		} {
			if got := seen(step.store, step.key); got != step.want {
				t.Errorf("%d, %s: first = %v, want %v", i, step.what, got, step.want)
			}
		}
		fatal(t, one.Put(ctx, "session", "k2", "", nil, until))
		if !seen(one, "k2") {
			t.Error("a record of another kind counts as seen")
		}
		b.clock.advance(10*time.Minute - time.Millisecond)
		if seen(two, "k") {
			t.Error("forgotten before its time")
		}
		b.clock.advance(time.Millisecond)
		until = until.Add(10 * time.Minute)
		if !seen(two, "k") || seen(one, "k") {
			t.Error("after its time a key must be new, once")
		}
	})
}

func TestOfManyWhoAskAtOnceOneIsTheFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		replicas := []*Store{b.open(t), b.open(t)}
		until := b.clock.now().Add(time.Minute)
		var firsts atomic.Int32
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				first, err := replicas[i%2].Once(context.Background(), "k", until)
				if err != nil {
					t.Errorf("Once: %v", err)
				}
				if first {
					firsts.Add(1)
				}
			})
		}
		wg.Wait()
		if got := firsts.Load(); got != 1 {
			t.Errorf("%d were the first, want 1", got)
		}
	})
}

func TestOneOfTwentySwapsABody(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		one, other := b.open(t), b.open(t)
		ctx := t.Context()
		fatal(t, one.Put(ctx, "cli", "k", "o", []byte("old"), b.clock.now().Add(time.Minute)))
		var done atomic.Int32
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				s := []*Store{one, other}[i%2]
				switch err := s.Swap(ctx, "cli", "k", []byte("old"), fmt.Appendf(nil, "new %d", i)); {
				case err == nil:
					done.Add(1)
				case !errors.Is(err, gatehouse.ErrConflict):
					t.Errorf("Swap: %v, want ErrConflict", err)
				}
			})
		}
		all.Wait()
		if done.Load() != 1 {
			t.Errorf("%d swapped one body, want 1", done.Load())
		}
		list, err := one.ListOwner(ctx, "cli", "o")
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		record := list[0]
		wantKind(t, "SwapID of another's", one.SwapID(ctx, "cli", "p", record.ID, record.Body, []byte("x")), gatehouse.ErrConflict)
		wantKind(t, "SwapID of an older body", one.SwapID(ctx, "cli", "o", record.ID, []byte("old"), []byte("x")), gatehouse.ErrConflict)
		fatal(t, other.SwapID(ctx, "cli", "o", record.ID, record.Body, []byte("named")))
		wantKind(t, "Swap of nothing", one.Swap(ctx, "cli", "none", nil, []byte("x")), gatehouse.ErrConflict)
		b.clock.advance(time.Minute)
		body, _ := one.Get(ctx, "cli", "k")
		wantKind(t, "Swap at the expiry", one.Swap(ctx, "cli", "k", body, []byte("x")), gatehouse.ErrConflict)
	})
}

func TestTouchMovesTheExpiryAndReplaceDoesNot(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		start := b.clock.now()
		fatal(t, s.Put(ctx, "session", "k", "o", []byte("one"), start.Add(time.Minute)))
		fatal(t, s.Touch(ctx, "session", "k", start.Add(time.Hour)))
		b.clock.advance(time.Minute)
		fatal(t, s.Replace(ctx, "session", "k", []byte("two")))
		list, err := s.ListOwner(ctx, "session", "o")
		fatal(t, err)
		want := []Record{{ID: hex.EncodeToString(keyHash("session", "k")), Body: []byte("two"), Created: start, Expires: start.Add(time.Hour)}}
		if diff := cmp.Diff(want, list); diff != "" {
			t.Errorf("ListOwner (-want +got):\n%s", diff)
		}
		fatal(t, s.Replace(ctx, "session", "k", nil))
		got, err := s.Get(ctx, "session", "k")
		if err != nil || len(got) != 0 {
			t.Errorf("Get of an empty body = %q, %v; want it empty", got, err)
		}
		fatal(t, s.Forget(ctx, "session", "k"))
		fatal(t, s.Forget(ctx, "session", "k"))
		_, err = s.Get(ctx, "session", "k")
		wantKind(t, "Get after Forget", err, gatehouse.ErrNotFound)
	})
}

func TestOwnersEndTheirOwnRecordsOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		expires := b.clock.now().Add(time.Hour)
		for _, r := range [][2]string{{"a1", "alice"}, {"a2", "alice"}, {"b1", "bob"}, {"n1", ""}} {
			fatal(t, s.Put(ctx, "session", r[0], r[1], nil, expires))
		}
		fatal(t, s.Put(ctx, "token", "a3", "alice", nil, expires))
		bobs := hex.EncodeToString(keyHash("session", "b1"))

		wantKind(t, "alice ends bob's", s.ForgetID(ctx, "session", "alice", bobs), gatehouse.ErrNotFound)
		wantKind(t, "no ID at all", s.ForgetID(ctx, "session", "bob", "zz"), gatehouse.ErrNotFound)
		_, err := s.Get(ctx, "session", "b1")
		fatal(t, err)
		fatal(t, s.ForgetID(ctx, "session", "bob", bobs))
		wantKind(t, "bob ends it twice", s.ForgetID(ctx, "session", "bob", bobs), gatehouse.ErrNotFound)

		if n, err := s.ForgetOwner(ctx, "session", ""); n != 0 || err != nil {
			t.Errorf("ForgetOwner of nobody = %d, %v; want 0: what has no owner is nobody's", n, err)
		}
		if n, err := s.ForgetOwner(ctx, "session", "alice"); n != 2 || err != nil {
			t.Errorf("ForgetOwner = %d, %v; want 2", n, err)
		}
		for _, kept := range [][2]string{{"session", "n1"}, {"token", "a3"}} {
			_, err := s.Get(ctx, kept[0], kept[1])
			fatal(t, err)
		}
	})
}

func TestWhatAnOwnerHasBeyondTheMostEndsTheSoonestEndingFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		for i, name := range []string{"expired", "idle", "busy", "new"} {
			fatal(t, s.Put(ctx, "session", name, "alice", []byte(name), b.clock.now().Add(time.Duration(i)*time.Hour)))
		}
		fatal(t, s.Put(ctx, "session", "bobs", "bob", nil, b.clock.now().Add(time.Minute)))
		fatal(t, s.Put(ctx, "token", "hers", "alice", nil, b.clock.now().Add(time.Minute)))
		b.clock.advance(time.Second)
		if over, err := s.Trim(ctx, "session", "alice", 4); len(over) != 0 || err != nil {
			t.Errorf("Trim to as many as there are = %v, %v; want nothing", over, err)
		}
		over, err := s.Trim(ctx, "session", "alice", 2)
		fatal(t, err)
		if len(over) != 1 || string(over[0].Body) != "idle" {
			t.Errorf("Trim to two = %v, want the idle one; the expired one had ended by itself", over)
		}
		for _, kept := range [][2]string{{"session", "busy"}, {"session", "new"}, {"session", "bobs"}, {"token", "hers"}} {
			_, err := s.Get(ctx, kept[0], kept[1])
			fatal(t, err)
		}
		_, err = s.Get(ctx, "session", "idle")
		wantKind(t, "Get of what was removed", err, gatehouse.ErrNotFound)
		if over, err := s.Trim(ctx, "session", "", 0); len(over) != 0 || err != nil {
			t.Errorf("Trim of nobody = %v, %v", over, err)
		}
	})
}

func TestOneOfFiftyTakesARecord(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.open(t), b.open(t)} // two replicas
		ctx := t.Context()
		fatal(t, stores[0].Put(ctx, "code", "k", "", []byte("body"), b.clock.now().Add(time.Hour)))
		var mu sync.Mutex
		won, lost := 0, 0
		together(50, func(i int) {
			body, err := stores[i%2].Take(ctx, "code", "k")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && string(body) == "body":
				won++
			case errors.Is(err, gatehouse.ErrNotFound):
				lost++
			default:
				t.Errorf("Take = %q, %v", body, err)
			}
		})
		if won != 1 || lost != 49 {
			t.Errorf("%d took it and %d did not, want 1 and 49", won, lost)
		}
	})
}

// together runs do n times at once and waits.
func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func TestCountersCountEveryHit(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.open(t), b.open(t)}
		ctx := t.Context()
		var mu sync.Mutex
		seen := map[int]bool{}
		together(60, func(i int) {
			n, until, err := stores[i%2].Hit(ctx, "person", time.Minute)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !until.Equal(b.clock.now().Add(time.Minute)) {
				t.Errorf("Hit = %d, %v, %v", n, until, err)
			}
			seen[n] = true
		})
		if len(seen) != 60 || !seen[1] || !seen[60] {
			t.Errorf("sixty hits returned %d different counts, want 1 to 60", len(seen))
		}
	})
}

func TestACounterStartsAnewAfterItsWindow(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		hit := func(want int) {
			t.Helper()
			got, _, err := s.Hit(ctx, "k", time.Minute)
			if err != nil || got != want {
				t.Errorf("Hit = %d, %v; want %d", got, err, want)
			}
		}
		hit(1)
		b.clock.advance(59 * time.Second)
		hit(2)
		b.clock.advance(59 * time.Second)
		hit(3) // the window is counted from the last hit
		if n, until, err := s.Hits(ctx, "k"); n != 3 || !until.Equal(b.clock.now().Add(time.Minute)) || err != nil {
			t.Errorf("Hits = %d, %v, %v; want 3", n, until, err)
		}
		b.clock.advance(time.Minute)
		if n, _, err := s.Hits(ctx, "k"); n != 0 || err != nil {
			t.Errorf("Hits after the window = %d, %v; want 0", n, err)
		}
		hit(1)
		fatal(t, s.Clear(ctx, "k"))
		hit(1)
	})
}

func TestLearntIsForgottenInTime(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		fatal(t, s.Learn(ctx, "role", "3600", b.clock.now().Add(time.Hour)))
		fatal(t, s.Learn(ctx, "role", "7200", b.clock.now().Add(time.Hour)))
		got, err := s.Learnt(ctx, "role")
		if err != nil || got != "7200" {
			t.Errorf("Learnt = %q, %v; want the later value", got, err)
		}
		b.clock.advance(time.Hour)
		_, err = s.Learnt(ctx, "role")
		wantKind(t, "Learnt after its time", err, gatehouse.ErrNotFound)
	})
}

func TestPreferencesAreKeptPerPerson(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		fatal(t, s.SetPreference(ctx, "corp/1", "favourites", []byte("old")))
		fatal(t, s.SetPreference(ctx, "corp/1", "favourites", []byte("new")))
		got, err := s.Preference(ctx, "corp/1", "favourites")
		if err != nil || string(got) != "new" {
			t.Errorf("Preference = %q, %v; want new", got, err)
		}
		_, err = s.Preference(ctx, "corp/2", "favourites")
		wantKind(t, "somebody else's", err, gatehouse.ErrNotFound)
		fatal(t, s.SetPreference(ctx, "corp/1", "recents", nil))
		fatal(t, s.SetPreference(ctx, "corp/2", "favourites", []byte("theirs")))
		all, err := s.Preferences(ctx, "corp/1")
		if want := map[string][]byte{"favourites": []byte("new"), "recents": {}}; err != nil || !cmp.Equal(all, want) {
			t.Errorf("Preferences = %q, %v; want %q", all, err, want)
		}
	})
}

func TestOfTwoChangesToOnePreferenceNoneIsLost(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		fatal(t, s.SwapPreference(ctx, "corp/1", "favourites", nil, []byte("a")))
		wantKind(t, "a second first", s.SwapPreference(ctx, "corp/1", "favourites", nil, []byte("b")), gatehouse.ErrConflict)
		fatal(t, s.SwapPreference(ctx, "corp/1", "favourites", []byte("a"), []byte("ab")))
		wantKind(t, "a change of what was", s.SwapPreference(ctx, "corp/1", "favourites", []byte("a"), []byte("ac")), gatehouse.ErrConflict)
		wantKind(t, "a change of nothing", s.SwapPreference(ctx, "corp/2", "favourites", []byte("a"), []byte("ac")), gatehouse.ErrConflict)
		if got, err := s.Preference(ctx, "corp/1", "favourites"); err != nil || string(got) != "ab" {
			t.Errorf("Preference = %q, %v; want ab", got, err)
		}

		stores := []*Store{s, b.open(t)}
		together(8, func(i int) {
			for {
				old, err := stores[i%2].Preference(ctx, "corp/1", "favourites")
				if err == nil {
					err = stores[i%2].SwapPreference(ctx, "corp/1", "favourites", old, append(bytes.Clone(old), byte('0'+i)))
				}
				if !errors.Is(err, gatehouse.ErrConflict) {
					if err != nil {
						t.Error(err)
					}
					return
				}
			}
		})
		got, err := s.Preference(ctx, "corp/1", "favourites")
		if err != nil || len(got) != len("ab")+8 {
			t.Errorf("after eight changes at a time it is %q, %v; want all of them", got, err)
		}
	})
}

func aKey(id string, private []byte) gatehouse.SigningKey {
	return gatehouse.SigningKey{ID: id, State: gatehouse.KeyActive, PrivateKey: private, Certificate: []byte("certificate"),
		CreatedAt: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
}

func TestReplicasAgreeOnTheFirstSigningKey(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.open(t), b.open(t)}
		var mu sync.Mutex
		made := 0
		got := map[string]bool{}
		together(8, func(i int) {
			keys, err := stores[i%2].FirstSigningKey(t.Context(), func() (gatehouse.SigningKey, error) {
				mu.Lock()
				defer mu.Unlock()
				made++
				return aKey(fmt.Sprint("key", i), []byte(fmt.Sprint("private", i))), nil
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil || len(keys) != 1 {
				t.Errorf("FirstSigningKey = %v, %v", keys, err)
				return
			}
			got[keys[0].ID+string(keys[0].PrivateKey)] = true
		})
		if made != 1 || len(got) != 1 {
			t.Errorf("%d keys were made and %d seen, want one: %v", made, len(got), got)
		}
	})
}

func TestSigningKeysChangeAllAtOnceOrNotAtAll(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s, other := b.open(t), b.open(t)
		first := aKey("k1", []byte("one"))
		if _, err := s.FirstSigningKey(t.Context(), func() (gatehouse.SigningKey, error) { return first, nil }); err != nil {
			t.Fatal(err)
		}
		refused := errors.New("not like this")
		if err := s.ChangeSigningKeys(t.Context(), func(keys []gatehouse.SigningKey) ([]gatehouse.SigningKey, error) {
			keys[0].State = gatehouse.KeyRetired
			return keys, refused
		}); !errors.Is(err, refused) {
			t.Errorf("ChangeSigningKeys = %v, want the refusal", err)
		}
		if err := s.ChangeSigningKeys(t.Context(), func(keys []gatehouse.SigningKey) ([]gatehouse.SigningKey, error) {
			if len(keys) != 1 || keys[0].State != first.State || string(keys[0].PrivateKey) != "one" {
				t.Errorf("after the refusal the keys are %+v", keys)
			}
			keys[0].State = gatehouse.KeyNext
			return append(keys, aKey("k2", []byte("two"))), nil
		}); err != nil {
			t.Fatal(err)
		}
		keys, err := other.SigningKeys(t.Context())
		got := map[string]string{}
		for _, k := range keys {
			got[k.ID] = string(k.State) + " " + string(k.PrivateKey)
		}
		if want := (map[string]string{"k1": "next one", "k2": string(first.State) + " two"}); err != nil || !maps.Equal(got, want) {
			t.Errorf("another replica sees %v, %v; want %v", got, err, want)
		}
		// Two who change at the same time do not lose each other's key.
		stores := []*Store{s, other}
		together(4, func(i int) {
			if err := stores[i%2].ChangeSigningKeys(t.Context(), func(keys []gatehouse.SigningKey) ([]gatehouse.SigningKey, error) {
				return append(keys, aKey(fmt.Sprint("more", i), []byte("x"))), nil
			}); err != nil {
				t.Error(err)
			}
		})
		if keys, err = s.SigningKeys(t.Context()); err != nil || len(keys) != 6 {
			t.Errorf("%d keys, %v; want 6", len(keys), err)
		}
	})
}

func TestAKeyThatCannotBeMadeIsNotTheStoresFault(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		broken := errors.New("no entropy")
		_, err := s.FirstSigningKey(t.Context(), func() (gatehouse.SigningKey, error) { return gatehouse.SigningKey{}, broken })
		if !errors.Is(err, broken) || errors.Is(err, gatehouse.ErrUnavailable) {
			t.Errorf("error = %v, want the maker's", err)
		}
		keys, err := s.SigningKeys(t.Context())
		if len(keys) != 0 || err != nil {
			t.Errorf("SigningKeys = %v, %v; want none", keys, err)
		}
	})
}

func TestASecretIsMadeOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.open(t), b.open(t)}
		var mu sync.Mutex
		got := map[string]bool{}
		together(8, func(i int) {
			value, err := stores[i%2].Secret(t.Context(), "name-id", 32)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || len(value) != 32 {
				t.Errorf("Secret = %d bytes, %v", len(value), err)
			}
			got[string(value)] = true
		})
		other, err := stores[0].Secret(t.Context(), "another", 32)
		fatal(t, err)
		if len(got) != 1 || got[string(other)] {
			t.Errorf("%d values for one name, want 1, and another for another name", len(got))
		}
	})
}

func TestSecretsRotateWithoutABreak(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		before := b.open(t, secretA)
		want, err := before.Secret(ctx, "name-id", 32)
		fatal(t, err)
		_, err = before.FirstSigningKey(ctx, func() (gatehouse.SigningKey, error) { return aKey("k1", []byte("private")), nil })
		fatal(t, err)

		same := func(secrets ...[]byte) {
			t.Helper()
			s := b.open(t, secrets...)
			got, err := s.Secret(ctx, "name-id", 32)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("Secret = %x, %v; want %x", got, err, want)
			}
			keys, err := s.SigningKeys(ctx)
			if diff := cmp.Diff([]gatehouse.SigningKey{aKey("k1", []byte("private"))}, keys); diff != "" || err != nil {
				t.Errorf("SigningKeys: %v (-want +got):\n%s", err, diff)
			}
		}
		_, err = b.tryOpen(t, secretB)
		if err == nil || !strings.Contains(err.Error(), "secret_files") || !strings.Contains(err.Error(), "another secret") {
			t.Errorf("Open with a wrong secret: %v; want an error that names secret_files", err)
		}
		same(secretA, secretB) // the new one is known everywhere
		same(secretB, secretA) // it seals, and everything is sealed anew
		same(secretB)          // the old one is gone
		_, err = b.tryOpen(t, secretA)
		if err == nil {
			t.Error("Open with the secret that was dropped succeeds")
		}
	})
}

func TestASealedRowThatWasMovedOrChangedIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		_, err := s.Secret(ctx, "one", 32)
		fatal(t, err)
		_, err = s.Secret(ctx, "two", 32)
		fatal(t, err)
		_, err = s.write.Exec(`update secrets set value = (select value from secrets where name = 'one') where name = 'two'`)
		fatal(t, err)
		_, err = s.Secret(ctx, "two", 32)
		if !errors.Is(err, errSealed) || errors.Is(err, gatehouse.ErrUnavailable) {
			t.Errorf("Secret of a row with another row's value: %v, want it refused", err)
		}
	})
}

func TestShortSecretsAreRefused(t *testing.T) {
	for _, secrets := range [][][]byte{nil, {secretA[:31]}, {secretA, nil}} {
		_, err := newSealer(secrets)
		if err == nil || !strings.Contains(err.Error(), "secret_files") {
			t.Errorf("newSealer(%d secrets) = %v, want an error that names secret_files", len(secrets), err)
		}
	}
}

func TestAnOlderReleaseRefusesANewerSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		_, err := s.write.Exec(`insert into goose_db_version (version_id, is_applied) values ($1, $2)`, 99, true)
		fatal(t, err)
		_, err = b.tryOpen(t)
		if err == nil || !strings.Contains(err.Error(), "newer") || !strings.Contains(err.Error(), "99") {
			t.Errorf("Open = %v, want a refusal that names the version", err)
		}
	})
}

func TestStoresThatStartTogetherMigrateOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := make([]*Store, 6)
		errs := make([]error, 6)
		together(len(stores), func(i int) {
			stores[i], errs[i] = Open(t.Context(), b.cfg, [][]byte{secretA}, b.clock.now)
		})
		for i, s := range stores {
			if errs[i] != nil {
				t.Errorf("Open: %v", errs[i])
				continue
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
			defer s.Close()
		}
	})
}

func TestSweepRemovesWhatHasExpiredAndNothingElse(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.open(t), b.open(t)}
		s := stores[0]
		ctx := t.Context()
		const many = 3*sweepBatch + 1
		for i := range many {
			fatal(t, s.Put(ctx, "code", fmt.Sprint(i), "", nil, b.clock.now().Add(time.Minute)))
		}
		fatal(t, s.Put(ctx, "session", "kept", "", nil, b.clock.now().Add(time.Hour)))
		_, _, err := s.Hit(ctx, "counter", time.Minute)
		fatal(t, err)
		fatal(t, s.Learn(ctx, "role", "1", b.clock.now().Add(time.Minute)))
		b.clock.advance(time.Minute)

		removed := make([]int, 2)
		together(2, func(i int) {
			n, err := stores[i].Sweep(ctx)
			if err != nil {
				t.Errorf("Sweep: %v", err)
			}
			removed[i] = n
		})
		// A replica leaves to the other what the other is removing, and
		// may so stop early.
		n, err := s.Sweep(ctx)
		if total := removed[0] + removed[1] + n; err != nil || total != many+2 {
			t.Errorf("Sweep removed %v and %d, %v; want %d in all", removed, n, err, many+2)
		}
		_, err = s.Get(ctx, "session", "kept")
		fatal(t, err)
	})
}

func TestAnEndedContextEndsTheWait(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantKind(t, "Put", s.Put(ctx, "session", "k", "", nil, b.clock.now().Add(time.Hour)), context.Canceled)
		_, err := s.Get(ctx, "session", "k")
		wantKind(t, "Get", err, context.Canceled)
	})
}

func TestSecretsRotateWhileTheStoreRuns(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		one, other := b.open(t), b.open(t)
		want, err := one.Secret(t.Context(), "name", 32)
		fatal(t, err)
		reads := func(step string, stores ...*Store) {
			t.Helper()
			for i, s := range stores {
				if got, err := s.Secret(t.Context(), "name", 32); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: store %d reads %x, %v", step, i, got, err)
				}
			}
		}
		if err := one.SetSecrets(t.Context(), [][]byte{secretB}); err == nil || !strings.Contains(err.Error(), "secret_files") {
			t.Errorf("secrets that open nothing: %v, want a refusal that names secret_files", err)
		}
		reads("after the refusal", one, other)
		for _, step := range []struct {
			name    string
			secrets [][]byte
		}{
			{"the new one is known", [][]byte{secretA, secretB}},
			{"the new one seals", [][]byte{secretB, secretA}},
			{"the old one is gone", [][]byte{secretB}},
		} {
			for i, s := range []*Store{one, other} {
				fatal(t, s.SetSecrets(t.Context(), step.secrets))
				reads(fmt.Sprintf("%s to %d", step.name, i), one, other)
			}
		}
	})
}
