package access

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/saml"
)

// grantProvider answers a service provider other than AWS. Where the answer
// goes was chosen when the request came in; it is judged here once more,
// since the request has been parked in between.
func (b *Broker) grantProvider(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask, event *gatehouse.Event) (Grant, error) {
	sp, ok := b.d.IdP.Provider(ask.Provider)
	if !ok || sp.AWS {
		return Grant{}, fmt.Errorf("service provider %q: %w", ask.Provider, gatehouse.ErrNotFound)
	}
	told := release(b.d.Policy, b.d.IdP, s, sp, ask.NameIDFormat)
	for _, v := range told.Via {
		event.Rules, event.Groups = append(event.Rules, v.Rule), append(event.Groups, v.Group.DN)
	}
	if !told.Admitted() {
		return Grant{}, told.Err
	}
	acs, ecp := cmp.Or(ask.ACS, sp.ACS), s.Door == gatehouse.DoorECP
	if !b.d.IdP.Registered(sp.EntityID, acs, ecp) {
		return Grant{}, fmt.Errorf("assertion consumer service %q is not one of %s: %w", acs, sp.EntityID, gatehouse.ErrNotEntitled)
	}
	if len(ask.Contexts) > 0 && !slices.Contains(ask.Contexts, AuthnContext(s)) {
		return Grant{}, fmt.Errorf("%s wants one of %q: %w", sp.EntityID, ask.Contexts, gatehouse.ErrAnotherProof)
	}
	if told.Err != nil {
		return Grant{}, told.Err
	}
	if !means(ask.Subject, told.NameID, s.User) {
		return Grant{}, fmt.Errorf("%s asks for somebody else than %s: %w", sp.EntityID, s.User.Key(), gatehouse.ErrAnotherPerson)
	}
	participant := saml.Participant{Provider: sp.EntityID, NameID: told.NameID, SessionIndex: b.d.IdP.NameID(s.ID, sp.EntityID)}
	response, err := b.d.IdP.Respond(ctx, saml.Assertion{
		Recipient: acs, Audience: sp.EntityID, InResponseTo: ask.InResponseTo, NameID: told.NameID,
		AuthnInstant: s.ProvedAt, AuthnContext: AuthnContext(s), SessionIndex: participant.SessionIndex, Sign: sp.Sign, ECP: ecp, Attributes: told.Attributes,
	})
	if err != nil {
		return Grant{}, fmt.Errorf("making the assertion: %w", err)
	}
	event.AssertionID, event.Form = response.ID, gatehouse.FormPost
	return Grant{Ask: ask, Participant: participant, Post: &Post{URL: response.Destination, SAMLResponse: response.Encoded, RelayState: ask.RelayState}}, nil
}

// means says whether the name that a provider asked for is this person's: the
// very name that it is given, or where it leaves the format open their user
// name or mail address.
func means(asked, given saml.NameID, u gatehouse.User) bool {
	switch asked.Format {
	case "":
		return true
	case saml.NameIDUnspecified:
		return asked.Value == given.Value || strings.EqualFold(asked.Value, u.Username) || (u.Mail != "" && strings.EqualFold(asked.Value, u.Mail))
	}
	return asked == given
}
