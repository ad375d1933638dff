package access

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"gatehouse"
)

// paused is a Throttled that knows the counter whose limit was reached.
type paused struct {
	*gatehouse.Throttled
	key string
}

// Unwrap is the Throttled itself.
func (e *paused) Unwrap() error { return e.Throttled }

func (e *paused) tally() string { return e.key }

// tallyOf is what refusals like err are counted by; empty where each stands
// on the record alone.
func tallyOf(err error) string {
	var t interface{ tally() string }
	if errors.As(err, &t) {
		return t.tally()
	}
	return ""
}

// tallies count refusals that nobody had to look into, each replica its own:
// whoever floods the door must not have the store written to.
type tallies struct {
	mu     sync.Mutex
	counts map[string]tallied
}

type tallied struct {
	n     int
	until time.Time // when it starts anew
}

// mostTallies bounds what is kept of them. Beyond, all start anew, which
// costs some entries of the record.
const mostTallies = 100_000

// hit counts one more.
func (t *tallies) hit(key string, now time.Time, window time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.counts) >= mostTallies {
		maps.DeleteFunc(t.counts, func(_ string, c tallied) bool { return !c.until.After(now) })
	}
	if len(t.counts) >= mostTallies {
		clear(t.counts)
	}
	c := t.counts[key]
	if !c.until.After(now) {
		c.n = 0
	}
	c = tallied{c.n + 1, now.Add(window)}
	t.counts[key] = c
	return c.n
}

// due reports whether a refusal goes on the record, and for how many it stands.
//
// A refusal that nobody had to look into costs whoever provokes it nothing,
// and must not fill the record. Of those for one reason (one allowance that is
// spent, one password that is sent again and again) the first is recorded, and
// the second, the fourth, the eighth, each with the number since the last one
// recorded. A pause of a window begins anew. So the record names every attack
// while it lasts, and at least half of its attempts.
func (t *throttle) due(cause error) (stands int, due bool) {
	key := tallyOf(cause)
	if key == "" {
		return 0, true
	}
	n := t.tallies.hit(key, t.now(), t.Window)
	if n <= 2 {
		return 0, true
	}
	return n / 2, n&(n-1) == 0
}

// whom is who was found by a name.
type whom struct{ Person, Username, Directory, DN string }

// note keeps whom a name that failed was found to mean, so that the record
// can tell of whom the attempts are that are refused without asking.
func (t *throttle) note(ctx context.Context, g *guess, e gatehouse.Event) {
	if e.Person == "" {
		return
	}
	text, err := json.Marshal(whom{e.Person, e.Username, e.Directory, e.DN})
	if err == nil {
		err = t.learnt.Learn(ctx, "whom:"+g.nameEra, string(text), t.now().Add(g.terms.window))
	}
	if err != nil {
		t.log.WarnContext(ctx, "later refusals will not name the person", slog.String("user", e.Username), slog.Any("err", err))
	}
}

// recall puts that person into an event.
func (t *throttle) recall(ctx context.Context, g *guess, e *gatehouse.Event) {
	var w whom
	text, err := t.learnt.Learnt(ctx, "whom:"+g.nameEra)
	if err != nil || json.Unmarshal([]byte(text), &w) != nil {
		return
	}
	e.Person, e.Username, e.Directory, e.DN = w.Person, w.Username, w.Directory, w.DN
}
