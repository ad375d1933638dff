package saml

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// canonical writes XML in the form that Exclusive XML Canonicalization 1.0
// would give it: attributes in order, namespaces declared where they are
// first used, no empty-element tags, and the escapes of Canonical XML 1.0 §2.3.
// So what it wrote can be hashed as it is.
//
// There is one way in: open, text and close. Each escapes what it is given
// and notes in err the first value that XML cannot hold; callers look at err
// once, at the end.
type canonical struct {
	buf      []byte
	stack    [maxDepth]element
	depth    int
	declared [namespaceCount]int // depth of the element that declares the prefix; 0: none in scope
	numbered bool                // SAML's prefixes are saml2p and saml2
	err      error
}

// maxDepth is deeper than anything this package writes.
const maxDepth = 16

// namespace is one of the few that this package writes, each with the prefix
// that it always has.
type namespace uint8

const (
	nsDS namespace = iota
	nsECP
	nsMD
	nsSAML
	nsSAMLP
	nsSOAP
	nsXENC
	namespaceCount
)

var namespaces = [namespaceCount]struct{ prefix, uri string }{
	nsDS:    {"ds", "http://www.w3.org/2000/09/xmldsig#"},
	nsECP:   {"ecp", "urn:oasis:names:tc:SAML:2.0:profiles:SSO:ecp"},
	nsMD:    {"md", "urn:oasis:names:tc:SAML:2.0:metadata"},
	nsSAML:  {"saml", "urn:oasis:names:tc:SAML:2.0:assertion"},
	nsSAMLP: {"samlp", "urn:oasis:names:tc:SAML:2.0:protocol"},
	nsSOAP:  {"S", "http://schemas.xmlsoap.org/soap/envelope/"},
	nsXENC:  {"xenc", "http://www.w3.org/2001/04/xmlenc#"},
}

// element is an element's name.
type element struct {
	space namespace
	local string
}

// attribute is an attribute to write; its value is value and tail, one after
// the other, or the time. One without a value is left out.
type attribute struct {
	name  string
	value string
	tail  string
	at    time.Time
}

// errNotXML: a value has characters that no XML document can hold, escaped or
// not (XML 1.0 §2.2).
var errNotXML = errors.New("characters that XML cannot hold")

// reset empties w and keeps its memory.
func (w *canonical) reset() { *w = canonical{buf: w.buf[:0]} }

// open starts an element. Attributes may come in any order; they are sorted
// in place. None of ours is in a namespace but xml:lang, which is always
// alone, so that order by name is the canonical one.
func (w *canonical) open(e element, attrs ...attribute) {
	w.stack[w.depth] = e
	w.depth++
	w.buf = append(w.buf, '<')
	w.name(e)
	if ns := &namespaces[e.space]; w.declared[e.space] == 0 {
		w.declared[e.space] = w.depth
		w.buf = append(w.buf, " xmlns:"...)
		w.buf = append(w.buf, w.prefix(e.space)...)
		w.buf = append(w.buf, `="`...)
		w.buf = append(w.buf, ns.uri...)
		w.buf = append(w.buf, '"')
	}
	sortByName(attrs)
	for i := range attrs {
		w.attribute(&attrs[i])
	}
	w.buf = append(w.buf, '>')
}

// close ends the element that was opened last.
func (w *canonical) close() {
	e := w.stack[w.depth-1]
	w.buf = append(w.buf, "</"...)
	w.name(e)
	w.buf = append(w.buf, '>')
	if w.declared[e.space] == w.depth {
		w.declared[e.space] = 0
	}
	w.depth--
}

// leaf writes an element that holds text alone.
func (w *canonical) leaf(e element, text string, attrs ...attribute) {
	w.open(e, attrs...)
	w.text(text)
	w.close()
}

// text writes character data.
func (w *canonical) text(s string) { w.escape(s, &textEscapes) }

// number writes a number as character data.
func (w *canonical) number(n int64) { w.buf = strconv.AppendInt(w.buf, n, 10) }

// blank leaves room for n characters of base64, to be filled in later, and
// says where.
func (w *canonical) blank(n int) (at int) {
	at = len(w.buf)
	for range n {
		w.buf = append(w.buf, '=')
	}
	return at
}

// prefix is the one that stands for a namespace.
func (w *canonical) prefix(space namespace) string {
	if w.numbered {
		switch space {
		case nsSAML:
			return "saml2"
		case nsSAMLP:
			return "saml2p"
		}
	}
	return namespaces[space].prefix
}

func (w *canonical) name(e element) {
	w.buf = append(w.buf, w.prefix(e.space)...)
	w.buf = append(w.buf, ':')
	w.buf = append(w.buf, e.local...)
}

func (w *canonical) attribute(a *attribute) {
	if a.value == "" && a.tail == "" && a.at.IsZero() {
		return
	}
	w.buf = append(w.buf, ' ')
	w.buf = append(w.buf, a.name...)
	w.buf = append(w.buf, `="`...)
	if a.at.IsZero() {
		w.escape(a.value, &attributeEscapes)
		w.escape(a.tail, &attributeEscapes)
	} else {
		w.buf = a.at.UTC().AppendFormat(w.buf, timeFormat)
	}
	w.buf = append(w.buf, '"')
}

// timeFormat is xs:dateTime in UTC, as saml-core §1.3.3 wants it.
const timeFormat = "2006-01-02T15:04:05Z"

func sortByName(attrs []attribute) {
	for i := 1; i < len(attrs); i++ {
		for j := i; j > 0 && attrs[j].name < attrs[j-1].name; j-- {
			attrs[j], attrs[j-1] = attrs[j-1], attrs[j]
		}
	}
}

// escapes says for each byte what is written in its place: "" the byte
// itself. Bytes that need a closer look are marked in special.
type escapes [256]string

// The replacements of Canonical XML 1.0 §2.3, for text and attribute nodes.
var (
	textEscapes      = escapes{'&': "&amp;", '<': "&lt;", '>': "&gt;", '\r': "&#xD;"}
	attributeEscapes = escapes{'&': "&amp;", '<': "&lt;", '"': "&quot;", '\t': "&#x9;", '\n': "&#xA;", '\r': "&#xD;"}
)

// special marks the bytes that escape cannot copy unseen: those that text or
// attributes write differently, controls, and all beyond ASCII.
var special = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c >= utf8.RuneSelf || textEscapes[c] != "" || attributeEscapes[c] != ""
	}
	return t
}()

// escape writes s. Runs of ordinary bytes are copied whole.
func (w *canonical) escape(s string, with *escapes) {
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if !special[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if (r == utf8.RuneError && size == 1) || r == 0xFFFE || r == 0xFFFF {
				w.refuse(s)
				return
			}
			i += size
			continue
		}
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			w.refuse(s)
			return
		}
		if with[c] != "" {
			w.buf = append(w.buf, s[done:i]...)
			w.buf = append(w.buf, with[c]...)
			done = i + 1
		}
		i++
	}
	w.buf = append(w.buf, s[done:]...)
}

func (w *canonical) refuse(s string) {
	if w.err == nil {
		w.err = fmt.Errorf("%q has %w", s, errNotXML)
	}
}
