package saml

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"hash"
	"time"
)

// Names that SAML fixes.
const (
	bearer        = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	statusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"
	FormatBasic   = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
	formatURI     = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
)

// How long an assertion is good. The margin before is for providers whose
// clocks run late; it lengthens nothing.
const (
	defaultLifetime = 5 * time.Minute // STS takes none that is older ("Token must be redeemed within 5 minutes of issuance")
	skewBefore      = 2 * time.Minute
)

// awsPrefix begins the name of every attribute that IAM reads; exact, case included.
const awsPrefix = "https://aws.amazon.com/SAML/Attributes/"

// maxAWS is how many characters of base64 STS takes as SAMLAssertion
// (STS API Reference, AssumeRoleWithSAML).
const maxAWS = 100_000

var (
	samlpResponse   = element{nsSAMLP, "Response"}
	samlpStatus     = element{nsSAMLP, "Status"}
	samlpStatusCode = element{nsSAMLP, "StatusCode"}

	samlAssertion               = element{nsSAML, "Assertion"}
	samlIssuer                  = element{nsSAML, "Issuer"}
	samlSubject                 = element{nsSAML, "Subject"}
	samlNameID                  = element{nsSAML, "NameID"}
	samlSubjectConfirmation     = element{nsSAML, "SubjectConfirmation"}
	samlSubjectConfirmationData = element{nsSAML, "SubjectConfirmationData"}
	samlConditions              = element{nsSAML, "Conditions"}
	samlAudienceRestriction     = element{nsSAML, "AudienceRestriction"}
	samlAudience                = element{nsSAML, "Audience"}
	samlAuthnStatement          = element{nsSAML, "AuthnStatement"}
	samlAuthnContext            = element{nsSAML, "AuthnContext"}
	samlAuthnContextClassRef    = element{nsSAML, "AuthnContextClassRef"}
	samlAttributeStatement      = element{nsSAML, "AttributeStatement"}
	samlAttribute               = element{nsSAML, "Attribute"}
	samlAttributeValue          = element{nsSAML, "AttributeValue"}
)

// message is a Response with everything settled.
type message struct {
	Assertion
	issuer      string
	responseID  string
	assertionID string
	now         time.Time
	status      Status
	to          *recipient // nil: not encrypted
	signature   Signature  // empty: by RSA
}

// scratch is the memory that one Response needs while it is made.
type scratch struct {
	xml    canonical // the Response
	plain  canonical // an assertion that goes out encrypted
	info   canonical // a SignedInfo, as it is hashed
	hash   hash.Hash
	digest [32]byte
}

// respond writes m and signs it.
func (s *scratch) respond(m *message, k *signer) error {
	s.xml.reset()
	s.xml.numbered = m.ECP
	return s.response(m, k)
}

// response writes m as it is sent. Signatures are filled in from the inside
// out, because the outer one covers the inner one.
func (s *scratch) response(m *message, k *signer) error {
	w := &s.xml
	var outer hole
	w.open(samlpResponse,
		attribute{name: "Destination", value: m.Recipient},
		attribute{name: "ID", value: m.responseID},
		attribute{name: "InResponseTo", value: m.InResponseTo},
		attribute{name: "IssueInstant", at: m.now},
		attribute{name: "Version", value: "2.0"})
	w.leaf(samlIssuer, m.issuer)
	if m.Sign != SignAssertion {
		outer = w.signature(m.responseID, k)
	}
	w.status(m.status)
	if m.assertionID != "" {
		if err := s.enclose(m, k); err != nil {
			return err
		}
	}
	w.close()
	if w.err != nil || m.Sign == SignAssertion {
		return w.err
	}
	return s.sign(w, outer, 0, len(w.buf), k)
}

// status writes a Status; a second-level code stands inside the first
// (saml-core §3.2.2.2).
func (w *canonical) status(st Status) {
	w.open(samlpStatus)
	w.open(samlpStatusCode, attribute{name: "Value", value: cmp.Or(st.Code, statusSuccess)})
	if st.Detail != "" {
		w.leaf(samlpStatusCode, "", attribute{name: "Value", value: st.Detail})
	}
	w.close()
	w.close()
}

// enclose puts the assertion into the Response. It is signed first and then
// encrypted; the Response is signed over the encrypted form. In exclusive
// canonical form an element declares all that it uses, so that what comes out
// of the encryption stands alone.
func (s *scratch) enclose(m *message, k *signer) error {
	if m.to == nil {
		return s.assertion(&s.xml, m, k)
	}
	s.plain.reset()
	s.plain.numbered = m.ECP
	if err := s.assertion(&s.plain, m, k); err != nil {
		return err
	}
	return s.xml.encrypted(s.plain.buf, m.to)
}

