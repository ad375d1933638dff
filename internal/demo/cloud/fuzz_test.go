package cloud

import (
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
)

func FuzzAuthorization(f *testing.F) {
	sig := strings.Repeat("0a", 32)
	f.Add(algorithm + " Credential=ASIAX/20261121/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + sig)
	f.Add(algorithm + " Credential=ASIAX/20261121/us-east-1/sts/aws4_request,SignedHeaders=host,Signature=" + sig)
	f.Add(algorithm + " Signature=" + sig + ",Signature=" + sig)
	f.Add("AWS4-HMAC-SHA256 Credential=////,SignedHeaders=;,Signature=")
	f.Add("Basic YTpi")
	f.Fuzz(func(t *testing.T, header string) {
		c, no := parseAuthorization(header)
		if no != nil {
			return
		}
		if !slices.IsSorted(c.signedHeaders) || len(c.signature) != 32 || c.keyID == "" {
			t.Fatalf("accepted %q as %+v", header, c)
		}
		again := algorithm + " Credential=" + strings.Join([]string{c.keyID, c.date, c.region, c.service, c.terminator}, "/") +
			", SignedHeaders=" + strings.Join(c.signedHeaders, ";") + ", Signature=" + hex.EncodeToString(c.signature)
		back, no := parseAuthorization(again)
		if no != nil || back.keyID != c.keyID || !slices.Equal(back.signedHeaders, c.signedHeaders) {
			t.Fatalf("%q, written again, is refused or another: %v", header, no)
		}
	})
}

func FuzzForm(f *testing.F) {
	for _, s := range []string{"", "a=b&c=d", "Action=x&Action=y", "a=%zz", "a;b=c", "%41=b+c&=x", "a=%ff", "&&a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseForm(raw)
		if err != nil {
			return
		}
		std, err := url.ParseQuery(raw)
		if err != nil || len(std) != len(p) {
			t.Fatalf("%q: net/url says %v, %v; we say %v", raw, std, err, p)
		}
		written := url.Values{}
		for k, v := range p {
			if std.Get(k) != v {
				t.Fatalf("%q: %q = %q, net/url says %q", raw, k, v, std.Get(k))
			}
			written.Set(k, v)
		}
		if back, err := parseForm(written.Encode()); err != nil || !maps.Equal(back, p) {
			t.Fatalf("%q does not survive: %v, %v", raw, back, err)
		}
		if canonicalQuery(canonicalQuery(raw)) != canonicalQuery(raw) {
			t.Fatalf("%q: the canonical query is not stable", raw)
		}
	})
}

// The fuzzing workers are processes of their own, so key and signature are
// files: a response signed once, and the certificate of a key that is gone.
var (
	//go:embed testdata/signed_response.xml
	signedResponse string
	//go:embed testdata/signer.pem
	signerPEM []byte
)

