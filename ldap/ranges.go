package ldap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// maxValues is how many values of one attribute are read.
const maxValues = 20000

// complete reads what the server left out of attributes with many values: it
// calls the part that it gave member;range=0-1499, and is asked for the rest,
// part by part (MS-ADTS §3.1.1.3.1.3.3). A part must never be taken for the
// whole: it is an error, or, where a part will do, what there is.
func (c *conn) complete(e *goldap.Entry, partWillDo bool) error {
	if !slices.ContainsFunc(e.Attributes, func(a *goldap.EntryAttribute) bool { return strings.IndexByte(a.Name, ';') >= 0 }) {
		return nil // as nearly always
	}
	var kept []*goldap.EntryAttribute
	whole := map[string]bool{}
	for _, a := range e.Attributes {
		name, next, ranged := rangeOf(a.Name)
		if !ranged {
			kept = append(kept, a)
			continue
		}
		for next >= 0 && len(a.ByteValues) < maxValues {
			more, err := c.values(e.DN, name, next)
			if err != nil {
				return err
			}
			a.Values, a.ByteValues = append(a.Values, more.Values...), append(a.ByteValues, more.ByteValues...)
			before := next
			if _, next, _ = rangeOf(more.Name); next >= 0 && next <= before {
				return fmt.Errorf("%s of %s goes in circles at %d", name, e.DN, next)
			}
		}
		if next >= 0 && !partWillDo {
			return fmt.Errorf("%s of %s: %w", name, e.DN, errTooMany)
		}
		a.Name, whole[strings.ToLower(name)] = name, true
		kept = append(kept, a)
	}
	// Beside the first part there is the attribute itself, empty.
	e.Attributes = kept[:0]
	for _, a := range kept {
		if len(a.ByteValues) > 0 || !whole[strings.ToLower(a.Name)] {
			e.Attributes = append(e.Attributes, a)
		}
	}
	return nil
}

// values is the part of an attribute that begins at the value from.
func (c *conn) values(dn, name string, from int) (*goldap.EntryAttribute, error) {
	req := goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)",
		[]string{fmt.Sprintf("%s;range=%d-*", name, from)}, nil)
	result, err := c.Search(req)
	if err != nil {
		return nil, err
	}
	for _, e := range result.Entries {
		for _, a := range e.Attributes {
			if got, _, ranged := rangeOf(a.Name); ranged && strings.EqualFold(got, name) && len(a.ByteValues) > 0 {
				return a, nil
			}
		}
	}
	return nil, fmt.Errorf("%s of %s was cut off at %d", name, dn, from)
}

// rangeOf takes member;range=0-1499 apart: the attribute, and the value that
// the next part begins with, or -1 where this was the last (range=1500-*).
func rangeOf(description string) (name string, next int, ranged bool) {
	parts := strings.Split(description, ";")
	for i, option := range parts[1:] {
		if len(option) < 6 || !strings.EqualFold(option[:6], "range=") {
			continue
		}
		name = strings.Join(append(parts[:i+1:i+1], parts[i+2:]...), ";")
		_, last, _ := strings.Cut(option[6:], "-")
		n, err := strconv.ParseUint(last, 10, 31)
		if last == "*" {
			return name, -1, true
		}
		if err != nil {
			return description, -1, false
		}
		return name, int(n) + 1, true
	}
	return description, -1, false
}
