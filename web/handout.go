package web

import (
	"cmp"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/export"
)

// What a form may ask for beside the Forms of a hand-out.
const (
	asLink   = "link"   // the console's sign-in address, to copy
	asPickup = "pickup" // a line that fetches credentials, in the form that `line` names
)

// wish is what a form of the role's page asks for.
type wish struct {
	ask       gatehouse.Ask
	profile   string // empty: by the template
	download  bool
	link      bool // show the console's address, do not go there
	pickup    bool // keep the wish for a terminal
	confirmed bool // the click more that some rules ask for
}

// readWish reads the form. What it names are claims: the Broker checks
// account, role, limits, scope and destination.
func readWish(r *http.Request) (wish, error) {
	if err := readForm(r); err != nil {
		return wish{}, err
	}
	f, form := factsFrom(r.Context()), r.PostForm
	w := wish{profile: form.Get("profile"), download: form.Get("download") == "1", confirmed: form.Get("confirm") == "1"}
	w.ask = gatehouse.Ask{Account: r.PathValue("account"), Role: r.PathValue("role"), Form: gatehouse.Form(form.Get("as")),
		Region: strings.TrimSpace(form.Get("region")), Destination: strings.TrimSpace(form.Get("destination")),
		Scope: form.Get("scope"), IP: f.ip, RequestID: f.id}
	switch w.ask.Form {
	case asLink:
		w.ask.Form, w.link = gatehouse.FormConsole, true
	case asPickup:
		w.ask.Form, w.pickup = gatehouse.Form(form.Get("line")), true
	}
	return w, w.judge(form.Get("duration"))
}

// judge refuses what cannot be, whatever the role.
func (w *wish) judge(duration string) (err error) {
	forms, said := gatehouse.Forms, whyForm
	if w.pickup {
		forms, said = export.PickupForms, whyLine
	}
	if !slices.Contains(forms, w.ask.Form) {
		return &gatehouse.Invalid{Field: "as", Why: said}
	}
	if w.ask.Region != "" && !regionName.MatchString(w.ask.Region) {
		return &gatehouse.Invalid{Field: "region", Why: whyRegion}
	}
	if w.profile != "" {
		if err := export.ProfileName(w.profile); err != nil {
			return err
		}
	}
	w.ask.Duration, err = readDuration(duration)
	return err
}

// readDuration reads whole seconds; nothing means the longest allowed.
func readDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	d := time.Duration(n) * time.Second
	if err != nil || d < shortest || d > longest {
		return 0, &gatehouse.Invalid{Field: "duration", Why: whyDuration}
	}
	return d, nil
}

// handOut grants a role and answers in the form that was asked for.
func (s *Server) handOut(w http.ResponseWriter, r *http.Request, v *visit) error {
	want, err := readWish(r)
	if err != nil {
		return err
	}
	if e, ok := find(s.held(v.Session).all, want.ask.Account, want.ask.Role); ok && e.Confirm && !want.confirmed {
		return s.askAgain(w, r, v, []gatehouse.Entitlement{e})
	}
	undo, err := s.once(r, v.Session, r.URL.Path+"\n"+r.PostForm.Get("as"))
	if err != nil {
		return err
	}
	if want.pickup {
		return s.park(w, r, v, want)
	}
	g, err := s.deps.Broker.Grant(r.Context(), v.Session, want.ask)
	if err != nil {
		undo()
		return lostRole(want.ask, err)
	}
	if err := s.answerGrant(w, r, g, want); err != nil {
		return err
	}
	_ = http.NewResponseController(w).Flush() // nobody waits for our memory
	s.took(r, v.Session.User.Key(), []taken{s.takenBy(g, want)})
	return nil
}

// answerGrant answers in the form that was asked for.
func (s *Server) answerGrant(w http.ResponseWriter, r *http.Request, g access.Grant, want wish) error {
	switch {
	case g.Post != nil:
		return s.Post(w, r, *g.Post)
	case want.link:
		return s.showLink(w, r, g)
	case want.ask.Form == gatehouse.FormConsole:
		lowered := ""
		if want.ask.Duration > 0 {
			lowered = loweredText(g)
		}
		return s.leave(w, r, string(g.ConsoleURL), toConsole, lowered)
	case wantsJSON(r):
		return s.allTexts(w, g, want)
	}
	return s.text(w, g, want)
}

// takenBy is a hand-out as it is remembered: what was named by hand, and not
// what we suggested.
func (s *Server) takenBy(g access.Grant, want wish) taken {
	t := taken{key: useKey(g.Entitlement.Account.ID, g.Entitlement.Role.Name), until: g.Credentials.Expires}
	if want.profile != s.profileFor(g.Entitlement) {
		t.profile = want.profile
	}
	// A link's console page brings its own region, which nobody chose.
	if want.ask.Destination == "" && want.ask.Region != firstRegion(g.Entitlement.Account.Region, s.deps.DefaultRegion) {
		t.region = want.ask.Region
	}
	return t
}

