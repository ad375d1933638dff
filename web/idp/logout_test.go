package idp

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/saml"
)

const (
	forumID = "https://forum.corp.example/sp" // takes logout messages by redirect
	blogID  = "https://blog.corp.example/sp"  // by POST
	muteID  = "https://mute.corp.example/sp"  // takes none
)

// describe writes the metadata of a provider whose key is the tests' one.
func describe(t testing.TB, name, id, logout string) saml.ServiceProvider {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".xml")
	document := `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + id + `">
<md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(signingKey().Certificate) + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>` + logout + `
<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` + id + `/acs" index="0"/>
</md:SPSSODescriptor></md:EntityDescriptor>`
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	return saml.ServiceProvider{Name: name, MetadataFile: path}
}

func logoutService(binding, location string) string {
	return `<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:` + binding + `" Location="` + location + `"/>`
}

// newEstate is a world with a forum, a blog and a provider that takes no logout messages.
func newEstate(t *testing.T) *world {
	t.Helper()
	mux := http.NewServeMux()
	w := newWorldOn(t, mux)
	w.others = []saml.ServiceProvider{
		describe(t, "Forum", forumID, logoutService("HTTP-Redirect", forumID+"/out")),
		describe(t, "Blog", blogID, logoutService("HTTP-POST", blogID+"/out")),
		describe(t, "Mute", muteID, ""),
	}
	w.furnish(mux)
	w.browser = w.newBrowser()
	return w
}

// visitAll signs alice in, in session id, at the providers.
func (w *world) visitAll(id string, providers ...string) {
	w.t.Helper()
	w.signIn(time.Now())
	w.session.ID = id
	for _, p := range providers {
		if v := w.get("/saml/launch?" + url.Values{"sp": {p}}.Encode()); v.status != 200 {
			w.t.Fatalf("%s: %d %v", p, v.status, w.problems)
		}
	}
}

// outRequest is a LogoutRequest by redirect, signed by key.
func (w *world) outRequest(provider, name, index string, key gatehouse.SigningKey) string {
	indexes := ""
	if index != "" {
		indexes = "<samlp:SessionIndex>" + index + "</samlp:SessionIndex>"
	}
	return w.signed("SAMLRequest", fmt.Sprintf(`<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_out" Version="2.0" IssueInstant="%s" Destination="%s/saml/slo"><saml:Issuer>%s</saml:Issuer><saml:NameID Format="%s">%s</saml:NameID>%s</samlp:LogoutRequest>`,
		time.Now().UTC().Format(time.RFC3339), w.public, provider, saml.NameIDPersistent, name, indexes), "state&more", key)
}

func (w *world) outResponse(provider, inResponseTo, status string, key gatehouse.SigningKey) string {
	return w.signed("SAMLResponse", fmt.Sprintf(`<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_in" InResponseTo="%s" Version="2.0" IssueInstant="%s" Destination="%s/saml/slo"><saml:Issuer>%s</saml:Issuer><samlp:Status><samlp:StatusCode Value="%s"/></samlp:Status></samlp:LogoutResponse>`,
		inResponseTo, time.Now().UTC().Format(time.RFC3339), w.public, provider, status), "", key)
}

// signed is the address that takes a message to us by redirect.
func (w *world) signed(field, document, relayState string, k gatehouse.SigningKey) string {
	w.t.Helper()
	var b bytes.Buffer
	f, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = f.Write([]byte(document))
	_ = f.Close()
	query := field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes()))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	query += "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")
	key, err := x509.ParsePKCS8PrivateKey(k.PrivateKey)
	if err != nil {
		w.t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(query))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key.(*rsa.PrivateKey), crypto.SHA256, digest[:])
	if err != nil {
		w.t.Fatal(err)
	}
	return "/saml/slo?" + query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
}

// message is what the browser was last sent off with.
type message struct {
	XMLName      xml.Name
	ID           string   `xml:",attr"`
	InResponseTo string   `xml:",attr"`
	NameID       string   `xml:"NameID"`
	Indexes      []string `xml:"SessionIndex"`
	Status       struct {
		Code struct {
			Value  string `xml:",attr"`
			Detail struct {
				Value string `xml:",attr"`
			} `xml:"StatusCode"`
		} `xml:"StatusCode"`
	}
	to, relayState string
}

