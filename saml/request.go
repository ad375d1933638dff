package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	crewjam "github.com/crewjam/saml"

	"gatehouse"
)

// Limits on requests. Real ones are under 10 KiB.
const (
	maxForm       = 256 << 10 // the whole query or form
	maxEncoded    = 64 << 10  // SAMLRequest, in base64
	maxDocument   = 128 << 10 // SAMLRequest, inflated
	maxRelayState = 16 << 10  // returned whole or refused, never cut
)

// requestSkew is how far the clocks of provider and identity provider may be
// apart, either way (SDP-G01: three to five minutes).
const requestSkew = 5 * time.Minute

// Request is a service provider's AuthnRequest that was found good: sender,
// signature, freshness and destination were checked, and ACS is one of the
// provider's own. It holds no secret and can be parked as JSON.
type Request struct {
	ID         string `json:"id"`
	Provider   string `json:"provider"`              // entity ID
	ACS        string `json:"acs"`                   // where the answer goes
	RelayState string `json:"relay_state,omitempty"` // to be given back byte for byte
	ForceAuthn bool   `json:"force_authn,omitempty"` // the person must prove again who they are
	IsPassive  bool   `json:"is_passive,omitempty"`  // nothing may be shown to the person

	Until time.Time `json:"until,omitzero"` // when it will be too old to be taken

	ECP bool `json:"ecp,omitempty"` // a program brought it, and takes the answer to a PAOS service

	NameIDFormat string   `json:"name_id_format,omitempty"` // demanded; empty: ours to choose
	Subject      NameID   `json:"subject,omitzero"`         // the person it must be about; empty: whoever signs in
	Contexts     []string `json:"contexts,omitempty"`       // classes of sign-in that will do; empty: any
}

// ParseRedirect reads an AuthnRequest that came by the HTTP-Redirect binding
// (saml-bindings §3.4). rawQuery is the query as it was received: a signature
// covers its very octets.
//
// Every refusal is an ErrInvalid with words for the person. A *StatusError is
// one that the provider can be told of; see IdP.Refuse.
func (p *IdP) ParseRedirect(rawQuery string) (Request, error) {
	params, err := readParameters(rawQuery)
	if err != nil {
		return Request{}, unreadable(err)
	}
	document, err := params.inflated(samlRequest)
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
	signed, err := verifyRedirect(params, samlRequest, sp, m.signed)
	if err != nil {
		return Request{}, badSignature(err)
	}
	return p.acceptForm(m, sp, signed, params)
}

// ParsePost reads an AuthnRequest that came by the HTTP-POST binding
// (saml-bindings §3.5). form is the body as it was received. Errors are those
// of ParseRedirect.
func (p *IdP) ParsePost(form string) (Request, error) {
	params, err := readParameters(form)
	if err != nil {
		return Request{}, unreadable(err)
	}
	document, err := params.decoded(samlRequest)
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
	if params.has("Signature") || params.has("SigAlg") {
		return Request{}, badSignature(errors.New("a posted request has the signature of a redirected one"))
	}
	if signed := m.signed; signed {
		if m, err = verifyAuthnRequest(document, m, sp); err != nil {
			return Request{}, badSignature(err)
		}
		return p.acceptForm(m, sp, true, params)
	}
	return p.acceptForm(m, sp, false, params)
}

// Unsolicited is what a person asks for who begins here: to be sent to that
// provider, with relayState (saml-profiles §4.1.5). Errors are those of
// ParseRedirect.
func (p *IdP) Unsolicited(entityID, relayState string) (Request, error) {
	sp, err := p.sender(&authnRequest{issuer: entityID})
	if err != nil {
		return Request{}, err
	}
	if err := checkRelayState(relayState); err != nil {
		return Request{}, unreadable(err)
	}
	return Request{Provider: sp.EntityID, ACS: sp.ACS, RelayState: relayState}, nil
}

// acceptForm is accept for what a browser brought by its query or a form.
func (p *IdP) acceptForm(m *authnRequest, sp Provider, signed bool, params parameters) (Request, error) {
	if m.Destination != p.endpoints.SSO && (m.Destination != "" || signed) {
		return Request{}, elsewhere(m.Destination)
	}
	relayState, err := params.relayState()
	if err != nil {
		return Request{}, unreadable(err)
	}
	return p.accept(m, sp, signed, Request{RelayState: relayState})
}

func elsewhere(destination string) error {
	return refused(fmt.Errorf("destination %q", destination), "Destination", "The sign-in request was meant for another place.")
}

