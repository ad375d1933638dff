package web

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
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

// suggestions are regions that the region field offers; any other may be typed.
var suggestions = []string{
	"ap-northeast-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ca-central-1", "eu-central-1", "eu-north-1",
	"eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
}

// textForm is one tab: a form of credentials as text, under the words that
// AWS's own portal uses.
type textForm struct {
	Form           gatehouse.Form
	Label, Heading string
}

var textForms = []textForm{
	{gatehouse.FormBash, "macOS and Linux", "Option 1: Set AWS environment variables"},
	{gatehouse.FormFish, "fish", "Option 1: Set AWS environment variables"},
	{gatehouse.FormPowerShell, "PowerShell", "Option 1: Set AWS environment variables"},
	{gatehouse.FormCmd, "Windows cmd", "Option 1: Set AWS environment variables"},
	{gatehouse.FormINI, "Credentials file", "Option 2: Add a profile to your AWS credentials file"},
	{gatehouse.FormEnv, ".env", "Option 3: Use individual values in your AWS service client"},
	{gatehouse.FormJSON, "JSON", "The output of a credential_process"},
}

// rolePage is one role.
type rolePage struct {
	frame
	Account     accountView
	Role        string
	Path        string // where the form posts
	Profile     string
	Region      string
	Regions     []string
	Durations   []choice
	Cap         string // why there are no longer ones
	Destination string // console page to open, as asked for
	Opens       string // its host and path, for people
	Texts       []textForm
	Blocked     string // why it cannot be handed out; empty: it can
	Stale       *moment
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
	e, ok := find(s.deps.Broker.Entitlements(v.Session), r.PathValue("account"), r.PathValue("role"))
	if !ok {
		return fmt.Errorf("role page: %w", gatehouse.ErrNotEntitled)
	}
	q, script := r.URL.Query(), "role.js"
	if e.Blocked != "" {
		script = ""
	}
	p := rolePage{frame: s.frame(&v.Session, script), Account: viewOf(e.Account), Role: e.Role.Name,
		Path: rolePath(e.Account.ID, e.Role.Name), Texts: textForms, Regions: suggestions, Blocked: e.Blocked}
	p.Profile = profileFor(e)
	p.Region = firstRegion(q.Get("region"), e.Account.Region, s.deps.DefaultRegion)
	p.Durations, p.Cap = durations(e.MaxSession, q.Get("duration"))
	p.Destination, p.Opens = destination(q.Get("destination"))
	if stale {
		at := momentOf(v.Session.User.ReadAt)
		p.Stale = &at
	}
	return s.render(w, http.StatusOK, "role.html", p)
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
func durations(most time.Duration, wish string) ([]choice, string) {
	if most <= 0 || most > longest {
		most = longest
	}
	var offered []time.Duration
	for _, d := range lifetimes {
		if d < most {
			offered = append(offered, d)
		}
	}
	offered = append(offered, most)
	selected := min(usual, most)
	if n, err := strconv.Atoi(wish); err == nil && slices.Contains(offered, time.Duration(n)*time.Second) {
		selected = time.Duration(n) * time.Second
	}
	choices := make([]choice, 0, len(offered))
	for _, d := range offered {
		choices = append(choices, choice{int(d.Seconds()), inWords(d), d == selected})
	}
	if most == longest {
		return choices, "AWS allows at most 12 hours."
	}
	return choices, "Your access to this role is limited to " + inWords(most) + "."
}

// destination is a console page that a link asked for, and how to show it.
// Whether it may be opened is settled when it is, by the Broker.
func destination(wish string) (value, shown string) {
	u, err := url.Parse(wish)
	if err != nil || u.Scheme != "https" || u.Host == "" || len(wish) > longestNext {
		return "", ""
	}
	return wish, u.Host + u.Path
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
// one: payments-readonly. A name with nothing of ASCII gives way to the number.
func profileFor(e gatehouse.Entitlement) string {
	slug := func(s string) string { return strings.Trim(unfit.ReplaceAllString(strings.ToLower(s), "-"), "-") }
	name := slug(e.Account.Name)
	if name == "" || len(name) > 32 {
		name = e.Account.ID
	}
	name += "-" + slug(e.Role.Name)
	return strings.Trim(name[:min(len(name), 64)], "-")
}

// wish is what a form of the role's page asks for.
type wish struct {
	ask      gatehouse.Ask
	profile  string
	download bool
}

// readWish reads the form. What it names are claims: the Broker checks
// account, role, limits and destination.
func readWish(r *http.Request) (wish, error) {
	if err := readForm(r); err != nil {
		return wish{}, err
	}
	f, form := factsFrom(r.Context()), r.PostForm
	w := wish{profile: form.Get("profile"), download: form.Get("download") == "1"}
	w.ask = gatehouse.Ask{Account: r.PathValue("account"), Role: r.PathValue("role"), Form: gatehouse.Form(form.Get("as")),
		Region: strings.TrimSpace(form.Get("region")), Destination: form.Get("destination"), IP: f.ip, RequestID: f.id}
	if !slices.Contains(gatehouse.Forms, w.ask.Form) {
		return wish{}, &gatehouse.Invalid{Field: "as", Why: "Choose a console or one of the forms on the role's page."}
	}
	if w.ask.Region != "" && !regionName.MatchString(w.ask.Region) {
		return wish{}, &gatehouse.Invalid{Field: "region", Why: "Write the region as AWS does, for example eu-west-1."}
	}
	if w.profile != "" {
		if err := export.ProfileName(w.profile); err != nil {
			return wish{}, err
		}
	}
	var err error
	w.ask.Duration, err = readDuration(form.Get("duration"))
	return w, err
}

// readDuration reads whole seconds; nothing means the longest allowed.
func readDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	d := time.Duration(n) * time.Second
	if err != nil || d < shortest || d > longest {
		return 0, &gatehouse.Invalid{Field: "duration", Why: "Choose between 15 minutes and 12 hours."}
	}
	return d, nil
}

// handOut grants a role and answers in the form that was asked for.
func (s *Server) handOut(w http.ResponseWriter, r *http.Request, v *visit) error {
	want, err := readWish(r)
	if err != nil {
		return err
	}
	g, err := s.deps.Broker.Grant(r.Context(), v.Session, want.ask)
	if err != nil {
		return err
	}
	switch {
	case g.Post != nil:
		return s.Post(w, r, *g.Post)
	case want.ask.Form == gatehouse.FormConsole:
		lowered := ""
		if want.ask.Duration > 0 {
			lowered = loweredText(g)
		}
		return s.leave(w, r, string(g.ConsoleURL), "the AWS console", lowered)
	case wantsJSON(r):
		return s.allTexts(w, g, want)
	}
	return s.text(w, g, want)
}

// options are what an export needs beside the credentials.
func (s *Server) options(g access.Grant, want wish) export.Options {
	profile := want.profile
	if profile == "" {
		profile = profileFor(g.Entitlement)
	}
	return export.Options{Profile: profile, Region: firstRegion(g.Ask.Region, g.Entitlement.Account.Region, s.deps.DefaultRegion),
		STSEndpoint: s.deps.STSEndpoint}
}

// text answers with one form, to see or to keep as a file.
func (s *Server) text(w http.ResponseWriter, g access.Grant, want wish) error {
	t, err := export.Render(want.ask.Form, g.Credentials, s.options(g, want))
	if err != nil {
		return fmt.Errorf("hand-out: %w", err)
	}
	if want.download {
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": t.Filename}))
	}
	if g.LoweredFrom > 0 {
		w.Header().Set("X-Gatehouse-Lowered-From", strconv.Itoa(int(g.LoweredFrom.Seconds())))
	}
	write(w, http.StatusOK, t.ContentType, []byte(t.Body))
	return nil
}

// handedOut is one hand-out in every form, for the role page's module.
type handedOut struct {
	Expires time.Time                        `json:"expires"`
	Lasts   int                              `json:"lasts"`             // seconds
	Lowered string                           `json:"lowered,omitempty"` // a sentence
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
		Lowered: loweredText(g), Forms: map[gatehouse.Form]handedOutText{}}
	for _, f := range textForms {
		t, err := export.Render(f.Form, g.Credentials, s.options(g, want))
		if err != nil {
			return fmt.Errorf("hand-out as %s: %w", f.Form, err)
		}
		out.Forms[f.Form] = handedOutText{t.Body, t.Filename}
	}
	return writeJSON(w, http.StatusOK, out)
}