func (w *world) lastSent() message {
	w.t.Helper()
	if len(w.sent) == 0 {
		w.t.Fatalf("the browser was sent nowhere; problems %v", w.problems)
	}
	d := w.sent[len(w.sent)-1]
	m := message{to: d.To, relayState: d.RelayState}
	encoded := string(d.Message)
	if d.Field == "" {
		q := mustURL(w.t, d.URL).Query()
		encoded, m.relayState = q.Get("SAMLRequest")+q.Get("SAMLResponse"), q.Get("RelayState")
	}
	document, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil && d.Field == "" {
		document, err = io.ReadAll(flate.NewReader(bytes.NewReader(document)))
	}
	if err == nil {
		err = xml.Unmarshal(document, &m)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func TestALogoutRequestEndsWhatItMeansAndNothingElse(t *testing.T) {
	stranger, err := saml.NewSigningKey(time.Now(), "https://evil.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		ask    func(w *world, alice string) string
		ended  []string
		status string // of the answer to the forum; "": no answer
	}{
		{"the session that it names", func(w *world, alice string) string {
			return w.outRequest(forumID, alice, "_index of A", signingKey())
		}, []string{"corp/1 A"}, ""},
		{"every session of that name", func(w *world, alice string) string { return w.outRequest(forumID, alice, "", signingKey()) }, []string{"corp/1 A", "corp/1 B"}, ""},
		{"another name", func(w *world, alice string) string {
			return w.outRequest(forumID, alice+"x", "_index of A", signingKey())
		}, nil, saml.StatusUnknownPrincipal},
		{"another session", func(w *world, alice string) string {
			return w.outRequest(forumID, alice, "_index of C", signingKey())
		}, nil, saml.StatusUnknownPrincipal},
		{"the name that another provider has", func(w *world, _ string) string {
			return w.outRequest(forumID, w.idp.NameID("corp/1", blogID), "_index of A", signingKey())
		}, nil, saml.StatusUnknownPrincipal},
		{"a provider that was told nothing", func(w *world, _ string) string {
			return w.outRequest(wikiID, w.idp.NameID("corp/1", wikiID), "_index of A", signingKey())
		}, nil, ""}, // the wiki's metadata has no key, so that it cannot even sign
		{"a stranger's signature", func(w *world, alice string) string { return w.outRequest(forumID, alice, "_index of A", stranger) }, nil, ""},
		{"no signature", func(w *world, alice string) string {
			u, _, _ := strings.Cut(w.outRequest(forumID, alice, "_index of A", signingKey()), "&SigAlg")
			return u
		}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newEstate(t)
			w.visitAll("A", forumID, blogID)
			w.visitAll("B", forumID)
			w.visitAll("A")
			v := w.get(tt.ask(w, w.idp.NameID("corp/1", forumID)))
			slices.Sort(w.ended)
			if !slices.Equal(w.ended, tt.ended) {
				t.Errorf("ended %q, want %q", w.ended, tt.ended)
			}
			switch {
			case tt.status != "":
				if m := w.lastSent(); m.to != "Forum" || m.InResponseTo != "_out" || m.relayState != "state&more" || m.Status.Code.Detail.Value != tt.status {
					t.Errorf("answered %+v, want %s", m, tt.status)
				}
			case tt.ended == nil:
				if v.status != http.StatusBadRequest || len(w.sent) != 0 {
					t.Errorf("%d, sent %v", v.status, w.sent)
				}
			default:
				if m := w.lastSent(); m.to != "Blog" || m.XMLName.Local != "LogoutRequest" || m.NameID != w.idp.NameID("corp/1", blogID) || !slices.Equal(m.Indexes, []string{"_index of A"}) {
					t.Errorf("the blog was told %+v", m)
				}
			}
		})
	}
}

func TestASignOutGoesFromProviderToProvider(t *testing.T) {
	w := newEstate(t)
	w.visitAll("A", forumID, blogID)
	w.get(w.outRequest(forumID, w.idp.NameID("corp/1", forumID), "", signingKey()))
	told := w.lastSent()
	if m := told; m.to != "Blog" || len(w.ended) != 1 {
		t.Fatalf("told %+v, ended %v", m, w.ended)
	}
	w.get(w.outResponse(blogID, told.ID, saml.StatusSuccess, signingKey()))
	if m := w.lastSent(); m.to != "Forum" || m.XMLName.Local != "LogoutResponse" || m.Status.Code.Value != saml.StatusSuccess || m.Status.Code.Detail.Value != "" || m.relayState != "state&more" {
		t.Errorf("answered %+v", m)
	}
	if len(w.records.all) != 0 {
		t.Errorf("left in the store: %v", w.records.all)
	}
	// Whoever asks again is answered again: nobody is signed in any more.
	w.get(w.outRequest(forumID, w.idp.NameID("corp/1", forumID), "_index of A", signingKey()))
	if m := w.lastSent(); m.XMLName.Local != "LogoutResponse" || m.Status.Code.Value != saml.StatusSuccess || len(w.ended) != 1 {
		t.Errorf("answered %+v, ended %v", m, w.ended)
	}
}

func TestWhatIsNotConfirmedIsPartial(t *testing.T) {
	for _, tt := range []struct {
		name string
		also string // where alice is signed in besides the forum
		do   func(w *world, told message)
	}{
		{"a provider that takes no logout messages", muteID, func(*world, message) {}},
		{"a provider that fails", blogID, func(w *world, told message) {
			w.get(w.outResponse(blogID, told.ID, saml.StatusResponder, signingKey()))
		}},
		{"a provider that does not answer", blogID, func(w *world, _ message) { w.get(w.sent[0].Skip) }},
		{"a provider that answers too late", blogID, func(w *world, told message) {
			w.get(w.sent[0].Skip)
			w.get(w.outResponse(blogID, told.ID, saml.StatusSuccess, signingKey()))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newEstate(t)
			w.visitAll("A", forumID, tt.also)
			w.get(w.outRequest(forumID, w.idp.NameID("corp/1", forumID), "", signingKey()))
			tt.do(w, w.lastSent())
			if m := w.lastSent(); m.to != "Forum" || m.Status.Code.Value != saml.StatusSuccess || m.Status.Code.Detail.Value != saml.StatusPartialLogout {
				t.Errorf("answered %+v", m)
			}
		})
	}
}

func TestLogoutResponsesStartNothing(t *testing.T) {
	stranger, err := saml.NewSigningKey(time.Now(), "https://evil.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(w *world, told message) string{
		"to a request that is not ours": func(w *world, _ message) string {
			return w.outResponse(blogID, "_other", saml.StatusSuccess, signingKey())
		},
		"to another handle": func(w *world, _ message) string {
			return w.outResponse(blogID, "_AAAAAAAAAAAAAAAAAAAAAAAAAA.1", saml.StatusSuccess, signingKey())
		},
		"of another provider": func(w *world, told message) string {
			return w.outResponse(forumID, told.ID, saml.StatusSuccess, signingKey())
		},
		"of a stranger": func(w *world, told message) string {
			return w.outResponse(blogID, told.ID, saml.StatusSuccess, stranger)
		},
		"in another browser": func(w *world, told message) string {
			w.browser = w.newBrowser()
			return w.outResponse(blogID, told.ID, saml.StatusSuccess, signingKey())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newEstate(t)
			w.visitAll("A", forumID, blogID)
			w.get(w.outRequest(forumID, w.idp.NameID("corp/1", forumID), "", signingKey()))
			w.visitAll("B", forumID) // a new session, which nothing here may end
			before := len(w.sent)
			if v := w.get(answer(w, w.lastSent())); v.status != http.StatusBadRequest || len(w.sent) != before || len(w.ended) != 1 {
				t.Errorf("%d at %s, sent %d, ended %v", v.status, v.at, len(w.sent)-before, w.ended)
			}
		})
	}
}

