package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/outside"
)

const testSLO = "https://aws.corp.example/saml/slo"

func slo(binding, location, more string) string {
	return `<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:` + binding + `" Location="` + location + `" ` + more + `/>`
}

// idpForLogout knows the wiki (Redirect, answers elsewhere), the vault (POST) and the forum (neither).
func idpForLogout(t testing.TB) *IdP {
	t.Helper()
	key := keyDescriptor(`use="signing"`, wikiKey())
	file := func(name, id, services string) ServiceProvider {
		return providerFile(t, name, spMetadata(id, "", key, services+acs("HTTP-POST", id+"/acs", 0, "")))
	}
	p := newTestIdP(t,
		file("Wiki", wikiID, slo("SOAP", "https://wiki.corp.example/soap", "")+slo("HTTP-Redirect", "https://wiki.corp.example/out?x=1", `ResponseLocation="https://wiki.corp.example/done"`)),
		file("Vault", vaultID, slo("HTTP-POST", "https://vault.corp.example/out", "")),
		file("Forum", "https://forum.corp.example/sp", ""))
	p.endpoints.SLO = testSLO
	return p
}

// logoutRequest is a good request of the wiki; the replacements make it another one.
func logoutRequest(replacements ...string) string {
	return strings.NewReplacer(replacements...).Replace(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_out1" Version="2.0" IssueInstant="2026-11-21T12:00:00Z" Destination="` + testSLO + `"><saml:Issuer>` + wikiID + `</saml:Issuer>` + logoutName + `<samlp:SessionIndex>_s1</samlp:SessionIndex></samlp:LogoutRequest>`)
}

const logoutName = `<saml:NameID Format="` + NameIDPersistent + `">_alice</saml:NameID>`

func logoutResponse(replacements ...string) string {
	return strings.NewReplacer(replacements...).Replace(`<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_in1" InResponseTo="_ours" Version="2.0" IssueInstant="2026-11-21T12:00:00Z" Destination="` + testSLO + `"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + wikiID + `</saml:Issuer><samlp:Status><samlp:StatusCode Value="` + statusSuccess + `"></samlp:StatusCode></samlp:Status></samlp:LogoutResponse>`)
}

func TestLogoutMessagesAreTakenOrRefusedByTheirContent(t *testing.T) {
	p := idpForLogout(t)
	good := LogoutRequest{ID: "_out1", Provider: wikiID, NameID: NameID{Format: NameIDPersistent, Value: "_alice"}, SessionIndexes: []string{"_s1"}}
	with := func(change func(*LogoutRequest)) *LogoutRequest { r := good; change(&r); return &r }
	index := `<samlp:SessionIndex>_s1</samlp:SessionIndex>`
	for _, tt := range []struct {
		name, document string
		want           *LogoutRequest // nil when refused
		detail         string         // of the status, when the sender is told
	}{
		{"a good one", logoutRequest(), &good, ""},
		{"several sessions", logoutRequest(index, index+"<samlp:SessionIndex>_s2</samlp:SessionIndex>"), with(func(r *LogoutRequest) { r.SessionIndexes = []string{"_s1", "_s2"} }), ""},
		{"every session", logoutRequest(index, ""), with(func(r *LogoutRequest) { r.SessionIndexes = nil }), ""},
		{"qualifiers that are right", logoutRequest(`Format="`, `NameQualifier="`+testEntityID+`" SPNameQualifier="`+wikiID+`" Format="`), &good, ""},
		{"an extension that wants no answer", logoutRequest("</saml:Issuer>", `</saml:Issuer><samlp:Extensions><a:Asynchronous xmlns:a="urn:oasis:names:tc:SAML:2.0:protocol:ext:async-slo"/></samlp:Extensions>`), with(func(r *LogoutRequest) { r.Asynchronous = true }), ""},
		{"good for a while", logoutRequest(` ID=`, ` NotOnOrAfter="2026-11-21T12:01:00Z" ID=`), &good, ""},
		{"without a format, which is another name", logoutRequest(` Format="`+NameIDPersistent+`"`, ""), with(func(r *LogoutRequest) { r.NameID.Format = "" }), ""},

		{"a name made by somebody else", logoutRequest(`Format="`, `NameQualifier="https://other.example" Format="`), nil, StatusUnknownPrincipal},
		{"a name made for somebody else", logoutRequest(`Format="`, `SPNameQualifier="https://other.example" Format="`), nil, StatusUnknownPrincipal},
		{"an encrypted name", logoutRequest(logoutName, `<saml:EncryptedID></saml:EncryptedID>`), nil, StatusRequestUnsupported},

		{"no name", logoutRequest(logoutName, ""), nil, ""},
		{"two kinds of name", logoutRequest(logoutName, logoutName+`<saml:EncryptedID></saml:EncryptedID>`), nil, ""},
		{"two names", logoutRequest(logoutName, logoutName+logoutName), nil, ""},
		{"an element within the name", logoutRequest("_alice", "_al<x></x>ice"), nil, ""},
		{"for another place", logoutRequest(testSLO, testSSO), nil, ""},
		{"for no place", logoutRequest(` Destination="`+testSLO+`"`, ""), nil, ""},
		{"too old", logoutRequest("12:00:00Z", "11:54:59Z"), nil, ""},
		{"from the future", logoutRequest("12:00:00Z", "12:05:01Z"), nil, ""},
		{"run out", logoutRequest(` ID=`, ` NotOnOrAfter="2026-11-21T11:55:00Z" ID=`), nil, ""},
		{"of an unknown provider", logoutRequest(wikiID, "https://evil.example"), nil, ""},
		{"version 1.1", logoutRequest(`"2.0"`, `"1.1"`), nil, ""},
		{"an AuthnRequest", plain(testSSO, testSLO), nil, ""},
		{"an attribute that it does not have", logoutRequest(` ID=`, ` ForceAuthn="true" ID=`), nil, ""},
		{"more sessions than anybody has", logoutRequest(index, strings.Repeat(index, maxSessionIndexes+1)), nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for binding, parse := range map[string]func() (*LogoutRequest, *LogoutResponse, error){
				"redirect": func() (*LogoutRequest, *LogoutResponse, error) {
					return p.ParseLogoutRedirect(signQuery(t, redirectQuery(t, tt.document)+"&RelayState=s", wikiKey()))
				},
				"post": func() (*LogoutRequest, *LogoutResponse, error) {
					return p.ParseLogoutPost(postForm(signEnveloped(t, tt.document, wikiKey(), algRSASHA256)) + "&RelayState=s")
				},
			} {
				got, response, err := parse()
				var told *LogoutError
				switch {
				case tt.want != nil:
					want := *tt.want
					want.RelayState, want.Post = "s", binding == "post"
					if err != nil || !reflect.DeepEqual(got, &want) {
						t.Errorf("%s: %+v, %v; want %+v", binding, got, err, want)
					}
				case tt.detail != "":
					if !errors.As(err, &told) || told.Status.Detail != tt.detail || told.Request.ID != "_out1" || told.Request.RelayState != "s" || got != nil {
						t.Errorf("%s: %+v, %v; want status %s", binding, got, err, tt.detail)
					}
				default:
					if !errors.Is(err, gatehouse.ErrInvalid) || errors.As(err, &told) || got != nil || response != nil {
						t.Errorf("%s: %+v, %v; want ErrInvalid and nobody told", binding, got, err)
					}
				}
			}
		})
	}
}

