package directory

import (
	"slices"
	"strconv"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// rule is how an extensible filter compares.
type rule int

const (
	ruleEquality rule = iota
	ruleChain         // a DN reached in any number of steps
	ruleBitAnd        // all bits are set
	ruleBitOr         // one bit is set
)

// matchingRule is a rule, and the syntax that it compares with.
type matchingRule struct {
	rule   rule
	syntax syntax
	own    bool // use the attribute's syntax instead
}

// matchingRules by OID and name: RFC 4517 §4.2, MS-ADTS 3.1.1.3.4.4.
var matchingRules = map[string]matchingRule{
	"":          {own: true},
	"2.5.13.1":  {syntax: name},
	"2.5.13.2":  {syntax: caseIgnore},
	"2.5.13.5":  {syntax: caseExact},
	"2.5.13.13": {syntax: truth},
	"2.5.13.14": {syntax: number},
	"2.5.13.17": {syntax: bytesExact},
	"2.5.13.27": {syntax: timestamp},

	"distinguishednamematch": {syntax: name}, "caseignorematch": {syntax: caseIgnore},
	"caseexactmatch": {syntax: caseExact}, "booleanmatch": {syntax: truth}, "integermatch": {syntax: number},
	"octetstringmatch": {syntax: bytesExact}, "generalizedtimematch": {syntax: timestamp},

	"1.2.840.113556.1.4.1941": {rule: ruleChain, syntax: name},
	"1.2.840.113556.1.4.803":  {rule: ruleBitAnd, syntax: number},
	"1.2.840.113556.1.4.804":  {rule: ruleBitOr, syntax: number},
}

// extensible is a MatchingRuleAssertion (RFC 4511 §4.5.1.7.7).
type extensible struct {
	rule    string
	attr    string
	value   string
	naming  bool // dnAttributes: match what the DN says as well
	hasAttr bool
}

func parseExtensible(p *ber.Packet) (filter, error) {
	var x extensible
	hasValue := false
	for _, child := range p.Children {
		if child.ClassType != ber.ClassContext || child.TagType != ber.TypePrimitive {
			return nil, errFilter
		}
		text := child.Data.String()
		switch child.Tag {
		case 1:
			x.rule = text
		case 2:
			x.attr, x.hasAttr = text, true
		case 3:
			x.value, hasValue = text, true
		case 4:
			x.naming = len(text) == 1 && text[0] != 0
		default:
			return nil, errFilter
		}
	}
	if !hasValue || x.rule == "" && !x.hasAttr {
		return nil, errFilter
	}
	return x.filter(), nil
}

// filter is undefined for rules that are not known and values that do not
// fit. Without an attribute the rule is tried on all attributes of its syntax.
func (x extensible) filter() filter {
	m, known := matchingRules[fold(x.rule)]
	base, options := splitDescription(x.attr)
	if m.own {
		m.syntax = syntaxes[base]
	}
	want, err := m.syntax.normalize(x.value)
	return func(s *scan, e *entry) verity {
		if !known || err != nil || x.hasAttr && !s.decidable(base) {
			return isUndefined
		}
		if m.rule == ruleChain {
			return s.chain(e, base, x.hasAttr, want)
		}
		matches := func(v string) bool { return m.matches(v, want) }
		if x.hasAttr && slices.ContainsFunc(s.values(e, base, options), func(v value) bool { return matches(v.raw) }) {
			return isTrue
		}
		if !x.hasAttr && anyValue(e, m.syntax, matches) {
			return isTrue
		}
		return verityOf(x.naming && inName(e, base, x.hasAttr, matches))
	}
}

// matches compares one stored value.
func (m matchingRule) matches(raw, want string) bool {
	have, err := m.syntax.normalize(raw)
	if err != nil {
		return false
	}
	if m.rule == ruleEquality {
		return have == want
	}
	h, errH := strconv.ParseInt(have, 10, 64)
	w, errW := strconv.ParseInt(want, 10, 64)
	if errH != nil || errW != nil {
		return false
	}
	if m.rule == ruleBitAnd {
		return h&w == w
	}
	return h&w != 0
}

// anyValue tries all attributes whose own comparison is of the rule's kind.
func anyValue(e *entry, syn syntax, matches func(string) bool) bool {
	for i := range e.attributes {
		a := &e.attributes[i]
		own := syntaxes[a.base]
		if secret[a.base] || own != syn && (!own.isText() || !syn.isText()) {
			continue
		}
		if slices.ContainsFunc(a.values, func(v value) bool { return matches(v.raw) }) {
			return true
		}
	}
	return false
}

// inName tries the values that make up the entry's DN.
func inName(e *entry, base string, named bool, matches func(string) bool) bool {
	for _, r := range e.name {
		for _, a := range r {
			if (!named || a.attribute == base) && matches(a.value) {
				return true
			}
		}
	}
	return false
}

// chain decides 1.2.840.113556.1.4.1941: does base lead from e to the DN
// want, over any number of entries? The answer for all entries is worked out
// once, backwards from want; who was visited is not visited again, so that
// groups in a circle do no harm.
func (s *scan) chain(e *entry, base string, named bool, want string) verity {
	if !named || syntaxes[base] != name {
		return isUndefined
	}
	a := assertion{base, want}
	if s.chains[a] == nil {
		s.chains[a] = s.reaching(a)
	}
	return verityOf(s.chains[a][e.key])
}

// pointing leads from a DN to the entries whose attribute base names it.
func (s *scan) pointing(base string) map[string][]string {
	if s.pointers[base] == nil {
		from := map[string][]string{}
		for _, e := range s.snap.order {
			for _, v := range s.values(e, base, nil) {
				if v.matches {
					from[v.normal] = append(from[v.normal], e.key)
				}
			}
		}
		s.pointers[base] = from
	}
	return s.pointers[base]
}

// reaching are the entries from which a's attribute leads to a's DN.
func (s *scan) reaching(a assertion) map[string]bool {
	pointing := s.pointing(a.attribute)
	reached := map[string]bool{}
	for todo := []string{a.value}; len(todo) > 0; {
		key := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, from := range pointing[key] {
			if !reached[from] {
				reached[from] = true
				todo = append(todo, from)
			}
		}
	}
	return reached
}
