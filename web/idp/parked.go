package idp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/saml"
	"gatehouse/web/inbound"
)

// continuePath is where a parked request goes on.
const continuePath = "/saml/continue"

// parkedFor is how long a person has to sign in.
const parkedFor = 10 * time.Minute

// recordKind is what parked requests are called in the store.
const recordKind = "saml-request"

// handles is the shape of rand.Text.
var handles = regexp.MustCompile(`^[A-Z2-7]{26,64}$`)

// parked is a request that waits until somebody is signed in.
type parked struct {
	Request saml.Request `json:"request"`
	Browser string       `json:"browser"`         // what the cookie of the browser that brought it holds
	At      time.Time    `json:"at"`              // when it came
	Asked   bool         `json:"asked,omitempty"` // the person was sent to prove again who they are
}

func (p *parked) expires() time.Time { return p.At.Add(parkedFor) }

// park keeps req and sends the browser to where it goes on. Each request has
// a handle and a cookie of its own, so that several tabs do not mix.
func (v *visitor) park(w http.ResponseWriter, r *http.Request, req saml.Request) error {
	if err := v.room.take(inbound.IP(r), v.now()); err != nil {
		return fmt.Errorf("saml door: park request: %w", err)
	}
	handle := rand.Text()
	p := &parked{Request: req, Browser: rand.Text(), At: v.now()}
	if err := v.keep(r.Context(), handle, p); err != nil {
		return err
	}
	http.SetCookie(w, v.cookie(handle, p.Browser, int(parkedFor/time.Second)))
	redirect(w, pathOf(handle))
	return nil
}

func (v *visitor) keep(ctx context.Context, handle string, p *parked) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("saml door: parked request: %w", err)
	}
	if err := v.records.Put(ctx, recordKind, handle, "", body, p.expires()); err != nil {
		return fmt.Errorf("saml door: park request: %w", err)
	}
	return nil
}

// keepAfterAll keeps p even when the browser has gone: it may come back.
func (v *visitor) keepAfterAll(ctx context.Context, handle string, p *parked) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return v.keep(ctx, handle, p)
}

func pathOf(handle string) string {
	return continuePath + "?" + url.Values{"request": {handle}}.Encode()
}

// cookie binds the request under handle to a browser: a link to somebody
// else's parked request signs nobody in. Lax lets it come along when the
// provider's site sends the browser here.
func (d *Door) cookie(handle, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: d.cookieName(handle), Value: value, MaxAge: maxAge,
		Path: "/", HttpOnly: true, Secure: d.secure, SameSite: http.SameSiteLaxMode,
	}
}

func (d *Door) cookieName(handle string) string {
	name := "gatehouse-saml-" + handle[:8]
	if d.secure {
		// The prefix keeps other hosts of the domain from setting it
		// (RFC 6265bis §4.1.3.2).
		return "__Host-" + name
	}
	return name
}

// resume goes on with a parked request: to the sign-in page, or to the answer.
func (v *visitor) resume(w http.ResponseWriter, r *http.Request) error {
	handle := r.URL.Query().Get("request")
	p, err := v.find(r, handle)
	if err != nil {
		return err
	}
	session, err := v.pages.Session(r)
	if err != nil && !errors.Is(err, gatehouse.ErrNoSession) {
		return err
	}
	signedIn := err == nil
	// ForceAuthn wants a proof that is younger than the request (saml-core §3.4.1).
	fresh := !p.Request.ForceAuthn || session.ProvedAt.After(p.At)
	suitable := suits(session, p.Request)
	switch {
	case signedIn && fresh && suitable:
		return v.finish(w, r, handle, p, session)
	case p.Request.IsPassive:
		return v.giveUp(w, r, handle, p, saml.StatusNoPassive, "nobody is signed in, and nothing may be shown")
	case signedIn && fresh && (p.Asked || !slices.Contains(p.Request.Contexts, saml.PasswordProtectedTransport)):
		// A password is all that somebody signed in can be asked for.
		return v.giveUp(w, r, handle, p, saml.StatusNoAuthnContext, "they proved who they are in another way")
	case signedIn && p.Asked:
		// They have been there and came back without a new proof.
		return v.giveUp(w, r, handle, p, saml.StatusAuthnFailed, "no new proof was given")
	}
	return v.signIn(w, r, handle, p, signedIn || p.Request.ForceAuthn)
}

