package delegate

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse"
)

const (
	// accessLasts is of an access token. botocore wants a new one in the last
	// fifteen minutes of the one it has, so that less than half an hour would
	// have it ask at every start.
	accessLasts = time.Hour

	// grace is how long a refresh token that was exchanged still brings what
	// it brought: several processes share one file of tokens, and those that
	// read it before the first had written must not look like thieves.
	grace = time.Minute

	// touchEvery is how often, at most, a use is written down.
	touchEvery = time.Minute

	accessPrefix  = "ghat"
	refreshPrefix = "ghrt"
)

// signIn is a sign-in of a program, as the store keeps it.
type signIn struct {
	Session gatehouse.Session `json:"session"`
	Client  []byte            `json:"client"` // digest of the client's identifier
	Began   time.Time         `json:"began"`
	Until   time.Time         `json:"until"` // whatever happens
	Used    time.Time         `json:"used"`  // to the minute
	UsedIP  string            `json:"used_ip"`
	Number  int               `json:"number"`  // of the refresh token that is good
	Rotated time.Time         `json:"rotated"` // when the one before was exchanged
	Bound   *Bound            `json:"bound,omitempty"`
	Places  []string          `json:"places,omitempty"` // networks that it was seen in
	New     []Place           `json:"new,omitempty"`    // of them, those that the person has to be told of
}

// Tokens are what a program gets.
type Tokens struct {
	Access, Refresh gatehouse.Secret
	Lasts           time.Duration // of Access
}

// Holder is whoever holds a good access token.
type Holder struct {
	Session gatehouse.Session

	name string
	kept *signIn
	body []byte // as it was read
}

// word is what a person's word on a program carries besides the session.
type word struct {
	New []Place `json:"new,omitempty"` // where they, or the program, had not been
	Era string  `json:"era,omitempty"`
}

// begin opens a sign-in for the session that a person let client have, and
// returns its name.
func (k *Keeper) begin(ctx context.Context, s gatehouse.Session, client []byte, bound *Bound, word word) (string, Tokens, error) {
	now := k.d.Now()
	in := &signIn{Session: s, Client: client, Began: now, Until: now.Add(k.d.Lasts), Used: now, UsedIP: s.IP, Number: 1, Bound: bound,
		Places: networks(s.IP), New: word.New}
	body, err := json.Marshal(in)
	if err != nil {
		return "", Tokens{}, fmt.Errorf("command-line sign-in: %w", err)
	}
	seen := []string{s.IP}
	for _, p := range word.New {
		seen = append(seen, p.IP)
	}
	if err := k.remember(ctx, s, seen...); err != nil {
		return "", Tokens{}, err
	}
	name := rand.Text()
	if err := k.d.Records.Put(ctx, kindSignIn, name, s.User.Key(), body, in.Until); err != nil {
		return "", Tokens{}, fmt.Errorf("command-line sign-in: %w", err)
	}
	if err := k.within(ctx, word.Era, name, in); err != nil {
		return "", Tokens{}, err
	}
	k.trim(ctx, s.User)
	return name, k.tokens(name, in), nil
}

// trim ends the sign-ins of a person that are more than they may have, those
// that end soonest first. That it fails is no reason to refuse the new one:
// the next does it.
func (k *Keeper) trim(ctx context.Context, u gatehouse.User) {
	over, err := k.d.Records.Trim(ctx, kindSignIn, u.Key(), k.d.Most)
	for _, r := range over {
		var in signIn
		if err == nil {
			err = json.Unmarshal(r.Body, &in)
		}
		if err == nil {
			err = k.d.Broker.SignOut(ctx, in.Session)
		}
		k.d.Log.InfoContext(ctx, "command-line sign-in ended: its person has more than limits.sessions_per_person", slog.String("user", u.Username))
	}
	if err != nil {
		k.d.Log.WarnContext(ctx, "command-line sign-ins beyond limits.sessions_per_person not ended", slog.String("user", u.Username), slog.Any("err", err))
	}
}

