package saml

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
)

// ecdsaKey signs beside testKey.
var ecdsaKey = sync.OnceValue(func() gatehouse.SigningKey {
	k, err := NewECDSAKey(noon, testEntityID)
	if err != nil {
		panic(err)
	}
	return k
})

// idpWithECDSA signs for the wiki (Redirect) and the forum (POST) by ECDSA,
// and for the vault by RSA.
func idpWithECDSA(t *testing.T) *IdP {
	t.Helper()
	file := func(name, id, binding string, by Signature) ServiceProvider {
		f := providerFile(t, name, spMetadata(id, "", keyDescriptor(`use="signing"`, ecdsaKey()), slo(binding, id+"/out", "")+acs("HTTP-POST", id+"/acs", 0, "")))
		f.Signature = by
		return f
	}
	cfg := Config{ServiceProviders: []ServiceProvider{file("Wiki", wikiID, "HTTP-Redirect", SignatureECDSA), file("Forum", forumID, "HTTP-POST", SignatureECDSA), file("Vault", vaultID, "HTTP-POST", "")}}
	p, err := New(cfg, Endpoints{Metadata: testEntityID, SSO: testSSO, AWS: []string{testAWSACS}}, []gatehouse.SigningKey{ecdsaKey(), testKey()}, make([]byte, 32), func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const forumID = "https://forum.corp.example/sp"

func TestProvidersThatOptInHaveSignaturesByECDSA(t *testing.T) {
	p := idpWithECDSA(t)
	for _, tt := range []struct {
		audience string
		by       gatehouse.SigningKey
	}{{wikiID, ecdsaKey()}, {vaultID, testKey()}, {awsAudience, testKey()}} {
		for range 4 { // its two integers are not always as long as they may be
			r, err := p.Respond(t.Context(), Assertion{Recipient: tt.audience + "/acs", Audience: tt.audience, NameID: NameID{Value: "_x"}, AuthnInstant: noon, Sign: SignBoth})
			if err != nil {
				t.Fatal(err)
			}
			document := decoded(t, r)
			for _, node := range []string{"Assertion", "Response"} {
				if err := xmlsec1(t, document, tt.by.Certificate, node); err != nil {
					t.Errorf("%s: %v", tt.audience, err)
				}
				if xmlsec1(t, bytes.Replace(document, []byte(">_x<"), []byte(">_y<"), 1), tt.by.Certificate, node) == nil {
					t.Errorf("%s: the judge takes anything", tt.audience)
				}
			}
			if err := validAgainst(t, document, "saml-schema-protocol-2.0.xsd"); err != nil {
				t.Error(err)
			}
			if got := canonicalized(t, document); got != string(document) {
				t.Errorf("not canonical: %s", document)
			}
		}
	}
}

func TestWhatElseIsSignedForThemIsByECDSAToo(t *testing.T) {
	p := idpWithECDSA(t)
	refusal, err := p.Refuse(t.Context(), Request{ID: "_1", Provider: wikiID, ACS: wikiID + "/acs"}, Status{Code: StatusResponder})
	if err != nil || xmlsec1(t, decoded(t, refusal), ecdsaKey().Certificate, "Response") != nil {
		t.Errorf("a refusal: %v", err)
	}
	ask, err := p.AskToLogOut(t.Context(), Participant{Provider: forumID, NameID: NameID{Format: NameIDPersistent, Value: "_x"}, SessionIndex: "_s"}, "_id")
	if err != nil {
		t.Fatal(err)
	}
	document, err := base64.StdEncoding.DecodeString(string(ask.Message))
	if err != nil || xmlsec1(t, document, ecdsaKey().Certificate, "LogoutRequest") != nil {
		t.Errorf("a posted logout request: %v\n%s", err, document)
	}
	if ask, err = p.AskToLogOut(t.Context(), Participant{Provider: wikiID, NameID: NameID{Format: NameIDPersistent, Value: "_x"}, SessionIndex: "_s"}, "_id"); err != nil {
		t.Fatal(err)
	}
	octets, escaped, _ := strings.Cut(ask.URL[strings.Index(ask.URL, "?")+1:], "&Signature=")
	encoded, _ := url.QueryUnescape(escaped)
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(signature) != 64 || !strings.HasSuffix(octets, url.QueryEscape(algECDSASHA256)) {
		t.Fatalf("a redirected logout request: %v, %d bytes of signature: %s", err, len(signature), ask.URL)
	}
	der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
	if err != nil {
		t.Fatal(err)
	}
	verifyWithOpenSSL(t, octets, der, ecdsaKey())
}

func TestRequestsMayBeSignedByECDSA(t *testing.T) {
	p := idpWithECDSA(t)
	query := redirectQuery(t, plain()) + "&SigAlg=" + url.QueryEscape(algECDSASHA256)
	digest := sha256.Sum256([]byte(query))
	private, err := x509.ParsePKCS8PrivateKey(ecdsaKey().PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, private.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sideBySide(der, 64)
	if err != nil {
		t.Fatal(err)
	}
	shortR := ecdsaSignature(t, private.(*ecdsa.PrivateKey), digest[:], func(raw []byte) bool { return raw[0] == 0 && raw[1] != 0 })
	shortS := ecdsaSignature(t, private.(*ecdsa.PrivateKey), digest[:], func(raw []byte) bool { return raw[32] == 0 })
	posted := signXMLSec(t, plain(), "_req1", "</samlp:AuthnRequest>", ecdsaKey(), algECDSASHA256)
	redirect := func(signature []byte) func() error {
		return func() error {
			_, err := p.ParseRedirect(query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature)))
			return err
		}
	}
	post := func(document string) func() error {
		return func() error { _, err := p.ParsePost(postForm(document)); return err }
	}
	value := between(posted, "<ds:SignatureValue>", "</ds:SignatureValue>", "<ds:SignatureValue>%</ds:SignatureValue>")
	for name, tt := range map[string]struct {
		try func() error
		ok  bool
	}{
		"redirected":                 {redirect(raw), true},
		"redirected, in ASN.1":       {redirect(der), false},
		"redirected, one half":       {redirect(raw[:32]), false},
		"redirected, an odd length":  {redirect(raw[:63]), false},
		"redirected, a short first":  {redirect(shortR), true},
		"redirected, a short second": {redirect(shortS), true},
		// The zero that fills up the first is left out: the numbers are right.
		"redirected, of two lengths":    {redirect(shortR[1:]), false},
		"redirected, all zeros":         {redirect(make([]byte, 64)), false},
		"redirected, far too long":      {redirect(make([]byte, 4096)), false},
		"posted":                        {post(posted), true},
		"posted, altered":               {post(strings.Replace(posted, "12:00:00Z", "12:00:01Z", 1)), false},
		"posted, no value":              {post(strings.Replace(value, "%", "", 1)), false},
		"posted, a value not in base64": {post(strings.Replace(value, "%", "!", 1)), false},
		"posted, in ASN.1":              {post(strings.Replace(value, "%", base64.StdEncoding.EncodeToString(der), 1)), false},
	} {
		if err := tt.try(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ecdsaSignature signs digest until the signature, side by side, is as wanted.
func ecdsaSignature(t *testing.T, key *ecdsa.PrivateKey, digest []byte, wanted func(raw []byte) bool) []byte {
	t.Helper()
	for range 20_000 { // one in 256 is
		der, err := ecdsa.SignASN1(rand.Reader, key, digest)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := sideBySide(der, 64)
		if err != nil {
			t.Fatal(err)
		}
		if wanted(raw) {
			return raw
		}
	}
	t.Fatal("no such signature")
	return nil
}

func TestAnECDSAKeyStandsBesideTheOther(t *testing.T) {
	rsa, first := testKey(), ecdsaKey()
	second, err := NewECDSAKey(noon.Add(time.Hour), testEntityID)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := AddKey([]gatehouse.SigningKey{rsa}, first)
	if err == nil {
		keys, err = PromoteKey(keys, first.ID, noon, true)
	}
	if err != nil || states(keys) != "active active" {
		t.Fatalf("both sign: %q, %v", states(keys), err)
	}
	keys, err = AddKey(keys, second)
	if err == nil {
		keys, err = PromoteKey(keys, second.ID, noon, true)
	}
	if err != nil || states(keys) != "active next active" {
		t.Fatalf("the second has taken the place of the first: %q, %v", states(keys), err)
	}
	if got, err := RetireKey(keys, second.ID, true); err == nil {
		t.Errorf("retired while a provider wants it: %q", states(got))
	}
	if got, err := RetireKey(keys, second.ID, false); err != nil || states(got) != "active next retired" {
		t.Errorf("retired when nobody wants it: %q, %v", states(got), err)
	}
	if got, err := RetireKey(keys, rsa.ID, false); err == nil {
		t.Errorf("retired the RSA key: %q", states(got))
	}
	private, err := x509.ParsePKCS8PrivateKey(first.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: first.Certificate})
	if got, err := ReadSigningKey(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), cert, noon); err != nil || got.ID != first.ID {
		t.Errorf("from SEC 1: %v", err)
	}
}

func TestWithoutAnECDSAKeyNoProviderCanOptIn(t *testing.T) {
	p := idpWithECDSA(t)
	before := p.Metadata()
	if first, second := bytes.Index(before, []byte(p.ring.Load().signer.certificate)), bytes.Index(before, []byte(p.ring.Load().ecdsa.certificate)); first < 0 || second < first {
		t.Errorf("want both keys published, RSA first: %s", before)
	}
	if err := validAgainst(t, before, "saml-schema-metadata-2.0.xsd"); err != nil {
		t.Error(err)
	}
	next := ecdsaKey()
	next.State = gatehouse.KeyNext
	for name, keys := range map[string][]gatehouse.SigningKey{
		"none": {testKey()}, "one that does not sign yet": {testKey(), next}, "ECDSA alone": {ecdsaKey()},
	} {
		if err := p.SetKeys(keys); err == nil || !bytes.Equal(before, p.Metadata()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(p.cfg, p.endpoints, []gatehouse.SigningKey{testKey()}, make([]byte, 32), nil); err == nil || !strings.Contains(err.Error(), "keys add --ecdsa") {
		t.Errorf("at the start: %v", err)
	}
}
