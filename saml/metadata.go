package saml

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
)

// Formats of name identifiers (saml-core §8.3).
const (
	NameIDPersistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	NameIDTransient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	NameIDEmail       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	NameIDUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
)

// nameIDFormats are what Subject can make.
var nameIDFormats = []string{NameIDPersistent, NameIDEmail, NameIDTransient}

const (
	protocolSAML2   = "urn:oasis:names:tc:SAML:2.0:protocol"
	bindingPost     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	bindingSOAP     = "urn:oasis:names:tc:SAML:2.0:bindings:SOAP"
	bindingPAOS     = "urn:oasis:names:tc:SAML:2.0:bindings:PAOS"
	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
)

var (
	mdEntityDescriptor        = element{nsMD, "EntityDescriptor"}
	mdIDPSSODescriptor        = element{nsMD, "IDPSSODescriptor"}
	mdKeyDescriptor           = element{nsMD, "KeyDescriptor"}
	mdNameIDFormat            = element{nsMD, "NameIDFormat"}
	mdSingleSignOnService     = element{nsMD, "SingleSignOnService"}
	mdSingleLogoutService     = element{nsMD, "SingleLogoutService"}
	mdOrganization            = element{nsMD, "Organization"}
	mdOrganizationName        = element{nsMD, "OrganizationName"}
	mdOrganizationDisplayName = element{nsMD, "OrganizationDisplayName"}
	mdOrganizationURL         = element{nsMD, "OrganizationURL"}
	mdContactPerson           = element{nsMD, "ContactPerson"}
	mdGivenName               = element{nsMD, "GivenName"}
	mdEmailAddress            = element{nsMD, "EmailAddress"}
)

// describe is our metadata (saml-metadata §2.4.3), signed by k where that is
// wanted. Its ID is made of what it says, and the signature depends on nothing
// else, so that all replicas serve the same bytes.
func (p *IdP) describe(keys []published, k *signer) ([]byte, error) {
	s := &scratch{hash: sha256.New()}
	p.description(&s.xml, keys, "", nil)
	if !p.cfg.SignMetadata {
		return s.xml.buf, s.xml.err
	}
	sum := sha256.Sum256(s.xml.buf)
	id := "_" + hex.EncodeToString(sum[:16])
	s.xml = canonical{}
	h := p.description(&s.xml, keys, id, k)
	if s.xml.err != nil {
		return nil, s.xml.err
	}
	err := s.sign(&s.xml, h, 0, len(s.xml.buf), k)
	return s.xml.buf, err
}

// description writes our metadata, with room for a signature where it has an
// ID. It has no validUntil: consumers that fetch it once would lock their
// people out when it ran out. It has no encryption key, since nothing is
// decrypted here.
func (p *IdP) description(w *canonical, keys []published, id string, k *signer) hole {
	w.open(mdEntityDescriptor, attribute{name: "ID", value: id}, attribute{name: "entityID", value: p.entityID})
	h := w.signatureIf(id != "", id, k)
	w.open(mdIDPSSODescriptor, attribute{name: "protocolSupportEnumeration", value: protocolSAML2})
	for _, k := range keys {
		w.open(mdKeyDescriptor, attribute{name: "use", value: "signing"})
		w.certificate(k.text)
		w.close()
	}
	if p.endpoints.SLO != "" {
		w.service(mdSingleLogoutService, bindingRedirect, p.endpoints.SLO)
		w.service(mdSingleLogoutService, bindingPost, p.endpoints.SLO)
	}
	for _, format := range nameIDFormats {
		w.leaf(mdNameIDFormat, format)
	}
	w.service(mdSingleSignOnService, bindingRedirect, p.endpoints.SSO)
	w.service(mdSingleSignOnService, bindingPost, p.endpoints.SSO)
	if p.endpoints.ECP != "" {
		w.service(mdSingleSignOnService, bindingSOAP, p.endpoints.ECP)
	}
	w.close()
	w.organization(p.cfg.Organization)
	w.contact(p.cfg.Contact)
	w.close()
	return h
}

func (w *canonical) service(e element, binding, location string) {
	w.leaf(e, "", attribute{name: "Binding", value: binding}, attribute{name: "Location", value: location})
}

func (w *canonical) organization(o Organization) {
	if o.Name == "" {
		return
	}
	english := func() attribute { return attribute{name: "xml:lang", value: "en"} }
	w.open(mdOrganization)
	w.leaf(mdOrganizationName, o.Name, english())
	w.leaf(mdOrganizationDisplayName, cmp.Or(o.DisplayName, o.Name), english())
	w.leaf(mdOrganizationURL, o.URL, english())
	w.close()
}

func (w *canonical) contact(c Contact) {
	if c.Email == "" {
		return
	}
	w.open(mdContactPerson, attribute{name: "contactType", value: "technical"})
	if c.Name != "" {
		w.leaf(mdGivenName, c.Name)
	}
	w.leaf(mdEmailAddress, "mailto:"+c.Email)
	w.close()
}
