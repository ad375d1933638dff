// Package delegate keeps what people let programs do for them: which program
// asked, who agreed, and the tokens that came of it.
//
// A program that speaks the protocols of IAM Identity Center registers, and
// then asks by one of two ways: with a code that it shows and the person
// types into a page of ours (RFC 8628), or by leading a browser to a page of
// ours that leads back to the program's own port on loopback (RFC 8252, with
// RFC 7636). Either way the person, signed in, sees what asks and from where,
// and agrees or does not. What the program then has is a sign-in: an access
// token for an hour, and a refresh token for the next, until the sign-in ends.
//
// Registrations are not kept: a client's identifier says what was registered,
// under a mark that only we can make, so that anybody may register as often
// as they like. A sign-in is one record, under a random name that the store
// keeps as a hash only. Its tokens are that name, a number and a mark over
// both: none is stored, and neither the database nor the marking key alone is
// enough to make one. The number of a refresh token counts up, so that an old
// one that comes back is known for what it is: a copy. That ends the sign-in.
//
// The package decides nothing about roles: whoever holds a token is a
// gatehouse.Session, for the Broker to judge. It knows nothing of HTTP.
package delegate

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

// Broker is what sign-ins rest on; access.Broker has it.
type Broker interface {
	// Delegate opens the session of a program; it is on the record.
	Delegate(ctx context.Context, s gatehouse.Session, d access.Delegation) (gatehouse.Session, error)

	// Decline puts on the record that a person did not agree.
	Decline(ctx context.Context, s gatehouse.Session, d access.Delegation) error

	// Reused puts on the record that an old token came back.
	Reused(ctx context.Context, s gatehouse.Session, ip, requestID string) error

	// NewPlace puts on the record that a program is used where its person
	// has not been before.
	NewPlace(ctx context.Context, s gatehouse.Session, ip, requestID string) error

	// Refresh reads the person again when that is due. With ErrUnavailable
	// the session is as it was; with ErrNoSession they are not welcome any more.
	Refresh(ctx context.Context, s gatehouse.Session) (gatehouse.Session, error)

	// SignOut puts the end of a session on the record.
	SignOut(ctx context.Context, s gatehouse.Session) error
}

// Records keeps what expires, for all replicas. It keeps a hash of each key.
// Get and Take fail with ErrNotFound when there is none; of many who Take or
// Swap one, one succeeds.
type Records interface {
	Put(ctx context.Context, kind, key, owner string, body []byte, expires time.Time) error
	Get(ctx context.Context, kind, key string) ([]byte, error)
	Take(ctx context.Context, kind, key string) ([]byte, error)
	Swap(ctx context.Context, kind, key string, old, body []byte) error         // ErrConflict
	SwapID(ctx context.Context, kind, owner, id string, old, body []byte) error // ErrConflict
	Forget(ctx context.Context, kind, key string) error
	ListOwner(ctx context.Context, kind, owner string) ([]gatehouse.Record, error)
	ForgetID(ctx context.Context, kind, owner, id string) error
	ForgetOwner(ctx context.Context, kind, owner string) (int, error)
	Trim(ctx context.Context, kind, owner string, most int) ([]gatehouse.Record, error)
}

// Counters count guesses, for all replicas.
type Counters interface {
	Hit(ctx context.Context, key string, window time.Duration) (count int, until time.Time, err error)
	Hits(ctx context.Context, key string) (count int, until time.Time, err error)
}

// What is kept, as the store calls it.
const (
	kindDevice = "cli-device" // a program that waits for somebody to type its code
	kindCode   = "cli-code"   // an authorization code
	kindSpent  = "cli-spent"  // an authorization code that was exchanged, and for what
	kindSignIn = "cli"
	kindEra    = "cli-era"   // changes when all that a person lets programs do is ended
	kindPlace  = "cli-place" // a network that a person has been in
)

// Deps is what a Keeper works with.
type Deps struct {
	Broker   Broker
	Records  Records
	Counters Counters
	Events   Events        // where people signed in before; nil: nowhere
	Key      []byte        // marks clients and tokens; all replicas have the same
	Lasts    time.Duration // of a sign-in: session.cli
	Most     int           // sign-ins of one person: limits.sessions_per_person
	Now      func() time.Time
	Log      *slog.Logger
}

// Keeper keeps sign-ins of programs. It is safe for concurrent use.
type Keeper struct {
	d     Deps
	room  room
	known known

	moving chan struct{} // held by whoever looks at a place
}

// New makes a Keeper.
func New(d Deps) *Keeper {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{d: d, moving: make(chan struct{}, 1)}
}

// Refusal is the protocol's word for no (RFC 6749 §5.2, RFC 7591 §3.2.2,
// RFC 8628 §3.5), for programs to branch on.
type Refusal struct {
	Code string // invalid_grant, authorization_pending, …
	Why  string // for whoever reads the program's output
}

func (e *Refusal) Error() string { return e.Code + ": " + e.Why }

func refuse(code, why string) error { return &Refusal{code, why} }

// Refused is the protocol's word in err, or nothing.
func Refused(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// gone turns ErrNotFound into a refusal, and leaves any other error.
func gone(err error, code, why string) error {
	if errors.Is(err, gatehouse.ErrNotFound) {
		return refuse(code, why)
	}
	return fmt.Errorf("command-line sign-in: %w", err)
}

var text = base64.RawURLEncoding

// mark is what only the holder of the key can make of some texts, for one
// purpose. Texts keep their bounds.
func (k *Keeper) mark(purpose string, texts ...string) string {
	h := hmac.New(sha256.New, k.d.Key)
	var length [8]byte
	for _, s := range append([]string{purpose}, texts...) {
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	return text.EncodeToString(h.Sum(nil)[:24])
}

// marked reports whether m is the mark of texts.
func (k *Keeper) marked(m, purpose string, texts ...string) bool {
	return hmac.Equal([]byte(m), []byte(k.mark(purpose, texts...)))
}

// digest stands for a long or secret text in a record.
func digest(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}
