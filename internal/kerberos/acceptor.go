// Package kerberos proves who somebody is by the ticket that their computer
// has: SPNEGO (RFC 4178, RFC 4559) with Kerberos (RFC 4120).
//
// # What a ticket proves
//
// A ticket is encrypted with a key that only the realm and this service have
// (the keytab), and comes with an authenticator, encrypted with a key that
// only the ticket and its owner have. Accept believes the ticket's own words
// alone. It takes the person's name and realm from the ticket, never from
// the authenticator, which its sender writes as they like; the two must be the same.
// A name of several parts (alice/admin) is another person than alice, and a
// ticket for another service is none for this one, even under the same key.
//
// Who the name means, whether they may sign in now and which groups they are
// in is the directory's to say: a ticket is hours old. Its own list of groups
// (the PAC) is not even read.
//
// # What is refused
//
// An authenticator is good for once, within five minutes of its clock, and
// all replicas agree on the once (Replays). Keys other than AES are not
// used. NTLM, which browsers send when they have no ticket, is refused by name.
// The library has panics that a stranger can reach; every one is a refusal.
//
// The package knows nothing of HTTP. Binding to the TLS channel is not
// checked: where a proxy terminates TLS there is nothing to compare with.
package kerberos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"gatehouse"
)

// skew is how far the clocks of a client, the realm and a replica may be
// apart: the usual five minutes (RFC 4120 §3.2.3).
const skew = 5 * time.Minute

// LongestToken is the largest token that is looked at. Windows' own limit is
// 48 KB (MaxTokenSize); a ticket of somebody in 300 groups is 4 KB.
const LongestToken = 64 << 10

// Replays remembers authenticators, for all replicas.
type Replays interface {
	// Once notes a key until a time, and reports whether it is new.
	Once(ctx context.Context, key string, until time.Time) (first bool, err error)
}

// Acceptor accepts tickets. It is safe for concurrent use.
type Acceptor struct {
	cfg     Config
	service types.PrincipalName
	keys    *keytab.Keytab // of service alone, AES alone
	realms  map[string]string
	replays Replays
	now     func() time.Time
	log     *slog.Logger
}

// New reads the keytab of a Config that has its defaults and no faults.
// now may be nil, for time.Now; log may be nil, for none.
func New(cfg Config, replays Replays, now func() time.Time, log *slog.Logger) (*Acceptor, error) {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	a := &Acceptor{cfg: cfg, replays: replays, now: now, log: log, realms: map[string]string{}}
	var err error
	if a.service, a.keys, err = cfg.keys(); err != nil {
		return nil, fmt.Errorf("windows: keytab_file: %w", err)
	}
	for _, e := range a.keys.Entries {
		a.realms[e.Principal.Realm] = cfg.Directory
	}
	for realm, directory := range cfg.Realms {
		a.realms[realm] = directory
	}
	return a, nil
}

// refusal is a token that proves nothing. It is an ErrInvalidCredentials.
type refusal struct{ word, why string }

func (r *refusal) Error() string { return "windows ticket: " + r.why }

// Unwrap makes it ErrInvalidCredentials, and ErrNoTicket where that is why.
func (r *refusal) Unwrap() []error {
	if r.word == wordNone {
		return []error{gatehouse.ErrInvalidCredentials, gatehouse.ErrNoTicket}
	}
	return []error{gatehouse.ErrInvalidCredentials}
}

// Reason is the fixed word for the record.
func (r *refusal) Reason() string { return r.word }

// The words that the record uses for a refused token.
const (
	wordNone      = "no_ticket"       // NTLM, or no token of Kerberos at all
	wordMalformed = "ticket_garbled"  // not a token, or not one that can be decrypted
	wordForeign   = "ticket_foreign"  // for another service, of a realm that is not let in, of no person
	wordTime      = "ticket_time"     // expired, not yet good, or a clock is wrong
	wordReplayed  = "ticket_replayed" // seen before
)

func refuse(word, format string, args ...any) error {
	return &refusal{word, fmt.Sprintf(format, args...)}
}

// Accept proves one token, once: whoever sends the same again is refused, by
// every replica.
//
// Errors: ErrInvalidCredentials, with a method Reason() string whose word is
// for the record, and with ErrNoTicket when it was no ticket; ErrUnavailable when the replay store does not answer.
func (a *Acceptor) Accept(ctx context.Context, token []byte) (gatehouse.Principal, error) {
	req, who, err := a.verify(token)
	if err != nil {
		return gatehouse.Principal{}, err
	}
	// What is encrypted cannot be changed without the ticket's key, so its
	// digest is the authenticator's identity. It is noted only now: strangers
	// must not fill the store.
	sum := sha256.Sum256(req.EncryptedAuthenticator.Cipher)
	first, err := a.replays.Once(ctx, "kerberos:"+hex.EncodeToString(sum[:]), req.Authenticator.CTime.Add(2*skew))
	if err != nil {
		return gatehouse.Principal{}, fmt.Errorf("windows ticket: %w", err)
	}
	if !first {
		return gatehouse.Principal{}, refuse(wordReplayed, "of %s was used before", who)
	}
	return who, nil
}

