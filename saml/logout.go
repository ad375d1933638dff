package saml

import (
	"crypto"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	crewjam "github.com/crewjam/saml"
)

// Participant is a provider that somebody signed in to in a session, and by
// which names it knows them and the session. It can be kept as JSON.
type Participant struct {
	Provider     string `json:"provider"` // entity ID
	NameID       NameID `json:"name_id"`
	SessionIndex string `json:"session_index"`
}

// LogoutRequest is a provider's wish to end somebody's session, found good:
// its signature by a key of the sender's covers it, and it is fresh and meant
// for us. Whose session it is remains to be matched. It holds no secret and
// can be parked as JSON.
type LogoutRequest struct {
	ID             string   `json:"id"`
	Provider       string   `json:"provider"` // entity ID
	NameID         NameID   `json:"name_id"`
	SessionIndexes []string `json:"session_indexes,omitempty"` // empty: all sessions of that name
	RelayState     string   `json:"relay_state,omitempty"`
	Post           bool     `json:"post,omitempty"`         // it came by HTTP-POST
	Asynchronous   bool     `json:"asynchronous,omitempty"` // the sender wants no answer
}

// Matches says whether the request means what the provider was told as p:
// the name byte for byte in its format, and the session if it names any
// (saml-core §3.7.3, §2.2.3).
func (r *LogoutRequest) Matches(p Participant) bool {
	return p.Provider == r.Provider && p.NameID == r.NameID &&
		(len(r.SessionIndexes) == 0 || slices.Contains(r.SessionIndexes, p.SessionIndex))
}

// LogoutResponse is a provider's answer to our LogoutRequest, found good.
type LogoutResponse struct {
	Provider     string // entity ID
	InResponseTo string // which request of ours
	Success      bool   // wholly: a PartialLogout is none
}

// LogoutError is a logout request whose sender is known and meant it, and
// which cannot be granted as it is; they can be told so.
type LogoutError struct {
	Request LogoutRequest
	Status  Status
	Why     string // for the log
}

func (e *LogoutError) Error() string {
	return fmt.Sprintf("saml: logout request of %s: %s (%s)", e.Request.Provider, e.Why, e.Status.Detail)
}

// ParseLogoutRedirect reads what came to the single logout service by the
// HTTP-Redirect binding: a request or a response, and never both. rawQuery is
// the query as received.
//
// Every refusal is an ErrInvalid with words for the person, or a *LogoutError.
func (p *IdP) ParseLogoutRedirect(rawQuery string) (*LogoutRequest, *LogoutResponse, error) {
	return p.parseLogout(rawQuery, false)
}

// ParseLogoutPost is ParseLogoutRedirect for the HTTP-POST binding; form is
// the body as received.
func (p *IdP) ParseLogoutPost(form string) (*LogoutRequest, *LogoutResponse, error) {
	return p.parseLogout(form, true)
}

func (p *IdP) parseLogout(raw string, post bool) (*LogoutRequest, *LogoutResponse, error) {
	params, err := readParameters(raw)
	if err != nil {
		return nil, nil, unreadableLogout(err)
	}
	name, outline := samlRequest, &logoutRequestOutline
	if params.has(samlResponse) {
		name, outline = samlResponse, &logoutResponseOutline
	}
	m, sp, err := p.receiveLogout(params, name, outline, post)
	if err != nil {
		return nil, nil, err
	}
	if err := p.checkLogout(m); err != nil {
		return nil, nil, err
	}
	if name == samlResponse {
		r, err := m.response(sp)
		return nil, r, err
	}
	relayState, err := params.relayState()
	if err != nil {
		return nil, nil, unreadableLogout(err)
	}
	r, err := m.request(sp, p.entityID, p.ring.Load().opens)
	if r != nil {
		r.RelayState, r.Post = relayState, post
	}
	var refused *LogoutError
	if errors.As(err, &refused) {
		refused.Request = *r
		return nil, nil, err
	}
	return r, nil, err
}