// find reads the parked request that r names, for the browser that brought it.
func (v *visitor) find(r *http.Request, handle string) (*parked, error) {
	if !handles.MatchString(handle) {
		return nil, gone("no handle")
	}
	body, err := v.records.Get(r.Context(), recordKind, handle)
	if err != nil {
		return nil, goneIfNotFound(err)
	}
	p := new(parked)
	if err := json.Unmarshal(body, p); err != nil {
		return nil, fmt.Errorf("saml door: parked request: %w", err)
	}
	c, err := r.Cookie(v.cookieName(handle))
	if err != nil || subtle.ConstantTimeCompare([]byte(c.Value), []byte(p.Browser)) != 1 {
		return nil, gone("parked by another browser")
	}
	return p, nil
}

func gone(cause string) error {
	return invalid(cause, "sign-in", "This sign-in was answered already, took longer than ten minutes, or began in another browser. Start again from the application.")
}

func goneIfNotFound(err error) error {
	if errors.Is(err, gatehouse.ErrNotFound) {
		return gone("no such parked request")
	}
	return fmt.Errorf("saml door: parked request: %w", err)
}

// signIn leads to the sign-in page and from there back to here.
func (v *visitor) signIn(w http.ResponseWriter, r *http.Request, handle string, p *parked, again bool) error {
	query := url.Values{"next": {pathOf(handle)}}
	if again {
		p.Asked = true
		if err := v.keep(r.Context(), handle, p); err != nil {
			return err
		}
		query.Set("again", "1")
	}
	redirect(w, "/login?"+query.Encode())
	return nil
}

// once keeps req from being answered twice, by whichever binding it comes
// again: its ID is noted with the grant, until nobody takes it any more and
// whatever was parked of it is gone.
func once(req saml.Request) gatehouse.Once {
	if req.ID == "" {
		return gatehouse.Once{} // it began here
	}
	return gatehouse.Once{Key: "saml request " + req.Provider + " " + req.ID, Until: req.Until.Add(parkedFor)}
}

// finish answers a parked request, once. When nothing could be answered, it
// waits again, so that a reload may do.
func (v *visitor) finish(w http.ResponseWriter, r *http.Request, handle string, p *parked, session gatehouse.Session) error {
	if err := v.take(r.Context(), handle); err != nil {
		return err
	}
	post, err := v.grant(r, p.Request, session)
	var told *saml.StatusError
	if err != nil && !errors.As(err, &told) && !errors.Is(err, gatehouse.ErrTwice) {
		return errors.Join(err, v.keepAfterAll(r.Context(), handle, p))
	}
	http.SetCookie(w, v.cookie(handle, "", -1))
	if err != nil {
		return err
	}
	return v.pages.Post(w, r, post)
}

// giveUp tells the provider that its request cannot be granted.
func (v *visitor) giveUp(w http.ResponseWriter, r *http.Request, handle string, p *parked, detail, why string) error {
	if err := v.take(r.Context(), handle); err != nil {
		return err
	}
	http.SetCookie(w, v.cookie(handle, "", -1))
	return &saml.StatusError{Request: p.Request, Why: why, Status: saml.Status{Code: saml.StatusResponder, Detail: detail}}
}

// take removes the request, so that nobody answers it again.
func (v *visitor) take(ctx context.Context, handle string) error {
	if _, err := v.records.Take(ctx, recordKind, handle); err != nil {
		return goneIfNotFound(err)
	}
	return nil
}
