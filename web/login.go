package web

import (
	"cmp"
	"errors"
	"net/http"
	"unicode/utf8"

	"gatehouse"
	"gatehouse/internal/access"
)

// longestEcho bounds the name that a refused sign-in shows again; nothing is
// shown in part.
const longestEcho = 256

// loginPage is the sign-in page. Stock command-line clients read it as well
// (saml2aws): it has one form, with an absolute action, every
// input named, and #input-error whenever the sign-in failed.
type loginPage struct {
	frame
	Action   string // absolute
	Next     string // a path that localPath let through
	Username string
	Refused  *problem // why not; nil at first
	Plain    bool     // the refusal is the one text that clients look for
	Said     string   // "You are signed out."
	Again    bool     // a fresh proof is asked, which a ticket is not
	Windows  string   // where Windows sign-in is; empty: not offered
	Ticket   bool     // a ticket was tried, so that it is not offered once more
	Change   string   // where a new password is chosen; empty: none is owed
	Forms    []string // examples of names with their directory
}

// loginForm shows the sign-in page. Whoever is signed in goes on at once,
// unless the protocol door wants a fresh proof (again=1, SAML's ForceAuthn).
func (s *Server) loginForm(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	p := loginPage{Next: localPath(q.Get("next")), Again: q.Get("again") == "1"}
	who, err := s.Session(r)
	switch {
	case err != nil && !errors.Is(err, gatehouse.ErrNoSession):
		return err
	case err == nil && !p.Again:
		redirect(w, cmp.Or(p.Next, "/"))
		return nil
	case err == nil:
		p.Said, p.Username = signInAgain, echo(who.User.Username)
	case s.says(q.Get("said")) != "":
		p.Said = s.says(q.Get("said"))
	case !p.Again && s.triesWindows(r):
		s.markWindows(w, triedWindows)
		redirect(w, windowsPath(p.Next, true))
		return nil
	}
	return s.showLogin(w, r, http.StatusOK, p)
}

func (s *Server) says(said string) string { return signInSays(said, s.cfg.Session.Max) }

// login signs somebody in. Only who has sent the whole form takes a turn: one
// that comes in byte by byte would keep it from everybody else.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	f := factsFrom(r.Context())
	leave, err := s.signIns.enter(r.Context(), f.ip)
	if err != nil {
		return s.refuse(w, r, err, loginPage{})
	}
	defer leave()
	username, next := r.PostForm.Get("username"), localPath(r.PostForm.Get("next"))
	again := loginPage{Next: next, Username: echo(username), Again: r.PostForm.Get("again") == "1"}
	who, err := s.deps.Broker.SignIn(r.Context(), access.Attempt{
		Proof:     access.Password{Username: username, Password: gatehouse.Secret(r.PostForm.Get("password"))},
		Door:      gatehouse.DoorPages,
		IP:        f.ip,
		Device:    s.device(r),
		RequestID: f.id,
	})
	if err != nil {
		return s.refuse(w, r, err, again)
	}
	f.user = who.User.Username
	return s.arrive(w, r, who, next)
}

// welcome begins the session of somebody who was proved, and leads on.
func (s *Server) welcome(w http.ResponseWriter, r *http.Request, who gatehouse.Session, next string) error {
	if err := s.begin(w, r, who); err != nil {
		return err
	}
	s.markWindows(w, triedWindows)
	s.markDevice(w, who.User.Key())
	redirect(w, cmp.Or(next, "/"))
	return nil
}

// refuse shows why a sign-in failed: on the form again when trying again may
// help, on a page of its own when it does not: something of ours is down, or
// the person's groups cannot be read.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error, again loginPage) error {
	p := s.problem(r, err)
	if again.Ticket {
		p = p.ofTicket(err)
	}
	p.announce(w)
	vain := errors.Is(err, gatehouse.ErrTooManyGroups)
	if p.Status >= http.StatusInternalServerError || vain {
		p.AfterForm, p.Href, p.Button = true, loginPath(again.Next), tryAgain
		if vain {
			p.Button = toSignIn
		}
		return s.render(w, p.Status, "problem.html", p)
	}
	again.Refused = &p
	if errors.Is(err, gatehouse.ErrPasswordExpired) || errors.Is(err, gatehouse.ErrPasswordMustChange) {
		again.Change = passwordPath(again.Username)
	}
	again.Plain = !again.Ticket && (errors.Is(err, gatehouse.ErrInvalidCredentials) || errors.Is(err, gatehouse.ErrUnknownPerson))
	return s.showLogin(w, r, p.Status, again)
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request, status int, p loginPage) error {
	p.frame = s.frame(nil, "")
	if !p.Again && !p.Ticket && s.offersWindows(r) {
		p.Windows = windowsPath(p.Next, false)
	}
	p.Narrow, p.Forms = true, s.deps.NameForms
	p.Action = s.public.String() + "/login"
	return s.render(w, status, "login.html", p)
}

// echo is a name that may be shown again, or nothing.
func echo(username string) string {
	if len(username) > longestEcho || !utf8.ValidString(username) {
		return ""
	}
	return username
}