// receiveLogout reads a logout message and believes nothing of it but what
// its sender's signature covers. Without one it has no effect (saml-profiles
// §4.4.3.1, §4.4.4.2).
func (p *IdP) receiveLogout(params parameters, name string, o *outline, post bool) (*logoutMessage, Provider, error) {
	decode := params.inflated
	if post {
		decode = params.decoded
	}
	document, err := decode(name)
	if err != nil {
		return nil, Provider{}, unreadableLogout(err)
	}
	m, err := readLogout(document, o)
	if err != nil {
		return nil, Provider{}, unreadableLogout(err)
	}
	sp, err := p.sender(&authnRequest{issuer: m.issuer})
	if err != nil {
		return nil, Provider{}, err
	}
	if post {
		m, err = verifyLogoutPost(params, document, m, o, sp)
	} else {
		err = verifyLogoutRedirect(params, name, m, sp)
	}
	if err != nil {
		return nil, Provider{}, unsignedLogout(err)
	}
	return m, sp, nil
}

func verifyLogoutRedirect(params parameters, name string, m *logoutMessage, sp Provider) error {
	signed, err := verifyRedirect(params, name, sp, m.signed)
	if err == nil && !signed {
		err = errUnsigned
	}
	return err
}

var errUnsigned = errors.New("a logout message must be signed, and this one is not")

func verifyLogoutPost(params parameters, document []byte, claimed *logoutMessage, o *outline, sp Provider) (*logoutMessage, error) {
	if params.has("Signature") || params.has("SigAlg") {
		return nil, errors.New("a posted message has the signature of a redirected one")
	}
	if !claimed.signed {
		return nil, errUnsigned
	}
	verified, err := verifyEnveloped(document, claimed.ID, sp.keys, sp.EntityID)
	if err != nil {
		return nil, err
	}
	m, err := readLogout(verified, o)
	if err != nil {
		return nil, err
	}
	if m.ID != claimed.ID || m.issuer != claimed.issuer {
		return nil, errNotWhatWasSent
	}
	return m, nil
}

// logoutMessage is a LogoutRequest or LogoutResponse as it was read.
type logoutMessage struct {
	ID             string               `xml:",attr"`
	Version        string               `xml:",attr"`
	IssueInstant   crewjam.RelaxedTime  `xml:",attr"`
	Destination    string               `xml:",attr"`
	NotOnOrAfter   *crewjam.RelaxedTime `xml:",attr"`
	InResponseTo   string               `xml:",attr"`
	Issuer         string               `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	NameID         *nameElement         `xml:"urn:oasis:names:tc:SAML:2.0:assertion NameID"`
	EncryptedID    *encryptedID         `xml:"urn:oasis:names:tc:SAML:2.0:assertion EncryptedID"`
	SessionIndexes []string             `xml:"urn:oasis:names:tc:SAML:2.0:protocol SessionIndex"`
	Status         struct {
		Code struct {
			Value  string `xml:",attr"`
			Detail *struct {
				Value string `xml:",attr"`
			} `xml:"urn:oasis:names:tc:SAML:2.0:protocol StatusCode"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:protocol StatusCode"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol Status"`
	Extensions struct {
		Asynchronous *struct{} `xml:"urn:oasis:names:tc:SAML:2.0:protocol:ext:async-slo Asynchronous"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol Extensions"`

	issuer string          // without the space around it
	signed bool            // it has a Signature
	has    map[string]bool // its children
}

func readLogout(document []byte, o *outline) (*logoutMessage, error) {
	if len(document) > maxDocument {
		return nil, errTooLarge
	}
	s := shape{outline: o}
	if err := scan(document, strictness{element: s.element}); err != nil {
		return nil, err
	}
	m := &logoutMessage{signed: s.seen["Signature"], has: s.seen}
	if err := xml.Unmarshal(document, m); err != nil {
		return nil, fmt.Errorf("not a %s: %w", o.root, err)
	}
	m.issuer = strings.Trim(m.Issuer, " \t\r\n")
	switch {
	case m.Version != "2.0":
		return nil, fmt.Errorf("version %q: want 2.0", m.Version)
	case !isNCName(m.ID):
		return nil, fmt.Errorf("ID %q is none", m.ID)
	case time.Time(m.IssueInstant).IsZero():
		return nil, errors.New("it does not say when it was issued")
	case m.issuer == "":
		return nil, errors.New("it does not say who issued it")
	}
	return m, nil
}

