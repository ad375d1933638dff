package web

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/export"
)

// portalPage lists what somebody may have. What makes it long stands apart:
// the sections, which listHere and shelvesHere hold the places of.
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
	Alive    string // "Keys of 2 roles are still good; the first end at"
	Next     *moment
	Once     string // names one click: see twice.go

	ShelvesHere, ListHere string

	Applications []application
	Opened       []application // the starred ones, above the roles
	Strange      []programView // command-line sign-ins in new places
}

// application is a service provider that the person may open.
type application struct {
	Name, ID, Path string
	Starred        bool
}

// section is the accounts of one environment, or of a shelf.
type section struct {
	Title    string
	Shelf    string // not empty: it repeats what is further down
	Accounts []account
}

// account is one row.
type account struct {
	accountView
	Starred bool
	Roles   []role
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
	Primary bool   // the one to take first
	Blocked bool   // a rule gives it, but it cannot be handed out; its page says why
}

// Where the sections go in the page. Nobody can write these into a name: they
// are made anew by each process.
var shelvesHere, listHere = "shelves" + rand.Text(), "list" + rand.Text()

// portal shows everything that the person may have, or what of it matches
// the search box.
func (s *Server) portal(w http.ResponseWriter, r *http.Request, v *visit) error {
	stale, err := s.refresh(w, r, v)
	if err != nil {
		return err
	}
	who := v.Session
	held, likes := s.held(who), s.taste(r, who)
	p := portalPage{frame: s.frame(v, "portal.js"), Username: who.User.Username, Once: newClick(),
		ShelvesHere: shelvesHere, ListHere: listHere, Found: true}
	p.Query = r.URL.Query().Get("q")
	p.Name = firstName(who.User)
	p.Until = momentOf(s.sessions.end(v))
	if stale {
		at := momentOf(who.User.ReadAt)
		p.Stale = &at
	}
	p.Password = expiresSoon(who.User.PasswordExpires, s.now(), *s.cfg.Portal.PasswordNotice)
	p.Strange = s.strange(r, who)
	p.None = len(held.rows) == 0
	p.Groups = groupsHint(len(who.User.Groups))
	p.Counts = held.counts
	p.Alive, p.Next = alive(likes, s.now())
	p.Applications = applicationsOf(s.deps.Broker.Applications(who), p.Query, likes.applications)
	if p.Query == "" {
		p.Opened = slices.DeleteFunc(slices.Clone(p.Applications), func(a application) bool { return !a.Starred })
	}
	if p.Query != "" || p.None {
		return s.showFound(w, held, likes, p)
	}
	return s.showAll(w, r, held, likes, p)
}

// showAll answers with the whole list, most of which is kept from before.
func (s *Server) showAll(w http.ResponseWriter, r *http.Request, held held, likes taste, p portalPage) error {
	var frame bytes.Buffer
	if err := s.pages.Execute(&frame, "portal.html", p); err != nil {
		return fmt.Errorf("render: %w", err)
	}
	shelf, err := s.keptSections(keyOf([]byte("shelves"), held.digest[:], likes.raw), func() []section {
		return shelves(likes.star(held.rows), likes)
	})
	if err != nil {
		return err
	}
	stars, _ := json.Marshal(likes.favourites) // strings only: cannot fail
	whole, err := s.keptSections(keyOf([]byte("list"), held.digest[:], stars), func() []section {
		return sectionsOf(likes.star(held.rows))
	})
	if err != nil {
		return err
	}
	before, rest, _ := bytes.Cut(frame.Bytes(), []byte(shelvesHere))
	between, after, _ := bytes.Cut(rest, []byte(listHere))
	writePieces(w, r, []piece{{fresh: before}, {made: shelf}, {fresh: between}, {made: whole}, {fresh: after}})
	return nil
}

// keptSections is some sections as kept under key, made when they are not.
func (s *Server) keptSections(key [sha256.Size]byte, sections func() []section) (*portion, error) {
	if k, ok := s.kitchen.get(key).(*portion); ok {
		return k, nil
	}
	var b bytes.Buffer
	if err := s.pages.Part(&b, "portal.html", "sections", sections()); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	k := keep(b.Bytes())
	s.kitchen.put(key, k.cost(), k)
	return k, nil
}

