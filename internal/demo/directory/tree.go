package directory

import (
	"cmp"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// tree holds the entries. Readers work on a snapshot, which is made anew on
// the first read after a change; entries themselves never change.
type tree struct {
	suffix string // key
	ad     bool
	now    func() time.Time

	mu      sync.Mutex
	entries map[string]*entry
	next    int
	current *snapshot
}

// entry is one entry, with its values prepared for matching.
type entry struct {
	source     Entry // as it was put
	key        string
	name       []rdn
	seq        int
	created    string
	attributes []attribute // sorted by name
}

// attribute is one attribute description and its values.
type attribute struct {
	description string // as it was put, options and all
	base        string // attributeName of the part before the options
	options     []string
	values      []value
}

// value is one value, and how it compares. A value that does not fit the
// attribute's syntax is returned, but matches nothing.
type value struct {
	raw     string
	normal  string
	matches bool
}

// snapshot is the tree at one moment.
type snapshot struct {
	order    []*entry // as they were put
	byKey    map[string]*entry
	glue     map[string]bool     // DNs that only exist because something is below them
	listedIn map[string][]*entry // groups by the DNs they list
	known    map[string]bool     // attributes that occur
}

func newTree(suffix string, ad bool, now func() time.Time) (*tree, error) {
	key, err := normalDN(suffix)
	if err != nil || key == "" {
		return nil, fmt.Errorf("directory: suffix %q: %w", suffix, cmp.Or(err, errDN))
	}
	return &tree{suffix: key, ad: ad, now: now, entries: map[string]*entry{}}, nil
}

// put adds or replaces an entry. A replaced entry keeps its place, and what
// the server made up for it.
func (t *tree) put(e Entry) error {
	parsed, err := parseDN(e.DN)
	if err != nil {
		return fmt.Errorf("directory: entry %q: %w", e.DN, err)
	}
	key := dnKey(parsed)
	if key == "" || !isUnder(key, t.suffix) {
		return fmt.Errorf("directory: entry %q is not under the suffix", e.DN)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.place(&entry{key: key, name: parsed, source: e})
	return nil
}

// place completes made and puts it into the tree, which is locked.
func (t *tree) place(made *entry) {
	made.seq, made.created = t.next, formatTime(t.now())
	if old := t.entries[made.key]; old != nil {
		made.seq, made.created = old.seq, old.created
	} else {
		t.next++
	}
	made.fill(t.ad)
	t.entries[made.key] = made
	t.current = nil
}

// remove deletes the entry dn.
func (t *tree) remove(dn string) error {
	key, err := normalDN(dn)
	if err != nil {
		return fmt.Errorf("directory: delete %q: %w", dn, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries[key] == nil {
		return fmt.Errorf("directory: delete %q: no such entry", dn)
	}
	delete(t.entries, key)
	t.current = nil
	return nil
}

// change replaces single attributes of an entry; a nil slice removes one.
func (t *tree) change(key string, changes map[string][]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[key]
	if e == nil {
		return
	}
	attributes := maps.Clone(e.source.Attributes)
	for name, values := range changes {
		maps.DeleteFunc(attributes, func(k string, _ []string) bool { return strings.EqualFold(k, name) })
		if values != nil {
			attributes[name] = values
		}
	}
	t.place(&entry{key: key, name: e.name, source: Entry{DN: e.source.DN, Attributes: attributes}})
}

// snapshot is the tree as it is now.
func (t *tree) snapshot() *snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil {
		t.current = t.build()
	}
	return t.current
}

func (t *tree) build() *snapshot {
	s := &snapshot{
		order:    slices.SortedFunc(maps.Values(t.entries), func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) }),
		byKey:    maps.Clone(t.entries),
		glue:     map[string]bool{t.suffix: true},
		listedIn: map[string][]*entry{},
		known:    map[string]bool{},
	}
	for _, e := range s.order {
		for key := parentKey(e.key); isUnder(key, t.suffix) && !s.glue[key]; key = parentKey(key) {
			s.glue[key] = true
		}
		for i := range e.attributes {
			s.known[e.attributes[i].base] = true
		}
		for member := range e.members() {
			s.listedIn[member] = append(s.listedIn[member], e)
		}
	}
	return s
}

// exists reports whether a search may start at key.
func (s *snapshot) exists(key string) bool { return s.byKey[key] != nil || s.glue[key] }

// nearest is the DN of the closest entry at or above key (matchedDN).
func (s *snapshot) nearest(key string) string {
	for ; key != ""; key = parentKey(key) {
		if e := s.byKey[key]; e != nil {
			return e.source.DN
		}
	}
	return ""
}

// fill takes over the source's attributes, as a copy of its own, and makes up
// those that every entry has.
func (e *entry) fill(ad bool) {
	source := e.source
	e.source = Entry{DN: source.DN, Attributes: map[string][]string{}}
	for description, values := range source.Attributes {
		if attributeName(description) == "memberof" {
			continue // computed, so that it cannot disagree with the groups
		}
		e.source.Attributes[description] = slices.Clone(values)
		e.add(description, values...)
	}
	for _, a := range e.firstRDN() {
		// X.501 §8.3: the naming values are values of the entry.
		if !e.holds(a) {
			e.add(a.attribute, a.value)
		}
	}
	e.addMissing("entryUUID", nameUUID(e.key))
	e.addMissing("createTimestamp", e.created)
	e.add("entryDN", source.DN)
	if ad {
		e.addMissing("distinguishedName", source.DN)
		if guid := objectGUID(e.first("entryuuid")); guid != "" {
			e.addMissing("objectGUID", guid)
		}
	}
	slices.SortFunc(e.attributes, func(a, b attribute) int {
		return cmp.Or(-compareBool(a.base == "objectclass", b.base == "objectclass"), cmp.Compare(a.description, b.description))
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (e *entry) firstRDN() rdn {
	if len(e.name) == 0 {
		return nil
	}
	return e.name[0]
}

// add appends values to the attribute of that description.
func (e *entry) add(description string, values ...string) {
	if len(values) == 0 {
		return
	}
	base, options := splitDescription(description)
	i := slices.IndexFunc(e.attributes, func(a attribute) bool {
		return a.base == base && slices.Equal(a.options, options)
	})
	if i < 0 {
		i = len(e.attributes)
		e.attributes = append(e.attributes, attribute{description: description, base: base, options: options})
	}
	for _, v := range values {
		normal, err := syntaxes[base].normalize(v)
		e.attributes[i].values = append(e.attributes[i].values, value{raw: v, normal: normal, matches: err == nil})
	}
}

func (e *entry) addMissing(description, v string) {
	if e.first(attributeName(description)) == "" {
		e.add(description, v)
	}
}

// splitDescription takes cn;lang-de apart (RFC 4512 §2.5). Options are sorted.
func splitDescription(description string) (base string, options []string) {
	parts := strings.Split(strings.ToLower(description), ";")
	options = parts[1:]
	slices.Sort(options)
	return attributeName(parts[0]), options
}

// all are the values of the attribute base, whatever their options.
func (e *entry) all(base string) []value {
	var values []value
	for i := range e.attributes {
		if a := &e.attributes[i]; a.base == base {
			if values == nil {
				values = a.values
			} else {
				values = append(slices.Clip(values), a.values...)
			}
		}
	}
	return values
}

// first is the first value of an attribute, or empty.
func (e *entry) first(base string) string {
	if values := e.all(base); len(values) > 0 {
		return values[0].raw
	}
	return ""
}

// has reports whether the entry has the attribute.
func (e *entry) has(base string) bool { return len(e.all(base)) > 0 }

// holds reports whether a is among the entry's values.
func (e *entry) holds(a assertion) bool {
	normal, err := syntaxes[a.attribute].normalize(a.value)
	return err == nil && slices.ContainsFunc(e.all(a.attribute), func(v value) bool { return v.matches && v.normal == normal })
}

// members are the keys of everybody whom the entry lists.
func (e *entry) members() map[string]bool {
	keys := map[string]bool{}
	for _, base := range []string{"member", "uniquemember"} {
		for _, v := range e.all(base) {
			if v.matches {
				keys[v.normal] = true
			}
		}
	}
	return keys
}

// nameUUID is a version 5 UUID of a normal DN (RFC 9562 §5.5).
func nameUUID(key string) string {
	const nameSpaceX500 = "\x6b\xa7\xb8\x14\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8" // RFC 9562 §6.6
	sum := sha1.Sum([]byte(nameSpaceX500 + key))                                             // what version 5 is made of; nothing rests on its strength
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x50
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// objectGUID is a UUID as Active Directory stores it: the first three fields
// in little endian (MS-DTYP 2.3.4.2). It is empty if uuid is none.
func objectGUID(uuid string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil || len(b) != 16 {
		return ""
	}
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return string(b)
}