// accept makes the checks that all bindings share, and fills in r. m is what
// the signature covered, where there is one.
func (p *IdP) accept(m *authnRequest, sp Provider, signed bool, r Request) (Request, error) {
	if sp.SignedRequests && !signed {
		return Request{}, badSignature(fmt.Errorf("%s signs its requests, and this one is not signed", sp.EntityID))
	}
	if age := p.now().Sub(m.IssueInstant); age > requestSkew || age < -requestSkew {
		return Request{}, refused(fmt.Errorf("issued at %s", m.IssueInstant.UTC().Format(time.RFC3339)), "IssueInstant",
			"The sign-in request is too old, or the application's clock is wrong. Start again from the application.")
	}
	r.ID, r.Provider, r.Until = m.ID, sp.EntityID, m.IssueInstant.Add(requestSkew).UTC()
	r.ForceAuthn, r.IsPassive = m.ForceAuthn != nil && *m.ForceAuthn, m.IsPassive != nil && *m.IsPassive
	if sp.AWS {
		return r, nil // a role must be chosen first; the request has no say in where it leads
	}
	var err error
	if r.ACS, err = m.chooseACS(sp, r.ECP); err != nil {
		return Request{}, refused(err, "AssertionConsumerService",
			"The application asks for an answer at a place that is not registered for it.")
	}
	return m.demands(r, sp)
}

func (m *authnRequest) chooseACS(sp Provider, ecp bool) (string, error) {
	binding := bindingPost
	if ecp {
		binding = bindingPAOS
	}
	if m.ProtocolBinding != "" && m.ProtocolBinding != binding {
		return "", fmt.Errorf("it wants the answer by %q; here it goes by %s", m.ProtocolBinding, binding)
	}
	if m.ProtocolBinding != "" && m.AssertionConsumerServiceIndex != "" {
		return "", errors.New("it names both an index and a binding") // saml-core §3.4.1
	}
	return chooseACS(sp.services(ecp), m.AssertionConsumerServiceURL, m.AssertionConsumerServiceIndex)
}

// sender finds the registered provider that m claims to come from.
func (p *IdP) sender(m *authnRequest) (Provider, error) {
	sp, ok := p.Provider(m.issuer)
	if !ok {
		return Provider{}, refused(fmt.Errorf("issuer %q", m.issuer), "Issuer",
			"The application that sent you here is not registered with this identity provider.")
	}
	return sp, nil
}

// unreadable, badSignature and refused make an error for two readers: cause
// is for the log, and may quote the request; why is for the person, and does not.
func unreadable(cause error) error {
	return refused(cause, "SAMLRequest", "The application sent a sign-in request that cannot be read.")
}

func badSignature(cause error) error {
	return refused(cause, "Signature", "The sign-in request does not carry a good signature of the application.")
}

func refused(cause error, field, why string) error {
	return fmt.Errorf("saml: request: %w: %w", brief{cause}, &gatehouse.Invalid{Field: field, Why: why})
}

// brief is an error whose text is cut: a few hundred bytes from anybody, once
// inflated, must not become megabytes of log.
type brief struct{ error }

const longestCause = 300

func (b brief) Error() string {
	text := b.error.Error()
	if len(text) > longestCause {
		return strings.ToValidUTF8(text[:longestCause], "") + "…"
	}
	return text
}

func (b brief) Unwrap() error { return b.error }

// parameters are those of a query or form that SAML defines, as received.
type parameters map[string]string

// The parameters that hold a message.
const (
	samlRequest  = "SAMLRequest"
	samlResponse = "SAMLResponse"
)

var parameterNames = []string{samlRequest, samlResponse, "RelayState", "SigAlg", "Signature", "SAMLEncoding"}

// readParameters refuses a parameter that is there twice, in whatever
// spelling: which one counts would depend on who reads.
func readParameters(raw string) (parameters, error) {
	if len(raw) > maxForm {
		return nil, errTooLarge
	}
	params := parameters{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, errors.New("a parameter's name is not encoded well")
		}
		if !slices.Contains(parameterNames, name) {
			continue
		}
		if params.has(name) {
			return nil, fmt.Errorf("two parameters are named %s", name)
		}
		params[name] = value
	}
	return params, nil
}

func (p parameters) has(name string) bool { _, ok := p[name]; return ok }

func (p parameters) value(name string) (string, error) {
	v, err := url.QueryUnescape(p[name])
	if err != nil {
		return "", fmt.Errorf("%s is not encoded well", name)
	}
	return v, nil
}

// relayState is what must be given back byte for byte.
func (p parameters) relayState() (string, error) {
	v, err := p.value("RelayState")
	if err != nil {
		return "", err
	}
	return v, checkRelayState(v)
}

// checkRelayState refuses what a form field cannot carry unchanged (HTML
// normalises line ends); nothing is altered or cut.
func checkRelayState(v string) error {
	if len(v) > maxRelayState {
		return fmt.Errorf("RelayState: %w", errTooLarge)
	}
	if !utf8.ValidString(v) || strings.ContainsAny(v, "\x00\r\n") {
		return errors.New("RelayState has bytes that a form cannot carry")
	}
	return nil
}

