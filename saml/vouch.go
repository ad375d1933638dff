package saml

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/beevik/etree"
)

// vouched is what the signature of a provider's metadata covers, if the key
// of a certificate in that file made it (saml-metadata §3). Only the key
// counts, as for requests: neither the dates nor the issuer of its
// certificate, nor what the document itself says of it.
func vouched(document []byte, certFile string) ([]byte, error) {
	signers, err := readCertificates(certFile)
	if err != nil {
		return nil, err
	}
	return vouchedBy(document, signers, certFile)
}

func vouchedBy(document []byte, signers []*x509.Certificate, certFile string) ([]byte, error) {
	// What parsers disagree about is refused before one looks for the signature.
	if err := scan(document, strictness{comments: true}); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(document); err != nil {
		return nil, fmt.Errorf("not well-formed: %w", err)
	}
	id := doc.Root().SelectAttrValue("ID", "")
	if id == "" || only(doc.Root(), "Signature") == nil {
		return nil, fmt.Errorf("it is not signed, and %s says that it must be", certFile)
	}
	verified, err := verifyEnveloped(document, id, signers, certFile)
	if err != nil {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	return verified, nil
}

// readCertificates reads a file of certificates, as PEM.
func readCertificates(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for _, block := range blocks(text) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, cert)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: %w", file, errors.New("want a CERTIFICATE, as PEM"))
	}
	return list, nil
}
