package web

import (
	"errors"
	"net/http"
	"net/url"

	"gatehouse"
	"gatehouse/internal/access"
)

// passwordPage is where somebody chooses a new password: because the
// directory wants it, before they can sign in, or because they do.
type passwordPage struct {
	frame
	Username string
	Fixed    bool     // who is signed in changes their own
	Refused  *problem // why not; nil at first
}

// errDiffer: the new password was not typed the same twice.
var errDiffer = errors.New("the new passwords differ")

// passwordPath is the page's, for somebody whose name is known.
func passwordPath(username string) string {
	if username == "" {
		return "/me/password"
	}
	return "/me/password?" + url.Values{"username": {username}}.Encode()
}

// passwordForm shows the page.
func (s *Server) passwordForm(w http.ResponseWriter, r *http.Request) error {
	who, err := s.visitor(r)
	if err != nil {
		return err
	}
	return s.showPassword(w, http.StatusOK, who, passwordPage{Username: echo(r.URL.Query().Get("username"))})
}

// visitor is who is signed in, or nil: the page is for both.
func (s *Server) visitor(r *http.Request) (*visit, error) {
	v, err := s.sessions.current(r)
	if errors.Is(err, gatehouse.ErrNoSession) {
		return nil, nil
	}
	if err == nil {
		factsFrom(r.Context()).user = v.Session.User.Username
	}
	return v, err
}

// password changes it, ends every session of the person, and has them sign
// in anew: whoever knew the old one must not stay. Their other browsers are
// not known any more either; this one is.
func (s *Server) password(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	who, err := s.visitor(r)
	if err != nil {
		return err
	}
	again := passwordPage{Username: echo(r.PostForm.Get("username"))}
	change := access.PasswordChange{
		Username: r.PostForm.Get("username"), Old: gatehouse.Secret(r.PostForm.Get("password")), New: gatehouse.Secret(r.PostForm.Get("new")),
		Door: gatehouse.DoorPages,
	}
	if who != nil {
		change.Username = who.Session.User.Username
	}
	if string(change.New) != r.PostForm.Get("repeat") {
		return s.refusePassword(w, r, who, errDiffer, again)
	}
	f := factsFrom(r.Context())
	leave, err := s.signIns.enter(r.Context(), f.ip)
	if err != nil {
		return s.refusePassword(w, r, who, err, again)
	}
	defer leave()
	change.IP, change.RequestID, change.Device = f.ip, f.id, s.device(r)
	person, err := s.deps.Broker.ChangePassword(r.Context(), change)
	if err != nil {
		return s.refusePassword(w, r, who, err, again)
	}
	return s.passwordChanged(w, r, person)
}

func (s *Server) passwordChanged(w http.ResponseWriter, r *http.Request, person string) error {
	said := "changed"
	if _, err := EndSessions(r.Context(), s.deps.Records, person); err != nil {
		s.note(r, "sessions not ended after a change of password", err)
		said = "changed-only"
	}
	if s.deps.Programs != nil {
		if _, err := s.deps.Programs.EndAll(r.Context(), person); err != nil {
			s.note(r, "command-line sign-ins not ended after a change of password", err)
			said = "changed-only"
		}
	}
	if err := s.sessions.finish(w, r); err != nil { // its record is one of those above
		s.note(r, "session not ended, but for this browser", err)
	}
	s.markDevice(w, person)
	redirect(w, "/login?said="+said)
	return nil
}

// refusePassword shows why not, on the form: all of it is about what was typed.
func (s *Server) refusePassword(w http.ResponseWriter, r *http.Request, who *visit, err error, again passwordPage) error {
	p := s.problem(r, err)
	p.announce(w)
	if p.Status >= http.StatusInternalServerError {
		p.Href, p.Button = passwordPath(""), tryAgain
		return s.render(w, p.Status, "problem.html", p)
	}
	again.Refused = &p
	return s.showPassword(w, p.Status, who, again)
}

func (s *Server) showPassword(w http.ResponseWriter, status int, who *visit, p passwordPage) error {
	p.frame = s.frame(who, "")
	p.Narrow = true
	if who != nil {
		p.Username, p.Fixed = who.Session.User.Username, true
	}
	return s.render(w, status, "password.html", p)
}
