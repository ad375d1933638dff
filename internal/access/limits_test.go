package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
)

func TestAllowance(t *testing.T) {
	const window, day = 30 * time.Minute, 24 * time.Hour
	tests := []struct {
		name     string
		failures int
		rule     lockout
		want     allowance
	}{
		{"without a lock-out the configuration counts", 4, lockout{}, allowance{4, 3, window}},
		{"a lock-out far away changes nothing", 4, lockout{50, window}, allowance{4, 3, window}},
		{"one is left for a slip elsewhere", 4, lockout{5, window}, allowance{3, 2, window}},
		{"of a lock-out after four, two are left", 4, lockout{4, window}, allowance{2, 1, window}},
		{"of a lock-out after three, one is for strangers and one for the person", 4, lockout{3, window}, allowance{2, 1, window}},
		{"a lock-out after two leaves one to all", 4, lockout{2, window}, allowance{1, 1, window}},
		{"a lock-out after one cannot be kept away from", 4, lockout{1, window}, allowance{1, 1, window}},
		{"a stricter configuration counts", 2, lockout{50, window}, allowance{2, 1, window}},
		{"a single failure configured is one", 1, lockout{50, window}, allowance{1, 1, window}},
		{"a third is kept for the person where there are many", 12, lockout{50, window}, allowance{12, 8, window}},
		{"the window is at least the directory's", 4, lockout{50, day}, allowance{4, 3, day}},
		{"a shorter window of the directory's does not shorten ours", 4, lockout{50, time.Minute}, allowance{4, 3, window}},
		{"where failures count for ever, a week", 4, lockout{50, 0}, allowance{4, 3, forEver}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Throttle{Failures: tt.failures, Window: window}.allowance(tt.rule)
			if got != tt.want {
				t.Errorf("of %d and %+v: %+v, want %+v", tt.failures, tt.rule, got, tt.want)
			}
		})
	}
	for threshold := 2; threshold < 40; threshold++ {
		for failures := 1; failures < 60; failures++ {
			a := Throttle{Failures: failures, Window: window}.allowance(lockout{threshold, window})
			if a.all >= threshold || a.all > failures || a.each > a.all || a.each < 1 || a.all > 1 && a.each == a.all {
				t.Errorf("threshold %d, failures %d: %+v", threshold, failures, a)
			}
		}
	}
}

// locking is a directory that says when it locks accounts out.
type locking struct {
	*world
	name string
	read atomic.Int64
	says func(ctx context.Context) (int, time.Duration, error)
}

func (l *locking) Name() string {
	if l.name == "" {
		return "corp"
	}
	return l.name
}

func (l *locking) Limits(ctx context.Context) (int, time.Duration, error) {
	l.read.Add(1)
	return l.says(ctx)
}

func says(threshold int, window time.Duration, err error) func(context.Context) (int, time.Duration, error) {
	return func(context.Context) (int, time.Duration, error) { return threshold, window, err }
}

// withLockout is newWorld with a directory that has a lock-out rule.
func withLockout(t *testing.T, says func(context.Context) (int, time.Duration, error)) (*world, *Broker, *locking) {
	t.Helper()
	w, b := newWorld(t)
	dir := &locking{world: w, says: says}
	deps := b.d
	deps.Directories = []Source{{Directory: dir, MaxAge: time.Minute}}
	return w, New(deps), dir
}

