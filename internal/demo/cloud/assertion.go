package cloud

import (
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
)

const (
	attributePrefix = "https://aws.amazon.com/SAML/Attributes/"
	methodBearer    = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	formatPrefix20  = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
)

// assertion is what a verified assertion says.
type assertion struct {
	el     *etree.Element
	id     string
	issuer string

	nameID, nameIDFormat string
	recipient            string
	issueInstant         time.Time
	confirmUntil         time.Time // SubjectConfirmationData/@NotOnOrAfter
	notBefore            []time.Time
	notOnOrAfter         time.Time // Conditions; zero: none
	sessionEnd           time.Time // AuthnStatement/@SessionNotOnOrAfter; zero: none

	attributes map[string][]string // name -> values, of AWS's own attributes, without the prefix

	// What rows 16 to 19 have found good.
	sessionName     string
	sourceIdentity  string
	sessionDuration time.Duration // zero: not sent
	tags            []Tag
	transitive      []string
}

// subjectType is saml:sub_type: the short name of a SAML 2.0 format, any
// other in full.
func (a *assertion) subjectType() string { return strings.TrimPrefix(a.nameIDFormat, formatPrefix20) }

// read takes the verified element apart. Rows 10 to 19 judge what it says.
func read(el *etree.Element) (*assertion, *refusal) {
	a := &assertion{el: el, id: attr(el, "ID"), issuer: text(child(el, nsAssertion, "Issuer"))}
	if r := a.readConfirmation(child(el, nsAssertion, "Subject")); r != nil {
		return nil, r
	}
	if r := a.readTimes(); r != nil {
		return nil, r
	}
	return a, a.readAttributes()
}

// readConfirmation is row 10: one confirmation, a bearer's, with a Recipient
// and an end.
func (a *assertion) readConfirmation(subject *etree.Element) *refusal {
	if id := child(subject, nsAssertion, "NameID"); id != nil {
		a.nameID, a.nameIDFormat = text(id), attr(id, "Format")
	}
	confirmation := child(subject, nsAssertion, "SubjectConfirmation")
	data := child(confirmation, nsAssertion, "SubjectConfirmationData")
	a.recipient = attr(data, "Recipient")
	end, err := time.Parse(time.RFC3339Nano, attr(data, "NotOnOrAfter"))
	utc := strings.HasSuffix(attr(data, "NotOnOrAfter"), "Z")
	if attr(confirmation, "Method") != methodBearer || a.recipient == "" || err != nil || !utc {
		return invalidIdentityToken("Responses must contain SubjectConfirmatonData with a Recipient and NotOnOrAfter")
	}
	a.confirmUntil = end
	return a.time(data, "NotBefore", func(t time.Time) { a.notBefore = append(a.notBefore, t) })
}

func (a *assertion) readTimes() *refusal {
	if attr(a.el, "IssueInstant") == "" {
		return invalidIdentityToken("Assertion has no IssueInstant")
	}
	conditions := child(a.el, nsAssertion, "Conditions")
	statement := child(a.el, nsAssertion, "AuthnStatement")
	for _, f := range []struct {
		el   *etree.Element
		name string
		set  func(time.Time)
	}{
		{a.el, "IssueInstant", func(t time.Time) { a.issueInstant = t }},
		{conditions, "NotBefore", func(t time.Time) { a.notBefore = append(a.notBefore, t) }},
		{conditions, "NotOnOrAfter", func(t time.Time) { a.notOnOrAfter = t }},
		{statement, "SessionNotOnOrAfter", func(t time.Time) { a.sessionEnd = t }},
	} {
		if r := a.time(f.el, f.name, f.set); r != nil {
			return r
		}
	}
	return nil
}

// time reads a point in time in UTC, "expressed with no time zone component
// other than Z" (saml-core §1.3.3), if it is there.
func (a *assertion) time(el *etree.Element, name string, set func(time.Time)) *refusal {
	value := attr(el, name)
	if value == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil || !strings.HasSuffix(value, "Z") {
		return invalidIdentityToken("Response contains an invalid " + name)
	}
	set(t)
	return nil
}

func (a *assertion) readAttributes() *refusal {
	a.attributes = map[string][]string{}
	for _, statement := range children(a.el, nsAssertion, "AttributeStatement") {
		for _, attribute := range children(statement, nsAssertion, "Attribute") {
			// Names are exact, case included; others are of no use here.
			name, ours := strings.CutPrefix(attr(attribute, "Name"), attributePrefix)
			if !ours {
				continue
			}
			for _, value := range children(attribute, nsAssertion, "AttributeValue") {
				if len(value.ChildElements()) > 0 {
					return invalidIdentityToken("Attribute values must be text")
				}
				a.attributes[name] = append(a.attributes[name], text(value))
			}
		}
	}
	return nil
}

// rolePair is one value of the Role attribute.
type rolePair struct{ role, provider string }

// rolePairs are the values of the Role attribute that name a role and a
// provider, in either order. A role's name may itself hold a comma.
func (a *assertion) rolePairs() []rolePair {
	var pairs []rolePair
	for _, v := range a.attributes["Role"] {
		for i := range v {
			if v[i] != ',' {
				continue
			}
			left, right := strings.TrimSpace(v[:i]), strings.TrimSpace(v[i+1:])
			p, ok := asPair(left, right)
			if !ok {
				p, ok = asPair(right, left)
			}
			if ok && !slices.Contains(pairs, p) {
				pairs = append(pairs, p)
			}
		}
	}
	return pairs
}

func asPair(role, provider string) (rolePair, bool) {
	_, isRole := parseRoleARN(role)
	_, isProvider := parseProviderARN(provider)
	return rolePair{role, provider}, isRole && isProvider
}
