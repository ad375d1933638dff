package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/web/inbound"
)

// What else can be wrong with a request than inbound has.
var (
	errHost        = errors.New("request for another host")
	errCrossOrigin = errors.New("cross-origin request")
	errPanic       = errors.New("panic")
	errBusy        = errors.New("too many sign-ins at a time")
	errCrowded     = errors.New("too many requests at a time")
)

// problem is what a person reads when something fails. Err's own text is
// never part of it.
type problem struct {
	frame
	Status    int
	Title     string // what happened
	Text      string // whether it is their doing
	Next      string // what to do
	Cause     string // AWS's refusal, in a sentence
	Cure      string // what whoever runs Gatehouse or the account should do; folded
	Href      string // where the button leads
	Button    string
	Ask       bool // whom to ask is worth showing
	Reference string
	At        moment
	Retry     time.Duration // zero: nobody knows
	AfterForm bool          // the answer to a sign-in: see login.html
	Back      *posting      // tells the application that sent them, when they want to go back
}

// words are the kinds of failure, the first that fits. They are what the
// errors of gatehouse mean to a person; typed errors say more, below.
var words = []struct {
	kind error
	say  problem
}{
	{gatehouse.ErrInvalidCredentials, problem{Status: 401, Title: "Invalid username or password.", Text: "Check both, then try again."}},
	{gatehouse.ErrUnknownPerson, problem{Status: 401, Title: "Invalid username or password.", Text: "Check both, then try again."}},
	{gatehouse.ErrPasswordExpired, problem{Status: 401, Title: "Your password has expired.",
		Text: "It was right, but the directory asks for a new one.", Ask: true}},
	{gatehouse.ErrPasswordMustChange, problem{Status: 401, Title: "You must choose a new password first.",
		Text: "Yours was right, but the directory wants it changed.", Ask: true}},
	{gatehouse.ErrPasswordRefused, problem{Status: 422, Title: "The directory does not take this new password.", Text: "The old one was right, and stays as it is."}},
	{errDiffer, problem{Status: 400, Title: "The two new passwords differ.", Text: "Nothing was changed.", Next: "Type the new one twice, alike."}},
	{gatehouse.ErrAccountDisabled, problem{Status: 401, Title: "Your directory account is disabled.",
		Text: "The password was right. Nothing you can do here changes this.", Ask: true}},
	{gatehouse.ErrAccountExpired, problem{Status: 401, Title: "Your directory account has expired.",
		Text: "The password was right. Whoever keeps the directory can extend it.", Ask: true}},
	{gatehouse.ErrAccountLocked, problem{Status: 401, Title: "Your directory account is locked.",
		Text: "There were too many wrong passwords, here or elsewhere.", Next: "Wait until the directory unlocks it, or have it unlocked.", Ask: true}},
	{gatehouse.ErrAccountHours, problem{Status: 401, Title: "You cannot sign in now.",
		Text: "The password was right, but the directory does not allow your account at this time or place.", Ask: true}},
	{gatehouse.ErrTooManyGroups, problem{Status: 403, Title: "You are in too many groups.",
		Text: "It was not the password. The directory lists more groups for you than are read here, or groups nested too deep in each other. Roles come from groups, and a part of the list is not enough to go by.",
		Next: "Trying again does not help. Ask to be taken out of some groups, or to have fewer of them read here.", Ask: true,
		Cure: "Of one person 2000 groups are read, and ten levels of groups in groups. The log says which of the two was passed; group_base_dn and group_filter say which groups are read."}},
	{gatehouse.ErrThrottled, problem{Status: 429, Title: "Too many attempts.",
		Text: "Sign-in is paused here, so that nobody guesses and your account is not locked.", Next: "Try again later."}},
	{gatehouse.ErrNotRecorded, problem{Status: 503, Title: "This could not be put on the record.",
		Text: "Nothing is handed out without a record, so nothing was handed out. It is not your doing: the record store does not take new entries.", Next: "Try again in a minute.", Ask: true}},
	{gatehouse.ErrNotAdmitted, problem{Status: 403, Title: "You may not use this application.",
		Text: "You are signed in, but no rule lets you into it.", Next: "If you should have it, ask for the group that gives it.", Ask: true, Href: "/", Button: "See your roles"}},
	{gatehouse.ErrNotEntitled, problem{Status: 403, Title: "You do not have this role.",
		Text: "None of your groups gives it to you, or there is no such role.", Next: "If you need it, ask for the group that gives it. A new group counts within minutes.",
		Href: "/", Button: "See your roles", Ask: true}},
	{gatehouse.ErrRefusedByAWS, problem{Status: 502, Title: "AWS refused.",
		Text: "You are allowed to use this role, but AWS did not hand it out.", Next: "Try again in a minute.", Href: "/", Button: "See your roles", Ask: true}},
	{gatehouse.ErrTwice, problem{Status: 409, Title: "This sign-in was answered already.",
		Text: "Each request of an application opens it once. Loading the page again, or going back to it, only brings the same request.",
		Next: "Open the application again: it makes a new one.", Href: "/", Button: "See what you may open"}},
	{gatehouse.ErrInvalid, problem{Status: 400, Title: "One thing needs correcting.", Text: "Something in the request is not possible.",
		Next: "Begin again from the list of your roles.", Href: "/", Button: "See your roles", Ask: true}},
	{gatehouse.ErrNoSession, problem{Status: 401, Title: "You are signed out.", Text: "Your sign-in has ended.", Next: "Sign in again to go on.", Href: "/login", Button: "Sign in"}},
	{gatehouse.ErrConflict, problem{Status: 409, Title: "Somebody changed this meanwhile.", Next: "Load the page again and repeat what you did.", Href: "/", Button: "See your roles"}},
	{gatehouse.ErrUnavailable, problem{Status: 503, Title: "Something that is needed does not answer.",
		Text: "It is not your doing.", Next: "Try again in a minute.", Ask: true}},
	{gatehouse.ErrNotFound, problem{Status: 404, Title: "There is nothing here.",
		Text: "The address may be mistyped or out of date.", Next: "Look for it in the list of your roles, or ask whoever gave you the link for a new one.", Href: "/", Button: "See your roles"}},
	{inbound.ErrMethod, problem{Status: 405, Title: "This page cannot be used that way.", Text: "The address is right, but not for this kind of request.",
		Next: "Begin again from the list of your roles.", Ask: true, Href: "/", Button: "See your roles"}},
	{errHost, problem{Status: 421, Title: "This is not the address of this portal.", Text: "You came by a name that it does not answer to.", Next: "Use its own address."}},
	{errCrossOrigin, problem{Status: 403, Title: "This came from another site.",
		Text: "Only our own pages may do this, so nothing was done.", Next: "If you pressed a button here, load the page again and repeat it.", Href: "/", Button: "See your roles"}},
	{inbound.ErrLength, problem{Status: 411, Title: "The request did not say how long it is.", Text: "Browsers do; a program or a proxy on the way may not.", Next: "Send it with a Content-Length."}},
	{inbound.ErrTooLarge, problem{Status: 413, Title: "That is too much.", Text: "The form holds more than is accepted.", Next: "Shorten it and try again.", Href: "/", Button: "See your roles"}},
	{inbound.ErrForm, problem{Status: 400, Title: "The form could not be read.", Text: "It arrived damaged.", Next: "Load the page again and repeat what you did.", Href: "/", Button: "See your roles"}},
	{inbound.ErrType, problem{Status: 415, Title: "That is no form.", Text: "It was sent in a way that browsers do not send forms in.", Next: "Load the page again and repeat what you did.", Href: "/", Button: "See your roles", Ask: true}},
	{errPickup, problem{Status: 410, Title: "This line was used or is over.", Text: "It works once, within a minute, and from the address that it was made at.", Next: "Take a new one from the page of the role."}},
	{errTwice, problem{Status: 409, Title: "That was already done.", Text: "The same click arrived twice, so only one hand-out was made.", Next: "It is in the other tab. If you want another one, start again.", Href: "/", Button: "See your roles"}},
	{errBusy, problem{Status: 503, Title: "Many people are signing in right now.", Text: "There was no turn for you within a few seconds.", Next: "Try again shortly.", Retry: 5 * time.Second}},
	{errCrowded, problem{Status: 503, Title: "There is too much to do right now.", Text: "It is not your doing, and nothing was done.", Next: "Try again shortly.", Retry: 5 * time.Second}},
	{context.DeadlineExceeded, problem{Status: 503, Title: "This took too long.", Text: "It is not your doing.", Next: "Try again in a minute.", Ask: true}},
}

