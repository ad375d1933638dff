package saml

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"encoding/pem"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
)

// method is an EncryptionMethod of a key in metadata.
func method(algorithm string) string {
	return `<md:EncryptionMethod Algorithm="` + algorithm + `"/>`
}

// encryptionKey is a KeyDescriptor with EncryptionMethods, which stand last in it.
func encryptionKey(use string, methods ...string) string {
	return strings.Replace(keyDescriptor(use, wikiKey()), "</md:KeyDescriptor>", strings.Join(methods, "")+"</md:KeyDescriptor>", 1)
}

func TestWhetherAndHowAssertionsAreEncryptedIsTheMetadatasToSay(t *testing.T) {
	const xmlenc, xmlenc11 = "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2009/xmlenc11#"
	weak := keyDescriptor(`use="encryption"`, gatehouse.SigningKey{Certificate: weakCertificate})
	for _, tt := range []struct {
		name, keys string
		choice     Encrypt
		want       Encrypt // "" when not encrypted
		fault      string
	}{
		{"no key", "", "", "", ""},
		{"a key for signing alone", keyDescriptor(`use="signing"`, wikiKey()), "", "", ""},
		{"a key for encryption, and no list", encryptionKey(`use="encryption"`), "", EncryptAES128GCM, ""},
		{"a key without a use", encryptionKey(""), "", EncryptAES128GCM, ""},
		{"the first GCM of the list", encryptionKey(`use="encryption"`, method(xmlenc+"aes128-cbc"), method(xmlenc11+"aes256-gcm"), method(xmlenc11+"aes128-gcm")), "", EncryptAES256GCM, ""},
		{"a list of key transports alone", encryptionKey(`use="encryption"`, method(algRSA15), method(algOAEP)), "", EncryptAES128GCM, ""},
		{"CBC alone is for the operator to settle", encryptionKey(`use="encryption"`, method(xmlenc+"aes128-cbc")), "", "", "no AES-GCM"},
		{"PKCS #1 v1.5 alone is refused", encryptionKey(`use="encryption"`, method(algRSA15)), "", "", "rsa-oaep-mgf1p"},
		{"a weak key", weak, "", "", "2048"},
		{"chosen: CBC", encryptionKey(`use="encryption"`, method(xmlenc+"aes128-cbc")), EncryptAES128CBC, EncryptAES128CBC, ""},
		{"chosen: another than the list", encryptionKey(""), EncryptAES256GCM, EncryptAES256GCM, ""},
		{"chosen: never", encryptionKey(`use="encryption"`), EncryptNever, "", ""},
		{"chosen, and no key", keyDescriptor(`use="signing"`, wikiKey()), EncryptAES256GCM, "", "no RSA key"},
		{"an unknown choice", encryptionKey(""), "rot13", "", "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sp, err := parseMetadata([]byte(spMetadata(wikiID, "", tt.keys, acs("HTTP-POST", wikiACS, 0, ""))), noon, tt.choice)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("%v; want it to say %q", err, tt.fault)
				}
				return
			}
			var got Encrypt
			if err == nil && sp.recipient != nil {
				got = sp.recipient.cipher.choice
			}
			if err != nil || got != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// weakCertificate has an RSA key of 1024 bits.
var weakCertificate = func() []byte {
	block, _ := pem.Decode([]byte(`-----BEGIN CERTIFICATE-----
MIIB+jCCAWOgAwIBAgIUf35rMTnqDl41rgTkere/VjLODfkwDQYJKoZIhvcNAQEL
BQAwDzENMAsGA1UEAwwEd2VhazAeFw0yNjExMjExNTQwMzhaFw0zNjExMTgxNTQw
MzhaMA8xDTALBgNVBAMMBHdlYWswgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGB
AKVd5uEvqH5gOvpMqFQxJNu36iOhYQ8shuaQfSxGHUboIjBbQ5b1KMXbHsOJBUaC
0d2urI43HIIq62Ms+l0GpPaahJ/Q/FIOGPJuGTSn/MrGygL1Yqyyu38eRh+XcJ5H
WFwMEVtqtU0Nd6A/22il3fPVT9Y7qLByKQcy1A4SEMB5AgMBAAGjUzBRMB0GA1Ud
DgQWBBTk3JSf63joBUTWXviKuODuFp5mBzAfBgNVHSMEGDAWgBTk3JSf63joBUTW
XviKuODuFp5mBzAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4GBAA1S
Mivu5wZtspzG7mYRHwbuyATyrcGYFeX0IKVF6wcfk8wtZKyHSWZIGGBewrYdbx7I
nU+9bXf/wcbdQLfhsoQBosksVPOdcOzP0gJzae+1fQNBy6isj/LGhw46IXNTYe0w
KSd68IgVc4kBHjTxkYoVde/6xLs4VPc0JJh390cE
-----END CERTIFICATE-----
`))
	return block.Bytes
}()

func TestEncryptedAssertionsAreReadByAnotherImplementation(t *testing.T) {
	for _, choice := range []Encrypt{EncryptAES128GCM, EncryptAES256GCM, EncryptAES128CBC, EncryptAES256CBC} {
		t.Run(string(choice), func(t *testing.T) {
			f := providerFile(t, "Wiki", spMetadata(wikiID, "", encryptionKey(""), acs("HTTP-POST", wikiACS, 0, "")))
			f.Encrypt = choice
			p := newTestIdP(t, f)
			for length := range 17 { // every length of padding
				document := decoded(t, respondTo(t, p, strings.Repeat("x", length)))
				if length > 1 && choice != EncryptAES128CBC {
					continue
				}
				checkEncrypted(t, document, strings.Repeat("x", length))
			}
		})
	}
}

// respondTo is a Response for the wiki with one attribute.
func respondTo(t testing.TB, p *IdP, value string) Response {
	t.Helper()
	r, err := p.Respond(t.Context(), Assertion{Recipient: wikiACS, Audience: wikiID, NameID: NameID{Value: "_alice"},
		AuthnInstant: noon, Attributes: []Attribute{{Name: "urn:x", Values: []string{"secret word " + value}}}, Sign: SignBoth})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func checkEncrypted(t *testing.T, document []byte, value string) {
	t.Helper()
	if bytes.Contains(document, []byte("secret word")) || bytes.Contains(document, []byte("_alice")) {
		t.Fatalf("it can be read by anybody:\n%s", document)
	}
	if err := validAgainst(t, document, "saml-schema-protocol-2.0.xsd"); err != nil {
		t.Error(err)
	}
	if err := xmlsec1(t, document, testKey().Certificate, "Response"); err != nil {
		t.Error(err)
	}
	plain := decrypt(t, document)
	if !bytes.Contains(plain, []byte(">secret word "+value+"<")) {
		t.Fatalf("decrypted, it says\n%s", plain)
	}
	// What was inside stands alone, signature and all.
	assertion := regexp.MustCompile(`(?s)<saml:Assertion .*</saml:Assertion>`).Find(plain)
	if err := validAgainst(t, assertion, "saml-schema-assertion-2.0.xsd"); err != nil {
		t.Error(err)
	}
	if err := xmlsec1(t, assertion, testKey().Certificate, "Assertion"); err != nil {
		t.Error(err)
	}
}

// decrypt has xmlsec1 decrypt document with the wiki's key.
func decrypt(t *testing.T, document []byte) []byte {
	t.Helper()
	program := outside.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key.pem"), filepath.Join(dir, "message.xml")
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: wikiKey().PrivateKey}))
	write(t, file, document)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--decrypt", "--privkey-pem", key, file)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xmlsec1 does not decrypt it: %v: %s\n%.2000s", err, &said, document)
	}
	return out
}

