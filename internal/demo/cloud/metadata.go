package cloud

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// metadata is what IAM keeps of an uploaded document: entity ID -> keys. Up
// to ten identity providers may share one (IAM quotas).
type metadata struct {
	keys map[string][]*x509.Certificate
}

// IAM's own texts (IAM User Guide, "Troubleshoot SAML federation").
var (
	//lint:ignore ST1005 AWS's text, as it is
	errCouldNotParse = errors.New("Could not parse metadata.")
	//lint:ignore ST1005 AWS's text, as it is
	errUnableToParse  = errors.New("Unable to parse metadata")
	errMetadataLength = errors.New("metadata must have 1000 to 10000000 characters")
)

type xmlEntities struct {
	Entities []xmlEntity `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntityDescriptor"`
}

type xmlEntity struct {
	EntityID string   `xml:"entityID,attr"`
	IdP      []xmlIdP `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
}

type xmlIdP struct {
	Keys []struct {
		Use   string   `xml:"use,attr"`
		Certs []string `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data>X509Certificate"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
}

// parseMetadata reads a document as IAM does at upload: size, UTF-8 without a
// byte order mark, certificates of at least 1024 bits without a repeated
// extension, at most ten keys. Dates in it are not looked at: IAM does not.
func parseMetadata(raw []byte) (*metadata, error) {
	if n := utf8.RuneCount(raw); n < 1000 || n > 10_000_000 {
		return nil, errMetadataLength
	}
	if !utf8.Valid(raw) || bytes.HasPrefix(raw, []byte("\ufeff")) {
		return nil, errCouldNotParse
	}
	if err := wellFormed(raw, maxMetadataElements); err != nil {
		return nil, fmt.Errorf("%w: %w", errCouldNotParse, err)
	}
	entities, err := readEntities(raw)
	if err != nil {
		return nil, err
	}
	m := &metadata{keys: map[string][]*x509.Certificate{}}
	total := 0
	for _, e := range entities {
		certs, err := e.certificates()
		if err != nil {
			return nil, err
		}
		total += len(certs)
		if len(e.IdP) > 0 {
			m.keys[e.EntityID] = certs
		}
	}
	if len(m.keys) == 0 || len(m.keys) > 10 || total == 0 || total > 10 {
		return nil, fmt.Errorf("%w: %d identity providers with %d keys, want 1 to 10 of each", errUnableToParse, len(m.keys), total)
	}
	return m, nil
}

func readEntities(raw []byte) ([]xmlEntity, error) {
	var root struct {
		XMLName xml.Name
		xmlEntity
		xmlEntities
	}
	if err := xml.Unmarshal(raw, &root); err != nil {
		return nil, fmt.Errorf("%w: %w", errCouldNotParse, err)
	}
	if root.XMLName.Space != nsMetadata {
		return nil, fmt.Errorf("%w: not SAML 2.0 metadata", errCouldNotParse)
	}
	switch root.XMLName.Local {
	case "EntityDescriptor":
		return []xmlEntity{root.xmlEntity}, nil
	case "EntitiesDescriptor":
		return root.Entities, nil
	}
	return nil, fmt.Errorf("%w: root element is %s", errCouldNotParse, root.XMLName.Local)
}

// certificates are the entity's signing keys: of use signing or of no use
// (saml-metadata §2.4.1.1).
func (e xmlEntity) certificates() ([]*x509.Certificate, error) {
	if len(e.IdP) > 0 && e.EntityID == "" {
		return nil, fmt.Errorf("%w: no entityID", errUnableToParse)
	}
	var certs []*x509.Certificate
	for _, idp := range e.IdP {
		for _, key := range idp.Keys {
			if key.Use == "encryption" {
				continue
			}
			for _, text := range key.Certs {
				cert, err := parseCertificate(text)
				if err != nil {
					return nil, err
				}
				certs = append(certs, cert)
			}
		}
	}
	return certs, nil
}

func parseCertificate(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", errUnableToParse, err)
	}
	// A repeated extension is refused by the parser itself.
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnableToParse, err)
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 1024 {
		return nil, fmt.Errorf("%w: a key of %d bits", errUnableToParse, key.N.BitLen())
	}
	return cert, nil
}
