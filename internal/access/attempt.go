package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"time"

	"gatehouse"
)

// throttle bounds guessing in three dimensions: per person, so that a
// directory's lock-out threshold is never reached; per name as it was typed,
// so that an unknown name is slowed like a known one; per address.
type throttle struct {
	Throttle
	counters Counters
	now      func() time.Time
}

// guess is one attempt as the throttle sees it.
type guess struct{ name, address string }

// newGuess makes the counters' keys. A name is hashed: people type passwords
// into the wrong box, and a counter must not keep them.
func newGuess(username, ip string) guess {
	sum := sha256.Sum256([]byte(fold(strings.TrimSpace(username))))
	return guess{name: "name:" + hex.EncodeToString(sum[:]), address: "address:" + network(ip)}
}

// network is what is counted as one address: an IPv6 client commands at least
// the /64 it lives in.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(64)
	return prefix.String()
}

// admit refuses an attempt whose name or address has failed too often.
func (t *throttle) admit(ctx context.Context, g guess) error {
	if err := t.check(ctx, g.address, t.FailuresPerAddress, "address"); err != nil {
		return err
	}
	return t.check(ctx, g.name, t.Failures, "name")
}

func (t *throttle) check(ctx context.Context, key string, limit int, why string) error {
	n, until, err := t.counters.Hits(ctx, key)
	if err != nil {
		return err
	}
	if n >= limit {
		return &gatehouse.Throttled{Until: until, Why: why}
	}
	return nil
}

// admitPerson takes one attempt off a person's allowance before their
// password is sent to the directory. It counts first and asks afterwards, so
// that no number of attempts at once exceeds the allowance.
func (t *throttle) admitPerson(ctx context.Context, person string) error {
	key := "person:" + person
	if err := t.check(ctx, key, t.Failures, "person"); err != nil {
		return err
	}
	n, until, err := t.counters.Hit(ctx, key, t.Window)
	if err != nil {
		return err
	}
	if n > t.Failures {
		return &gatehouse.Throttled{Until: until, Why: "person"}
	}
	return nil
}

// failed counts a wrong guess.
func (t *throttle) failed(ctx context.Context, g guess) error {
	_, _, byName := t.counters.Hit(ctx, g.name, t.Window)
	_, _, byAddress := t.counters.Hit(ctx, g.address, t.Window)
	return errors.Join(byName, byAddress)
}

// proved forgets the failures of a person who has proved who they are. Those
// of the address stay: one good password must not pay for a hundred guesses.
func (t *throttle) proved(ctx context.Context, g guess, person string) error {
	return errors.Join(t.counters.Clear(ctx, "person:"+person), t.counters.Clear(ctx, g.name))
}
