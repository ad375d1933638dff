package directory

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Scopes of a search (RFC 4511 §4.5.1.2); the last is the draft's
// "subordinate subtree", which OpenLDAP knows as "children".
const (
	scopeBase = iota
	scopeOne
	scopeSub
	scopeChildren
)

// searchRequest is a SearchRequest as it was asked.
type searchRequest struct {
	base       string
	scope      int64
	sizeLimit  int64
	timeLimit  time.Duration
	typesOnly  bool
	filter     filter
	attributes selection
	identity   []byte // the parts that must not change between pages
	maxValues  int    // of one attribute in one answer; 0: all
}

// search answers a search request (RFC 4511 §4.5).
func (c *conn) search(m message) (outcome, error) {
	q, ok := parseSearch(m.op)
	if !ok {
		return outcome{code: codeProtocolError, text: "malformed search request"}, nil
	}
	page, ok := parsePaging(m)
	if !ok {
		return outcome{code: codeProtocolError, text: "malformed paging control"}, nil
	}
	q.maxValues = c.s.cfg.MaxValues
	if q.base == "" && q.scope == scopeBase {
		return c.searchRoot(m.id, q)
	}
	if c.who == (identity{}) {
		return c.unbound(), nil
	}
	if page != nil {
		return c.searchPage(m.id, q, page)
	}
	found, o := c.find(q)
	if most := int64(c.s.cfg.MaxEntries); most > 0 && (q.sizeLimit == 0 || q.sizeLimit > most) {
		q.sizeLimit = most
	}
	if q.sizeLimit > 0 && int64(len(found.entries)) > q.sizeLimit {
		found.entries = found.entries[:q.sizeLimit]
		o = outcome{code: codeSizeLimitExceeded}
	}
	return o, c.sendEntries(m.id, q, found.snap, found.entries)
}

// unbound is the answer to a search before a bind.
func (c *conn) unbound() outcome {
	if c.s.cfg.ActiveDirectory {
		return outcome{code: codeOperationsError, text: "00002020: Operation unavailable without authentication"}
	}
	return outcome{code: codeInsufficientAccess, text: "bind first"}
}

// parseSearch reads a SearchRequest.
func parseSearch(op *ber.Packet) (searchRequest, bool) {
	var q searchRequest
	if len(op.Children) != 8 {
		return q, false
	}
	base, ok1 := octets(op.Children[0])
	scope, ok2 := integer(op.Children[1])
	_, ok3 := integer(op.Children[2]) // aliases: there are none
	sizeLimit, ok4 := integer(op.Children[3])
	timeLimit, ok5 := integer(op.Children[4])
	typesOnly, ok6 := boolean(op.Children[5])
	f, err := parseFilter(op.Children[6])
	selected, ok7 := parseSelection(op.Children[7])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || !ok7 || err != nil {
		return q, false
	}
	if scope < scopeBase || scope > scopeChildren || sizeLimit < 0 || timeLimit < 0 || timeLimit > 1<<31-1 {
		return q, false
	}
	q = searchRequest{base: string(base), scope: scope, sizeLimit: sizeLimit,
		timeLimit: time.Duration(timeLimit) * time.Second, typesOnly: typesOnly, filter: f, attributes: selected}
	for _, i := range []int{0, 1, 6, 7} {
		q.identity = append(q.identity, op.Children[i].Bytes()...)
	}
	return q, true
}

// finding is what a search found, and where.
type finding struct {
	snap    *snapshot
	entries []*entry
}

// find runs q over the tree.
func (c *conn) find(q searchRequest) (finding, outcome) {
	found := finding{snap: c.s.tree.snapshot()}
	base, err := normalDN(q.base)
	if err != nil {
		return found, outcome{code: codeInvalidDN, text: "invalid DN"}
	}
	if base == "" && !c.s.cfg.GlobalCatalog || base != "" && !found.snap.exists(base) {
		return found, outcome{code: codeNoSuchObject, matched: found.snap.nearest(base)}
	}
	now := c.s.cfg.Now
	until := now().Add(q.timeLimit)
	run := newScan(found.snap)
	for _, e := range found.snap.candidates(base, q.scope) {
		if q.timeLimit > 0 && !now().Before(until) {
			return found, outcome{code: codeTimeLimitExceeded}
		}
		if inScope(e.key, base, q.scope) && q.filter(run, e) == isTrue {
			found.entries = append(found.entries, e)
		}
	}
	return found, outcome{}
}

// candidates spares a base search the walk over everything.
func (s *snapshot) candidates(base string, scope int64) []*entry {
	if scope != scopeBase {
		return s.order
	}
	if e := s.byKey[base]; e != nil {
		return []*entry{e}
	}
	return nil
}