// tokens are the ones that are good now.
func (k *Keeper) tokens(name string, in *signIn) Tokens {
	now := k.d.Now()
	until := now.Add(accessLasts)
	if in.Until.Before(until) {
		until = in.Until
	}
	return Tokens{
		Access:  k.token(accessPrefix, name, until.Unix()),
		Refresh: k.token(refreshPrefix, name, int64(in.Number)),
		Lasts:   until.Sub(now).Truncate(time.Second),
	}
}

func (k *Keeper) token(prefix, name string, number int64) gatehouse.Secret {
	n := strconv.FormatInt(number, 10)
	return gatehouse.Secret(strings.Join([]string{prefix, name, n, k.mark(prefix, name, n)}, "."))
}

// read takes a token apart; ok means that we made it.
func (k *Keeper) read(prefix string, token gatehouse.Secret) (name string, number int64, ok bool) {
	if len(token) > 200 {
		return "", 0, false
	}
	part := strings.Split(string(token), ".")
	if len(part) != 4 || part[0] != prefix || !k.marked(part[3], prefix, part[1], part[2]) {
		return "", 0, false
	}
	number, err := strconv.ParseInt(part[2], 10, 64)
	return part[1], number, err == nil
}

// Check is whose access token it is.
// Errors: a Refusal with invalid_token; ErrUnavailable.
func (k *Keeper) Check(ctx context.Context, access gatehouse.Secret) (Holder, error) {
	name, until, ok := k.read(accessPrefix, access)
	if !ok {
		return Holder{}, refuse("invalid_token", "this token is not one of ours")
	}
	if k.d.Now().Unix() >= until {
		return Holder{}, refuse("invalid_token", "the token has expired")
	}
	in, body, err := k.load(ctx, name)
	if err != nil {
		return Holder{}, gone(err, "invalid_token", "the sign-in has ended; sign in again")
	}
	if in.Bound != nil { // it is for one role, and its holder has no token of this kind
		return Holder{}, refuse("invalid_token", "this token is of another kind")
	}
	return Holder{Session: in.Session, name: name, kept: in, body: body}, nil
}

// load reads a sign-in. What it returns is shared: it is not to be changed.
func (k *Keeper) load(ctx context.Context, name string) (*signIn, []byte, error) {
	body, err := k.d.Records.Get(ctx, kindSignIn, name)
	if err != nil {
		return nil, nil, err
	}
	in, err := k.known.read(name, body)
	return in, body, err
}

// Welcome reads the holder's person again when that is due, and notes the
// use. A person who is not welcome any more ends the sign-in.
// Errors: a Refusal with invalid_token; ErrNotRecorded, ErrUnavailable.
func (k *Keeper) Welcome(ctx context.Context, h Holder, ip, requestID string) (Holder, error) {
	s, err := k.d.Broker.Refresh(ctx, h.Session)
	if errors.Is(err, gatehouse.ErrNoSession) {
		return Holder{}, errors.Join(refuse("invalid_token", "you may not sign in any more"), k.end(ctx, h.name, h.kept), err)
	}
	if err != nil && !errors.Is(err, gatehouse.ErrUnavailable) {
		return Holder{}, err
	}
	if h.kept, h.body, err = k.moved(ctx, h.name, h.kept, h.body, ip, requestID); err != nil {
		return Holder{}, gone(err, "invalid_token", "the sign-in has ended; sign in again")
	}
	now := k.d.Now()
	if s.User.ReadAt.Equal(h.Session.User.ReadAt) && now.Sub(h.kept.Used) < touchEvery {
		return h, nil
	}
	next := *h.kept
	next.Session, next.Used, next.UsedIP = s, now, ip
	h.Session = s
	// That the store takes no writes, or that another request was quicker, is
	// no reason to give nothing: whatever is handed out is on the record.
	if _, err := k.swap(ctx, h.name, h.body, &next); err != nil && !errors.Is(err, gatehouse.ErrConflict) {
		k.d.Log.WarnContext(ctx, "use of a command-line sign-in not noted", slog.String("user", s.User.Username), slog.Any("err", err))
	}
	return h, nil
}

func (k *Keeper) swap(ctx context.Context, name string, old []byte, in *signIn) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return body, k.d.Records.Swap(ctx, kindSignIn, name, old, body)
}

