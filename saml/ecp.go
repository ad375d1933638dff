package saml

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"

	"github.com/beevik/etree"

	"gatehouse"
)

// The namespaces of an envelope, and the actor that its headers are for.
const (
	soapURI  = "http://schemas.xmlsoap.org/soap/envelope/"
	soapNext = "http://schemas.xmlsoap.org/soap/actor/next"
)

// ParseECP reads an AuthnRequest that a program brought in a SOAP envelope
// (saml-profiles §4.2). Signature, freshness and demands are judged as for
// ParsePost; the answer goes to a PAOS service of the provider's. A request in
// AWS's name is unsigned and says nothing of where the answer goes: whoever
// takes it must choose a role first. Errors are
// those of ParseRedirect; with a *StatusError, IdP.Refuse makes the answer.
func (p *IdP) ParseECP(envelope []byte) (Request, error) {
	document, err := unwrapped(envelope)
	if err != nil {
		return Request{}, unreadable(err)
	}
	m, err := readAuthnRequest(document)
	if err != nil {
		return Request{}, unreadable(err)
	}
	sp, err := p.sender(m)
	if err != nil {
		return Request{}, err
	}
	signed := m.signed
	if signed {
		if m, err = verifyAuthnRequest(document, m, sp); err != nil {
			return Request{}, badSignature(err)
		}
	}
	// The provider does not know where the program will take it, so that it
	// need not say; if it does, it must be right.
	if m.Destination != "" && m.Destination != p.endpoints.ECP {
		return Request{}, elsewhere(m.Destination)
	}
	return p.accept(m, sp, signed, Request{ECP: true})
}

// unwrapped takes the one message out of a SOAP 1.1 envelope, with the
// namespaces that are declared around it. Headers are the client's business.
func unwrapped(envelope []byte) ([]byte, error) {
	if len(envelope) > maxDocument {
		return nil, errTooLarge
	}
	var e enveloped
	if err := scan(envelope, strictness{element: e.element}); err != nil {
		return nil, err
	}
	if e.messages != 1 {
		return nil, fmt.Errorf("the envelope has %d messages in its body", e.messages)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(envelope); err != nil {
		return nil, fmt.Errorf("not well-formed: %w", err)
	}
	for _, part := range doc.Root().ChildElements() {
		if part.Tag == "Body" {
			return standalone(part.ChildElements()[0])
		}
	}
	return nil, errors.New("the envelope has no body")
}

// enveloped holds a document to the outline of an envelope (SOAP 1.1 §4).
type enveloped struct {
	parts    []string // children of the root
	messages int      // children of the body
}

func (s *enveloped) element(path []xml.Name, e xml.StartElement) error {
	switch len(path) {
	case 1:
		if e.Name != (xml.Name{Space: soapURI, Local: "Envelope"}) {
			return fmt.Errorf("it is a %s, not a SOAP envelope", e.Name.Local)
		}
	case 2:
		s.parts = append(s.parts, e.Name.Local)
		first := len(s.parts) == 1 && e.Name.Local == "Header"
		body := len(s.parts) <= 2 && e.Name.Local == "Body" && (len(s.parts) == 1 || s.parts[0] == "Header")
		if e.Name.Space != soapURI || !(first || body) {
			return fmt.Errorf("an envelope has no %s there", e.Name.Local)
		}
	case 3:
		if path[1].Local == "Body" {
			s.messages++
		}
	}
	return nil
}

// standalone is el as a document of its own. Declarations that it inherits
// are added: exclusive canonicalization, and so a signature, does not see them.
func standalone(el *etree.Element) ([]byte, error) {
	own := el.Copy()
	for up := el.Parent(); up != nil; up = up.Parent() {
		for _, a := range up.Attr {
			declares := a.Space == "xmlns" || (a.Space == "" && a.Key == "xmlns")
			if declares && own.SelectAttr(a.FullKey()) == nil {
				own.CreateAttr(a.FullKey(), a.Value)
			}
		}
	}
	return etree.NewDocumentWithRoot(own).WriteToBytes()
}

var (
	soapEnvelope = element{nsSOAP, "Envelope"}
	soapHeader   = element{nsSOAP, "Header"}
	soapBody     = element{nsSOAP, "Body"}
	soapFault    = element{nsSOAP, "Fault"}
	ecpResponse  = element{nsECP, "Response"}
)

// Envelope wraps a signed Response for the program that asked for it
// (saml-profiles §4.2.4.2). The program compares the address with the one that
// the provider gave it, and takes the Response there.
func (p *IdP) Envelope(acs string, response gatehouse.Secret) ([]byte, error) {
	document, err := base64.StdEncoding.DecodeString(string(response))
	if err != nil {
		return nil, fmt.Errorf("saml: response is not base64: %w", err)
	}
	var w canonical
	w.open(soapEnvelope)
	w.open(soapHeader)
	w.leaf(ecpResponse, "",
		attribute{name: "AssertionConsumerServiceURL", value: acs},
		attribute{name: "S:actor", value: soapNext},
		attribute{name: "S:mustUnderstand", value: "1"})
	w.close()
	w.open(soapBody)
	w.buf = append(w.buf, document...) // made by the same writer; its signature covers these bytes
	w.close()
	w.close()
	return w.buf, w.err
}

// Fault is the envelope that says that a request was not understood, or that
// whoever sent it may not know why (SOAP 1.1 §4.4).
func (p *IdP) Fault() []byte {
	var w canonical
	w.open(soapEnvelope)
	w.open(soapBody)
	w.open(soapFault)
	w.bare("faultcode", "S:Client")
	w.bare("faultstring", "The request was not accepted.")
	w.close()
	w.close()
	w.close()
	return w.buf
}

// bare writes a leaf without a namespace, as the children of a Fault are.
func (w *canonical) bare(name, text string) {
	w.buf = append(w.buf, '<')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '>')
	w.text(text)
	w.buf = append(w.buf, "</"...)
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '>')
}
