package audit_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/outside"
	"gatehouse/internal/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { outside.Main(m) }

var monday = time.Date(2026, 3, 2, 9, 0, 0, 123456789, time.UTC)

func now() time.Time { return monday }

// record is a store with an open log, and a way to its rows that is not ours.
type record struct {
	*audit.Log
	store *flaky
	raw   *sql.DB
	file  string // of the JSON lines
}

// flaky is a real store whose appends and looks at the head can be made to fail.
type flaky struct {
	*store.Store
	mu     sync.Mutex
	before func() error // called before an append, which fails with its error
	after  func() error // called after an append that went through, which then fails with its error
	chain  func() error // called before a look at the head
	refuse string       // the ID of an event that is refused for good
}

func (f *flaky) set(before, after, chain func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after, f.chain = before, after, chain
}

func (f *flaky) call(hook *func() error) error {
	f.mu.Lock()
	do := *hook
	f.mu.Unlock()
	if do == nil {
		return nil
	}
	return do()
}

func (f *flaky) AppendEvents(ctx context.Context, links []gatehouse.Link, events []gatehouse.Event) error {
	if err := f.call(&f.before); err != nil {
		return err
	}
	for _, e := range events {
		if f.refuse != "" && e.ID == f.refuse {
			return errors.New("a value that the database cannot take")
		}
	}
	if err := f.Store.AppendEvents(ctx, links, events); err != nil {
		return err
	}
	return f.call(&f.after)
}

func (f *flaky) Chain(ctx context.Context, name string) (gatehouse.Chain, error) {
	if err := f.call(&f.chain); err != nil {
		return gatehouse.Chain{}, err
	}
	return f.Store.Chain(ctx, name)
}

// always fails every time, once only the first time.
func always(err error) func() error { return func() error { return err } }

func once(err error) func() error {
	var o sync.Once
	return func() (failed error) {
		o.Do(func() { failed = err })
		return failed
	}
}

var down = &gatehouse.Unavailable{What: "store", Name: "test", Err: errors.New("down")}

func onSQLite(t *testing.T) (url, driver, source string) {
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	return "sqlite://" + path, "sqlite", path
}

func onPostgres(t *testing.T) (url, driver, source string) {
	url = outside.Postgres(t)
	return url, "pgx", url
}

// open begins a log on a new SQLite database.
func open(t *testing.T) *record {
	t.Helper()
	return openOn(t, onSQLite)
}

func openOn(t *testing.T, database func(t *testing.T) (url, driver, source string)) *record {
	t.Helper()
	url, driver, source := database(t)
	s, err := store.Open(t.Context(), store.Config{URL: url}, [][]byte{make([]byte, 32)}, now)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	raw, err := sql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() { _ = raw.Close() })
	r := &record{store: &flaky{Store: s}, raw: raw, file: filepath.Join(t.TempDir(), "audit.jsonl")}
	r.begin(t)
	return r
}

