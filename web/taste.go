package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// taste is what is kept of a person to find their roles sooner: the accounts
// they starred, and the roles they took. It decides nothing but an order.
type taste struct {
	favourites   []string       // account numbers, as they were starred
	applications []string       // entity IDs, likewise
	uses         map[string]use // by useKey
	raw          []byte         // what both came from; the same bytes make the same shelves
}

// use is how a person took a role until now.
type use struct {
	At      int64   `json:"at"`                // Unix seconds of the last time
	Count   int     `json:"count"`             // how often
	Weight  float64 `json:"weight"`            // how often, halved every halfLife, as of At
	Until   int64   `json:"until,omitempty"`   // when the longest of what was handed out ends
	Profile string  `json:"profile,omitempty"` // as it was last named by hand
	Region  string  `json:"region,omitempty"`  // as it was last chosen by hand
}

// Keys of what is kept of a person.
const (
	favouritesKey = "favourites"
	openedKey     = "applications" // favourite ones
	usesKey       = "uses"
)

const (
	mostFavourites = 100
	mostUses       = 60
	halfLife       = 14 * 24 * time.Hour
)

func useKey(account, role string) string { return account + "/" + role }

// taste reads what is kept of a person. Without it a page is only less handy:
// a store that does not answer is noted, no more.
func (s *Server) taste(r *http.Request, who gatehouse.Session) taste {
	t := taste{uses: map[string]use{}}
	if s.deps.People == nil {
		return t
	}
	all, err := s.deps.People.Preferences(r.Context(), who.User.Key())
	if err != nil {
		s.note(r, "preferences not read", err)
		return t
	}
	t.favourites = favouritesFrom(all[favouritesKey])
	_ = json.Unmarshal(all[openedKey], &t.applications)
	_ = json.Unmarshal(all[usesKey], &t.uses) // what is damaged is as good as nothing
	if t.uses == nil {
		t.uses = map[string]use{}
	}
	t.raw = slices.Concat(all[favouritesKey], []byte{0}, all[usesKey])
	return t
}

func favouritesFrom(body []byte) (list []string) {
	_ = json.Unmarshal(body, &list)
	return slices.DeleteFunc(list, func(id string) bool { return !gatehouse.AccountID.MatchString(id) })
}

// change gives a preference another value, made of the one that is there.
func (s *Server) change(ctx context.Context, person, key string, next func(old []byte) any) error {
	for tries := 1; ; tries++ {
		all, err := s.deps.People.Preferences(ctx, person)
		if err != nil {
			return err
		}
		body, err := json.Marshal(next(all[key]))
		if err != nil {
			return err
		}
		err = s.deps.People.SwapPreference(ctx, person, key, all[key], body)
		if !errors.Is(err, gatehouse.ErrConflict) || tries == 5 {
			return err
		}
	}
}

// favourite stars an account or an application, or takes the star away. Either
// is the same however often it is asked for. Our own module reads the new list.
func (s *Server) favourite(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := readForm(r); err != nil {
		return err
	}
	star, unstar := r.PostForm.Get("star"), r.PostForm.Get("unstar")
	id, key := cmp.Or(star, unstar), favouritesKey
	if !gatehouse.AccountID.MatchString(id) {
		key = openedKey
		if !slices.ContainsFunc(s.deps.Broker.Applications(v.Session), func(a gatehouse.Application) bool { return a.EntityID == id }) {
			return &gatehouse.Invalid{Field: "star", Why: whyStar}
		}
	}
	if s.deps.People == nil {
		return gatehouse.ErrNotFound
	}
	var list []string
	err := s.change(r.Context(), v.Session.User.Key(), key, func(old []byte) any {
		list = []string{}
		_ = json.Unmarshal(old, &list)
		list = slices.DeleteFunc(list, func(have string) bool { return have == id })
		if star != "" && len(list) < mostFavourites {
			list = append(list, id)
		}
		return list
	})
	if err != nil {
		return err
	}
	if wantsJSON(r) {
		return writeJSON(w, http.StatusOK, map[string][]string{key: list})
	}
	redirect(w, "/")
	return nil
}

