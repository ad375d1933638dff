package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"gatehouse"
)

// recordKind is what sessions are called in the store.
const recordKind = "session"

// touchEvery is how often, at most, a busy session is written: what idles is
// known to the minute, and a page costs no write.
const touchEvery = time.Minute

// clockSkew is how far the clocks of two replicas may be apart: as far as the
// store believes what they write.
const clockSkew = 5 * time.Minute

// cookieValue is the shape of rand.Text. What has another shape was not made
// by us, and the store is not asked for it.
var cookieValue = regexp.MustCompile(`^[A-Z2-7]{26,64}$`)

// visit is a session as the store keeps it.
type visit struct {
	Session gatehouse.Session `json:"session"`
	Began   time.Time         `json:"began"` // sign-in; the absolute limit counts from here
	Seen    time.Time         `json:"seen"`  // last request, to the minute; the idle limit counts from here
	Agent   agent             `json:"agent"` // what the person signed in with; records from before have none
}

// keeper keeps sessions in the store. It is a sessions.Store: the cookie
// holds the record's key and nothing else.
type keeper struct {
	limits  Session
	secure  bool
	name    string
	records Records
	now     func() time.Time
	memory  visits
}

var _ sessions.Store = (*keeper)(nil)

func newKeeper(limits Session, secure bool, records Records, now func() time.Time) *keeper {
	k := &keeper{limits: limits, secure: secure, name: "gatehouse", records: records, now: now, memory: newVisits()}
	if secure {
		// The prefix binds the cookie to this host, https and Path=/ (RFC 6265bis §4.1.3.2).
		k.name = "__Host-gatehouse"
	}
	return k
}

// EndSessions ends all sessions of a person's in browsers, whatever replica
// they are used at, and says how many there were.
func EndSessions(ctx context.Context, r Records, person string) (int, error) {
	return r.ForgetOwner(ctx, recordKind, person)
}

// visitKey is where a session's Values hold the visit.
type visitKey struct{}

// Get implements sessions.Store: the session, read once per request.
func (k *keeper) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(k, name)
}