// noTicket and badTicket are said where a ticket was tried, in place of what
// is said of a password.
var (
	noTicket = problem{Title: "This browser has no Windows ticket.",
		Text: "It offered something else, as computers outside the company's domain do.", Next: "Sign in with your username and password."}
	badTicket = problem{Title: "Windows sign-in did not work.",
		Text: "Your Windows ticket was not accepted.", Next: "Sign in with your username and password; or lock and unlock your computer, then start again."}
)

// ofTicket says of a ticket what p, which is about err, says of a password.
func (p problem) ofTicket(err error) problem {
	say := problem{Title: p.Title, Text: strings.Replace(p.Text, "The password was right", "Your Windows ticket was good", 1), Next: p.Next}
	switch {
	case errors.Is(err, gatehouse.ErrNoTicket):
		say = noTicket
	case errors.Is(err, gatehouse.ErrInvalidCredentials) && !errors.Is(err, gatehouse.ErrThrottled):
		say = badTicket
	}
	p.Title, p.Text, p.Next = say.Title, say.Text, say.Next
	return p
}

// amends says, of what makes no sense, what it means for what is being done
// and what comes next, by the field that gatehouse.Invalid names.
var amends = map[string]problem{
	"star":     {Title: "That is not on your list.", Next: "Load the list again and repeat what you did.", Href: "/", Button: "See your roles"},
	"before":   {Title: "Your history has no such page.", Next: "Begin with the newest entries.", Href: "/me/history", Button: "See your history"},
	"role":     {Title: "This role cannot be handed out to you as it is.", Next: "Have it put right, or take another role.", Href: "/", Button: "See your roles", Ask: true},
	"mail":     {Title: "The application cannot be told who you are.", Next: "Have your mail address put into the directory, then start again from the application.", Ask: true},
	"sp":       {Title: "This link opens no application.", Next: "Open the application from the portal, or ask whoever gave you the link for a new one.", Href: "/", Button: "Go to the portal"},
	"sign-in":  {Title: "This sign-in is over.", Next: "If the application cannot be found again, open it from the portal.", Href: "/", Button: "Go to the portal"},
	"sign-out": {Title: "This sign-out is over.", Next: "Sign in again when you need to.", Href: "/login", Button: "Sign in"},
}