// checkLogout makes the checks that requests and responses share.
func (p *IdP) checkLogout(m *logoutMessage) error {
	now := p.now()
	if age := now.Sub(time.Time(m.IssueInstant)); age > requestSkew || age < -requestSkew {
		return refused(fmt.Errorf("issued at %v", m.IssueInstant), "IssueInstant",
			"The application's sign-out message is too old, or its clock is wrong. Start again from the application.")
	}
	if end := m.NotOnOrAfter; end != nil && !now.Before(time.Time(*end).Add(requestSkew)) {
		return refused(fmt.Errorf("good until %v", *end), "NotOnOrAfter",
			"The application's sign-out message has run out. Start again from the application.")
	}
	if m.Destination != p.endpoints.SLO || p.endpoints.SLO == "" { // it is signed, so it must say (saml-bindings §3.4.5.2, §3.5.5.2)
		return refused(fmt.Errorf("destination %q", m.Destination), "Destination",
			"The application's sign-out message was meant for another place.")
	}
	return nil
}

func (m *logoutMessage) response(sp Provider) (*LogoutResponse, error) {
	if !m.has["Status"] || m.InResponseTo == "" {
		return nil, unreadableLogout(errors.New("a logout response without a status or a request"))
	}
	code := m.Status.Code
	success := code.Value == statusSuccess && (code.Detail == nil || code.Detail.Value != StatusPartialLogout)
	return &LogoutResponse{Provider: sp.EntityID, InResponseTo: m.InResponseTo, Success: success}, nil
}

// request settles whom the request means. A qualifier must be the one that
// the name was made under, which is ours and the sender's (saml-core §2.2.2).
func (m *logoutMessage) request(sp Provider, self string, keys []crypto.Decrypter) (*LogoutRequest, error) {
	r := &LogoutRequest{ID: m.ID, Provider: sp.EntityID, SessionIndexes: m.SessionIndexes, Asynchronous: m.Extensions.Asynchronous != nil}
	names := 0
	for _, kind := range []string{"NameID", "BaseID", "EncryptedID"} {
		if m.has[kind] {
			names++
		}
	}
	if names != 1 {
		return nil, unreadableLogout(fmt.Errorf("it names %d people", names))
	}
	n, err := m.name(keys)
	if err != nil {
		return r, &LogoutError{Status: Status{StatusRequester, StatusRequestUnsupported}, Why: err.Error()}
	}
	if (n.NameQualifier != "" && n.NameQualifier != self) || (n.SPNameQualifier != "" && n.SPNameQualifier != sp.EntityID) {
		return r, &LogoutError{Status: Status{StatusRequester, StatusUnknownPrincipal}, Why: "its name was made for somebody else"}
	}
	r.NameID = NameID{Format: n.Format, Value: n.Value}
	if len(r.SessionIndexes) > maxSessionIndexes {
		return nil, unreadableLogout(errTooLarge)
	}
	return r, nil
}

// name is whom m names, decrypted where that is needed.
func (m *logoutMessage) name(keys []crypto.Decrypter) (*nameElement, error) {
	switch {
	case m.NameID != nil:
		return m.NameID, nil
	case m.EncryptedID == nil:
		return nil, errors.New("it names the person in a way that we do not read")
	case len(keys) == 0:
		return nil, errors.New("its name is encrypted, and we publish no key for that")
	}
	plain, err := m.EncryptedID.decrypt(keys)
	if err != nil {
		return nil, fmt.Errorf("its name: %w", err)
	}
	return readName(plain)
}

// maxSessionIndexes is more than one person has at one provider.
const maxSessionIndexes = 100

// unreadableLogout and unsignedLogout are unreadable and badSignature for a
// message that means to end a session.
func unreadableLogout(cause error) error {
	return refused(cause, "SAMLLogout", "The application sent a sign-out message that cannot be read.")
}

func unsignedLogout(cause error) error {
	return refused(cause, "Signature", "The sign-out message does not carry a good signature of the application.")
}
