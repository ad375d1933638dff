package directory

import (
	ber "github.com/go-asn1-ber/asn1-ber"
)

// Object identifiers of controls, extended operations and features.
const (
	oidPaging         = "1.2.840.113556.1.4.319"    // RFC 2696
	oidDomainScope    = "1.2.840.113556.1.4.1339"   // MS-ADTS 3.1.1.3.4.1.4
	oidManageDSAIT    = "2.16.840.1.113730.3.4.2"   // RFC 3296
	oidPasswordPolicy = "1.3.6.1.4.1.42.2.27.8.5.1" // draft-behera-ldap-password-policy-10 §6
	oidStartTLS       = "1.3.6.1.4.1.1466.20037"    // RFC 4511 §4.14
	oidWhoAmI         = "1.3.6.1.4.1.4203.1.11.3"   // RFC 4532
	oidPasswordModify = "1.3.6.1.4.1.4203.1.11.1"   // RFC 3062
	oidDisconnection  = "1.3.6.1.4.1.1466.20036"    // RFC 4511 §4.4.1
	oidAllOperational = "1.3.6.1.4.1.4203.1.5.1"    // RFC 3673
	oidTrueFalse      = "1.3.6.1.4.1.4203.1.5.3"    // RFC 4526
)

// supportedControls are understood with any operation, paging with searches
// only. Continuation references do not occur here, so that two of them ask
// for what is always done.
var supportedControls = []string{oidPaging, oidPasswordPolicy, oidManageDSAIT, oidDomainScope}

// unsupportedControl is a critical control that cannot be honoured with m's
// operation; the operation must not be performed then (RFC 4511 §4.1.11).
func unsupportedControl(m message) string {
	for _, c := range m.controls {
		if !c.critical {
			continue
		}
		switch c.oid {
		case oidPasswordPolicy, oidManageDSAIT, oidDomainScope:
		case oidPaging:
			if m.op.Tag != opSearch {
				return c.oid
			}
		default:
			return c.oid
		}
	}
	return ""
}

// Errors of the password policy control (draft-behera §6.2).
const (
	policyExpired          = 0
	policyLocked           = 1
	policyChangeAfterReset = 2
	policySupplyOld        = 4
	policyTooShort         = 6
	policyInHistory        = 8
	policyNone             = -1
)

// policyResponse is what the password policy control of a response says.
// expire and grace are warnings, of which at most one is above zero or set.
type policyResponse struct {
	expire   int64 // seconds until the password expires; zero: no warning
	grace    int64 // binds left with an expired password, if hasGrace
	hasGrace bool
	err      int // policyNone: no error
}

// policyControl encodes r, if m asked for it and there is anything to say.
func (m message) policyControl(r policyResponse) []*ber.Packet {
	if m.control(oidPasswordPolicy) == nil {
		return nil
	}
	value := ber.NewSequence("")
	switch {
	case r.hasGrace:
		value.AppendChild(policyWarning(1, r.grace))
	case r.expire > 0:
		value.AppendChild(policyWarning(0, r.expire))
	}
	if r.err != policyNone {
		value.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, r.err, ""))
	}
	if len(value.Children) == 0 {
		return nil
	}
	return []*ber.Packet{responseControl(oidPasswordPolicy, value)}
}

func policyWarning(tag ber.Tag, n int64) *ber.Packet {
	warning := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
	warning.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, tag, n, ""))
	return warning
}
