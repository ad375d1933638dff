package saml

import (
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
	StatusRequester = "urn:oasis:names:tc:SAML:2.0:status:Requester"
	StatusResponder = "urn:oasis:names:tc:SAML:2.0:status:Responder"

	StatusNoPassive           = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"
	StatusNoAuthnContext      = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
	StatusInvalidNameIDPolicy = "urn:oasis:names:tc:SAML:2.0:status:InvalidNameIDPolicy"
	StatusRequestUnsupported  = "urn:oasis:names:tc:SAML:2.0:status:RequestUnsupported"
	StatusAuthnFailed         = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
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
	if !p.Registered(r.Provider, r.ACS) {
		return Response{}, fmt.Errorf("saml: %q is not registered for %q: %w", r.ACS, r.Provider, gatehouse.ErrInvalid)
	}
	m := message{issuer: p.entityID, status: st}
	m.Recipient, m.InResponseTo, m.Sign = r.ACS, r.ID, SignResponse
	m.responseID, _, _ = newIDs()
	return p.emit(ctx, &m, m.responseID)
}

// unsupported finds what m demands and we do not do. Whatever may be ignored
// (Conditions, Scoping, Extensions, Consent) is.
func (m *authnRequest) unsupported(r Request, sp Provider) error {
	fail := func(code, detail, why string) error {
		return &StatusError{Request: r, Status: Status{Code: code, Detail: detail}, Why: why}
	}
	if m.subject {
		return fail(StatusResponder, StatusRequestUnsupported, "it names the person that it wants")
	}
	if policy := m.NameIDPolicy; policy != nil {
		if f := policy.Format; f != nil && *f != "" && *f != NameIDUnspecified && *f != sp.NameIDFormat {
			return fail(StatusRequester, StatusInvalidNameIDPolicy, "it wants another format of name")
		}
		if q := policy.SPNameQualifier; q != nil && *q != "" && *q != sp.EntityID {
			return fail(StatusRequester, StatusInvalidNameIDPolicy, "it wants a name made for another provider")
		}
	}
	if !m.context.satisfied() {
		return fail(StatusResponder, StatusNoAuthnContext, "it wants another way of sign-in")
	}
	return nil
}

// passwordClasses are the classes of a sign-in with a password, the weakest
// first. The last is what we assert.
var passwordClasses = []string{
	"urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
	"urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
	PasswordProtectedTransport,
}

// satisfied says whether PasswordProtectedTransport is what c wants
// (saml-core §3.3.2.2.1). A class that we do not know is stronger than ours
// for all we can say.
func (c *requestedContext) satisfied() bool {
	if len(c.Declarations) > 0 {
		return false
	}
	if len(c.Classes) == 0 {
		return true
	}
	for _, class := range c.Classes {
		rank := slices.Index(passwordClasses, strings.TrimSpace(class))
		same := rank == len(passwordClasses)-1
		switch c.Comparison {
		case "", "exact", "maximum":
			if same {
				return true
			}
		case "minimum":
			if rank >= 0 {
				return true
			}
		case "better":
			if rank < 0 || same {
				return false // better than each of them
			}
		}
	}
	return c.Comparison == "better"
}