// New implements sessions.Store: the session that the request's cookie
// names, or a new one when there is none that is still good. The error is
// only ever that the store did not answer.
func (k *keeper) New(r *http.Request, name string) (*sessions.Session, error) {
	s := sessions.NewSession(k, name)
	s.IsNew = true
	// No Max-Age: the browser drops the cookie with its own session, and the
	// limits are the server's to enforce.
	s.Options = &sessions.Options{Path: "/", Secure: k.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	c, err := r.Cookie(name)
	if err != nil || !cookieValue.MatchString(c.Value) {
		return s, nil
	}
	v, err := k.load(r.Context(), c.Value)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.ID, s.IsNew = c.Value, false
	s.Values[visitKey{}] = v
	return s, nil
}

// load reads a visit that is within its limits; otherwise ErrNotFound.
func (k *keeper) load(ctx context.Context, id string) (*visit, error) {
	body, err := k.records.Get(ctx, recordKind, id)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	v, err := k.memory.visit(id, body)
	if err != nil {
		return nil, fmt.Errorf("session record: %v: %w", err, gatehouse.ErrNotFound)
	}
	// A record from the future is no record: a clock or a hand was wrong.
	if now := k.now(); !now.Before(k.until(v)) || v.Began.After(now.Add(clockSkew)) {
		return nil, fmt.Errorf("session: over: %w", gatehouse.ErrNotFound)
	}
	return v, nil
}

// until is when v ends unless somebody comes back.
func (k *keeper) until(v *visit) time.Time {
	idle := v.Seen.Add(k.limits.Idle)
	if end := k.end(v); end.Before(idle) {
		return end
	}
	return idle
}

// end is when v ends whatever happens.
func (k *keeper) end(v *visit) time.Time { return v.Began.Add(k.limits.Max) }

// Save implements sessions.Store. A negative MaxAge ends the session; one
// without an ID gets a new record and a new cookie; any other is written
// again under the cookie that it has.
func (k *keeper) Save(r *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	if s.Options.MaxAge < 0 {
		http.SetCookie(w, sessions.NewCookie(s.Name(), "", s.Options))
		if s.ID == "" {
			return nil
		}
		return k.records.Forget(r.Context(), recordKind, s.ID)
	}
	v, ok := s.Values[visitKey{}].(*visit)
	if !ok {
		return errors.New("session: nothing to save")
	}
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	if s.ID != "" {
		return k.rewrite(r.Context(), s.ID, body, k.until(v))
	}
	s.ID = rand.Text()
	if err := k.records.Put(r.Context(), recordKind, s.ID, v.Session.User.Key(), body, k.until(v)); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	http.SetCookie(w, sessions.NewCookie(s.Name(), s.ID, s.Options))
	return nil
}

// rewrite never brings back a session that was ended meanwhile.
func (k *keeper) rewrite(ctx context.Context, id string, body []byte, until time.Time) error {
	err := k.records.Replace(ctx, recordKind, id, body)
	if err == nil {
		err = k.records.Touch(ctx, recordKind, id, until)
	}
	if errors.Is(err, gatehouse.ErrNotFound) {
		return fmt.Errorf("session: ended meanwhile: %w", gatehouse.ErrNoSession)
	}
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	return nil
}

// begin makes a session under a new name, and forgets the one that the
// browser came with: a name that was known before the sign-in is worth
// nothing after it.
func (k *keeper) begin(w http.ResponseWriter, r *http.Request, who gatehouse.Session) error {
	s, err := k.Get(r, k.name)
	if err != nil {
		return err
	}
	old := s.ID
	now := k.now()
	s.ID, s.Values[visitKey{}] = "", &visit{Session: who, Began: now, Seen: now, Agent: agentOf(r.UserAgent())}
	if err := s.Save(r, w); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	return k.records.Forget(r.Context(), recordKind, old)
}

// finish ends the browser's session, if it has one.
func (k *keeper) finish(w http.ResponseWriter, r *http.Request) error {
	s, err := k.Get(r, k.name)
	s.Options.MaxAge = -1
	if err != nil { // the record is out of reach; the cookie is not
		http.SetCookie(w, sessions.NewCookie(s.Name(), "", s.Options))
		return err
	}
	return s.Save(r, w)
}

// current is the visit that the request belongs to, or ErrNoSession.
func (k *keeper) current(r *http.Request) (*visit, error) {
	s, err := k.Get(r, k.name)
	if err != nil {
		return nil, err
	}
	v, ok := s.Values[visitKey{}].(*visit)
	if !ok {
		return nil, gatehouse.ErrNoSession
	}
	return v, nil
}

// keep writes v back when it has been a minute, or when the person was read
// again.
func (k *keeper) keep(w http.ResponseWriter, r *http.Request, v *visit, changed bool) error {
	now := k.now()
	if !changed && now.Sub(v.Seen) < touchEvery {
		return nil
	}
	v.Seen = now
	s, err := k.Get(r, k.name)
	if err != nil {
		return err
	}
	return s.Save(r, w)
}

// begin opens a session in this browser. Where its person has more of them
// than limits.sessions_per_person, those end that idled longest: whoever is
// here is not the one to be turned away. That they could not be looked for is
// logged and no more, since the next sign-in does.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, who gatehouse.Session) error {
	if err := s.sessions.begin(w, r, who); err != nil {
		return err
	}
	over, err := s.deps.Records.Trim(r.Context(), recordKind, who.User.Key(), s.cfg.Limits.SessionsPerPerson)
	if err != nil {
		s.note(r, "sessions beyond limits.sessions_per_person not ended", err)
	}
	for _, record := range over {
		var v visit
		if json.Unmarshal(record.Body, &v) != nil {
			continue
		}
		s.note(r, "session ended", errTooMany)
		if err := s.deps.Broker.SignOut(r.Context(), v.Session); err != nil {
			s.note(r, "sign-out not recorded", err)
		}
	}
	return nil
}

var errTooMany = errors.New("its person has more than limits.sessions_per_person")

