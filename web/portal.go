package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// portalPage lists what somebody may have.
type portalPage struct {
	frame
	Name     string
	Counts   string // "12 accounts, 31 roles."
	Until    moment
	Stale    *moment // the list is from then: the directory does not answer
	Password string  // "in 5 days": when it expires, if that is soon
	None     bool    // no roles at all
	Username string
	Groups   string // "You are in 4 groups, none of which gives a role."
	Found    bool   // something matches the search
	Sections []section

	Applications []application
}

// application is a service provider that the person may open.
type application struct{ Name, Path string }

// section is the accounts of one environment.
type section struct {
	Title    string
	Accounts []account
}

// account is one row.
type account struct {
	accountView
	Roles []role
}

// accountView is an account as pages show it.
type accountView struct {
	ID, Digits, Name, Owner string
	Environment             string // in full: production
	Colour                  string // a class of the style sheet
}

// role is one pair of buttons.
type role struct {
	Name    string
	Path    string // of its page; a POST there hands it out
	Open    string // what the first button does, for those who only hear it
	Keys    string // what the second does
	Primary bool   // the one to take first
	Blocked bool   // a rule gives it, but it cannot be handed out; its page says why
}

// portal shows everything that the person may have, or what of it matches
// the search box.
func (s *Server) portal(w http.ResponseWriter, r *http.Request, v *visit) error {
	stale, err := s.refresh(w, r, v)
	if err != nil {
		return err
	}
	who := v.Session
	p := portalPage{frame: s.frame(&who, "portal.js"), Username: who.User.Username}
	p.Query = r.URL.Query().Get("q")
	p.Name = firstName(who.User)
	p.Until = momentOf(s.sessions.end(v))
	if stale {
		at := momentOf(who.User.ReadAt)
		p.Stale = &at
	}
	p.Password = expiresSoon(who.User.PasswordExpires, s.now(), s.cfg.Portal.PasswordNotice)
	all := s.deps.Broker.Entitlements(who)
	p.None = len(all) == 0
	p.Groups = groupsHint(len(who.User.Groups))
	rows := rowsOf(all)
	p.Counts = count(len(rows), "account") + ", " + count(len(all), "role") + "."
	p.Sections = sectionsOf(matching(rows, p.Query))
	p.Found = len(p.Sections) > 0
	p.Applications = applicationsOf(s.deps.Broker.Applications(who), p.Query)
	return s.render(w, http.StatusOK, "portal.html", p)
}

// applicationsOf are those that match the search box. Opening one begins a
// sign-in there, as a link on any other page would.
func applicationsOf(all []gatehouse.Application, query string) []application {
	var list []application
	for _, a := range all {
		if strings.Contains(strings.ToLower(a.Name), strings.ToLower(strings.TrimSpace(query))) {
			list = append(list, application{a.Name, "/saml/launch?" + url.Values{"sp": {a.EntityID}}.Encode()})
		}
	}
	return list
}

// expiresSoon says how soon, in days, or nothing when it is not within the time.
func expiresSoon(at, now time.Time, within time.Duration) string {
	left := at.Sub(now)
	switch {
	case at.IsZero() || left > within:
		return ""
	case left < 24*time.Hour:
		return "today"
	}
	return "in " + count(int(left.Hours()/24), "day")
}

// firstName is what a greeting calls somebody.
func firstName(u gatehouse.User) string {
	if given := u.Attributes["givenname"]; len(given) > 0 && given[0] != "" {
		return given[0]
	}
	name := displayName(u)
	if first, _, ok := strings.Cut(name, " "); ok && !strings.ContainsAny(name, ",(\"") {
		return first
	}
	return name
}

func groupsHint(n int) string {
	switch n {
	case 0:
		return "The directory lists you in no group."
	case 1:
		return "The directory lists you in 1 group, and it gives no role."
	}
	return "The directory lists you in " + count(n, "group") + ", and none of them gives a role."
}

