package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// assertion is one type and value: part of a DN, or what a filter asks for.
// In a DN the type is in lower case and the value is unescaped.
type assertion struct{ attribute, value string }

// rdn is a relative distinguished name; most have one assertion.
type rdn []assertion

// errDN is what every text that is no DN fails with.
var errDN = errors.New("invalid DN")

// aliases are other names of attributes: those of RFC 4519 and their OIDs.
var aliases = map[string]string{
	"commonname": "cn", "2.5.4.3": "cn",
	"surname": "sn", "2.5.4.4": "sn",
	"countryname": "c", "2.5.4.6": "c",
	"localityname": "l", "2.5.4.7": "l",
	"stateorprovincename": "st", "2.5.4.8": "st",
	"organizationname": "o", "2.5.4.10": "o",
	"organizationalunitname": "ou", "2.5.4.11": "ou",
	"domaincomponent": "dc", "0.9.2342.19200300.100.1.25": "dc",
	"userid": "uid", "0.9.2342.19200300.100.1.1": "uid",
	"rfc822mailbox": "mail", "0.9.2342.19200300.100.1.3": "mail",
	"2.5.4.0": "objectclass", "2.5.4.31": "member", "2.5.4.50": "uniquemember",
	"2.5.4.35": "userpassword",
}

// attributeName is the one spelling by which an attribute is looked up.
func attributeName(s string) string {
	s = strings.ToLower(s)
	// The old prefix (RFC 2253 §4) stands before numbers and nothing else.
	if number, ok := strings.CutPrefix(s, "oid."); ok && number != "" && number[0] <= '9' && isAttributeType(number) {
		s = number
	}
	if name, ok := aliases[s]; ok {
		return name
	}
	return s
}

// normalDN is a DN in a form that can be compared as bytes, and whose commas
// separate RDNs and nothing else. It is for look-ups, never for a client.
func normalDN(s string) (string, error) {
	parsed, err := parseDN(s)
	if err != nil {
		return "", err
	}
	return dnKey(parsed), nil
}

// dnKey writes name with sorted multi-valued RDNs (their order means nothing,
// RFC 4514 §2.2), values folded and everything special in hex.
func dnKey(name []rdn) string {
	rdns := make([]string, len(name))
	for i, r := range name {
		parts := make([]string, len(r))
		for j, a := range r {
			parts[j] = a.attribute + "=" + escapeKey(foldSpaces(a.value))
		}
		slices.Sort(parts)
		rdns[i] = strings.Join(parts, "+")
	}
	return strings.Join(rdns, ",")
}

// escapeKey writes what could be taken for syntax as \xx.
func escapeKey(s string) string {
	const special = "\x00\"+,;<=>\\#"
	if !strings.ContainsAny(s, special) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(special, r) {
			fmt.Fprintf(&b, "\\%02x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// parentKey is the key one level up: empty at the top.
func parentKey(key string) string {
	_, parent, _ := strings.Cut(key, ",")
	return parent
}

// isUnder reports whether key is base or below it.
func isUnder(key, base string) bool {
	return key == base || base == "" || strings.HasSuffix(key, ","+base)
}

// parseDN reads a DN (RFC 4514 §3), allowing spaces around separators as
// RFC 2253 §4 did and every server still does. The empty DN has no RDNs.
func parseDN(s string) ([]rdn, error) {
	if strings.Trim(s, " ") == "" {
		return nil, nil
	}
	p := &dnParser{rest: s}
	var name []rdn
	for {
		r, err := p.rdn()
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errDN, err)
		}
		name = append(name, r)
		if p.rest == "" {
			return name, nil
		}
		p.rest = p.rest[1:] // the comma at which rdn stopped
	}
}

type dnParser struct{ rest string }

// rdn reads assertions up to a comma or the end.
func (p *dnParser) rdn() (rdn, error) {
	var r rdn
	for {
		typ, rest, ok := strings.Cut(p.rest, "=")
		if !ok {
			return nil, errors.New("an RDN has no =")
		}
		typ = strings.Trim(typ, " ")
		if !isAttributeType(typ) {
			return nil, errors.New("an RDN has no attribute type")
		}
		p.rest = strings.TrimLeft(rest, " ")
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		r = append(r, assertion{attributeName(typ), value})
		if p.rest == "" || p.rest[0] == ',' {
			return r, nil
		}
		p.rest = p.rest[1:] // the plus
	}
}

// value reads up to an unescaped separator, or the end.
func (p *dnParser) value() (string, error) {
	if strings.HasPrefix(p.rest, "#") {
		return p.hexValue()
	}
	var b []byte
	kept := 0 // length without unescaped trailing spaces
	for p.rest != "" {
		c := p.rest[0]
		switch c {
		case ',', '+':
			return checkValue(b[:kept])
		case '\\':
			escaped, err := p.escape()
			if err != nil {
				return "", err
			}
			b = append(b, escaped)
			kept = len(b)
			continue
		case '"', ';', '<', '>', 0:
			return "", fmt.Errorf("%q must be escaped", c)
		}
		b = append(b, c)
		if c != ' ' {
			kept = len(b)
		}
		p.rest = p.rest[1:]
	}
	return checkValue(b[:kept])
}

// checkValue accepts text: folding would make different bytes that are no
// text equal.
func checkValue(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errors.New("a value is not UTF-8")
	}
	return string(b), nil
}

