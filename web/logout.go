package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"gatehouse"
	"gatehouse/internal/access"
)

// logout ends the session here and on the record, and then leads on to
// whoever else is to be told. The browser signs out whatever the store says:
// keeping somebody signed in would be the worse failure. What the store then
// still has, the next page says.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	who, err := s.Session(r)
	path := ""
	if err == nil {
		if err := s.deps.Broker.SignOut(r.Context(), who); err != nil {
			s.note(r, "sign-out not recorded", err)
		}
		path = s.tellOthers(w, r, who)
	}
	if err := s.leaveSession(w, r); err != nil {
		s.note(r, "session not ended, but for this browser", err)
		path = "/login?said=kept"
	}
	redirect(w, cmp.Or(path, "/login?said=out"))
	return nil
}

func (s *Server) tellOthers(w http.ResponseWriter, r *http.Request, who gatehouse.Session) (path string) {
	if s.deps.Leaving == nil {
		return ""
	}
	path, err := s.deps.Leaving(w, r, who)
	if err != nil {
		s.note(r, "applications not told of a sign-out", err)
		return "/login?said=partly"
	}
	return path
}

// leaveSession ends this browser's session. With an error the browser has left
// it all the same, and the store still has it.
func (s *Server) leaveSession(w http.ResponseWriter, r *http.Request) error {
	s.markWindows(w, leftWindows)
	// Browsers may show no-store pages again on Back (seen in Chromium).
	w.Header().Set("Clear-Site-Data", `"cache"`)
	return s.sessions.finish(w, r)
}

// SignOut ends these sessions of a person's, whichever browsers have them,
// and puts that on the record.
func (s *Server) SignOut(w http.ResponseWriter, r *http.Request, person string, ids []string) error {
	records, err := s.deps.Records.ListOwner(r.Context(), recordKind, person)
	if err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	who, err := s.Session(r)
	here := err == nil && slices.Contains(ids, who.ID) // asked before it is gone
	for _, record := range records {
		var v visit
		if json.Unmarshal(record.Body, &v) != nil || !slices.Contains(ids, v.Session.ID) {
			continue
		}
		if err := s.deps.Broker.SignOut(r.Context(), v.Session); err != nil {
			s.note(r, "sign-out not recorded", err)
		}
		if err := s.deps.Records.ForgetID(r.Context(), recordKind, person, record.ID); err != nil && !errors.Is(err, gatehouse.ErrNotFound) {
			return fmt.Errorf("sessions: %w", err)
		}
	}
	if here {
		return s.leaveSession(w, r)
	}
	return nil
}

// dispatching is the page that takes a message of a sign-out to a provider.
type dispatching struct {
	frame
	access.Dispatch
	Message string // in clear, for the form
}

// Dispatch answers with the page that takes the browser to a service provider
// with d: by a form that sends itself, or by moving on, and by a button.
func (s *Server) Dispatch(w http.ResponseWriter, r *http.Request, d access.Dispatch) error {
	u, err := url.Parse(d.URL)
	if err != nil {
		return err
	}
	page := dispatching{frame: s.frame(nil, "post.js"), Dispatch: d, Message: string(d.Message)}
	page.Narrow = true
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Content-Security-Policy", postingPolicy(u))
	return s.render(w, http.StatusOK, "logout.html", page)
}
