package idp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/saml"
	"gatehouse/web/inbound"
)

// A sign-out goes from provider to provider, as the one browser that has all
// the cookies. What is left to do lies in the store under a handle; logoutPath
// with that handle does the next thing. Whoever comes back there without an
// answer of the provider they were sent to (by the Back button, by the link on
// the page, by a reload) goes on to the next one, and the provider counts as
// not told. Nobody waits for anybody: our own session ends first.

// logoutPath is where a sign-out goes on.
const logoutPath = "/saml/logout"

// What these are called in the store.
const (
	leavingKind     = "saml-logout"
	participantKind = "saml-participant"
)

// leaving is a sign-out under way.
type leaving struct {
	Browser string              `json:"browser"` // what the cookie of the browser that began it holds
	At      time.Time           `json:"at"`      // when it began
	Request *saml.LogoutRequest `json:"request"` // of the provider that began it; nil: our own page did
	Begun   bool                `json:"begun"`   // the sessions were ended, and who is to be told is known
	Status  saml.Status         `json:"status"`  // of the answer, unless it is plain success
	Waiting []saml.Participant  `json:"waiting"` // to be told
	Asked   *asked              `json:"asked"`   // where the browser was sent; nil: nowhere
	Count   int                 `json:"count"`   // how many were asked
	Partly  bool                `json:"partly"`  // somebody could not be told, or did not say that all is well
}

// asked is a provider that an answer is awaited of.
type asked struct {
	ID       string `json:"id"` // of our request
	Provider string `json:"provider"`
}

// participation is a participant as it is kept: with whose session it is part of.
type participation struct {
	saml.Participant
	Person  string `json:"person"`  // User.Key
	Session string `json:"session"` // Session.ID
}

func participantKey(provider, sessionIndex string) string { return provider + "\x00" + sessionIndex }

// remember notes that a provider is told of s, before it is. A note that is
// there already outlasts s, and reading costs a fraction of writing.
func (d *Door) remember(ctx context.Context, s gatehouse.Session, p saml.Participant) error {
	key := participantKey(p.Provider, p.SessionIndex)
	body, err := json.Marshal(participation{p, s.User.Key(), s.ID})
	if err == nil {
		if noted, err := d.records.Get(ctx, participantKind, key); err == nil && bytes.Equal(noted, body) {
			return nil
		}
		err = d.records.Put(ctx, participantKind, key, s.User.Key(), body, d.now().Add(d.sessionMax))
	}
	if err != nil {
		return fmt.Errorf("saml door: participant: %w", err)
	}
	return nil
}

// participations lists what a person's providers were told, the newest first.
func (d *Door) participations(ctx context.Context, person string) ([]participation, error) {
	records, err := d.records.ListOwner(ctx, participantKind, person)
	if err != nil {
		return nil, fmt.Errorf("saml door: participants: %w", err)
	}
	var list []participation
	for _, r := range records {
		var p participation
		if err := json.Unmarshal(r.Body, &p); err != nil {
			return nil, fmt.Errorf("saml door: participant: %w", err)
		}
		list = append(list, p)
	}
	return list, nil
}

// SignOut begins to tell the providers of s that it has ended, which the
// caller sees to. It says where the browser goes on; empty: nobody is to be told.
func (d *Door) SignOut(w http.ResponseWriter, r *http.Request, s gatehouse.Session) (path string, err error) {
	list, err := d.participations(r.Context(), s.User.Key())
	if err != nil {
		return "", err
	}
	l := &leaving{Begun: true}
	if err := d.dismiss(r.Context(), l, list, []string{s.ID}); err != nil {
		return "", err
	}
	switch {
	case len(l.Waiting) > 0:
		return d.depart(w, r, l)
	case l.Partly:
		return signedOut(l), nil
	}
	return "", nil
}

// dismiss takes the participants of these sessions out of the store, and
// notes in l whom to tell.
func (d *Door) dismiss(ctx context.Context, l *leaving, list []participation, sessions []string) error {
	for _, p := range list {
		if !slices.Contains(sessions, p.Session) {
			continue
		}
		if err := d.records.Forget(ctx, participantKind, participantKey(p.Provider, p.SessionIndex)); err != nil {
			return fmt.Errorf("saml door: participant: %w", err)
		}
		if l.Request != nil && p.Provider == l.Request.Provider {
			continue // it began this
		}
		if sp, ok := d.idp.Provider(p.Provider); ok && sp.LogsOut() {
			l.Waiting = append(l.Waiting, p.Participant)
		} else {
			l.Partly = true
		}
	}
	return nil
}

// depart keeps l and says where it goes on.
func (d *Door) depart(w http.ResponseWriter, r *http.Request, l *leaving) (path string, err error) {
	handle := rand.Text()
	l.Browser, l.At = rand.Text(), d.now()
	if err := d.keepLeaving(r.Context(), handle, l); err != nil {
		return "", err
	}
	http.SetCookie(w, d.cookie(handle, l.Browser, int(parkedFor/time.Second)))
	return logoutPathOf(handle), nil
}

