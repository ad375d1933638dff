package saml

import (
	"crypto"
	_ "crypto/md5" // what must be refused is signed with it
	"crypto/rand"
	_ "crypto/sha1" // the same
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"gatehouse"
)

// Everything here is signed for real, by the sender's own key: what is refused
// is refused for its algorithms, and for nothing else.

// moreAlgorithms is where RFC 4051 has its names.
const moreAlgorithms = "http://www.w3.org/2001/04/xmldsig-more#"

// Names of algorithms that we do not sign with.
const (
	algRSAMD5      = moreAlgorithms + "rsa-md5"
	algECDSASHA1   = moreAlgorithms + "ecdsa-sha1"
	algMD5         = moreAlgorithms + "md5"
	algInclusive   = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	algInclusive11 = "http://www.w3.org/2006/12/xml-c14n11"
)

// idpForTwoKeys knows a wiki that signs by RSA and by ECDSA.
func idpForTwoKeys(t *testing.T) *IdP {
	t.Helper()
	keys := keyDescriptor(`use="signing"`, testKey()) + keyDescriptor(`use="signing"`, ecdsaKey())
	return newTestIdP(t, providerFile(t, "Wiki", spMetadata(wikiID, "", keys, acs("HTTP-POST", wikiACS, 0, ""))))
}

// signQueryBy adds a redirect signature by that algorithm.
func signQueryBy(t *testing.T, query string, k gatehouse.SigningKey, algorithm string, hash crypto.Hash) string {
	t.Helper()
	query += "&SigAlg=" + url.QueryEscape(algorithm)
	key, err := x509.ParsePKCS8PrivateKey(k.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	h := hash.New()
	h.Write([]byte(query))
	value, err := key.(crypto.Signer).Sign(rand.Reader, h.Sum(nil), hash)
	if err == nil && isECDSA(k) {
		value, err = sideBySide(value, 64)
	}
	if err != nil {
		t.Fatal(err)
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(value))
}

func TestARedirectIsSignedByTheAlgorithmsThatAreNamedAndNoOthers(t *testing.T) {
	p := idpForTwoKeys(t)
	for _, tt := range []struct {
		name, algorithm string
		key             gatehouse.SigningKey
		hash            crypto.Hash
		ok              bool
	}{
		{"RSA with MD5", algRSAMD5, testKey(), crypto.MD5, false},
		{"RSA with SHA-1", algRSASHA1, testKey(), crypto.SHA1, false},
		{"ECDSA with SHA-1", algECDSASHA1, ecdsaKey(), crypto.SHA1, false},
		{"RSA with SHA-1 that is called SHA-256", algRSASHA256, testKey(), crypto.SHA1, false},
		{"ECDSA that is called RSA", algRSASHA256, ecdsaKey(), crypto.SHA256, false},
		{"RSA with SHA-256", algRSASHA256, testKey(), crypto.SHA256, true},
		{"RSA with SHA-384", moreAlgorithms + "rsa-sha384", testKey(), crypto.SHA384, true},
		{"RSA with SHA-512", moreAlgorithms + "rsa-sha512", testKey(), crypto.SHA512, true},
		{"ECDSA with SHA-256", algECDSASHA256, ecdsaKey(), crypto.SHA256, true},
		{"ECDSA with SHA-384", moreAlgorithms + "ecdsa-sha384", ecdsaKey(), crypto.SHA384, true},
		{"ECDSA with SHA-512", moreAlgorithms + "ecdsa-sha512", ecdsaKey(), crypto.SHA512, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := p.ParseRedirect(signQueryBy(t, redirectQuery(t, plain()), tt.key, tt.algorithm, tt.hash))
			checkTaken(t, r, err, tt.ok)
		})
	}
}

func checkTaken(t *testing.T, r Request, err error, ok bool) {
	t.Helper()
	if ok != (err == nil) || (!ok && (!errors.Is(err, gatehouse.ErrInvalid) || !reflect.DeepEqual(r, Request{}))) {
		t.Errorf("%+v, %v; want accepted: %v", r, err, ok)
	}
}