// begin starts a replica on the record.
func (r *record) begin(t *testing.T) {
	t.Helper()
	l, err := audit.Open(t.Context(), audit.Config{File: r.file}, r.store, now, slog.New(slog.DiscardHandler))
	must(t, err)
	r.Log = l
	t.Cleanup(func() { _ = l.Close(context.Background()) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func granted(id string) gatehouse.Event {
	return gatehouse.Event{ID: id, Kind: gatehouse.EventGranted, Person: "corp/1", Username: "Alice", AccessKeyID: "ASIA" + id}
}

// ids are the events on the record in the order of their chains.
func (r *record) ids(t *testing.T) []string {
	t.Helper()
	chains, err := r.store.Chains(t.Context())
	must(t, err)
	var ids []string
	for _, c := range chains {
		links, err := r.store.ChainEvents(t.Context(), c.Name, 0, 10000)
		must(t, err)
		for _, l := range links {
			var e gatehouse.Event
			must(t, json.Unmarshal(l.Body, &e))
			if e.Kind != gatehouse.EventStarted {
				ids = append(ids, e.ID)
			}
		}
	}
	return ids
}

// lines ends the log, so that the file has all it will have, and reads it.
func (r *record) lines(t *testing.T) []string {
	t.Helper()
	must(t, r.Close(t.Context()))
	text, err := os.ReadFile(r.file)
	must(t, err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func (r *record) wantWhole(t *testing.T) {
	t.Helper()
	report, err := audit.Verify(t.Context(), r.store)
	must(t, err)
	if !report.OK() {
		t.Errorf("Verify: %v, want no problem", report.Problems)
	}
}

func wantIDs(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events on the record (-want +got):\n%s", diff)
	}
}

func TestWithoutARecordThereIsAnErrorAndNothingInTheFile(t *testing.T) {
	r := open(t)
	r.store.set(always(down), nil, nil)
	err := r.Record(t.Context(), granted("1"))
	if !errors.Is(err, gatehouse.ErrNotRecorded) || !errors.Is(err, gatehouse.ErrUnavailable) {
		t.Errorf("Record on a failing store = %v, want ErrNotRecorded that wraps its cause", err)
	}
	if f := r.Check(t.Context())[0]; f.State != gatehouse.FindingFailure {
		t.Errorf("Check = %+v, want a failure", f)
	}
	r.store.set(nil, nil, nil)
	must(t, r.Record(t.Context(), granted("2")))
	if f := r.Check(t.Context())[0]; f.State != gatehouse.FindingOK {
		t.Errorf("Check after it healed = %+v, want ok", f)
	}
	wantIDs(t, r.ids(t), "2")
	r.wantWhole(t)
	if lines := r.lines(t); len(lines) != 2 || !strings.Contains(lines[1], `"id":"2"`) {
		t.Errorf("lines = %q, want the start and event 2", lines)
	}
}

func TestACommitWhoseAnswerWasLostIsARecord(t *testing.T) {
	r := open(t)
	r.store.set(nil, once(down), nil)
	must(t, r.Record(t.Context(), granted("1")))
	must(t, r.Record(t.Context(), granted("2")))
	wantIDs(t, r.ids(t), "1", "2")
	r.wantWhole(t)
}

func TestACommitNobodyKnowsOfNeitherForksNorSkipsTheChain(t *testing.T) {
	r := open(t)
	r.store.set(nil, always(down), always(down))
	if err := r.Record(t.Context(), granted("1")); !errors.Is(err, gatehouse.ErrNotRecorded) {
		t.Errorf("Record = %v, want ErrNotRecorded: nobody knows", err)
	}
	r.store.set(nil, nil, nil)
	must(t, r.Record(t.Context(), granted("2")))
	wantIDs(t, r.ids(t), "1", "2")
	r.wantWhole(t)
}

func TestAConnectionThatBrokeBeforeTheCommitIsTriedAgain(t *testing.T) {
	r := open(t)
	r.store.set(once(down), nil, nil)
	must(t, r.Record(t.Context(), granted("1")))
	wantIDs(t, r.ids(t), "1")
	r.wantWhole(t)
}

func TestAHeadThatWasMovedIsFollowed(t *testing.T) {
	r := open(t)
	c, err := r.store.Chains(t.Context())
	must(t, err)
	e := granted("other")
	body, _ := json.Marshal(e)
	link := gatehouse.Link{Chain: c[0].Name, Seq: 2, Prev: c[0].Head, Hash: audit.Hash(c[0].Head, body), Body: body}
	e.Time = time.Time{}
	must(t, r.store.Store.AppendEvents(t.Context(), []gatehouse.Link{link}, []gatehouse.Event{e}))
	must(t, r.Record(t.Context(), granted("ours")))
	wantIDs(t, r.ids(t), "other", "ours")
	r.wantWhole(t)
}

func TestAChainThatIsGoneIsFollowedByANewOne(t *testing.T) {
	r := open(t)
	for _, q := range []string{`delete from events`, `delete from chains`} {
		_, err := r.raw.Exec(q)
		must(t, err)
	}
	must(t, r.Record(t.Context(), granted("1")))
	wantIDs(t, r.ids(t), "1")
	report, err := audit.Verify(t.Context(), r.store)
	must(t, err)
	if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].What, "number 1 is lost") {
		t.Errorf("Verify: %v, want that chain 1 is lost", report.Problems)
	}
}

func TestAStoreThatHangsHoldsNobodyBeyondTheirDeadline(t *testing.T) {
	r := open(t)
	hangs, release := make(chan struct{}), make(chan struct{})
	hung := sync.OnceFunc(func() { close(hangs) })
	r.store.set(func() error { hung(); <-release; return down }, nil, nil)
	late := func(ctx context.Context, id string) {
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if err := r.Record(ctx, granted(id)); !errors.Is(err, gatehouse.ErrNotRecorded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Record = %v, want ErrNotRecorded at the deadline", err)
		}
	}
	late(t.Context(), "under way")
	<-hangs
	together(20, func(int) { late(t.Context(), "waiting") })
	r.store.set(nil, nil, nil)
	close(release)
	must(t, r.Record(t.Context(), granted("next")))
	ids := r.ids(t)
	// What was under way may turn up; who gave up while waiting is not
	// recorded as if they had been given something.
	if len(ids) == 0 || ids[len(ids)-1] != "next" || slices.Contains(ids, "waiting") {
		t.Errorf("events on the record: %q, want next and nobody who gave up waiting", ids)
	}
	r.wantWhole(t)
}

func together(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func TestManyAtOnceMakeOneChain(t *testing.T) {
	for name, database := range map[string]func(*testing.T) (string, string, string){"sqlite": onSQLite, "postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			r := openOn(t, database)
			together(300, func(int) {
				if err := r.Record(t.Context(), granted("")); err != nil {
					t.Errorf("Record: %v", err)
				}
			})
			seen := map[string]bool{}
			for _, id := range r.ids(t) {
				seen[id] = true
			}
			if len(seen) != 300 {
				t.Errorf("%d events are on the record, want 300", len(seen))
			}
			r.wantWhole(t)
			if n := len(r.lines(t)); n != 301 {
				t.Errorf("the file has %d lines, want 301", n)
			}
		})
	}
}

func TestWhatSomebodyTypedNeverKeepsAnEventOffTheRecord(t *testing.T) {
	hostile := []string{"\x00", "a\xff\xfeb", strings.Repeat("ü", 32<<10), strings.Repeat("x", 2000) + "\x00\xf0", "İ", "\u2028\n\r\x1b[31m", "'; drop table events; --"}
	for name, database := range map[string]func(*testing.T) (string, string, string){"sqlite": onSQLite, "postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			r := openOn(t, database)
			for _, s := range hostile {
				e := gatehouse.Event{ID: "typed", Kind: gatehouse.EventSignInRefused, Person: s, Username: s, Account: s, Role: s,
					AccessKeyID: s, SessionName: s, IP: s, Reason: s}
				must(t, r.Record(t.Context(), e))
				found, err := r.store.Events(t.Context(), gatehouse.EventQuery{Username: s})
				if err != nil || len(found) == 0 || found[0].ID != "typed" {
					t.Errorf("Events of username %.20q = %d, %v; want it found", s, len(found), err)
				}
			}
			r.wantWhole(t)
			if n := len(r.lines(t)); n != len(hostile)+1 {
				t.Errorf("the file has %d lines, want %d: an event is one line", n, len(hostile)+1)
			}
		})
	}
}

