package saml

import (
	"bytes"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"gatehouse"
)

const (
	testECP  = "https://aws.corp.example/saml/ecp"
	wikiPAOS = "https://wiki.corp.example/saml/ecp"
)

// enveloping is message in an envelope, as an enhanced client sends it.
func enveloping(message string) string {
	return `<S:Envelope xmlns:S="` + soapURI + `"><S:Header/><S:Body>` + message + `</S:Body></S:Envelope>`
}

// vaultPAOS is a provider that signs all its requests, those of programs too.
const vaultPAOS = "https://vault2.corp.example/sp"

func idpForPrograms(t testing.TB) *IdP {
	t.Helper()
	vault := spMetadata(vaultPAOS, `AuthnRequestsSigned="true"`, keyDescriptor(`use="signing"`, testKey()),
		acs("PAOS", "https://vault2.corp.example/ecp", 0, "")+acs("HTTP-POST", "https://vault2.corp.example/acs", 1, ""))
	p := newTestIdP(t, providerFile(t, "Wiki", wikiMetadata()), providerFile(t, "Vault", vaultMetadata()), providerFile(t, "Vault2", vault))
	p.endpoints.ECP = testECP
	return p
}

func TestRequestsOfProgramsAreTakenOrRefused(t *testing.T) {
	p := idpForPrograms(t)
	bare := plain(` Destination="`+testSSO+`"`, "")
	is := func(replacements ...string) string { return strings.NewReplacer(replacements...).Replace(bare) }
	want := Request{ID: "_req1", Provider: wikiID, ACS: wikiPAOS, ECP: true, Until: noon.Add(requestSkew)}
	for _, tt := range []struct {
		name, envelope string
		want           *Request // nil when refused
		detail         string
	}{
		{"as mellon sends it: no Destination, no binding, its PAOS address", enveloping(is(` Version=`, ` AssertionConsumerServiceURL="`+wikiPAOS+`" Version=`)), &want, ""},
		{"as Shibboleth sends it: the binding", enveloping(is(` Version=`, ` ProtocolBinding="`+bindingPAOS+`" Version=`)), &want, ""},
		{"a blank line in front", "\n" + enveloping(bare), &want, ""},
		{"no header", strings.Replace(enveloping(bare), "<S:Header/>", "", 1), &want, ""},
		{"headers for others", strings.Replace(enveloping(bare), "<S:Header/>", `<S:Header><p:Request xmlns:p="urn:liberty:paos:2003-08"/></S:Header>`, 1), &want, ""},
		{"our own Destination", enveloping(is(` Version=`, ` Destination="`+testECP+`" Version=`)), &want, ""},
		{"an ID that begins with a digit (saml2aws)", enveloping(is(`"_req1"`, `"1c9a"`)), &Request{ID: "1c9a", Provider: wikiID, ACS: wikiPAOS, ECP: true, Until: noon.Add(requestSkew)}, ""},
		{"an issuer with blanks (saml2aws)", enveloping(is(wikiID, "\n  "+wikiID+"\n  ")), &want, ""},
		{"namespaces that the envelope declares", strings.Replace(enveloping(is(` xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"`, "")), "<S:Envelope", `<S:Envelope xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"`, 1), &want, ""},
		{"signed", enveloping(signEnveloped(t, bare, testKey(), algRSASHA256)), &want, ""},
		{"signed by a provider that must, within an envelope that declares other things", strings.Replace(enveloping(signEnveloped(t, is(wikiID, vaultPAOS), testKey(), algRSASHA256)), "<S:Envelope", `<S:Envelope xmlns:x="urn:x" xmlns="urn:y"`, 1), &Request{ID: "_req1", Provider: vaultPAOS, ACS: "https://vault2.corp.example/ecp", ECP: true, Until: noon.Add(requestSkew)}, ""},
		{"a format that is not ours", enveloping(is(issuerElement, issuerElement+`<samlp:NameIDPolicy Format="urn:x"/>`)), nil, StatusInvalidNameIDPolicy},

		{"the Destination of a browser", enveloping(plain()), nil, ""},
		{"an address for browsers", enveloping(is(` Version=`, ` AssertionConsumerServiceURL="`+wikiACS+`" Version=`)), nil, ""},
		{"an answer by POST", enveloping(is(` Version=`, ` ProtocolBinding="`+bindingPost+`" Version=`)), nil, ""},
		{"a foreign address", enveloping(is(` Version=`, ` AssertionConsumerServiceURL="https://evil.example/" Version=`)), nil, ""},
		{"a provider that takes nothing of programs", enveloping(signEnveloped(t, is(wikiID, vaultID), testKey(), algRSASHA256)), nil, ""},
		{"not signed by a provider that must", enveloping(is(wikiID, vaultPAOS)), nil, ""},
		{"signed by a stranger", enveloping(signEnveloped(t, bare, mustKey(noon), algRSASHA256)), nil, ""},
		{"changed after signing", enveloping(strings.Replace(signEnveloped(t, bare, testKey(), algRSASHA256), "12:00:00Z", "12:00:01Z", 1)), nil, ""},
		{"AWS, for a role that the address says", enveloping(is(wikiID, awsAudience)), &Request{ID: "_req1", Provider: awsAudience, ECP: true, Until: noon.Add(requestSkew)}, ""},
		{"AWS, too old", enveloping(is(wikiID, awsAudience, "12:00:00Z", "11:00:00Z")), nil, ""},
		{"two messages", enveloping(bare + is("_req1", "_req2")), nil, ""},
		{"no message", enveloping(""), nil, ""},
		{"two bodies", strings.Replace(enveloping(bare), "</S:Envelope>", "<S:Body/></S:Envelope>", 1), nil, ""},
		{"a body before the header", `<S:Envelope xmlns:S="` + soapURI + `"><S:Body>` + bare + `</S:Body><S:Header/></S:Envelope>`, nil, ""},
		{"a body of another namespace", strings.NewReplacer("<S:Body>", `<x:Body xmlns:x="urn:x">`, "</S:Body>", "</x:Body>").Replace(enveloping(bare)), nil, ""},
		{"SOAP 1.2", strings.Replace(enveloping(bare), soapURI, "http://www.w3.org/2003/05/soap-envelope", 1), nil, ""},
		{"no envelope", bare, nil, ""},
		{"an envelope within the envelope", enveloping(enveloping(bare)), nil, ""},
		{"a DOCTYPE", "<!DOCTYPE a>" + enveloping(bare), nil, ""},
		{"one ID in header and body", strings.Replace(enveloping(bare), "<S:Header/>", `<S:Header><x ID="_req1"/></S:Header>`, 1), nil, ""},
		{"a logout request", enveloping(logoutRequest()), nil, ""},
		{"nothing", "", nil, ""},
		{"too large", enveloping(bare + strings.Repeat(" ", maxDocument)), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := p.ParseECP([]byte(tt.envelope))
			var told *StatusError
			switch {
			case tt.want != nil:
				if err != nil || !reflect.DeepEqual(got, *tt.want) {
					t.Errorf("%+v, %v; want %+v", got, err, *tt.want)
				}
			case tt.detail != "":
				if !errors.As(err, &told) || told.Status.Detail != tt.detail || told.Request.ACS != wikiPAOS || !told.Request.ECP {
					t.Errorf("%+v, %v; want status %s", got, err, tt.detail)
				}
			default:
				if !errors.Is(err, gatehouse.ErrInvalid) || errors.As(err, &told) || !reflect.DeepEqual(got, Request{}) {
					t.Errorf("%+v, %v; want nothing and ErrInvalid", got, err)
				}
			}
		})
	}
}