func TestLogoutMessagesWithoutAGoodSignatureHaveNoEffect(t *testing.T) {
	p := idpForLogout(t)
	signed := signEnveloped(t, logoutRequest(), wikiKey(), algRSASHA256)
	for name, parse := range map[string]func() (*LogoutRequest, *LogoutResponse, error){
		"a redirected request without": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutRedirect(redirectQuery(t, logoutRequest()))
		},
		"a posted request without": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutPost(postForm(logoutRequest()))
		},
		"a stranger's": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutRedirect(signQuery(t, redirectQuery(t, logoutRequest()), testKey()))
		},
		"a posted request of a stranger": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutPost(postForm(signEnveloped(t, logoutRequest(), testKey(), algRSASHA256)))
		},
		"a name changed after signing": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutPost(postForm(strings.Replace(signed, "_alice", "_carol", 1)))
		},
		"a session added after signing": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutPost(postForm(strings.Replace(signed, "</samlp:LogoutRequest>", "<samlp:SessionIndex>_s2</samlp:SessionIndex></samlp:LogoutRequest>", 1)))
		},
		"a signed one wrapped in another": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutPost(postForm(logoutRequest("_out1", "_evil", "</saml:Issuer>", "</saml:Issuer><samlp:Extensions>"+signed+"</samlp:Extensions>")))
		},
		"a response without": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutRedirect(strings.Replace(redirectQuery(t, logoutResponse()), samlRequest, samlResponse, 1))
		},
		"a request as a response": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutRedirect(signQuery(t, strings.Replace(redirectQuery(t, logoutRequest()), samlRequest, samlResponse, 1), wikiKey()))
		},
		"rubbish":             func() (*LogoutRequest, *LogoutResponse, error) { return p.ParseLogoutRedirect("SAMLRequest=rubbish") },
		"rubbish in a form":   func() (*LogoutRequest, *LogoutResponse, error) { return p.ParseLogoutPost("SAMLResponse=rubbish") },
		"nothing of the kind": func() (*LogoutRequest, *LogoutResponse, error) { return p.ParseLogoutRedirect("%zz") },
		"both at once": func() (*LogoutRequest, *LogoutResponse, error) {
			return p.ParseLogoutRedirect(signQuery(t, redirectQuery(t, logoutRequest())+"&SAMLResponse=x", wikiKey()))
		},
	} {
		request, response, err := parse()
		if request != nil || response != nil || !errors.Is(err, gatehouse.ErrInvalid) {
			t.Errorf("%s: %+v, %+v, %v", name, request, response, err)
		}
		var said *gatehouse.Invalid
		if !errors.As(err, &said) || strings.Contains(said.Why, "sign-in") {
			t.Errorf("%s: a person who signs out is told %v", name, said)
		}
	}
}