func TestAPostedLogoutRequestNeedsNoCookieAtFirst(t *testing.T) {
	w := newEstate(t)
	w.visitAll("A", forumID)
	q := mustURL(t, w.outRequest(forumID, w.idp.NameID("corp/1", forumID), "", signingKey())).Query()
	// Not a posted message at all: its signature belongs to a query.
	if v := w.post("/saml/slo", q); v.status != http.StatusBadRequest || len(w.ended) != 0 {
		t.Errorf("%d, ended %v", v.status, w.ended)
	}
	if v := w.post("/saml/slo", nil); v.status != http.StatusBadRequest {
		t.Errorf("an empty form: %d", v.status)
	}
}

func TestOurOwnSignOutTellsEverybody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		at     []string
		to     string // whom the browser is sent to
		leadTo string // or by which path it goes on
	}{
		{"nobody", nil, "", ""},
		{"one", []string{blogID}, "Blog", ""},
		{"somebody who cannot be told", []string{muteID}, "", "/login?said=partly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newEstate(t)
			w.visitAll("B", forumID) // another session, which is not meant
			w.visitAll("A", tt.at...)
			var path string
			w.mux.HandleFunc("POST /logout", func(rw http.ResponseWriter, r *http.Request) {
				var err error
				if path, err = w.door.SignOut(rw, r, *w.session); err != nil {
					t.Error(err)
				}
			})
			w.post("/logout", nil)
			if tt.to == "" {
				if path != tt.leadTo || w.waiting() != 0 {
					t.Errorf("leads to %q, want %q; %d wait", path, tt.leadTo, w.waiting())
				}
				return
			}
			w.session = nil
			w.get(path)
			m := w.lastSent()
			if m.to != tt.to || m.XMLName.Local != "LogoutRequest" {
				t.Fatalf("told %+v", m)
			}
			if v := w.get(w.outResponse(blogID, m.ID, saml.StatusSuccess, signingKey())); !strings.HasPrefix(v.at, "/login?said=out") {
				t.Errorf("ended at %s", v.at)
			}
		})
	}
}

func TestASignOutOfAnotherBrowserIsNotGoneOnWith(t *testing.T) {
	w := newEstate(t)
	w.visitAll("A", forumID, blogID)
	w.get(w.outRequest(forumID, w.idp.NameID("corp/1", forumID), "", signingKey()))
	skip := w.sent[0].Skip
	w.browser = w.newBrowser()
	for _, path := range []string{skip, logoutPath, logoutPath + "?request=x", logoutPathOf("AAAAAAAAAAAAAAAAAAAAAAAAAA")} {
		if v := w.get(path); v.status != http.StatusBadRequest || len(w.sent) != 1 {
			t.Errorf("%s: %d, sent %d", path, v.status, len(w.sent))
		}
	}
}