// assertion writes the assertion, and signs it unless the Response alone is
// to be signed.
func (s *scratch) assertion(w *canonical, m *message, k *signer) error {
	var inner hole
	start := len(w.buf)
	w.open(samlAssertion,
		attribute{name: "ID", value: m.assertionID},
		attribute{name: "IssueInstant", at: m.now},
		attribute{name: "Version", value: "2.0"})
	w.leaf(samlIssuer, m.issuer)
	if m.Sign != SignResponse {
		inner = w.signature(m.assertionID, k)
	}
	w.subject(m)
	w.conditions(m)
	w.authnStatement(m)
	if m.AWS != nil {
		w.awsAttributes(m.AWS)
	} else if len(m.Attributes) > 0 { // an empty statement is not allowed
		w.attributes(m.Attributes)
	}
	w.close()
	if w.err != nil || m.Sign == SignResponse {
		return w.err
	}
	return s.sign(w, inner, start, len(w.buf), k)
}

// subject says who it is about, and who may present it: the bearer, at
// Recipient, for a while. No NotBefore (saml-profiles §4.1.4.2) and no
// Address, which is the proxy's or somebody else's as often as not.
func (w *canonical) subject(m *message) {
	w.open(samlSubject)
	w.leaf(samlNameID, m.NameID.Value, attribute{name: "Format", value: m.NameID.Format})
	w.open(samlSubjectConfirmation, attribute{name: "Method", value: bearer})
	w.leaf(samlSubjectConfirmationData, "",
		attribute{name: "InResponseTo", value: m.InResponseTo},
		attribute{name: "NotOnOrAfter", at: m.now.Add(m.Lifetime)},
		attribute{name: "Recipient", value: m.Recipient})
	w.close()
	w.close()
}

func (w *canonical) conditions(m *message) {
	w.open(samlConditions,
		attribute{name: "NotBefore", at: m.now.Add(-skewBefore)},
		attribute{name: "NotOnOrAfter", at: m.now.Add(m.Lifetime)})
	w.open(samlAudienceRestriction)
	w.leaf(samlAudience, m.Audience)
	w.close()
	w.close()
}

// authnStatement says when and how they proved it. No SessionNotOnOrAfter:
// STS would shorten the credentials to it (STS API, AssumeRoleWithSAML).
func (w *canonical) authnStatement(m *message) {
	w.open(samlAuthnStatement,
		attribute{name: "AuthnInstant", at: m.AuthnInstant},
		attribute{name: "SessionIndex", value: m.SessionIndex})
	w.open(samlAuthnContext)
	w.leaf(samlAuthnContextClassRef, m.AuthnContext)
	w.close()
	w.close()
}

func (w *canonical) attributes(list []Attribute) {
	w.open(samlAttributeStatement)
	for i := range list {
		w.open(samlAttribute,
			attribute{name: "Name", value: list[i].Name},
			attribute{name: "NameFormat", value: cmp.Or(list[i].Format, formatURI)})
		for _, v := range list[i].Values {
			w.leaf(samlAttributeValue, v)
		}
		w.close()
	}
	w.close()
}

// awsAttributes writes what IAM reads ("Configure SAML assertions for the
// authentication response"). IAM needs no NameFormat.
func (w *canonical) awsAttributes(a *AWS) {
	w.open(samlAttributeStatement)
	w.open(samlAttribute, attribute{name: "Name", value: awsPrefix + "Role"})
	for i := range a.Roles {
		w.open(samlAttributeValue)
		w.text(a.Roles[i].RoleARN)
		w.text(",")
		w.text(a.Roles[i].ProviderARN)
		w.close()
	}
	w.close()
	w.awsAttribute(awsPrefix+"RoleSessionName", "", a.RoleSessionName)
	if a.SessionDuration > 0 {
		w.open(samlAttribute, attribute{name: "Name", value: awsPrefix + "SessionDuration"})
		w.open(samlAttributeValue)
		w.number(int64(a.SessionDuration / time.Second))
		w.close()
		w.close()
	}
	if a.SourceIdentity != "" {
		w.awsAttribute(awsPrefix+"SourceIdentity", "", a.SourceIdentity)
	}
	for i := range a.Tags {
		w.awsAttribute(awsPrefix+"PrincipalTag:", a.Tags[i].Key, a.Tags[i].Value)
	}
	if len(a.TransitiveTagKeys) > 0 {
		w.awsAttribute(awsPrefix+"TransitiveTagKeys", "", a.TransitiveTagKeys...)
	}
	w.close()
}

func (w *canonical) awsAttribute(name, key string, values ...string) {
	w.open(samlAttribute, attribute{name: "Name", value: name, tail: key})
	for _, v := range values {
		w.leaf(samlAttributeValue, v)
	}
	w.close()
}

// newIDs makes three identifiers of 128 random bits each in one go. They are
// NCNames: a digit must not come first.
func newIDs() (response, assertion, session string) {
	const size = 1 + 2*16
	var bits [3 * 16]byte
	var ids [3 * size]byte
	rand.Read(bits[:]) // never fails
	for i := range 3 {
		ids[i*size] = '_'
		hex.Encode(ids[i*size+1:(i+1)*size], bits[i*16:(i+1)*16])
	}
	all := string(ids[:])
	return all[:size], all[size : 2*size], all[2*size:]
}
