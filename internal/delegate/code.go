package delegate

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

// codeLasts is of an authorization code: the program waits for it.
const codeLasts = 2 * time.Minute

// longestState bounds what a program wants back.
const longestState = 512

var (
	challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)       // RFC 7636 §4.2, S256
	verifier  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`) // RFC 7636 §4.1
	random    = regexp.MustCompile(`^[A-Z2-7]{26,64}$`)         // rand.Text
)

// Authorization is a program's wish that a browser brought.
type Authorization struct {
	Client      Client
	RedirectURI string // one of the client's own
	State       string
	Challenge   string
}

// code is an authorization code, as the store keeps it.
type code struct {
	Client      []byte            `json:"client"`
	RedirectURI string            `json:"redirect_uri"`
	Challenge   string            `json:"challenge"`
	Session     gatehouse.Session `json:"session"`
	Bound       *Bound            `json:"bound,omitempty"` // without its key: that comes with the code
	Word        word              `json:"word,omitzero"`
}

// ReadAuthorization reads the query of an authorization request. What is
// wrong with it is told to the person: an answer never leads to a place that
// the client has not registered.
// Errors: ErrInvalid.
func (k *Keeper) ReadAuthorization(q url.Values) (Authorization, error) {
	bad := func(field, why string) (Authorization, error) {
		return Authorization{}, fmt.Errorf("authorization request: %w", &gatehouse.Invalid{Field: field, Why: why + " Start the program again."})
	}
	c, err := k.Client(q.Get("client_id"))
	if err != nil {
		return bad("client_id", "The program that sent you here has not registered, or too long ago.")
	}
	a := Authorization{Client: c, RedirectURI: q.Get("redirect_uri"), State: q.Get("state"), Challenge: q.Get("code_challenge")}
	switch {
	case !c.mayLeadTo(a.RedirectURI):
		return bad("redirect_uri", "The program wants an answer at an address that it has not registered.")
	case q.Get("response_type") != "code":
		return bad("response_type", "The program asks for something that is not given here.")
	case q.Get("code_challenge_method") != "S256" || !challenge.MatchString(a.Challenge):
		return bad("code_challenge", "The program does not protect its request (PKCE with S256).")
	case len(a.State) > longestState:
		return bad("state", "The program wants too much back.")
	}
	return a, nil
}

// Agree is a person's word that the program may act for them. The address
// that it returns leads back to the program.
// Errors: ErrNoSession, ErrNotRecorded, ErrUnavailable.
func (k *Keeper) Agree(ctx context.Context, who gatehouse.Session, a Authorization, ip, requestID string) (string, error) {
	secret, err := k.agree(ctx, who, a, nil, ip, requestID)
	if err != nil {
		return "", err
	}
	return a.back("code", secret)
}

// agree makes a code.
func (k *Keeper) agree(ctx context.Context, who gatehouse.Session, a Authorization, bound *Bound, ip, requestID string) (string, error) {
	session, word, err := k.delegate(ctx, who, access.Delegation{Client: a.Client.Name, ClientIP: ip, IP: ip, RequestID: requestID})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(code{Client: digest(a.Client.id), RedirectURI: a.RedirectURI, Challenge: a.Challenge, Session: session, Bound: bound, Word: word})
	if err != nil {
		return "", err
	}
	secret := rand.Text()
	if err := k.d.Records.Put(ctx, kindCode, secret, "", body, k.d.Now().Add(codeLasts)); err != nil {
		return "", errors.Join(fmt.Errorf("authorization code: %w", err), k.d.Broker.SignOut(context.WithoutCancel(ctx), session))
	}
	return secret, nil
}

// Disagree is a person's word that it may not.
func (k *Keeper) Disagree(ctx context.Context, who gatehouse.Session, a Authorization, ip, requestID string) (string, error) {
	err := k.d.Broker.Decline(ctx, who, access.Delegation{Client: a.Client.Name, ClientIP: ip, IP: ip, RequestID: requestID})
	if err != nil {
		return "", err
	}
	return a.back("error", "access_denied")
}

// back is the address that takes one word to the program.
func (a Authorization) back(name, value string) (string, error) {
	u, err := loopback(a.RedirectURI)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set(name, value)
	if a.State != "" {
		q.Set("state", a.State)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// RedeemCode exchanges an authorization code, once. One that comes back ends
// the sign-in that it brought (RFC 6749 §4.1.2).
// Errors: a Refusal with invalid_grant; ErrUnavailable.
func (k *Keeper) RedeemCode(ctx context.Context, c Client, secret gatehouse.Secret, redirectURI, proof, ip, requestID string) (Tokens, error) {
	given, err := k.take(ctx, c.id, secret, redirectURI, proof, ip, requestID)
	if err == nil && given.Bound != nil {
		err = errors.Join(refuse("invalid_grant", "this code is of another kind"), k.d.Broker.SignOut(ctx, given.Session))
	}
	if err != nil {
		return Tokens{}, err
	}
	return k.redeemed(ctx, given, secret, ip, requestID)
}

// take takes a code, for whoever can prove that they asked for it.
func (k *Keeper) take(ctx context.Context, client string, secret gatehouse.Secret, redirectURI, proof, ip, requestID string) (*code, error) {
	if !random.MatchString(string(secret)) {
		return nil, refuse("invalid_grant", "this code is not one of ours")
	}
	body, err := k.d.Records.Take(ctx, kindCode, string(secret))
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, errors.Join(refuse("invalid_grant", "the code has expired or was used"), k.replayed(ctx, string(secret), ip, requestID))
	}
	if err != nil {
		return nil, fmt.Errorf("authorization code: %w", err)
	}
	given := new(code)
	if err := json.Unmarshal(body, given); err != nil {
		return nil, fmt.Errorf("authorization code: %w", err)
	}
	sum := sha256.Sum256([]byte(proof))
	switch {
	case subtle.ConstantTimeCompare(given.Client, digest(client)) != 1:
		err = refuse("invalid_grant", "this code is another client's")
	case given.RedirectURI != redirectURI:
		err = refuse("invalid_grant", "redirectUri is not the one of the request")
	case !verifier.MatchString(proof) || subtle.ConstantTimeCompare([]byte(given.Challenge), []byte(text.EncodeToString(sum[:]))) != 1:
		err = refuse("invalid_grant", "codeVerifier does not fit the request")
	}
	if err != nil {
		return nil, errors.Join(err, k.d.Broker.SignOut(ctx, given.Session))
	}
	return given, nil
}

// redeemed opens the sign-in of a code that was taken.
func (k *Keeper) redeemed(ctx context.Context, given *code, secret gatehouse.Secret, ip, requestID string) (Tokens, error) {
	name, tokens, err := k.begin(ctx, given.Session, given.Client, given.Bound, given.Word)
	if err != nil {
		return Tokens{}, err
	}
	in, body, err := k.load(ctx, name)
	if err == nil {
		_, _, err = k.moved(ctx, name, in, body, ip, requestID)
	}
	if err != nil {
		return Tokens{}, err
	}
	// Under the hash of the code, the name of what it brought: whoever reads
	// the database cannot make a token of that without the key.
	return tokens, k.d.Records.Put(ctx, kindSpent, string(secret), "", []byte(name), k.d.Now().Add(codeLasts))
}

// replayed ends what a code has brought before.
func (k *Keeper) replayed(ctx context.Context, secret, ip, requestID string) error {
	name, err := k.d.Records.Take(ctx, kindSpent, secret)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	in, _, err := k.load(ctx, string(name))
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return k.copied(ctx, string(name), in, ip, requestID)
}