// xmlsec1 signs, and says that each is signed well.
func TestAPostIsSignedByTheAlgorithmsThatAreNamedAndNoOthers(t *testing.T) {
	p := idpForTwoKeys(t)
	rsa, ecdsa := testKey(), ecdsaKey()
	canonicalization := func(other string) []string {
		return []string{`<ds:CanonicalizationMethod Algorithm="` + algExclusive + `"/>`, `<ds:CanonicalizationMethod Algorithm="` + other + `"/>`}
	}
	last := func(other string) []string {
		return []string{`<ds:Transform Algorithm="` + algExclusive + `"/>`, `<ds:Transform Algorithm="` + other + `"/>`}
	}
	digest := func(other string) []string { return []string{algSHA256, other} }
	for _, tt := range []struct {
		name    string
		key     gatehouse.SigningKey
		method  string
		changes []string // to what is signed
		ok      bool
	}{
		{"RSA with MD5", rsa, algRSAMD5, nil, false},
		{"RSA with SHA-1", rsa, algRSASHA1, nil, false},
		{"ECDSA with SHA-1", ecdsa, algECDSASHA1, nil, false},
		{"a digest by MD5", rsa, algRSASHA256, digest(algMD5), false},
		{"a digest by SHA-1", rsa, algRSASHA256, digest(algSHA1), false},
		{"a canonicalization that takes in what is around", rsa, algRSASHA256, canonicalization(algInclusive), false},
		{"the other one of them", rsa, algRSASHA256, canonicalization(algInclusive11), false},
		{"a canonicalization with comments", rsa, algRSASHA256, canonicalization(algExclusive + "WithComments"), false},
		{"a transform that takes in what is around", rsa, algRSASHA256, last(algInclusive), false},
		{"the other one of those", rsa, algRSASHA256, last(algInclusive11), false},
		{"a transform with comments", rsa, algRSASHA256, last(algExclusive + "WithComments"), false},
		{"a transform that selects", rsa, algRSASHA256, []string{`<ds:Transform Algorithm="` + algEnveloped + `"/>`, `<ds:Transform Algorithm="` + algEnveloped + `"/>` +
			`<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>true()</ds:XPath></ds:Transform>`}, false},

		{"RSA with SHA-256", rsa, algRSASHA256, nil, true},
		{"RSA with SHA-384", rsa, moreAlgorithms + "rsa-sha384", nil, true},
		{"RSA with SHA-512", rsa, moreAlgorithms + "rsa-sha512", nil, true},
		{"ECDSA with SHA-256", ecdsa, algECDSASHA256, nil, true},
		{"ECDSA with SHA-384", ecdsa, moreAlgorithms + "ecdsa-sha384", nil, true},
		{"ECDSA with SHA-512", ecdsa, moreAlgorithms + "ecdsa-sha512", nil, true},
		{"a digest by SHA-384", rsa, algRSASHA256, digest(moreAlgorithms + "sha384"), true},
		{"a digest by SHA-512", rsa, algRSASHA256, digest("http://www.w3.org/2001/04/xmlenc#sha512"), true},
		{"one transform of the two", rsa, algRSASHA256, []string{`<ds:Transform Algorithm="` + algExclusive + `"/>`, ""}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			document := signXMLSec(t, plain(), "_req1", "</samlp:AuthnRequest>", tt.key, tt.method, tt.changes...)
			if err := xmlsec1(t, []byte(document), tt.key.Certificate, "AuthnRequest"); err != nil {
				t.Fatalf("not signed well: %v", err)
			}
			if err := tryLibrary(t, document, tt.key); err != nil && !strings.HasPrefix(err.Error(), "Unknown ") {
				t.Fatalf("it is refused for something else: %v", err)
			}
			r, err := p.ParsePost(postForm(document))
			checkTaken(t, r, err, tt.ok)
		})
	}
}

// tryLibrary verifies document by the library alone, without our rules.
func tryLibrary(t *testing.T, document string, k gatehouse.SigningKey) error {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(document); err != nil {
		t.Fatal(err)
	}
	if isECDSA(k) {
		if err := restateECDSA(doc.Root().FindElement("./Signature/SignatureValue")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := verifyWith(doc.Root(), testCertificate(t, k))
	return err
}
