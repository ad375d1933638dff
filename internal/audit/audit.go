// Package audit keeps the record: every sign-in and every hand-out, before
// anybody has it.
//
// An event is on the record when the store has it; only then does Record
// return. If the store cannot take it there is no record, and so no grant.
// The same event then goes as one JSON line to a file, for whoever collects
// such lines. The file is a copy: when it is full, hangs or is gone, nothing
// waits for it, and what it missed is counted, logged and reported by Check.
//
// Each start of a replica begins a chain of its own, so that replicas share
// no lock. In a chain every event carries a number and the hash of the one
// before:
//
//	hash = lower-case hex of SHA-256(prev + body)
//
// where body is the event as one JSON object, byte for byte as it is stored,
// and prev is the 64 characters of the hash before, or nothing for the first
// event. With a shell: printf '%s%s' "$prev" "$body" | sha256sum. The store
// keeps how many events each chain has and the hash of its last, so that a
// tail that was cut off shows as well; chains are numbered, so that one that
// is gone shows. Verify checks all of it.
//
// A line of the file is the body with chain, seq, prev and hash added at its
// end; without `,"chain":…` and with a closing brace it is the body again.
//
// The package knows nothing of SQL or HTTP.
package audit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// Config says where copies of the record go and who may read it.
type Config struct {
	// File gets every event as one JSON line; it is made when it is missing,
	// and opened again at SIGHUP. It may be a FIFO or a device. Default: no file.
	File string `yaml:"file"`

	// Readers are DNs of groups whose members may search everybody's events.
	// Default: nobody; each person sees their own.
	Readers []string `yaml:"readers"`
}

// SetDefaults does nothing: without a file the store alone has the record.
func (c *Config) SetDefaults() {}

// Validate says what is wrong with the configuration.
func (c Config) Validate() []gatehouse.Fault {
	var faults []gatehouse.Fault
	for i, dn := range c.Readers {
		if !strings.Contains(dn, "=") {
			faults = append(faults, gatehouse.Fault{Key: fmt.Sprintf("readers[%d]", i),
				What: fmt.Sprintf("%q is not the DN of a group; want CN=Auditors,OU=Groups,DC=example,DC=com", dn)})
		}
	}
	return faults
}

// Files says why lines could not be added to File.
func (c Config) Files() []gatehouse.Fault {
	if c.File == "" {
		return nil
	}
	err := appendable(c.File)
	if err == nil {
		return nil
	}
	f := gatehouse.Fault{Key: "file", What: fmt.Sprintf("cannot be written: %v", err), Fix: "name a file, a FIFO or a device that can be written"}
	switch dir := filepath.Dir(c.File); {
	case errors.Is(err, fs.ErrNotExist):
		f.Fix = "make the folder: install -d -m 0750 -o gatehouse " + dir + "; or leave the key out, since the store has the record"
	case errors.Is(err, fs.ErrPermission):
		f.Fix = "let the user that runs gatehouse write to it and to " + dir
	}
	return []gatehouse.Fault{f}
}

// Store is where the record is kept.
type Store interface {
	// OpenChain begins a chain. ErrConflict when the name was used before.
	OpenChain(ctx context.Context, name string) error

	// Chain returns a chain as it is now. ErrNotFound.
	Chain(ctx context.Context, name string) (gatehouse.Chain, error)

	// AppendEvents adds events at the chain's head, all or none. ErrConflict
	// when the head is not at links[0].Prev; ErrTwice when one has something
	// that may happen once, and has; after any other error it may have
	// happened or not.
	AppendEvents(ctx context.Context, links []gatehouse.Link, events []gatehouse.Event) error

	// CloseChain ends a chain orderly.
	CloseChain(ctx context.Context, name string) error
}

const (
	// recordLimit is how long anybody waits for their event to be stored.
	recordLimit = 5 * time.Second

	// maxBatch is how many events share a transaction. One commit costs a
	// write to disk; under load it is paid once for all who wait.
	maxBatch = 64

	// maxWaiting is how many events may wait for a transaction. Who comes
	// later waits to be let in, within recordLimit.
	maxWaiting = 1024
)

// Log is this replica's part of the record. It is safe for concurrent use.
type Log struct {
	store Store
	now   func() time.Time
	log   *slog.Logger
	sink  *sink // nil without a file

	mu     sync.RWMutex // guards closed, and queue against being closed
	closed bool
	queue  chan *entry
	done   chan struct{} // the writer has ended

	failing atomic.Pointer[error] // why the last append failed; nil when it did not

	chain chain // the writer's own
}

// chain is where this replica's chain stands.
type chain struct {
	name  string
	head  string
	seq   int64
	known bool // false when the store must be asked again where the head is
}

