package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gatehouse"
)

// throttle bounds guessing in three dimensions: per person, so that a
// directory's lock-out threshold is never reached; per name as it was typed,
// so that an unknown name is slowed like a known one; per address.
//
// Within the first two, strangers share one allowance and every browser that
// is known for the person has its own (device.go), so that strangers cannot
// spend what the person needs. limits.go says how large they are, and again.go
// keeps a password that just failed from being sent once more.
type throttle struct {
	Throttle
	counters Counters
	learnt   Learnt
	keyed    keyed
	limits   *limits
	turns    *turns
	tallies  *tallies
	now      func() time.Time
	log      *slog.Logger
}

// claim is what somebody says to be somebody, however it came in.
type claim struct {
	username string
	password gatehouse.Secret
	ip       string
	device   string // the mark that their browser carries; programs have none
}

// guess is one attempt as the throttle sees it: who tries, and the keys of
// its counters.
type guess struct {
	address  string
	name     string // the name, for strangers or for this browser
	again    string // mark of this very password for that name
	nameEra  string // whose era that is
	terms    allowance
	device   device // of a browser that is known to somebody; zero: a stranger's
	password gatehouse.Secret

	// What is known once the directory has found the person.
	person string
	party  string // the person's allowance for strangers, or for this browser
	all    string // the person's allowance altogether
	mark   string // of this very password for the person; empty until it may have been sent
	slips  int    // attempts since the last right one, this one among them
}

// guess makes the counters' keys. A name is hashed: people type passwords
// into the wrong box, and a counter must not keep them. An address is counted
// in fixed windows, since behind one there may be an office whose mistypings
// never pause, so that a window that slides would never end.
func (t *throttle) guess(ctx context.Context, c claim, among []Source) *guess {
	g := &guess{address: t.address("address", c.ip), terms: t.limits.of(t.Throttle, among), password: c.password}
	party := "strangers"
	if d, ok := t.keyed.readDevice(c.device, t.now()); ok {
		g.device, party = d, d.id
	}
	g.nameEra = "name:" + t.keyed.mac("name", spelling(c.username, among))
	g.name = g.nameEra + ":" + party
	g.again = t.keyed.mac("again", g.name, t.era(ctx, g.nameEra), string(c.password))
	return g
}

// address is the key of what is counted of one address in this window.
func (t *throttle) address(what, ip string) string {
	return fmt.Sprintf("%s:%s@%d", what, gatehouse.Network(ip), t.now().Truncate(t.Window).Unix())
}

// checkAddress refuses an address that has failed too often in this window.
func (t *throttle) checkAddress(ctx context.Context, key string) error {
	err := t.check(ctx, key, t.FailuresPerAddress, "address")
	if throttled := (*gatehouse.Throttled)(nil); errors.As(err, &throttled) {
		throttled.Until = t.now().Truncate(t.Window).Add(t.Window)
	}
	return err
}

// admit refuses an attempt from an address that has failed too often and a
// password that has just failed for this name, and takes one off the name's
// allowance. The name's is what each may have of a person's, so that who asks
// cannot tell from it whether there is such a person.
func (t *throttle) admit(ctx context.Context, g *guess) error {
	if err := t.checkAddress(ctx, g.address); err != nil {
		return err
	}
	if err := t.isAgain(ctx, g.again); err != nil {
		return err
	}
	var err error
	g.slips, err = t.take(ctx, g.name, g.terms.each, g.terms.window+linger, "name")
	return t.unlessRight(ctx, g.again, err)
}

// linger is how much longer the share of a party counts than the whole does.
// Both end a window after their last attempt; ended the share a moment
// earlier, strangers could use that moment to take what was kept for the
// person, again and again.
const linger = time.Second

// admitPerson takes one attempt off a person's allowance before their
// password is sent to the directory.
func (t *throttle) admitPerson(ctx context.Context, g *guess, found gatehouse.User) error {
	person := found.Key()
	terms := t.limits.in(t.Throttle, found.Directory)
	mark := t.keyed.mac("person", person, t.era(ctx, "person:"+person), string(g.password))
	if err := t.isAgain(ctx, mark); err != nil {
		return err
	}
	known := t.knows(ctx, g.device, person)
	g.person, g.all, g.party = person, "person:"+person, "person:"+person+":strangers"
	if known {
		g.party = "person:" + person + ":" + g.device.id
	}
	err := t.unlessRight(ctx, mark, t.takePerson(ctx, g, terms))
	switch {
	case err == nil:
		g.mark = mark
		return nil
	case errors.Is(err, gatehouse.ErrThrottled) && !known:
		return &withheld{err}
	}
	return err
}

// takePerson takes one attempt off a party's share and off the whole.
func (t *throttle) takePerson(ctx context.Context, g *guess, terms allowance) error {
	n, err := t.take(ctx, g.party, terms.each, terms.window+linger, "person")
	if err != nil {
		return err
	}
	m, err := t.take(ctx, g.all, terms.all, terms.window, "person")
	g.slips = max(g.slips, n, m)
	return err
}

// withheld is a person whose allowance is spent although the name that was
// typed has some left: it was spent under other names of theirs. To say so
// would say that there is such a person, so outside it is a wrong password;
// but not to a browser that is known to be theirs.
type withheld struct{ err error }

func (e *withheld) Error() string { return e.err.Error() }

// Unwrap makes it ErrInvalidCredentials.
func (e *withheld) Unwrap() error { return gatehouse.ErrInvalidCredentials }

// Reason is the word for the record.
func (e *withheld) Reason() string { return "throttled" }

func (e *withheld) tally() string { return tallyOf(e.err) }

func (t *throttle) check(ctx context.Context, key string, limit int, why string) error {
	n, until, err := t.counters.Hits(ctx, key)
	if err != nil {
		return err
	}
	if n >= limit {
		return &paused{&gatehouse.Throttled{Until: until, Why: why}, key}
	}
	return nil
}

// take takes one attempt off an allowance, and says how many are gone. It
// counts first and asks afterwards, so that no number of attempts at once
// exceeds it: neither reaches the directory, nor tells by its answer that a
// name is known.
func (t *throttle) take(ctx context.Context, key string, limit int, window time.Duration, why string) (int, error) {
	if err := t.check(ctx, key, limit, why); err != nil {
		return 0, err
	}
	n, until, err := t.counters.Hit(ctx, key, window)
	if err != nil {
		return 0, err
	}
	if n > limit {
		return n, &paused{&gatehouse.Throttled{Until: until, Why: why}, key}
	}
	return n, nil
}

// failed counts a wrong guess against its address, and remembers what failed.
func (t *throttle) failed(ctx context.Context, g *guess) error {
	_, _, err := t.counters.Hit(ctx, g.address, t.Window)
	return errors.Join(err, t.remember(ctx, "wrong:", g.again), t.remember(ctx, "wrong:", g.mark))
}

// unanswered gives a name its allowance back: the directory said nothing. What
// was taken off a person's stays, since their password may have been sent.
func (t *throttle) unanswered(ctx context.Context, g *guess) error {
	return t.counters.Clear(context.WithoutCancel(ctx), g.name)
}

// proved forgets the failures of a person who has proved who they are, in
// this browser or where they are a stranger; what strangers spent while the
// person came in by a browser that is known stays spent. Those of the address
// stay: one good password must not pay for a hundred guesses.
func (t *throttle) proved(ctx context.Context, g *guess) error {
	err := errors.Join(t.counters.Clear(ctx, g.name), t.counters.Clear(ctx, g.party), t.counters.Clear(ctx, g.all))
	if g.slips > 1 {
		t.forget(ctx, g)
	}
	return err
}
