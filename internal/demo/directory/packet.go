package directory

import (
	"errors"
	"fmt"
	"io"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Limits of one message. The last two bound what the decoder allocates for
// bytes that are cheap to send.
const (
	maxMessage  = 1 << 20
	maxDepth    = 40
	maxElements = 100_000
)

// Result codes (RFC 4511 appendix A).
const (
	codeSuccess                = 0
	codeOperationsError        = 1
	codeProtocolError          = 2
	codeTimeLimitExceeded      = 3
	codeSizeLimitExceeded      = 4
	codeCompareFalse           = 5
	codeCompareTrue            = 6
	codeAuthMethodNotSupported = 7
	codeStrongerAuthRequired   = 8
	codeUnavailableCriticalExt = 12
	codeConfidentiality        = 13
	codeNoSuchAttribute        = 16
	codeUndefinedAttribute     = 17
	codeConstraintViolation    = 19
	codeInvalidSyntax          = 21
	codeNoSuchObject           = 32
	codeInvalidDN              = 34
	codeInvalidCredentials     = 49
	codeInsufficientAccess     = 50
	codeBusy                   = 51
	codeUnwilling              = 53
)

// Protocol operations (RFC 4511 §4.2 to §4.12).
const (
	opBind             ber.Tag = 0
	opBindResponse     ber.Tag = 1
	opUnbind           ber.Tag = 2
	opSearch           ber.Tag = 3
	opSearchEntry      ber.Tag = 4
	opSearchDone       ber.Tag = 5
	opModify           ber.Tag = 6
	opAdd              ber.Tag = 8
	opDelete           ber.Tag = 10
	opModifyDN         ber.Tag = 12
	opCompare          ber.Tag = 14
	opAbandon          ber.Tag = 16
	opExtended         ber.Tag = 23
	opExtendedResponse ber.Tag = 24
)

// errMalformed is what bytes that are no LDAP message fail with.
var errMalformed = errors.New("malformed message")

// message is a request as it arrived.
type message struct {
	id       int64
	op       *ber.Packet
	controls []control
}

// control is a request control (RFC 4511 §4.1.11).
type control struct {
	oid      string
	critical bool
	value    []byte
}

// control finds the request control oid; nil when it was not sent.
func (m message) control(oid string) *control {
	for i := range m.controls {
		if m.controls[i].oid == oid {
			return &m.controls[i]
		}
	}
	return nil
}

// readFrame reads the bytes of one message and not one more: what follows a
// StartTLS request must reach the handshake, or text that somebody slipped in
// before it would count as protected. begun is called after the first byte.
func readFrame(r io.Reader, begun func()) ([]byte, error) {
	head := make([]byte, 2, 6)
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return nil, err
	}
	begun()
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return nil, err
	}
	if head[0] != 0x30 {
		return nil, fmt.Errorf("%w: it starts with %#02x", errMalformed, head[0])
	}
	length := int(head[1])
	if n := length - 0x80; n >= 0 {
		if n == 0 || n > 4 { // indefinite lengths are not LDAP: RFC 4511 §5.1
			return nil, fmt.Errorf("%w: length octet %#02x", errMalformed, head[1])
		}
		head = head[:2+n]
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return nil, err
		}
		length = 0
		for _, b := range head[2:] {
			length = length<<8 | int(b)
		}
	}
	if length > maxMessage {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are accepted", errMalformed, length, maxMessage)
	}
	frame := make([]byte, len(head)+length)
	copy(frame, head)
	_, err := io.ReadFull(r, frame[len(head):])
	return frame, err
}

// decode reads one element that fills data. The library's decoder copies an
// element once per level above it, so depth and number are bounded first.
func decode(data []byte) (*ber.Packet, error) {
	budget := maxElements
	rest, err := skim(data, maxDepth, &budget)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: bytes after its end", errMalformed)
	}
	packet, err := ber.DecodePacketErr(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errMalformed, err)
	}
	return packet, nil
}