func TestLogoutResponsesAreReadStrictly(t *testing.T) {
	p := idpForLogout(t)
	partial := `</samlp:StatusCode>`
	for _, tt := range []struct {
		name, document string
		want           *LogoutResponse
	}{
		{"success", logoutResponse(), &LogoutResponse{wikiID, "_ours", true}},
		{"failure", logoutResponse(statusSuccess, StatusResponder), &LogoutResponse{wikiID, "_ours", false}},
		{"partial", logoutResponse(partial, `<samlp:StatusCode Value="`+StatusPartialLogout+`"/>`+partial), &LogoutResponse{wikiID, "_ours", false}},
		{"no status", between(logoutResponse(), "<samlp:Status>", "</samlp:Status>", ""), nil},
		{"to nothing", logoutResponse(` InResponseTo="_ours"`, ""), nil},
		{"for another place", logoutResponse(testSLO, testSSO), nil},
	} {
		for _, parse := range []func() (*LogoutRequest, *LogoutResponse, error){
			func() (*LogoutRequest, *LogoutResponse, error) {
				return p.ParseLogoutRedirect(signQuery(t, strings.Replace(redirectQuery(t, tt.document), samlRequest, samlResponse, 1), wikiKey()))
			},
			func() (*LogoutRequest, *LogoutResponse, error) {
				return p.ParseLogoutPost(strings.Replace(postForm(signEnveloped(t, tt.document, wikiKey(), algRSASHA256)), samlRequest, samlResponse, 1))
			},
		} {
			request, got, err := parse()
			if request != nil || !reflect.DeepEqual(got, tt.want) || (err == nil) != (tt.want != nil) {
				t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
			}
		}
	}
}

