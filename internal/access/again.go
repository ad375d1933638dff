package access

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"time"

	"gatehouse"
)

// A password that just failed is not sent again for a while: a tool that
// tries for ever locks its owner's account, and every repetition tells the
// directory and Gatehouse nothing new. What is kept is a keyed mark of the
// password with the name, and with the person once that is known; it is a
// counter like the others, so that it holds on every replica.
//
// A repetition is answered as a wrong password is, after the same least time.
// It asks no directory, and takes nothing off anybody's allowance, the
// address's among them: one tool must not shut out its whole office.

// againFor is for how long. It is short, since somebody's account may be reset
// to the very password that they have just tried.
const againFor = 5 * time.Minute

// repeated is a password that was wrong a moment ago.
type repeated struct{ key string }

func (e *repeated) Error() string { return "this very password was wrong a moment ago" }

// Unwrap makes it ErrInvalidCredentials.
func (e *repeated) Unwrap() error { return gatehouse.ErrInvalidCredentials }

// Reason is the word for the record.
func (e *repeated) Reason() string { return "repeated" }

func (e *repeated) tally() string { return e.key }

// isAgain refuses a password, by its mark, that was wrong a moment ago.
func (t *throttle) isAgain(ctx context.Context, mark string) error {
	key := "wrong:" + mark
	n, _, err := t.counters.Hits(ctx, key)
	if err != nil {
		return err
	}
	if n > 0 {
		return &repeated{key}
	}
	return nil
}

// remember notes that a password was wrong, or right. An empty mark is
// nothing to note.
func (t *throttle) remember(ctx context.Context, what, mark string) error {
	if mark == "" {
		return nil
	}
	_, _, err := t.counters.Hit(ctx, what+mark, min(againFor, t.Window))
	return err
}

// A password may be right and its owner still not come in: it has expired, and
// a new one must be chosen with it. Such a one is no guess, so that it may be
// sent again for a while, however few guesses there are.

// confirmed reports whether err tells that the password was right.
func confirmed(err error) bool {
	return slices.ContainsFunc([]error{
		gatehouse.ErrPasswordExpired, gatehouse.ErrPasswordMustChange, gatehouse.ErrAccountDisabled,
		gatehouse.ErrAccountExpired, gatehouse.ErrAccountLocked, gatehouse.ErrAccountHours, gatehouse.ErrTooManyGroups,
	}, func(kind error) bool { return errors.Is(err, kind) })
}

// right notes a password that was confirmed. What it took stays taken: the
// directory may still count the guesses of others.
func (t *throttle) right(ctx context.Context, g *guess) error {
	return errors.Join(t.remember(ctx, "right:", g.again), t.remember(ctx, "right:", g.mark))
}

// unlessRight is err, but for an allowance that is spent where the password is
// known to be right.
func (t *throttle) unlessRight(ctx context.Context, mark string, err error) error {
	if !errors.Is(err, gatehouse.ErrThrottled) {
		return err
	}
	n, _, failed := t.counters.Hits(ctx, "right:"+mark)
	if failed != nil || n == 0 {
		return err
	}
	return nil
}

// era is part of every mark of a name or a person. It changes when they come
// in or change their password: all that failed before counts no more.
func (t *throttle) era(ctx context.Context, whose string) string {
	text, err := t.learnt.Learnt(ctx, "era:"+whose)
	if err != nil {
		return "" // none, or not to be had: the first
	}
	return text
}

// forget begins another era for the name and the person of g.
func (t *throttle) forget(ctx context.Context, g *guess) {
	until := t.now().Add(againFor)
	for _, whose := range []string{g.nameEra, "person:" + g.person} {
		if err := t.learnt.Learn(ctx, "era:"+whose, rand.Text(), until); err != nil {
			t.log.WarnContext(ctx, "what failed before is not forgotten", slog.Any("err", err))
		}
	}
}

// isRepeated reports whether err is a password that was wrong a moment ago.
func isRepeated(err error) bool {
	var r *repeated
	return errors.As(err, &r)
}
