package saml

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// signatureMethods are what a request may be signed with. SHA-1 and MD5 are
// out.
var signatureMethods = map[string]x509.SignatureAlgorithm{
	algRSASHA256: x509.SHA256WithRSA,
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha384": x509.SHA384WithRSA,
	"http://www.w3.org/2001/04/xmldsig-more#rsa-sha512": x509.SHA512WithRSA,

	algECDSASHA256: x509.ECDSAWithSHA256,
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384": x509.ECDSAWithSHA384,
	"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512": x509.ECDSAWithSHA512,
}

// verifyRedirect is verifyQuery for a message that may have a signature within
// it. The sender must take that out (saml-bindings §3.4.4.1), and not all do
// (pysaml2). It is not looked at: the one of the query must cover everything.
func verifyRedirect(p parameters, name string, sp Provider, enveloped bool) (signed bool, err error) {
	signed, err = verifyQuery(p, name, sp)
	if err == nil && enveloped && !signed {
		err = errors.New("a redirected message has an enveloped signature and no other")
	}
	return signed, err
}

// verifyQuery says whether a redirected message, in the parameter of that
// name, is signed. A signature that
// is there must be good, by any key of sp, over the octets as they were
// received (saml-bindings §3.4.4.1): RelayState takes part when it was sent,
// be it empty.
func verifyQuery(p parameters, name string, sp Provider) (signed bool, err error) {
	if !p.has("Signature") && !p.has("SigAlg") {
		return false, nil
	}
	algorithm, err := p.value("SigAlg")
	if err != nil {
		return false, err
	}
	method, ok := signatureMethods[algorithm]
	if !ok {
		return false, fmt.Errorf("signature algorithm %q is not accepted", algorithm)
	}
	encoded, err := p.value("Signature")
	if err != nil {
		return false, err
	}
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(signature) == 0 {
		return false, errors.New("the signature is not base64")
	}
	if isECDSAMethod(method) {
		if signature, err = inASN1(signature); err != nil {
			return false, err
		}
	}
	octets := name + "=" + p[name]
	if p.has("RelayState") {
		octets += "&RelayState=" + p["RelayState"]
	}
	octets += "&SigAlg=" + p["SigAlg"]
	for _, cert := range sp.keys {
		if cert.CheckSignature(method, []byte(octets), signature) == nil {
			return true, nil
		}
	}
	return false, fmt.Errorf("none of the %d keys of %s made the signature", len(sp.keys), sp.EntityID)
}

// verifyAuthnRequest returns a posted request as read from the bytes that its
// signature covers.
func verifyAuthnRequest(document []byte, claimed *authnRequest, sp Provider) (*authnRequest, error) {
	verified, err := verifyEnveloped(document, claimed.ID, sp.keys, sp.EntityID)
	if err != nil {
		return nil, err
	}
	m, err := readAuthnRequest(verified)
	if err != nil {
		return nil, err
	}
	if m.ID != claimed.ID || m.issuer != claimed.issuer {
		return nil, errNotWhatWasSent
	}
	return m, nil
}

var errNotWhatWasSent = errors.New("what was signed is not what was sent")

// verifyEnveloped verifies the signature of a document, whose root has that
// ID, with the keys of somebody. It returns the bytes that were verified: what
// else the document held is gone (signature wrapping).
func verifyEnveloped(document []byte, id string, keys []*x509.Certificate, of string) ([]byte, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(document); err != nil {
		return nil, fmt.Errorf("not well-formed: %w", err)
	}
	if err := checkSignatureShape(doc.Root(), id); err != nil {
		return nil, err
	}
	for _, cert := range keys {
		if verified, err := verifyWith(doc.Root(), cert); err == nil {
			return verified, nil
		}
	}
	return nil, fmt.Errorf("none of the %d keys of %s made the signature", len(keys), of)
}

// verifyWith returns the canonical bytes of root that cert's key signed. The
// certificate's dates do not count, nor does the KeyInfo of the message. The
// library has panicked on malformed signatures before (CVE-2020-7711), so
// that a panic is a refusal here.
func verifyWith(root *etree.Element, cert *x509.Certificate) (verified []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			verified, err = nil, fmt.Errorf("signature cannot be read: %v", p)
		}
	}()
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	ctx.Clock = dsig.NewFakeClockAt(cert.NotBefore)
	el, err := ctx.Validate(root.Copy())
	if err != nil {
		return nil, err
	}
	return etree.NewDocumentWithRoot(el.Copy()).WriteToBytes()
}

// checkSignatureShape holds the Signature to saml-core §5.4.2 to §5.4.4: one
// Reference, to the root's ID, with no transforms but enveloped-signature and
// exclusive canonicalization. It takes KeyInfo out, so that only the keys of
// the metadata are tried, and restates ECDSA values.
func checkSignatureShape(root *etree.Element, id string) error {
	signature := only(root, "Signature")
	info := only(signature, "SignedInfo")
	reference := only(info, "Reference")
	transforms := only(reference, "Transforms")
	switch {
	case transforms == nil || only(signature, "SignatureValue") == nil:
		return errors.New("the signature lacks a part, or has one twice")
	case reference.SelectAttrValue("URI", "") != "#"+id:
		return errors.New("the signature is not over the message")
	case algorithm(only(info, "CanonicalizationMethod")) != algExclusive:
		return errors.New("the signature's canonicalization is not accepted")
	case signatureMethods[algorithm(only(info, "SignatureMethod"))] == 0:
		return fmt.Errorf("signature algorithm %q is not accepted", algorithm(only(info, "SignatureMethod")))
	case !strongDigest(algorithm(only(reference, "DigestMethod"))):
		return errors.New("the signature's digest algorithm is not accepted")
	}
	for _, t := range transforms.ChildElements() {
		if a := algorithm(t); a != algEnveloped && a != algExclusive {
			return fmt.Errorf("transform %q is not accepted", a)
		}
	}
	for _, el := range signature.ChildElements() {
		if el.Tag == "KeyInfo" {
			signature.RemoveChild(el)
		}
	}
	if isECDSAMethod(signatureMethods[algorithm(only(info, "SignatureMethod"))]) {
		return restateECDSA(only(signature, "SignatureValue"))
	}
	return nil
}

func isECDSAMethod(m x509.SignatureAlgorithm) bool {
	return m == x509.ECDSAWithSHA256 || m == x509.ECDSAWithSHA384 || m == x509.ECDSAWithSHA512
}

// restateECDSA writes an ECDSA signature as the library wants it, which knows
// ASN.1 alone. The value is no part of what is signed.
func restateECDSA(value *etree.Element) error {
	raw, err := base64.StdEncoding.DecodeString(withoutSpace(value.Text()))
	if err == nil {
		raw, err = inASN1(raw)
	}
	if err != nil {
		return errors.New("the signature's value cannot be read")
	}
	value.SetText(base64.StdEncoding.EncodeToString(raw))
	return nil
}

// only is the one child of that name; nil when there is none, or another.
func only(parent *etree.Element, tag string) *etree.Element {
	if parent == nil {
		return nil
	}
	var found *etree.Element
	for _, el := range parent.ChildElements() {
		if el.Tag != tag {
			continue
		}
		if found != nil || el.NamespaceURI() != namespaces[nsDS].uri {
			return nil
		}
		found = el
	}
	return found
}

func algorithm(el *etree.Element) string {
	if el == nil {
		return ""
	}
	return el.SelectAttrValue("Algorithm", "")
}

func strongDigest(name string) bool {
	return name == algSHA256 || strings.HasSuffix(name, "#sha384") || strings.HasSuffix(name, "#sha512")
}