func TestARequestMatchesOnlyWhatTheProviderWasTold(t *testing.T) {
	r := LogoutRequest{Provider: wikiID, NameID: NameID{Format: NameIDPersistent, Value: "_a"}, SessionIndexes: []string{"_s1"}}
	for _, tt := range []struct {
		name string
		p    Participant
		want bool
	}{
		{"the same", Participant{wikiID, NameID{Format: NameIDPersistent, Value: "_a"}, "_s1"}, true},
		{"another session", Participant{wikiID, NameID{Format: NameIDPersistent, Value: "_a"}, "_s2"}, false},
		{"another name", Participant{wikiID, NameID{Format: NameIDPersistent, Value: "_b"}, "_s1"}, false},
		{"the name in other case", Participant{wikiID, NameID{Format: NameIDPersistent, Value: "_A"}, "_s1"}, false},
		{"another format", Participant{wikiID, NameID{Format: NameIDTransient, Value: "_a"}, "_s1"}, false},
		{"another provider", Participant{vaultID, NameID{Format: NameIDPersistent, Value: "_a"}, "_s1"}, false},
	} {
		if got := r.Matches(tt.p); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if r.SessionIndexes = nil; !r.Matches(Participant{wikiID, NameID{Format: NameIDPersistent, Value: "_a"}, "_s2"}) {
		t.Error("a request that names no session means all of them")
	}
}

// redirected takes a message out of the query of a dispatch and has openssl
// verify the signature over its octets.
func redirected(t *testing.T, u, field string) []byte {
	t.Helper()
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(parsed.RawQuery, field+"=")
	octets, signature, ok := strings.Cut(parsed.RawQuery[at:], "&Signature=")
	if !ok {
		t.Fatalf("%s is not signed", u)
	}
	encoded, err := url.QueryUnescape(signature)
	if err != nil {
		t.Fatal(err)
	}
	value, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	verifyWithOpenSSL(t, octets, value, testKey())
	compressed, err := base64.StdEncoding.DecodeString(parsed.Query().Get(field))
	if err != nil {
		t.Fatal(err)
	}
	document, err := io.ReadAll(flate.NewReader(bytes.NewReader(compressed)))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// verifyWithOpenSSL also sees to it that the judge does not take anything.
func verifyWithOpenSSL(t *testing.T, octets string, signature []byte, by gatehouse.SigningKey) {
	t.Helper()
	program := outside.Program(t, "openssl", "openssl")
	dir := t.TempDir()
	cert, public, value, data := filepath.Join(dir, "cert"), filepath.Join(dir, "public"), filepath.Join(dir, "value"), filepath.Join(dir, "data")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: by.Certificate}))
	write(t, value, signature)
	write(t, data, []byte(octets))
	out, err := exec.Command(program, "x509", "-pubkey", "-noout", "-in", cert).Output()
	if err != nil {
		t.Fatal(err)
	}
	write(t, public, out)
	if out, err := exec.Command(program, "dgst", "-sha256", "-verify", public, "-signature", value, data).CombinedOutput(); err != nil {
		t.Errorf("openssl: %v: %s", err, out)
	}
	write(t, data, []byte(octets+"&"))
	if exec.Command(program, "dgst", "-sha256", "-verify", public, "-signature", value, data).Run() == nil {
		t.Error("openssl takes anything")
	}
}

func TestOurLogoutMessagesStandBeforeTheJudges(t *testing.T) {
	p := idpForLogout(t)
	told := Participant{Provider: wikiID, NameID: NameID{Format: NameIDPersistent, Value: "_alice<&"}, SessionIndex: "_s1"}
	ask, err := p.AskToLogOut(t.Context(), told, "_id1")
	if err != nil || !strings.HasPrefix(ask.URL, "https://wiki.corp.example/out?x=1&SAMLRequest=") || ask.Field != "" {
		t.Fatalf("%+v, %v", ask, err)
	}
	document := redirected(t, ask.URL, samlRequest)
	for _, want := range []string{`ID="_id1"`, `NotOnOrAfter="2026-11-21T12:05:00Z"`, `Destination="https://wiki.corp.example/out?x=1"`, ">_alice&lt;&amp;<", ">_s1<"} {
		if !bytes.Contains(document, []byte(want)) {
			t.Errorf("it lacks %s:\n%s", want, document)
		}
	}
	judge(t, document)

	told.Provider = vaultID
	if ask, err = p.AskToLogOut(t.Context(), told, "_id2"); err != nil || ask.URL != "https://vault.corp.example/out" || ask.Field != samlRequest {
		t.Fatalf("%+v, %v", ask, err)
	}
	judgePosted(t, ask, "LogoutRequest")

	answer, err := p.AnswerLogout(t.Context(), LogoutRequest{ID: "_out1", Provider: wikiID, RelayState: "a b&c"}, Status{StatusSuccess, StatusPartialLogout})
	if err != nil || !strings.HasPrefix(answer.URL, "https://wiki.corp.example/done?SAMLResponse=") || !strings.Contains(answer.URL, "&RelayState=a+b%26c&SigAlg=") {
		t.Fatalf("%+v, %v", answer, err)
	}
	document = redirected(t, answer.URL, samlResponse)
	if !bytes.Contains(document, []byte(`InResponseTo="_out1"`)) || !bytes.Contains(document, []byte(StatusPartialLogout)) || !bytes.Contains(document, []byte(`Destination="https://wiki.corp.example/done"`)) {
		t.Errorf("%s", document)
	}
	judge(t, document)
	if answer, err = p.AnswerLogout(t.Context(), LogoutRequest{ID: "_out1", Provider: vaultID, RelayState: "state"}, Status{Code: StatusSuccess}); err != nil || answer.RelayState != "state" {
		t.Fatalf("%+v, %v", answer, err)
	}
	judgePosted(t, answer, "LogoutResponse")

	for _, id := range []string{"https://forum.corp.example/sp", "https://unknown.example", awsAudience} {
		told.Provider = id
		if ask, err := p.AskToLogOut(t.Context(), told, "_id"); !errors.Is(err, gatehouse.ErrNotFound) {
			t.Errorf("%s takes no logout messages: %+v, %v", id, ask, err)
		}
	}
}