// decoded is the message of that name out of its base64.
func (p parameters) decoded(name string) ([]byte, error) {
	if p.has(samlRequest) && p.has(samlResponse) {
		return nil, errors.New("it is both a request and a response")
	}
	encoded, err := p.value(name)
	if err != nil {
		return nil, err
	}
	if encoded == "" {
		return nil, fmt.Errorf("there is no %s", name)
	}
	if len(encoded) > maxEncoded {
		return nil, errTooLarge
	}
	document, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("%s is not base64: %w", name, err)
	}
	return document, nil
}

// deflate is the one encoding of the Redirect binding (saml-bindings §3.4.4.1).
const deflate = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"

// inflaters are used again and again: each has 40 KiB of its own, more than
// all else that a request takes.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflated is the message of that name out of base64 and DEFLATE. What it may
// grow to is limited while it grows (CVE-2023-28119), and nothing may follow it.
func (p parameters) inflated(name string) ([]byte, error) {
	if encoding, err := p.value("SAMLEncoding"); err != nil || (encoding != "" && encoding != deflate) {
		return nil, errors.New("SAMLEncoding is unknown")
	}
	compressed, err := p.decoded(name)
	if err != nil {
		return nil, err
	}
	source := bytes.NewReader(compressed)
	inflater := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(inflater)
	if err := inflater.(flate.Resetter).Reset(source, nil); err != nil {
		return nil, fmt.Errorf("%s does not inflate: %w", name, err)
	}
	document, err := io.ReadAll(&limited{inflater, maxDocument})
	if err != nil {
		return nil, fmt.Errorf("%s does not inflate: %w", name, err)
	}
	if source.Len() > 0 {
		return nil, fmt.Errorf("something follows the deflated %s", name)
	}
	return document, nil
}

// authnRequest is an AuthnRequest as it was read, before anything in it is
// believed.
type authnRequest struct {
	crewjam.AuthnRequest
	issuer  string            // without the space around it
	signed  bool              // it has a Signature
	subject *requestedSubject // whom it wants; nil: whoever signs in
	context requestedContext
}

// requestedSubject is a Subject (saml-core §3.4.1), as far as it matters.
type requestedSubject struct {
	NameID *struct {
		Format string `xml:",attr"`
		Value  string `xml:",chardata"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion NameID"`
	Confirmations []struct{} `xml:"urn:oasis:names:tc:SAML:2.0:assertion SubjectConfirmation"`
}

// requestedContext is RequestedAuthnContext (saml-core §3.3.2.2.1), of which
// crewjam's type holds one class only.
type requestedContext struct {
	Comparison   string   `xml:"Comparison,attr"`
	Classes      []string `xml:"urn:oasis:names:tc:SAML:2.0:assertion AuthnContextClassRef"`
	Declarations []string `xml:"urn:oasis:names:tc:SAML:2.0:assertion AuthnContextDeclRef"`
}

// readAuthnRequest parses document, once it is sure that there is only one
// way to read it. crewjam's own request handling is not called: it panics on
// a request without Issuer, and checks less.
func readAuthnRequest(document []byte) (*authnRequest, error) {
	if len(document) > maxDocument {
		return nil, errTooLarge
	}
	s := shape{outline: &authnRequestOutline}
	if err := scan(document, strictness{element: s.element}); err != nil {
		return nil, err
	}
	m := &authnRequest{signed: s.seen["Signature"]}
	if err := xml.Unmarshal(document, &m.AuthnRequest); err != nil {
		return nil, fmt.Errorf("not an AuthnRequest: %w", err)
	}
	if s.seen["RequestedAuthnContext"] || s.seen["Subject"] {
		var extra struct {
			Context requestedContext  `xml:"urn:oasis:names:tc:SAML:2.0:protocol RequestedAuthnContext"`
			Subject *requestedSubject `xml:"urn:oasis:names:tc:SAML:2.0:assertion Subject"`
		}
		if err := xml.Unmarshal(document, &extra); err != nil {
			return nil, fmt.Errorf("not an AuthnRequest: %w", err)
		}
		m.context, m.subject = extra.Context, extra.Subject
	}
	return m, m.complete()
}

// versions is the shape of one; the sender of another than 2.0 is told.
var versions = regexp.MustCompile(`^[0-9]{1,3}\.[0-9]{1,3}$`)

// complete checks what every request must have (saml-core §3.2.1).
func (m *authnRequest) complete() error {
	if !versions.MatchString(m.Version) {
		return fmt.Errorf("version %q is none", m.Version)
	}
	if !isID(m.ID) {
		return fmt.Errorf("ID %q is none", m.ID)
	}
	if m.IssueInstant.IsZero() {
		return errors.New("it does not say when it was issued")
	}
	if m.Issuer != nil {
		m.issuer = strings.Trim(m.Issuer.Value, " \t\r\n")
	}
	if m.issuer == "" {
		return errors.New("it does not say who issued it")
	}
	return nil
}