func TestGuessesStayBelowTheDirectorysLockOut(t *testing.T) {
	away := &gatehouse.Unavailable{What: "directory", Name: "corp", Err: errors.New("timeout")}
	hang := func(ctx context.Context) (int, time.Duration, error) { <-ctx.Done(); return 0, 0, away }
	tests := []struct {
		name   string
		before string // what was learnt by another replica
		says   func(context.Context) (int, time.Duration, error)
		binds  int
	}{
		{"as soon as it has said it", "", says(3, time.Hour, nil), 1},
		{"when it has none, by the configuration", "", says(0, 0, nil), 3},
		{"by what it said before, while it does not answer", "4 30m0s", says(0, 0, away), 1},
		{"by what it said before, while it hangs", "3 0s", hang, 1},
		{"by the configuration, when it never answered", "", says(0, 0, away), 3},
		{"by the configuration, when what is remembered is garbled", "-5 soon", hang, 3},
		{"by what it says now, not by what it said", "50 1h0m0s", says(4, time.Hour, nil), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, b, _ := withLockout(t, tt.says)
				if tt.before != "" {
					w.learnt["lockout:corp"] = tt.before
				}
				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				b.KeepLimits(ctx)
				if waited := time.Since(began); waited > limitsWait {
					t.Errorf("the start waited %v", waited)
				}
				for i := range 10 {
					for _, name := range []string{"alice", "nobody"} { // who does not fare otherwise
						if _, err := b.SignIn(t.Context(), attempt(name, fmt.Sprint(i))); throttled(err) != (i >= tt.binds) {
							t.Errorf("guess %d as %s: %v", i+1, name, err)
						}
					}
				}
				if w.binds != tt.binds {
					t.Errorf("%d binds, want %d", w.binds, tt.binds)
				}
				cancel()
			})
		})
	}
}

func TestLockOutRulesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Value
		now.Store(says(0, 0, errors.New("not yet")))
		w, b, dir := withLockout(t, func(ctx context.Context) (int, time.Duration, error) {
			return now.Load().(func(context.Context) (int, time.Duration, error))(ctx)
		})
		ctx, cancel := context.WithCancel(t.Context())
		b.KeepLimits(ctx)
		now.Store(says(3, 2*time.Hour, nil))
		time.Sleep(limitsSoon)
		synctest.Wait()
		if got := b.throttle.limits.in(b.throttle.Throttle, "corp"); got != (allowance{2, 1, 2 * time.Hour}) {
			t.Errorf("after a failure: %+v", got)
		}
		now.Store(says(10, time.Hour, nil))
		time.Sleep(limitsEvery)
		synctest.Wait()
		if got := b.throttle.limits.in(b.throttle.Throttle, "corp"); got != (allowance{4, 3, time.Hour}) || w.learnt["lockout:corp"] != "10 1h0m0s" {
			t.Errorf("after a change: %+v, remembered %q", got, w.learnt["lockout:corp"])
		}
		cancel()
		synctest.Wait()
		n := dir.read.Load()
		time.Sleep(time.Hour)
		if dir.read.Load() != n {
			t.Error("goes on reading after the end")
		}
	})
}

func TestCheckTellsWhatTheThrottleSpends(t *testing.T) {
	tests := []struct {
		name     string
		failures int
		says     func(context.Context) (int, time.Duration, error)
		state    gatehouse.FindingState
		detail   string
	}{
		{"below a lock-out", 2, says(5, time.Hour, nil), gatehouse.FindingOK, "at most 2 wrong passwords for one person within 1h0m0s: 1 by strangers, 1 kept"},
		{"lowered to stay below it", 4, says(4, time.Hour, nil), gatehouse.FindingOK, "throttle.failures, 4, is lowered"},
		{"where there is nothing to divide", 4, says(2, time.Hour, nil), gatehouse.FindingWarning, "1 by anybody"},
		{"where one wrong password locks", 4, says(1, time.Hour, nil), gatehouse.FindingWarning, "locks"},
		{"where failures count for ever", 4, says(5, 0, nil), gatehouse.FindingWarning, "for a week"},
		{"without a rule", 4, says(0, 0, nil), gatehouse.FindingOK, "at most 4 wrong passwords"},
		{"that cannot be read", 4, says(0, 0, errors.New("timeout")), gatehouse.FindingWarning, "at most 4 wrong passwords"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := &locking{says: tt.says}
			got := Check(t.Context(), Throttle{Failures: tt.failures, Window: 30 * time.Minute}, []Source{{Directory: dir}})
			if len(got) != 1 || got[0].State != tt.state || !strings.Contains(got[0].Detail, tt.detail) || (got[0].State != gatehouse.FindingOK) != (got[0].Fix != "") {
				t.Errorf("%+v, want %s %q", got, tt.state, tt.detail)
			}
		})
	}
}