func inScope(key, base string, scope int64) bool {
	switch scope {
	case scopeBase:
		return key == base
	case scopeOne:
		return parentKey(key) == base
	case scopeChildren:
		return key != base && isUnder(key, base)
	}
	return isUnder(key, base)
}

// sendEntries writes entries without waiting for the client; the result that
// follows flushes them.
func (c *conn) sendEntries(id int64, q searchRequest, snap *snapshot, entries []*entry) error {
	for _, e := range entries {
		attributes := e.attributes
		if groups := snap.memberOf(e); len(groups) > 0 {
			attributes = append(slices.Clip(attributes), attribute{description: "memberOf", base: "memberof", values: groups})
		}
		p := entryPacket(e.source.DN, attributes, q)
		if _, err := c.out.Write(envelope(id, p, nil).Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// entryPacket is a SearchResultEntry with the attributes that q selects.
func entryPacket(dn string, attributes []attribute, q searchRequest) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, opSearchEntry, nil, "")
	p.AppendChild(octetString(dn))
	list := ber.NewSequence("")
	for i := range attributes {
		a := &attributes[i]
		if !q.attributes.takes(a) {
			continue
		}
		one := ber.NewSequence("")
		description, window := q.window(a)
		if len(window) == 0 && len(a.values) > 0 {
			continue // a range beyond the last value
		}
		one.AppendChild(octetString(description))
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range window {
			if !q.typesOnly {
				values.AppendChild(octetString(v.raw))
			}
		}
		one.AppendChild(values)
		list.AppendChild(one)
	}
	p.AppendChild(list)
	return p
}

// selection is which attributes a client wants (RFC 4511 §4.5.1.8).
type selection struct {
	user, operational bool
	named             []description
}

type description struct {
	base    string
	options []string
	from    int // the first value wanted
	ranged  bool
}

func parseSelection(p *ber.Packet) (selection, bool) {
	var s selection
	if !isUniversal(p, ber.TagSequence) {
		return s, false
	}
	for _, child := range p.Children {
		attr, ok := octets(child)
		if !ok {
			return s, false
		}
		switch string(attr) {
		case "*":
			s.user = true
		case "+":
			s.operational = true
		case "1.1": // nothing, unless something else is named as well
		default:
			base, options := splitDescription(string(attr))
			d := description{base: base, options: options}
			d.takeRange()
			s.named = append(s.named, d)
		}
	}
	if len(p.Children) == 0 {
		s.user = true
	}
	return s, true
}

// takes reports whether the client may and wants to see a.
func (s selection) takes(a *attribute) bool {
	switch {
	case secret[a.base]:
		return false
	case operational[a.base] && s.operational, !operational[a.base] && s.user:
		return true
	}
	return slices.ContainsFunc(s.named, func(d description) bool {
		return d.base == a.base && hasOptions(a.options, d.options)
	})
}

// maxPages bounds the unfinished searches that one connection may keep.
const maxPages = 16

// pages are searches in progress, oldest first. A cookie is good once, and
// only on the connection that it was given to.
type pages struct{ open []pagedSearch }

type pagedSearch struct {
	cookie   string
	identity []byte
	rest     finding
	sent     int64
	total    int
	end      outcome
}

// paging is the value of a paged results control (RFC 2696).
type paging struct {
	size   int64
	cookie string
}

// parsePaging reads the control, if m has it.
func parsePaging(m message) (*paging, bool) {
	ctl := m.control(oidPaging)
	if ctl == nil {
		return nil, true
	}
	p, err := decode(ctl.value)
	if err != nil || len(p.Children) != 2 {
		return nil, false
	}
	size, ok := integer(p.Children[0])
	cookie, okCookie := octets(p.Children[1])
	if !ok || !okCookie || size < 0 {
		return nil, false
	}
	return &paging{size, string(cookie)}, true
}

// searchPage sends the next page of q, which is the first when there is no
// cookie. A size of zero gives the search up (RFC 2696 §3).
func (c *conn) searchPage(id int64, q searchRequest, page *paging) (outcome, error) {
	p, o := c.resume(q, page)
	if o.code != codeSuccess {
		return o, nil
	}
	if page.size == 0 {
		return outcome{controls: p.control("")}, nil
	}
	n := min(page.size, int64(len(p.rest.entries)))
	if most := int64(c.s.cfg.MaxEntries); most > 0 {
		n = min(n, most)
	}
	limited := q.sizeLimit > 0 && p.sent+n > q.sizeLimit
	if limited {
		n = max(0, q.sizeLimit-p.sent)
	}
	if err := c.sendEntries(id, q, p.rest.snap, p.rest.entries[:n]); err != nil {
		return outcome{}, err
	}
	if limited {
		return outcome{code: codeSizeLimitExceeded, controls: p.control("")}, nil
	}
	p.rest.entries, p.sent = p.rest.entries[n:], p.sent+n
	if len(p.rest.entries) == 0 {
		p.end.controls = p.control("")
		return p.end, nil
	}
	return outcome{controls: p.control(c.pages.keep(p))}, nil
}

// resume is the search that page continues, or a new one.
func (c *conn) resume(q searchRequest, page *paging) (pagedSearch, outcome) {
	if page.cookie != "" {
		p, ok := c.pages.take(page.cookie, q.identity)
		if !ok {
			return p, outcome{code: codeUnwilling, text: "paged results cookie is invalid"}
		}
		return p, outcome{}
	}
	found, o := c.find(q)
	if o.code != codeSuccess && o.code != codeTimeLimitExceeded {
		return pagedSearch{}, o
	}
	return pagedSearch{identity: q.identity, rest: found, total: len(found.entries), end: o}, outcome{}
}

// keep remembers p under a new cookie.
func (ps *pages) keep(p pagedSearch) string {
	p.cookie = rand.Text()
	if len(ps.open) >= maxPages {
		ps.open = ps.open[1:]
	}
	ps.open = append(ps.open, p)
	return p.cookie
}

// take removes the search of cookie. It must be asked in the same words as
// on its first page.
func (ps *pages) take(cookie string, identity []byte) (pagedSearch, bool) {
	i := slices.IndexFunc(ps.open, func(p pagedSearch) bool { return p.cookie == cookie })
	if i < 0 || !bytes.Equal(ps.open[i].identity, identity) {
		return pagedSearch{}, false
	}
	p := ps.open[i]
	ps.open = slices.Delete(ps.open, i, i+1)
	return p, true
}

// control is the response control: how many entries there are in all, and
// the cookie for more.
func (p pagedSearch) control(cookie string) []*ber.Packet {
	value := ber.NewSequence("")
	value.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, p.total, ""))
	value.AppendChild(octetString(cookie))
	return []*ber.Packet{responseControl(oidPaging, value)}
}

