package saml

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
)

const algRSASHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"

// withID is a provider's metadata that can be signed.
func withID(metadata string) string {
	return strings.Replace(metadata, "entityID=", `ID="_md" entityID=`, 1)
}

// certFile holds the certificates of keys.
func certFile(t testing.TB, keys ...gatehouse.SigningKey) string {
	t.Helper()
	var text []byte
	for _, k := range keys {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate})...)
	}
	path := filepath.Join(t.TempDir(), "signer.pem")
	write(t, path, text)
	return path
}

// federation is a key of somebody who signs metadata; its certificate is over.
// It is the same in every process: those of the fuzzing must agree on what is
// signed well.
var federation = sync.OnceValue(func() gatehouse.SigningKey {
	text, err := os.ReadFile("testdata/federation.pem")
	if err != nil {
		panic(err)
	}
	k, err := ReadSigningKey(text, text, noon)
	if err != nil {
		panic(err)
	}
	return k
})

func TestMetadataThatMustBeSignedIsReadFromWhatTheSignatureCovers(t *testing.T) {
	good := signEnveloped(t, withID(wikiMetadata()), federation(), algRSASHA256)
	second := strings.Replace(vaultMetadata()[strings.Index(vaultMetadata(), "<md:"):], "entityID=", `ID="_two" entityID=`, 1)
	for _, tt := range []struct {
		name, document string
		fault          string // what the error says; "" when it is good
	}{
		{"a good signature, by a key whose certificate is over", good, ""},
		{"a comment in what is signed alters nothing", strings.Replace(good, "<md:SPSSODescriptor", "<!-- who added it? --><md:SPSSODescriptor", 1), ""},
		{"not signed", wikiMetadata(), "not signed"},
		{"not signed, with an ID", withID(wikiMetadata()), "not signed"},
		{"signed by another", signEnveloped(t, withID(wikiMetadata()), testKey(), algRSASHA256), "none of the 1 keys"},
		{"by SHA-1", signEnveloped(t, withID(wikiMetadata()), federation(), algRSASHA1), "not accepted"},
		{"another address", strings.Replace(good, wikiACS, "https://evil.example/acs", 1), "none of the 1 keys"},
		{"another key", strings.Replace(good, "MII", "MIJ", 1), "none of the 1 keys"},
		{"over the whole document, by no ID", signReferring(t, withID(wikiMetadata()), federation(), algRSASHA256, "none"), "not over the message"},
		{"over another element", strings.Replace(good, `URI="#_md"`, `URI="#_other"`, 1), "not over the message"},
		{"wrapped: what is signed is a child of what is not", `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_all">` + second + good + `</md:EntitiesDescriptor>`, "not signed"},
		{"wrapped: the signature refers to a child", `<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_all">` + between(good, "<ds:Signature", "</ds:Signature>", "") + second + `</md:EntitiesDescriptor>`, "not signed"},
		{"two elements with the ID", strings.Replace(good, "<md:SPSSODescriptor", `<md:SPSSODescriptor ID="_md"`, 1), "ID"},
		{"a DTD", "<!DOCTYPE a>" + good, "document type"},
		{"signed, and over", signEnveloped(t, strings.Replace(withID(wikiMetadata()), "ID=", `validUntil="2026-11-21T12:00:00Z" ID=`, 1), federation(), algRSASHA256), "valid until"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := providerFile(t, "Wiki", tt.document)
			f.MetadataCertFile = certFile(t, federation())
			all, err := loadProviders(Config{ServiceProviders: []ServiceProvider{f}}, testEntityID, nil, noon)
			if tt.fault == "" && (err != nil || all[wikiID].ACS != wikiACS || !all[wikiID].Facts().Vouched) {
				t.Errorf("%v: %+v", err, all[wikiID])
			}
			if tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault) || !strings.Contains(err.Error(), f.MetadataFile)) {
				t.Errorf("%v; want it to say %q and which file", err, tt.fault)
			}
		})
	}
}

func TestWhoMustHaveSignedMetadataIsSaidByCertificates(t *testing.T) {
	good := signEnveloped(t, withID(wikiMetadata()), federation(), algRSASHA256)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Wiki.xml"), []byte(good))
	empty := filepath.Join(t.TempDir(), "empty.pem")
	write(t, empty, nil)
	for name, tt := range map[string]struct {
		file  string
		fault string
	}{
		"one of several, for a roll-over": {certFile(t, testKey(), federation()), ""},
		"nobody's":                        {certFile(t, testKey()), "none of the 1 keys"},
		"none at all":                     {empty, "want a CERTIFICATE"},
		"a file that is not there":        {empty + "-not", "no such file"},
	} {
		all, err := loadProviders(Config{MetadataDir: dir, MetadataDirCertFile: tt.file}, testEntityID, nil, noon)
		if (err == nil) != (tt.fault == "") || (err != nil && !strings.Contains(err.Error(), tt.fault)) || (all[wikiID] != nil) != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	rolled := certFile(t, testKey())
	before := Config{MetadataDir: dir, MetadataDirCertFile: rolled}.fingerprint()
	write(t, rolled, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: append(federation().Certificate, 0)}))
	if (Config{MetadataDir: dir, MetadataDirCertFile: rolled}).fingerprint() == before {
		t.Error("another certificate is not noticed")
	}
}

