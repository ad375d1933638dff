package saml

import (
	"bytes"
	"cmp"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse"
)

const (
	wikiID  = "https://wiki.corp.example/sp"
	wikiACS = "https://wiki.corp.example/saml/acs"
	vaultID = "https://vault.corp.example/sp" // signs all its requests
)

// wikiKey is the provider's key, and a certificate that ran out years ago.
var wikiKey = sync.OnceValue(func() gatehouse.SigningKey { return mustKey(noon.AddDate(-20, 0, 0)) })

// spMetadata is a service provider's metadata; head goes into its role's
// start tag, keys and services below.
func spMetadata(entityID, head, keys, services string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<!-- from the owner of the application -->
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + entityID + `">
<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" ` + head + `>` + keys + services + `</md:SPSSODescriptor>
</md:EntityDescriptor>`
}

func keyDescriptor(use string, k gatehouse.SigningKey) string {
	return `<md:KeyDescriptor ` + use + `><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>
	` + base64.StdEncoding.EncodeToString(k.Certificate) + `
	</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
}

// acs is an AssertionConsumerService element.
func acs(binding, location string, index int, more string) string {
	return fmt.Sprintf(`<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:%s" Location="%s" index="%d" %s/>`, binding, location, index, more)
}

func wikiMetadata() string {
	return spMetadata(wikiID, "", keyDescriptor(`use="signing"`, testKey())+keyDescriptor("", wikiKey()),
		acs("PAOS", "https://wiki.corp.example/saml/ecp", 0, `isDefault="true"`)+
			acs("HTTP-POST", "https://wiki.corp.example/old", 1, `isDefault="false"`)+
			acs("HTTP-POST", wikiACS, 2, "")+
			acs("HTTP-Artifact", "https://wiki.corp.example/saml/artifact", 3, ""))
}

func vaultMetadata() string {
	return spMetadata(vaultID, `AuthnRequestsSigned="1" WantAssertionsSigned="true"`, keyDescriptor(`use="signing"`, testKey()),
		acs("HTTP-POST", "https://vault.corp.example/acs", 1, ""))
}

func providerFile(t testing.TB, name, metadata string) ServiceProvider {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".xml")
	if err := os.WriteFile(path, []byte(metadata), 0o600); err != nil {
		t.Fatal(err)
	}
	return ServiceProvider{Name: name, MetadataFile: path}
}

func idpWithProviders(t testing.TB) *IdP {
	t.Helper()
	return newTestIdP(t, providerFile(t, "Wiki", wikiMetadata()), providerFile(t, "Vault", vaultMetadata()))
}