// onForms are the fields that people fill in, so that the way on is the form.
var onForms = []string{"as", "line", "region", "duration", "profile", "scope", "destination", "confirm", "answer"}

// theirs says, of what arrived at these addresses and makes no sense, that it
// is the doing of whoever sent the browser. The first that fits counts.
var theirs = []struct {
	path string
	say  problem
}{
	{"/saml/slo", problem{Title: "The application's sign-out was not accepted.", Next: "It is the application's doing, not yours. You may still be signed in here: " +
		"sign out in the portal's menu, then close the browser.", Href: "/", Button: "Go to the portal", Ask: true}},
	{"/saml/", problem{Title: "The application's sign-in was not accepted.", Next: "It is the application's doing, not yours. Start again from the application, " +
		"or open it from the portal.", Href: "/", Button: "Go to the portal", Ask: true}},
	{"/authorize", programs}, {"/v1/authorize", programs},
}

var programs = problem{Title: "The program's request was not accepted.", Next: "It is the program's doing, not yours, and nothing was approved.",
	Href: "/me/sessions", Button: "See your sign-ins", Ask: true}

// amend gives p, which is about err and about what arrived with r, the title
// and the way on that fit.
func (p problem) amend(r *http.Request, err error) problem {
	var invalid *gatehouse.Invalid
	field := ""
	if errors.As(err, &invalid) {
		field = invalid.Field
	}
	if slices.Contains(onForms, field) && r.Method == http.MethodPost {
		p.Next, p.Href, p.Button, p.Ask = "Go back to the form and correct it.", pathBack(r), "Back to the form", false
		return p
	}
	say, known := amends[field]
	for i := 0; i < len(theirs) && !known; i++ {
		say, known = theirs[i].say, strings.HasPrefix(r.URL.Path, theirs[i].path)
	}
	if known {
		p.Title, p.Next, p.Href, p.Button, p.Ask = say.Title, say.Next, say.Href, say.Button, say.Ask
	}
	return p
}

