package web

import (
	"errors"
	"net/http"
	"time"

	"gatehouse"
)

// ends is when a session ends, counted from the answer that says so: a
// browser's clock may be wrong, but it runs.
type ends struct {
	Left int `json:"left"` // seconds until it does, unless somebody comes back
	Most int `json:"most"` // seconds until it does whatever happens
}

// ends of a visit, never beyond its limits.
func (s *Server) ends(v *visit) ends {
	now := s.now()
	return ends{int(s.sessions.until(v).Sub(now) / time.Second), int(s.sessions.end(v).Sub(now) / time.Second)}
}

// sessionEnds tells our own module when the session ends. It is no use of the
// session: who only has a page open is idle.
func (s *Server) sessionEnds(w http.ResponseWriter, r *http.Request) error {
	if !wantsJSON(r) {
		redirect(w, "/")
		return nil
	}
	v, err := s.sessions.current(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.ends(v))
}

// staySignedIn starts the idle time anew, for somebody who says that they are
// there. The absolute limit stays where it is.
func (s *Server) staySignedIn(w http.ResponseWriter, r *http.Request) error {
	v, err := s.sessions.current(r)
	if err == nil {
		err = s.sessions.keep(w, r, v, true)
	}
	if errors.Is(err, gatehouse.ErrNoSession) && !wantsJSON(r) {
		redirect(w, "/login")
		return nil
	}
	if err != nil {
		return err
	}
	if !wantsJSON(r) {
		redirect(w, "/")
		return nil
	}
	return writeJSON(w, http.StatusOK, s.ends(v))
}
