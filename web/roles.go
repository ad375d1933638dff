package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/export"
)

// What AWS allows a session to last (IAM User Guide, "Update the maximum
// session duration for a role").
const (
	shortest = 15 * time.Minute
	longest  = 12 * time.Hour
)

// usual is the lifetime that the page suggests: an hour is enough for most
// work and little enough to lose.
const usual = time.Hour

// lifetimes are what the duration select offers, up to the role's limit.
var lifetimes = []time.Duration{shortest, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, longest}

// region is one that the region field offers, and where it is.
type region struct{ Name, Place string }

// textForm is one tab: a form of credentials as text, under the words that
// AWS's own portal uses.
type textForm struct {
	Form           gatehouse.Form
	Label, Heading string
}

// lineForms are the forms that one line fetches into a terminal.
var lineForms = slices.DeleteFunc(slices.Clone(textForms), func(f textForm) bool { return !slices.Contains(export.PickupForms, f.Form) })

// rolePage is one role.
type rolePage struct {
	frame
	Account     accountView
	Role        string
	ARN         string
	Path        string // where the form posts
	Link        string // the one to share, whole
	Why         string // where it says why the person has this
	Once        string // names one click: see twice.go
	Confirm     bool   // one click more before a hand-out
	Profile     string
	Region      string
	Regions     []region
	Durations   []choice
	Cap         string // why there are no longer ones
	Destination string // console page to open, as asked for
	LeftOut     bool   // one was asked for that this account's console has not
	Scopes      []scopeChoice
	Texts       []textForm
	Download    bool           // as a file, without script
	Line        gatehouse.Form // the pickup line that was chosen
	Lines       []textForm     // what a pickup line can fetch
	Blocked     string         // why it cannot be handed out; empty: it can
	Stale       *moment
	Client      clientLines
}

// clientLines are what docs/clients.md has for one role, filled in.
type clientLines struct {
	Name     string // of the profile; empty: programs cannot sign in
	Config   string // for ~/.aws/config
	Saml2aws string // for ~/.saml2aws; empty: the username does not fit into such a file
	Portal   string
	Role     string // ACCOUNT/ROLE
}

// clientLines are the lines for a role. A profile is called as the portal
// calls it, whatever this page's field says: the file has all of them.
func (s *Server) clientLines(who gatehouse.User, e gatehouse.Entitlement) clientLines {
	name := s.profileFor(e)
	config, err := s.awsConfigFor(false).Render([]export.Place{placeOf(e)}, nil)
	if s.deps.Programs == nil || err != nil {
		return clientLines{} // the page is complete without them
	}
	c := clientLines{Name: name, Config: config, Portal: s.public.String(), Role: e.Account.ID + "/" + e.Role.Name}
	if text, err := export.Saml2aws(c.Portal, who.Username, name, e.Role); err == nil {
		c.Saml2aws = text
	}
	return c
}

// scopeChoice is one line of the scope select.
type scopeChoice struct {
	access.Offer
	Selected bool
}

// choice is one line of the duration select.
type choice struct {
	Seconds  int
	Label    string
	Selected bool
}

// role shows one role: a GET grants nothing.
func (s *Server) role(w http.ResponseWriter, r *http.Request, v *visit) error {
	stale, err := s.refresh(w, r, v)
	if err != nil {
		return err
	}
	account, name := r.PathValue("account"), r.PathValue("role")
	e, ok := find(s.held(v.Session).all, account, name)
	if !ok {
		return &notHeld{account, name}
	}
	p := s.rolePage(r, v, e)
	if stale {
		at := momentOf(v.Session.User.ReadAt)
		p.Stale = &at
	}
	return s.render(w, http.StatusOK, "role.html", p)
}

// rolePage fills in what a link asks for, else what was chosen the last time,
// else what is usual.
func (s *Server) rolePage(r *http.Request, v *visit, e gatehouse.Entitlement) rolePage {
	q, script := r.URL.Query(), "role.js"
	if e.Blocked != "" {
		script = ""
	}
	last := s.taste(r, v.Session).uses[useKey(e.Account.ID, e.Role.Name)]
	p := rolePage{frame: s.frame(v, script), Account: viewOf(e.Account), Role: e.Role.Name, ARN: e.Role.ARN(),
		Path: rolePath(e.Account.ID, e.Role.Name), Link: s.public.String() + linkPath(e), Why: whyPath(e.Account.ID, e.Role.Name),
		Texts: textForms, Lines: lineForms, Regions: suggestions, Blocked: e.Blocked, Confirm: e.Confirm, Once: newClick()}
	p.Profile = cmp.Or(last.Profile, s.profileFor(e))
	if typed := q.Get("profile"); export.ProfileName(typed) == nil {
		p.Profile = typed
	}
	p.Region = firstRegion(q.Get("region"), last.Region, e.Account.Region, s.deps.DefaultRegion)
	most, byRole := s.deps.Broker.Longest(r.Context(), e)
	p.Durations, p.Cap = durations(most, q.Get("duration"), byRole)
	p.Destination, p.LeftOut = s.opens(e.Account, p.Region, q.Get("destination"))
	p.Download, p.Line = q.Get("download") == "1", gatehouse.Form(q.Get("line"))
	p.Client = s.clientLines(v.Session.User, e)
	for _, o := range s.deps.Broker.Scopes(factsFrom(r.Context()).ip) {
		p.Scopes = append(p.Scopes, scopeChoice{o, o.Name == q.Get("scope") && o.Why == ""})
	}
	return p
}

