package access

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Limiter is a Directory that can say when it locks accounts out.
type Limiter interface {
	// Limits is after how many wrong passwords, and within what time; a
	// threshold of zero is never, or not to be known; a window of zero is for
	// ever, until a right one.
	Limits(ctx context.Context) (threshold int, window time.Duration, err error)
}

// lockout is what a Limiter said.
type lockout struct {
	threshold int
	window    time.Duration
}

// allowance is how many wrong passwords reach a directory for one person.
type allowance struct {
	all    int           // from everybody together
	each   int           // from all strangers together, or from one known browser
	window time.Duration // until it is whole again, after the last attempt
}

// forEver is how long attempts count against a directory that counts them
// until a right one comes: longer would keep people out who have mistyped.
const forEver = 7 * 24 * time.Hour

// allowance settles what Gatehouse spends of what a directory has.
//
// Gatehouse's replicas count together, but the directory counts for everybody:
// Windows itself, mail, a telephone with an old password. So two are left
// where there are two to leave: the one that would lock, and one for a slip
// elsewhere. A threshold of three leaves one: of its two, strangers have one
// and the person's own browser the other. At two or one there is nothing to
// divide.
func (t Throttle) allowance(l lockout) allowance {
	a := allowance{all: t.Failures, window: t.Window}
	if l.threshold > 0 {
		a.all = min(a.all, max(l.threshold-2, min(l.threshold-1, 2), 1))
		a.window = max(a.window, cmp.Or(l.window, forEver))
	}
	a.each = a.all
	if a.all > 1 {
		a.each -= max(1, a.all/3)
	}
	return a
}

// limits are the lock-out rules of the directories, as last read.
type limits struct {
	mu   sync.RWMutex
	said map[string]lockout // by directory
}

// in is the allowance of a person in a directory.
func (l *limits) in(t Throttle, directory string) allowance {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return t.allowance(l.said[directory])
}

// of is the allowance of a name that may be in any of some directories: the
// strictest, so that it does not tell in which it is.
func (l *limits) of(t Throttle, among []Source) allowance {
	a := t.allowance(lockout{})
	for _, s := range among {
		its := l.in(t, s.Name())
		a.each, a.window = min(a.each, its.each), max(a.window, its.window)
	}
	return a
}

func (l *limits) set(directory string, said lockout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said[directory] = said
}

const (
	limitsEvery = 5 * time.Minute  // how often the rules are read again
	limitsSoon  = 30 * time.Second // and how soon after a failure
	limitsWait  = time.Second      // how long a start waits for them
	limitsRead  = 10 * time.Second // and how long a reading may take
	limitsKept  = 30 * 24 * time.Hour
)

// KeepLimits reads the directories' lock-out rules, and goes on reading them
// until ctx ends. It returns once all have been read, or after a second: no
// sign-in ever waits for it. Until a directory has answered, what it said to
// any replica within a month holds; failing that, the configuration alone.
func (b *Broker) KeepLimits(ctx context.Context) {
	var first sync.WaitGroup
	for _, s := range b.d.Directories {
		limiter, ok := s.Directory.(Limiter)
		if !ok {
			continue
		}
		b.recallLimits(ctx, s.Name())
		first.Add(1)
		go b.keepLimits(ctx, s.Name(), limiter, sync.OnceFunc(first.Done))
	}
	read := make(chan struct{})
	go func() { first.Wait(); close(read) }()
	select {
	case <-read:
	case <-time.After(limitsWait):
	case <-ctx.Done():
	}
}

// keepLimits reads one directory's rules again and again. Why it cannot is
// logged when it begins.
func (b *Broker) keepLimits(ctx context.Context, name string, from Limiter, read func()) {
	failing := false
	for ctx.Err() == nil {
		err := b.readLimits(ctx, name, from)
		read()
		if err != nil && !failing && ctx.Err() == nil {
			b.d.Log.WarnContext(ctx, "lock-out rules not read", slog.String("directory", name), slog.Any("err", err))
		}
		failing = err != nil
		pause := limitsEvery
		if failing {
			pause = limitsSoon
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (b *Broker) readLimits(ctx context.Context, name string, from Limiter) error {
	ctx, cancel := context.WithTimeout(ctx, limitsRead)
	defer cancel()
	threshold, window, err := from.Limits(ctx)
	if err != nil {
		return err
	}
	b.throttle.limits.set(name, lockout{threshold, window})
	return b.d.Learnt.Learn(ctx, "lockout:"+name, fmt.Sprintf("%d %s", threshold, window), b.d.Now().Add(limitsKept))
}

// recallLimits takes what a directory said before.
func (b *Broker) recallLimits(ctx context.Context, name string) {
	text, err := b.d.Learnt.Learnt(ctx, "lockout:"+name)
	var said lockout
	var window string
	if err == nil {
		_, err = fmt.Sscanf(text, "%d %s", &said.threshold, &window)
	}
	if err == nil {
		said.window, err = time.ParseDuration(window)
	}
	if err == nil && said.threshold >= 0 && said.window >= 0 {
		b.throttle.limits.set(name, said)
	}
}
