package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"gatehouse"
	"gatehouse/internal/delegate"
)

// Programs keeps what people let command-line programs do; delegate.Keeper
// has it.
type Programs interface {
	// Waiting is what waits under a code that the person typed.
	Waiting(ctx context.Context, who gatehouse.Session, code, ip string) (delegate.Request, error)

	// Answer is the person's word on it.
	Answer(ctx context.Context, who gatehouse.Session, code string, agreed bool, ip, requestID string) (delegate.Request, error)

	// ReadAuthorization reads a wish that a browser brought; Agree and
	// Disagree answer it with the address that leads back to the program.
	ReadAuthorization(q url.Values) (delegate.Authorization, error)
	Agree(ctx context.Context, who gatehouse.Session, a delegate.Authorization, ip, requestID string) (string, error)
	Disagree(ctx context.Context, who gatehouse.Session, a delegate.Authorization, ip, requestID string) (string, error)

	// AgreeRole answers `aws login` for one role: with an address that leads
	// back, or with a text that the person carries.
	AgreeRole(ctx context.Context, who gatehouse.Session, l delegate.RoleLogin, account, role, ip, requestID string) (back, carry string, err error)

	// List, End and EndAll are a person's sign-ins of programs.
	List(ctx context.Context, person string) ([]delegate.Program, error)
	End(ctx context.Context, person, id string) error
	EndAll(ctx context.Context, person string) (int, error)

	// Known is the person's word that the new places of one are theirs.
	Known(ctx context.Context, person, id string) error
}

// ifPrograms serves p where programs can sign in.
func (s *Server) ifPrograms(p func(http.ResponseWriter, *http.Request, *visit) error) func(http.ResponseWriter, *http.Request, *visit) error {
	if s.deps.Programs == nil {
		return func(http.ResponseWriter, *http.Request, *visit) error { return gatehouse.ErrNotFound }
	}
	return p
}

// devicePage asks for the code that a program shows.
type devicePage struct {
	frame
	Code    string // as typed
	Refused string // why not, in a sentence
}

// consentPage asks whether a program may act for the person. It shows what
// asks, from where and under which code; only its button agrees.
type consentPage struct {
	frame
	Action string // where the form posts
	Fields []field
	Client string
	Code   string // what the program shows; empty: it waits on this computer
	Host   string // where it waits on this computer
	IP     string
	Same   bool // the program asks from the address that this browser has
	Own    string
	At     *moment
	Lasts  string
	Roles  string // "26 roles in 12 accounts"
}

type field struct{ Name, Value string }

// answeredPage says what became of it.
type answeredPage struct {
	frame
	Client string
	Agreed bool
}

// deviceForm shows where to type a code, or what waits under it.
func (s *Server) deviceForm(w http.ResponseWriter, r *http.Request, v *visit) error {
	code := r.URL.Query().Get("user_code")
	if code == "" {
		return s.showDevice(w, v, http.StatusOK, "", "")
	}
	waiting, err := s.deps.Programs.Waiting(r.Context(), v.Session, code, factsFrom(r.Context()).ip)
	if invalid := (*gatehouse.Invalid)(nil); errors.As(err, &invalid) {
		return s.showDevice(w, v, http.StatusNotFound, echo(code), invalid.Why)
	}
	if err != nil {
		return err
	}
	at := momentOf(waiting.At)
	p := s.consent(r, v, waiting.Client)
	p.Action, p.Code, p.At, p.IP = "/device", waiting.UserCode, &at, waiting.IP
	p.Same = p.IP == p.Own
	p.Fields = []field{{"user_code", waiting.UserCode}}
	return s.render(w, http.StatusOK, "consent.html", p)
}

func (s *Server) showDevice(w http.ResponseWriter, v *visit, status int, code, refused string) error {
	p := devicePage{frame: s.frame(v, ""), Code: code, Refused: refused}
	p.Narrow = true
	return s.render(w, status, "device.html", p)
}

// consent begins the page that asks.
func (s *Server) consent(r *http.Request, v *visit, client string) consentPage {
	all := s.deps.Broker.Entitlements(v.Session)
	p := consentPage{frame: s.frame(v, ""), Client: client, Own: factsFrom(r.Context()).ip, Lasts: inWords(s.cfg.Session.CLI),
		Roles: rolesAmong(len(all), len(rowsOf(all)))}
	p.Narrow = true
	return p
}

// readAnswer reads the form of the consent page.
func readAnswer(r *http.Request) (agreed bool, err error) {
	if err := readForm(r); err != nil {
		return false, err
	}
	switch r.PostForm.Get("answer") {
	case "agree":
		return true, nil
	case "decline":
		return false, nil
	}
	return false, &gatehouse.Invalid{Field: "answer", Why: whyAnswer}
}

