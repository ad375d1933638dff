package kerberos

import (
	"bytes"
	"encoding/asn1"
	"errors"

	"github.com/jcmturner/gokrb5/v8/messages"
)

// The mechanisms: SPNEGO (RFC 4178 §3), Kerberos (RFC 4121 §1), and Kerberos
// as Windows misspelt it (MS-SPNG §1.9).
var (
	oidSPNEGO          = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 2}
	oidKerberos        = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	oidWindowsKerberos = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2}
)

// ntlm begins every message of NTLM (MS-NLMP §2.2.1).
var ntlm = []byte("NTLMSSP\x00")

// initial is NegTokenInit (RFC 4178 §4.2.1).
type initial struct {
	MechTypes   []asn1.ObjectIdentifier `asn1:"explicit,tag:0"`
	ReqFlags    asn1.BitString          `asn1:"explicit,optional,tag:1"`
	MechToken   []byte                  `asn1:"explicit,optional,tag:2"`
	MechListMIC []byte                  `asn1:"explicit,optional,tag:3"`
}

// request finds the Kerberos message in a token: in SPNEGO as browsers send
// it, or bare, as some older clients do.
func request(token []byte) (*messages.APReq, error) {
	switch {
	case len(token) == 0:
		return nil, refuse(wordNone, "the token is empty")
	case len(token) > LongestToken:
		return nil, refuse(wordMalformed, "a token of %d bytes", len(token))
	case bytes.HasPrefix(token, ntlm):
		return nil, refuse(wordNone, "NTLM is not accepted")
	}
	mech, body, err := unwrap(token)
	if err == nil && mech.Equal(oidSPNEGO) {
		if body, err = optimistic(body); err != nil {
			return nil, err
		}
		mech, body, err = unwrap(body)
	}
	switch {
	case err != nil:
		return nil, refuse(wordMalformed, "unreadable: %v", err)
	case !mech.Equal(oidKerberos):
		return nil, refuse(wordNone, "mechanism %s is not Kerberos", mech)
	case len(body) < 2 || body[0] != 1 || body[1] != 0: // KRB_AP_REQ (RFC 4121 §4.1)
		return nil, refuse(wordMalformed, "not a request")
	}
	req := new(messages.APReq)
	if err := req.Unmarshal(body[2:]); err != nil {
		return nil, refuse(wordMalformed, "unreadable: %v", err)
	}
	return req, nil
}

// unwrap opens the frame around a first token: the mechanism's name, and
// what that mechanism says (RFC 2743 §3.1).
func unwrap(token []byte) (mech asn1.ObjectIdentifier, body []byte, err error) {
	var frame asn1.RawValue
	if _, err := asn1.Unmarshal(token, &frame); err != nil {
		return nil, nil, err
	}
	if frame.Class != asn1.ClassApplication || frame.Tag != 0 || !frame.IsCompound {
		return nil, nil, errors.New("not a first token")
	}
	body, err = asn1.Unmarshal(frame.Bytes, &mech)
	return mech, body, err
}

// optimistic is the token in a negotiation that the client sends before it
// knows what we speak. It is of the first mechanism of its list (RFC 4178 §4.2.1).
func optimistic(body []byte) ([]byte, error) {
	var n initial
	if _, err := asn1.UnmarshalWithParams(body, &n, "explicit,tag:0"); err != nil {
		return nil, refuse(wordMalformed, "unreadable negotiation: %v", err)
	}
	switch {
	case len(n.MechToken) == 0 || len(n.MechTypes) == 0:
		return nil, refuse(wordNone, "no ticket in the negotiation")
	case !n.MechTypes[0].Equal(oidKerberos) && !n.MechTypes[0].Equal(oidWindowsKerberos), bytes.HasPrefix(n.MechToken, ntlm):
		return nil, refuse(wordNone, "the browser's first choice is not Kerberos")
	}
	return n.MechToken, nil
}