// plain is a good request of the wiki; the replacements make it another one.
func plain(replacements ...string) string {
	return strings.NewReplacer(replacements...).Replace(`<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_req1" Version="2.0" IssueInstant="2026-11-21T12:00:00Z" Destination="` + testSSO + `"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + wikiID + `</saml:Issuer></samlp:AuthnRequest>`)
}

func deflated(t testing.TB, document string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(document))
	w.Close()
	return url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes()))
}

func redirectQuery(t testing.TB, document string) string {
	return "SAMLRequest=" + deflated(t, document)
}

func postForm(document string) string {
	return "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(document)))
}

// signQuery adds a redirect signature by k over query's octets.
func signQuery(t testing.TB, query string, k gatehouse.SigningKey) string {
	t.Helper()
	query += "&SigAlg=" + url.QueryEscape(algRSASHA256)
	digest := sha256.Sum256([]byte(query))
	signature, err := rsa.SignPKCS1v15(rand.Reader, privateKey(t, k), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
}

func privateKey(t testing.TB, k gatehouse.SigningKey) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(k.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// signEnveloped signs document with k, as service providers' libraries do.
func signEnveloped(t testing.TB, document string, k gatehouse.SigningKey, method string) string {
	t.Helper()
	return signReferring(t, document, k, method, "ID")
}

// signReferring has the signature refer to the attribute id of the root; to
// the whole document when there is none.
func signReferring(t testing.TB, document string, k gatehouse.SigningKey, method, id string) string {
	t.Helper()
	ctx, err := dsig.NewSigningContext(privateKey(t, k), [][]byte{k.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	ctx.IdAttribute = id
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod(method); err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromString(document); err != nil {
		t.Fatal(err)
	}
	signed, err := ctx.SignEnveloped(doc.Root())
	if err != nil {
		t.Fatal(err)
	}
	out, err := etree.NewDocumentWithRoot(signed).WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const issuerElement = `<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + wikiID + `</saml:Issuer>`

// malformed are documents that must be refused by either binding; those that
// crewjam's IdpAuthnRequest would take, or die of, say so.
var malformed = []struct{ name, document string }{
	{"no issuer (crewjam panics)", plain(issuerElement, "")},
	{"an issuer of blanks", plain(">"+wikiID+"<", "> \n <")},
	{"two issuers", plain(issuerElement, issuerElement+issuerElement)},
	{"an issuer with elements within", plain(">"+wikiID+"<", "><b>"+wikiID+"</b><")},
	{"a comment that splits the issuer", plain("wiki.corp", "wiki<!-- -->.corp")},
	{"two roots (crewjam takes it)", plain() + plain()},
	{"text after the root", plain() + "x"},
	{"a DOCTYPE (crewjam takes it)", "<!DOCTYPE a>" + plain()},
	{"an entity", `<!DOCTYPE a [<!ENTITY e "` + wikiID + `">]>` + plain(">"+wikiID+"<", ">&e;<")},
	{"an entity that nobody declared", plain(">"+wikiID+"<", ">&e;<")},
	{"a processing instruction", "<?php x?>" + plain()},
	{"a late XML declaration", plain(issuerElement, `<?xml version="1.0"?>`+issuerElement)},
	{"another encoding", `<?xml version="1.0" encoding="ISO-8859-1"?>` + plain()},
	{"another root", plain("AuthnRequest", "LogoutRequest")},
	{"the right name in another namespace", plain("SAML:2.0:protocol", "SAML:1.1:protocol")},
	{"no namespace", plain("samlp:", "", "xmlns:samlp", "xmlns:x")},
	{"a prefix that nobody declares", plain("xmlns:samlp=", "xmlns:other=")},
	{"a prefix deep within that nobody declares", plain(issuerElement, issuerElement+"<samlp:Extensions><u:x/></samlp:Extensions>")},
	{"an attribute's prefix that nobody declares", plain(issuerElement, issuerElement+`<samlp:Extensions><x u:a="1"/></samlp:Extensions>`)},
	{"a prefix that is undeclared", plain(issuerElement, issuerElement+`<samlp:Extensions><x xmlns:saml=""/></samlp:Extensions>`)},
	{"xml as another prefix's name", plain(issuerElement, issuerElement+`<samlp:Extensions><x xmlns:xml="urn:x"/></samlp:Extensions>`)},
	{"an unclosed element", strings.TrimSuffix(plain(), "</samlp:AuthnRequest>")},
	{"crossed elements", plain("</saml:Issuer></samlp:AuthnRequest>", "</samlp:AuthnRequest></saml:Issuer>")},
	{"an ending under another prefix", plain(`<samlp:AuthnRequest `, `<samlp:AuthnRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" `, "</samlp:AuthnRequest>", "</p:AuthnRequest>")},
	{"an attribute twice", plain(`Version="2.0"`, `Version="2.0" Version="2.0"`)},
	{"an attribute in a namespace that a field would match", plain(`ID="_req1"`, `ID="_req1" x:ID="_other" xmlns:x="urn:x"`)},
	{"an attribute that AuthnRequest does not have", plain(`ID="_req1"`, `ID="_req1" Nonsense="1"`)},
	{"one ID for two elements", plain(issuerElement, issuerElement+`<samlp:Extensions><x ID="_req1"/></samlp:Extensions>`)},
	{"a foreign child", plain(issuerElement, issuerElement+`<x:Subject xmlns:x="urn:x"/>`)},
	{"a signature deep within", plain(issuerElement, issuerElement+`<samlp:Extensions><Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/></samlp:Extensions>`)},
	{"a version that is none", plain(`"2.0"`, `"two"`)},
	{"no version", plain(`Version="2.0"`, "")},
	{"no ID", plain(`ID="_req1"`, "")},
	{"an ID that is no name", plain(`"_req1"`, `"1 2"`)},
	{"an ID with markup", plain(`"_req1"`, `"_&quot;&gt;&lt;script&gt;"`)},
	{"no time", plain(`IssueInstant="2026-11-21T12:00:00Z"`, "")},
	{"a time that is none", plain("2026-11-21T12:00:00Z", "yesterday")},
	{"too deep", plain(issuerElement, issuerElement+"<samlp:Extensions>"+strings.Repeat("<a>", 100)+strings.Repeat("</a>", 100)+"</samlp:Extensions>")},
	{"too many elements", plain(issuerElement, issuerElement+"<samlp:Extensions>"+strings.Repeat("<a/>", 5000)+"</samlp:Extensions>")},
	{"a control character", plain(wikiID, "\x01")},
	{"bytes that are not UTF-8", plain(wikiID, "\xff\xfe")},
	{"not XML", "hello"},
	{"nothing", ""},
	{"only a declaration", `<?xml version="1.0"?>`},
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	p := idpWithProviders(t)
	for _, tt := range malformed {
		t.Run(tt.name, func(t *testing.T) {
			for binding, parse := range map[string]func() (Request, error){
				"redirect": func() (Request, error) { return p.ParseRedirect(redirectQuery(t, tt.document)) },
				"post":     func() (Request, error) { return p.ParsePost(postForm(tt.document)) },
			} {
				r, err := parse()
				if !errors.Is(err, gatehouse.ErrInvalid) || !reflect.DeepEqual(r, Request{}) {
					t.Errorf("%s: %+v, %v; want nothing and ErrInvalid", binding, r, err)
				}
			}
		})
	}
}

// The library's own handler dies of the first of these, which is why it is
// never called. Should it stop to, this test says so.
func TestCrewjamPanicsWhereWeRefuse(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("crewjam no longer panics on a request without Issuer")
		}
	}()
	sso, _ := url.Parse(testSSO)
	idp := &crewjam.IdentityProvider{SSOURL: *sso}
	r := httptest.NewRequest("GET", testSSO+"?"+redirectQuery(t, plain(issuerElement, "")), nil)
	req, err := crewjam.NewIdpAuthnRequest(idp, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Now = noon
	t.Error(req.Validate())
}

func TestMalformedParametersAreRefused(t *testing.T) {
	p := idpWithProviders(t)
	good := redirectQuery(t, plain())
	raw, _ := url.QueryUnescape(strings.TrimPrefix(good, "SAMLRequest="))
	for _, tt := range []struct{ name, query string }{
		{"nothing", ""},
		{"an empty SAMLRequest", "SAMLRequest="},
		{"a SAMLRequest without value", "SAMLRequest"},
		{"two SAMLRequests", good + "&" + good},
		{"two SAMLRequests, one spelt otherwise", good + "&%53AMLRequest=x"},
		{"two RelayStates", good + "&RelayState=a&RelayState=b"},
		{"two Signatures", good + "&SigAlg=a&Signature=a&Signature=b"},
		{"two SigAlgs", good + "&SigAlg=a&SigAlg=b&Signature=b"},
		{"another SAMLEncoding", good + "&SAMLEncoding=urn:x"},
		{"not base64", "SAMLRequest=%21%21"},
		{"base64 with stray bits", "SAMLRequest=" + url.QueryEscape("QR==")},
		{"base64 for URLs", "SAMLRequest=__--"},
		{"not deflated", postForm(plain())},
		{"zlib, not raw deflate", "SAMLRequest=eJwDAAAAAAE="},
		{"cut off", "SAMLRequest=" + url.QueryEscape(raw[:40])},
		{"something after the deflated stream", "SAMLRequest=" + trailing(t, raw)},
		{"a flate bomb", redirectQuery(t, strings.Repeat(" ", 50<<20)+plain())},
		{"more than a real request ever is", redirectQuery(t, plain()+strings.Repeat(" ", maxDocument))},
		{"too long in base64", "SAMLRequest=" + strings.Repeat("A", maxEncoded+4)},
		{"a RelayState that is too long", good + "&RelayState=" + strings.Repeat("a", maxRelayState+1)},
		{"a RelayState with a line feed", good + "&RelayState=a%0Ab"},
		{"a RelayState with a NUL", good + "&RelayState=a%00b"},
		{"a RelayState that is not UTF-8", good + "&RelayState=%ff"},
		{"a RelayState that is not encoded well", good + "&RelayState=%zz"},
		{"a name that is not encoded well", good + "&%zz=1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := p.ParseRedirect(tt.query)
			if !errors.Is(err, gatehouse.ErrInvalid) || !reflect.DeepEqual(r, Request{}) {
				t.Errorf("%+v, %v; want nothing and ErrInvalid", r, err)
			}
		})
	}
}