func TestAnEventThatTheStoreCannotTakeCostsOnlyItself(t *testing.T) {
	r := open(t)
	gate := make(chan struct{})
	r.store.set(func() error { <-gate; return nil }, nil, nil)
	r.store.refuse = "poison"
	results := make([]error, 10)
	go func() { time.Sleep(50 * time.Millisecond); close(gate) }() // all but the first wait together
	together(len(results), func(i int) {
		id := fmt.Sprint(i)
		if i == 5 {
			id = "poison"
		}
		results[i] = r.Record(t.Context(), granted(id))
	})
	for i, err := range results {
		if poison := i == 5; poison != (err != nil) {
			t.Errorf("Record of event %d: %v", i, err)
		}
	}
	if n := len(r.ids(t)); n != 9 {
		t.Errorf("%d events are on the record, want 9", n)
	}
	r.wantWhole(t)
}

func TestWhatHappensOnceIsRecordedOnceAndIsNoFailure(t *testing.T) {
	r := open(t)
	event := func(id, key string) gatehouse.Event {
		e := granted(id)
		e.Once = gatehouse.Once{Key: key, Until: monday.Add(time.Hour)}
		return e
	}
	must(t, r.Record(t.Context(), event("1", "a")))
	err := r.Record(t.Context(), event("2", "a"))
	if !errors.Is(err, gatehouse.ErrTwice) || errors.Is(err, gatehouse.ErrNotRecorded) || r.Failing() {
		t.Errorf("the second time: %v, failing: %v", err, r.Failing())
	}
	// In one batch with others it costs only itself its record.
	r.store.set(once(down), nil, nil)
	var wg sync.WaitGroup
	var good, twice atomic.Int64
	for i := range 40 {
		wg.Go(func() {
			switch err := r.Record(t.Context(), event(fmt.Sprint(100+i), fmt.Sprint("k", i/2))); {
			case err == nil:
				good.Add(1)
			case errors.Is(err, gatehouse.ErrTwice):
				twice.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if good.Load() != 20 || twice.Load() != 20 || len(r.ids(t)) != 21 || r.Failing() {
		t.Errorf("%d recorded, %d not, %d on the record, failing: %v", good.Load(), twice.Load(), len(r.ids(t)), r.Failing())
	}
	r.wantWhole(t)
}

func TestAClosedLogRefusesAndItsChainIsClosed(t *testing.T) {
	r := open(t)
	must(t, r.Record(t.Context(), granted("1")))
	must(t, r.Close(t.Context()))
	must(t, r.Close(t.Context()))
	if err := r.Record(t.Context(), granted("2")); !errors.Is(err, gatehouse.ErrNotRecorded) {
		t.Errorf("Record after Close = %v, want ErrNotRecorded", err)
	}
	r.begin(t)
	chains, err := r.store.Chains(t.Context())
	must(t, err)
	if len(chains) != 2 || chains[0].ClosedAt.IsZero() || !chains[1].ClosedAt.IsZero() {
		t.Errorf("chains = %+v, want one closed and one open", chains)
	}
	wantIDs(t, r.ids(t), "1")
	r.wantWhole(t)
}

// An outsider has the package comment, the rows, and no code of ours.
func TestAnOutsiderCanRecomputeTheChain(t *testing.T) {
	r := open(t)
	for _, id := range []string{"1", "2", "3"} {
		must(t, r.Record(t.Context(), granted(id)))
	}
	rows, err := r.raw.Query(`select body, hash from events order by seq`)
	must(t, err)
	defer rows.Close()
	prev, n := "", 0
	for rows.Next() {
		var body []byte
		var hash string
		must(t, rows.Scan(&body, &hash))
		sum := sha256.Sum256([]byte(prev + string(body)))
		if got := hex.EncodeToString(sum[:]); got != hash {
			t.Errorf("event %d: SHA-256(prev + body) = %s, the record says %s", n+1, got, hash)
		}
		prev, n = hash, n+1
	}
	if n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	var head string
	must(t, r.raw.QueryRow(`select head from chains`).Scan(&head))
	if head != prev {
		t.Errorf("the chain's head is %s, its last event %s", head, prev)
	}

	// The lines say the same.
	prev = ""
	for i, line := range r.lines(t) {
		at := strings.LastIndex(line, `,"chain":`)
		sum := sha256.Sum256([]byte(prev + line[:at] + "}"))
		var l struct{ Prev, Hash string }
		must(t, json.Unmarshal([]byte(line), &l))
		if hash := hex.EncodeToString(sum[:]); l.Hash != hash || l.Prev != prev {
			t.Errorf("line %d has prev %s and hash %s, want %s and %s", i+1, l.Prev, l.Hash, prev, hash)
		}
		prev = l.Hash
	}
}

func TestTheLineHasItsShape(t *testing.T) {
	r := open(t)
	must(t, r.Record(t.Context(), gatehouse.Event{
		ID: "EVENT", Kind: gatehouse.EventGranted, Person: "corp/6f1d", Username: "josé", Directory: "corp",
		DN: `CN=José "Pepe"\, Jr. <x>,OU=R&D,DC=corp` + "\n\u2028", Door: gatehouse.DoorPages, IP: "192.0.2.7", Session: "S",
		Methods: []string{"password"}, RequestID: "R", Reason: "ticket 7", Account: "111122223333",
		Role: "arn:aws:iam::111122223333:role/Dev", Form: gatehouse.FormBash, Duration: time.Hour, Expires: monday.Add(time.Hour),
		Rules: []int{0, 2}, Groups: []string{"CN=Dev,DC=corp"}, SessionName: "jose", SourceIdentity: "jose", AssertionID: "_a",
		AccessKeyID: "ASIAEXAMPLE", AWSRequestID: "A",
	}))
	got := strings.Join(r.lines(t), "\n") + "\n"
	got = regexp.MustCompile(`"[0-9a-f]{64}"`).ReplaceAllString(got, `"HASH"`)
	got = regexp.MustCompile(`"[A-Z2-7]{26}"`).ReplaceAllString(got, `"RANDOM"`)
	golden := filepath.Join("testdata", "lines.jsonl")
	if *update {
		must(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", golden, diff)
	}
}

func TestReadersAreDNs(t *testing.T) {
	faults := audit.Config{Readers: []string{"CN=Auditors,DC=corp", "Auditors"}}.Validate()
	if len(faults) != 1 || faults[0].Key != "readers[1]" {
		t.Errorf("Validate = %v, want a fault of readers[1]", faults)
	}
}