func logoutPathOf(handle string) string {
	return logoutPath + "?" + url.Values{"request": {handle}}.Encode()
}

func (d *Door) keepLeaving(ctx context.Context, handle string, l *leaving) error {
	body, err := json.Marshal(l)
	if err == nil {
		err = d.records.Put(ctx, leavingKind, handle, "", body, l.At.Add(parkedFor))
	}
	if err != nil {
		return fmt.Errorf("saml door: sign-out: %w", err)
	}
	return nil
}

func (d *Door) leavingOf(ctx context.Context, handle string) (*leaving, error) {
	body, err := d.records.Get(ctx, leavingKind, handle)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return nil, over("no such sign-out")
	}
	l := new(leaving)
	if err == nil {
		err = json.Unmarshal(body, l)
	}
	if err != nil {
		return nil, fmt.Errorf("saml door: sign-out: %w", err)
	}
	return l, nil
}

func over(cause string) error {
	return invalid(cause, "sign-out", "This sign-out is over, or it began in another browser. You are signed out here; close the browser to be sure of the rest.")
}

// logoutRedirected and logoutPosted take logout messages.
func (v *visitor) logoutRedirected(w http.ResponseWriter, r *http.Request) error {
	request, response, err := v.idp.ParseLogoutRedirect(r.URL.RawQuery)
	return v.logout(w, r, request, response, err)
}

func (v *visitor) logoutPosted(w http.ResponseWriter, r *http.Request) error {
	form, status := readForm(w, r)
	if status != http.StatusOK {
		return badForm(w, r, status)
	}
	request, response, err := v.idp.ParseLogoutPost(form)
	return v.logout(w, r, request, response, err)
}

// logout goes on by a GET of our own, which brings the cookies that a
// cross-site POST does not.
func (v *visitor) logout(w http.ResponseWriter, r *http.Request, request *saml.LogoutRequest, response *saml.LogoutResponse, err error) error {
	var refused *saml.LogoutError
	switch {
	case errors.As(err, &refused):
		v.log.LogAttrs(r.Context(), slog.LevelInfo, "saml logout refused", slog.Any("err", err), slog.String("request_id", inbound.ID(r)))
		return v.answer(w, r, &leaving{Request: &refused.Request, Status: refused.Status})
	case err != nil:
		return err
	case response != nil:
		return v.confirmed(w, r, response)
	}
	if err := v.room.take(inbound.IP(r), v.now()); err != nil {
		return fmt.Errorf("saml door: sign-out: %w", err)
	}
	path, err := v.depart(w, r, &leaving{Request: request})
	if err != nil {
		return err
	}
	redirect(w, path)
	return nil
}

// ourRequest is the shape of the IDs of our logout requests: the handle, so
// that an answer finds it, and a number.
var ourRequest = regexp.MustCompile(`^_([A-Z2-7]{26,64})\.\d{1,4}$`)

// confirmed notes a provider's answer. Its signature proves who gave it, and
// the ID to what; the browser is proved when it goes on.
func (v *visitor) confirmed(w http.ResponseWriter, r *http.Request, response *saml.LogoutResponse) error {
	id := ourRequest.FindStringSubmatch(response.InResponseTo)
	if id == nil {
		return over("a logout response to a request that is not ours")
	}
	l, err := v.leavingOf(r.Context(), id[1])
	if err != nil {
		return err
	}
	if l.Asked == nil || l.Asked.ID != response.InResponseTo || l.Asked.Provider != response.Provider {
		return over("a logout response that nobody waits for")
	}
	l.Asked, l.Partly = nil, l.Partly || !response.Success
	if err := v.keepLeaving(r.Context(), id[1], l); err != nil {
		return err
	}
	redirect(w, logoutPathOf(id[1]))
	return nil
}

// goOn does the next thing of a sign-out: it ends the sessions, sends the
// browser to a provider, or is done.
func (v *visitor) goOn(w http.ResponseWriter, r *http.Request) error {
	handle := r.URL.Query().Get("request")
	if !handles.MatchString(handle) {
		return over("no handle")
	}
	l, err := v.leavingOf(r.Context(), handle)
	if err != nil {
		return err
	}
	c, err := r.Cookie(v.cookieName(handle))
	if err != nil || subtle.ConstantTimeCompare([]byte(c.Value), []byte(l.Browser)) != 1 {
		return over("a sign-out of another browser")
	}
	if !l.Begun {
		if err := v.end(w, r, l); err != nil {
			return err
		}
	}
	if l.Asked != nil { // back without an answer
		l.Asked, l.Partly = nil, true
	}
	return v.tellNext(w, r, handle, l)
}

