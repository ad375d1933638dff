package ldap

import (
	"context"
	"crypto/rand"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// nameAssertion finds the attributes that a template compares with a name or
// a DN, anyAssertion all that a filter looks at.
var (
	nameAssertion = regexp.MustCompile(`([A-Za-z][A-Za-z0-9;-]*)(?::[^=()]*)?=%[su]`)
	anyAssertion  = regexp.MustCompile(`\(([A-Za-z][A-Za-z0-9;-]*)(?::[^=()]*)?[~<>]?=`)
)

// asserted are the attributes that expression finds in filters, in lower
// case, sorted.
func asserted(expression *regexp.Regexp, filters ...string) []string {
	var names []string
	for _, filter := range filters {
		for _, m := range expression.FindAllStringSubmatch(filter, -1) {
			names = append(names, strings.ToLower(m[1]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkIndexes says which of the attributes that people and groups are found
// by lack an index, where the server's own configuration can be read: Active
// Directory shows its schema to everybody, OpenLDAP its cn=config to whom it
// is told to. Elsewhere only the time tells, in a directory that is large
// enough: a search that finds nobody is slow without an index.
func (d *Directory) checkIndexes(ctx context.Context, c *checkup) {
	names := asserted(nameAssertion, d.cfg.UserFilter, d.cfg.GroupFilter, d.cfg.IDAttribute+"=%s")
	var missing []string
	var known bool
	fix := "have the schema's administrators index the attribute (searchFlags 1), or leave it out of the filters"
	if d.cfg.Type == ActiveDirectory {
		missing, known = d.notIndexedInSchema(ctx, names)
	} else {
		missing, known = d.notIndexedInConfig(ctx, names)
		fix = "add to the database: index " + strings.Join(missing, ",") + " eq (olcDbIndex in cn=config, which rebuilds; slapindex with slapd.conf)"
	}
	switch {
	case !known:
		d.checkSpeed(ctx, c)
	case len(missing) > 0:
		c.add(gatehouse.FindingWarning, fix, "no index for %s: each search for a person or their groups looks at every entry", strings.Join(missing, ", "))
	default:
		c.ok("all of %s are indexed", strings.Join(names, ", "))
	}
}

// schema is what Active Directory's schema says of attributes, by their names
// in lower case.
func (d *Directory) schema(ctx context.Context, names []string) map[string]*goldap.Entry {
	root, err := d.search(ctx, query{scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"schemaNamingContext"}, most: 1})
	if err != nil || len(root) != 1 {
		return nil
	}
	var filter strings.Builder
	for _, name := range names {
		filter.WriteString("(lDAPDisplayName=" + goldap.EscapeFilter(name) + ")")
	}
	entries, err := d.search(ctx, query{base: root[0].GetEqualFoldAttributeValue("schemaNamingContext"), scope: goldap.ScopeSingleLevel, filter: "(|" + filter.String() + ")",
		attributes: []string{"lDAPDisplayName", "searchFlags", "linkID", "isMemberOfPartialAttributeSet"}, most: maxGroups})
	if err != nil {
		return nil
	}
	known := map[string]*goldap.Entry{}
	for _, e := range entries {
		known[strings.ToLower(e.GetEqualFoldAttributeValue("lDAPDisplayName"))] = e
	}
	return known
}

// notIndexedInSchema are the attributes that Active Directory has no index
// for (MS-ADTS §2.2.9). Links, such as member, need none.
func (d *Directory) notIndexedInSchema(ctx context.Context, names []string) (missing []string, known bool) {
	schema := d.schema(ctx, names)
	for _, name := range names {
		e := schema[name]
		if e == nil {
			continue
		}
		flags, err := number(e, "searchFlags")
		if err == nil && flags&1 == 0 && e.GetEqualFoldAttributeValue("linkID") == "" {
			missing = append(missing, name)
		}
	}
	return missing, len(schema) > 0
}

// notIndexedInConfig are the attributes without an index for equality in the
// database of slapd that has the people, or the groups (slapd-mdb(5)).
func (d *Directory) notIndexedInConfig(ctx context.Context, names []string) (missing []string, known bool) {
	databases, err := d.search(ctx, query{base: "cn=config", scope: goldap.ScopeWholeSubtree, filter: "(olcSuffix=*)", attributes: []string{"olcSuffix", "olcDbIndex"}, most: maxGroups})
	if err != nil {
		return nil, false
	}
	for _, e := range databases {
		for _, suffix := range e.GetEqualFoldAttributeValues("olcSuffix") {
			if !under(d.cfg.UserBaseDN, suffix) && !under(d.cfg.GroupBaseDN, suffix) {
				continue
			}
			known = true
			for _, name := range names {
				if !indexed(e.GetEqualFoldAttributeValues("olcDbIndex"), name) && !slices.Contains(missing, name) {
					missing = append(missing, name)
				}
			}
		}
	}
	return missing, known
}

// indexed reports whether values of olcDbIndex, such as "uid,mail eq,sub",
// have an index for the equality of attribute. Lines without kinds have those
// of the line "default".
func indexed(values []string, attribute string) bool {
	usual := ""
	for _, v := range values {
		if fields := strings.Fields(v); len(fields) == 2 && strings.EqualFold(fields[0], "default") {
			usual = fields[1]
		}
	}
	for _, v := range values {
		fields := append(strings.Fields(v), usual)
		if len(fields) < 2 {
			continue
		}
		for _, name := range strings.Split(fields[0], ",") {
			if strings.EqualFold(name, attribute) && slices.Contains(strings.Split(strings.ToLower(fields[1]), ","), "eq") {
				return true
			}
		}
	}
	return false
}

// What makes a search suspect: so many times what reading one entry takes,
// and so much longer. Small directories are never suspect, and lose nothing.
const (
	slowFactor  = 5
	slowAtLeast = 5 * time.Millisecond
	slowTries   = 5
)

// checkSpeed compares searches that find nobody with reading one entry.
func (d *Directory) checkSpeed(ctx context.Context, c *checkup) {
	nobody := rand.Text()
	read, err := d.quickest(ctx, query{base: d.cfg.UserBaseDN, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"1.1"}, most: 1})
	if err != nil {
		return
	}
	fix := "see that " + strings.Join(asserted(nameAssertion, d.cfg.UserFilter, d.cfg.GroupFilter), ", ") + " have an index for equality"
	for _, s := range []struct{ key, base, filter string }{
		{"user_filter", d.cfg.UserBaseDN, userFilter(d.cfg.UserFilter, nobody)},
		{"group_filter", d.cfg.GroupBaseDN, groupFilter(d.cfg.GroupFilter, "cn="+nobody+","+d.cfg.GroupBaseDN, nobody)},
	} {
		took, err := d.quickest(ctx, query{base: s.base, scope: goldap.ScopeWholeSubtree, filter: s.filter, attributes: []string{"1.1"}, most: 1})
		switch {
		case tooMuchWork(err):
			c.add(gatehouse.FindingWarning, fix, "finding nobody by %s is more than the server does: %v", s.key, err)
			return
		case err == nil && took-read > slowAtLeast && took > slowFactor*read:
			c.add(gatehouse.FindingWarning, fix, "finding nobody by %s takes %v, and reading one entry %v: an index seems to be missing",
				s.key, took.Round(time.Millisecond), read.Round(10*time.Microsecond))
			return
		}
	}
	c.ok("searches are quick; which attributes have an index is not for the service account to read")
}

// tooMuchWork reports whether a search that finds nobody was given up: the
// server has limits for those without an index, or none and no end.
func tooMuchWork(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) ||
		goldap.IsErrorAnyOf(err, goldap.LDAPResultAdminLimitExceeded, goldap.LDAPResultTimeLimitExceeded)
}

// quickest is the shortest time of a few that q takes, within the time of one
// call altogether.
func (d *Directory) quickest(ctx context.Context, q query) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	var least time.Duration
	begun := time.Now()
	for try := 0; try < slowTries && time.Since(begun) < d.cfg.Timeout/slowTries; try++ {
		start := time.Now()
		if _, err := d.search(ctx, q); err != nil {
			return 0, err
		}
		if took := time.Since(start); least == 0 || took < least {
			least = took
		}
	}
	return least, nil
}
