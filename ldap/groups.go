package ldap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

const (
	// maxDepth and maxGroups bound what one person's groups may cost. Beyond
	// them the person is refused: a part of the list could leave out the very
	// group that takes something away.
	maxDepth  = 10
	maxGroups = 2000

	// perFilter is how many alternatives go into one filter, which keeps it
	// well below the sizes that servers refuse. Identifiers are short, and
	// no more than a page of entries can have them.
	perFilter    = 100
	perSIDFilter = pageSize - 1
)

// The bounds, and what a refusal for their sake is called on the record.
var (
	errTooDeep  = refuse(gatehouse.ErrTooManyGroups, "groups_too_deep", fmt.Errorf("they are nested more than %d deep", maxDepth))
	errTooBroad = refuse(gatehouse.ErrTooManyGroups, "too_many_groups", fmt.Errorf("they are more than %d", maxGroups))
)

// Rules of matching and capabilities of Active Directory (MS-ADTS §3.1.1.3.4).
const (
	capActiveDir  = "1.2.840.113556.1.4.800"
	securityGroup = "(groupType:1.2.840.113556.1.4.803:=2147483648)"
)

// withGroups completes u with its groups.
func (d *Directory) withGroups(ctx context.Context, u gatehouse.User, explain bool) (gatehouse.User, error) {
	groups, err := d.groups(ctx, u, explain)
	if err != nil {
		return gatehouse.User{}, d.refused(fmt.Errorf("reading the groups of %s: %w", u.DN, err))
	}
	u.Groups = groups
	u.ReadAt = d.now()
	return u, nil
}

func (d *Directory) groups(ctx context.Context, u gatehouse.User, explain bool) ([]gatehouse.Group, error) {
	computes, err := d.computesGroups(ctx)
	if err != nil {
		return nil, err
	}
	if !computes {
		return d.walk(ctx, d.cfg.GroupBaseDN, u, nil)
	}
	groups, err := d.tokenGroups(ctx, u)
	if errors.Is(err, errHidden) {
		d.warnOnce(ctx)
		return d.windowsWalk(ctx, u)
	}
	if err != nil || !explain {
		return groups, err
	}
	walked, err := d.windowsWalk(ctx, u)
	if err != nil && !errors.Is(err, gatehouse.ErrTooManyGroups) {
		return nil, err
	}
	return withVia(groups, walked), nil
}

// withVia copies how each group came about from those that were walked to.
func withVia(groups, walked []gatehouse.Group) []gatehouse.Group {
	via := map[string][]string{}
	for _, g := range walked {
		via[dnKey(g.DN)] = g.Via
	}
	for i := range groups {
		groups[i].Via = via[dnKey(groups[i].DN)]
	}
	return groups
}

// computesGroups reports whether to leave nesting to the server: it is Active
// Directory, nesting is wanted, and nobody configured a filter of their own.
func (d *Directory) computesGroups(ctx context.Context) (bool, error) {
	if d.cfg.Type != ActiveDirectory || !*d.cfg.Nested || d.cfg.GroupFilter != presets[ActiveDirectory].GroupFilter {
		return false, nil
	}
	d.mu.Lock()
	known := d.computes
	d.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	entries, err := d.search(ctx, query{scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"supportedCapabilities"}, most: 1})
	if err != nil {
		return false, fmt.Errorf("reading the server's capabilities: %w", err)
	}
	// A server that does not know the rules below answers them with nothing,
	// and nothing would look like a person without groups.
	computes := len(entries) == 1 && slices.Contains(entries[0].GetEqualFoldAttributeValues("supportedCapabilities"), capActiveDir)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.computes = &computes
	return computes, nil
}

// groupFilter puts a member's DN and the person's username into a template.
// The username is empty for groups in groups: then it becomes a NUL, which
// nobody is called.
func groupFilter(template, dn, username string) string {
	name := goldap.EscapeFilter(username)
	if username == "" {
		name = `\00`
	}
	return strings.NewReplacer("%s", goldap.EscapeFilter(dn), "%u", name).Replace(template)
}

// walk goes from the person upwards, a level at a time, through groups below
// base. further are groups that they are in although no filter tells. Beyond
// a bound it returns the groups as far as it came.
func (d *Directory) walk(ctx context.Context, base string, u gatehouse.User, further []gatehouse.Group) ([]gatehouse.Group, error) {
	var groups []gatehouse.Group
	seen := map[string]bool{dnKey(u.DN): true}
	level, username := []gatehouse.Group{{DN: u.DN}}, u.Username
	for depth := 0; len(level) > 0; depth++ {
		found, err := d.parents(ctx, base, level, username, depth > 0)
		if err != nil {
			return groups, err
		}
		if depth == 0 {
			found = append(found, further...)
		}
		found = slices.DeleteFunc(found, func(g gatehouse.Group) bool {
			key := dnKey(g.DN)
			known := seen[key]
			seen[key] = true
			return known
		})
		if depth == maxDepth && len(found) > 0 {
			return groups, fmt.Errorf("%w, as far as %s", errTooDeep, found[0].DN)
		}
		if groups = append(groups, found...); len(groups) > maxGroups {
			return groups, errTooBroad
		}
		if !*d.cfg.Nested {
			break
		}
		level, username = found, ""
	}
	return groups, nil
}