// end ends a sign-in, on the record.
func (k *Keeper) end(ctx context.Context, name string, in *signIn) error {
	if err := k.d.Records.Forget(ctx, kindSignIn, name); err != nil {
		return fmt.Errorf("command-line sign-in: %w", err)
	}
	return errors.Join(k.leave(ctx, in), k.d.Broker.SignOut(ctx, in.Session))
}

// copied ends a sign-in of which somebody has a copy, on the record.
func (k *Keeper) copied(ctx context.Context, name string, in *signIn, ip, requestID string) error {
	return errors.Join(k.d.Records.Forget(ctx, kindSignIn, name), k.leave(ctx, in), k.d.Broker.Reused(ctx, in.Session, ip, requestID))
}

// SignOut ends the holder's sign-in, with all its tokens.
func (k *Keeper) SignOut(ctx context.Context, h Holder) error { return k.end(ctx, h.name, h.kept) }

// attempts at a rotation, when other processes rotate at the same time.
const attempts = 10

// Refresh exchanges a refresh token for the next ones. Whoever asks with the
// same one within the grace gets the same answer; after that it is a copy,
// and the sign-in ends.
// Errors: a Refusal with invalid_grant; ErrUnavailable.
func (k *Keeper) Refresh(ctx context.Context, c Client, refresh gatehouse.Secret, ip, requestID string) (Tokens, error) {
	name, number, ok := k.read(refreshPrefix, refresh)
	if !ok {
		return Tokens{}, refuse("invalid_grant", "this refresh token is not one of ours")
	}
	for range attempts {
		in, body, err := k.load(ctx, name)
		if err != nil {
			return Tokens{}, gone(err, "invalid_grant", "the sign-in has ended; sign in again")
		}
		if subtle.ConstantTimeCompare(in.Client, digest(c.id)) != 1 {
			return Tokens{}, refuse("invalid_grant", "this refresh token is another client's")
		}
		if in.Bound != nil {
			return Tokens{}, refuse("invalid_grant", "this refresh token is of another kind")
		}
		if in, body, err = k.moved(ctx, name, in, body, ip, requestID); err != nil {
			return Tokens{}, gone(err, "invalid_grant", "the sign-in has ended; sign in again")
		}
		tokens, _, err := k.rotate(ctx, name, number, in, body, ip, requestID)
		if !errors.Is(err, gatehouse.ErrConflict) {
			return tokens, err
		}
	}
	return Tokens{}, &gatehouse.Unavailable{What: "store", Name: "command-line sign-in", Err: gatehouse.ErrConflict}
}

// rotate answers a refresh token by its number. ErrConflict: look again.
func (k *Keeper) rotate(ctx context.Context, name string, number int64, in *signIn, body []byte, ip, requestID string) (Tokens, *signIn, error) {
	now := k.d.Now()
	switch {
	case number == int64(in.Number)-1 && now.Before(in.Rotated.Add(grace)):
		return k.tokens(name, in), in, nil
	case number != int64(in.Number):
		return Tokens{}, nil, errors.Join(refuse("invalid_grant", "this refresh token was used before: somebody has a copy, and the sign-in was ended"),
			k.copied(ctx, name, in, ip, requestID))
	}
	s, err := k.d.Broker.Refresh(ctx, in.Session)
	if errors.Is(err, gatehouse.ErrNoSession) {
		return Tokens{}, nil, errors.Join(refuse("invalid_grant", "you may not sign in any more"), k.end(ctx, name, in), err)
	}
	if err != nil && !errors.Is(err, gatehouse.ErrUnavailable) {
		return Tokens{}, nil, err
	}
	next := *in
	next.Session, next.Used, next.UsedIP, next.Number, next.Rotated = s, now, ip, in.Number+1, now
	if _, err := k.swap(ctx, name, body, &next); err != nil {
		return Tokens{}, nil, err
	}
	return k.tokens(name, &next), &next, nil
}

// Program is a sign-in of a person's, as they see it.
type Program struct {
	ID           string // public
	Client       string
	Role         string // ACCOUNT/ROLE, for one that has no other
	IP, UsedIP   string // where it asked from, and where it was last used
	Began, Until time.Time
	Used         time.Time // to the minute
	New          []Place   // where the person had not been before, until they say that it was them
}

