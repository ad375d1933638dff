package web

import (
	"cmp"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"gatehouse"
)

// sought is what a shared link is about, as far as it says so.
type sought struct {
	account string // number or name; empty: not said
	role    string // empty: not said
	query   url.Values
}

// pickPage asks which role a link means.
type pickPage struct {
	frame
	Missing  string // a role that the link names and the person does not have
	Account  string // an account, likewise, as far as it is known by name
	There    string // the account that has other roles of theirs; empty: there is not just one
	Why      string // where it says why not; empty: the link does not say enough
	Opens    string // the console page that waits
	LeftOut  bool   // the link asks for another, which no console of theirs has
	Keep     string // "?destination=…": what each choice takes along
	Sections []section
}

// multiSession is the host of a console beside others in one browser: it
// begins with the account (AWS Management Console, "Multi-session support").
var multiSession = regexp.MustCompile(`^([0-9]{12})-[a-z0-9]{1,16}\.(?:([a-z0-9-]+)\.)?console\.`)

// consoleRegion is the region in the host of a console page.
var consoleRegion = regexp.MustCompile(`^(?:[0-9]{12}-[a-z0-9]{1,16}\.)?([a-z]{2,4}-[a-z0-9-]+)\.console\.`)

// seek reads a link: ours, or the names that AWS's own portal gives its
// shortcuts (account_id, role_name, destination).
func seek(r *http.Request) sought {
	q := r.URL.Query()
	g := sought{account: cmp.Or(r.PathValue("account"), q.Get("account"), q.Get("account_id")), query: url.Values{},
		role: cmp.Or(r.PathValue("role"), q.Get("role"), q.Get("role_name"))}
	wish := consoleWish(cmp.Or(q.Get("url"), q.Get("destination")))
	region := q.Get("region")
	if u, err := url.Parse(wish); err == nil && u.Host != "" {
		if m := multiSession.FindStringSubmatch(u.Host); m != nil {
			g.account = cmp.Or(g.account, m[1])
		}
		if m := consoleRegion.FindStringSubmatch(u.Host); m != nil {
			region = cmp.Or(region, m[1])
		}
		region = cmp.Or(region, u.Query().Get("region"))
	}
	for name, value := range map[string]string{"destination": wish, "region": firstRegion(region), "duration": q.Get("duration"), "scope": q.Get("scope")} {
		if value != "" {
			g.query.Set(name, value)
		}
	}
	g.account = strings.ReplaceAll(g.account, " ", "")
	return g
}

// followLink leads to the role that a link means: the one it names, else the
// least privileged one held in the account; else it asks. It only leads to
// the role's page, since GET grants nothing.
func (s *Server) followLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	if _, err := s.refresh(w, r, v); err != nil {
		return err
	}
	g := seek(r)
	rows := ofAccount(s.held(v.Session).rows, g.account)
	if g.role != "" {
		if path := only(withRole(rows, g.role)); path != "" {
			return leadTo(w, path, g)
		}
	} else if len(rows) == 1 {
		return leadTo(w, rows[0].Roles[0].Path, g)
	}
	return s.pick(w, v, g, rows)
}

func leadTo(w http.ResponseWriter, path string, g sought) error {
	if len(g.query) > 0 {
		path += "?" + g.query.Encode()
	}
	redirect(w, path)
	return nil
}

// ofAccount is the rows that a word for an account means: by number, by the
// whole name, else by the beginning of a name. No word means all.
func ofAccount(rows []account, word string) []account {
	word = strings.ToLower(word)
	for _, means := range []func(account) bool{
		func(a account) bool { return a.ID == word || word == "" },
		func(a account) bool { return accountSlug(gatehouse.Account{ID: a.ID, Name: a.Name}) == word },
		func(a account) bool {
			return strings.HasPrefix(accountSlug(gatehouse.Account{ID: a.ID, Name: a.Name}), word+"-")
		},
	} {
		found := slices.DeleteFunc(slices.Clone(rows), func(a account) bool { return !means(a) })
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// withRole keeps the roles of that name.
func withRole(rows []account, name string) (list []account) {
	for _, row := range rows {
		row.Roles = slices.DeleteFunc(slices.Clone(row.Roles), func(r role) bool { return !strings.EqualFold(r.Name, name) })
		if len(row.Roles) > 0 {
			list = append(list, row)
		}
	}
	return list
}

// only is the path of the only role there is, else nothing.
func only(rows []account) string {
	if len(rows) != 1 || len(rows[0].Roles) != 1 {
		return ""
	}
	return rows[0].Roles[0].Path
}

// whyOf is where it says why not, for a role or for all of an account.
func whyOf(account, role string) string {
	if !gatehouse.RoleName.MatchString(role) {
		return "/why/" + account
	}
	return whyPath(account, role)
}

// wayToAsk is what to call an account that somebody has no role in, and where
// it says why not; that is empty for a word that stands for no account.
func (s *Server) wayToAsk(g sought) (name, why string) {
	if gatehouse.AccountID.MatchString(g.account) {
		return gatehouse.GroupDigits(g.account), whyOf(g.account, g.role)
	}
	a, ok := s.named(g.account)
	if !ok {
		return g.account, ""
	}
	return viewOf(a).Name, whyOf(a.ID, g.role) + "?" + url.Values{"account": {accountSlug(a)}}.Encode()
}

// named is the account that a word for it stands for, whoever asks: a link
// that somebody shared names it so, and who asks for the role needs the number.
// It tells no more than who has the whole name already knows, and the number:
// the beginning of a name finds nothing, nor a name that several have.
func (s *Server) named(word string) (gatehouse.Account, bool) {
	var found []gatehouse.Account
	for _, a := range s.deps.Broker.Accounts() {
		if accountSlug(a) == strings.ToLower(word) {
			found = append(found, a)
		}
	}
	if len(found) != 1 {
		return gatehouse.Account{}, false
	}
	return found[0], true
}

// pick asks which role is meant, and says how to ask for one that is not held.
func (s *Server) pick(w http.ResponseWriter, v *visit, g sought, rows []account) error {
	p := pickPage{frame: s.frame(v, "")}
	status := http.StatusOK
	if named := withRole(rows, g.role); g.role != "" && len(named) > 0 {
		rows = named
	} else if g.role != "" {
		p.Missing, status = g.role, http.StatusForbidden
	}
	switch {
	case g.account != "" && len(rows) == 0:
		status = http.StatusForbidden
		p.Account, p.Why = s.wayToAsk(g)
	case p.Missing != "" && g.account != "" && len(rows) == 1:
		p.There, p.Why = rows[0].Name, whyOf(rows[0].ID, g.role)
	}
	if wish := g.query.Get("destination"); wish != "" && len(rows) > 0 {
		if p.LeftOut = !s.openedBy(v, rows, g.query.Get("region"), wish); p.LeftOut {
			g.query.Del("destination")
		} else if u, err := url.Parse(wish); err == nil {
			p.Opens = u.Host + u.Path
		}
	}
	if len(g.query) > 0 {
		p.Keep = "?" + g.query.Encode()
	}
	p.Sections = sectionsOf(rows)
	return s.render(w, status, "pick.html", p)
}

// openedBy reports whether a console of any of the accounts opens at wish.
func (s *Server) openedBy(v *visit, rows []account, region, wish string) bool {
	return slices.ContainsFunc(s.held(v.Session).all, func(e gatehouse.Entitlement) bool {
		mine := slices.ContainsFunc(rows, func(a account) bool { return a.ID == e.Account.ID })
		return mine && s.deps.Broker.Opens(e.Account, region, wish)
	})
}