// parents are the groups below base that have a member in level. For groups above groups
// their members are read as well, since only they tell the way.
func (d *Directory) parents(ctx context.Context, base string, level []gatehouse.Group, username string, trace bool) ([]gatehouse.Group, error) {
	members := memberAttributes(d.cfg.GroupFilter)
	attributes := []string{d.cfg.GroupNameAttribute}
	if trace {
		attributes = append(attributes, members...)
	}
	var groups []gatehouse.Group
	for chunk := range slices.Chunk(level, perFilter) {
		var filter strings.Builder
		for _, g := range chunk {
			filter.WriteString(groupFilter(d.cfg.GroupFilter, g.DN, username))
		}
		entries, err := d.groupEntries(ctx, base, "(|"+filter.String()+")", attributes)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			g := d.group(e)
			if trace {
				g.Via = way(e, members, chunk)
			}
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// universalGroup selects the groups whose members the catalogue knows. It may
// have those of others as well, but only of one domain.
const universalGroup = "(groupType:1.2.840.113556.1.4.803:=8)"

// groupEntries are the groups below base that filter selects, all of them; in
// a domain of a forest also the universal ones of all domains. A base of
// nothing is nowhere in the domain.
func (d *Directory) groupEntries(ctx context.Context, base, filter string, attributes []string) (entries []*goldap.Entry, err error) {
	q := query{base: base, scope: goldap.ScopeWholeSubtree, filter: filter, attributes: attributes, most: maxGroups, partWillDo: true}
	if d.catalog == nil || base != "" {
		entries, err = d.search(ctx, q)
	}
	if d.catalog != nil && err == nil {
		q.base, q.filter = d.catalog.cfg.BaseDN, "(&"+universalGroup+filter+")"
		var universal []*goldap.Entry
		universal, err = d.catalog.search(ctx, q)
		entries = append(entries, universal...)
	}
	if errors.Is(err, errTooMany) {
		return nil, errTooBroad
	}
	if err != nil {
		return nil, err
	}
	return entries, nil
}

func (d *Directory) group(e *goldap.Entry) gatehouse.Group {
	return gatehouse.Group{DN: e.DN, Name: e.GetEqualFoldAttributeValue(d.cfg.GroupNameAttribute)}
}

// way is the chain of groups by which a member of below is in e: one chain,
// where there are several. It is empty when e does not show the member, as
// one of more than maxValues may not.
func way(e *goldap.Entry, members []string, below []gatehouse.Group) []string {
	byDN, byKey := map[string]int{}, map[string]int{}
	for i, g := range below {
		byDN[g.DN], byKey[dnKey(g.DN)] = i, i
	}
	var values []string
	for _, name := range members {
		values = append(values, e.GetEqualFoldAttributeValues(name)...)
	}
	for _, v := range values {
		if i, ok := byDN[v]; ok {
			return append(slices.Clone(below[i].Via), below[i].DN)
		}
	}
	for _, v := range values {
		if i, ok := byKey[dnKey(v)]; ok {
			return append(slices.Clone(below[i].Via), below[i].DN)
		}
	}
	return nil
}

var memberAssertion = regexp.MustCompile(`([A-Za-z][A-Za-z0-9;-]*)(?::[^=()]*)?=%s`)

// memberAttributes are the attributes in which a filter looks for a DN.
func memberAttributes(template string) []string {
	var names []string
	for _, m := range memberAssertion.FindAllStringSubmatch(template, -1) {
		names = append(names, m[1])
	}
	return names
}

// dnKey makes two spellings of one DN equal. Servers change the spelling on
// the way: uid=w\,comma comes back as uid=w\2Ccomma.
func dnKey(dn string) string {
	if plainDN(dn) {
		return strings.ToLower(dn)
	}
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return "?" + strings.ToLower(dn)
	}
	rdns := make([]string, len(parsed.RDNs))
	for i, rdn := range parsed.RDNs {
		var parts []string
		for _, a := range rdn.Attributes {
			parts = append(parts, strings.ToLower(a.Type)+"="+separators.Replace(strings.ToLower(a.Value)))
		}
		slices.Sort(parts)
		rdns[i] = strings.Join(parts, "+")
	}
	return strings.Join(rdns, ",")
}

var separators = strings.NewReplacer(`\`, `\5c`, ",", `\2c`, "+", `\2b`)

// plainDN reports whether dn can be spelt in one way only, but for case:
// nothing is escaped or quoted, and no space stands where it means nothing.
// Most are like that, and need no parsing.
func plainDN(dn string) bool {
	for i := range len(dn) {
		switch c := dn[i]; c {
		case '\\', '"', '+', ';', '<', '>', '#':
			return false
		case ' ':
			if i == 0 || i == len(dn)-1 || strings.IndexByte(",= ", dn[i-1]) >= 0 || strings.IndexByte(",= ", dn[i+1]) >= 0 {
				return false
			}
		}
	}
	return true
}

// errHidden: the service account may not read tokenGroups.
var errHidden = errors.New("tokenGroups cannot be read")

// tokenGroups are the groups that Windows itself would give the person:
// nested, the primary group among them, distribution lists left out
// (MS-ADTS §3.1.1.4.5.19). The attribute holds SIDs, which are looked up.
func (d *Directory) tokenGroups(ctx context.Context, u gatehouse.User) ([]gatehouse.Group, error) {
	entries, err := d.search(ctx, query{base: u.DN, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)",
		attributes: []string{"tokenGroups", "objectSid"}, most: 1})
	if code, answered := resultCode(err); answered && (code == goldap.LDAPResultOperationsError || code == goldap.LDAPResultInsufficientAccessRights) {
		return nil, errHidden
	}
	if errors.Is(err, errTooMany) {
		return nil, errTooBroad
	}
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("%s cannot be read any more", u.DN)
	}
	sids := entries[0].GetEqualFoldRawAttributeValues("tokenGroups")
	if len(sids) == 0 {
		return nil, errHidden // everybody has a primary group
	}
	if len(sids) > maxGroups {
		return nil, errTooBroad
	}
	if d.catalog == nil {
		return d.bySID(ctx, d.cfg.GroupBaseDN, sids)
	}
	own, others := splitSIDs(entries[0].GetEqualFoldRawAttributeValue("objectSid"), sids)
	groups, err := d.ownBySID(ctx, own)
	if err != nil {
		return nil, err
	}
	universal, err := d.catalog.bySID(ctx, d.catalog.cfg.GroupBaseDN, others)
	if err != nil {
		return nil, err
	}
	return append(groups, universal...), nil
}

// ownBySID are the groups of a forest's domain, where any of its groups count.
func (d *Directory) ownBySID(ctx context.Context, sids [][]byte) ([]gatehouse.Group, error) {
	if d.cfg.GroupBaseDN == "" {
		return nil, nil
	}
	return d.bySID(ctx, d.cfg.GroupBaseDN, sids)
}

// bySID are the security groups below base with those identifiers.
func (d *Directory) bySID(ctx context.Context, base string, sids [][]byte) ([]gatehouse.Group, error) {
	var groups []gatehouse.Group
	for chunk := range slices.Chunk(sids, perSIDFilter) {
		var filter strings.Builder
		filter.WriteString("(&(objectCategory=group)" + securityGroup + "(|")
		for _, sid := range chunk {
			filter.WriteString("(objectSid=" + escapeBytes(sid) + ")")
		}
		filter.WriteString("))")
		// So few need no paging, which makes Samba four times slower.
		entries, err := d.search(ctx, query{base: base, scope: goldap.ScopeWholeSubtree, filter: filter.String(),
			attributes: []string{d.cfg.GroupNameAttribute}, most: len(chunk) + 1})
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			groups = append(groups, d.group(e))
		}
	}
	return groups, nil
}

// windowsWalk walks as Windows does, for a service account that may not read
// tokenGroups, and for the ways that tokenGroups does not tell: through
// security groups alone, and from the primary group, too, which is nobody's
// member attribute. The server's own rule "in chain" is of no use for that:
// it also goes through distribution lists, to groups that Windows would not give.
// The way may lead through groups that do not count themselves.
func (d *Directory) windowsWalk(ctx context.Context, u gatehouse.User) ([]gatehouse.Group, error) {
	primary, err := d.primaryGroup(ctx, u)
	if err != nil {
		return nil, err
	}
	groups, err := d.walk(ctx, d.cfg.BaseDN, u, primary)
	place := d.cfg.GroupBaseDN
	if d.catalog != nil {
		place = d.catalog.cfg.GroupBaseDN
	}
	return slices.DeleteFunc(groups, func(g gatehouse.Group) bool { return !under(g.DN, place) }), err
}

func (d *Directory) primaryGroup(ctx context.Context, u gatehouse.User) ([]gatehouse.Group, error) {
	entries, err := d.search(ctx, query{base: u.DN, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)",
		attributes: []string{"objectSid", "primaryGroupID"}, most: 1})
	if err != nil {
		return nil, fmt.Errorf("reading the primary group: %w", err)
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("%s cannot be read any more", u.DN)
	}
	rid, err := strconv.ParseUint(entries[0].GetEqualFoldAttributeValue("primaryGroupID"), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("primaryGroupID: %w", err)
	}
	sid, err := primaryGroupSID(entries[0].GetEqualFoldRawAttributeValue("objectSid"), uint32(rid))
	if err != nil {
		return nil, err
	}
	return d.bySID(ctx, d.cfg.BaseDN, [][]byte{sid})
}

func (d *Directory) warnOnce(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.warned {
		d.log.LogAttrs(ctx, slog.LevelWarn, "directory hides tokenGroups from the service account; nested groups cost more without",
			slog.String("directory", d.cfg.Name))
	}
	d.warned = true
}
