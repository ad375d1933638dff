package delegate

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

const (
	// deviceLasts is how long somebody has to type a code.
	deviceLasts = 10 * time.Minute

	// interval is how long a program waits between two questions.
	interval = 5 * time.Second

	// letters are what codes are made of: no vowels, so that no word appears,
	// and nothing that looks like a digit (RFC 8628 §6.1). Eight of them are
	// 34 bits, for ten minutes, against guesses that are counted.
	letters    = "BCDFGHJKLMNPQRSTVWXZ"
	codeLength = 8
)

// How many wrong codes may be typed within guessWindow: by one person, from
// one address, by all.
const (
	guessWindow     = 10 * time.Minute
	mostByPerson    = 10
	mostByAddress   = 50
	mostByEverybody = 1000
)

// Device is what a program shows and then asks with.
type Device struct {
	UserCode        string // ABCD-EFGH
	DeviceCode      gatehouse.Secret
	Lasts, Interval time.Duration
}

// device is a program that waits, as the store keeps it.
type device struct {
	Code     []byte             `json:"code"`   // digest of the device code
	Client   []byte             `json:"client"` // digest of the client's identifier
	Name     string             `json:"name"`   // the client's, as it says
	IP       string             `json:"ip"`
	At       time.Time          `json:"at"`
	Declined bool               `json:"declined,omitempty"`
	Session  *gatehouse.Session `json:"session,omitempty"` // what somebody agreed to
	Word     word               `json:"word,omitzero"`
}

// Request is what a person is asked to agree to.
type Request struct {
	Client   string // what asks, as it calls itself
	IP       string // from where
	At       time.Time
	UserCode string // ABCD-EFGH; empty when a browser on the same machine asks
}

// BeginDevice begins a wait for somebody to type a code.
// Errors: ErrThrottled, ErrUnavailable.
func (k *Keeper) BeginDevice(ctx context.Context, c Client, ip string) (Device, error) {
	now := k.d.Now()
	if err := k.admit(ctx, ip, now); err != nil {
		return Device{}, fmt.Errorf("command-line sign-in: %w", err)
	}
	user, err := userCode()
	if err != nil {
		return Device{}, err
	}
	code := user + "." + rand.Text()
	body, err := json.Marshal(device{Code: digest(code), Client: digest(c.id), Name: c.Name, IP: ip, At: now})
	if err != nil {
		return Device{}, err
	}
	if err := k.d.Records.Put(ctx, kindDevice, user, "", body, now.Add(deviceLasts)); err != nil {
		return Device{}, fmt.Errorf("command-line sign-in: %w", err)
	}
	return Device{UserCode: spoken(user), DeviceCode: gatehouse.Secret(code), Lasts: deviceLasts, Interval: interval}, nil
}

func userCode() (string, error) {
	var b strings.Builder
	for range codeLength {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return "", err
		}
		b.WriteByte(letters[n.Int64()])
	}
	return b.String(), nil
}

// spoken is a code as it is shown.
func spoken(code string) string { return code[:codeLength/2] + "-" + code[codeLength/2:] }

// typed is a code as somebody typed it, in whatever case and with whatever
// between the letters; empty when it cannot be one.
func typed(s string) string {
	if len(s) > 64 {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\u2010' || r == '\u2013' {
			return -1
		}
		return r
	}, strings.ToUpper(s))
	if len(s) != codeLength || strings.Trim(s, letters) != "" {
		return ""
	}
	return s
}

// errNoCode: nobody waits under a code.
var errNoCode = &gatehouse.Invalid{Field: "user_code", Why: "There is no such code. It may be mistyped, answered already, or older than ten minutes. Look at the program, or start it again."}

// Waiting is what waits under the code that somebody typed. Wrong codes are
// counted: by person, by address, and all together.
// Errors: ErrInvalid, ErrThrottled, ErrUnavailable.
func (k *Keeper) Waiting(ctx context.Context, who gatehouse.Session, code, ip string) (Request, error) {
	d, _, err := k.waiting(ctx, who, code, ip)
	if err != nil {
		return Request{}, err
	}
	return Request{Client: d.Name, IP: d.IP, At: d.At, UserCode: spoken(typed(code))}, nil
}