// took remembers that a role was handed out, after the answer has left: it is
// worth neither a person's wait nor a refusal.
func (s *Server) took(r *http.Request, person string, taken []taken) {
	if s.deps.People == nil || len(taken) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 2*time.Second)
	defer cancel()
	err := s.change(ctx, person, usesKey, func(old []byte) any {
		uses := map[string]use{}
		_ = json.Unmarshal(old, &uses)
		if uses == nil {
			uses = map[string]use{}
		}
		for _, t := range taken {
			uses[t.key] = uses[t.key].once(t, s.now())
		}
		return newest(uses)
	})
	if err != nil {
		s.note(r, "use not remembered", err)
	}
}

// taken is one hand-out as it is remembered.
type taken struct {
	key, profile, region string
	until                time.Time
}

// once is u after one time more.
func (u use) once(t taken, now time.Time) use {
	u.Weight = u.weight(now) + 1
	u.Count++
	u.At = now.Unix()
	if !t.until.IsZero() {
		u.Until = max(u.Until, t.until.Unix())
	}
	u.Profile, u.Region = cmp.Or(t.profile, u.Profile), cmp.Or(t.region, u.Region)
	return u
}

// weight is how much u counts at a time.
func (u use) weight(at time.Time) float64 {
	age := at.Sub(time.Unix(u.At, 0))
	return u.Weight * math.Exp2(-age.Hours()/halfLife.Hours())
}

// newest keeps the uses that matter.
func newest(uses map[string]use) map[string]use {
	if len(uses) <= mostUses {
		return uses
	}
	keys := usesBy(uses, func(a, b use) int { return cmp.Compare(b.At, a.At) })
	for _, key := range keys[mostUses:] {
		delete(uses, key)
	}
	return uses
}

// usesBy lists the keys in an order.
func usesBy(uses map[string]use, order func(a, b use) int) []string {
	keys := make([]string, 0, len(uses))
	for key := range uses {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(order(uses[a], uses[b]), strings.Compare(a, b)) })
	return keys
}

// How much goes onto the shelves, and how many roles need them at all.
const (
	shelfSize = 5
	often     = 3
	fewEnough = 8 // a list of no more roles is its own shelf
)

// shelves are what a person most likely wants, above the whole list: what
// they starred, what they took last, and what they take most.
func shelves(rows []account, t taste) []section {
	list := []section{{Title: favouritesTitle, Shelf: "favourites", Accounts: starred(rows)}}
	roles := 0
	for _, row := range rows {
		roles += len(row.Roles)
	}
	if roles <= fewEnough {
		return list
	}
	recent := usesBy(t.uses, func(a, b use) int { return cmp.Compare(b.At, a.At) })
	recent = recent[:min(len(recent), shelfSize)]
	ref := time.Unix(0, 0) // all weights fall alike, so any time compares them
	most := slices.DeleteFunc(usesBy(t.uses, func(a, b use) int {
		return cmp.Compare(math.Log2(b.Weight)+b.since(ref), math.Log2(a.Weight)+a.since(ref))
	}),
		func(key string) bool { return t.uses[key].Count < often || slices.Contains(recent, key) })
	list = append(list, section{Title: recentTitle, Shelf: "recent", Accounts: chosen(rows, recent)})
	return append(list, section{Title: mostUsedTitle, Shelf: "most", Accounts: chosen(rows, most[:min(len(most), shelfSize)])})
}

// since is how many half-lives lie between ref and the last use.
func (u use) since(ref time.Time) float64 {
	return time.Unix(u.At, 0).Sub(ref).Hours() / halfLife.Hours()
}

func starred(rows []account) (list []account) {
	for _, row := range rows {
		if row.Starred {
			list = append(list, row)
		}
	}
	return list
}

// chosen is the rows of some roles, in their order, each with these roles only.
func chosen(rows []account, keys []string) (list []account) {
	for _, key := range keys {
		id, name, _ := strings.Cut(key, "/")
		i := slices.IndexFunc(rows, func(a account) bool { return a.ID == id })
		if i < 0 {
			continue // it was theirs once
		}
		k := slices.IndexFunc(rows[i].Roles, func(r role) bool { return strings.EqualFold(r.Name, name) })
		if k < 0 {
			continue
		}
		at := slices.IndexFunc(list, func(a account) bool { return a.ID == id })
		if at < 0 {
			row := rows[i]
			row.Roles = nil
			list, at = append(list, row), len(list)
		}
		r := rows[i].Roles[k]
		r.Primary = len(list[at].Roles) == 0 && !r.Blocked
		list[at].Roles = append(list[at].Roles, r)
	}
	return list
}
