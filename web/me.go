package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// historyPage lists what was handed out to somebody.
type historyPage struct {
	frame
	Alive []event
	Past  []event
	None  bool
	Older string // where the ones before are; empty: there are none
}

// event is one hand-out, or one that was refused.
type event struct {
	At, Until moment
	Account   accountView
	Role      string
	Path      string // of the role's page; empty: it is not theirs any more
	Provider  string // or a service provider
	What      string // "Keys for bash"
	Scope     string
	Lasts     string
	Refused   string // why; empty: it was handed out
	KeyID     string
	IP        string
}

// historyLength is how many entries a page has.
const historyLength = 50

// history shows the record of one's own hand-outs.
func (s *Server) history(w http.ResponseWriter, r *http.Request, v *visit) error {
	if s.deps.Events == nil {
		return gatehouse.ErrNotFound
	}
	before, err := parseBefore(r.URL.Query().Get("before"))
	if err != nil {
		return err
	}
	all, more, err := s.handOuts(r.Context(), v.Session.User.Key(), before)
	if err != nil {
		return err
	}
	p := historyPage{frame: s.frame(v, ""), None: len(all) == 0 && before.IsZero()}
	held, now := s.held(v.Session).rows, s.now()
	for _, e := range all {
		shown := shownEvent(e, held)
		if shown.Refused == "" && e.Expires.After(now) {
			p.Alive = append(p.Alive, shown)
			continue
		}
		p.Past = append(p.Past, shown)
	}
	slices.SortStableFunc(p.Alive, func(a, b event) int { return cmp.Compare(a.Until.ISO, b.Until.ISO) })
	if more && len(all) > 0 {
		p.Older = "/me/history?before=" + all[len(all)-1].Time.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return s.render(w, http.StatusOK, "history.html", p)
}

func parseBefore(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, &gatehouse.Invalid{Field: "before", Why: whyBefore}
	}
	return at, nil
}

// handOuts is a person's hand-outs and refusals before a time, newest first,
// and whether there are more.
func (s *Server) handOuts(ctx context.Context, person string, before time.Time) ([]gatehouse.Event, bool, error) {
	var all []gatehouse.Event
	more := false
	for _, kind := range []gatehouse.EventKind{gatehouse.EventGranted, gatehouse.EventRefused} {
		list, err := s.deps.Events.Events(ctx, gatehouse.EventQuery{Person: person, Kind: kind, Until: before, Limit: historyLength + 1})
		if err != nil {
			return nil, false, fmt.Errorf("history: %w", err)
		}
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b gatehouse.Event) int { return b.Time.Compare(a.Time) })
	if len(all) > historyLength {
		all, more = all[:historyLength], true
	}
	return all, more, nil
}

func shownEvent(e gatehouse.Event, held []account) event {
	shown := event{At: momentOf(e.Time), What: cmp.Or(formWords[e.Form], string(e.Form)), Scope: e.Scope,
		KeyID: e.AccessKeyID, IP: e.IP, Provider: e.Provider}
	if e.Kind == gatehouse.EventRefused {
		shown.Refused = cmp.Or(refusals[e.Reason], refusedSomehow)
	}
	if !e.Expires.IsZero() {
		shown.Until = momentOf(e.Expires)
	}
	if e.Duration > 0 {
		shown.Lasts = inWords(e.Duration)
	}
	if _, name, ok := strings.Cut(e.Role, ":role"); ok {
		shown.Role = name[strings.LastIndex(name, "/")+1:]
	}
	shown.Account = viewOf(gatehouse.Account{ID: e.Account, Name: gatehouse.GroupDigits(e.Account)})
	for _, row := range held {
		if row.ID != e.Account {
			continue
		}
		shown.Account = row.accountView
		if i := slices.IndexFunc(row.Roles, func(r role) bool { return strings.EqualFold(r.Name, shown.Role) }); i >= 0 {
			shown.Path = row.Roles[i].Path
		}
	}
	return shown
}

// sessionsPage lists where somebody is signed in.
type sessionsPage struct {
	frame
	Sessions []signIn
	Programs []programView
	Ended    string // "That sign-in is ended."
	Portal   string // public_url, for lines to paste; empty: programs cannot sign in
}

// signIn is one of a person's sessions.
type signIn struct {
	ID    string
	Began moment
	Seen  moment
	Until moment
	IP    string
	Name  string // of the browser
	How   string
	Here  bool // this browser's own
}

// keptVisit is a visit and the public name of its record.
type keptVisit struct {
	id    string
	visit visit
}

// visitsOf is a person's sessions that are still good, the newest first.
func (s *Server) visitsOf(ctx context.Context, person string) (list []keptVisit, err error) {
	records, err := s.deps.Records.ListOwner(ctx, recordKind, person)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	for _, rec := range records {
		v, err := s.sessions.memory.visit(rec.ID, rec.Body)
		if err != nil || !s.now().Before(s.sessions.until(v)) {
			continue
		}
		list = append(list, keptVisit{rec.ID, *v})
	}
	slices.SortStableFunc(list, func(a, b keptVisit) int { return b.visit.Seen.Compare(a.visit.Seen) })
	return list, nil
}

// signInsPage shows where somebody is signed in.
func (s *Server) signInsPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	all, err := s.visitsOf(r.Context(), v.Session.User.Key())
	if err != nil {
		return err
	}
	p := sessionsPage{frame: s.frame(v, "")}
	for _, k := range all {
		one, here := k.visit, k.visit.Session.ID == v.Session.ID
		p.Sessions = append(p.Sessions, signIn{ID: k.id, Began: momentOf(one.Began), Seen: momentOf(one.Seen), Until: momentOf(s.sessions.until(&one)),
			IP: one.Session.IP, Name: browserName(one.Agent, here), How: strings.Join(one.Session.Methods, ", "), Here: here})
	}
	if p.Programs, err = s.programsOf(r.Context(), v.Session.User.Key()); err != nil {
		return err
	}
	p.Ended = endings[r.URL.Query().Get("said")]
	if s.deps.Programs != nil {
		p.Portal = s.public.String()
	}
	return s.render(w, http.StatusOK, "sessions.html", p)
}

// endSignIn ends one of a person's sessions, or all but this one. Their end is
// on the record, each by itself.
func (s *Server) endSignIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := readForm(r); err != nil {
		return err
	}
	if id := r.PostForm.Get("id"); id != "" {
		return s.endProgram(w, r, v, id)
	}
	if id := r.PostForm.Get("known"); id != "" {
		return s.knowProgram(w, r, v, id)
	}
	wanted, others := r.PostForm.Get("end"), r.PostForm.Get("others") == "1"
	person := v.Session.User.Key()
	all, err := s.visitsOf(r.Context(), person)
	if err != nil {
		return err
	}
	for _, k := range all {
		here := k.visit.Session.ID == v.Session.ID
		if k.id != wanted && (!others || here) {
			continue
		}
		if here {
			return s.logout(w, r)
		}
		if err := s.deps.Records.ForgetID(r.Context(), recordKind, person, k.id); err != nil {
			return fmt.Errorf("sessions: %w", err)
		}
		if err := s.deps.Broker.SignOut(r.Context(), k.visit.Session); err != nil {
			s.note(r, "end of a session not recorded", err)
		}
	}
	to := "/me/sessions?said=one"
	if others {
		to = "/me/sessions?said=others"
	}
	redirect(w, to)
	return nil
}
