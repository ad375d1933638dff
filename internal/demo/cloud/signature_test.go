package cloud_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/outside"
)

func sent(t testing.TB, s *cloud.Server, encoded string) (int, string, string) {
	t.Helper()
	return post(t, s, url.Values{"Action": {"AssumeRoleWithSAML"}, "Version": {"2011-06-15"},
		"RoleArn": {devARN}, "PrincipalArn": {provider}, "SAMLAssertion": {encoded}})
}

func TestEitherSignatureIsEnough(t *testing.T) {
	s := start(t)
	tests := []struct {
		name           string
		response, bare bool
	}{
		{"the assertion's alone", false, false},
		{"the response's alone", true, true},
		{"both", true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := usual()
			w.response, w.bare = tt.response, tt.bare
			if status, code, message := sent(t, s, w.encoded(t)); status != 200 {
				t.Errorf("got %d %s %q, want 200; why: %s", status, code, message, last(s).Why)
			}
		})
	}
}

func TestAllKeysOfTheMetadataAreTried(t *testing.T) {
	s := start(t)
	if err := s.PutProvider(account, "Gatehouse", metadataOf(entityID, other().cert, good().cert)); err != nil {
		t.Fatal(err)
	}
	if status, code, _ := sent(t, s, usual().encoded(t)); status != 200 {
		t.Errorf("got %d %s, want 200: the second certificate signed", status, code)
	}
}

// TestXMLSecAgrees has a second judge look at what the tests sign, so that a
// mistake shared with the library would show.
func TestXMLSecAgrees(t *testing.T) {
	xmlsec := outside.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	file, cert := filepath.Join(dir, "r.xml"), filepath.Join(dir, "c.pem")
	pem := "-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString(good().cert) + "\n-----END CERTIFICATE-----\n"
	if err := os.WriteFile(file, usual().xml(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), xmlsec, "--verify", "--enabled-key-data", "rsa", "--pubkey-cert-pem", cert,
		"--id-attr:ID", "urn:oasis:names:tc:SAML:2.0:assertion:Assertion", file).CombinedOutput()
	if err != nil {
		t.Errorf("xmlsec1: %v\n%s", err, out)
	}
}

// forged is an assertion that the attacker would like to be read: another
// person, entering as an administrator.
func forged(r *etree.Element, id string) *etree.Element {
	evil := r.FindElement("./Assertion").Copy()
	evil.CreateAttr("ID", id)
	evil.RemoveChild(evil.FindElement("./Signature"))
	evil.FindElement(".//NameID").SetText("_mallory")
	return evil
}