func TestEveryEncryptionHasAKeyOfItsOwn(t *testing.T) {
	for choice, size := range map[Encrypt]struct{ key, nonce int }{
		EncryptAES128GCM: {16, 12}, EncryptAES256GCM: {32, 12}, EncryptAES128CBC: {16, 16}, EncryptAES256CBC: {32, 16},
	} {
		f := providerFile(t, "Wiki", spMetadata(wikiID, "", encryptionKey(""), acs("HTTP-POST", wikiACS, 0, "")))
		f.Encrypt = choice
		p := newTestIdP(t, f)
		keys, nonces := map[string]bool{}, map[string]bool{}
		for range 20 {
			key, sealed := contentKey(t, decoded(t, respondTo(t, p, "")))
			if len(key) != size.key || keys[string(key)] || nonces[string(sealed[:size.nonce])] {
				t.Fatalf("%s: a key of %d bytes, or a key or a nonce that came before", choice, len(key))
			}
			keys[string(key)], nonces[string(sealed[:size.nonce])] = true, true
		}
	}
}

// contentKey opens the key that an assertion is encrypted with, which its
// provider alone can, and returns it with what is encrypted.
func contentKey(t *testing.T, document []byte) (key, sealed []byte) {
	t.Helper()
	found := regexp.MustCompile(`<xenc:CipherValue>([^<]+)<`).FindAllSubmatch(document, -1)
	if len(found) != 2 {
		t.Fatalf("%d values, want a key and a text:\n%s", len(found), document)
	}
	var values [2][]byte
	for i, f := range found {
		var err error
		if values[i], err = base64.StdEncoding.DecodeString(string(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	key, err := rsa.DecryptOAEP(sha1.New(), nil, privateKey(t, wikiKey()), values[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	return key, values[1]
}

func TestOneKeyInTheMetadataIsEnoughToBeEncryptedTo(t *testing.T) {
	p := idpWithProviders(t) // the wiki's second key has no use
	if document := decoded(t, respondTo(t, p, "")); bytes.Contains(document, []byte("secret word")) {
		t.Errorf("not encrypted:\n%s", document)
	}
	refusal, err := p.Refuse(t.Context(), Request{ID: "_r", Provider: wikiID, ACS: wikiACS}, Status{Code: StatusResponder})
	if err != nil || bytes.Contains(decoded(t, refusal), []byte("Encrypted")) {
		t.Errorf("a refusal has nothing to encrypt: %v", err)
	}
}