// rowsOf gathers entitlements by account: accounts by name, and in each the
// least privileged role first.
func rowsOf(all []gatehouse.Entitlement) []account {
	at := map[string]int{}
	var rows []account
	for _, e := range all {
		i, ok := at[e.Account.ID]
		if !ok {
			i = len(rows)
			at[e.Account.ID] = i
			rows = append(rows, account{accountView: viewOf(e.Account)})
		}
		rows[i].Roles = append(rows[i].Roles, pairOf(e))
	}
	for i := range rows {
		slices.SortStableFunc(rows[i].Roles, byPrivilege)
		rows[i].Roles[0].Primary = !rows[i].Roles[0].Blocked
	}
	slices.SortStableFunc(rows, func(a, b account) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
	})
	return rows
}

func pairOf(e gatehouse.Entitlement) role {
	name, account := e.Role.Name, cmp.Or(e.Account.Name, e.Account.ID)
	r := role{Name: name, Path: rolePath(e.Account.ID, name), Blocked: e.Blocked != ""}
	r.Open, r.Keys = name+", open the console of "+account, "Keys for "+name+" in "+account
	if r.Blocked {
		r.Keys = "Why not " + name + " in " + account
	}
	return r
}

func viewOf(a gatehouse.Account) accountView {
	env := environmentInFull(a.Environment)
	return accountView{ID: a.ID, Digits: gatehouse.GroupDigits(a.ID), Name: cmp.Or(a.Name, a.ID), Owner: a.Owner,
		Environment: env, Colour: cmp.Or(colours[env], "gray")}
}

// colours of environments; any other is gray.
var colours = map[string]string{"production": "red", "staging": "amber", "development": "green", "shared": "violet"}

// environmentInFull writes the usual short words out; any other stays.
func environmentInFull(word string) string {
	switch w := strings.ToLower(word); w {
	case "prod", "prd", "production", "live":
		return "production"
	case "stage", "stg", "staging":
		return "staging"
	case "dev", "development":
		return "development"
	case "shared":
		return w
	}
	return word
}

// Words in role names that tell how much they may do, the least first. It is
// a guess from names: it decides an accent and an order, nothing else.
var (
	lookers = []string{"readonly", "read-only", "read_only", "viewonly", "view", "audit", "reader", "billing"}
	movers  = []string{"poweruser", "admin", "owner", "fullaccess", "breakglass", "root"}
)

func byPrivilege(a, b role) int {
	return cmp.Or(cmp.Compare(privilege(a.Name), privilege(b.Name)), strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
}

// privilege orders role names: those that look, those that nobody can tell,
// those that move things.
func privilege(name string) int {
	name = strings.ToLower(name)
	in := func(word string) bool { return strings.Contains(name, word) }
	if i := slices.IndexFunc(lookers, in); i >= 0 {
		return i - len(lookers)
	}
	return slices.IndexFunc(movers, in) + 1
}

// matching keeps the roles that match every word of the search: each word is
// in the role's name, or in what the row says of its account. portal.js
// filters by the same rule.
func matching(rows []account, query string) []account {
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 {
		return rows
	}
	var found []account
	for _, row := range rows {
		about := strings.ToLower(strings.Join([]string{row.Name, row.Environment, row.ID, row.Digits, row.Owner}, "\n"))
		row.Roles = slices.DeleteFunc(slices.Clone(row.Roles), func(r role) bool {
			name := strings.ToLower(r.Name)
			return slices.ContainsFunc(words, func(w string) bool {
				return !strings.Contains(name, w) && !strings.Contains(about, w)
			})
		})
		if len(row.Roles) > 0 {
			found = append(found, row)
		}
	}
	return found
}

// order of the sections; other environments follow by name, and accounts
// without one come last.
var order = []string{"production", "staging", "development", "shared"}

// sectionsOf groups rows by environment.
func sectionsOf(rows []account) []section {
	by := map[string][]account{}
	var names []string
	for _, row := range rows {
		if by[row.Environment] == nil {
			names = append(names, row.Environment)
		}
		by[row.Environment] = append(by[row.Environment], row)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
	sections := make([]section, 0, len(names))
	for _, name := range names {
		sections = append(sections, section{Title: cmp.Or(capital(name), "Other accounts"), Accounts: by[name]})
	}
	return sections
}

func rank(environment string) int {
	if i := slices.Index(order, environment); i >= 0 {
		return i
	}
	if environment == "" {
		return len(order) + 1
	}
	return len(order)
}

// capital is word with a capital first letter.
func capital(word string) string {
	for i, r := range word {
		return strings.ToUpper(string(r)) + word[i+len(string(r)):]
	}
	return ""
}