func (k *Keeper) waiting(ctx context.Context, who gatehouse.Session, code, ip string) (*device, []byte, error) {
	guesses := []struct {
		key  string
		most int
		why  string
	}{
		{"usercode:person:" + who.User.Key(), mostByPerson, "person"},
		{"usercode:address:" + gatehouse.Network(ip), mostByAddress, "address"},
		{"usercode:all", mostByEverybody, "all"},
	}
	for _, g := range guesses {
		n, until, err := k.d.Counters.Hits(ctx, g.key)
		if err != nil {
			return nil, nil, err
		}
		if n >= g.most {
			return nil, nil, &gatehouse.Throttled{Until: until, Why: g.why}
		}
	}
	d, body, err := k.find(ctx, typed(code))
	if !errors.Is(err, gatehouse.ErrNotFound) {
		return d, body, err
	}
	for _, g := range guesses {
		if _, _, err := k.d.Counters.Hit(ctx, g.key, guessWindow); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("user code: %w", errNoCode)
}

// find reads a device that nobody has decided on. ErrNotFound.
func (k *Keeper) find(ctx context.Context, code string) (*device, []byte, error) {
	if code == "" {
		return nil, nil, gatehouse.ErrNotFound
	}
	body, err := k.d.Records.Get(ctx, kindDevice, code)
	if err != nil {
		return nil, nil, fmt.Errorf("user code: %w", err)
	}
	d := new(device)
	if err := json.Unmarshal(body, d); err != nil {
		return nil, nil, fmt.Errorf("user code: %w", err)
	}
	if d.Declined || d.Session != nil {
		return nil, nil, fmt.Errorf("user code was answered: %w", gatehouse.ErrNotFound)
	}
	return d, body, nil
}

// Answer is a person's word on a program that waits under code. It counts once.
// Errors: as Waiting's; ErrNoSession, ErrNotRecorded.
func (k *Keeper) Answer(ctx context.Context, who gatehouse.Session, code string, agreed bool, ip, requestID string) (Request, error) {
	d, body, err := k.waiting(ctx, who, code, ip)
	if err != nil {
		return Request{}, err
	}
	request := Request{Client: d.Name, IP: d.IP, At: d.At, UserCode: spoken(typed(code))}
	wish := access.Delegation{Client: d.Name, ClientIP: d.IP, IP: ip, RequestID: requestID}
	if !agreed {
		d.Declined = true
		return request, errors.Join(k.decide(ctx, code, body, d), k.d.Broker.Decline(ctx, who, wish))
	}
	session, word, err := k.delegate(ctx, who, wish)
	if err != nil {
		return Request{}, err
	}
	d.Session, d.Word = &session, word
	if err := k.decide(ctx, code, body, d); err != nil {
		// It is on the record that the program got in; it did not.
		return Request{}, errors.Join(err, k.d.Broker.SignOut(context.WithoutCancel(ctx), session))
	}
	k.d.Log.InfoContext(ctx, "command-line sign-in", slog.String("user", who.User.Username), slog.String("client_ip", d.IP))
	return request, nil
}

func (k *Keeper) decide(ctx context.Context, code string, old []byte, d *device) error {
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	err = k.d.Records.Swap(ctx, kindDevice, typed(code), old, body)
	if errors.Is(err, gatehouse.ErrConflict) {
		return fmt.Errorf("user code: %w", errNoCode)
	}
	return err
}

// RedeemDevice answers a program that asks whether somebody has agreed.
// Errors: a Refusal with authorization_pending, slow_down, expired_token,
// access_denied or invalid_grant; ErrUnavailable.
func (k *Keeper) RedeemDevice(ctx context.Context, c Client, code gatehouse.Secret) (Tokens, error) {
	user, _, ok := strings.Cut(string(code), ".")
	if !ok || typed(user) != user || user == "" || len(code) > 100 {
		return Tokens{}, refuse("invalid_grant", "this device code is not one of ours")
	}
	body, err := k.d.Records.Get(ctx, kindDevice, user)
	if err != nil {
		// A program stops at this word, and goes on asking at any that it
		// does not know.
		return Tokens{}, gone(err, "expired_token", "the code has expired or was used; start again")
	}
	var d device
	if err := json.Unmarshal(body, &d); err != nil {
		return Tokens{}, fmt.Errorf("device code: %w", err)
	}
	if subtle.ConstantTimeCompare(d.Code, digest(string(code))) != 1 || subtle.ConstantTimeCompare(d.Client, digest(c.id)) != 1 {
		return Tokens{}, refuse("invalid_grant", "this device code is another client's")
	}
	switch {
	case d.Declined:
		return Tokens{}, refuse("access_denied", "the person did not agree")
	case d.Session == nil && k.tooSoon(ctx, user):
		return Tokens{}, refuse("slow_down", "wait for the interval between two questions")
	case d.Session == nil:
		return Tokens{}, refuse("authorization_pending", "nobody has agreed yet")
	}
	if _, err := k.d.Records.Take(ctx, kindDevice, user); err != nil {
		return Tokens{}, gone(err, "expired_token", "the code was used; start again")
	}
	_, tokens, err := k.begin(ctx, *d.Session, d.Client, nil, d.Word)
	return tokens, err
}

const (
	freePolls = 2
	jitter    = time.Second
)

// tooSoon counts how often a program has asked without a pause, at whichever
// replicas: it only keeps programs from asking all the time. The AWS CLI asks
// twice at once, and then in time. A count that cannot be had stops nobody.
func (k *Keeper) tooSoon(ctx context.Context, code string) bool {
	n, _, err := k.d.Counters.Hit(ctx, "poll:"+code, interval-jitter)
	return err == nil && n > freePolls
}

// mostWaiting is how many codes one address may have asked for within
// deviceLasts, at all replicas, and mostInAll how many everybody together may
// have, at this one. A build farm behind one address stays below.
const (
	mostWaiting = 500
	mostInAll   = 20_000
)

// admit refuses an address, and everybody, that has asked for too many codes.
func (k *Keeper) admit(ctx context.Context, ip string, now time.Time) error {
	window := now.Truncate(deviceLasts)
	refused := &gatehouse.Throttled{Until: window.Add(deviceLasts), Why: "address"}
	if !k.room.take(window) {
		return refused
	}
	n, _, err := k.d.Counters.Hit(ctx, fmt.Sprintf("codes:%s@%d", gatehouse.Network(ip), window.Unix()), deviceLasts)
	if err == nil && n > mostWaiting {
		return refused
	}
	return err
}

// room counts the codes of a window, in this replica.
type room struct {
	mu     sync.Mutex
	window time.Time
	taken  int
}

func (m *room) take(window time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !window.Equal(m.window) {
		m.window, m.taken = window, 0
	}
	m.taken++
	return m.taken <= mostInAll
}