// verify judges a token by itself. A panic of the library is a refusal.
func (a *Acceptor) verify(token []byte) (req *messages.APReq, who gatehouse.Principal, err error) {
	defer func() {
		if v := recover(); v != nil {
			a.log.Warn("hostile ticket", slog.Any("err", v))
			req, who, err = nil, gatehouse.Principal{}, refuse(wordMalformed, "panic: %v", v)
		}
	}()
	if req, err = request(token); err != nil {
		return nil, who, err
	}
	if err := a.open(req); err != nil {
		return nil, who, err
	}
	if err := a.inTime(req); err != nil {
		return nil, who, err
	}
	who, err = a.principal(req.Ticket.DecryptedEncPart)
	return req, who, err
}

// open decrypts the ticket with our key, and the authenticator with the
// ticket's (RFC 4120 §3.2.3).
func (a *Acceptor) open(req *messages.APReq) error {
	t := &req.Ticket
	if !sameName(t.SName.NameString, a.service.NameString) {
		return refuse(wordForeign, "it is for %s, not for %s", t.SName.PrincipalNameString(), a.cfg.ServicePrincipal)
	}
	if err := t.DecryptEncPart(a.keys, &a.service); err != nil {
		return refuse(wordMalformed, "key version %d, type %d, realm %s: %v", t.EncPart.KVNO, t.EncPart.EType, t.Realm, err)
	}
	if err := req.DecryptAuthenticator(t.DecryptedEncPart.Key); err != nil {
		return refuse(wordMalformed, "%v", err)
	}
	in, by := t.DecryptedEncPart, req.Authenticator
	// The library compares the names and leaves the realms: a person of a
	// trusted realm could write ours.
	if in.CRealm != by.CRealm || !slices.Equal(in.CName.NameString, by.CName.NameString) {
		return refuse(wordForeign, "it is %s@%s's, and %s@%s sent it", in.CName.PrincipalNameString(), in.CRealm, by.CName.PrincipalNameString(), by.CRealm)
	}
	return nil
}

// sameName compares the names of services, in which Windows ignores case.
func sameName(a, b []string) bool { return slices.EqualFunc(a, b, strings.EqualFold) }

// inTime judges the ticket and the authenticator by our clock.
func (a *Acceptor) inTime(req *messages.APReq) error {
	now, t := a.now(), req.Ticket.DecryptedEncPart
	start := t.StartTime
	if start.IsZero() {
		start = t.AuthTime // RFC 4120 §5.3
	}
	made := req.Authenticator.CTime.Add(time.Duration(req.Authenticator.Cusec) * time.Microsecond)
	switch {
	case start.After(now.Add(skew)), t.AuthTime.After(now.Add(skew)), types.IsFlagSet(&t.Flags, flags.Invalid):
		return refuse(wordTime, "it is not good before %s", start.UTC().Format(time.RFC3339))
	case now.After(t.EndTime.Add(skew)):
		return refuse(wordTime, "it expired at %s", t.EndTime.UTC().Format(time.RFC3339))
	case now.Sub(made).Abs() > skew:
		return refuse(wordTime, "its sender's clock says %s", made.UTC().Format(time.RFC3339))
	}
	return nil
}

// principal is whom the ticket is about, if they are of a realm whose people
// are let in.
func (a *Acceptor) principal(t messages.EncTicketPart) (gatehouse.Principal, error) {
	name := t.CName.NameString
	directory, ok := a.realms[t.CRealm]
	switch {
	case !ok:
		return gatehouse.Principal{}, refuse(wordForeign, "realm %q is not one of ours", t.CRealm)
	case len(name) != 1 || name[0] == "" || strings.HasSuffix(name[0], "$"): // PC1$ is a computer
		return gatehouse.Principal{}, refuse(wordForeign, "%q is not the name of a person", t.CName.PrincipalNameString())
	case len(t.CAddr) > 0:
		// A thing of the past; and behind a proxy the address says little.
		return gatehouse.Principal{}, refuse(wordForeign, "it is bound to an address")
	case len(t.Transited.Contents) > 0 && !types.IsFlagSet(&t.Flags, flags.TransitedPolicyChecked):
		// RFC 4120 §2.7: whoever cannot judge the path must leave it.
		return gatehouse.Principal{}, refuse(wordForeign, "nobody checked the realms between %s and us", t.CRealm)
	}
	proved := t.AuthTime
	if now := a.now(); proved.After(now) {
		proved = now // the realm's clock is ahead, by less than the skew
	}
	return gatehouse.Principal{Name: name[0], Realm: t.CRealm, Directory: directory, ProvedAt: proved}, nil
}