func TestTheEnvelopeOfAnAnswerStandsBeforeTheJudges(t *testing.T) {
	p := idpForPrograms(t)
	for name, respond := range map[string]func() (Response, error){
		"an assertion": func() (Response, error) {
			return p.Respond(t.Context(), Assertion{Recipient: wikiPAOS, Audience: vaultID, InResponseTo: "1c9a", NameID: NameID{Value: "_alice"}, AuthnInstant: noon, Sign: SignBoth, ECP: true})
		},
		"a refusal": func() (Response, error) {
			return p.Refuse(t.Context(), Request{ID: "_r", Provider: wikiID, ACS: wikiPAOS, ECP: true}, Status{Code: StatusResponder, Detail: StatusRequestDenied})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := respond()
			if err != nil {
				t.Fatal(err)
			}
			document, err := p.Envelope(wikiPAOS, r.Encoded)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`<ecp:Response xmlns:ecp="urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp" AssertionConsumerServiceURL="` + wikiPAOS + `" S:actor="` + soapNext + `" S:mustUnderstand="1">`,
				`<saml2p:Response xmlns:saml2p="`, `<saml2p:StatusCode Value="`} {
				if !bytes.Contains(document, []byte(want)) {
					t.Errorf("it lacks %s:\n%s", want, document)
				}
			}
			if bytes.Contains(document, []byte("<saml:")) || bytes.Contains(document, []byte("<samlp:")) {
				t.Errorf("it mixes prefixes:\n%s", document)
			}
			if err := xmlsec1(t, document, testKey().Certificate, "Response"); err != nil {
				t.Error(err) // verified as sent, in its envelope
			}
			inner, _ := base64.StdEncoding.DecodeString(string(r.Encoded))
			if got := canonicalized(t, inner); got != string(inner) {
				t.Errorf("not canonical:\n%s", inner)
			}
			document = bytes.ReplaceAll(document, []byte(`"1c9a"`), []byte(`"_c9a"`)) // what saml2aws began with is no NCName
			// The schema of the profile has those of the envelope and the message.
			if err := validAgainst(t, document, ecpSchema); err != nil {
				t.Error(err)
			}
			for what, wrong := range map[string][2]string{
				"the header's block": {"AssertionConsumerServiceURL=", "AssertionConsumerServiceUrl="},
				"the message":        {"<saml2p:StatusCode Value=", "<saml2p:StatusCode Worth="},
				"the envelope":       {"S:Header>", "S:Heading>"},
			} {
				if validAgainst(t, bytes.ReplaceAll(document, []byte(wrong[0]), []byte(wrong[1])), ecpSchema) == nil {
					t.Errorf("the judge takes anything for %s", what)
				}
			}
		})
	}
	if _, err := p.Refuse(t.Context(), Request{ID: "_r", Provider: wikiID, ACS: wikiPAOS}, Status{Code: StatusResponder}); err == nil {
		t.Error("a browser's answer went to a program's address")
	}
}