// notHeld is a role that somebody came for and does not have.
type notHeld struct{ account, role string }

func (e *notHeld) Error() string {
	return fmt.Sprintf("role %.64q in account %.12q: %v", e.role, e.account, gatehouse.ErrNotEntitled)
}

// Unwrap makes it an ErrNotEntitled.
func (e *notHeld) Unwrap() error { return gatehouse.ErrNotEntitled }

// why is where it says why not; empty when there can be no such role.
func (e *notHeld) why() string {
	if !gatehouse.AccountID.MatchString(e.account) || !gatehouse.RoleName.MatchString(e.role) {
		return ""
	}
	return whyPath(e.account, e.role)
}

// lostRole is err for somebody whose page still had the role: it leads to why not.
func lostRole(ask gatehouse.Ask, err error) error {
	if !errors.Is(err, gatehouse.ErrNotEntitled) {
		return err
	}
	return fmt.Errorf("%w: %w", &notHeld{ask.Account, ask.Role}, err)
}

// find is the entitlement to a role of an account. IAM's role names are
// unique in an account whatever their case.
func find(all []gatehouse.Entitlement, account, role string) (gatehouse.Entitlement, bool) {
	i := slices.IndexFunc(all, func(e gatehouse.Entitlement) bool {
		return e.Account.ID == account && strings.EqualFold(e.Role.Name, role)
	})
	if i < 0 {
		return gatehouse.Entitlement{}, false
	}
	return all[i], true
}

// durations are the choices up to most, and the sentence that says why not more.
func durations(most time.Duration, wish string, byRole bool) ([]choice, string) {
	if most <= 0 || most > longest {
		most = longest
	}
	var offered []time.Duration
	selected := min(usual, most)
	if d, err := readDuration(wish); err == nil && d > 0 && d <= most {
		selected = d // that a page offered it, or a link names it
	}
	for _, d := range append([]time.Duration{most, selected}, lifetimes...) {
		if d <= most {
			offered = append(offered, d)
		}
	}
	slices.Sort(offered)
	offered = slices.Compact(offered)
	choices := make([]choice, 0, len(offered))
	for _, d := range offered {
		choices = append(choices, choice{int(d.Seconds()), inWords(d), d == selected})
	}
	return choices, capText(most, byRole)
}

// serviceName is a console's page by its short name: s3, cloudwatch.
var serviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,40}$`)

// opens is the console page that a link asks for, as far as a hand-out would
// open it, and whether it asks for another. A page that is refused in the end
// must not stand in the form, as if somebody had chosen it.
func (s *Server) opens(account gatehouse.Account, region, wish string) (page string, leftOut bool) {
	if page = consoleWish(wish); page != "" && s.deps.Broker.Opens(account, region, page) {
		return page, false
	}
	return "", wish != ""
}

// consoleWish is a console page that a link asks for, if it may be one: an
// https address or a service's name. Whose console has it, the Broker judges.
func consoleWish(wish string) string {
	if serviceName.MatchString(wish) {
		return wish
	}
	u, err := url.Parse(wish)
	loop := err == nil && u.Scheme == "http" && isLoopback(u.Hostname()) // the demo's
	if err != nil || u.Scheme != "https" && !loop || u.Host == "" || len(wish) > longestNext {
		return ""
	}
	return wish
}

var (
	regionName = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]{2,12}){1,3}-[0-9]{1,2}$`)
	unfit      = regexp.MustCompile(`[^a-z0-9]+`)
)

// firstRegion is the first that has the shape of a region's name.
func firstRegion(regions ...string) string {
	for _, name := range regions {
		if regionName.MatchString(name) {
			return name
		}
	}
	return ""
}

// profileFor is the name that a profile gets unless the person has a better
// one, by the operator's template: payments-readonly. A name with nothing of
// ASCII gives way to the number.
func (s *Server) profileFor(e gatehouse.Entitlement) string {
	return export.ProfileFor(s.cfg.Portal.Profile, placeOf(e))
}

// placeOf is a role as ~/.aws/config names it.
func placeOf(e gatehouse.Entitlement) export.Place {
	return export.Place{Account: e.Account.ID, Name: e.Account.Name, Environment: e.Account.Environment, Role: e.Role.Name, Region: e.Account.Region}
}

// scoped is the profile's name with its limits, so that nobody takes one for
// the whole role.
func scoped(profile, scope string) string {
	if scope == "" || strings.HasSuffix(profile, "-"+scope) {
		return profile
	}
	return profile[:min(len(profile), 63-len(scope))] + "-" + scope
}
