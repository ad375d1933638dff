package access

import (
	"context"
	"errors"
	"fmt"

	"gatehouse"
)

// trial is something that needs a person's password, at one directory.
type trial func(dir Directory, admit func(found gatehouse.User) error) error

// guarded runs try within the allowances of the name, its person and its
// address: whatever a password can be tried on uses up the same guesses.
func (b *Broker) guarded(ctx context.Context, c claim, event *gatehouse.Event, try trial) error {
	among := claimants(b.d.Directories, c.username)
	leave, err := b.throttle.turns.enter(ctx, b.throttle.keyed.mac("turn", spelling(c.username, among), string(c.password)))
	if err != nil {
		return fmt.Errorf("waiting for the same sign-in: %w", err)
	}
	defer leave()
	guess := b.throttle.guess(ctx, c, among)
	if err := b.throttle.admit(ctx, guess); err != nil {
		b.throttle.recall(ctx, guess, event)
		return err
	}
	err = b.atHome(ctx, among, c.username, guess, event, try)
	switch {
	case err == nil:
		return b.throttle.proved(ctx, guess)
	case errors.Is(err, gatehouse.ErrPasswordRefused): // the old one was right
		return errors.Join(err, b.throttle.proved(ctx, guess))
	case isRepeated(err): // under another name: from now on under this one
		b.throttle.note(ctx, guess, *event)
		return errors.Join(err, b.throttle.remember(ctx, "wrong:", guess.again))
	case errors.Is(err, gatehouse.ErrInvalidCredentials):
		b.throttle.note(ctx, guess, *event)
		return errors.Join(err, b.throttle.failed(ctx, guess))
	case confirmed(err):
		b.throttle.note(ctx, guess, *event)
		return errors.Join(err, b.throttle.right(ctx, guess))
	case errors.Is(err, gatehouse.ErrUnavailable):
		return errors.Join(err, b.throttle.unanswered(ctx, guess))
	}
	return err
}

// atHome tries the one directory that the name belongs to. Who was found goes
// into the event, so that a refusal names the person and never what somebody
// typed.
func (b *Broker) atHome(ctx context.Context, among []Source, username string, guess *guess, event *gatehouse.Event, try trial) error {
	home, err := home(ctx, among, username)
	if err == nil {
		err = try(home, func(found gatehouse.User) error {
			event.Person, event.Username, event.Directory, event.DN = found.Key(), found.Username, found.Directory, found.DN
			return b.throttle.admitPerson(ctx, guess, found)
		})
	}
	if errors.Is(err, gatehouse.ErrUnknownPerson) {
		return &nobody{err}
	}
	return err
}

// nobody is a name that no directory knows, or that means several people. To
// the outside it is a wrong password; the record may say more.
type nobody struct{ why error }

func (e *nobody) Error() string { return fmt.Sprintf("no directory knows the name: %v", e.why) }

// Unwrap makes it ErrInvalidCredentials, whatever the directory called it.
func (e *nobody) Unwrap() error { return gatehouse.ErrInvalidCredentials }

// Reason is the directory's word for it.
func (e *nobody) Reason() string {
	if word := reason(e.why); word != "failed" {
		return word
	}
	return "unknown"
}