func trailing(t *testing.T, raw string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(raw)
	if err != nil {
		t.Fatal(err)
	}
	return url.QueryEscape(base64.StdEncoding.EncodeToString(append(b, "more"...)))
}

func TestRequestsAreAcceptedOrRefusedByTheirContent(t *testing.T) {
	const attr = `ID="_req1"`
	with := func(attributes string) string { return plain(attr, attr+" "+attributes) }
	child := func(xml string) string { return plain(issuerElement, issuerElement+xml) }
	for _, tt := range []struct {
		name, document string
		acs            string // "" when refused
		detail         string // of the status, when the sender is told
	}{
		{"a plain request goes to the default for POST", plain(), wikiACS, ""},
		{"blanks around the issuer do not count", plain(">"+wikiID+"<", ">\n "+wikiID+"\n<"), wikiACS, ""},
		{"no Destination", plain(` Destination="`+testSSO+`"`, ""), wikiACS, ""},
		{"a Destination elsewhere", plain(testSSO, "https://other.example/sso"), "", ""},
		{"a Destination that only begins alike", plain(testSSO, testSSO+"/x"), "", ""},
		{"an unknown issuer", plain(wikiID, "https://evil.example"), "", ""},
		{"an issuer in other case", plain(wikiID, "https://WIKI.corp.example/sp"), "", ""},
		{"a second less than five minutes old", plain("12:00:00Z", "11:55:01Z"), wikiACS, ""},
		{"five minutes old", plain("12:00:00Z", "11:55:00Z"), wikiACS, ""},
		{"a second older", plain("12:00:00Z", "11:54:59Z"), "", ""},
		{"a second less than five minutes ahead", plain("12:00:00Z", "12:04:59Z"), wikiACS, ""},
		{"five minutes ahead", plain("12:00:00Z", "12:05:00Z"), wikiACS, ""},
		{"a second further ahead", plain("12:00:00Z", "12:05:01Z"), "", ""},
		{"an hour ahead", plain("12:00:00Z", "13:00:00Z"), "", ""},
		{"from tomorrow (crewjam takes it)", plain("2026-11-21", "2026-11-22"), "", ""},
		{"an ACS by its URL", with(`AssertionConsumerServiceURL="https://wiki.corp.example/old"`), "https://wiki.corp.example/old", ""},
		{"an ACS in other case", with(`AssertionConsumerServiceURL="https://WIKI.corp.example/old"`), "", ""},
		{"an ACS that begins alike", with(`AssertionConsumerServiceURL="` + wikiACS + `/../evil"`), "", ""},
		{"an ACS with a query added", with(`AssertionConsumerServiceURL="` + wikiACS + `?x=1"`), "", ""},
		{"a foreign ACS", with(`AssertionConsumerServiceURL="https://evil.example/acs"`), "", ""},
		{"another provider's ACS", with(`AssertionConsumerServiceURL="https://vault.corp.example/acs"`), "", ""},
		{"an ACS that is a script", with(`AssertionConsumerServiceURL="javascript:alert(1)"`), "", ""},
		{"the ACS of another binding", with(`AssertionConsumerServiceURL="https://wiki.corp.example/saml/ecp"`), "", ""},
		{"an ACS by its index", with(`AssertionConsumerServiceIndex="1"`), "https://wiki.corp.example/old", ""},
		{"the index of PAOS (crewjam takes it)", with(`AssertionConsumerServiceIndex="0"`), "", ""},
		{"the index of Artifact", with(`AssertionConsumerServiceIndex="3"`), "", ""},
		{"an index that nothing has", with(`AssertionConsumerServiceIndex="9"`), "", ""},
		{"both index and URL", with(`AssertionConsumerServiceIndex="2" AssertionConsumerServiceURL="` + wikiACS + `"`), "", ""},
		{"both index and binding", with(`AssertionConsumerServiceIndex="2" ProtocolBinding="` + bindingPost + `"`), "", ""},
		{"the POST binding", with(`ProtocolBinding="` + bindingPost + `"`), wikiACS, ""},
		{"another binding", with(`ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"`), "", ""},
		{"another version", plain(`"2.0"`, `"2.1"`), wikiACS, StatusVersionMismatch},
		{"a provider that must sign and did not", plain(wikiID, vaultID), "", ""},
		{"a policy that leaves the format to us", child(`<samlp:NameIDPolicy AllowCreate="true" Format="` + NameIDUnspecified + `"/>`), wikiACS, ""},
		{"the format that we give", child(`<samlp:NameIDPolicy Format="` + NameIDPersistent + `"/>`), wikiACS, ""},
		{"a format that we do not give", child(`<samlp:NameIDPolicy Format="` + NameIDEmail + `"/>`), wikiACS, StatusInvalidNameIDPolicy},
		{"a name made for somebody else", child(`<samlp:NameIDPolicy SPNameQualifier="https://other.example"/>`), wikiACS, StatusInvalidNameIDPolicy},
		{"a transient name", child(`<samlp:NameIDPolicy Format="` + NameIDTransient + `"/>`), wikiACS, ""},
		{"a certain person", child(subject(`<saml:NameID>bob</saml:NameID>`)), wikiACS, ""},
		{"a certain person, by the name that we gave", child(subject(`<saml:NameID Format="` + NameIDPersistent + `">_b</saml:NameID>`)), wikiACS, ""},
		{"a person in one format, wanted back in another", child(subject(`<saml:NameID Format="`+NameIDPersistent+`">_b</saml:NameID>`) + `<samlp:NameIDPolicy Format="` + NameIDTransient + `"/>`), wikiACS, StatusInvalidNameIDPolicy},
		{"a person by a format that we do not use", child(subject(`<saml:NameID Format="urn:x">b</saml:NameID>`)), wikiACS, StatusUnknownPrincipal},
		{"a person whose name is encrypted", child(subject(`<saml:EncryptedID/>`)), wikiACS, StatusRequestUnsupported},
		{"a person without a name", child(subject(``)), wikiACS, StatusRequestUnsupported},
		{"a person and how to confirm them", child(subject(`<saml:NameID>bob</saml:NameID><saml:SubjectConfirmation Method="x"/>`)), wikiACS, StatusRequestDenied},
		{"a Kerberos ticket", child(authnContext("", Kerberos)), wikiACS, ""},
		{"an unknown comparison", child(authnContext("about", PasswordProtectedTransport)), wikiACS, StatusNoAuthnContext},
		{"at most a password over TLS", child(authnContext("maximum", PasswordProtectedTransport)), wikiACS, ""},
		{"a declaration", child(`<samlp:RequestedAuthnContext><saml:AuthnContextDeclRef xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">urn:x</saml:AuthnContextDeclRef></samlp:RequestedAuthnContext>`), wikiACS, StatusNoAuthnContext},
		{"password over TLS", child(authnContext("", PasswordProtectedTransport)), wikiACS, ""},
		{"either of two", child(authnContext("exact", "urn:x:mfa", PasswordProtectedTransport)), wikiACS, ""},
		{"a stronger class", child(authnContext("", "urn:x:mfa")), wikiACS, StatusNoAuthnContext},
		{"at least a password", child(authnContext("minimum", passwordClass)), wikiACS, ""},
		{"better than a password", child(authnContext("better", passwordClass)), wikiACS, ""},
		{"better than what we do", child(authnContext("better", PasswordProtectedTransport)), wikiACS, StatusNoAuthnContext},
		{"extensions, scoping and conditions are ignored", child(`<samlp:Extensions><x xmlns="urn:x"/></samlp:Extensions><samlp:Scoping ProxyCount="2"/>`), wikiACS, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkRequest(t, tt.document, tt.acs, tt.detail)
		})
	}
}

