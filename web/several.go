package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/export"
)

// mostAtOnce bounds how many roles one form takes: each is a call to AWS and
// an entry of the record, and all of them are keys on one disk.
const mostAtOnce = 20

// atATime is how many calls to AWS one form makes at the same time.
const atATime = 4

// severalPage lists roles to tick.
type severalPage struct {
	frame
	Once      string
	Sections  []section
	Ticked    map[string]bool // by role key
	Found     bool
	None      bool
	Most      int
	Region    string
	Regions   []region
	Durations []choice
	Scopes    []scopeChoice
	Refused   string // what needs correcting
}

// several shows every role with a box to tick.
func (s *Server) several(w http.ResponseWriter, r *http.Request, v *visit) error {
	if _, err := s.refresh(w, r, v); err != nil {
		return err
	}
	return s.showSeveral(w, r, v, http.StatusOK, r.URL.Query()["role"], "")
}

func (s *Server) showSeveral(w http.ResponseWriter, r *http.Request, v *visit, status int, ticked []string, refused string) error {
	held := s.held(v.Session)
	p := severalPage{frame: s.frame(v, "several.js"), Once: newClick(), Most: mostAtOnce, Refused: refused,
		Regions: suggestions, None: len(held.rows) == 0, Ticked: map[string]bool{}}
	for _, key := range ticked {
		p.Ticked[key] = true
	}
	p.SearchAt, p.Query = "/several", r.URL.Query().Get("q")
	p.Sections = sectionsOf(matching(unblocked(held.rows), p.Query))
	p.Found = len(p.Sections) > 0
	p.Durations, _ = durations(longest, cmp.Or(r.PostFormValue("duration"), r.URL.Query().Get("duration")), false)
	p.Region = firstRegion(r.PostFormValue("region"), r.URL.Query().Get("region"))
	for _, o := range s.deps.Broker.Scopes(factsFrom(r.Context()).ip) {
		p.Scopes = append(p.Scopes, scopeChoice{o, o.Why == "" && (o.Name == r.PostFormValue("scope") || o.Name == r.URL.Query().Get("scope"))})
	}
	return s.render(w, status, "several.html", p)
}

// unblocked leaves out what cannot be handed out.
func unblocked(rows []account) (list []account) {
	for _, row := range rows {
		row.Roles = slices.DeleteFunc(slices.Clone(row.Roles), func(r role) bool { return r.Blocked })
		if len(row.Roles) > 0 {
			list = append(list, row)
		}
	}
	return list
}

// takeSeveral hands the ticked roles out in one credentials file. A role that
// cannot be had does not keep the others back: the file says why.
func (s *Server) takeSeveral(w http.ResponseWriter, r *http.Request, v *visit) error {
	r.SetPathValue("account", "")
	want, err := readWish(r)
	var invalid *gatehouse.Invalid
	switch ticked := r.PostForm["role"]; {
	case errors.As(err, &invalid):
		return s.showSeveral(w, r, v, http.StatusBadRequest, ticked, invalid.Why)
	case err != nil:
		return err
	case len(ticked) == 0:
		return s.showSeveral(w, r, v, http.StatusBadRequest, ticked, whyUnticked)
	case len(ticked) > mostAtOnce:
		return s.showSeveral(w, r, v, http.StatusBadRequest, ticked, whyTooMany(mostAtOnce))
	}
	list, err := s.ticked(v, r.PostForm["role"])
	if err != nil {
		return err
	}
	asking := slices.DeleteFunc(slices.Clone(list), func(e gatehouse.Entitlement) bool { return !e.Confirm })
	if len(asking) > 0 && !want.confirmed {
		return s.askAgain(w, r, v, asking)
	}
	undo, err := s.once(r, v.Session, "several")
	if err != nil {
		return err
	}
	lots := s.grantAll(r.Context(), v.Session, list, want)
	return s.answerSeveral(w, r, v, lots, undo)
}

// ticked is the entitlements to the ticked roles.
func (s *Server) ticked(v *visit, keys []string) (list []gatehouse.Entitlement, err error) {
	all := s.held(v.Session).all
	for _, key := range slices.Compact(slices.Sorted(slices.Values(keys))) {
		account, name, _ := strings.Cut(key, "/")
		e, ok := find(all, account, name)
		if !ok {
			return nil, &notHeld{account, name}
		}
		list = append(list, e)
	}
	return list, nil
}

// lot is what became of one role among several.
type lot struct {
	e       gatehouse.Entitlement
	want    wish
	grant   access.Grant
	err     error
	profile string
}

func (s *Server) grantAll(ctx context.Context, who gatehouse.Session, list []gatehouse.Entitlement, want wish) []lot {
	lots := make([]lot, len(list))
	turns := make(chan struct{}, atATime)
	var all sync.WaitGroup
	for i, e := range list {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			mine := want
			mine.profile, mine.ask.Account, mine.ask.Role, mine.ask.Form = "", e.Account.ID, e.Role.Name, gatehouse.FormINI
			lots[i] = lot{e: e, want: mine, profile: scoped(s.profileFor(e), want.ask.Scope)}
			lots[i].grant, lots[i].err = s.deps.Broker.Grant(ctx, who, mine.ask)
		})
	}
	all.Wait()
	return lots
}

// answerSeveral writes one file. When nothing came of it, it is the page that
// says why.
func (s *Server) answerSeveral(w http.ResponseWriter, r *http.Request, v *visit, lots []lot, undo func()) error {
	var file strings.Builder
	var had []taken
	names := map[string]bool{}
	for i := range lots {
		l := &lots[i]
		if names[l.profile] { // two accounts of one name
			l.profile = l.e.Account.ID + "-" + strings.ToLower(l.e.Role.Name)
		}
		names[l.profile] = true
		text, err := s.section(r, l)
		if file.WriteString(text); err == nil {
			had = append(had, s.takenBy(l.grant, l.want))
		}
	}
	if len(had) == 0 {
		undo()
		return lots[0].err
	}
	attach(w, "credentials.ini")
	w.Header().Set("X-Gatehouse-Refused", fmt.Sprint(len(lots)-len(had)))
	write(w, http.StatusOK, "text/plain; charset=utf-8", []byte(file.String()))
	_ = http.NewResponseController(w).Flush()
	s.took(r, v.Session.User.Key(), had)
	return nil
}

// section is one role's part of the file: a profile, or why there is none.
func (s *Server) section(r *http.Request, l *lot) (string, error) {
	if l.err == nil {
		o := s.options(l.grant, l.want)
		o.Profile = l.profile
		var t export.Text
		if t, l.err = export.Render(gatehouse.FormINI, l.grant.Credentials, o); l.err == nil {
			return t.Body + "\n", nil
		}
	}
	p := s.problem(r, l.err)
	return "# " + export.Refusal(notInFile(l.profile, p)) + "\n\n", l.err
}
