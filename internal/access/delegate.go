package access

import (
	"context"
	"crypto/rand"

	"gatehouse"
)

// Delegation is somebody's wish that a program may act for them.
type Delegation struct {
	Client    string // the program, as it calls itself
	ClientIP  string // where it asked from
	IP        string // where the person agreed
	RequestID string
}

// Delegate opens a session for a program that the session's person lets act
// for them. It rests on how they proved themselves, and when; it has an end of
// its own. It is on the record before it is returned.
//
// Errors: ErrNoSession, ErrUnavailable, ErrNotRecorded.
func (b *Broker) Delegate(ctx context.Context, s gatehouse.Session, d Delegation) (gatehouse.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, b.d.Timeout)
	defer cancel()
	s, err := b.Refresh(ctx, s)
	if err != nil {
		return gatehouse.Session{}, err
	}
	s.ID, s.Door, s.IP, s.Client = rand.Text(), gatehouse.DoorAPI, d.ClientIP, d.Client
	event := personal(s)
	event.Kind, event.IP, event.RequestID = gatehouse.EventSignInAccepted, d.IP, d.RequestID
	if err := b.record(ctx, event); err != nil {
		return gatehouse.Session{}, err
	}
	return s, nil
}

// Decline puts on the record that the session's person did not let a program
// act for them: somebody may have tried to talk them into it.
func (b *Broker) Decline(ctx context.Context, s gatehouse.Session, d Delegation) error {
	event := personal(s)
	event.Kind, event.Reason, event.Door, event.Client = gatehouse.EventSignInRefused, "declined", gatehouse.DoorAPI, d.Client
	event.IP, event.RequestID = d.IP, d.RequestID
	return b.record(ctx, event)
}

// NewPlace puts on the record that a program is approved or used where its
// person has not been before.
func (b *Broker) NewPlace(ctx context.Context, s gatehouse.Session, ip, requestID string) error {
	event := personal(s)
	event.Kind, event.IP, event.RequestID = gatehouse.EventNewPlace, ip, requestID
	return b.record(ctx, event)
}

// Reused puts on the record that a program's token came back after it had
// been exchanged for the next: there is a copy of it, and the sign-in is over.
func (b *Broker) Reused(ctx context.Context, s gatehouse.Session, ip, requestID string) error {
	event := personal(s)
	event.Kind, event.IP, event.RequestID = gatehouse.EventTokenReused, ip, requestID
	return b.record(ctx, event)
}