func subject(children string) string {
	return `<saml:Subject xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + children + `</saml:Subject>`
}

const passwordClass = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"

func authnContext(comparison string, classes ...string) string {
	s := `<samlp:RequestedAuthnContext xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`
	if comparison != "" {
		s += ` Comparison="` + comparison + `"`
	}
	s += ">"
	for _, c := range classes {
		s += "<saml:AuthnContextClassRef>" + c + "</saml:AuthnContextClassRef>"
	}
	return s + "</samlp:RequestedAuthnContext>"
}

// checkRequest sends document by both bindings.
func checkRequest(t *testing.T, document, acs, detail string) {
	t.Helper()
	p := idpWithProviders(t)
	for _, parse := range []func() (Request, error){
		func() (Request, error) { return p.ParseRedirect(redirectQuery(t, document)) },
		func() (Request, error) { return p.ParsePost(postForm(document)) },
	} {
		r, err := parse()
		var status *StatusError
		switch {
		case acs == "" && (!errors.Is(err, gatehouse.ErrInvalid) || errors.As(err, &status)):
			t.Errorf("%+v, %v; want ErrInvalid and nobody told", r, err)
		case acs != "" && detail == "" && (err != nil || r.ACS != acs || r.ID != "_req1" || r.Provider != wikiID):
			t.Errorf("%+v, %v; want ACS %s", r, err, acs)
		case detail != "" && (!errors.As(err, &status) || cmp.Or(status.Status.Detail, status.Status.Code) != detail || status.Request.ACS != acs):
			t.Errorf("%+v, %v; want status %s to %s", r, err, detail, acs)
		}
	}
}

func TestRequestSaysWhatItDemands(t *testing.T) {
	p := idpWithProviders(t)
	document := plain(`ID="_req1"`, `ID="_req1" ForceAuthn="1" IsPassive="true"`)
	got, err := p.ParseRedirect(redirectQuery(t, document) + "&RelayState=%2Fpage%3Fa%3Db%20%2B%26%E2%82%AC")
	want := Request{ID: "_req1", Provider: wikiID, ACS: wikiACS, RelayState: "/page?a=b +&€", ForceAuthn: true, IsPassive: true, Until: noon.Add(requestSkew)}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestSignaturesOfRedirectedRequests(t *testing.T) {
	p := idpWithProviders(t)
	stranger := mustKey(noon)
	good := redirectQuery(t, plain()) + "&RelayState=a%2fb"
	vault := redirectQuery(t, plain(wikiID, vaultID))
	for _, tt := range []struct {
		name, query string
		ok          bool
	}{
		{"by a key of the sender, escapes in lower case", signQuery(t, good, testKey()), true},
		{"by its other key, whose certificate ran out", signQuery(t, good, wikiKey()), true},
		{"with an empty RelayState, which takes part", signQuery(t, redirectQuery(t, plain())+"&RelayState=", testKey()), true},
		{"of a provider that must sign", signQuery(t, vault, testKey()), true},
		{"by a stranger", signQuery(t, good, stranger), false},
		{"by another provider's key alone", signQuery(t, vault, wikiKey()), false},
		{"over another RelayState", strings.Replace(signQuery(t, good, testKey()), "a%2fb", "a%2fc", 1), false},
		{"over the same RelayState, escaped otherwise", strings.Replace(signQuery(t, good, testKey()), "a%2fb", "a%2Fb", 1), false},
		{"without the RelayState that was signed", strings.Replace(signQuery(t, good, testKey()), "&RelayState=a%2fb", "", 1), false},
		{"SigAlg without Signature", good + "&SigAlg=" + url.QueryEscape(algRSASHA256), false},
		{"Signature without SigAlg", good + "&Signature=AAAA", false},
		{"an empty Signature", good + "&SigAlg=" + url.QueryEscape(algRSASHA256) + "&Signature=", false},
		{"no Destination, which signed requests must have", signQuery(t, redirectQuery(t, plain(` Destination="`+testSSO+`"`, "")), testKey()), false},
		{"an enveloped signature, which would not be verified", redirectQuery(t, signEnveloped(t, plain(), testKey(), algRSASHA256)), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := p.ParseRedirect(tt.query)
			if tt.ok != (err == nil) || (!tt.ok && (!errors.Is(err, gatehouse.ErrInvalid) || !reflect.DeepEqual(r, Request{}))) {
				t.Errorf("%+v, %v; want accepted: %v", r, err, tt.ok)
			}
		})
	}
}

func TestSignaturesOfPostedRequests(t *testing.T) {
	p := idpWithProviders(t)
	good := signEnveloped(t, plain(), testKey(), algRSASHA256)
	signature := good[strings.Index(good, "<ds:Signature") : strings.Index(good, "</ds:Signature>")+len("</ds:Signature>")]
	evil := plain(`"_req1"`, `"_evil"`, issuerElement, issuerElement+`<samlp:Extensions>`+good+`</samlp:Extensions>`)
	for _, tt := range []struct {
		name, form string
		ok         bool
	}{
		{"by a key of the sender", postForm(good), true},
		{"by its other key, whose certificate ran out", postForm(signEnveloped(t, plain(), wikiKey(), algRSASHA256)), true},
		{"of a provider that must sign", postForm(signEnveloped(t, plain(wikiID, vaultID), testKey(), algRSASHA256)), true},
		{"with a KeyInfo that names the key only", postForm(between(good, "<ds:X509Data>", "</ds:X509Data>", "<ds:KeyName>wiki</ds:KeyName>")), true},
		{"without KeyInfo", postForm(between(good, "<ds:KeyInfo>", "</ds:KeyInfo>", "")), true},
		{"over the whole document, not the request's ID", postForm(signReferring(t, plain(), testKey(), algRSASHA256, "none")), false},
		{"over another ID", postForm(signReferring(t, plain(), testKey(), algRSASHA256, "Version")), false},
		{"without a value", postForm(between(good, "<ds:SignatureValue>", "</ds:SignatureValue>", "<ds:SignatureValue></ds:SignatureValue>")), false},
		{"without SignedInfo", postForm(between(good, "<ds:SignedInfo>", "</ds:SignedInfo>", "")), false},
		{"by a stranger, whose certificate is enclosed", postForm(signEnveloped(t, plain(), mustKey(noon), algRSASHA256)), false},
		{"by another provider's key", postForm(signEnveloped(t, plain(wikiID, vaultID), wikiKey(), algRSASHA256)), false},
		{"over another time", postForm(strings.Replace(good, "12:00:00Z", "12:00:01Z", 1)), false},
		{"with an ACS added", postForm(strings.Replace(good, ` Version=`, ` AssertionConsumerServiceIndex="1" Version=`, 1)), false},
		{"two signatures", postForm(strings.Replace(good, signature, signature+signature, 1)), false},
		{"a signed request wrapped in another", postForm(evil), false},
		{"the signature of another request", postForm(plain(`"_req1"`, `"_evil"`, issuerElement, issuerElement+signature)), false},
		{"an empty Signature", postForm(plain(issuerElement, issuerElement+`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`)), false},
		{"no Destination", postForm(signEnveloped(t, plain(` Destination="`+testSSO+`"`, ""), testKey(), algRSASHA256)), false},
		{"a redirect's signature", signQuery(t, postForm(plain()), testKey()), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := p.ParsePost(tt.form)
			if tt.ok != (err == nil) || (!tt.ok && (!errors.Is(err, gatehouse.ErrInvalid) || !reflect.DeepEqual(r, Request{}))) {
				t.Errorf("%+v, %v; want accepted: %v", r, err, tt.ok)
			}
		})
	}
}

// between puts other in place of what lies from first to last, both included.
func between(s, first, last, other string) string {
	from, to := strings.Index(s, first), strings.Index(s, last)+len(last)
	return s[:from] + other + s[to:]
}

func TestRequestsOfAWSLeadToAChoice(t *testing.T) {
	p := idpWithProviders(t)
	r, err := p.ParseRedirect(redirectQuery(t, plain(wikiID, awsAudience)))
	if err != nil || r.Provider != awsAudience || r.ACS != "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// A deflated request of a few hundred bytes may hold 128 KiB.
func TestWhatARefusalQuotesIsShort(t *testing.T) {
	p := idpWithProviders(t)
	long := strings.Repeat("\u0085", 60_000)
	for _, replace := range [][]string{{testSSO, "https://x/" + long}, {wikiID, "https://x/" + long}, {`"_req1"`, `"` + long + `"`}, {` Version=`, " " + strings.Repeat("v", 60_000) + "="}} {
		_, err := p.ParseRedirect(redirectQuery(t, plain(replace...)))
		if !errors.Is(err, gatehouse.ErrInvalid) || len(err.Error()) > 2*longestCause {
			t.Errorf("%.20q is refused with %d bytes: %.400v", replace[0], len(err.Error()), err)
		}
	}
}

func TestPrefixesAreNotPiledUp(t *testing.T) {
	crowded := `<samlp:Extensions`
	for i := range maxPrefixes {
		crowded += fmt.Sprintf(` xmlns:p%d="urn:x"`, i)
	}
	crowded += `></samlp:Extensions>`
	p := idpWithProviders(t)
	_, err := p.ParsePost(postForm(plain(`</samlp:AuthnRequest>`, crowded+`</samlp:AuthnRequest>`)))
	if err == nil || !strings.Contains(err.Error(), "too many prefixes") {
		t.Errorf("%d prefixes more: %v", maxPrefixes, err)
	}
}

// fuzzed is what must hold whatever came in.
func fuzzed(t *testing.T, p *IdP, r Request, err error) {
	t.Helper()
	if err != nil {
		if !errors.Is(err, gatehouse.ErrInvalid) {
			t.Errorf("%v is no ErrInvalid", err)
		}
		return
	}
	if !isID(r.ID) || !(IsAWS(r.Provider) || p.Registered(r.Provider, r.ACS, r.ECP)) {
		t.Errorf("accepted %+v", r)
	}
}

func FuzzPost(f *testing.F) {
	p := idpWithProviders(f)
	for _, tt := range malformed {
		f.Add(tt.document)
	}
	f.Add(plain())
	f.Add(signEnveloped(f, plain(), testKey(), algRSASHA256))
	f.Fuzz(func(t *testing.T, document string) {
		r, err := p.ParsePost(postForm(document))
		fuzzed(t, p, r, err)
	})
}

func FuzzRedirect(f *testing.F) {
	p := idpWithProviders(f)
	f.Add(redirectQuery(f, plain()) + "&RelayState=x")
	f.Add(signQuery(f, redirectQuery(f, plain()), testKey()))
	f.Add(redirectQuery(f, plain()) + "&SigAlg=" + url.QueryEscape(algECDSASHA256) + "&Signature=" + base64.StdEncoding.EncodeToString(make([]byte, 66)))
	for _, tt := range malformed[:10] {
		f.Add(redirectQuery(f, tt.document))
	}
	f.Fuzz(func(t *testing.T, query string) {
		r, err := p.ParseRedirect(query)
		fuzzed(t, p, r, err)
	})
}

func BenchmarkParseRedirect(b *testing.B) {
	p := idpWithProviders(b)
	query := redirectQuery(b, plain()) + "&RelayState=x"
	bare := bareSignature(b)
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := p.ParseRedirect(query); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		b.StopTimer()
		start = time.Now()
		bare()
		theirs += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(ours)/float64(theirs), "x_rsa")
}
