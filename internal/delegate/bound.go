package delegate

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"

	"gatehouse"
)

// `aws login` is another dialect: nobody registers, the person chooses one
// role on our page, and the program proves with every request that it has the
// key that it began with (RFC 9449). What it gets are that role's keys and no
// token that lists anything.

// The clients of `aws login` (AWS Sign-In API Reference, CreateOAuth2Token).
const (
	sameDevice  = "arn:aws:signin:::devtools/same-device"
	crossDevice = "arn:aws:signin:::devtools/cross-device"
)

// loginName is what the record and the person's list call such a program.
const loginName = "aws login"

// Bound is a sign-in for one role and one key.
type Bound struct {
	Account string `json:"account"`
	Role    string `json:"role"`
	Key     string `json:"key"` // thumbprint of the program's key
}

// RoleLogin is a program's wish for one role, that a browser brought.
type RoleLogin struct {
	Authorization
	Remote bool // the person carries the answer to the program by hand
}

// ReadRoleLogin reads the query of such a wish. confirmation is the address of
// the page that shows the answer to carry.
// Errors: ErrInvalid.
func ReadRoleLogin(q url.Values, confirmation string) (RoleLogin, error) {
	bad := func(field, why string) (RoleLogin, error) {
		return RoleLogin{}, fmt.Errorf("authorization request: %w", &gatehouse.Invalid{Field: field, Why: why + " Start aws login again."})
	}
	l := RoleLogin{Authorization: Authorization{Client: Client{Name: loginName, id: q.Get("client_id")},
		RedirectURI: q.Get("redirect_uri"), State: q.Get("state"), Challenge: q.Get("code_challenge")}}
	l.Remote = l.Client.id == crossDevice
	switch _, err := loopback(l.RedirectURI); {
	case l.Client.id != sameDevice && l.Client.id != crossDevice:
		return bad("client_id", "The program that sent you here is not known.")
	case l.Remote && l.RedirectURI != confirmation, !l.Remote && err != nil:
		return bad("redirect_uri", "The program wants an answer at a strange address.")
	case q.Get("response_type") != "code":
		return bad("response_type", "The program asks for something that is not given here.")
	case q.Get("code_challenge_method") != "SHA-256" || !challenge.MatchString(l.Challenge):
		return bad("code_challenge", "The program does not protect its request (PKCE with SHA-256).")
	case l.State == "" || len(l.State) > longestState:
		return bad("state", "The program's request is damaged.")
	}
	return l, nil
}

// AgreeRole is a person's word that the program may have one role. What it
// returns is the address that leads back to the program, or else the text that
// the person carries there.
// Errors: ErrNoSession, ErrNotRecorded, ErrUnavailable.
func (k *Keeper) AgreeRole(ctx context.Context, who gatehouse.Session, l RoleLogin, account, role, ip, requestID string) (back, carry string, err error) {
	secret, err := k.agree(ctx, who, l.Authorization, &Bound{Account: account, Role: role}, ip, requestID)
	if err != nil {
		return "", "", err
	}
	if l.Remote {
		return "", base64.StdEncoding.EncodeToString([]byte("state=" + l.State + "&code=" + secret)), nil
	}
	back, err = l.back("code", secret)
	return back, "", err
}

// Role is whose a sign-in for one role is, and which.
type Role struct {
	Session       gatehouse.Session
	Account, Name string
	Refresh       gatehouse.Secret
}

// RedeemRole exchanges a code for a sign-in that only the holder of a key can
// go on with.
// Errors: a Refusal with invalid_grant; ErrUnavailable.
func (k *Keeper) RedeemRole(ctx context.Context, client string, secret gatehouse.Secret, redirectURI, proof, key, ip, requestID string) (Role, error) {
	given, err := k.take(ctx, client, secret, redirectURI, proof, ip, requestID)
	if err == nil && given.Bound == nil {
		err = errors.Join(refuse("invalid_grant", "this code is of another kind"), k.d.Broker.SignOut(ctx, given.Session))
	}
	if err != nil {
		return Role{}, err
	}
	given.Bound.Key = key
	tokens, err := k.redeemed(ctx, given, secret, ip, requestID)
	return Role{Session: given.Session, Account: given.Bound.Account, Name: given.Bound.Role, Refresh: tokens.Refresh}, err
}

// RefreshRole exchanges the refresh token of such a sign-in for the next. A
// token without its key is worth nothing: it ends nothing either.
// Errors: a Refusal with invalid_grant; ErrUnavailable.
func (k *Keeper) RefreshRole(ctx context.Context, client string, refresh gatehouse.Secret, key, ip, requestID string) (Role, error) {
	name, number, ok := k.read(refreshPrefix, refresh)
	if !ok {
		return Role{}, refuse("invalid_grant", "this refresh token is not one of ours")
	}
	for range attempts {
		in, body, err := k.load(ctx, name)
		if err != nil {
			return Role{}, gone(err, "invalid_grant", "the sign-in has ended; sign in again")
		}
		if in.Bound == nil || subtle.ConstantTimeCompare(in.Client, digest(client)) != 1 || subtle.ConstantTimeCompare([]byte(in.Bound.Key), []byte(key)) != 1 {
			return Role{}, refuse("invalid_grant", "this refresh token is another client's")
		}
		if in, body, err = k.moved(ctx, name, in, body, ip, requestID); err != nil {
			return Role{}, gone(err, "invalid_grant", "the sign-in has ended; sign in again")
		}
		tokens, now, err := k.rotate(ctx, name, number, in, body, ip, requestID)
		if err == nil {
			return Role{Session: now.Session, Account: in.Bound.Account, Name: in.Bound.Role, Refresh: tokens.Refresh}, nil
		}
		if !errors.Is(err, gatehouse.ErrConflict) {
			return Role{}, err
		}
	}
	return Role{}, &gatehouse.Unavailable{What: "store", Name: "command-line sign-in", Err: gatehouse.ErrConflict}
}
