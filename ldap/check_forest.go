package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// checkForest looks at the catalogue's contents, where it works, and then at
// each domain that is configured or has been met.
func (d *Directory) checkForest(ctx context.Context, c *checkup, works bool) {
	if works {
		d.checkDomains(ctx, c)
		d.checkCatalogued(ctx, c)
		_, _ = d.checkPeople(ctx, c)
	}
	for _, home := range d.domains() {
		c.findings = append(c.findings, home.Check(ctx)...)
	}
}

// checkDomains compares the forest's own list of its domains (crossRef
// objects, MS-ADTS §6.1.1.2.1.1) with what is configured.
func (d *Directory) checkDomains(ctx context.Context, c *checkup) {
	root, err := d.search(ctx, query{scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"configurationNamingContext"}, most: 1})
	if err != nil || len(root) != 1 {
		return
	}
	domains, err := d.search(ctx, query{base: "CN=Partitions," + root[0].GetEqualFoldAttributeValue("configurationNamingContext"), scope: goldap.ScopeSingleLevel,
		filter: "(nETBIOSName=*)", attributes: []string{"dnsRoot", "nETBIOSName"}, most: maxGroups})
	if err != nil {
		return
	}
	for _, e := range domains {
		name, short := strings.ToLower(e.GetEqualFoldAttributeValue("dnsRoot")), e.GetEqualFoldAttributeValue("nETBIOSName")
		_, reachable := d.cfg.home(name)
		of, ours := d.claims.domain(short)
		switch {
		case !reachable:
			c.add(gatehouse.FindingWarning, "list it under domains, with urls, if its people are to sign in", "people of the forest's domain %s are refused (home_unknown)", name)
		case !ours || of != name:
			c.add(gatehouse.FindingWarning, fmt.Sprintf("set domains: {%s: {netbios: %s}}", name, short), `names such as %s\alice are not understood`, short)
		default:
			c.ok("domain %s of the forest, %s", name, short)
		}
	}
}

// checkCatalogued says which attributes of user_filter a catalogue does not
// have: it finds nobody by those.
func (d *Directory) checkCatalogued(ctx context.Context, c *checkup) {
	for name, e := range d.schema(ctx, asserted(anyAssertion, d.cfg.UserFilter)) {
		if !strings.EqualFold(e.GetEqualFoldAttributeValue("isMemberOfPartialAttributeSet"), "TRUE") {
			c.fail("take it out of user_filter", "the global catalogue does not have %s, and finds nobody by it", name)
		}
	}
}

// What trustAttributes says of a trust (MS-ADTS §6.1.6.7.9).
const (
	trustOfForest     = 0x8
	trustWithinForest = 0x20
)

// checkTrusts says what trusts do not give: people sign in to the directory
// that they are in, and groups count where they are.
func (d *Directory) checkTrusts(ctx context.Context, c *checkup) {
	domain, err := d.namingContext(ctx)
	if err != nil {
		return
	}
	trusts, err := d.search(ctx, query{base: "CN=System," + domain, scope: goldap.ScopeSingleLevel, filter: "(objectClass=trustedDomain)",
		attributes: []string{"trustPartner", "trustAttributes"}, most: maxGroups})
	if err != nil {
		return
	}
	for _, e := range trusts {
		partner := strings.ToLower(e.GetEqualFoldAttributeValue("trustPartner"))
		kind, err := number(e, "trustAttributes")
		switch {
		case err == nil && kind&trustWithinForest != 0 && d.catalog != nil:
		case err == nil && kind&trustWithinForest != 0:
			c.ok("trusts %s of the same forest, whose people are not found here: set forest, if they are to sign in", partner)
		case err == nil && kind&trustOfForest != 0:
			c.ok("trusts the forest %s, whose people are not found here: list it as a directory of its own, if they are to sign in", partner)
		default:
			c.ok("trusts %s, whose people are not found here: list it as a directory of its own, if they are to sign in", partner)
		}
	}
	d.checkForeigners(ctx, c, domain)
}

// checkForeigners finds groups that count and have members from elsewhere.
// Such a member is a name without an entry here (foreignSecurityPrincipal), and
// nothing that the person's own directory says of them leads to the group.
func (d *Directory) checkForeigners(ctx context.Context, c *checkup, domain string) {
	foreign, err := d.search(ctx, query{base: "CN=ForeignSecurityPrincipals," + domain, scope: goldap.ScopeSingleLevel,
		filter: "(objectClass=foreignSecurityPrincipal)", attributes: []string{"objectSid"}, most: maxForeigners})
	if err != nil || d.cfg.GroupBaseDN == "" {
		return
	}
	// The well-known ones, such as Authenticated Users, are nobody's people.
	foreign = slices.DeleteFunc(foreign, func(e *goldap.Entry) bool {
		return len(e.GetEqualFoldRawAttributeValue("objectSid")) < domainAccountSID
	})
	var groups []string
	for chunk := range slices.Chunk(foreign, perFilter) {
		var filter strings.Builder
		for _, e := range chunk {
			filter.WriteString("(member=" + goldap.EscapeFilter(e.DN) + ")")
		}
		found, err := d.search(ctx, query{base: d.cfg.GroupBaseDN, scope: goldap.ScopeWholeSubtree, filter: "(&(objectCategory=group)(|" + filter.String() + "))",
			attributes: []string{"1.1"}, most: maxGroups})
		if err != nil {
			return
		}
		for _, e := range found {
			groups = append(groups, e.DN)
		}
	}
	if len(groups) > 0 {
		c.add(gatehouse.FindingWarning, "give them a group of their own directory, and a rule that names that directory",
			"groups have members from another forest, who get nothing by them: %s", some(slices.Compact(slices.Sorted(slices.Values(groups))), ""))
	}
}

const (
	// maxForeigners is how many foreign principals are looked at.
	maxForeigners = 5000

	// domainAccountSID is how long the SID of an account of a domain is
	// (S-1-5-21-a-b-c-rid); well-known ones are shorter.
	domainAccountSID = 28
)
