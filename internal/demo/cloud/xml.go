package cloud

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/beevik/etree"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"

	maxDepth            = 50    // a Response is about ten deep
	maxElements         = 5000  // 400 roles fill the size limit with 400 AttributeValues
	maxMetadataElements = 50000 // ten entities with everything
)

// wellFormed reads a document once, strictly, before anything else does. It
// refuses what one XML parser reads differently from another, and so what
// attacks are made of: document types, processing instructions, a second
// root, attributes given twice, names with several colons, other encodings.
func wellFormed(raw []byte, elements int) error {
	d := xml.NewDecoder(bytes.NewReader(raw))
	depth, roots := 0, 0
	for first := true; ; first = false {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			depth++
			elements--
			if depth == 1 {
				roots++
			}
			if depth > maxDepth || elements < 0 {
				return errors.New("too many elements")
			}
			err = checkNames(t)
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(t)) > 0 {
				return errors.New("text outside the root element")
			}
		case xml.Directive:
			return errors.New("a document type is not allowed")
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				return errors.New("a processing instruction is not allowed")
			}
		}
		if err != nil {
			return err
		}
	}
	if roots != 1 {
		return fmt.Errorf("%d root elements", roots)
	}
	return nil
}

func checkNames(t xml.StartElement) error {
	if t.Name.Local == "" || strings.Contains(t.Name.Local, ":") {
		return fmt.Errorf("element name %q", t.Name.Local)
	}
	seen := make(map[xml.Name]bool, len(t.Attr))
	for _, a := range t.Attr {
		if seen[a.Name] || strings.Contains(a.Name.Local, ":") {
			return fmt.Errorf("attribute %q", a.Name.Local)
		}
		seen[a.Name] = true
	}
	return nil
}

// parseXML is the document's root, after wellFormed.
func parseXML(raw []byte) (*etree.Element, error) {
	if err := wellFormed(raw, maxElements); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	doc.ReadSettings.MaxDepth = maxDepth + 1
	doc.ReadSettings.PreserveDuplicateAttrs = true
	if err := doc.ReadFromBytes(raw); err != nil {
		return nil, err
	}
	if doc.Root() == nil {
		return nil, errors.New("no root element")
	}
	// Prefixes without a declaration are an error here, not later.
	err := etreeutils.NSTraverse(etreeutils.NewDefaultNSContext(), doc.Root(),
		func(ctx etreeutils.NSContext, el *etree.Element) error {
			_, err := ctx.LookupPrefix(el.Space)
			return err
		})
	return doc.Root(), err
}

// is tells whether el is the named element.
func is(el *etree.Element, ns, tag string) bool {
	return el != nil && el.Tag == tag && el.NamespaceURI() == ns
}

// children are el's own children of that name.
func children(el *etree.Element, ns, tag string) []*etree.Element {
	if el == nil {
		return nil
	}
	var found []*etree.Element
	for _, c := range el.ChildElements() {
		if is(c, ns, tag) {
			found = append(found, c)
		}
	}
	return found
}

// child is el's only child of that name, or nil where there is none or more than one.
func child(el *etree.Element, ns, tag string) *etree.Element {
	if found := children(el, ns, tag); len(found) == 1 {
		return found[0]
	}
	return nil
}

// everywhere are el and its descendants of that name.
func everywhere(el *etree.Element, ns, tag string) []*etree.Element {
	var found []*etree.Element
	if is(el, ns, tag) {
		found = append(found, el)
	}
	for _, c := range el.ChildElements() {
		found = append(found, everywhere(c, ns, tag)...)
	}
	return found
}

// text is all of el's character data. A comment within does not end it: that
// was how a NameID could be cut short (CVE-2018-0489 and its siblings).
func text(el *etree.Element) string {
	if el == nil {
		return ""
	}
	var b strings.Builder
	for _, c := range el.Child {
		if data, ok := c.(*etree.CharData); ok {
			b.WriteString(data.Data)
		}
	}
	return b.String()
}

// attr is the value of an attribute without a namespace.
func attr(el *etree.Element, name string) string {
	if el == nil {
		return ""
	}
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value
		}
	}
	return ""
}
