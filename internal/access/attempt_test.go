package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

// guesses has somebody sign in with n wrong passwords, no two alike.
func guesses(t testing.TB, b *Broker, username string, n int) {
	t.Helper()
	for i := range n {
		_, err := b.SignIn(t.Context(), attempt(username, fmt.Sprint("wrong ", i)))
		if !errors.Is(err, gatehouse.ErrInvalidCredentials) || errors.Is(err, gatehouse.ErrThrottled) {
			t.Fatalf("guess %d: %v", i+1, err)
		}
	}
}

func throttled(err error) bool { return errors.Is(err, gatehouse.ErrThrottled) }

func TestThrottle(t *testing.T) {
	t.Run("a thousand guesses by strangers cost a person three binds, whatever the addresses and names", func(t *testing.T) {
		w, b := newWorld(t)
		names := []string{"alice", "ALICE", "alice@corp.example.com", "alice.ng@corp.example.com"}
		for _, name := range names {
			w.people[name] = w.people["alice"]
		}
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				a := attempt(names[i%len(names)], fmt.Sprint("wrong ", i))
				a.IP = fmt.Sprintf("198.51.%d.%d", i/250, i%250)
				_, _ = b.SignIn(context.Background(), a)
			})
		}
		wg.Wait()
		if w.binds > 3 {
			t.Errorf("%d binds", w.binds)
		}
	})
	t.Run("an unknown name is refused like a known one", func(t *testing.T) {
		_, b := newWorld(t)
		for i := range 6 {
			var errs []bool
			for _, name := range []string{"alice", "nobody"} {
				_, err := b.SignIn(t.Context(), attempt(name, fmt.Sprint("wrong ", i)))
				errs = append(errs, throttled(err))
			}
			if errs[0] != errs[1] || errs[0] != (i >= 3) {
				t.Errorf("attempt %d: throttled %v", i+1, errs)
			}
		}
	})
	t.Run("many guesses at once are refused alike, whether anybody has the name or not", func(t *testing.T) {
		for _, name := range []string{"alice", "nobody"} {
			w, b := newWorld(t)
			b.throttle.FailuresPerAddress = 1000
			w.slow = make(chan struct{})
			var refused atomic.Int64
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					if _, err := b.SignIn(t.Context(), attempt(name, fmt.Sprint("wrong ", i))); throttled(err) {
						refused.Add(1)
					}
				})
			}
			time.AfterFunc(20*time.Millisecond, func() { close(w.slow) })
			all.Wait()
			if got := refused.Load(); got != 17 {
				t.Errorf("%s: %d of 20 throttled, want 17", name, got)
			}
		}
	})
	t.Run("another name of somebody whose allowance is spent looks like an unknown one", func(t *testing.T) {
		w, b := newWorld(t)
		w.people["alice@corp.example.com"] = w.people["alice"]
		guesses(t, b, "alice", 3)
		_, err := b.SignIn(t.Context(), attempt("alice@corp.example.com", "right"))
		if !errors.Is(err, gatehouse.ErrInvalidCredentials) || throttled(err) || w.binds != 3 {
			t.Errorf("error %v after %d binds", err, w.binds)
		}
		if e := w.events[3]; e.Reason != "throttled" || e.Username != "alice" {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("the right password does not help while the allowance is spent", func(t *testing.T) {
		w, b := newWorld(t)
		guesses(t, b, "alice", 3)
		if _, err := b.SignIn(t.Context(), attempt("alice", "right")); !throttled(err) {
			t.Errorf("error %v after %d binds", err, w.binds)
		}
	})
	t.Run("a right password in time starts a new allowance", func(t *testing.T) {
		_, b := newWorld(t)
		for range 5 {
			guesses(t, b, "alice", 2)
			if _, err := b.SignIn(t.Context(), attempt("alice", "right")); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("one address may not try name after name", func(t *testing.T) {
		_, b := newWorld(t)
		var err error
		for i := range 21 {
			_, err = b.SignIn(t.Context(), attempt(fmt.Sprint("name", i), "x"))
		}
		if !throttled(err) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("an office that mistypes without a pause is let in again when the window ends", func(t *testing.T) {
		w, b := newWorld(t)
		for i := range 20 {
			_, _ = b.SignIn(t.Context(), attempt(fmt.Sprint("name", i), "x"))
			w.now = w.now.Add(2 * time.Minute)
		}
		_, err := b.SignIn(t.Context(), attempt("alice", "right"))
		var throttled *gatehouse.Throttled
		if !errors.As(err, &throttled) || !throttled.Until.Equal(w.now.Truncate(time.Hour).Add(time.Hour)) {
			t.Fatalf("error %v, want throttled until the hour", err)
		}
		w.now = throttled.Until
		if _, err := b.SignIn(t.Context(), attempt("alice", "right")); err != nil {
			t.Errorf("after the window: %v", err)
		}
	})
	t.Run("addresses of one IPv6 network are one, spellings of IPv4 too", func(t *testing.T) {
		if gatehouse.Network("2001:db8:1:2::1") != gatehouse.Network("2001:db8:1:2:ffff::9") || gatehouse.Network("2001:db8:1:3::1") == gatehouse.Network("2001:db8:1:2::1") || gatehouse.Network("::ffff:192.0.2.1") != gatehouse.Network("192.0.2.1") {
			t.Error("networks differ")
		}
	})
}

// at is an attempt from a browser that carries a mark.
func at(device, username, password string) Attempt {
	a := attempt(username, password)
	a.Device = device
	return a
}

func TestStrangersDoNotKeepAPersonOut(t *testing.T) {
	mallory := "corp/mallory"
	tests := []struct {
		name string
		mark func(w *world, b *Broker) string
		in   bool
	}{
		{"a browser that is known to be theirs gets in", func(w *world, b *Broker) string { return b.Device(w.people["alice"].Key()) }, true},
		{"a browser without a mark does not", func(*world, *Broker) string { return "" }, false},
		{"somebody else's mark gives nothing", func(_ *world, b *Broker) string { return b.Device(mallory) }, false},
		{"a mark made with another key gives nothing", func(w *world, b *Broker) string {
			return keyed("another").newDevice(w.people["alice"].Key(), w.now)
		}, false},
		{"a mark with a bit changed gives nothing", func(w *world, b *Broker) string {
			mark := []byte(b.Device(w.people["alice"].Key()))
			mark[30] ^= 1
			return string(mark)
		}, false},
		{"a mark cut short gives nothing", func(w *world, b *Broker) string { return b.Device(w.people["alice"].Key())[1:] }, false},
		{"a mark that is too old gives nothing", func(w *world, b *Broker) string {
			return b.throttle.keyed.newDevice(w.people["alice"].Key(), w.now.Add(-DeviceLife))
		}, false},
		{"a mark of the future gives nothing", func(w *world, b *Broker) string {
			return b.throttle.keyed.newDevice(w.people["alice"].Key(), w.now.Add(time.Hour))
		}, false},
		{"a mark from before the password was changed gives nothing", func(w *world, b *Broker) string {
			mark := b.Device(w.people["alice"].Key())
			w.now = w.now.Add(time.Millisecond)
			if err := b.throttle.renewDevices(context.Background(), w.people["alice"].Key()); err != nil {
				panic(err)
			}
			return mark
		}, false},
		{"a mark from after the password was changed does", func(w *world, b *Broker) string {
			if err := b.throttle.renewDevices(context.Background(), w.people["alice"].Key()); err != nil {
				panic(err)
			}
			return b.Device(w.people["alice"].Key())
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, b := newWorld(t)
			mark := tt.mark(w, b)
			guesses(t, b, "alice", 3)
			_, err := b.SignIn(t.Context(), at(mark, "alice", "right"))
			if (err == nil) != tt.in {
				t.Errorf("error %v", err)
			}
			if !tt.in && w.binds > 3 {
				t.Errorf("%d binds", w.binds)
			}
		})
	}
}

// nameKey is the rest of the one name's counter, for strangers.
func nameKey(w *world) string {
	for key := range w.counts {
		if rest, ok := strings.CutPrefix(key, "name:"); ok && strings.HasSuffix(rest, ":strangers") {
			return rest
		}
	}
	return ""
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func TestAKnownBrowser(t *testing.T) {
	t.Run("and strangers together stay within the person's allowance", func(t *testing.T) {
		w, b := newWorld(t)
		mark, other := b.Device(w.people["alice"].Key()), b.Device(w.people["alice"].Key())
		for i := range 20 {
			for j, device := range []string{"", mark, other} {
				_, _ = b.SignIn(t.Context(), at(device, "alice", fmt.Sprint(i, j)))
			}
		}
		if w.binds != 4 {
			t.Errorf("%d binds, want 4", w.binds)
		}
	})
	t.Run("that was stolen leaves something to the others", func(t *testing.T) {
		w, b := newWorld(t)
		stolen, own := b.Device(w.people["alice"].Key()), b.Device(w.people["alice"].Key())
		for i := range 20 {
			_, _ = b.SignIn(t.Context(), at(stolen, "alice", fmt.Sprint(i)))
		}
		if w.binds != 3 {
			t.Errorf("%d binds, want 3", w.binds)
		}
		if _, err := b.SignIn(t.Context(), at(own, "alice", "right")); err != nil {
			t.Error(err)
		}
	})
	t.Run("is told that there were too many attempts, as its person is no secret to it", func(t *testing.T) {
		w, b := newWorld(t)
		mark := b.Device(w.people["alice"].Key())
		guesses(t, b, "alice", 3)
		_, _ = b.SignIn(t.Context(), at(mark, "alice", "slip"))
		if _, err := b.SignIn(t.Context(), at(mark, "alice", "right")); !throttled(err) || w.binds != 4 {
			t.Errorf("error %v after %d binds", err, w.binds)
		}
	})
	t.Run("does not give strangers their guesses back by a sign-in", func(t *testing.T) {
		w, b := newWorld(t)
		mark := b.Device(w.people["alice"].Key())
		guesses(t, b, "alice", 3)
		if _, err := b.SignIn(t.Context(), at(mark, "alice", "right")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.SignIn(t.Context(), attempt("alice", "guess")); !throttled(err) || w.binds != 4 {
			t.Errorf("error %v after %d binds", err, w.binds)
		}
	})
	t.Run("of one person does not tell whether there is another", func(t *testing.T) {
		_, b := newWorld(t)
		mark := b.Device("corp/mallory")
		guesses(t, b, "alice", 3)
		for i := range 6 {
			var errs []bool
			for _, name := range []string{"alice", "nobody"} {
				_, err := b.SignIn(t.Context(), at(mark, name, fmt.Sprint("guess ", i)))
				errs = append(errs, throttled(err))
			}
			if errs[0] != errs[1] {
				t.Errorf("attempt %d: throttled %v", i+1, errs)
			}
		}
	})
	t.Run("keeps its share however strangers time their guesses", func(t *testing.T) {
		w, b := newWorld(t)
		person := w.people["alice"].Key()
		mark := b.Device(person)
		for i := range 50 {
			a := attempt("alice", fmt.Sprint("wrong ", i))
			a.IP = fmt.Sprintf("198.51.100.%d", i)
			_, _ = b.SignIn(t.Context(), a)
			if n := w.count("person:" + person); n > 3 {
				t.Fatalf("after %d guesses strangers have spent %d", i, n)
			}
			if w.count("person:"+person+":strangers") == 3 {
				// The very moment at which they have their share again.
				w.now = later(w.counts["person:"+person+":strangers"].until, w.counts["name:"+nameKey(w)].until)
			}
		}
		if _, err := b.SignIn(t.Context(), at(mark, "alice", "right")); err != nil {
			t.Error(err)
		}
	})
	t.Run("is a stranger after a change of password", func(t *testing.T) {
		w, b := newWorld(t)
		mark := b.Device(w.people["alice"].Key())
		w.now = w.now.Add(time.Minute)
		if _, err := b.ChangePassword(t.Context(), change("alice", "right", "a new one")); err != nil {
			t.Fatal(err)
		}
		guesses(t, b, "alice", 3)
		if _, err := b.SignIn(t.Context(), at(mark, "alice", "a new one")); !throttled(err) && !errors.Is(err, gatehouse.ErrInvalidCredentials) {
			t.Errorf("error %v", err)
		}
		if w.binds != 4 {
			t.Errorf("%d binds, want the change and three guesses", w.binds)
		}
	})
}

// sampleMark is a good one, made with the key "key" in the morning of 21 November 2026.
const sampleMark = "AeINZmi0_cH7uSIH--Fs3vEAAAGh_VV6gG8EqRud7eKXNg8iIbbULNtCRbIbQYsBNCF2rZ2U3bxrd8ZLhInm5E3Fi1VtLZMcAg"

func FuzzReadDevice(f *testing.F) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	f.Add(sampleMark)
	f.Add(sampleMark[1:])
	f.Add(sampleMark + "A")
	f.Add(keyed("another").newDevice("corp/alice", now))
	f.Add(strings.Repeat("A", len(sampleMark)))
	f.Add(strings.Repeat("\n", len(sampleMark))) // which base64 overlooks
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := keyed("key").readDevice(text, now)
		if ok != (text == sampleMark) || ok && d.person != keyed("key").owner("corp/alice") {
			t.Errorf("%q: accepted %v, %+v", text, ok, d)
		}
	})
}

func TestTheSameAttemptManyTimesAtOnce(t *testing.T) {
	tests := []struct {
		name, username, password string
		in, binds                int
	}{
		{"the right password signs all in, however few guesses there are", "alice", "right", 20, 20},
		{"a wrong one is sent once", "alice", "wrong", 0, 1},
		{"nobody's is not throttled either", "nobody", "right", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, b := newWorld(t)
				w.takes = 10 * time.Millisecond
				b.throttle.Failures = 1
				var in, paused atomic.Int64
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						_, err := b.SignIn(t.Context(), attempt(tt.username, tt.password))
						if throttled(err) {
							paused.Add(1)
						} else if err == nil {
							in.Add(1)
						}
					})
				}
				all.Wait()
				if int(in.Load()) != tt.in || w.binds != tt.binds || paused.Load() != 0 || len(b.throttle.turns.lines) != 0 {
					t.Errorf("%d signed in, %d throttled, %d binds, %d lines left", in.Load(), paused.Load(), w.binds, len(b.throttle.turns.lines))
				}
			})
		})
	}
	t.Run("who does not get a turn in time is told so", func(t *testing.T) {
		_, b := newWorld(t)
		leave, err := b.throttle.turns.enter(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.throttle.turns.enter(ctx, "key"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		leave()
		if len(b.throttle.turns.lines) != 0 {
			t.Error("a line is left over")
		}
	})
}

func TestAPasswordThatJustFailed(t *testing.T) {
	t.Run("is not sent again, answered as before, and costs nothing", func(t *testing.T) {
		w, b := newWorld(t)
		for range 50 {
			_, err := b.SignIn(t.Context(), attempt("alice", "old"))
			if !errors.Is(err, gatehouse.ErrInvalidCredentials) || throttled(err) {
				t.Fatal(err)
			}
		}
		if w.binds != 1 {
			t.Errorf("%d binds", w.binds)
		}
		if _, err := b.SignIn(t.Context(), attempt("alice", "right")); err != nil {
			t.Errorf("the right one: %v", err)
		}
	})
	t.Run("nor by another name of the same person, by another browser, for a change, or at another replica", func(t *testing.T) {
		w, b := newWorld(t)
		w.people["alice@corp.example.com"] = w.people["alice"]
		_, _ = b.SignIn(t.Context(), attempt("alice", "old"))
		deps := b.d
		_, _ = New(deps).SignIn(t.Context(), attempt("alice@corp.example.com", "old"))
		_, _ = b.SignIn(t.Context(), at(b.Device(w.people["alice"].Key()), "alice", "old"))
		_, _ = b.ChangePassword(t.Context(), change("alice", "old", "a new one"))
		if w.binds != 1 || w.events[1].Reason != "repeated" || w.events[1].Username != "alice" {
			t.Errorf("%d binds, events %q", w.binds, w.kinds())
		}
	})
	t.Run("does not shut out its whole office", func(t *testing.T) {
		w, b := newWorld(t)
		for i := range 50 {
			name := fmt.Sprint("alias", i)
			w.people[name] = w.people["alice"]
			_, _ = b.SignIn(t.Context(), attempt(name, "old"))
			_, _ = b.SignIn(t.Context(), attempt("alice", "old"))
		}
		if _, err := b.SignIn(t.Context(), attempt("alice", "right")); err != nil || w.binds != 2 {
			t.Errorf("%v after %d binds", err, w.binds)
		}
	})
	t.Run("is sent again after a while", func(t *testing.T) {
		w, b := newWorld(t)
		_, _ = b.SignIn(t.Context(), attempt("alice", "reset to this"))
		w.password = "reset to this"
		w.now = w.now.Add(againFor - time.Second)
		if _, err := b.SignIn(t.Context(), attempt("alice", "reset to this")); err == nil {
			t.Error("signed in too early for this test to mean anything")
		}
		w.now = w.now.Add(2 * time.Second)
		if _, err := b.SignIn(t.Context(), attempt("alice", "reset to this")); err != nil {
			t.Error(err)
		}
	})
	t.Run("is forgotten by a sign-in", func(t *testing.T) {
		w, b := newWorld(t)
		_, _ = b.SignIn(t.Context(), attempt("alice", "typed too early"))
		if _, err := b.SignIn(t.Context(), attempt("alice", "right")); err != nil {
			t.Fatal(err)
		}
		w.password = "typed too early"
		if _, err := b.SignIn(t.Context(), attempt("alice", "typed too early")); err != nil {
			t.Error(err)
		}
	})
	t.Run("is forgotten by a change of password", func(t *testing.T) {
		_, b := newWorld(t)
		_, _ = b.SignIn(t.Context(), attempt("alice", "typed too early"))
		if _, err := b.ChangePassword(t.Context(), change("alice", "right", "typed too early")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.SignIn(t.Context(), attempt("alice", "typed too early")); err != nil {
			t.Error(err)
		}
	})
	t.Run("by one person is another's to try", func(t *testing.T) {
		w, b := newWorld(t)
		u := w.people["alice"]
		u.ID, u.Username = "bob", "bob"
		w.people["bob"] = u
		_, _ = b.SignIn(t.Context(), attempt("alice", "autumn"))
		_, _ = b.SignIn(t.Context(), attempt("bob", "autumn"))
		if w.binds != 2 {
			t.Errorf("%d binds", w.binds)
		}
	})
	t.Run("does not tell whether anybody has the name", func(t *testing.T) {
		_, b := newWorld(t)
		for _, password := range []string{"a", "a", "b", "a", "b", "c", "c", "d", "d", "a"} {
			_, known := b.SignIn(t.Context(), attempt("alice", password))
			_, unknown := b.SignIn(t.Context(), attempt("nobody", password))
			if throttled(known) != throttled(unknown) || errors.Is(known, gatehouse.ErrInvalidCredentials) != errors.Is(unknown, gatehouse.ErrInvalidCredentials) {
				t.Errorf("%s: %v, %v", password, known, unknown)
			}
		}
	})
	t.Run("but was right, for an account with an obstacle, is no guess", func(t *testing.T) {
		w, b := newWorld(t)
		b.throttle.Failures = 1
		w.barred = gatehouse.ErrPasswordExpired
		for range 5 {
			if _, err := b.SignIn(t.Context(), attempt("alice", "right")); !errors.Is(err, gatehouse.ErrPasswordExpired) {
				t.Fatal(err)
			}
		}
		if _, err := b.SignIn(t.Context(), attempt("alice", "wrong")); !throttled(err) {
			t.Errorf("another one: %v", err)
		}
		w.barred = nil
		if _, err := b.ChangePassword(t.Context(), change("alice", "right", "a new one")); err != nil {
			t.Errorf("the change that is owed: %v", err)
		}
	})
	t.Run("but was right, of somebody in too many groups, is no guess, and the record says why", func(t *testing.T) {
		w, b := newWorld(t)
		b.throttle.Failures = 1
		w.barred = gatehouse.ErrTooManyGroups
		for range 5 {
			if _, err := b.SignIn(t.Context(), attempt("alice", "right")); !errors.Is(err, gatehouse.ErrTooManyGroups) || errors.Is(err, gatehouse.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if e := w.events[len(w.events)-1]; e.Reason != "too_many_groups" {
			t.Errorf("the record says %q", e.Reason)
		}
	})
	t.Run("is not sent on because it was right before", func(t *testing.T) {
		w, b := newWorld(t)
		b.throttle.Failures = 1
		w.barred = gatehouse.ErrPasswordExpired
		_, _ = b.SignIn(t.Context(), attempt("alice", "right"))
		w.password = "changed elsewhere"
		for range 5 {
			_, _ = b.SignIn(t.Context(), attempt("alice", "right"))
		}
		if w.binds != 2 {
			t.Errorf("%d binds", w.binds)
		}
	})
	t.Run("is kept as a mark that does not tell it", func(t *testing.T) {
		w, b := newWorld(t)
		_, _ = b.SignIn(t.Context(), attempt("alice", "hunter2"))
		for key := range w.counts {
			for _, plain := range []string{"hunter2", "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7"} { // its SHA-256
				if strings.Contains(key, plain) {
					t.Errorf("counter %q", key)
				}
			}
		}
		other := New(func() Deps { d := b.d; d.Secret = []byte("another"); return d }())
		_, _ = other.SignIn(t.Context(), attempt("alice", "hunter2"))
		if w.binds != 2 {
			t.Error("the mark does not depend on the secret")
		}
	})
}

func TestRefusalsWithoutEndDoNotFillTheRecord(t *testing.T) {
	tests := []struct {
		name   string
		before int // guesses
		each   func(i int) Attempt
		reason string
		named  bool
	}{
		{"a name whose allowance is spent", 3, func(i int) Attempt { return attempt("alice", fmt.Sprint(i)) }, "throttled", true},
		{"a password sent again and again", 0, func(int) Attempt { return attempt("alice", "wrong 0") }, "repeated", true},
		{"an address whose allowance is spent", 3, func(i int) Attempt { return attempt(fmt.Sprint("name", i), "x") }, "throttled", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, b := newWorld(t)
			guesses(t, b, "alice", max(tt.before, 1))
			if strings.HasPrefix(tt.name, "an address") {
				b.throttle.FailuresPerAddress = 3
			}
			w.events = nil
			for i := range 1000 {
				_, _ = b.SignIn(t.Context(), tt.each(i))
			}
			var stands int
			var counts []int
			for _, e := range w.events {
				if e.Kind != gatehouse.EventSignInRefused || e.Reason != tt.reason || e.IP == "" || (e.Username == "alice") != tt.named {
					t.Errorf("event %+v", e)
				}
				stands += max(e.Count, 1)
				counts = append(counts, e.Count)
			}
			if want := []int{0, 0, 2, 4, 8, 16, 32, 64, 128, 256}; !slices.Equal(counts, want) || stands != 512 {
				t.Errorf("recorded counts %v, standing for %d; want %v", counts, stands, want)
			}
			w.now = w.now.Add(2 * time.Hour)
			w.events = nil
			_, _ = b.SignIn(t.Context(), attempt("alice", "another day"))
			if len(w.events) != 1 {
				t.Errorf("after a pause: %q", w.kinds())
			}
		})
	}
	t.Run("nor write to the store", func(t *testing.T) {
		w, b := newWorld(t)
		guesses(t, b, "alice", 3)
		before := maps.Clone(w.counts)
		for i := range 100 {
			_, _ = b.SignIn(t.Context(), attempt("alice", fmt.Sprint(i)))
			_, _ = b.SignIn(t.Context(), attempt("alice", "wrong 0"))
		}
		if diff := cmp.Diff(before, w.counts, cmp.AllowUnexported(counter{})); diff != "" {
			t.Errorf("counters changed (-before +after):\n%s", diff)
		}
	})
	t.Run("nor memory", func(t *testing.T) {
		now, tallies := time.Now(), tallies{counts: map[string]tallied{}}
		for i := range 2*mostTallies + 1 {
			tallies.hit(fmt.Sprint(i), now, time.Hour)
		}
		if n := len(tallies.counts); n > mostTallies {
			t.Errorf("%d are kept", n)
		}
	})
	t.Run("but every one that a directory was asked about is there", func(t *testing.T) {
		w, b := newWorld(t)
		for i := range 3 {
			guesses(t, b, fmt.Sprint("name", i), 3)
		}
		if len(w.events) != 9 {
			t.Errorf("%d events", len(w.events))
		}
	})
}
