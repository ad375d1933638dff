package web

import (
	"net/http"

	"gatehouse"
	"gatehouse/internal/access"
)

// whyPage says why somebody has a role, or why not and what would give it. It
// comes from the engine that decides.
type whyPage struct {
	frame
	Account accountView
	Role    string // empty: any role of the account
	Path    string // of the role's page; empty: it is not held
	Has     []because
	Terms   []string
	Misses  []access.Miss
	Would   []string
	Request string // what to send to whom can give it; empty: it is held
	Stale   *moment
}

// because is one rule and group that give a role.
type because struct {
	Role  string
	Rule  int
	Group string
	Chain []string // DNs of the groups between; none: direct
}

// whyPath is where it says why.
func whyPath(account, role string) string { return "/why/" + account + "/" + role }

// why explains one role, or all that somebody has in an account.
func (s *Server) why(w http.ResponseWriter, r *http.Request, v *visit) error {
	number, name := r.PathValue("account"), r.PathValue("role")
	if !gatehouse.AccountID.MatchString(number) || name != "" && !gatehouse.RoleName.MatchString(name) {
		return gatehouse.ErrNotFound
	}
	stale, err := s.refresh(w, r, v)
	if err != nil {
		return err
	}
	x := s.deps.Broker.Explain(v.Session, number, name)
	p := whyPage{frame: s.frame(v, "problem.js"), Account: s.knownAs(v, number, r.URL.Query().Get("account")), Role: name, Misses: x.Misses}
	if stale {
		at := momentOf(v.Session.User.ReadAt)
		p.Stale = &at
	}
	for _, e := range x.Has {
		for _, via := range e.Via {
			p.Has = append(p.Has, because{e.Role.Name, via.Rule, via.Group.DN, via.Group.Via})
		}
	}
	if len(x.Has) == 1 && name != "" {
		p.Role, p.Path, p.Terms = x.Has[0].Role.Name, rolePath(number, x.Has[0].Role.Name), terms(x.Has[0])
	}
	for _, would := range x.Would {
		p.Would = append(p.Would, would.To)
	}
	if len(x.Has) == 0 {
		p.Request = requestText(v.Session, p)
	}
	return s.render(w, http.StatusOK, "why.html", p)
}

// knownAs is the account as its holders know it; to everybody else it is a
// number, with the name if they came by it.
func (s *Server) knownAs(v *visit, number, word string) accountView {
	for _, row := range s.held(v.Session).rows {
		if row.ID == number {
			return row.accountView
		}
	}
	known := gatehouse.Account{ID: number, Name: gatehouse.GroupDigits(number)}
	if a, ok := s.named(word); ok && a.ID == number {
		known.Name = a.Name
	}
	return viewOf(known)
}
