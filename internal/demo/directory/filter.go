package directory

import (
	"errors"
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// verity is a truth value of filters. A test that the server cannot decide is
// undefined, and its negation too: RFC 4511 §4.5.1.7.
type verity int

const (
	isFalse verity = iota
	isUndefined
	isTrue
)

func verityOf(b bool) verity {
	if b {
		return isTrue
	}
	return isFalse
}

// filter tells whether an entry matches.
type filter func(*scan, *entry) verity

// scan is one run of a filter over a snapshot.
type scan struct {
	snap     *snapshot
	chains   map[assertion]map[string]bool  // what reaches an assertion's DN along its attribute
	pointers map[string]map[string][]string // see pointing
}

func newScan(snap *snapshot) *scan {
	return &scan{snap: snap, chains: map[assertion]map[string]bool{}, pointers: map[string]map[string][]string{}}
}

// errFilter is what a packet that is no filter fails with.
var errFilter = errors.New("malformed filter")

// Filter choices (RFC 4511 §4.5.1.7).
const (
	filterAnd ber.Tag = iota
	filterOr
	filterNot
	filterEquality
	filterSubstrings
	filterGreaterOrEqual
	filterLessOrEqual
	filterPresent
	filterApprox
	filterExtensible
)

// parseFilter reads a Filter. Depth is bounded by decode.
func parseFilter(p *ber.Packet) (filter, error) {
	if p.ClassType != ber.ClassContext || (p.Tag == filterPresent) == (p.TagType == ber.TypeConstructed) {
		return nil, errFilter
	}
	switch p.Tag {
	case filterAnd, filterOr:
		return parseSet(p)
	case filterNot:
		return parseNot(p)
	case filterPresent:
		return present(p.Data.String()), nil
	case filterSubstrings:
		return parseSubstrings(p)
	case filterExtensible:
		return parseExtensible(p)
	case filterEquality, filterApprox, filterGreaterOrEqual, filterLessOrEqual:
		a, ok := parseAssertion(p)
		if !ok {
			return nil, errFilter
		}
		return compareWith(a, p.Tag), nil
	}
	return nil, errFilter
}

// parseSet reads and, or. An empty and is true, an empty or false (RFC 4526).
func parseSet(p *ber.Packet) (filter, error) {
	parts := make([]filter, len(p.Children))
	for i, child := range p.Children {
		var err error
		if parts[i], err = parseFilter(child); err != nil {
			return nil, err
		}
	}
	if p.Tag == filterAnd {
		return func(s *scan, e *entry) verity {
			all := isTrue
			for _, f := range parts {
				if all = min(all, f(s, e)); all == isFalse {
					break
				}
			}
			return all
		}, nil
	}
	return func(s *scan, e *entry) verity {
		anyOf := isFalse
		for _, f := range parts {
			if anyOf = max(anyOf, f(s, e)); anyOf == isTrue {
				break
			}
		}
		return anyOf
	}, nil
}

func parseNot(p *ber.Packet) (filter, error) {
	if len(p.Children) != 1 {
		return nil, errFilter
	}
	f, err := parseFilter(p.Children[0])
	if err != nil {
		return nil, err
	}
	return func(s *scan, e *entry) verity { return isTrue - f(s, e) }, nil
}

// parseAssertion reads an AttributeValueAssertion.
func parseAssertion(p *ber.Packet) (assertion, bool) {
	if len(p.Children) != 2 {
		return assertion{}, false
	}
	attr, ok1 := octets(p.Children[0])
	val, ok2 := octets(p.Children[1])
	return assertion{string(attr), string(val)}, ok1 && ok2
}

// present is true or false for any attribute, known or not (RFC 4511
// §4.5.1.7.5), but for secret ones.
func present(description string) filter {
	return func(s *scan, e *entry) verity {
		base, options := splitDescription(description)
		if secret[base] {
			return isUndefined
		}
		return verityOf(len(s.values(e, base, options)) > 0)
	}
}

// compareWith is equality, ordering, and approximate equality, which is
// equality here as in every server without a phonetic rule.
func compareWith(a assertion, tag ber.Tag) filter {
	base, options := splitDescription(a.attribute)
	syn := syntaxes[base]
	normal, err := syn.normalize(a.value)
	return func(s *scan, e *entry) verity {
		if err != nil || !s.decidable(base) {
			return isUndefined
		}
		values := s.values(e, base, options)
		if tag == filterEquality || tag == filterApprox {
			return verityOf(slices.ContainsFunc(values, func(v value) bool { return v.matches && v.normal == normal }))
		}
		if _, ok := syn.compare(normal, normal); !ok {
			return isUndefined
		}
		return verityOf(slices.ContainsFunc(values, func(v value) bool {
			order, _ := syn.compare(v.normal, normal)
			return v.matches && (order == 0 || (order > 0) == (tag == filterGreaterOrEqual))
		}))
	}
}

// decidable reports whether the server knows the attribute and may match it.
func (s *scan) decidable(base string) bool {
	if secret[base] {
		return false
	}
	_, listed := syntaxes[base]
	return listed || s.snap.known[base]
}

// values are what a filter sees of an attribute: those with at least the
// options asked for (RFC 4512 §2.5.2), and computed ones.
func (s *scan) values(e *entry, base string, options []string) []value {
	if base == "memberof" {
		return s.snap.memberOf(e)
	}
	if len(options) == 0 {
		return e.all(base)
	}
	var values []value
	for i := range e.attributes {
		if a := &e.attributes[i]; a.base == base && hasOptions(a.options, options) {
			values = append(values, a.values...)
		}
	}
	return values
}

func hasOptions(have, want []string) bool {
	for _, o := range want {
		if !slices.Contains(have, o) {
			return false
		}
	}
	return true
}

// memberOf are the groups that list e themselves.
func (s *snapshot) memberOf(e *entry) []value {
	groups := s.listedIn[e.key]
	values := make([]value, len(groups))
	for i, g := range groups {
		values[i] = value{raw: g.source.DN, normal: g.key, matches: true}
	}
	return values
}

// pieces of a substrings filter, in normal form.
type pieces struct {
	initial, final string
	middle         []string
}

// parseSubstrings reads a SubstringFilter: initial only first, final only last.
func parseSubstrings(p *ber.Packet) (filter, error) {
	if len(p.Children) != 2 || len(p.Children[1].Children) == 0 {
		return nil, errFilter
	}
	attr, ok := octets(p.Children[0])
	if !ok {
		return nil, errFilter
	}
	base, options := splitDescription(string(attr))
	syn := syntaxes[base]
	var want pieces
	parts := p.Children[1].Children
	for i, part := range parts {
		if part.ClassType != ber.ClassContext || part.TagType != ber.TypePrimitive {
			return nil, errFilter
		}
		text := syn.normalizePiece(part.Data.String())
		switch {
		case part.Tag == 0 && i == 0:
			want.initial = strings.TrimLeft(text, " ")
		case part.Tag == 1:
			want.middle = append(want.middle, text)
		case part.Tag == 2 && i == len(parts)-1:
			want.final = strings.TrimRight(text, " ")
		default:
			return nil, errFilter
		}
	}
	return func(s *scan, e *entry) verity {
		if !syn.isText() || !s.decidable(base) {
			return isUndefined
		}
		return verityOf(slices.ContainsFunc(s.values(e, base, options), func(v value) bool {
			return v.matches && want.in(v.normal)
		}))
	}, nil
}

// normalizePiece folds part of a text; a space at its edge is kept as one.
func (s syntax) normalizePiece(v string) string {
	if s != caseExact {
		v = fold(v)
	}
	for strings.Contains(v, "  ") {
		v = strings.ReplaceAll(v, "  ", " ")
	}
	return v
}

func (p pieces) in(v string) bool {
	if !strings.HasPrefix(v, p.initial) {
		return false
	}
	v = v[len(p.initial):]
	for _, m := range p.middle {
		_, after, ok := strings.Cut(v, m)
		if !ok {
			return false
		}
		v = after
	}
	return strings.HasSuffix(v, p.final)
}
