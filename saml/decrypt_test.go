package saml

import (
	"context"
	"crypto"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
)

// encryptXMLSec has xmlsec1 encrypt an element to k.
func encryptXMLSec(t *testing.T, plain string, k gatehouse.SigningKey, content, session, transport string) string {
	t.Helper()
	program := outside.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	template, data, cert := filepath.Join(dir, "template.xml"), filepath.Join(dir, "data.xml"), filepath.Join(dir, "cert.pem")
	value := `<xenc:CipherData><xenc:CipherValue/></xenc:CipherData>`
	write(t, template, []byte(`<xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" Type="`+typeElement+`"><xenc:EncryptionMethod Algorithm="`+content+`"/>`+
		`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>`+transport+`<ds:KeyInfo><ds:X509Data/></ds:KeyInfo>`+value+`</xenc:EncryptedKey></ds:KeyInfo>`+value+`</xenc:EncryptedData>`))
	write(t, data, []byte(plain))
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--encrypt", "--session-key", session, "--pubkey-cert-pem", cert, "--xml-data", data, template).CombinedOutput()
	if err != nil {
		t.Fatalf("xmlsec1: %v\n%s", err, out)
	}
	return strings.TrimPrefix(string(out), `<?xml version="1.0"?>`)
}

const (
	gcm128    = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
	gcm256    = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	cbc128    = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	plainName = `<saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Format="` + NameIDPersistent + `">_alice</saml:NameID>`
)

func transport(algorithm string) string {
	return `<xenc:EncryptionMethod Algorithm="` + algorithm + `"/>`
}

// idpThatDecrypts is idpForLogout with names that may be encrypted.
func idpThatDecrypts(t testing.TB, keys ...gatehouse.SigningKey) *IdP {
	t.Helper()
	p := idpForLogout(t)
	p.cfg.EncryptedNames = true
	if err := p.SetKeys(append(keys, testKey())); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNamesInLogoutRequestsMayBeEncrypted(t *testing.T) {
	next := mustKey(noon.Add(time.Hour))
	next.State = gatehouse.KeyNext
	p := idpThatDecrypts(t, next)
	encrypt := func(plain, content, session, by string) string {
		return encryptXMLSec(t, plain, testKey(), content, session, transport(by))
	}
	good := encrypt(plainName, gcm128, "aes-128", algOAEP)
	for _, tt := range []struct {
		name, encrypted string
		ok              bool
	}{
		{"by AES-128-GCM", good, true},
		{"by AES-256-GCM", encrypt(plainName, gcm256, "aes-256", algOAEP), true},
		{"to a key that is published and does not sign", encryptXMLSec(t, plainName, next, gcm128, "aes-128", transport(algOAEP)), true},
		{"with the digest named", encryptXMLSec(t, plainName, testKey(), gcm128, "aes-128", strings.Replace(transport(algOAEP), "/>", `><ds:DigestMethod Algorithm="`+algSHA1+`"/></xenc:EncryptionMethod>`, 1)), true},
		{"to another's key", encryptXMLSec(t, plainName, wikiKey(), gcm128, "aes-128", transport(algOAEP)), false},
		{"by CBC", encrypt(plainName, cbc128, "aes-128", algOAEP), false},
		{"by PKCS #1 v1.5", encrypt(plainName, gcm128, "aes-128", algRSA15), false},
		{"a key of another length than it says", strings.Replace(good, "aes128-gcm", "aes256-gcm", 1), false},
		{"altered", strings.Replace(good, "<xenc:CipherValue>", "<xenc:CipherValue>AAAA", 2), false},
		{"not base64", strings.Replace(good, "<xenc:CipherValue>", "<xenc:CipherValue>!", 2), false},
		{"something else than a name", encrypt(strings.ReplaceAll(plainName, "NameID", "Issuer"), gcm128, "aes-128", algOAEP), false},
		{"a name with an element within", encrypt(strings.Replace(plainName, "_alice", "<x/>_alice", 1), gcm128, "aes-128", algOAEP), false},
		{"a name made for another provider", encrypt(strings.Replace(plainName, "Format", `SPNameQualifier="`+vaultID+`" Format`, 1), gcm128, "aes-128", algOAEP), false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			document := logoutRequest(logoutName, "<saml:EncryptedID>"+tt.encrypted+"</saml:EncryptedID>")
			r, _, err := p.ParseLogoutPost(postForm(signEnveloped(t, document, wikiKey(), algRSASHA256)))
			var told *LogoutError
			if tt.ok && (err != nil || r.NameID != NameID{Format: NameIDPersistent, Value: "_alice"}) {
				t.Errorf("%+v, %v", r, err)
			}
			if !tt.ok && (r != nil || !errors.As(err, &told)) {
				t.Errorf("%+v, %v; want a refusal that the sender is told", r, err)
			}
		})
	}
}

func TestAKeyForEncryptionIsPublishedWhereNamesMayBeEncrypted(t *testing.T) {
	document := idpThatDecrypts(t).Metadata()
	if err := validAgainst(t, document, "saml-schema-metadata-2.0.xsd"); err != nil {
		t.Error(err)
	}
	for _, want := range []string{`use="encryption"`, gcm128, gcm256, algOAEP} {
		if !strings.Contains(string(document), want) || strings.Contains(string(idpForLogout(t).Metadata()), want) {
			t.Errorf("%s must be there exactly when names may be encrypted", want)
		}
	}
	p := idpForLogout(t)
	encrypted := encryptXMLSec(t, plainName, testKey(), gcm128, "aes-128", transport(algOAEP))
	document = []byte(logoutRequest(logoutName, "<saml:EncryptedID>"+encrypted+"</saml:EncryptedID>"))
	if r, _, err := p.ParseLogoutPost(postForm(signEnveloped(t, string(document), wikiKey(), algRSASHA256))); err == nil {
		t.Errorf("decrypted without being asked to: %+v", r)
	}
}

// Whatever a provider sends as an encrypted name, we neither panic nor find a
// name where none is; and what was not decrypted with a tag is not believed.
func FuzzEncryptedID(f *testing.F) {
	key := privateKey(f, federation())
	var w canonical
	to := &recipient{key: &key.PublicKey, cipher: contentCiphers[0]}
	if err := w.encrypted([]byte(plainName), to); err != nil {
		f.Fatal(err)
	}
	f.Add(string(w.buf))
	f.Add(strings.Replace(string(w.buf), algOAEP, algOAEP11, 1))
	f.Add(`<saml:EncryptedID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`)
	f.Fuzz(func(t *testing.T, document string) {
		var e encryptedID
		if xml.Unmarshal([]byte(document), &e) != nil {
			return
		}
		if plain, err := e.decrypt([]crypto.Decrypter{key}); err == nil && string(plain) != plainName {
			t.Errorf("decrypted to %q", plain)
		}
	})
}

func FuzzReadName(f *testing.F) {
	f.Add(plainName)
	f.Add(`<saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><!-- -->x</saml:NameID>`)
	f.Fuzz(func(t *testing.T, document string) {
		n, err := readName([]byte(document))
		if err != nil {
			return
		}
		var w canonical
		w.leaf(samlNameID, n.Value, attribute{name: "Format", value: n.Format}, attribute{name: "NameQualifier", value: n.NameQualifier}, attribute{name: "SPNameQualifier", value: n.SPNameQualifier})
		if again, err := readName(w.buf); w.err == nil && (err != nil || *again != *n) {
			t.Errorf("%+v, once written, reads %+v, %v", n, again, err)
		}
	})
}
