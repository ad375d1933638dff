package saml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
)

const nsXSI = "http://www.w3.org/2001/XMLSchema-instance"

// outline is what the schema allows in one kind of message.
type outline struct {
	root       string     // a name of the protocol's namespace
	attributes []string   // of the root, besides those that every message has; none has a namespace
	children   []xml.Name // of the root, besides those that every message has; each at most once
	many       string     // but this one, which may come again
	flat       []string   // children that hold text alone, or nothing
}

// What every message may have (saml-core §3.2.1, §3.2.2).
var (
	commonAttributes = []string{"ID", "Version", "IssueInstant", "Destination", "Consent"}
	commonChildren   = []xml.Name{inSAML("Issuer"), inDS("Signature"), inSAMLP("Extensions")}
)

var (
	// saml-core §3.4.1
	authnRequestOutline = outline{
		root: "AuthnRequest",
		attributes: []string{"ForceAuthn", "IsPassive", "AssertionConsumerServiceIndex", "AssertionConsumerServiceURL",
			"ProtocolBinding", "AttributeConsumingServiceIndex", "ProviderName"},
		children: []xml.Name{inSAML("Subject"), inSAMLP("NameIDPolicy"), inSAML("Conditions"), inSAMLP("RequestedAuthnContext"), inSAMLP("Scoping")},
		flat:     []string{"Issuer", "NameIDPolicy"},
	}
	// saml-core §3.7.1
	logoutRequestOutline = outline{
		root:       "LogoutRequest",
		attributes: []string{"NotOnOrAfter", "Reason"},
		children:   []xml.Name{inSAML("BaseID"), inSAML("NameID"), inSAML("EncryptedID"), inSAMLP("SessionIndex")},
		many:       "SessionIndex",
		flat:       []string{"Issuer", "NameID", "SessionIndex"},
	}
	// saml-core §3.7.2
	logoutResponseOutline = outline{
		root:       "LogoutResponse",
		attributes: []string{"InResponseTo"},
		children:   []xml.Name{inSAMLP("Status")},
		flat:       []string{"Issuer"},
	}
)

func inSAML(local string) xml.Name  { return xml.Name{Space: namespaces[nsSAML].uri, Local: local} }
func inSAMLP(local string) xml.Name { return xml.Name{Space: namespaces[nsSAMLP].uri, Local: local} }
func inDS(local string) xml.Name    { return xml.Name{Space: namespaces[nsDS].uri, Local: local} }

// shape holds a document to an outline. encoding/xml matches names without
// their namespace where a field does not give one, and lets the last of
// several win; so whatever could be taken for another thing is refused here.
type shape struct {
	*outline
	seen map[string]bool // children of the root
}

func (s *shape) element(path []xml.Name, e xml.StartElement) error {
	switch len(path) {
	case 1:
		return s.start(e)
	case 2:
		return s.child(e)
	}
	if e.Name == inDS("Signature") {
		return errors.New("it has a signature within another element")
	}
	if slices.Contains(s.flat, path[1].Local) {
		return fmt.Errorf("its %s has elements within", path[1].Local)
	}
	return nil
}

func (s *shape) start(e xml.StartElement) error {
	s.seen = map[string]bool{}
	if e.Name != inSAMLP(s.root) {
		return fmt.Errorf("it is a %s, not a %s", e.Name.Local, s.root)
	}
	for _, a := range e.Attr {
		if a.Name.Space == nsXSI || a.Name.Space == nsXML {
			continue
		}
		if a.Name.Space != "" || !(slices.Contains(commonAttributes, a.Name.Local) || slices.Contains(s.attributes, a.Name.Local)) {
			return fmt.Errorf("a %s has no attribute %q", s.root, a.Name.Local)
		}
	}
	return nil
}

func (s *shape) child(e xml.StartElement) error {
	if !slices.Contains(commonChildren, e.Name) && !slices.Contains(s.children, e.Name) {
		return fmt.Errorf("a %s has no element %q", s.root, e.Name.Local)
	}
	if s.seen[e.Name.Local] && e.Name.Local != s.many {
		return fmt.Errorf("it has two elements %s", e.Name.Local)
	}
	s.seen[e.Name.Local] = true
	return nil
}
