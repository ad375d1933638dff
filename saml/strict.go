package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits on documents from outside. Real requests are under 10 KiB, seven
// elements deep at most, signature included.
const (
	maxElements   = 2000
	maxNesting    = 32
	maxAttributes = 64
	maxPrefixes   = 32 // declared at one place, those of the elements around it included
)

// strictness is what a document may have besides elements and text.
type strictness struct {
	comments bool                                            // allowed, as in metadata
	element  func(path []xml.Name, e xml.StartElement) error // called for each, names and attributes resolved
}

// scan reads document token by token and refuses what parsers disagree
// about: a second root, text outside of it, a DTD, processing instructions,
// comments (unless allowed), attributes that occur twice, prefixes that
// nobody declared, an ID that two elements have. encoding/xml lets all of
// these pass.
func scan(document []byte, rules strictness) error {
	s := &scanner{decoder: xml.NewDecoder(bytes.NewReader(document)), rules: rules, ids: map[string]bool{}}
	for first := true; ; first = false {
		token, err := s.decoder.RawToken()
		if err == io.EOF {
			return s.finished()
		}
		if err != nil {
			return fmt.Errorf("not well-formed: %w", err)
		}
		if err := s.token(token, first); err != nil {
			return err
		}
	}
}

type scanner struct {
	decoder  *xml.Decoder
	rules    strictness
	open     []xml.Name // as they were spelt: prefix and name
	path     []xml.Name // the same, resolved
	scopes   []map[string]string
	ids      map[string]bool
	elements int
}

func (s *scanner) finished() error {
	if len(s.open) > 0 || s.elements == 0 {
		return errors.New("not well-formed: it ends too early")
	}
	return nil
}

func (s *scanner) token(t xml.Token, first bool) error {
	switch t := t.(type) {
	case xml.Directive:
		return errors.New("it has a document type declaration")
	case xml.Comment:
		if !s.rules.comments {
			return errors.New("it has a comment")
		}
	case xml.ProcInst:
		if !first || t.Target != "xml" {
			return errors.New("it has a processing instruction")
		}
	case xml.CharData:
		if len(s.open) == 0 && len(bytes.Trim(t, " \t\r\n\ufeff")) > 0 {
			return errors.New("it has text outside of its root element")
		}
	case xml.StartElement:
		return s.start(t)
	case xml.EndElement:
		return s.end(t)
	}
	return nil
}

func (s *scanner) start(e xml.StartElement) error {
	if len(s.open) == 0 && s.elements > 0 {
		return errors.New("it has two root elements")
	}
	if s.elements++; s.elements > maxElements || len(s.open) >= maxNesting || len(e.Attr) > maxAttributes {
		return errors.New("it is too deep or too large")
	}
	s.open = append(s.open, e.Name)
	if err := s.declare(e.Attr); err != nil {
		return err
	}
	if err := s.resolve(&e); err != nil {
		return err
	}
	if err := s.attributes(e.Attr); err != nil {
		return err
	}
	s.path = append(s.path, e.Name)
	if s.rules.element != nil {
		return s.rules.element(s.path, e)
	}
	return nil
}

func (s *scanner) end(e xml.EndElement) error {
	last := len(s.open) - 1
	if last < 0 || s.open[last] != e.Name {
		return fmt.Errorf("not well-formed: unexpected end of %s", e.Name.Local)
	}
	s.open, s.path, s.scopes = s.open[:last], s.path[:last], s.scopes[:last]
	return nil
}

// declare opens the scope of an element's namespace declarations. Elements
// without one share their parent's.
func (s *scanner) declare(attrs []xml.Attr) error {
	var scope map[string]string
	if n := len(s.scopes); n > 0 {
		scope = s.scopes[n-1]
	}
	copied := false
	for _, a := range attrs {
		prefix, ok := declaration(a.Name)
		if !ok {
			continue
		}
		if prefix == "xml" || prefix == "xmlns" || (prefix != "" && a.Value == "") {
			return fmt.Errorf("it declares the prefix %q wrongly", prefix)
		}
		if !copied {
			scope, copied = cloned(scope), true
		}
		if scope[prefix] = a.Value; len(scope) > maxPrefixes {
			return errors.New("it declares too many prefixes")
		}
	}
	s.scopes = append(s.scopes, scope)
	return nil
}

func cloned(scope map[string]string) map[string]string {
	c := make(map[string]string, len(scope)+2)
	for k, v := range scope {
		c[k] = v
	}
	return c
}

// declaration says which prefix an attribute declares, if it does.
func declaration(name xml.Name) (prefix string, ok bool) {
	switch {
	case name.Space == "xmlns":
		return name.Local, true
	case name.Space == "" && name.Local == "xmlns":
		return "", true
	}
	return "", false
}

// resolve puts namespaces in place of prefixes, and takes the declarations out.
func (s *scanner) resolve(e *xml.StartElement) error {
	if strings.Contains(e.Name.Local, ":") {
		return fmt.Errorf("%q is no name", e.Name.Local)
	}
	scope := s.scopes[len(s.scopes)-1]
	space, ok := scope[e.Name.Space]
	if !ok && e.Name.Space != "" {
		return fmt.Errorf("nobody declares the prefix %q", e.Name.Space)
	}
	e.Name.Space = space
	kept := e.Attr[:0:0]
	for _, a := range e.Attr {
		if _, is := declaration(a.Name); is {
			continue
		}
		if strings.Contains(a.Name.Local, ":") {
			return fmt.Errorf("%q is no name", a.Name.Local)
		}
		switch a.Name.Space {
		case "":
		case "xml":
			a.Name.Space = nsXML
		default:
			if a.Name.Space, ok = scope[a.Name.Space]; !ok {
				return errors.New("an attribute has a prefix that nobody declares")
			}
		}
		kept = append(kept, a)
	}
	return s.declaredOnce(e, kept)
}

const nsXML = "http://www.w3.org/XML/1998/namespace"

// declaredOnce refuses two declarations of one prefix, then forgets them.
func (s *scanner) declaredOnce(e *xml.StartElement, kept []xml.Attr) error {
	for i, a := range e.Attr {
		for _, b := range e.Attr[:i] {
			if a.Name == b.Name {
				return fmt.Errorf("the attribute %q occurs twice", a.Name.Local)
			}
		}
	}
	e.Attr = kept
	return nil
}

// attributes refuses what occurs twice, and IDs that were seen before. What a
// verifier takes for an ID differs, so all spellings count.
func (s *scanner) attributes(attrs []xml.Attr) error {
	for i, a := range attrs {
		for _, b := range attrs[:i] {
			if a.Name == b.Name {
				return fmt.Errorf("the attribute %q occurs twice", a.Name.Local)
			}
		}
		if !strings.EqualFold(a.Name.Local, "id") {
			continue
		}
		if s.ids[a.Value] {
			return fmt.Errorf("two elements have the ID %q", a.Value)
		}
		s.ids[a.Value] = true
	}
	return nil
}