// List is every sign-in of a person's, the newest first.
func (k *Keeper) List(ctx context.Context, person string) ([]Program, error) {
	records, err := k.d.Records.ListOwner(ctx, kindSignIn, person)
	if err != nil {
		return nil, fmt.Errorf("command-line sign-ins: %w", err)
	}
	list := make([]Program, 0, len(records))
	for _, r := range records {
		in, err := k.known.read(r.ID, r.Body)
		if err != nil {
			return nil, fmt.Errorf("command-line sign-in: %w", err)
		}
		role := ""
		if in.Bound != nil {
			role = in.Bound.Account + "/" + in.Bound.Role
		}
		list = append(list, Program{ID: r.ID, Role: role, Client: in.Session.Client, IP: in.Session.IP, UsedIP: in.UsedIP, Began: in.Began, Until: in.Until, Used: in.Used, New: in.New})
	}
	return list, nil
}

// End ends one sign-in of a person's, on the record. ErrNotFound.
func (k *Keeper) End(ctx context.Context, person, id string) error {
	records, err := k.d.Records.ListOwner(ctx, kindSignIn, person)
	if err != nil {
		return fmt.Errorf("command-line sign-ins: %w", err)
	}
	for _, r := range records {
		if r.ID != id {
			continue
		}
		var in signIn
		if err := json.Unmarshal(r.Body, &in); err != nil {
			return fmt.Errorf("command-line sign-in: %w", err)
		}
		if err := k.d.Records.ForgetID(ctx, kindSignIn, person, id); err != nil {
			return fmt.Errorf("command-line sign-in: %w", err)
		}
		return errors.Join(k.leave(ctx, &in), k.d.Broker.SignOut(ctx, in.Session))
	}
	return fmt.Errorf("command-line sign-in: %w", gatehouse.ErrNotFound)
}

// EndAll ends every sign-in of a person's and says how many there were. What
// they agreed to and no program has fetched yet brings nothing any more.
func (k *Keeper) EndAll(ctx context.Context, person string) (int, error) {
	if err := k.d.Records.Put(ctx, kindEra, person, person, []byte(rand.Text()), k.d.Now().Add(eraLasts)); err != nil {
		return 0, fmt.Errorf("command-line sign-ins: %w", err)
	}
	list, err := k.d.Records.ListOwner(ctx, kindSignIn, person)
	for _, r := range list {
		if in, bad := k.known.read(r.ID, r.Body); bad == nil {
			err = errors.Join(err, k.leave(ctx, in))
		}
	}
	n, failed := k.d.Records.ForgetOwner(ctx, kindSignIn, person)
	return n, errors.Join(err, failed)
}

// eraLasts is longer than anything that a person agreed to waits to be fetched.
const eraLasts = 365 * 24 * time.Hour

// era is part of what a person agrees to: once all of theirs is ended, it is
// another.
func (k *Keeper) era(ctx context.Context, s gatehouse.Session) (string, error) {
	body, err := k.d.Records.Get(ctx, kindEra, s.User.Key())
	return string(body), notFoundIsFine(err)
}

// within ends a sign-in that began in another era than it was agreed to. It is
// asked once the record is there: of an end of all at the same time, either
// finds the other.
func (k *Keeper) within(ctx context.Context, era, name string, in *signIn) error {
	now, err := k.era(ctx, in.Session)
	if err == nil && now == era {
		return nil
	}
	if err == nil {
		err = refuse("access_denied", "all sign-ins of this person were ended meanwhile")
	}
	return errors.Join(err, k.end(ctx, name, in))
}

// known are sign-ins that were read before, so that one that has not changed
// is not read anew: somebody in hundreds of groups has a long record.
type known struct {
	mu   sync.Mutex
	held map[string]read
}

type read struct {
	body []byte
	in   *signIn
}

const mostKnown = 10_000

// read is what body says; it is the record called name.
func (n *known) read(name string, body []byte) (*signIn, error) {
	n.mu.Lock()
	before, ok := n.held[name]
	n.mu.Unlock()
	if ok && bytes.Equal(before.body, body) {
		return before.in, nil
	}
	in := new(signIn)
	if err := json.Unmarshal(body, in); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held == nil || len(n.held) >= mostKnown {
		n.held = map[string]read{}
	}
	n.held[name] = read{body, in}
	return in, nil
}