// entry is an event on its way to the store.
type entry struct {
	event  gatehouse.Event
	body   []byte
	claim  atomic.Bool // set by whoever is first: the writer that takes it, or the caller that gives up
	result chan error
}

// Open begins this replica's chain, with an event that says so. now may be
// nil. Errors: that the file cannot be written, or gatehouse.ErrNotRecorded.
func Open(ctx context.Context, cfg Config, store Store, now func() time.Time, log *slog.Logger) (*Log, error) {
	if now == nil {
		now = time.Now
	}
	l := &Log{store: store, now: now, log: log, queue: make(chan *entry, maxWaiting), done: make(chan struct{})}
	if cfg.File != "" {
		var err error
		if l.sink, err = openSink(cfg.File, log); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
	}
	go l.write()
	if err := l.Record(ctx, gatehouse.Event{Kind: gatehouse.EventStarted}); err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	return l, nil
}

// Record puts an event on the record and returns once it is stored. An empty
// ID or Time is filled in. The error is a gatehouse.ErrNotRecorded: nothing
// that the event speaks of may be given away then, although the event may
// still turn up on the record. It is an ErrTwice instead where the event has
// something that may happen once, and has: then it does not turn up.
func (l *Log) Record(ctx context.Context, e gatehouse.Event) error {
	err := l.record(ctx, e)
	if errors.Is(err, gatehouse.ErrTwice) {
		return fmt.Errorf("audit event %s: %w", e.Kind, err)
	}
	if err != nil {
		return fmt.Errorf("audit event %s %w: %w", e.Kind, gatehouse.ErrNotRecorded, err)
	}
	return nil
}

func (l *Log) record(ctx context.Context, e gatehouse.Event) error {
	en, err := l.entry(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, recordLimit)
	defer cancel()
	if err := l.enqueue(ctx, en); err != nil {
		return err
	}
	select {
	case err := <-en.result:
		return err
	case <-ctx.Done():
		en.claim.CompareAndSwap(false, true) // the writer need not bother
		return ctx.Err()
	}
}

func (l *Log) entry(e gatehouse.Event) (*entry, error) {
	if e.ID == "" {
		e.ID = rand.Text()
	}
	if e.Time.IsZero() {
		e.Time = l.now()
	}
	e.Time = e.Time.UTC()
	body, err := json.Marshal(e)
	return &entry{event: e, body: body, result: make(chan error, 1)}, err
}

var errClosed = errors.New("the record is closed")

func (l *Log) enqueue(ctx context.Context, en *entry) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return errClosed
	}
	select {
	case l.queue <- en:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the only goroutine that appends, until the queue is closed.
func (l *Log) write() {
	defer close(l.done)
	for first := range l.queue {
		if batch := l.collect(first); len(batch) > 0 {
			l.settle(batch)
		}
	}
}

// settle stores a batch and tells everybody in it how that went. An event
// that the store cannot take costs only itself its record.
func (l *Log) settle(batch []*entry) {
	links, err := l.append(batch)
	if err != nil && len(batch) > 1 && !errors.Is(err, gatehouse.ErrUnavailable) {
		for i := range batch {
			l.settle(batch[i : i+1])
		}
		return
	}
	l.note(err)
	for i, en := range batch {
		if err == nil && l.sink != nil {
			l.sink.offer(line(links[i]))
		}
		en.result <- err
	}
}

// collect takes what waits besides first, without waiting for more.
func (l *Log) collect(first *entry) []*entry {
	var batch []*entry
	for en := first; ; {
		if en.claim.CompareAndSwap(false, true) {
			batch = append(batch, en)
		}
		if len(batch) == maxBatch {
			return batch
		}
		select {
		case next, ok := <-l.queue:
			if !ok {
				return batch
			}
			en = next
		default:
			return batch
		}
	}
}

// appendTries is how often a batch is offered: once, once more where the
// connection broke, and once more where that had gone through after all.
const appendTries = 3

// append stores a batch at the head of the chain. Whenever it is not known
// where the head is, the store is asked before anything is added, so that the
// chain neither forks nor skips.
func (l *Log) append(batch []*entry) (links []gatehouse.Link, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), recordLimit)
	defer cancel()
	for range appendTries {
		if !l.chain.known {
			if findErr := l.find(ctx); findErr != nil {
				return nil, errors.Join(err, findErr)
			}
			if links != nil && l.chain.head == links[len(links)-1].Hash {
				return links, nil // the failure came after the commit
			}
		}
		links = l.chain.link(batch)
		if err = l.store.AppendEvents(ctx, links, events(batch)); err == nil {
			last := links[len(links)-1]
			l.chain.head, l.chain.seq = last.Hash, last.Seq
			return links, nil
		}
		if errors.Is(err, gatehouse.ErrTwice) {
			return nil, err // the head is where it was
		}
		l.chain.known = false
	}
	return nil, err
}