// Session is who is signed in in this browser, or ErrNoSession.
func (s *Server) Session(r *http.Request) (gatehouse.Session, error) {
	v, err := s.sessions.current(r)
	if err != nil {
		return gatehouse.Session{}, err
	}
	factsFrom(r.Context()).user = v.Session.User.Username
	return v.Session, nil
}

// signedIn serves p to whoever is signed in, and leads everybody else to the
// sign-in page and back.
func (s *Server) signedIn(p func(http.ResponseWriter, *http.Request, *visit) error) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		v, err := s.sessions.current(r)
		if err == nil {
			factsFrom(r.Context()).user = v.Session.User.Username
			err = s.keep(w, r, v, false)
		}
		if err == nil {
			err = p(w, r, v)
		}
		if !overs(err) {
			return err
		}
		if err := s.sessions.finish(w, r); err != nil {
			return err
		}
		if wantsJSON(r) {
			return gatehouse.ErrNoSession
		}
		redirect(w, loginPath(pathBack(r)))
		return nil
	}
}

// keep writes v back when that is due. That the store takes no writes is
// logged and no more: running sessions outlive a full disk.
func (s *Server) keep(w http.ResponseWriter, r *http.Request, v *visit, changed bool) error {
	err := s.sessions.keep(w, r, v, changed)
	if err != nil && !errors.Is(err, gatehouse.ErrNoSession) {
		s.note(r, "session not kept", err)
		return nil
	}
	return err
}

// backNames are the wishes that a form may hold: of a role's page, of the page
// of several, and of a program that asks for a sign-in.
var backNames = []string{"role", "region", "duration", "scope", "profile", "line", "download",
	"user_code", "client_id", "redirect_uri", "state", "response_type", "code_challenge", "code_challenge_method", "destination"}

// pathBack is where to return after a sign-in: the page itself, or the page
// whose form was sent, with the wishes that it held, as far as they fit.
func pathBack(r *http.Request) string {
	if r.Method != http.MethodPost {
		return r.URL.RequestURI()
	}
	back := r.URL.Path
	if readForm(r) != nil {
		return back
	}
	for n := len(backNames); n > 0; n-- {
		if q := kept(r.PostForm, backNames[:n]...); q != "" && len(back)+1+len(q) <= longestNext {
			return back + "?" + q
		}
	}
	return back
}

// overs reports whether err means that the session is over: never begun,
// ended elsewhere, or its person gone from the directory or barred there.
func overs(err error) bool {
	return errors.Is(err, gatehouse.ErrNoSession) || errors.Is(err, gatehouse.ErrUnknownPerson) ||
		errors.Is(err, gatehouse.ErrAccountDisabled) || errors.Is(err, gatehouse.ErrAccountExpired)
}

// awayFor is how long pages believe that a directory is away that did not
// answer: whoever is signed in waits for it once, not at every page. A
// hand-out always asks.
const awayFor = 5 * time.Second

// away remembers when directories did not answer.
type away struct{ since sync.Map } // name -> time.Time

func (a *away) is(directory string) bool {
	at, known := a.since.Load(directory)
	return known && time.Since(at.(time.Time)) < awayFor // an interval: the monotonic clock
}

func (a *away) note(directory string) { a.since.Store(directory, time.Now()) }

// refresh reads the person again when the Broker finds that due. When the
// directory does not answer, the last known list stays, and stale is true.
func (s *Server) refresh(w http.ResponseWriter, r *http.Request, v *visit) (stale bool, err error) {
	if s.away.is(v.Session.User.Directory) {
		return true, nil
	}
	fresh, err := s.deps.Broker.Refresh(r.Context(), v.Session)
	if errors.Is(err, gatehouse.ErrUnavailable) {
		s.away.note(v.Session.User.Directory)
		s.note(r, "person not read again", err)
		return true, nil
	}
	if err != nil {
		return false, err
	}
	changed := !fresh.User.ReadAt.Equal(v.Session.User.ReadAt)
	v.Session = fresh
	return false, s.keep(w, r, v, changed)
}
