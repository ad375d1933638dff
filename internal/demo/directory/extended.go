package directory

import (
	"slices"
	"strings"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// minPassword is the fewest characters of a new password, and historyLength
// how many earlier ones it must differ from.
const (
	minPassword   = 8
	historyLength = 5
)

// extended answers an extended request (RFC 4511 §4.12).
func (c *conn) extended(m message) error {
	oid, value, ok := parseExtended(m.op)
	if !ok {
		return c.send(respond(m.id, opExtendedResponse, outcome{code: codeProtocolError, text: "malformed extended request"}))
	}
	var o outcome
	switch oid {
	case oidStartTLS:
		return c.upgrade(m.id)
	case oidPasswordModify:
		o = c.passwordModify(m, value)
	case oidWhoAmI:
		o = c.whoAmI()
	default:
		o = outcome{code: codeProtocolError, text: "unsupported extended operation"}
	}
	return c.send(respond(m.id, opExtendedResponse, o))
}

func parseExtended(op *ber.Packet) (oid string, value []byte, ok bool) {
	if len(op.Children) < 1 || len(op.Children) > 2 || !isContext(op.Children[0], 0, ber.TypePrimitive) {
		return "", nil, false
	}
	oid = op.Children[0].Data.String()
	if len(op.Children) == 2 {
		if !isContext(op.Children[1], 1, ber.TypePrimitive) {
			return "", nil, false
		}
		value = op.Children[1].Data.Bytes()
	}
	return oid, value, true
}

// upgrade answers StartTLS and performs it (RFC 4511 §4.14).
func (c *conn) upgrade(id int64) error {
	name := ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, oidStartTLS, "")
	o := outcome{extra: []*ber.Packet{name}}
	if c.secure {
		o.code, o.text = codeOperationsError, "TLS already started"
		return c.send(respond(id, opExtendedResponse, o))
	}
	if err := c.send(respond(id, opExtendedResponse, o)); err != nil {
		return err
	}
	return c.startTLS()
}

// whoAmI says who the connection is bound as (RFC 4532). Like OpenLDAP it
// does so for those who have to change their password, too.
func (c *conn) whoAmI() outcome {
	authzID := ""
	if c.who != (identity{}) {
		authzID = "dn:" + c.who.dn
	}
	return outcome{extra: []*ber.Packet{ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, authzID, "")}}
}

// passwordChange is a PasswdModifyRequestValue (RFC 3062 §2).
type passwordChange struct{ identity, old, new string }

func parsePasswordChange(value []byte) (passwordChange, bool) {
	var r passwordChange
	if value == nil {
		return r, true
	}
	p, err := decode(value)
	if err != nil {
		return r, false
	}
	for _, child := range p.Children {
		if child.ClassType != ber.ClassContext || child.TagType != ber.TypePrimitive {
			return r, false
		}
		switch text := child.Data.String(); child.Tag {
		case 0:
			r.identity = text
		case 1:
			r.old = text
		case 2:
			r.new = text
		default:
			return r, false
		}
	}
	return r, true
}

// passwordModify changes the password of whoever is bound (RFC 3062), with
// the refusals of OpenLDAP's password policy. Nobody changes another's.
func (c *conn) passwordModify(m message, value []byte) outcome {
	r, ok := parsePasswordChange(value)
	switch {
	case !ok:
		return outcome{code: codeProtocolError, text: "malformed password modify request"}
	case !c.secure && !c.s.cfg.AllowCleartext:
		return outcome{code: codeConfidentiality, text: "confidentiality required"}
	case c.who == (identity{}):
		return outcome{code: codeStrongerAuthRequired, text: "only authenticated users may change passwords"}
	case r.identity != "" && !c.isMe(r.identity):
		return outcome{code: codeInsufficientAccess, text: "only one's own password can be changed"}
	}
	c.s.deciding.Lock()
	defer c.s.deciding.Unlock()
	e := c.s.tree.snapshot().byKey[c.who.key]
	if e == nil {
		return outcome{code: codeNoSuchObject}
	}
	code, text, policyError := e.judgeChange(r)
	if code == codeSuccess {
		c.s.setPassword(e, r.new)
		c.mustChange = false
	}
	return outcome{code: code, text: text, controls: m.policyControl(policyResponse{err: policyError})}
}

// isMe reports whether an identity, a DN or an authzId with one, is who is bound.
func (c *conn) isMe(id string) bool {
	key, err := normalDN(strings.TrimPrefix(id, "dn:"))
	return err == nil && key == c.who.key
}

// judgeChange decides whether r may become the password of e.
func (e *entry) judgeChange(r passwordChange) (code int, text string, policyError int) {
	switch {
	case r.old == "":
		return codeInsufficientAccess, "Must supply old password to be changed as well as new one", policySupplyOld
	case !e.hasPassword(r.old):
		return codeUnwilling, "unwilling to verify old password", policyNone
	case r.new == "":
		return codeUnwilling, "a new password must be given, none is made up here", policyNone
	case utf8.RuneCountInString(r.new) < minPassword:
		return codeConstraintViolation, "Password fails quality checking policy", policyTooShort
	case e.hasPassword(r.new) || slices.ContainsFunc(e.all("pwdhistory"), func(v value) bool { return v.raw == r.new }):
		return codeConstraintViolation, "Password is in history of old passwords", policyInHistory
	}
	return codeSuccess, "", policyNone
}

// setPassword makes password that of e, which ends every state that asks for
// a new one.
func (s *Server) setPassword(e *entry, password string) {
	now := s.cfg.Now()
	history := []string{}
	for _, base := range []string{"userpassword", "pwdhistory"} {
		for _, v := range e.all(base) {
			history = append(history, v.raw)
		}
	}
	changes := map[string][]string{
		"userPassword":      {password},
		"pwdHistory":        history[:min(len(history), historyLength)],
		"pwdChangedTime":    {formatTime(now)},
		"pwdReset":          nil,
		"pwdExpired":        nil,
		"pwdGraceRemaining": nil,
	}
	if e.has("useraccountcontrol") {
		changes["pwdLastSet"] = []string{formatFileTime(now)}
		changes["msDS-UserPasswordExpiryTimeComputed"] = nil
	}
	s.tree.change(e.key, changes)
}