// answerDevice takes the person's word on what waits under a code.
func (s *Server) answerDevice(w http.ResponseWriter, r *http.Request, v *visit) error {
	agreed, err := readAnswer(r)
	if err != nil {
		return err
	}
	f, code := factsFrom(r.Context()), r.PostForm.Get("user_code")
	waiting, err := s.deps.Programs.Answer(r.Context(), v.Session, code, agreed, f.ip, f.id)
	if invalid := (*gatehouse.Invalid)(nil); errors.As(err, &invalid) {
		return s.showDevice(w, v, http.StatusNotFound, echo(code), invalid.Why)
	}
	if err != nil {
		return err
	}
	p := answeredPage{frame: s.frame(v, ""), Client: waiting.Client, Agreed: agreed}
	p.Narrow = true
	return s.render(w, http.StatusOK, "answered.html", p)
}

// asked are the fields of an authorization request that its answer needs.
var asked = []string{"response_type", "client_id", "redirect_uri", "state", "code_challenge_method", "code_challenge"}

// authorize shows what a program wants that has led the browser here.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	a, err := s.deps.Programs.ReadAuthorization(q)
	if err != nil {
		return err
	}
	p := s.consent(r, v, a.Client.Name)
	p.Action = "/authorize"
	if u, err := url.Parse(a.RedirectURI); err == nil {
		p.Host = u.Host
	}
	for _, name := range asked {
		p.Fields = append(p.Fields, field{name, q.Get(name)})
	}
	return s.render(w, http.StatusOK, "consent.html", p)
}

// answerAuthorize takes the person's word back to the program.
func (s *Server) answerAuthorize(w http.ResponseWriter, r *http.Request, v *visit) error {
	agreed, err := readAnswer(r)
	if err != nil {
		return err
	}
	a, err := s.deps.Programs.ReadAuthorization(r.PostForm)
	if err != nil {
		return err
	}
	answer := s.deps.Programs.Disagree
	if agreed {
		answer = s.deps.Programs.Agree
	}
	f := factsFrom(r.Context())
	target, err := answer(r.Context(), v.Session, a, f.ip, f.id)
	if err != nil {
		return err
	}
	return s.leave(w, r, target, toProgram, "")
}

// programView is one of the person's command-line sign-ins.
type programView struct {
	ID, Client, IP     string
	Role               string // the one that it has; empty: all
	UsedIP             string // empty: where it began
	Began, Used, Until moment // shown with their days: a sign-in may last for weeks
	New                []placeView
}

// placeView is somewhere that the person had not been before.
type placeView struct {
	IP string
	At moment
}

// programsOf lists what a person lets programs do.
func (s *Server) programsOf(ctx context.Context, person string) (views []programView, err error) {
	if s.deps.Programs == nil {
		return nil, nil
	}
	list, err := s.deps.Programs.List(ctx, person)
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		view := programView{ID: one.ID, Client: one.Client, Role: one.Role, IP: one.IP,
			Began: momentOf(one.Began), Used: momentOf(one.Used), Until: momentOf(one.Until)}
		if one.UsedIP != one.IP {
			view.UsedIP = one.UsedIP
		}
		for _, p := range one.New {
			view.New = append(view.New, placeView{p.IP, momentOf(p.At)})
		}
		views = append(views, view)
	}
	return views, nil
}

// strange are the sign-ins that the person has to be told of. That they are
// not to be had just now is no reason to show no roles.
func (s *Server) strange(r *http.Request, who gatehouse.Session) []programView {
	list, err := s.programsOf(r.Context(), who.User.Key())
	if err != nil {
		s.note(r, "new places not shown", err)
	}
	return slices.DeleteFunc(list, func(p programView) bool { return len(p.New) == 0 })
}

// knowProgram puts the notice of one away.
func (s *Server) knowProgram(w http.ResponseWriter, r *http.Request, v *visit, id string) error {
	if s.deps.Programs == nil {
		return gatehouse.ErrNotFound
	}
	err := s.deps.Programs.Known(r.Context(), v.Session.User.Key(), id)
	if err != nil && !errors.Is(err, gatehouse.ErrNotFound) {
		return err
	}
	redirect(w, "/me/sessions?said=known")
	return nil
}

// endProgram ends one of them. That it has ended already is as good.
func (s *Server) endProgram(w http.ResponseWriter, r *http.Request, v *visit, id string) error {
	if s.deps.Programs == nil {
		return gatehouse.ErrNotFound
	}
	err := s.deps.Programs.End(r.Context(), v.Session.User.Key(), id)
	if err != nil && !errors.Is(err, gatehouse.ErrNotFound) {
		return err
	}
	redirect(w, "/me/sessions?said=ended")
	return nil
}

// startAlias is an address of IAM Identity Center's kind. The AWS CLI from
// 2.35.13 on takes no other start URL, but looks with a HEAD whether one leads
// to such an address. It sends nothing there, and nobody need own it.
const startAlias = "https://gatehouse.awsapps.com/start"

// start answers the CLI, and leads people who paste the address of AWS's own
// portal on. What follows its # no server sees: page.js reads that.
func (s *Server) start(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodHead {
		to := "/"
		if q := r.URL.Query(); q.Get("account_id") != "" || q.Get("destination") != "" {
			to = "/go?" + kept(q, "account_id", "role_name", "destination")
		}
		redirect(w, to)
		return nil
	}
	w.Header().Set("Location", startAlias)
	w.WriteHeader(http.StatusFound)
	return nil
}