// showFound answers with what matches a search, for who has no script. It is
// never compressed: what somebody typed, or a link made them type, does not
// share a stream with what only they may know (RFC 7457 §2.6 has the attack).
func (s *Server) showFound(w http.ResponseWriter, held held, likes taste, p portalPage) error {
	sections := sectionsOf(matching(likes.star(held.rows), p.Query))
	p.Found, p.ShelvesHere = len(sections)+len(p.Applications) > 0, ""
	var frame, list bytes.Buffer
	if err := s.pages.Execute(&frame, "portal.html", p); err != nil {
		return fmt.Errorf("render: %w", err)
	}
	if err := s.pages.Part(&list, "portal.html", "sections", sections); err != nil {
		return fmt.Errorf("render: %w", err)
	}
	before, after, _ := bytes.Cut(frame.Bytes(), []byte(listHere))
	write(w, http.StatusOK, htmlType, slices.Concat(before, list.Bytes(), after))
	return nil
}

// held is what somebody may have, arranged.
type held struct {
	all    []gatehouse.Entitlement
	rows   []account
	counts string
	digest [sha256.Size]byte // the same for the same rows
}

// heldFor bounds how long an arrangement is shown again: what a hand-out
// rests on is settled by the Broker when it is asked for.
const heldFor = time.Minute

type heldUntil struct {
	held
	readAt, until time.Time
}

// held arranges what somebody may have, once for what the directory said of them.
func (s *Server) held(who gatehouse.Session) held {
	key := keyOf([]byte("held"), []byte(who.User.Key()))
	if h, ok := s.kitchen.get(key).(heldUntil); ok && h.readAt.Equal(who.User.ReadAt) && s.now().Before(h.until) {
		return h.held
	}
	h := heldUntil{readAt: who.User.ReadAt, until: s.now().Add(heldFor)}
	h.all = s.deps.Broker.Entitlements(who)
	h.rows = rowsOf(h.all)
	h.counts = heldInAll(len(h.rows), len(h.all))
	for _, e := range h.all {
		if !e.Until.IsZero() && e.Until.Before(h.until) {
			h.until = e.Until
		}
	}
	said, _ := json.Marshal(h.rows) // texts only: cannot fail
	h.digest = sha256.Sum256(said)
	s.kitchen.put(key, 1024*len(h.all), h)
	return h.held
}

// star marks the rows that are favourites, in a copy of them.
func (t taste) star(rows []account) []account {
	if len(t.favourites) == 0 {
		return rows
	}
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].Starred = slices.Contains(t.favourites, rows[i].ID)
	}
	return rows
}

// alive says how many roles were handed out and are still good, and when the
// first of them ends.
func alive(t taste, now time.Time) (string, *moment) {
	n, first := 0, int64(0)
	for _, u := range t.uses {
		if u.Until > now.Unix() {
			n++
			if first == 0 || u.Until < first {
				first = u.Until
			}
		}
	}
	if n == 0 {
		return "", nil
	}
	at := momentOf(time.Unix(first, 0))
	return stillGood(n), &at
}

// applicationsOf are those whose names hold every word of the search box.
func applicationsOf(all []gatehouse.Application, query string, starred []string) (list []application) {
	words := strings.Fields(strings.ToLower(query))
	for _, a := range all {
		name := strings.ToLower(a.Name)
		if slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(name, w) }) {
			continue
		}
		list = append(list, applicationOf(a.Name, a.EntityID, slices.Contains(starred, a.EntityID)))
	}
	return list
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
	return role{Name: e.Role.Name, Path: rolePath(e.Account.ID, e.Role.Name), Blocked: e.Blocked != ""}
}

func viewOf(a gatehouse.Account) accountView {
	env := export.EnvironmentInFull(a.Environment)
	return accountView{ID: a.ID, Digits: gatehouse.GroupDigits(a.ID), Name: cmp.Or(straight.Replace(a.Name), a.ID), Owner: straight.Replace(a.Owner),
		Environment: straight.Replace(env), Colour: cmp.Or(a.Colour, colours[env], "gray")}
}

// straight is a name without the characters that turn around what stands
// beside it (UAX #9, explicit formatting): titles and options are plain text,
// where nothing else ends them. Hebrew and Arabic need none of them.
var straight = strings.NewReplacer("\u202a", "", "\u202b", "", "\u202c", "", "\u202d", "", "\u202e", "", "\u2066", "", "\u2067", "", "\u2068", "", "\u2069", "")

// colours of environments, unless the account has one of its own; any other is gray.
var colours = map[string]string{"production": "red", "staging": "amber", "development": "green", "shared": "violet"}

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
		sections = append(sections, section{Title: cmp.Or(capital(name), othersTitle), Accounts: by[name]})
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