func judge(t *testing.T, document []byte) {
	t.Helper()
	if got := canonicalized(t, document); got != string(document) {
		t.Errorf("not canonical:\n%s", document)
	}
	if err := validAgainst(t, document, "saml-schema-protocol-2.0.xsd"); err != nil {
		t.Error(err)
	}
}

func judgePosted(t *testing.T, d Dispatch, node string) {
	t.Helper()
	document, err := base64.StdEncoding.DecodeString(string(d.Message))
	if err != nil {
		t.Fatal(err)
	}
	judge(t, document)
	if err := xmlsec1(t, document, testKey().Certificate, node); err != nil {
		t.Error(err)
	}
}

func TestLogoutServicesOfMetadata(t *testing.T) {
	for _, tt := range []struct{ name, services, fault string }{
		{"a script", slo("HTTP-Redirect", "javascript:alert(1)", ""), "scheme"},
		{"answers to a script", slo("HTTP-POST", "https://a.example/", `ResponseLocation="javascript:alert(1)"`), "scheme"},
		{"answers to somebody's user", slo("HTTP-POST", "https://a.example/", `ResponseLocation="https://a@b.example"`), "single logout service"},
		{"http elsewhere", slo("HTTP-POST", "http://a.example/", ""), "https"},
		{"what no browser reaches does not matter", slo("SOAP", "http://a.example/", ""), ""},
	} {
		_, err := parseMetadata([]byte(spMetadata(wikiID, "", "", tt.services+acs("HTTP-POST", wikiACS, 0, ""))), noon, "")
		if (tt.fault == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.fault)
		}
	}
}

func TestMetadataSaysWhereLogoutMessagesGo(t *testing.T) {
	p := idpForLogout(t)
	if err := p.SetKeys([]gatehouse.SigningKey{testKey()}); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(p.Metadata(), []byte("<md:SingleLogoutService ")); n != 2 {
		t.Errorf("%d services, want one for each binding:\n%s", n, p.Metadata())
	}
	if err := validAgainst(t, p.Metadata(), "saml-schema-metadata-2.0.xsd"); err != nil {
		t.Error(err)
	}
}

func FuzzLogout(f *testing.F) {
	p := idpForLogout(f)
	f.Add(logoutRequest(), true)
	f.Add(logoutResponse(), false)
	f.Add(signEnveloped(f, logoutRequest(), wikiKey(), algRSASHA256), true)
	for _, tt := range malformed[:20] {
		f.Add(tt.document, true)
	}
	f.Fuzz(func(t *testing.T, document string, request bool) {
		form := postForm(document)
		if !request {
			form = strings.Replace(form, samlRequest, samlResponse, 1)
		}
		r, s, err := p.ParseLogoutPost(form)
		var told *LogoutError
		if err != nil && !errors.Is(err, gatehouse.ErrInvalid) && !errors.As(err, &told) {
			t.Errorf("%v", err)
		}
		// What the fuzzer changed is not signed any more.
		if (r != nil || s != nil) && !strings.Contains(document, "SignatureValue") {
			t.Errorf("took %+v, %+v", r, s)
		}
	})
}
