package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

// guess is one attempt as the throttle sees it: the keys of its counters.
type guess struct{ name, address string }

// guess makes the counters' keys. A name is hashed: people type passwords
// into the wrong box, and a counter must not keep them. An address is counted
// in fixed windows, since behind one there may be an office whose mistypings
// never pause, so that a window that slides would never end.
func (t *throttle) guess(username, ip string) guess {
	sum := sha256.Sum256([]byte(fold(strings.TrimSpace(username))))
	return guess{name: "name:" + hex.EncodeToString(sum[:]), address: t.address("address", ip)}
}

// address is the key of what is counted of one address in this window.
func (t *throttle) address(what, ip string) string {
	return fmt.Sprintf("%s:%s@%d", what, network(ip), t.now().Truncate(t.Window).Unix())
}

// checkAddress refuses an address that has failed too often in this window.
func (t *throttle) checkAddress(ctx context.Context, key string) error {
	err := t.check(ctx, key, t.FailuresPerAddress, "address")
	if throttled := (*gatehouse.Throttled)(nil); errors.As(err, &throttled) {
		throttled.Until = t.now().Truncate(t.Window).Add(t.Window)
	}
	return err
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

// admit refuses an attempt from an address that has failed too often, and
// takes one off the allowance of the name.
func (t *throttle) admit(ctx context.Context, g guess) error {
	if err := t.checkAddress(ctx, g.address); err != nil {
		return err
	}
	return t.take(ctx, g.name, "name")
}

// admitPerson takes one attempt off a person's allowance before their
// password is sent to the directory.
func (t *throttle) admitPerson(ctx context.Context, person string) error {
	err := t.take(ctx, "person:"+person, "person")
	if errors.Is(err, gatehouse.ErrThrottled) {
		return &withheld{err}
	}
	return err
}

// withheld is a person whose allowance is spent although the name that was
// typed has some left: it was spent under other names of theirs. To say so
// would say that there is such a person, so outside it is a wrong password.
type withheld struct{ err error }

func (e *withheld) Error() string { return e.err.Error() }

// Unwrap makes it ErrInvalidCredentials.
func (e *withheld) Unwrap() error { return gatehouse.ErrInvalidCredentials }

// Reason is the word for the record.
func (e *withheld) Reason() string { return "throttled" }

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

// take takes one attempt off an allowance. It counts first and asks
// afterwards, so that no number of attempts at once exceeds it: neither
// reaches the directory, nor tells by its answer that a name is known.
func (t *throttle) take(ctx context.Context, key, why string) error {
	if err := t.check(ctx, key, t.Failures, why); err != nil {
		return err
	}
	n, until, err := t.counters.Hit(ctx, key, t.Window)
	if err != nil {
		return err
	}
	if n > t.Failures {
		return &gatehouse.Throttled{Until: until, Why: why}
	}
	return nil
}

// failed counts a wrong guess against its address.
func (t *throttle) failed(ctx context.Context, g guess) error {
	_, _, err := t.counters.Hit(ctx, g.address, t.Window)
	return err
}

// unanswered gives a name its allowance back: the directory said nothing. What
// was taken off a person's stays, since their password may have been sent.
func (t *throttle) unanswered(ctx context.Context, g guess) error {
	return t.counters.Clear(context.WithoutCancel(ctx), g.name)
}

// proved forgets the failures of a person who has proved who they are. Those
// of the address stay: one good password must not pay for a hundred guesses.
func (t *throttle) proved(ctx context.Context, g guess, person string) error {
	return errors.Join(t.counters.Clear(ctx, "person:"+person), t.counters.Clear(ctx, g.name))
}