// escape reads \ and the special character or the two hex digits after it.
func (p *dnParser) escape() (byte, error) {
	if len(p.rest) >= 3 {
		high, okHigh := hexDigit(p.rest[1])
		low, okLow := hexDigit(p.rest[2])
		if okHigh && okLow {
			p.rest = p.rest[3:]
			return high<<4 | low, nil
		}
	}
	if len(p.rest) >= 2 && strings.IndexByte(` "#+,;<=>\`, p.rest[1]) >= 0 {
		c := p.rest[1]
		p.rest = p.rest[2:]
		return c, nil
	}
	return 0, errors.New("a backslash escapes nothing")
}

// hexValue reads #xxxx, the BER encoding of a string (RFC 4514 §2.4).
func (p *dnParser) hexValue() (string, error) {
	end := strings.IndexAny(p.rest, ",+")
	if end < 0 {
		end = len(p.rest)
	}
	digits := strings.TrimRight(p.rest[1:end], " ")
	p.rest = p.rest[end:]
	if len(digits) == 0 || len(digits)%2 != 0 {
		return "", errors.New("a # value has an odd number of digits")
	}
	b := make([]byte, 0, len(digits)/2)
	for i := 0; i < len(digits); i += 2 {
		high, okHigh := hexDigit(digits[i])
		low, okLow := hexDigit(digits[i+1])
		if !okHigh || !okLow {
			return "", errors.New("a # value is not hexadecimal")
		}
		b = append(b, high<<4|low)
	}
	packet, err := decode(b)
	if err != nil || packet.TagType != ber.TypePrimitive {
		return "", errors.New("a # value is not the encoding of a string")
	}
	return checkValue(packet.Data.Bytes())
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// isAttributeType reports whether s is a name or an OID (RFC 4512 §1.4).
func isAttributeType(s string) bool {
	if s == "" || s[0] == '-' {
		return false
	}
	numeric := '0' <= s[0] && s[0] <= '9'
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !digit && (numeric || !letter && c != '-') && c != '.' {
			return false
		}
	}
	return true
}

// foldSpaces folds case, drops spaces at the ends and makes runs of them one:
// caseIgnoreMatch (RFC 4517 §4.2.11) without Unicode normalisation.
func foldSpaces(s string) string { return strings.Join(strings.FieldsFunc(fold(s), isSpace), " ") }

func isSpace(r rune) bool { return r == ' ' }

// fold makes texts equal exactly where strings.EqualFold calls them equal:
// each character becomes the first of those that differ from it in case only.
func fold(s string) string {
	if !utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if 'A' <= least && least <= 'Z' {
			return least + 'a' - 'A'
		}
		return least
	}, s)
}
