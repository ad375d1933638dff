package saml

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
)

const nsXSI = "http://www.w3.org/2001/XMLSchema-instance"

// shape holds a document to the outline of an AuthnRequest (saml-core
// §3.4.1). encoding/xml matches names without their namespace where a field
// does not give one, and lets the last of several win; so whatever could be
// taken for another thing is refused here.
type shape struct {
	seen map[string]bool // children of the root
}

// rootAttributes are all that the schema allows; none has a namespace.
var rootAttributes = []string{
	"ID", "Version", "IssueInstant", "Destination", "Consent", "ForceAuthn", "IsPassive",
	"AssertionConsumerServiceIndex", "AssertionConsumerServiceURL", "ProtocolBinding",
	"AttributeConsumingServiceIndex", "ProviderName",
}

// rootChildren are all that the schema allows, each at most once.
var rootChildren = []xml.Name{
	{Space: namespaces[nsSAML].uri, Local: "Issuer"},
	{Space: namespaces[nsDS].uri, Local: "Signature"},
	{Space: namespaces[nsSAMLP].uri, Local: "Extensions"},
	{Space: namespaces[nsSAML].uri, Local: "Subject"},
	{Space: namespaces[nsSAMLP].uri, Local: "NameIDPolicy"},
	{Space: namespaces[nsSAML].uri, Local: "Conditions"},
	{Space: namespaces[nsSAMLP].uri, Local: "RequestedAuthnContext"},
	{Space: namespaces[nsSAMLP].uri, Local: "Scoping"},
}

func (s *shape) element(path []xml.Name, e xml.StartElement) error {
	switch len(path) {
	case 1:
		return s.root(e)
	case 2:
		return s.child(e)
	}
	if e.Name == rootChildren[1] {
		return errors.New("it has a signature within another element")
	}
	if path[1].Local == "Issuer" || path[1].Local == "NameIDPolicy" {
		return fmt.Errorf("its %s has elements within", path[1].Local)
	}
	return nil
}

func (s *shape) root(e xml.StartElement) error {
	s.seen = map[string]bool{}
	if e.Name != (xml.Name{Space: namespaces[nsSAMLP].uri, Local: "AuthnRequest"}) {
		return fmt.Errorf("it is a %s, not an AuthnRequest", e.Name.Local)
	}
	for _, a := range e.Attr {
		if a.Name.Space == nsXSI || a.Name.Space == nsXML {
			continue
		}
		if a.Name.Space != "" || !slices.Contains(rootAttributes, a.Name.Local) {
			return fmt.Errorf("an AuthnRequest has no attribute %q", a.Name.Local)
		}
	}
	return nil
}

func (s *shape) child(e xml.StartElement) error {
	if !slices.Contains(rootChildren, e.Name) {
		return fmt.Errorf("an AuthnRequest has no element %q", e.Name.Local)
	}
	if s.seen[e.Name.Local] {
		return fmt.Errorf("it has two elements %s", e.Name.Local)
	}
	s.seen[e.Name.Local] = true
	return nil
}
