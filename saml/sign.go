package saml

import (
	"crypto"
	"encoding/base64"
	"fmt"
)

// Names of the algorithms that we sign with.
const (
	algExclusive   = "http://www.w3.org/2001/10/xml-exc-c14n#"
	algEnveloped   = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	algRSASHA256   = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	algECDSASHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	algSHA256      = "http://www.w3.org/2001/04/xmlenc#sha256"
)

var (
	dsSignature              = element{nsDS, "Signature"}
	dsSignedInfo             = element{nsDS, "SignedInfo"}
	dsCanonicalizationMethod = element{nsDS, "CanonicalizationMethod"}
	dsSignatureMethod        = element{nsDS, "SignatureMethod"}
	dsReference              = element{nsDS, "Reference"}
	dsTransforms             = element{nsDS, "Transforms"}
	dsTransform              = element{nsDS, "Transform"}
	dsDigestMethod           = element{nsDS, "DigestMethod"}
	dsDigestValue            = element{nsDS, "DigestValue"}
	dsSignatureValue         = element{nsDS, "SignatureValue"}
	dsKeyInfo                = element{nsDS, "KeyInfo"}
	dsX509Data               = element{nsDS, "X509Data"}
	dsX509Certificate        = element{nsDS, "X509Certificate"}
)

// hole is a Signature whose digest and value are not filled in yet.
type hole struct {
	id         string // of the element that is signed
	start, end int    // of the Signature element
	digestAt   int
	valueAt    int
}

// signature writes a Signature over the element of that id, with room for
// what is known only when the element is complete (saml-core §5.4).
func (w *canonical) signature(id string, k *signer) hole {
	h := hole{id: id, start: len(w.buf)}
	w.open(dsSignature)
	h.digestAt = w.signedInfo(id, k.algorithm)
	w.open(dsSignatureValue)
	h.valueAt = w.blank(base64.StdEncoding.EncodedLen(k.size))
	w.close()
	w.certificate(k.certificate)
	w.close()
	h.end = len(w.buf)
	return h
}

// certificate writes a KeyInfo that holds one.
func (w *canonical) certificate(text string) {
	w.open(dsKeyInfo)
	w.open(dsX509Data)
	w.leaf(dsX509Certificate, text)
	w.close()
	w.close()
}

// signedInfo writes the SignedInfo of that signature and says where its
// digest goes.
func (w *canonical) signedInfo(id, algorithm string) (digestAt int) {
	w.open(dsSignedInfo)
	w.leaf(dsCanonicalizationMethod, "", attribute{name: "Algorithm", value: algExclusive})
	w.leaf(dsSignatureMethod, "", attribute{name: "Algorithm", value: algorithm})
	w.open(dsReference, attribute{name: "URI", value: "#", tail: id})
	w.open(dsTransforms)
	w.leaf(dsTransform, "", attribute{name: "Algorithm", value: algEnveloped})
	w.leaf(dsTransform, "", attribute{name: "Algorithm", value: algExclusive})
	w.close()
	w.leaf(dsDigestMethod, "", attribute{name: "Algorithm", value: algSHA256})
	w.open(dsDigestValue)
	digestAt = w.blank(base64.StdEncoding.EncodedLen(crypto.SHA256.Size()))
	w.close()
	w.close()
	w.close()
	return digestAt
}

// sign fills in the Signature of the element that lies at start:end of w. The
// enveloped-signature transform takes the Signature out again, so what is
// hashed is the element around the hole. SignedInfo is hashed as the apex of
// its own canonical form, where it declares its namespace itself.
func (s *scratch) sign(w *canonical, h hole, start, end int, k *signer) error {
	s.hash.Reset()
	s.hash.Write(w.buf[start:h.start])
	s.hash.Write(w.buf[h.end:end])
	digest := s.hash.Sum(s.digest[:0])
	base64.StdEncoding.Encode(w.buf[h.digestAt:], digest)

	s.info.reset()
	at := s.info.signedInfo(h.id, k.algorithm)
	base64.StdEncoding.Encode(s.info.buf[at:], digest)
	s.hash.Reset()
	s.hash.Write(s.info.buf)
	value, err := k.sign(s.hash.Sum(s.digest[:0]))
	if err != nil {
		return fmt.Errorf("sign %s: %w", h.id, err)
	}
	base64.StdEncoding.Encode(w.buf[h.valueAt:], value)
	return nil
}
