package web

import (
	"errors"
	"net/http"
	"net/url"

	"gatehouse"
	"gatehouse/internal/access"
)

// applicationsPage says what each application is told of the person.
type applicationsPage struct {
	frame
	Stale        *moment // their groups are from then: the directory does not answer
	Applications []told
}

// told is what one application is told.
type told struct {
	application
	EntityID   string
	NameID     string
	Kind       string // what sort of name that is
	Attributes []toldAttribute
	Why        string // not empty: it is told nothing, and cannot be opened
}

type toldAttribute struct {
	Name   string
	Values []string
}

// applicationsTold shows one's own releases: the Broker settles them as it
// does for the assertion itself. The link to it stands under the applications
// in the portal, and nowhere else: nobody is told anything of somebody who may
// open none, and the page would only say so.
func (s *Server) applicationsTold(w http.ResponseWriter, r *http.Request, v *visit) error {
	stale, err := s.refresh(w, r, v)
	if err != nil {
		return err
	}
	p := applicationsPage{frame: s.frame(v, "")}
	if stale {
		at := momentOf(v.Session.User.ReadAt)
		p.Stale = &at
	}
	for _, r := range s.deps.Broker.Releases(v.Session) {
		p.Applications = append(p.Applications, toldOf(r))
	}
	return s.render(w, http.StatusOK, "applications.html", p)
}

func toldOf(r access.Release) told {
	t := told{application: applicationOf(r.Provider.Name, r.Provider.EntityID, false), EntityID: r.Provider.EntityID,
		NameID: r.NameID.Value, Kind: kinds[r.NameKind()]}
	for _, a := range r.Attributes {
		t.Attributes = append(t.Attributes, toldAttribute{a.Name, a.Values})
	}
	if r.Err != nil {
		t.Why = toldNothing
		if invalid := (*gatehouse.Invalid)(nil); errors.As(r.Err, &invalid) {
			t.Why = invalid.Why
		}
	}
	return t
}

// applicationOf leads to a sign-in that begins here, as a link on any other
// page would.
func applicationOf(name, entityID string, starred bool) application {
	return application{Name: straight.Replace(name), ID: entityID, Starred: starred, Path: "/saml/launch?" + url.Values{"sp": {entityID}}.Encode()}
}
