package access

import (
	"cmp"
	"context"
	"fmt"

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
	via, err := b.d.Policy.Provider(s.User, sp.Name)
	if err != nil {
		return Grant{}, err
	}
	for _, v := range via {
		event.Rules, event.Groups = append(event.Rules, v.Rule), append(event.Groups, v.Group.DN)
	}
	acs := cmp.Or(ask.ACS, sp.ACS)
	if !b.d.IdP.Registered(sp.EntityID, acs) {
		return Grant{}, fmt.Errorf("assertion consumer service %q is not one of %s: %w", acs, sp.EntityID, gatehouse.ErrNotEntitled)
	}
	subject, err := b.d.IdP.Subject(s.User, sp)
	if err != nil {
		return Grant{}, err
	}
	response, err := b.d.IdP.Respond(ctx, saml.Assertion{
		Recipient: acs, Audience: sp.EntityID, InResponseTo: ask.InResponseTo, NameID: subject,
		AuthnInstant: s.ProvedAt, AuthnContext: authnContext(s), SessionIndex: b.d.IdP.NameID(s.ID, sp.EntityID), Sign: sp.Sign,
	})
	if err != nil {
		return Grant{}, fmt.Errorf("making the assertion: %w", err)
	}
	event.AssertionID, event.Form = response.ID, gatehouse.FormPost
	return Grant{Ask: ask, Post: &Post{URL: response.Destination, SAMLResponse: response.Encoded, RelayState: ask.RelayState}}, nil
}