// senseless are the failures that amend speaks of.
var senseless = []error{gatehouse.ErrInvalid, inbound.ErrLength, inbound.ErrTooLarge, inbound.ErrForm, inbound.ErrType}

// unforeseen is said of every other error.
var unforeseen = problem{Status: 500, Title: "Something went wrong here.", Text: "It is not your doing. It has been noted.",
	Next: "Try again. If it happens again, pass on the reference.", Href: "/", Button: "See your roles", Ask: true}

// silent are the things that do not answer, by gatehouse.Unavailable.What.
var silent = map[string]problem{
	"directory": {Title: "The directory cannot be reached.",
		Text: "Sign-ins and roles are checked there, and it does not answer. It says nothing about your password.", Next: "Try again in a minute."},
	"store": {Title: "The record store cannot be reached.",
		Text: "Sign-ins and hand-outs are kept there, and nothing is handed out without a record.", Next: "Try again in a minute."},
	"AWS STS": {Title: "AWS STS does not answer.",
		Text: "You are allowed to use this role, but AWS could not be asked for it. Nothing was handed out.", Next: "Try again in a minute. If others have the same, look at AWS's health page."},
	"AWS sign-in": {Title: "The AWS sign-in page does not answer.",
		Text: "You are allowed to use this role, but AWS could not be asked for a console.", Next: "Try again in a minute, or take credentials instead."},
}

// problemFor puts err into words. now settles how long a throttle has to go.
func problemFor(err error, now time.Time) problem {
	p := unforeseen
	for _, w := range words {
		if errors.Is(err, w.kind) {
			p = w.say
			break
		}
	}
	var (
		throttled *gatehouse.Throttled
		away      *gatehouse.Unavailable
		invalid   *gatehouse.Invalid
		refusal   *gatehouse.Refusal
		password  *gatehouse.PasswordRefused
		missing   *notHeld
	)
	if p.Status == http.StatusServiceUnavailable && p.Retry == 0 {
		p.Retry = 30 * time.Second // programs that know the header come back later
	}
	switch {
	case errors.As(err, &throttled):
		// A minute too much is better than "try again" a second too early.
		p.Retry = max(time.Second, throttled.Until.Sub(now))
		p.Next = "Try again in " + roughly(p.Retry) + "."
	case errors.As(err, &away) && p.Status == http.StatusServiceUnavailable && !errors.Is(err, gatehouse.ErrNotRecorded):
		if say, ok := silent[away.What]; ok {
			p.Title, p.Text, p.Next = say.Title, say.Text, say.Next
		}
		p.Retry = 30 * time.Second
	case errors.As(err, &missing) && missing.why() != "":
		p.Href, p.Button = missing.why(), "Why not, and how to ask"
	case errors.As(err, &password):
		p.Next = password.Why
	case errors.As(err, &invalid):
		p.Text = cmp.Or(invalid.Why, p.Text)
	case errors.As(err, &refusal):
		p.Cause, p.Cure = refusal.Cause, refusal.Cure
		if refusal.Code != "" {
			p.Text = fmt.Sprintf("You are allowed to use this role, but AWS %s answered %s.", refusal.Service, refusal.Code)
		}
	}
	return p
}

