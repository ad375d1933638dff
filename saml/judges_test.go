package saml

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"gatehouse"
	"gatehouse/internal/outside"
)

// xmlsec1 verifies every signature of the kind that names node's parent, with
// the certificate of our own metadata, and returns what it says.
func xmlsec1(t *testing.T, document []byte, certificate []byte, node string) error {
	t.Helper()
	program := outside.Program(t, "xmlsec1", "xmlsec1")
	dir := t.TempDir()
	key := filepath.Join(dir, "idp.pem")
	file := filepath.Join(dir, "message.xml")
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	write(t, file, document)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--verify", "--enabled-key-data", "rsa,ec",
		"--id-attr:ID", namespaces[nsMD].uri+":EntityDescriptor",
		"--id-attr:ID", namespaces[nsSAML].uri+":Assertion",
		"--id-attr:ID", namespaces[nsSAMLP].uri+":AuthnRequest",
		"--id-attr:ID", namespaces[nsSAMLP].uri+":Response",
		"--id-attr:ID", namespaces[nsSAMLP].uri+":LogoutRequest",
		"--id-attr:ID", namespaces[nsSAMLP].uri+":LogoutResponse",
		"--node-xpath", "//*[local-name()='"+node+"']/*[local-name()='Signature']",
		"--pubkey-cert-pem", key, file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("xmlsec1: %w: %s", err, out)
	}
	return nil
}

// validAgainst asks xmllint whether document is valid by one of the OASIS
// schemas, which Debian ships; catalogs keep it offline.
func validAgainst(t *testing.T, document []byte, schema string) error {
	t.Helper()
	program := outside.Program(t, "xmllint", "libxml2-utils")
	const schemas = "/usr/share/xml/opensaml/"
	if _, err := os.Stat(schemas + schema); err != nil {
		outside.Missing(t, schema+" (Debian package opensaml-schemas)")
	}
	for _, name := range []string{"xmldsig-core-schema.xsd", "soap-envelope.xsd"} {
		if _, err := os.Stat("/usr/share/xml/xmltooling/" + name); err != nil {
			outside.Missing(t, name+" (Debian package xmltooling-schemas)")
		}
	}
	dir := t.TempDir()
	catalog := filepath.Join(dir, "catalog.xml")
	file := filepath.Join(dir, "message.xml")
	write(t, catalog, []byte(schemaCatalog))
	write(t, file, document)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--nonet", "--noout", "--schema", schemas+schema, file)
	cmd.Env = append(os.Environ(), "XML_CATALOG_FILES="+catalog)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("xmllint: %w: %s", err, out)
	}
	return nil
}

// schemaCatalog leads from the addresses that the OASIS schemas import to the
// files of Debian's xmltooling-schemas.
const schemaCatalog = `<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">
<system systemId="http://www.w3.org/TR/2002/REC-xmldsig-core-20020212/xmldsig-core-schema.xsd" uri="file:///usr/share/xml/xmltooling/xmldsig-core-schema.xsd"/>
<system systemId="http://www.w3.org/TR/2002/REC-xmlenc-core-20021210/xenc-schema.xsd" uri="file:///usr/share/xml/xmltooling/xenc-schema.xsd"/>
<system systemId="http://www.w3.org/2001/xml.xsd" uri="file:///usr/share/xml/xmltooling/xml.xsd"/>
<system systemId="http://schemas.xmlsoap.org/soap/envelope/" uri="file:///usr/share/xml/xmltooling/soap-envelope.xsd"/>
<uri name="http://www.w3.org/TR/2002/REC-xmldsig-core-20020212/xmldsig-core-schema.xsd" uri="file:///usr/share/xml/xmltooling/xmldsig-core-schema.xsd"/>
<uri name="http://www.w3.org/TR/2002/REC-xmlenc-core-20021210/xenc-schema.xsd" uri="file:///usr/share/xml/xmltooling/xenc-schema.xsd"/>
<uri name="http://www.w3.org/2001/xml.xsd" uri="file:///usr/share/xml/xmltooling/xml.xsd"/>
<uri name="http://schemas.xmlsoap.org/soap/envelope/" uri="file:///usr/share/xml/xmltooling/soap-envelope.xsd"/>
</catalog>`

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// goxmldsig verifies the signature of the Response, or of the Assertion in it.
func goxmldsig(document []byte, key gatehouse.SigningKey, node string, t *testing.T) error {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(document); err != nil {
		return err
	}
	el := doc.Root()
	if node == "Assertion" {
		if el = el.FindElement("./Assertion"); el == nil {
			return fmt.Errorf("no assertion")
		}
		el = el.Copy() // exclusive form needs nothing from around it
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: oneCertificate(t, key)})
	ctx.Clock = dsig.NewFakeClockAt(noon)
	_, err := ctx.Validate(el)
	return err
}

// asProvider lets crewjam's service provider read a Response, at noon.
func asProvider(t *testing.T, p *IdP, document []byte, acs, audience string, requests ...string) (*crewjam.Assertion, error) {
	t.Helper()
	sp := testServiceProvider(t, p, acs, audience)
	a, err := sp.ParseXMLResponse(document, requests, sp.AcsURL)
	if invalid, ok := err.(*crewjam.InvalidResponseError); ok {
		err = invalid.PrivateErr
	}
	return a, err
}

// replaced changes the one place where old is in document, keeping the length.
func replaced(t *testing.T, document []byte, old, changed string) []byte {
	t.Helper()
	if n := bytes.Count(document, []byte(old)); n == 0 || len(old) != len(changed) {
		t.Fatalf("%q occurs %d times", old, n)
	}
	return bytes.Replace(document, []byte(old), []byte(changed), 1)
}
