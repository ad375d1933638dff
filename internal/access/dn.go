package access

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// dn is a distinguished name in the form in which two spellings of one name
// are equal: one string for each RDN, the leaf first. A server may write the
// same name in several ways (uid=w\,comma and uid=w\2Ccomma), so names are
// never compared as they were written.
type dn []string

var errDN = errors.New("not a distinguished name")

// maxDN bounds the length of a name, in bytes, that is worth parsing.
const maxDN = 8 << 10

// parseDN reads the string form of RFC 4514 §3. Values compare without
// regard to case, as the naming attributes of people and groups do.
func parseDN(s string) (dn, error) {
	if len(s) > maxDN || !utf8.ValidString(s) {
		return nil, errDN
	}
	name := make(dn, 0, 1+strings.Count(s, ","))
	for rest := s; ; {
		rdn, after, err := parseRDN(rest)
		if err != nil {
			return nil, err
		}
		name = append(name, rdn)
		if after == "" {
			return name, nil
		}
		rest = after[1:] // the comma
	}
}

// parseRDN reads one RDN, which may have several parts joined by "+", up to
// the comma that ends it. Its parts are put in one order.
func parseRDN(s string) (rdn, rest string, err error) {
	rdn, rest, err = parsePart(s)
	if err != nil || rest == "" || rest[0] == ',' {
		return rdn, rest, err
	}
	parts := []string{rdn}
	for rest != "" && rest[0] == '+' {
		if rdn, rest, err = parsePart(rest[1:]); err != nil {
			return "", "", err
		}
		parts = append(parts, rdn)
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x00+"), rest, nil
}

// parsePart reads one type=value, up to the comma or plus sign that ends it.
func parsePart(s string) (part, rest string, err error) {
	kind, after, ok := strings.Cut(s, "=")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if !ok || !isAttributeType(kind) {
		return "", "", errDN
	}
	value, rest, err := parseValue(strings.TrimLeft(after, " "))
	if err != nil {
		return "", "", err
	}
	// NUL separates parts: no attribute type holds one, and a value's own is doubled.
	return kind + "=" + strings.ReplaceAll(fold(value), "\x00", "\x00\x00"), rest, nil
}

// parseValue reads an attribute value up to an unescaped comma or plus sign.
func parseValue(s string) (value, rest string, err error) {
	if strings.HasPrefix(s, "#") {
		return "", "", errDN // BER in hex: no directory names its groups so
	}
	end := strings.IndexAny(s, `,+\"<>;`)
	switch {
	case end < 0:
		end = len(s)
	case s[end] == '\\':
		return parseEscaped(s)
	case s[end] != ',' && s[end] != '+':
		return "", "", errDN
	}
	value = strings.TrimRight(s[:end], " ")
	if value == "" {
		return "", "", errDN
	}
	return value, s[end:], nil
}

// parseEscaped is parseValue for a value that holds a backslash.
func parseEscaped(s string) (value, rest string, err error) {
	var b strings.Builder
	kept := 0 // length up to which trailing spaces were escaped and stay
	i := 0
	for i < len(s) && s[i] != ',' && s[i] != '+' {
		if s[i] != '\\' {
			if strings.IndexByte(`"<>;`, s[i]) >= 0 {
				return "", "", errDN
			}
			b.WriteByte(s[i])
			i++
			continue
		}
		c, n, err := unescape(s[i+1:])
		if err != nil {
			return "", "", err
		}
		b.WriteByte(c)
		kept = b.Len()
		i += 1 + n
	}
	text := b.String()
	text = text[:kept] + strings.TrimRight(text[kept:], " ")
	if text == "" || !utf8.ValidString(text) {
		return "", "", errDN
	}
	return text, s[i:], nil
}

// unescape reads what follows a backslash: a special character, or two hex
// digits (RFC 4514 §2.4). n is how many bytes that took.
func unescape(s string) (c byte, n int, err error) {
	if s == "" {
		return 0, 0, errDN
	}
	if strings.IndexByte(" \"#+,;<=>\\", s[0]) >= 0 {
		return s[0], 1, nil
	}
	if len(s) < 2 {
		return 0, 0, errDN
	}
	octet, err := hex.DecodeString(s[:2])
	if err != nil {
		return 0, 0, errDN
	}
	return octet[0], 2, nil
}

func isAttributeType(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return s != ""
}

// fold maps every rune to the least of those that differ from it in case
// only, so that equal strings are those that strings.EqualFold calls equal.
func fold(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s) // the least of each ASCII letter's kin is its capital
	}
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// equal reports whether both are one name.
func (d dn) equal(other dn) bool { return slices.Equal(d, other) }

// under reports whether d is an entry below base, at any depth, and not base itself.
func (d dn) under(base dn) bool {
	return len(d) > len(base) && len(base) > 0 && slices.Equal(d[len(d)-len(base):], base)
}