// options are what an export needs beside the credentials.
func (s *Server) options(g access.Grant, want wish) export.Options {
	return export.Options{Profile: scoped(cmp.Or(want.profile, s.profileFor(g.Entitlement)), g.Ask.Scope), Scope: g.Ask.Scope,
		Region:      firstRegion(g.Ask.Region, g.Entitlement.Account.Region, s.deps.DefaultRegion),
		STSEndpoint: s.deps.STSEndpoint}
}

// text answers with one form, to see or to keep as a file.
func (s *Server) text(w http.ResponseWriter, g access.Grant, want wish) error {
	t, err := export.Render(want.ask.Form, g.Credentials, s.options(g, want))
	if err != nil {
		return fmt.Errorf("hand-out: %w", err)
	}
	if want.download {
		attach(w, t.Filename)
	}
	if g.LoweredFrom > 0 {
		w.Header().Set("X-Gatehouse-Lowered-From", strconv.Itoa(int(g.LoweredFrom.Seconds())))
	}
	write(w, http.StatusOK, t.ContentType, []byte(t.Body))
	return nil
}

// attach has the browser keep an answer as a file.
func attach(w http.ResponseWriter, filename string) {
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filename}))
}

// handedOut is one hand-out in every form, for the role page's module.
type handedOut struct {
	Expires time.Time                        `json:"expires"`
	Lasts   int                              `json:"lasts"`             // seconds
	Lowered string                           `json:"lowered,omitempty"` // a sentence
	Scope   string                           `json:"scope,omitempty"`   // what its limits are called
	Forms   map[gatehouse.Form]handedOutText `json:"forms"`
}

type handedOutText struct {
	Text     string `json:"text"`
	Filename string `json:"filename"`
}

// allTexts answers our own module with every form of one hand-out, so that
// changing tabs asks AWS for nothing.
func (s *Server) allTexts(w http.ResponseWriter, g access.Grant, want wish) error {
	out := handedOut{Expires: g.Credentials.Expires.UTC(), Lasts: int(g.Credentials.Lasts.Seconds()),
		Lowered: loweredText(g), Scope: g.Scope, Forms: map[gatehouse.Form]handedOutText{}}
	for _, f := range textForms {
		t, err := export.Render(f.Form, g.Credentials, s.options(g, want))
		if err != nil {
			return fmt.Errorf("hand-out as %s: %w", f.Form, err)
		}
		out.Forms[f.Form] = handedOutText{t.Body, t.Filename}
	}
	return writeJSON(w, http.StatusOK, out)
}

// linkLasts is how long AWS takes a sign-in address (IAM User Guide, "Enable
// custom identity broker access to the AWS console").
const linkLasts = 15 * time.Minute

// linkPage shows the console's sign-in address, for another browser.
type linkPage struct {
	frame
	Account accountView
	Role    string
	Path    string // of the role's page
	Scope   string
	URL     string
	Until   moment
}

func (s *Server) showLink(w http.ResponseWriter, r *http.Request, g access.Grant) error {
	until := s.now().Add(linkLasts)
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, map[string]string{"url": string(g.ConsoleURL), "until": until.UTC().Format(time.RFC3339)})
	}
	p := linkPage{frame: s.frame(nil, ""), Account: viewOf(g.Entitlement.Account), Role: g.Entitlement.Role.Name, Scope: g.Scope,
		Path: rolePath(g.Entitlement.Account.ID, g.Entitlement.Role.Name), URL: string(g.ConsoleURL), Until: momentOf(until)}
	p.Narrow = true
	return s.render(w, http.StatusOK, "link.html", p)
}

// confirmPage asks for the one click more.
type confirmPage struct {
	frame
	Accounts []confirmed
	Path     string
	Fields   []field // what the form held
	Does     string  // what the button does
	Answers  bool    // a program waits for the answer
}

// confirmed is one role that asks for it.
type confirmed struct {
	accountView
	Role string
}

// errConfirm is for our own module, which shows the box to tick.
var errConfirm = &gatehouse.Invalid{Field: "confirm", Why: whyConfirm}

// askAgain shows what is about to be taken, and hands nothing out. It guards
// against a slip, not against a person: what they may have is the Broker's.
func (s *Server) askAgain(w http.ResponseWriter, r *http.Request, v *visit, list []gatehouse.Entitlement) error {
	if wantsJSON(r) {
		return errConfirm
	}
	p := confirmPage{frame: s.frame(v, ""), Path: r.URL.Path, Does: takeKeys, Answers: r.PostForm.Has("answer")}
	if as := r.PostForm.Get("as"); as == string(gatehouse.FormConsole) || as == string(gatehouse.FormPost) {
		p.Does = openConsole
	}
	p.Person, p.Narrow = nil, true
	for _, e := range list {
		p.Accounts = append(p.Accounts, confirmed{viewOf(e.Account), e.Role.Name})
	}
	for name, values := range r.PostForm {
		for _, value := range values {
			if name != "confirm" && name != "answer" && len(value) <= longestNext {
				p.Fields = append(p.Fields, field{name, value})
			}
		}
	}
	slices.SortFunc(p.Fields, func(a, b field) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value)) })
	return s.render(w, http.StatusOK, "confirm.html", p)
}