// compare answers a compare request (RFC 4511 §4.10).
func (c *conn) compare(m message) outcome {
	if c.who == (identity{}) {
		return c.unbound()
	}
	if len(m.op.Children) != 2 {
		return outcome{code: codeProtocolError, text: "malformed compare request"}
	}
	dn, okDN := octets(m.op.Children[0])
	a, ok := parseAssertion(m.op.Children[1])
	if !okDN || !ok {
		return outcome{code: codeProtocolError, text: "malformed compare request"}
	}
	key, err := normalDN(string(dn))
	if err != nil {
		return outcome{code: codeInvalidDN, text: "invalid DN"}
	}
	run := newScan(c.s.tree.snapshot())
	e := run.snap.byKey[key]
	if e == nil {
		return outcome{code: codeNoSuchObject, matched: run.snap.nearest(key)}
	}
	return run.compare(e, a)
}

// compare tries a on e.
func (s *scan) compare(e *entry, a assertion) outcome {
	base, options := splitDescription(a.attribute)
	if secret[base] {
		return outcome{code: codeInsufficientAccess}
	}
	if !s.decidable(base) {
		return outcome{code: codeUndefinedAttribute, text: strings.ToValidUTF8(a.attribute, "?") + ": attribute type undefined"}
	}
	if len(s.values(e, base, options)) == 0 {
		return outcome{code: codeNoSuchAttribute}
	}
	switch compareWith(a, filterEquality)(s, e) {
	case isTrue:
		return outcome{code: codeCompareTrue}
	case isFalse:
		return outcome{code: codeCompareFalse}
	}
	return outcome{code: codeInvalidSyntax, text: "invalid attribute syntax"}
}

// modify answers a modify request: one that changes nothing is fine.
func (c *conn) modify(m message) outcome {
	if c.who == (identity{}) {
		return c.unbound()
	}
	if len(m.op.Children) != 2 {
		return outcome{code: codeProtocolError, text: "malformed modify request"}
	}
	if len(m.op.Children[1].Children) > 0 {
		return outcome{code: codeUnwilling, text: "this directory is read-only"}
	}
	dn, ok := octets(m.op.Children[0])
	key, err := normalDN(string(dn))
	if !ok || err != nil {
		return outcome{code: codeInvalidDN, text: "invalid DN"}
	}
	if snap := c.s.tree.snapshot(); snap.byKey[key] == nil {
		return outcome{code: codeNoSuchObject, matched: snap.nearest(key)}
	}
	return outcome{}
}