func signer(t testing.TB) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(signerPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// FuzzIntake holds the intake to this: whatever is done to a signed response,
// it is refused or it still says what was signed.
func FuzzIntake(f *testing.F) {
	cert, signed := signer(f), signedResponse
	if m, _ := decode(base64.StdEncoding.EncodeToString([]byte(signed))); m.only() != nil || !good(m.verified([]*x509.Certificate{cert})) {
		f.Fatal("the signed response does not verify")
	}
	f.Add(signed)
	f.Add(strings.Replace(signed, "alice", "al<!-- -->ice", 1))
	f.Add(strings.Replace(signed, "alice", "mallory", 1))
	f.Add(strings.Replace(signed, "<samlp:Status>", `<x ID="_a"/><samlp:Status>`, 1))
	f.Add("<a/>")
	f.Fuzz(func(t *testing.T, raw string) {
		m, no := decode(base64.StdEncoding.EncodeToString([]byte(raw)))
		if no != nil || m.status() != nil || m.only() != nil {
			return
		}
		el, no := m.verified([]*x509.Certificate{cert})
		if no != nil {
			return
		}
		got, no := read(el)
		if no != nil {
			t.Fatalf("verified, and cannot be read: %v\n%s", no, raw)
		}
		if got.nameID != "alice" || got.recipient != "r" || !slices.Equal(got.attributes["RoleSessionName"], []string{"alice"}) {
			t.Fatalf("says %q, %q, %v, which was never signed:\n%s", got.nameID, got.recipient, got.attributes, raw)
		}
	})
}

func good(el *etree.Element, no *refusal) bool { return no == nil && el != nil }

func FuzzMetadata(f *testing.F) {
	cert := signer(f)
	doc := `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"><IDPSSODescriptor><KeyDescriptor><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>` +
		base64.StdEncoding.EncodeToString(cert.Raw) + `</X509Certificate></X509Data></KeyInfo></KeyDescriptor></IDPSSODescriptor></EntityDescriptor>` + strings.Repeat(" ", 1000)
	if _, err := parseMetadata([]byte(doc)); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(doc))
	f.Add([]byte(`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + doc + `</EntitiesDescriptor>`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseMetadata(raw)
		if err != nil {
			return
		}
		for entity, keys := range m.keys {
			if entity == "" || len(keys) > 10 {
				t.Fatalf("entity %q with %d keys", entity, len(keys))
			}
		}
	})
}

// FuzzDestination: whatever is asked for, nothing but our own console page is
// ever the answer.
func FuzzDestination(f *testing.F) {
	s := &Server{url: &url.URL{Scheme: "http", Host: "127.0.0.1:8081"}}
	for _, d := range []string{"https://console.aws.amazon.com/", "http://127.0.0.1:8081/console/x", "https://console.aws.amazon.com/..//evil.example/", `https://console.aws.amazon.com/\evil`, "//evil", "https://console.aws.amazon.com/%2f%2fevil"} {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, d string) {
		target, ok := s.landing(d, "aws")
		if !ok {
			return
		}
		u, err := url.Parse(target)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(u.Path, "/console/") || !strings.HasPrefix(target, "/console/") {
			t.Fatalf("%q leads to %q", d, target)
		}
	})
}

func TestPanicIsAnsweredAndNotSpread(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	s.recovering(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("x") })).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status %d, want 500", w.Code)
	}
}

func TestServerHasAllFourTimeouts(t *testing.T) {
	s, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	h := s.http
	if h.ReadHeaderTimeout <= 0 || h.ReadTimeout <= 0 || h.WriteTimeout <= 0 || h.IdleTimeout <= 0 {
		t.Errorf("timeouts %v %v %v %v, want all", h.ReadHeaderTimeout, h.ReadTimeout, h.WriteTimeout, h.IdleTimeout)
	}
}

func TestBucketRunsDry(t *testing.T) {
	b := newBucket(0, 2)
	first, second, third := b.take(), b.take(), b.take()
	if !first || !second || third {
		t.Error("want two and no third")
	}
}

func TestTokenOfOnePurposeOpensNoOther(t *testing.T) {
	s := newSealer()
	token := s.close("session", identity{Account: "111122223333"})
	var who identity
	if err := s.open("session", token, &who); err != nil || who.Account != "111122223333" {
		t.Errorf("opened as %+v, %v", who, err)
	}
	if err := s.open("signin", token, &who); err == nil {
		t.Error("a session token opened as a sign-in token")
	}
	if err := newSealer().open("session", token, &who); err == nil {
		t.Error("another server opened it")
	}
}

func TestBrowsersAreBounded(t *testing.T) {
	b, now := newBrowsers(), time.Unix(1000, 0)
	for i := range keptBrowsers + 50 {
		b.add(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), &consoleSession{expires: now.Add(time.Hour)}, false, now.Add(time.Duration(i)))
	}
	if len(b.byID) != keptBrowsers {
		t.Errorf("%d kept, want %d", len(b.byID), keptBrowsers)
	}
}