// tellNext sends the browser to the next provider that can be told; when
// there is none, to where the sign-out ends.
func (v *visitor) tellNext(w http.ResponseWriter, r *http.Request, handle string, l *leaving) error {
	for len(l.Waiting) > 0 {
		next := l.Waiting[0]
		l.Waiting, l.Count = l.Waiting[1:], l.Count+1
		id := "_" + handle + "." + strconv.Itoa(l.Count)
		d, err := v.idp.AskToLogOut(r.Context(), next, id)
		if errors.Is(err, gatehouse.ErrNotFound) { // its metadata has changed meanwhile
			l.Partly = true
			continue
		}
		if err != nil {
			return err
		}
		l.Asked = &asked{id, next.Provider}
		if err := v.keepLeaving(r.Context(), handle, l); err != nil {
			return err
		}
		return v.dispatch(w, r, d, next.Provider, logoutPathOf(handle))
	}
	if err := v.records.Forget(r.Context(), leavingKind, handle); err != nil {
		return fmt.Errorf("saml door: sign-out: %w", err)
	}
	http.SetCookie(w, v.cookie(handle, "", -1))
	return v.answer(w, r, l)
}

// dispatch sends the browser to a provider with a message.
func (v *visitor) dispatch(w http.ResponseWriter, r *http.Request, d saml.Dispatch, provider, skip string) error {
	name := provider
	if sp, ok := v.idp.Provider(provider); ok {
		name = sp.Name
	}
	return v.pages.Dispatch(w, r, access.Dispatch{To: name, URL: d.URL, Field: d.Field, Message: d.Message, RelayState: d.RelayState, Skip: skip})
}

// answer tells the provider that began a sign-out how it ended, or the person
// when there is none that wants to know. The first level speaks of our own
// session; that others may have stayed is PartialLogout (saml-core §3.7.3.2).
func (v *visitor) answer(w http.ResponseWriter, r *http.Request, l *leaving) error {
	if l.Request == nil || l.Request.Asynchronous {
		redirect(w, signedOut(l))
		return nil
	}
	status := l.Status
	if status.Code == "" {
		status.Code = saml.StatusSuccess
		if l.Partly {
			status.Detail = saml.StatusPartialLogout
		}
	}
	d, err := v.idp.AnswerLogout(r.Context(), *l.Request, status)
	if errors.Is(err, gatehouse.ErrNotFound) { // it has no place for answers
		redirect(w, signedOut(l))
		return nil
	}
	if err != nil {
		return err
	}
	return v.dispatch(w, r, d, l.Request.Provider, "")
}

// signedOut is the page at the end of a sign-out.
func signedOut(l *leaving) string {
	if l.Partly {
		return "/login?said=partly"
	}
	return "/login?said=out"
}

// end ends the sessions that a provider's request means: those in which it
// was told that very name, and that session if it gives one. Where the name
// fits nothing, nothing ends, whoever is signed in here.
func (v *visitor) end(w http.ResponseWriter, r *http.Request, l *leaving) error {
	l.Begun = true
	people, err := v.suspects(r, *l.Request)
	if err != nil {
		return err
	}
	found := false
	for _, person := range people {
		list, err := v.participations(r.Context(), person)
		if err != nil {
			return err
		}
		var sessions []string
		for _, p := range list {
			if l.Request.Matches(p.Participant) {
				sessions = append(sessions, p.Session)
			}
		}
		if len(sessions) == 0 {
			continue
		}
		found = true
		if err := v.pages.SignOut(w, r, person, sessions); err != nil {
			return err
		}
		if err := v.dismiss(r.Context(), l, list, sessions); err != nil {
			return err
		}
	}
	if !found && len(people) > 0 {
		l.Status = saml.Status{Code: saml.StatusRequester, Detail: saml.StatusUnknownPrincipal}
	}
	return nil // nobody at all: whoever it was is signed out already
}

// suspects are the people whom a request may be about: who is signed in in
// this browser, and whose sessions it gives.
func (v *visitor) suspects(r *http.Request, request saml.LogoutRequest) ([]string, error) {
	var people []string
	session, err := v.pages.Session(r)
	if err == nil {
		people = append(people, session.User.Key())
	} else if !errors.Is(err, gatehouse.ErrNoSession) {
		return nil, err
	}
	for _, index := range request.SessionIndexes {
		body, err := v.records.Get(r.Context(), participantKind, participantKey(request.Provider, index))
		if errors.Is(err, gatehouse.ErrNotFound) {
			continue
		}
		var p participation
		if err == nil {
			err = json.Unmarshal(body, &p)
		}
		if err != nil {
			return nil, fmt.Errorf("saml door: participant: %w", err)
		}
		if !slices.Contains(people, p.Person) {
			people = append(people, p.Person)
		}
	}
	return people, nil
}