// What another implementation signs is taken.
func TestMetadataSignedByXMLSecIsTaken(t *testing.T) {
	f := providerFile(t, "Wiki", signXMLSec(t, withID(wikiMetadata()), "_md", "<md:SPSSO", federation(), algRSASHA256))
	f.MetadataCertFile = certFile(t, federation())
	all, err := loadProviders(Config{ServiceProviders: []ServiceProvider{f}}, testEntityID, nil, noon)
	if err != nil || len(all[wikiID].keys) != 2 {
		t.Errorf("%v: %+v", err, all[wikiID])
	}
}

// signXMLSec has xmlsec1 sign the root of document, which has that ID; the
// signature goes before the text next. changes are replacements in what says
// how to sign.
func signXMLSec(t *testing.T, document, id, next string, k gatehouse.SigningKey, method string, changes ...string) string {
	t.Helper()
	program := outside.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	template := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + algExclusive + `"/><ds:SignatureMethod Algorithm="` + method + `"/>` +
		`<ds:Reference URI="#` + id + `"><ds:Transforms><ds:Transform Algorithm="` + algEnveloped + `"/><ds:Transform Algorithm="` + algExclusive + `"/></ds:Transforms><ds:DigestMethod Algorithm="` + algSHA256 + `"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature>`
	template = strings.NewReplacer(changes...).Replace(template)
	key, in := filepath.Join(dir, "key.pem"), filepath.Join(dir, "in.xml")
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k.PrivateKey}))
	write(t, in, []byte(strings.Replace(document, next, template+next, 1)))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	signed, err := exec.CommandContext(ctx, program, "--sign", "--privkey-pem", key, "--id-attr:ID", namespaces[nsMD].uri+":EntityDescriptor",
		"--id-attr:ID", namespaces[nsSAMLP].uri+":AuthnRequest", in).CombinedOutput()
	if err != nil {
		t.Fatalf("xmlsec1: %v\n%s", err, signed)
	}
	return string(signed)
}

func TestOurMetadataIsSignedWhereThatIsWanted(t *testing.T) {
	signing := func(keys ...gatehouse.SigningKey) *IdP {
		p, err := New(Config{SignMetadata: true}, Endpoints{Metadata: testEntityID, SSO: testSSO, SLO: testSSO + "/slo"}, keys, make([]byte, 32), func() time.Time { return noon })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := signing(testKey())
	document := p.Metadata()
	if got := canonicalized(t, document); got != string(document) {
		t.Errorf("not canonical: %s", document)
	}
	if !bytes.Equal(document, signing(testKey()).Metadata()) {
		t.Error("two replicas publish different bytes")
	}
	if err := validAgainst(t, document, "saml-schema-metadata-2.0.xsd"); err != nil {
		t.Error(err)
	}
	if err := xmlsec1(t, document, testKey().Certificate, "EntityDescriptor"); err != nil {
		t.Error(err)
	}
	cert := testCertificate(t, testKey())
	if _, err := vouchedBy(document, []*x509.Certificate{cert}, ""); err != nil {
		t.Error(err)
	}
	if xmlsec1(t, bytes.Replace(document, []byte("/sso"), []byte("/xso"), 1), testKey().Certificate, "EntityDescriptor") == nil {
		t.Error("the judge takes anything")
	}
	next := mustKey(noon.Add(time.Hour))
	next.State = gatehouse.KeyNext
	if err := p.SetKeys([]gatehouse.SigningKey{testKey(), next}); err != nil || bytes.Equal(document, p.Metadata()) {
		t.Errorf("a key more is not published: %v", err)
	}
	if err := xmlsec1(t, p.Metadata(), testKey().Certificate, "EntityDescriptor"); err != nil {
		t.Errorf("not by the key that signs: %v", err)
	}
}

func FuzzVouched(f *testing.F) {
	metadata := withID(spMetadata(wikiID, "", "", acs("HTTP-POST", wikiACS, 0, ""))) // without a key, which differs in each process
	good := signEnveloped(f, metadata, federation(), algRSASHA256)
	f.Add(good)
	f.Add(signEnveloped(f, metadata, testKey(), algRSASHA256))
	f.Add(strings.Replace(good, `URI="#_md"`, `URI=""`, 1))
	f.Add(wikiMetadata())
	cert, err := x509.ParseCertificate(federation().Certificate)
	if err != nil {
		f.Fatal(err)
	}
	want, err := vouchedBy([]byte(good), []*x509.Certificate{cert}, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, document string) {
		// Nobody but the federation can sign, so that what is found good is what it has signed.
		if got, err := vouchedBy([]byte(document), []*x509.Certificate{cert}, ""); err == nil && !bytes.Equal(got, want) {
			t.Errorf("found good: %s", got)
		}
	})
}