// ecpSchema is the schema of the profile's headers.
const ecpSchema = "saml-schema-ecp-2.0.xsd"

func TestTheFaultStandsBeforeTheJudges(t *testing.T) {
	fault := idpForPrograms(t).Fault()
	if err := validAgainst(t, fault, ecpSchema); err != nil {
		t.Error(err)
	}
	if got := canonicalized(t, fault); got != string(fault) {
		t.Errorf("not canonical: %s", fault)
	}
	if validAgainst(t, bytes.ReplaceAll(fault, []byte("faultstring"), []byte("faultText")), ecpSchema) == nil {
		t.Error("the judge takes anything")
	}
	// It may be the message's doing, and is not the server's (SOAP 1.1 §4.4.1).
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(fault); err != nil {
		t.Fatal(err)
	}
	code := doc.FindElement("/Envelope/Body/Fault/faultcode")
	prefix, local, _ := strings.Cut(code.Text(), ":")
	if local != "Client" || code.NamespaceURI() != "" || doc.Root().SelectAttrValue("xmlns:"+prefix, "") != soapURI {
		t.Errorf("%s", fault)
	}
}

func FuzzECP(f *testing.F) {
	p := idpForPrograms(f)
	bare := plain(` Destination="`+testSSO+`"`, "")
	f.Add(enveloping(bare))
	f.Add(enveloping(signEnveloped(f, bare, testKey(), algRSASHA256)))
	for _, tt := range malformed[:20] {
		f.Add(enveloping(tt.document))
	}
	f.Fuzz(func(t *testing.T, envelope string) {
		r, err := p.ParseECP([]byte(envelope))
		fuzzed(t, p, r, err)
	})
}
