package saml

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gatehouse"
)

// Status is what a Response says instead of an assertion: a code of the first
// level, and one of the second that says more (saml-core §3.2.2.2).
type Status struct {
	Code   string
	Detail string
}

// Codes of the first level that we answer with, and of the second.
const (
	StatusSuccess   = statusSuccess
	StatusRequester = "urn:oasis:names:tc:SAML:2.0:status:Requester"
	StatusResponder = "urn:oasis:names:tc:SAML:2.0:status:Responder"

	StatusVersionMismatch = "urn:oasis:names:tc:SAML:2.0:status:VersionMismatch"

	StatusNoPassive           = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"
	StatusNoAuthnContext      = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
	StatusInvalidNameIDPolicy = "urn:oasis:names:tc:SAML:2.0:status:InvalidNameIDPolicy"
	StatusRequestUnsupported  = "urn:oasis:names:tc:SAML:2.0:status:RequestUnsupported"
	StatusRequestDenied       = "urn:oasis:names:tc:SAML:2.0:status:RequestDenied"
	StatusAuthnFailed         = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
	StatusUnknownPrincipal    = "urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal"
	StatusPartialLogout       = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
)

// StatusError is a request that was found good and cannot be granted as it
// is. Its sender can be told so: Request.ACS is one of its own. It is an
// ErrInvalid, too.
type StatusError struct {
	Request Request
	Status  Status
	Why     string // for the log
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("saml: request of %s: %s (%s)", e.Request.Provider, e.Why, e.Status.Detail)
}

// Unwrap makes the failure an ErrInvalid, for where nobody tells the sender.
func (e *StatusError) Unwrap() error {
	return &gatehouse.Invalid{Field: "SAMLRequest", Why: "The application asks for something that this identity provider does not do."}
}

// Refuse makes a signed Response that answers r with st and no assertion.
func (p *IdP) Refuse(ctx context.Context, r Request, st Status) (Response, error) {
	if !p.Registered(r.Provider, r.ACS, r.ECP) {
		return Response{}, fmt.Errorf("saml: %q is not registered for %q: %w", r.ACS, r.Provider, gatehouse.ErrInvalid)
	}
	sp, _ := p.Provider(r.Provider)
	m := message{issuer: p.entityID, status: st, signature: sp.Signature}
	m.Recipient, m.InResponseTo, m.Sign, m.ECP = r.ACS, r.ID, SignResponse, r.ECP
	m.responseID, _, _ = newIDs()
	return p.own(func(dst gatehouse.Lent) (gatehouse.Lent, Response, error) { return p.emit(ctx, dst, &m, m.responseID) })
}

// demands adds to r what m wants of the answer, or says what we do not do.
// Whatever may be ignored (Conditions, Scoping, Extensions, Consent) is.
func (m *authnRequest) demands(r Request, sp Provider) (Request, error) {
	if m.Version != "2.0" { // saml-core §3.2.2.2, §4.1.3.1
		return Request{}, &StatusError{Request: r, Status: Status{Code: StatusVersionMismatch}, Why: "it is of SAML " + m.Version}
	}
	status, why := m.demandName(&r, sp)
	if why == "" {
		status, why = m.demandSubject(&r)
	}
	if why == "" {
		classes, any := m.context.satisfying()
		if !any && len(classes) == 0 {
			status, why = Status{StatusResponder, StatusNoAuthnContext}, "it wants another way of sign-in"
		}
		r.Contexts = classes
	}
	if why != "" {
		return Request{}, &StatusError{Request: r, Status: status, Why: why}
	}
	return r, nil
}

// demandName reads NameIDPolicy (saml-core §3.4.1.1).
func (m *authnRequest) demandName(r *Request, sp Provider) (Status, string) {
	policy := m.NameIDPolicy
	if policy == nil {
		return Status{}, ""
	}
	if f := policy.Format; f != nil && *f != "" && *f != NameIDUnspecified {
		if !sp.mayHave(*f) {
			return Status{StatusRequester, StatusInvalidNameIDPolicy}, "it wants another format of name"
		}
		r.NameIDFormat = *f
	}
	if q := policy.SPNameQualifier; q != nil && *q != "" && *q != sp.EntityID {
		return Status{StatusRequester, StatusInvalidNameIDPolicy}, "it wants a name made for another provider"
	}
	return Status{}, ""
}

// demandSubject reads Subject: the answer is about that person, or there is
// none (saml-core §3.4.1.4; saml-profiles §4.1.4.1 forbids confirmations).
func (m *authnRequest) demandSubject(r *Request) (Status, string) {
	s := m.subject
	switch {
	case s == nil:
		return Status{}, ""
	case len(s.Confirmations) > 0:
		return Status{StatusRequester, StatusRequestDenied}, "it says how the person should be confirmed"
	case s.NameID == nil || s.NameID.Value == "":
		return Status{StatusRequester, StatusRequestUnsupported}, "it names the person in a way that we do not read"
	}
	r.Subject = NameID{Format: cmp.Or(s.NameID.Format, NameIDUnspecified), Value: s.NameID.Value}
	if slices.Contains(nameIDFormats, r.Subject.Format) {
		if r.NameIDFormat != "" && r.NameIDFormat != r.Subject.Format {
			return Status{StatusRequester, StatusInvalidNameIDPolicy}, "it names the person in another format than it wants back"
		}
		r.NameIDFormat = r.Subject.Format
	} else if r.Subject.Format != NameIDUnspecified {
		return Status{StatusRequester, StatusUnknownPrincipal}, "it names the person in a format that we do not use"
	}
	return Status{}, ""
}

// Classes of sign-in that we assert (saml-authn-context §3.4).
const (
	PasswordProtectedTransport = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	Kerberos                   = "urn:oasis:names:tc:SAML:2.0:ac:classes:Kerberos"
)

// weaker lists, for each class that we assert, the classes that it is
// stronger than. One that we do not know is stronger than ours for all we can say.
var weaker = map[string][]string{
	PasswordProtectedTransport: {"urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified", "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"},
	Kerberos:                   {"urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"},
}

// satisfying lists the classes of ours that c takes (saml-core §3.3.2.2.1);
// any is true when c does not care.
func (c *requestedContext) satisfying() (classes []string, any bool) {
	if len(c.Classes) == 0 {
		return nil, len(c.Declarations) == 0
	}
	if len(c.Declarations) > 0 {
		return nil, false // the schema has one or the other
	}
	for _, ours := range []string{PasswordProtectedTransport, Kerberos} {
		if c.takes(ours) {
			classes = append(classes, ours)
		}
	}
	return classes, false
}

func (c *requestedContext) takes(ours string) bool {
	same, stronger, all := false, false, true
	for _, class := range c.Classes {
		class = strings.TrimSpace(class)
		same = same || class == ours
		beats := slices.Contains(weaker[ours], class)
		stronger, all = stronger || beats, all && beats
	}
	switch c.Comparison {
	case "", "exact", "maximum":
		return same
	case "minimum":
		return same || stronger
	case "better":
		return all // than each of them
	}
	return false
}
