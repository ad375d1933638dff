package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/saml"
)

// byTicket proves a Kerberos ticket, and reads the person whose it is: a
// ticket is hours old, and only the directory knows whether they may still
// sign in. When they proved themselves is when they did so to their realm: a
// ticket is no fresh proof.
//
// No person's allowance is touched: tickets cannot be guessed, and whoever
// guesses passwords must neither gain by one nor lock anybody out of theirs.
func (b *Broker) byTicket(ctx context.Context, t Ticket, ip string, event *gatehouse.Event) (gatehouse.User, time.Time, error) {
	if b.d.Tickets == nil {
		return gatehouse.User{}, time.Time{}, fmt.Errorf("tickets are not accepted here: %w", gatehouse.ErrInvalidCredentials)
	}
	if err := b.throttle.admitTicket(ctx, ip); err != nil {
		return gatehouse.User{}, time.Time{}, err
	}
	principal, err := b.d.Tickets.Accept(ctx, t.Token)
	if errors.Is(err, gatehouse.ErrInvalidCredentials) && !errors.Is(err, gatehouse.ErrNoTicket) {
		err = errors.Join(err, b.throttle.failedTicket(ctx, ip))
	}
	if err != nil {
		return gatehouse.User{}, time.Time{}, err
	}
	user, err := b.holder(ctx, principal, event)
	return user, principal.ProvedAt, err
}

// holder is the person that a principal names. The name must be the
// directory's own for them: a search also finds people by other names (mail,
// UPN), and those may be the account's name of somebody else.
func (b *Broker) holder(ctx context.Context, p gatehouse.Principal, event *gatehouse.Event) (gatehouse.User, error) {
	source, ok := b.source(p.Directory)
	if !ok {
		return gatehouse.User{}, fmt.Errorf("%s: no directory %q: %w", p, p.Directory, gatehouse.ErrInvalidCredentials)
	}
	name := p.Name
	if source.claims(p.Realm, false) || source.claims(p.Realm, true) {
		name = p.Realm + `\` + name // other domains of a forest may have one, too
	}
	found, err := source.Identify(ctx, name)
	switch {
	case errors.Is(err, gatehouse.ErrUnknownPerson):
		return gatehouse.User{}, fmt.Errorf("%s: %w", p, &nobody{err})
	case err != nil:
		return gatehouse.User{}, err
	case !strings.EqualFold(found.Username, p.Name):
		return gatehouse.User{}, fmt.Errorf("%s: the entry found is %s: %w", p, found.Username, &nobody{gatehouse.ErrUnknownPerson})
	}
	event.Person, event.Username, event.Directory, event.DN = found.Key(), found.Username, found.Directory, found.DN
	user, err := source.Lookup(ctx, found.ID) // refuses whom the directory bars
	if errors.Is(err, gatehouse.ErrUnknownPerson) {
		err = fmt.Errorf("%s: %w", p, &nobody{err})
	}
	return user, err
}

// admitTicket refuses a ticket from an address that has failed too often,
// with passwords or with tickets.
func (t *throttle) admitTicket(ctx context.Context, ip string) error {
	if err := t.checkAddress(ctx, t.address("address", ip)); err != nil {
		return err
	}
	return t.checkAddress(ctx, t.address("tickets", ip))
}

// failedTicket counts a ticket that proved nothing; a browser that has none
// is not counted, since it did no work and no wrong. It is counted apart from
// passwords: when the service's key was changed, every computer behind an
// office's one address fails at once, and people must still be able to type.
func (t *throttle) failedTicket(ctx context.Context, ip string) error {
	_, _, err := t.counters.Hit(ctx, t.address("tickets", ip), t.Window)
	return err
}

// AuthnContext is how the session's person proved who they are, as a class of
// SAML.
func AuthnContext(s gatehouse.Session) string {
	if slices.Contains(s.Methods, Ticket{}.method()) {
		return saml.Kerberos
	}
	return saml.PasswordProtectedTransport
}
