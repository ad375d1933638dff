package cloud

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	c14nExclusive      = "http://www.w3.org/2001/10/xml-exc-c14n#"
	envelopedSignature = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
)

// What may sign and digest. SHA-1 is refused; of ECDSA it is not known
// whether AWS takes it, so a judge does not.
var (
	signatureMethods = []string{
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
		"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
	}
	digestMethods = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256",
		"http://www.w3.org/2001/04/xmldsig-more#sha384",
		"http://www.w3.org/2001/04/xmlenc#sha512",
	}
)

// verified is row 9. It returns the assertion as it was rebuilt from the very
// bytes that were digested under a valid signature; nothing of the document
// as it came in is looked at again.
//
// The signature is the assertion's, or the response's, or both: then both
// must hold. Each is shaped as saml-core §5.4 demands: a child of what it
// signs, one Reference to that element's ID, the enveloped and the exclusive
// transform and no other. No further signature may be anywhere. IDs are
// unique in the document. Keys come from the provider's metadata; KeyInfo is
// removed unread.
func (m *message) verified(keys []*x509.Certificate) (*etree.Element, *refusal) {
	a, err := m.verify(keys)
	if err != nil {
		return nil, invalidIdentityToken("Response signature invalid").because("%v", err)
	}
	return a, nil
}

func (m *message) verify(keys []*x509.Certificate) (*etree.Element, error) {
	if err := uniqueIDs(m.root, map[string]bool{}); err != nil {
		return nil, err
	}
	ofResponse := children(m.root, nsSignature, "Signature")
	ofAssertion := children(m.assertion, nsSignature, "Signature")
	total := len(everywhere(m.root, nsSignature, "Signature"))
	switch {
	case total == 0:
		return nil, errors.New("nothing is signed")
	case len(ofResponse) > 1 || len(ofAssertion) > 1 || total != len(ofResponse)+len(ofAssertion):
		return nil, errors.New("a signature is where none belongs")
	}
	var assertion *etree.Element
	if len(ofResponse) == 1 {
		response, err := verifyElement(m.root, ofResponse[0], keys)
		if err != nil {
			return nil, fmt.Errorf("response: %w", err)
		}
		assertion = child(response, nsAssertion, "Assertion")
	}
	if len(ofAssertion) == 1 {
		var err error
		if assertion, err = verifyElement(m.assertion, ofAssertion[0], keys); err != nil {
			return nil, fmt.Errorf("assertion: %w", err)
		}
	}
	if !is(assertion, nsAssertion, "Assertion") {
		return nil, errors.New("what was signed is not an assertion")
	}
	return assertion, nil
}

// verifyElement verifies the signature sig of el by any of the keys.
func verifyElement(el, sig *etree.Element, keys []*x509.Certificate) (*etree.Element, error) {
	if err := checkSignature(sig, attr(el, "ID")); err != nil {
		return nil, err
	}
	parents, err := etreeutils.NSBuildParentContext(el)
	if err != nil {
		return nil, err
	}
	alone, err := etreeutils.NSDetatch(parents, el)
	if err != nil {
		return nil, err
	}
	// The library would look for a certificate in KeyInfo; what is not there
	// cannot be believed. It is outside what is signed.
	for _, s := range children(alone, nsSignature, "Signature") {
		for _, info := range children(s, nsSignature, "KeyInfo") {
			s.RemoveChild(info)
		}
	}
	err = errors.New("no key in the metadata")
	for _, cert := range keys {
		var signed *etree.Element
		if signed, err = verifyBy(cert, alone); err == nil {
			return signed, nil
		}
	}
	return nil, err
}

func verifyBy(cert *x509.Certificate, el *etree.Element) (*etree.Element, error) {
	v := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	// IAM takes no action on a certificate's dates, so the library's clock
	// stands within them.
	v.Clock = dsig.NewFakeClockAt(cert.NotBefore.Add(time.Second))
	return v.Validate(el)
}

// checkSignature holds a Signature to the shape that saml-core §5.4 allows.
func checkSignature(sig *etree.Element, id string) error {
	if id == "" {
		return errors.New("the signed element has no ID")
	}
	info := child(sig, nsSignature, "SignedInfo")
	if info == nil || child(sig, nsSignature, "SignatureValue") == nil {
		return errors.New("want one SignedInfo and one SignatureValue")
	}
	if err := onlyChildren(sig, "SignedInfo", "SignatureValue", "KeyInfo"); err != nil {
		return err
	}
	if err := onlyChildren(info, "CanonicalizationMethod", "SignatureMethod", "Reference"); err != nil {
		return err
	}
	if a := attr(child(info, nsSignature, "CanonicalizationMethod"), "Algorithm"); a != c14nExclusive {
		return fmt.Errorf("canonicalization %q", a)
	}
	if a := attr(child(info, nsSignature, "SignatureMethod"), "Algorithm"); !slices.Contains(signatureMethods, a) {
		return fmt.Errorf("signature method %q", a)
	}
	ref := child(info, nsSignature, "Reference")
	if ref == nil {
		return errors.New("want exactly one Reference")
	}
	return checkReference(ref, id)
}

func checkReference(ref *etree.Element, id string) error {
	if uri := attr(ref, "URI"); uri != "#"+id {
		return fmt.Errorf("the Reference is to %q, not to the element", uri)
	}
	if err := onlyChildren(ref, "Transforms", "DigestMethod", "DigestValue"); err != nil {
		return err
	}
	if a := attr(child(ref, nsSignature, "DigestMethod"), "Algorithm"); !slices.Contains(digestMethods, a) {
		return fmt.Errorf("digest method %q", a)
	}
	var transforms []string
	for _, t := range children(child(ref, nsSignature, "Transforms"), nsSignature, "Transform") {
		transforms = append(transforms, attr(t, "Algorithm"))
	}
	if !slices.Equal(transforms, []string{envelopedSignature, c14nExclusive}) {
		return fmt.Errorf("transforms %q", transforms)
	}
	return nil
}

// onlyChildren refuses children that are not named, or named twice.
func onlyChildren(el *etree.Element, tags ...string) error {
	seen := map[string]bool{}
	for _, c := range el.ChildElements() {
		if c.NamespaceURI() != nsSignature || !slices.Contains(tags, c.Tag) || seen[c.Tag] {
			return fmt.Errorf("%s within %s", c.Tag, el.Tag)
		}
		seen[c.Tag] = true
	}
	return nil
}

// uniqueIDs refuses a document in which two elements have one ID, however the
// attribute is spelt.
func uniqueIDs(el *etree.Element, seen map[string]bool) error {
	for _, a := range el.Attr {
		if a.Key != "ID" && a.Key != "Id" && a.Key != "id" {
			continue
		}
		if seen[a.Value] {
			return fmt.Errorf("the ID %q is there twice", a.Value)
		}
		seen[a.Value] = true
	}
	for _, c := range el.ChildElements() {
		if err := uniqueIDs(c, seen); err != nil {
			return err
		}
	}
	return nil
}
