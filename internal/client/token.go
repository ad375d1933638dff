package client

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"gatehouse"
	"gatehouse/internal/export"
)

// cached is the file in which the AWS CLI and the SDKs keep the token of an
// sso-session. They read and write these keys and no others.
type cached struct {
	StartURL              string    `json:"startUrl"`
	Region                string    `json:"region"`
	AccessToken           string    `json:"accessToken"`
	ExpiresAt             time.Time `json:"expiresAt"`
	ClientID              string    `json:"clientId"`
	ClientSecret          string    `json:"clientSecret"`
	RegistrationExpiresAt time.Time `json:"registrationExpiresAt"`
	RefreshToken          string    `json:"refreshToken"`
}

// tokenFile is that file: it is named after the session (AWS SDKs and Tools
// Reference Guide, "IAM Identity Center credential provider").
func (l *Laptop) tokenFile() string {
	sum := sha1.Sum([]byte(export.SessionName))
	return filepath.Join(l.Home, ".aws", "sso", "cache", hex.EncodeToString(sum[:])+".json")
}

func (l *Laptop) readToken() (cached, error) {
	var c cached
	text, err := os.ReadFile(l.tokenFile())
	if errors.Is(err, fs.ErrNotExist) {
		return c, ErrSignIn
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%s cannot be read; try: gatehouse login", l.tokenFile())
	}
	return c, nil
}

func (l *Laptop) writeToken(c cached) error {
	c.ExpiresAt, c.RegistrationExpiresAt = c.ExpiresAt.UTC().Truncate(time.Second), c.RegistrationExpiresAt.UTC().Truncate(time.Second)
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return write(l.tokenFile(), text)
}

// enough is how long a token must still be good.
const enough = 5 * time.Minute

// token is a good access token: the cached one, or the next.
func (l *Laptop) token(ctx context.Context, portal string) (gatehouse.Secret, error) {
	c, err := l.readToken()
	if err != nil {
		return "", err
	}
	if l.Now().Before(c.ExpiresAt.Add(-enough)) {
		return gatehouse.Secret(c.AccessToken), nil
	}
	return l.refresh(ctx, portal, "")
}

// refresh exchanges the refresh token, in one process of however many there
// are: when the file has a good access token by then, somebody was quicker.
// untaken is one that the portal did not take, whatever its age; or none.
func (l *Laptop) refresh(ctx context.Context, portal, untaken string) (gatehouse.Secret, error) {
	unlock, err := l.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	c, err := l.readToken()
	if err != nil {
		return "", err
	}
	if c.AccessToken != untaken && l.Now().Before(c.ExpiresAt.Add(-enough)) {
		return gatehouse.Secret(c.AccessToken), nil
	}
	next, err := l.createToken(ctx, portal, c, map[string]string{"grantType": "refresh_token", "refreshToken": c.RefreshToken})
	var no *refused
	switch {
	case errors.As(err, &no) && (no.code == "invalid_grant" || no.code == "invalid_client"):
		return "", ErrSignIn
	case err != nil && l.Now().Before(c.ExpiresAt):
		return gatehouse.Secret(c.AccessToken), nil // still good for a little
	case err != nil:
		return "", err
	}
	return gatehouse.Secret(next.AccessToken), l.writeToken(next)
}

// createToken asks for tokens with a grant, for the client in c.
func (l *Laptop) createToken(ctx context.Context, portal string, c cached, grant map[string]string) (cached, error) {
	grant["clientId"], grant["clientSecret"] = c.ClientID, c.ClientSecret
	var out struct {
		AccessToken, RefreshToken string
		ExpiresIn                 int
	}
	if err := l.call(ctx, http.MethodPost, portal+"/oidc/token", grant, &out, ""); err != nil {
		return c, err
	}
	c.AccessToken, c.RefreshToken = out.AccessToken, out.RefreshToken
	c.ExpiresAt = l.Now().Add(time.Duration(out.ExpiresIn) * time.Second)
	return c, nil
}

// How long a lock is waited for, and after what time it is one that a process
// left behind that was ended.
const (
	lockWait  = 30 * time.Second
	lockStale = 20 * time.Second
	lockPause = 20 * time.Millisecond
)

// lock keeps other processes from refreshing. It is a file, which works the
// same on every system; two refreshes at once would do no harm either, since
// the portal answers both alike.
func (l *Laptop) lock(ctx context.Context) (unlock func(), err error) {
	path := l.tokenFile() + ".lock"
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			return func() { _ = os.Remove(path) }, f.Close()
		}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrPermission) { // Windows says so of one that is just being removed
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > lockStale {
			_ = os.Remove(path)
			continue
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another process holds %s", path)
		case <-time.After(lockPause):
		}
	}
}

// authorized asks for something with the token. One that is refused before
// its time is exchanged once.
func (l *Laptop) authorized(ctx context.Context, portal, path string, out any) error {
	token, err := l.token(ctx, portal)
	if err != nil {
		return err
	}
	err = l.call(ctx, http.MethodGet, portal+path, nil, out, token)
	var no *refused
	if !errors.As(err, &no) || no.status != http.StatusUnauthorized {
		return err
	}
	if token, err = l.refresh(ctx, portal, string(token)); err != nil {
		return err
	}
	return l.call(ctx, http.MethodGet, portal+path, nil, out, token)
}

// Logout ends the sign-in at the portal, and forgets the token in any case.
func (l *Laptop) Logout(ctx context.Context, portal string) error {
	c, err := l.readToken()
	if err != nil {
		return err
	}
	err = l.call(ctx, http.MethodPost, portal+"/sso/logout", nil, nil, gatehouse.Secret(c.AccessToken))
	var no *refused
	if errors.As(err, &no) && no.status == http.StatusUnauthorized {
		err = nil // it was over already
	}
	return errors.Join(os.Remove(l.tokenFile()), err)
}
