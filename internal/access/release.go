package access

import (
	"errors"

	"gatehouse"
	"gatehouse/saml"
)

// Release is what a service provider is told of a person who signs in there,
// besides when and how they did.
type Release struct {
	Provider   saml.Provider
	Via        []gatehouse.Via  // the rules and groups that admit; none: nobody is told anything
	NameID     saml.NameID      // what it calls the person
	Attributes []saml.Attribute // what else it is told
	Err        error            // not nil: it is told nothing, for this reason
}

// Admitted says whether a rule admits the person, even if something else is
// in the way.
func (r Release) Admitted() bool { return !errors.Is(r.Err, gatehouse.ErrNotEntitled) }

// NameKind is the short word for the format of NameID.
func (r Release) NameKind() string { return saml.NameKind(r.NameID.Format) }

// release settles what sp is told of the session's person, whom it calls by a
// name of that format; empty: its usual one. Grant says it, and whoever shows
// it to somebody asks here too. It grants nothing.
func release(p *Policy, idp IdP, s gatehouse.Session, sp saml.Provider, format string) Release {
	r := Release{Provider: sp}
	if r.Via, r.Attributes, r.Err = p.Provider(s.User, sp.Name); r.Err == nil {
		r.NameID, r.Err = idp.Subject(s, sp, format)
	}
	if r.Err != nil {
		r.NameID, r.Attributes = saml.NameID{}, nil
	}
	return r
}

// Releases says of every service provider besides AWS, by name, what it would
// be told of the session's person, or why nothing.
func Releases(p *Policy, idp IdP, s gatehouse.Session) []Release {
	var list []Release
	for _, sp := range idp.Providers() {
		if !sp.AWS {
			list = append(list, release(p, idp, s, sp, ""))
		}
	}
	return list
}

// Releases says of the service providers to which a rule admits the session's
// person what they would be told. It grants nothing.
func (b *Broker) Releases(s gatehouse.Session) []Release {
	var list []Release
	for _, r := range Releases(b.d.Policy, b.d.IdP, s) {
		if r.Admitted() {
			list = append(list, r)
		}
	}
	return list
}
