package directory

import (
	"slices"
	"strconv"
	"strings"
)

// inCatalog are the attributes that a global catalogue has of entries
// (isMemberOfPartialAttributeSet, MS-ADSC), as far as sign-in meets them. The
// password is there because this server proves it itself: a real one asks the
// person's own domain.
var inCatalog = map[string]bool{
	"objectclass": true, "objectcategory": true, "cn": true, "ou": true, "dc": true, "name": true, "distinguishedname": true,
	"objectguid": true, "entryuuid": true, "objectsid": true, "samaccountname": true, "userprincipalname": true,
	"displayname": true, "mail": true, "useraccountcontrol": true, "grouptype": true, "userpassword": true,
}

// universal is the bit of groupType that says so (MS-ADTS §2.2.12).
const universal = 8

// partial leaves of an entry what a global catalogue has of it: members only
// of universal groups.
func partial(e Entry) Entry {
	p := Entry{DN: e.DN, Attributes: map[string][]string{}}
	isUniversal := false
	for description, values := range e.Attributes {
		if base, _ := splitDescription(description); base == "grouptype" && len(values) > 0 {
			n, err := strconv.ParseInt(values[0], 10, 64)
			isUniversal = err == nil && n&universal != 0
		}
	}
	for description, values := range e.Attributes {
		base, _ := splitDescription(description)
		if inCatalog[base] || base == "member" && isUniversal {
			p.Attributes[description] = values
		}
	}
	return p
}

// window is the part of an attribute's values that one answer holds, and how
// that part is called (MS-ADTS §3.1.1.3.1.3.3, range retrieval): without a
// limit, all of them under their own name.
func (q searchRequest) window(a *attribute) (description string, values []value) {
	from, ranged := q.attributes.from(a)
	if !ranged && (q.maxValues == 0 || len(a.values) <= q.maxValues) {
		return a.description, a.values
	}
	rest := a.values[min(from, len(a.values)):]
	if q.maxValues > 0 && len(rest) > q.maxValues {
		to := from + q.maxValues
		return a.description + ";range=" + strconv.Itoa(from) + "-" + strconv.Itoa(to-1), a.values[from:to]
	}
	return a.description + ";range=" + strconv.Itoa(from) + "-*", rest
}

// from is the first value of a that a client wants, if it asked for a range.
func (s selection) from(a *attribute) (first int, ranged bool) {
	for _, d := range s.named {
		if d.base == a.base && d.ranged {
			return d.from, true
		}
	}
	return 0, false
}

// takeRange takes the option range=N-… out of a description.
func (d *description) takeRange() {
	for i, o := range d.options {
		text, ok := strings.CutPrefix(o, "range=")
		if !ok {
			continue
		}
		first, _, _ := strings.Cut(text, "-")
		n, err := strconv.Atoi(first)
		if err == nil && n >= 0 {
			d.from, d.ranged = n, true
			d.options = slices.Delete(slices.Clone(d.options), i, i+1)
		}
		return
	}
}