// TestWrappedSignaturesAreRefused is the corpus of Somorovsky et al., "On
// Breaking SAML: Be Whoever You Want to Be" (XSW1 to XSW8) and what came
// after it.
func TestWrappedSignaturesAreRefused(t *testing.T) {
	s := start(t)
	move := func(el, to *etree.Element) { el.Parent().RemoveChild(el); to.AddChild(el) }
	tests := []struct {
		name     string
		response bool // sign the response rather than the assertion
		attack   func(r *etree.Element)
	}{
		{"XSW1: the signed response within the forged one's signature", true, func(r *etree.Element) {
			old := r.Copy()
			sig := r.FindElement("./Signature")
			old.RemoveChild(old.FindElement("./Signature"))
			r.CreateAttr("ID", "_evil")
			r.FindElement(".//NameID").SetText("_mallory")
			sig.AddChild(old)
		}},
		{"XSW2: the signed response beside the signature", true, func(r *etree.Element) {
			old := r.Copy()
			old.RemoveChild(old.FindElement("./Signature"))
			r.CreateAttr("ID", "_evil")
			r.FindElement(".//NameID").SetText("_mallory")
			r.InsertChildAt(0, old)
		}},
		{"XSW3: a forged assertion before the signed one", false, func(r *etree.Element) {
			r.InsertChildAt(1, forged(r, "_evil"))
		}},
		{"XSW4: the signed assertion within the forged one", false, func(r *etree.Element) {
			evil := forged(r, "_evil")
			old := r.FindElement("./Assertion")
			move(old, evil)
			r.AddChild(evil)
		}},
		{"XSW5: the forged assertion holds the signature, the signed one follows", false, func(r *etree.Element) {
			old := r.FindElement("./Assertion")
			evil := forged(r, "_evil")
			evil.InsertChildAt(1, old.FindElement("./Signature"))
			r.InsertChildAt(2, evil)
		}},
		{"XSW6: the forged assertion holds the signature, which holds the signed one", false, func(r *etree.Element) {
			old := r.FindElement("./Assertion")
			sig := old.FindElement("./Signature")
			evil := forged(r, "_evil")
			evil.InsertChildAt(1, sig)
			r.AddChild(evil)
			move(old, sig)
		}},
		{"XSW7: the forged assertion in Extensions", false, func(r *etree.Element) {
			ext := etree.NewElement("samlp:Extensions")
			ext.AddChild(forged(r, "_a1"))
			r.InsertChildAt(1, ext)
		}},
		{"XSW8: the signed assertion in the signature's Object", false, func(r *etree.Element) {
			old := r.FindElement("./Assertion")
			sig := old.FindElement("./Signature")
			evil := forged(r, "_evil")
			evil.InsertChildAt(1, sig)
			r.AddChild(evil)
			object := sig.CreateElement("ds:Object")
			move(old, object)
		}},
		{"a further assertion in Extensions, of its own ID", false, func(r *etree.Element) {
			ext := etree.NewElement("samlp:Extensions")
			ext.AddChild(forged(r, "_evil"))
			r.InsertChildAt(1, ext)
		}},
		{"a further signature in Extensions", false, func(r *etree.Element) {
			ext := etree.NewElement("samlp:Extensions")
			ext.AddChild(r.FindElement(".//Signature").Copy())
			r.InsertChildAt(1, ext)
		}},
		{"the same ID on another element", false, func(r *etree.Element) {
			r.FindElement("./Status").CreateAttr("ID", "_a1")
		}},
		{"the same ID in another spelling", false, func(r *etree.Element) {
			r.FindElement("./Status").CreateAttr("Id", "_a1")
		}},
		{"an assertion's signature moved to the response", false, func(r *etree.Element) {
			move(r.FindElement("./Assertion/Signature"), r)
		}},
		{"a signature twice", false, func(r *etree.Element) {
			a := r.FindElement("./Assertion")
			a.InsertChildAt(1, a.FindElement("./Signature").Copy())
		}},
		{"a second SignedInfo", false, func(r *etree.Element) {
			sig := r.FindElement(".//Signature")
			sig.AddChild(sig.FindElement("./SignedInfo").Copy())
		}},
		{"a second Reference", false, func(r *etree.Element) {
			info := r.FindElement(".//SignedInfo")
			info.AddChild(info.FindElement("./Reference").Copy())
		}},
		{"a Reference to the whole document", false, func(r *etree.Element) {
			r.FindElement(".//Reference").CreateAttr("URI", "")
		}},
		{"an XPath transform", false, func(r *etree.Element) {
			r.FindElement(".//Transforms").CreateElement("ds:Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
		}},
		{"inclusive canonicalization", false, func(r *etree.Element) {
			r.FindElement(".//CanonicalizationMethod").CreateAttr("Algorithm", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")
		}},
		{"comments under the signature", false, func(r *etree.Element) {
			r.FindElement(".//CanonicalizationMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments")
		}},
		{"a digest by SHA-1", false, func(r *etree.Element) {
			r.FindElement(".//DigestMethod").CreateAttr("Algorithm", "http://www.w3.org/2000/09/xmldsig#sha1")
		}},
		{"HMAC with the public key", false, func(r *etree.Element) {
			r.FindElement(".//SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
		}},
		{"an empty signature value", false, func(r *etree.Element) { r.FindElement(".//SignatureValue").SetText("") }},
		{"the assertion under a signed response exchanged", true, func(r *etree.Element) {
			r.FindElement(".//NameID").SetText("_mallory")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := usual()
			w.response, w.bare, w.after = tt.response, tt.response, tt.attack
			status, code, message := sent(t, s, w.encoded(t))
			if status == 200 || code != "InvalidIdentityToken" {
				t.Errorf("got %d %s %q, want 400 InvalidIdentityToken", status, code, message)
			}
		})
	}
}

// shape is how a signature is written by hand: each is mathematically right.
type shape struct {
	c14n, uri, digest string
	transforms        []string
	canonicalizer     dsig.Canonicalizer
	references        int
}

const (
	exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	enveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	sha256URI = "http://www.w3.org/2001/04/xmlenc#sha256"
)

// sign signs the assertion in that shape with the issuer's real key.
func (h shape) sign(t testing.TB, r *etree.Element) {
	t.Helper()
	a := r.FindElement("./Assertion")
	a.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion")
	raw, err := h.canonicalizer.Canonicalize(a.Copy())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	digest := sum[:]
	if strings.HasSuffix(h.digest, "#sha1") {
		sum := sha1.Sum(raw)
		digest = sum[:]
	}
	var ref strings.Builder
	fmt.Fprintf(&ref, `<ds:Reference URI="%s"><ds:Transforms>`, h.uri)
	for _, tr := range h.transforms {
		fmt.Fprintf(&ref, `<ds:Transform Algorithm="%s"></ds:Transform>`, tr)
	}
	fmt.Fprintf(&ref, `</ds:Transforms><ds:DigestMethod Algorithm="%s"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference>`,
		h.digest, base64.StdEncoding.EncodeToString(digest))
	info := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="` + h.c14n +
		`"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>` +
		strings.Repeat(ref.String(), h.references) + `</ds:SignedInfo>`
	hashed := sha256.Sum256([]byte(info))
	value, err := rsa.SignPKCS1v15(nil, good().key, crypto.SHA256, hashed[:])
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + info + `<ds:SignatureValue>` +
		base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue></ds:Signature>`); err != nil {
		t.Fatal(err)
	}
	a.InsertChildAt(1, doc.Root())
}

// TestOnlyOneShapeOfSignatureIsTaken has signatures that verify, in shapes
// that saml-core §5.4 does not allow.
func TestOnlyOneShapeOfSignatureIsTaken(t *testing.T) {
	s := start(t)
	exc := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	usualShape := func() shape {
		return shape{c14n: exclusive, uri: "#_a1", digest: sha256URI, transforms: []string{enveloped, exclusive}, canonicalizer: exc, references: 1}
	}
	tests := []struct {
		name string
		edit func(*shape)
		ok   bool
	}{
		{"the one that is allowed", func(*shape) {}, true},
		{"a digest by SHA-1", func(h *shape) { h.digest = "http://www.w3.org/2000/09/xmldsig#sha1" }, false},
		{"a Reference to whatever is around", func(h *shape) { h.uri = "" }, false},
		{"two References", func(h *shape) { h.references = 2 }, false},
		{"comments signed too", func(h *shape) { h.transforms[1] += "WithComments" }, false},
		{"inclusive canonicalization of the content", func(h *shape) {
			h.transforms[1], h.canonicalizer = "http://www.w3.org/2006/12/xml-c14n11", dsig.MakeC14N11Canonicalizer()
		}, false},
		{"canonicalization before the signature is taken out", func(h *shape) { h.transforms = []string{exclusive, enveloped} }, false},
		{"a transform twice", func(h *shape) { h.transforms = append(h.transforms, exclusive) }, false},
		{"canonicalization of SignedInfo with comments", func(h *shape) { h.c14n += "WithComments" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := usualShape()
			tt.edit(&h)
			w := usual()
			w.bare, w.after = true, func(r *etree.Element) { h.sign(t, r) }
			status, _, message := sent(t, s, w.encoded(t))
			if (status == 200) != tt.ok || !tt.ok && message != badSignature {
				t.Errorf("got %d %q, accepted should be %v; why: %s", status, message, tt.ok, last(s).Why)
			}
		})
	}
}

func TestKeyInfoIsNotLookedAt(t *testing.T) {
	s := start(t)
	w := usual()
	w.signer.cert = other().cert // as after a certificate was renewed over the same key
	if status, _, message := sent(t, s, w.encoded(t)); status != 200 {
		t.Errorf("got %d %q, want 200: the key is the provider's; why: %s", status, message, last(s).Why)
	}
}

func TestCommentDoesNotCutAValueShort(t *testing.T) {
	// The signature does not cover comments, so anybody can put one in.
	s := start(t)
	w := usual()
	w.attributes[1][1] = "alice@evil.example"
	raw := strings.Replace(string(w.xml(t)), "alice@evil.example", "alice<!-- -->@evil.example", 1)
	if status, code, _ := sent(t, s, b64(raw)); status != 200 {
		t.Fatalf("got %d %s, want 200: comments are outside the signature", status, code)
	}
	if got, want := last(s).SessionName, "alice@evil.example"; got != want {
		t.Errorf("session name = %q, want %q", got, want)
	}
}