// roughly is a waiting time, rounded up.
func roughly(d time.Duration) string {
	if d < time.Minute {
		return count(int(math.Ceil(d.Seconds())), "second")
	}
	if d < 2*time.Hour {
		return count(int(math.Ceil(d.Minutes())), "minute")
	}
	if d < 48*time.Hour {
		return count(int(math.Ceil(d.Hours())), "hour")
	}
	return count(int(math.Ceil(d.Hours()/24)), "day")
}

// level is how soon an operator should look.
func (p problem) level() slog.Level {
	switch {
	case p.Status == http.StatusInternalServerError:
		return slog.LevelError
	case p.Status > http.StatusInternalServerError:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// Problem answers with the page that says what err means, and logs it, here
// and nowhere else. Our own modules get the same words as JSON.
func (s *Server) Problem(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // they left; nobody reads the answer
	}
	s.showProblem(w, r, s.problem(r, err))
}

// Decline is Problem for somebody whom an application sent: they read why not,
// and their way back takes the refusal along.
func (s *Server) Decline(w http.ResponseWriter, r *http.Request, err error, refusal access.Post) {
	p := s.problem(r, err)
	u, badURL := url.Parse(refusal.URL)
	if badURL == nil {
		p.Back = &posting{URL: refusal.URL, Host: u.Host, SAMLResponse: string(refusal.SAMLResponse), RelayState: refusal.RelayState}
		w.Header().Set("Content-Security-Policy", postingPolicy(u))
	}
	s.showProblem(w, r, p)
}

func (s *Server) showProblem(w http.ResponseWriter, r *http.Request, p problem) {
	p.announce(w)
	if wantsJSON(r) {
		_ = writeJSON(w, p.Status, p.brief(r)) // strings only: cannot fail
		return
	}
	if err := s.render(w, p.Status, "problem.html", p); err != nil {
		s.note(r, "problem page", err)
		http.Error(w, http.StatusText(p.Status), p.Status)
	}
}

// problem puts err into words for this request, and logs it.
func (s *Server) problem(r *http.Request, err error) problem {
	now := s.now()
	p := problemFor(err, now)
	p.frame = s.frame(nil, "problem.js")
	p.Narrow = true
	p.Reference = factsFrom(r.Context()).id
	p.At = momentOf(now)
	if slices.ContainsFunc(senseless, func(kind error) bool { return errors.Is(err, kind) }) {
		p = p.amend(r, err)
	}
	if errors.Is(err, errHost) {
		p.Href, p.Button = s.public.String()+"/", s.public.Host
	}
	s.log.LogAttrs(r.Context(), p.level(), "request failed",
		append(factsFrom(r.Context()).attrs(), slog.Int("status", p.Status), slog.Any("err", err))...)
	return p
}

// announce sets the headers that go with a problem.
func (p problem) announce(w http.ResponseWriter) {
	if p.Retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.Retry.Seconds()))))
	}
}

// brief is a problem as our own modules read it.
type brief struct {
	Title     string `json:"title"`
	Text      string `json:"text"`
	Next      string `json:"next,omitempty"`
	Cause     string `json:"cause,omitempty"`
	Cure      string `json:"cure,omitempty"`
	Reference string `json:"reference"`
	Login     string `json:"login,omitempty"` // where to sign in again
}

func (p problem) brief(r *http.Request) brief {
	b := brief{p.Title, p.Text, p.Next, p.Cause, p.Cure, p.Reference, ""}
	if p.Status == http.StatusUnauthorized {
		b.Login = loginPath(pathBack(r))
	}
	return b
}
