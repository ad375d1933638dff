package web

import (
	"net/http"
	"net/url"
	"strings"

	"gatehouse"
)

// Programs that fill in the sign-in form as a person would (saml2aws) expect a
// SAML Response in its answer. They begin at a sign-in page that leads to a
// role's page with as=post. The password in the form is the proof and the press
// of a button in one; a link alone still grants nothing.

// straightTo is the role that a sign-in which leads to next is to end with.
func straightTo(next string) (account, role string, ok bool) {
	u, err := url.Parse(next)
	if err != nil || u.Query().Get("as") != string(gatehouse.FormPost) {
		return "", "", false
	}
	part := strings.Split(u.Path, "/")
	if len(part) != 4 || part[1] != "roles" {
		return "", "", false
	}
	return part[2], part[3], true
}

// arrive welcomes whoever has just given their password.
func (s *Server) arrive(w http.ResponseWriter, r *http.Request, who gatehouse.Session, next string) error {
	account, role, ok := straightTo(next)
	if !ok {
		return s.welcome(w, r, who, next)
	}
	if err := s.begin(w, r, who); err != nil {
		return err
	}
	s.markWindows(w, triedWindows)
	s.markDevice(w, who.User.Key())
	f := factsFrom(r.Context())
	g, err := s.deps.Broker.Grant(r.Context(), who, gatehouse.Ask{Account: account, Role: role, Form: gatehouse.FormPost, IP: f.ip, RequestID: f.id})
	if err != nil {
		return err
	}
	return s.Post(w, r, *g.Post)
}
