package cloud

import (
	"encoding/base64"
	"strings"

	"github.com/beevik/etree"
)

const statusSuccess = "urn:oasis:names:tc:SAML:2.0:status:Success"

// message is a SAML response that has been parsed, and believed in nothing.
type message struct {
	root      *etree.Element // samlp:Response
	assertion *etree.Element // its only Assertion; nil before row 8
}

// decode is row 5: base64 without anything else in it, well-formed XML, a
// samlp:Response and everything in it of SAML 2.0.
func decode(encoded string) (*message, *refusal) {
	invalid := func(why string, args ...any) *refusal {
		r := invalidIdentityToken("Invalid base64 SAMLResponse").because(why, args...)
		r.Named = "AuthSamlInvalidSamlResponseException"
		return r
	}
	// The decoder itself would skip line ends.
	if strings.ContainsAny(encoded, "\r\n") {
		return nil, invalid("line ends in the base64")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, invalid("%v", err)
	}
	root, err := parseXML(raw)
	if err != nil {
		return nil, invalid("%v", err)
	}
	if !is(root, nsProtocol, "Response") {
		return nil, invalid("the root element is %s, not samlp:Response", root.Tag)
	}
	for _, el := range append(everywhere(root, nsAssertion, "Assertion"), root) {
		if v := attr(el, "Version"); v != "2.0" {
			return nil, invalid("%s has Version %q", el.Tag, v)
		}
	}
	return &message{root: root}, nil
}

// status is row 6. The Status is not under an assertion's signature: a lie in
// it can only make the response refused.
func (m *message) status() *refusal {
	code := child(child(m.root, nsProtocol, "Status"), nsProtocol, "StatusCode")
	if v := attr(code, "Value"); v != statusSuccess {
		return refuse(403, "IDPRejectedClaim", "IdP reported that authentication failed").because("status %q", v)
	}
	return nil
}

// issuer is row 7, on what is not verified yet; row 9 then takes the keys of
// exactly this issuer, and reads the issuer again.
func (m *message) issuer(doc *metadata) (string, *refusal) {
	unknown := invalidIdentityToken("Issuer not present in specified provider")
	unknown.Named = "AuthSamlInvalidSamlResponseException"
	var names []string
	for _, el := range append(children(m.root, nsAssertion, "Assertion"), m.root) {
		issuers := children(el, nsAssertion, "Issuer")
		if len(issuers) > 1 || len(issuers) == 0 && el != m.root {
			return "", unknown.because("%s has %d issuers", el.Tag, len(issuers))
		}
		if len(issuers) == 1 {
			names = append(names, text(issuers[0]))
		}
	}
	if len(names) == 0 {
		return "", unknown.because("no issuer at all")
	}
	for _, name := range names {
		if name != names[0] || doc.keys[name] == nil {
			return "", unknown.because("issuer %q", name)
		}
	}
	return names[0], nil
}

// only is row 8: one assertion in the whole document, right below the root.
// This emulator holds no private key, so it can decrypt none.
func (m *message) only() *refusal {
	found := len(everywhere(m.root, nsAssertion, "Assertion"))
	encrypted := len(everywhere(m.root, nsAssertion, "EncryptedAssertion"))
	switch m.assertion = child(m.root, nsAssertion, "Assertion"); {
	case found+encrypted != 1:
		return invalidIdentityToken("Response must contain exactly one Assertion").
			because("%d assertions, %d encrypted ones", found, encrypted)
	case encrypted == 1:
		return invalidIdentityToken("Assertion could not be decrypted: the provider has no private key")
	case m.assertion == nil:
		return invalidIdentityToken("Response must contain exactly one Assertion").
			because("the assertion is not a child of the Response")
	}
	return nil
}