// skim steps over the first element of data, checking that everything in it
// has a definite length and ends where its parent does.
func skim(data []byte, depth int, budget *int) ([]byte, error) {
	if *budget--; *budget < 0 || depth == 0 {
		return nil, fmt.Errorf("%w: too many elements", errMalformed)
	}
	if len(data) < 2 || data[0]&0x1f == 0x1f || data[0]&0xdf == 0 {
		return nil, fmt.Errorf("%w: no element of LDAP", errMalformed)
	}
	body, rest, err := cutLength(data[1:])
	if err != nil {
		return nil, err
	}
	if data[0]&0x20 == 0 {
		return rest, nil
	}
	for len(body) > 0 {
		if body, err = skim(body, depth-1, budget); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// cutLength splits what follows a tag into the contents and what is after them.
func cutLength(data []byte) (body, rest []byte, err error) {
	length, data := int(data[0]), data[1:]
	if n := length - 0x80; n >= 0 {
		if n == 0 || n > 4 || n > len(data) {
			return nil, nil, fmt.Errorf("%w: a length", errMalformed)
		}
		length = 0
		for _, b := range data[:n] {
			length = length<<8 | int(b)
		}
		data = data[n:]
	}
	if length > len(data) {
		return nil, nil, fmt.Errorf("%w: an element is longer than its parent", errMalformed)
	}
	return data[:length], data[length:], nil
}

// parseMessage reads an LDAPMessage (RFC 4511 §4.1.1).
func parseMessage(frame []byte) (message, error) {
	packet, err := decode(frame)
	if err != nil {
		return message{}, err
	}
	if len(packet.Children) < 2 || len(packet.Children) > 3 {
		return message{}, fmt.Errorf("%w: not an LDAPMessage", errMalformed)
	}
	id, ok := integer(packet.Children[0])
	// RFC 4511 §4.1.1.1: zero is for notices of the server.
	if !ok || id <= 0 || id > 1<<31-1 {
		return message{}, fmt.Errorf("%w: messageID", errMalformed)
	}
	m := message{id: id, op: packet.Children[1]}
	if m.op.ClassType != ber.ClassApplication {
		return message{}, fmt.Errorf("%w: protocolOp", errMalformed)
	}
	if len(packet.Children) == 3 {
		if m.controls, err = parseControls(packet.Children[2]); err != nil {
			return message{}, err
		}
	}
	return m, nil
}

func parseControls(packet *ber.Packet) ([]control, error) {
	if !isContext(packet, 0, ber.TypeConstructed) {
		return nil, fmt.Errorf("%w: controls", errMalformed)
	}
	var controls []control
	for _, p := range packet.Children {
		c, ok := parseControl(p)
		if !ok {
			return nil, fmt.Errorf("%w: a control", errMalformed)
		}
		controls = append(controls, c)
	}
	return controls, nil
}

func parseControl(p *ber.Packet) (control, bool) {
	var c control
	if len(p.Children) == 0 {
		return c, false
	}
	oid, ok := octets(p.Children[0])
	if !ok {
		return c, false
	}
	c.oid = string(oid)
	rest := p.Children[1:]
	if len(rest) > 0 && isUniversal(rest[0], ber.TagBoolean) {
		c.critical, _ = boolean(rest[0])
		rest = rest[1:]
	}
	if len(rest) > 0 {
		if c.value, ok = octets(rest[0]); !ok {
			return c, false
		}
		rest = rest[1:]
	}
	return c, len(rest) == 0
}

func isUniversal(p *ber.Packet, tag ber.Tag) bool {
	return p.ClassType == ber.ClassUniversal && p.Tag == tag
}

func isContext(p *ber.Packet, tag ber.Tag, kind ber.Type) bool {
	return p.ClassType == ber.ClassContext && p.Tag == tag && p.TagType == kind
}

// octets is the value of an OCTET STRING.
func octets(p *ber.Packet) ([]byte, bool) {
	if !isUniversal(p, ber.TagOctetString) || p.TagType != ber.TypePrimitive {
		return nil, false
	}
	return p.Data.Bytes(), true
}

// integer is the value of an INTEGER or ENUMERATED.
func integer(p *ber.Packet) (int64, bool) {
	if !isUniversal(p, ber.TagInteger) && !isUniversal(p, ber.TagEnumerated) {
		return 0, false
	}
	if p.TagType != ber.TypePrimitive || p.Data.Len() == 0 {
		return 0, false
	}
	n, err := ber.ParseInt64(p.Data.Bytes())
	return n, err == nil
}

func boolean(p *ber.Packet) (bool, bool) {
	if !isUniversal(p, ber.TagBoolean) || p.Data.Len() != 1 {
		return false, false
	}
	return p.Data.Bytes()[0] != 0, true
}

// outcome is how an operation ended.
type outcome struct {
	code     int
	matched  string // DN of the nearest entry above one that does not exist
	text     string
	controls []*ber.Packet
	extra    []*ber.Packet // what an extended response carries after the result
}

// respond builds the message that ends operation id.
func respond(id int64, tag ber.Tag, o outcome) *ber.Packet {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(enumerated(int64(o.code)))
	op.AppendChild(octetString(o.matched))
	op.AppendChild(octetString(o.text))
	for _, p := range o.extra {
		op.AppendChild(p)
	}
	return envelope(id, op, o.controls)
}

func envelope(id int64, op *ber.Packet, controls []*ber.Packet) *ber.Packet {
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	m.AppendChild(op)
	if len(controls) > 0 {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, c := range controls {
			all.AppendChild(c)
		}
		m.AppendChild(all)
	}
	return m
}

// disconnection is the notice that the server is about to hang up
// (RFC 4511 §4.4.1).
func disconnection(code int, text string) *ber.Packet {
	name := ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, oidDisconnection, "")
	return respond(0, opExtendedResponse, outcome{code: code, text: text, extra: []*ber.Packet{name}})
}

// responseControl is a control of a response; none of ours is critical.
func responseControl(oid string, value *ber.Packet) *ber.Packet {
	c := ber.NewSequence("")
	c.AppendChild(octetString(oid))
	c.AppendChild(octetString(string(value.Bytes())))
	return c
}

func octetString(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func enumerated(n int64) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, n, "")
}
