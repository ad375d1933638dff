package delegate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

// A sign-in that is approved or used where its person has never been may be
// somebody else's: a code that they were talked into, a file of tokens that
// was copied. That goes on the record before anything is given there, and the
// person sees it in the portal until they say that it was them, or end it.
//
// Where somebody has been is a network, not an address, see
// gatehouse.Network. They have been where they signed in to the portal before,
// as the record tells, and where programs of theirs were in placeLasts.

const (
	// placeLasts is how long a place is remembered after a sign-in there.
	placeLasts = 90 * 24 * time.Hour

	// mostPlaces bounds what one sign-in remembers: of more, the oldest go,
	// and are looked up again.
	mostPlaces = 32

	// mostNew bounds what one sign-in has to show. All are on the record.
	mostNew = 8

	// mostSignIns is how far back the record is read.
	mostSignIns = 1000
)

// Place is somewhere that a person had not been before.
type Place struct {
	IP string    `json:"ip"`
	At time.Time `json:"at"`
}

// Events reads the record.
type Events interface {
	Events(ctx context.Context, q gatehouse.EventQuery) ([]gatehouse.Event, error)
}

// strange are those of some addresses where the session's person has not been.
func (k *Keeper) strange(ctx context.Context, s gatehouse.Session, ips ...string) (list []Place, err error) {
	for _, ip := range ips {
		network := gatehouse.Network(ip)
		if slices.ContainsFunc(list, func(p Place) bool { return gatehouse.Network(p.IP) == network }) {
			continue
		}
		been, err := k.hasBeen(ctx, s, network)
		if err != nil {
			return nil, err
		}
		if !been {
			list = append(list, Place{ip, k.d.Now()})
		}
	}
	return list, nil
}

// hasBeen reports whether the session's person was there, but for this session.
func (k *Keeper) hasBeen(ctx context.Context, s gatehouse.Session, network string) (bool, error) {
	_, err := k.d.Records.Get(ctx, kindPlace, placeKey(s, network))
	if err == nil || !errors.Is(err, gatehouse.ErrNotFound) || k.d.Events == nil {
		return err == nil, notFoundIsFine(err)
	}
	events, err := k.d.Events.Events(ctx, gatehouse.EventQuery{Person: s.User.Key(), Kind: gatehouse.EventSignInAccepted, Limit: mostSignIns})
	return slices.ContainsFunc(events, func(e gatehouse.Event) bool {
		return e.Session != s.ID && e.Door != gatehouse.DoorAPI && gatehouse.Network(e.IP) == network
	}), err
}

func notFoundIsFine(err error) error {
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil
	}
	return err
}

func placeKey(s gatehouse.Session, network string) string { return s.User.Key() + "\x00" + network }

// arrive puts new places on the record.
func (k *Keeper) arrive(ctx context.Context, s gatehouse.Session, places []Place, requestID string) error {
	for _, p := range places {
		if err := k.d.Broker.NewPlace(ctx, s, p.IP, requestID); err != nil {
			return err
		}
	}
	return nil
}

// remember notes that the session's person was at some addresses.
func (k *Keeper) remember(ctx context.Context, s gatehouse.Session, ips ...string) error {
	for _, network := range networks(ips...) {
		if err := k.d.Records.Put(ctx, kindPlace, placeKey(s, network), s.User.Key(), nil, k.d.Now().Add(placeLasts)); err != nil {
			return fmt.Errorf("place of a command-line sign-in: %w", err)
		}
	}
	return nil
}

func networks(ips ...string) (list []string) {
	for _, ip := range ips {
		if n := gatehouse.Network(ip); !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// delegate opens the session of a program.
func (k *Keeper) delegate(ctx context.Context, who gatehouse.Session, d access.Delegation) (gatehouse.Session, word, error) {
	var w word
	era, err := k.era(ctx, who)
	if err == nil {
		w.Era = era
		w.New, err = k.strange(ctx, who, d.IP, d.ClientIP)
	}
	if err != nil {
		return gatehouse.Session{}, word{}, fmt.Errorf("command-line sign-in: %w", err)
	}
	session, err := k.d.Broker.Delegate(ctx, who, d)
	if err != nil {
		return gatehouse.Session{}, word{}, err
	}
	if err := k.arrive(ctx, session, w.New, d.RequestID); err != nil {
		return gatehouse.Session{}, word{}, errors.Join(err, k.d.Broker.SignOut(context.WithoutCancel(ctx), session))
	}
	return session, w, nil
}

// moved notes that a sign-in is used at an address. What it returns is the
// sign-in as it then is.
// Errors: ErrNotFound when it has ended; ErrNotRecorded, ErrUnavailable.
func (k *Keeper) moved(ctx context.Context, name string, in *signIn, body []byte, ip, requestID string) (*signIn, []byte, error) {
	network := gatehouse.Network(ip)
	if slices.Contains(in.Places, network) {
		return in, body, nil
	}
	// Hundreds of processes may start in a new place at once; it is new once.
	select {
	case k.moving <- struct{}{}:
		defer func() { <-k.moving }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	for range attempts {
		in, body, err := k.load(ctx, name)
		if err != nil || slices.Contains(in.Places, network) {
			return in, body, err
		}
		next, err := k.at(ctx, in, ip, requestID)
		if err != nil {
			return nil, nil, err
		}
		if body, err = k.swap(ctx, name, body, next); !errors.Is(err, gatehouse.ErrConflict) {
			return next, body, err
		}
	}
	return nil, nil, &gatehouse.Unavailable{What: "store", Name: "command-line sign-in", Err: gatehouse.ErrConflict}
}

// at is in once it is used at an address.
func (k *Keeper) at(ctx context.Context, in *signIn, ip, requestID string) (*signIn, error) {
	next := *in
	places, err := k.strange(ctx, in.Session, ip)
	if err == nil {
		err = k.arrive(ctx, in.Session, places, requestID)
	}
	if err == nil {
		err = k.remember(ctx, in.Session, ip)
	}
	if err != nil {
		return nil, err
	}
	next.New = last(append(slices.Clone(in.New), places...), mostNew)
	next.Places = last(append(slices.Clone(in.Places), gatehouse.Network(ip)), mostPlaces)
	return &next, nil
}

func last[T any](list []T, most int) []T { return list[max(0, len(list)-most):] }

// leave forgets the new places of a sign-in that ends without a word of its
// person's that they are theirs: they are as new the next time.
func (k *Keeper) leave(ctx context.Context, in *signIn) error {
	var failed error
	for _, p := range in.New {
		failed = errors.Join(failed, k.d.Records.Forget(ctx, kindPlace, placeKey(in.Session, gatehouse.Network(p.IP))))
	}
	return failed
}

// Known is a person's word that the new places of one sign-in are theirs.
// ErrNotFound.
func (k *Keeper) Known(ctx context.Context, person, id string) error {
	records, err := k.d.Records.ListOwner(ctx, kindSignIn, person)
	if err != nil {
		return fmt.Errorf("command-line sign-ins: %w", err)
	}
	i := slices.IndexFunc(records, func(r gatehouse.Record) bool { return r.ID == id })
	if i < 0 {
		return fmt.Errorf("command-line sign-in: %w", gatehouse.ErrNotFound)
	}
	var in signIn
	if err := json.Unmarshal(records[i].Body, &in); err != nil {
		return fmt.Errorf("command-line sign-in: %w", err)
	}
	in.New = nil
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return k.d.Records.SwapID(ctx, kindSignIn, person, id, records[i].Body, body)
}
