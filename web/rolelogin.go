package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"gatehouse"
	"gatehouse/internal/delegate"
)

// roleLoginPage asks which one role `aws login` may have, if any.
type roleLoginPage struct {
	frame
	Fields []field
	Host   string // where the program waits on this computer; empty: the person carries the answer
	Roles  []loginRole
	Many   bool // more than one looks through
	Lasts  string
}

// loginRole is one that may be chosen.
type loginRole struct {
	accountView
	Role   string
	Chosen bool
}

// manyChoices is from how many roles on the page has a field to find one.
const manyChoices = 9

// carryPage shows the answer that the person carries to the program.
type carryPage struct {
	frame
	Answer string
}

// confirmation is the page that AWS's own sign-in shows the answer on. Here
// it only stands for the wish to have it shown.
func (s *Server) confirmation() string { return s.public.String() + "/v1/sessions/confirmation" }

// roleLogin shows what `aws login` wants.
func (s *Server) roleLogin(w http.ResponseWriter, r *http.Request, v *visit) error {
	q := r.URL.Query()
	l, err := delegate.ReadRoleLogin(q, s.confirmation())
	if err != nil {
		return err
	}
	if _, err := s.refresh(w, r, v); err != nil {
		return err
	}
	p := roleLoginPage{frame: s.frame(v, "rolelogin.js"), Lasts: inWords(s.cfg.Session.CLI)}
	p.Narrow = true
	if u, err := url.Parse(l.RedirectURI); err == nil && !l.Remote {
		p.Host = u.Host
	}
	for _, name := range asked {
		p.Fields = append(p.Fields, field{name, q.Get(name)})
	}
	p.Roles = loginRoles(s.deps.Broker.Entitlements(v.Session), q.Get("role"))
	p.Many = len(p.Roles) >= manyChoices
	return s.render(w, http.StatusOK, "rolelogin.html", p)
}

// loginRoles are the roles that can be handed out. None is chosen beforehand
// unless there is no other, or it was chosen before a sign-in came between.
func loginRoles(all []gatehouse.Entitlement, chosen string) (list []loginRole) {
	for _, row := range unblocked(rowsOf(all)) {
		for _, has := range row.Roles {
			list = append(list, loginRole{row.accountView, has.Name, row.ID+"/"+has.Name == chosen})
		}
	}
	if len(list) == 1 {
		list[0].Chosen = true
	}
	return list
}

// answerRoleLogin takes the person's choice back to the program.
func (s *Server) answerRoleLogin(w http.ResponseWriter, r *http.Request, v *visit) error {
	agreed, err := readAnswer(r)
	if err != nil {
		return err
	}
	l, err := delegate.ReadRoleLogin(r.PostForm, s.confirmation())
	if err != nil {
		return err
	}
	f := factsFrom(r.Context())
	if !agreed {
		back, err := s.deps.Programs.Disagree(r.Context(), v.Session, l.Authorization, f.ip, f.id)
		if err != nil && !l.Remote {
			return err
		}
		if l.Remote {
			p := answeredPage{frame: s.frame(v, ""), Client: l.Client.Name}
			p.Narrow = true
			return s.render(w, http.StatusOK, "answered.html", p)
		}
		return s.leave(w, r, back, toProgram, "")
	}
	account, role, _ := strings.Cut(r.PostForm.Get("role"), "/")
	e, ok := find(s.deps.Broker.Entitlements(v.Session), account, role)
	if !ok {
		return fmt.Errorf("aws login: %w", gatehouse.ErrNotEntitled)
	}
	if e.Confirm && r.PostForm.Get("confirm") != "1" {
		return s.askAgain(w, r, v, []gatehouse.Entitlement{e})
	}
	back, carry, err := s.deps.Programs.AgreeRole(r.Context(), v.Session, l, account, role, f.ip, f.id)
	if err != nil {
		return err
	}
	if carry == "" {
		return s.leave(w, r, back, toProgram, "")
	}
	p := carryPage{frame: s.frame(v, "problem.js"), Answer: carry}
	p.Narrow = true
	return s.render(w, http.StatusOK, "carry.html", p)
}
