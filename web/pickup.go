package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"gatehouse"
	"gatehouse/internal/export"
)

// A pickup brings credentials into a terminal without clipboard or screen. The
// page keeps a wish under a code; a line with the code fetches what it comes
// to, once, within a minute and from the same address. No keys exist before
// that: they are asked for, and put on the record, when they are fetched. And
// the sign-in that made the wish must still be good by then.

const (
	pickupKind = "pickup"
	pickupTime = time.Minute
)

// errPickup: there is no wish under this code, for whatever reason. Who holds
// a code that is not theirs learns nothing about it.
var errPickup = errors.New("no such pickup")

var pickupCode = regexp.MustCompile(`^[A-Z2-7]{26,64}$`)

// parked is a wish as it waits.
type parked struct {
	Session string        `json:"session"` // its public reference
	Person  string        `json:"person"`
	IP      string        `json:"ip"`
	Ask     gatehouse.Ask `json:"ask"`
	Profile string        `json:"profile,omitempty"`
}

// pickupPage shows the line.
type pickupPage struct {
	frame
	Account accountView
	Role    string
	Path    string
	Line    string
	File    bool // it is for the credentials file
	Until   moment
}

// park keeps a wish and shows the line that fetches it.
func (s *Server) park(w http.ResponseWriter, r *http.Request, v *visit, want wish) error {
	e, ok := find(s.held(v.Session).all, want.ask.Account, want.ask.Role)
	if !ok {
		return &notHeld{want.ask.Account, want.ask.Role}
	}
	code, until := rand.Text(), s.now().Add(pickupTime)
	line, err := export.PickupLine(want.ask.Form, s.public.String()+"/pickup", code)
	if err != nil {
		return err
	}
	person := v.Session.User.Key()
	body, err := json.Marshal(parked{Session: v.Session.ID, Person: person, IP: want.ask.IP, Ask: want.ask, Profile: want.profile})
	if err != nil {
		return fmt.Errorf("pickup: %w", err)
	}
	if err := s.deps.Records.Put(r.Context(), pickupKind, code, person, body, until); err != nil {
		return fmt.Errorf("pickup: %w", err)
	}
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, map[string]string{"line": line, "until": until.UTC().Format(time.RFC3339)})
	}
	p := pickupPage{frame: s.frame(nil, ""), Account: viewOf(e.Account), Role: e.Role.Name, Path: rolePath(e.Account.ID, e.Role.Name),
		Line: line, File: want.ask.Form == gatehouse.FormINI, Until: momentOf(until)}
	p.Narrow = true
	return s.render(w, http.StatusOK, "pickup.html", p)
}

// pickup answers a terminal. A refusal is one line that says what happened and
// fails; where the answer is run as a script, that line is a script as well.
func (s *Server) pickup(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	form := export.PickupForm(r.PostForm.Get("as"))
	text, took, err := s.fetch(r, form)
	if err != nil {
		p := s.problem(r, err)
		said, script := export.PickupRefusal(form, notPickedUp(p))
		status := p.Status
		if script {
			// What is run says it; curl -f passes on nothing of an answer that is not good.
			w.Header().Set("X-Gatehouse-Status", http.StatusText(p.Status))
			status = http.StatusOK
		}
		write(w, status, "text/plain; charset=utf-8", []byte(said))
		return nil
	}
	write(w, http.StatusOK, text.ContentType, []byte(text.Body))
	_ = http.NewResponseController(w).Flush()
	took()
	return nil
}

// fetch grants what waits under the request's code.
func (s *Server) fetch(r *http.Request, form gatehouse.Form) (export.Text, func(), error) {
	ctx, code, facts := r.Context(), r.PostForm.Get("code"), factsFrom(r.Context())
	if !pickupCode.MatchString(code) {
		return export.Text{}, nil, errPickup
	}
	body, err := s.deps.Records.Take(ctx, pickupKind, code)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return export.Text{}, nil, errPickup
	}
	if err != nil {
		return export.Text{}, nil, err
	}
	var p parked
	if err := json.Unmarshal(body, &p); err != nil || p.Ask.Form != form {
		return export.Text{}, nil, fmt.Errorf("%w in the form %.16q", errPickup, form)
	}
	if gatehouse.Network(p.IP) != gatehouse.Network(facts.ip) {
		return export.Text{}, nil, fmt.Errorf("%w from this address: it was made at %s", errPickup, p.IP)
	}
	who, err := s.sessionOf(ctx, p.Person, p.Session)
	if err != nil {
		return export.Text{}, nil, err
	}
	facts.user = who.User.Username
	p.Ask.IP, p.Ask.RequestID = facts.ip, facts.id
	g, err := s.deps.Broker.Grant(ctx, who, p.Ask)
	if err != nil {
		return export.Text{}, nil, err
	}
	want := wish{ask: p.Ask, profile: p.Profile}
	text, err := export.Pickup(form, g.Credentials, s.options(g, want))
	return text, func() { s.took(r, p.Person, []taken{s.takenBy(g, want)}) }, err
}

// sessionOf is a person's session by its public reference, while it is good.
func (s *Server) sessionOf(ctx context.Context, person, id string) (gatehouse.Session, error) {
	all, err := s.visitsOf(ctx, person)
	if err != nil {
		return gatehouse.Session{}, err
	}
	for _, v := range all {
		if v.visit.Session.ID == id {
			return v.visit.Session, nil
		}
	}
	return gatehouse.Session{}, fmt.Errorf("pickup: the sign-in is over: %w", gatehouse.ErrNoSession)
}