// find asks the store where our chain's head is. A chain that is gone (the
// database was replaced) or closed is followed by a new one.
func (l *Log) find(ctx context.Context) error {
	if l.chain.name == "" {
		return l.begin(ctx)
	}
	c, err := l.store.Chain(ctx, l.chain.name)
	switch {
	case errors.Is(err, gatehouse.ErrNotFound), err == nil && !c.ClosedAt.IsZero():
		l.log.Error("audit chain is gone; a new one begins", slog.String("chain", l.chain.name))
		return l.begin(ctx)
	case err != nil:
		return err
	}
	l.chain.head, l.chain.seq, l.chain.known = c.Head, c.Count, true
	return nil
}

// begin opens a chain under a name that was never used.
func (l *Log) begin(ctx context.Context) error {
	name := rand.Text()
	if err := l.store.OpenChain(ctx, name); err != nil {
		return err
	}
	l.chain = chain{name: name, known: true}
	return nil
}

// link puts a batch behind the head.
func (c chain) link(batch []*entry) []gatehouse.Link {
	links := make([]gatehouse.Link, len(batch))
	prev := c.head
	for i, en := range batch {
		links[i] = gatehouse.Link{Chain: c.name, Seq: c.seq + int64(i) + 1, Prev: prev, Hash: Hash(prev, en.body), Body: en.body}
		prev = links[i].Hash
	}
	return links
}

func events(batch []*entry) []gatehouse.Event {
	list := make([]gatehouse.Event, len(batch))
	for i, en := range batch {
		list[i] = en.event
	}
	return list
}

// Hash is the hash of an event whose predecessor has the hash prev, as the
// package comment defines it.
func Hash(prev string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(prev))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// line is a link as the file has it.
func line(l gatehouse.Link) []byte {
	out := make([]byte, 0, len(l.Body)+256)
	out = append(out, l.Body[:len(l.Body)-1]...) // all but the brace; an event is never empty
	out = append(out, `,"chain":`...)
	out = strconv.AppendQuote(out, l.Chain) // letters and digits
	out = append(out, `,"seq":`...)
	out = strconv.AppendInt(out, l.Seq, 10)
	out = append(out, `,"prev":"`...)
	out = append(out, l.Prev...)
	out = append(out, `","hash":"`...)
	out = append(out, l.Hash...)
	return append(out, "\"}\n"...)
}

// note remembers how the last append ended, for Check, and logs changes.
func (l *Log) note(err error) {
	if errors.Is(err, gatehouse.ErrTwice) {
		err = nil // the store has answered
	}
	was := l.failing.Load()
	switch {
	case err == nil && was != nil:
		l.failing.Store(nil)
		l.log.Info("audit events are recorded again")
	case err != nil:
		l.failing.Store(&err)
		if was == nil {
			l.log.Error("audit events cannot be recorded; nothing is handed out", slog.Any("err", err))
		}
	}
}

// Failing reports whether the last events could not be stored.
func (l *Log) Failing() bool { return l.failing.Load() != nil }

// Reopen opens the file again under its name, after it was rotated. Lines
// recorded before go to the old file, later ones to the new.
func (l *Log) Reopen() error {
	if l.sink == nil {
		return nil
	}
	if err := l.sink.askReopen(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Dropped is how many lines the file has missed since the start.
func (l *Log) Dropped() int64 {
	if l.sink == nil {
		return 0
	}
	return l.sink.dropped.Load()
}

// Check says whether the record is kept and the file has all of it.
func (l *Log) Check(context.Context) []gatehouse.Finding {
	ok := gatehouse.Finding{Subject: "audit", State: gatehouse.FindingOK, Detail: "events are recorded"}
	if failing := l.failing.Load(); failing != nil {
		ok = gatehouse.Finding{Subject: "audit", State: gatehouse.FindingFailure,
			Detail: "events cannot be recorded: " + (*failing).Error(),
			Fix:    "nothing is handed out until the store can be written again; see the finding on the store"}
	}
	if l.sink == nil {
		return []gatehouse.Finding{ok}
	}
	return []gatehouse.Finding{ok, l.sink.check()}
}

// Close records what still waits, closes the chain and gives the file a
// moment to take what it has not yet taken. Later events are refused.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	already := l.closed
	l.closed = true
	if !already {
		close(l.queue)
	}
	l.mu.Unlock()
	if already {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*recordLimit)
	defer cancel()
	if l.sink != nil {
		defer l.sink.close()
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return fmt.Errorf("audit: events still wait for the store: %w", ctx.Err())
	}
	if l.chain.name == "" {
		return nil
	}
	if err := l.store.CloseChain(ctx, l.chain.name); err != nil {
		return fmt.Errorf("audit: closing the chain: %w", err)
	}
	return nil
}
