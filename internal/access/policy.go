package access

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/saml"
)

// Policy turns a person's groups into what they may have. It is pure: the
// same person and the same rules always give the same answer, and what no
// rule gives is denied.
type Policy struct {
	rules    []*rule
	accounts map[string]gatehouse.Account
}

// rule is a Rule, ready to be applied.
type rule struct {
	Rule
	number  int
	under   dn              // nil where groups are whole DNs only
	pattern *regexp.Regexp  // nil where groups are named
	groups  []dn            // whole DNs
	names   map[string]bool // bare names, folded; they count below under only
	roles   []gatehouse.Role
	tagKeys []string // of SessionTags, sorted
}

// NewPolicy makes a policy of rules over the accounts, directories and
// service providers (by name) that the configuration lists. It reports every
// rule that speaks of something that is not there.
func NewPolicy(cfg Config, accounts []gatehouse.Account, directories, providers []string) (*Policy, []gatehouse.Fault) {
	p := &Policy{accounts: make(map[string]gatehouse.Account, len(accounts))}
	for _, a := range accounts {
		p.accounts[a.ID] = a
	}
	var faults []gatehouse.Fault
	for i, r := range cfg.Access.Rules {
		fault := func(key, format string, args ...any) {
			faults = append(faults, gatehouse.Fault{Key: fmt.Sprintf("access.rules[%d]%s", i, key), What: fmt.Sprintf(format, args...)})
		}
		if len(r.validate()) > 0 {
			continue // Config.Validate has said it
		}
		switch {
		case r.Directory == "" && len(directories) == 1:
			r.Directory = directories[0]
		case r.Directory == "":
			fault(".directory", "is missing: with several directories each rule names its own")
		case !slices.Contains(directories, r.Directory):
			fault(".directory", "%q is not among directories", r.Directory)
		}
		if r.ServiceProvider != "" && !slices.Contains(providers, r.ServiceProvider) {
			fault(".service_provider", "%q is not among saml.service_providers", r.ServiceProvider)
		}
		compiled := compile(r, i+1)
		for k, role := range compiled.roles {
			account, ok := p.accounts[role.Account]
			if !ok {
				fault(fmt.Sprintf(".roles[%d]", k), "account %s is not among aws.accounts", role.Account)
			} else if role.Partition != partition(account) {
				fault(fmt.Sprintf(".roles[%d]", k), "account %s is in partition %s", role.Account, partition(account))
			}
		}
		p.rules = append(p.rules, compiled)
	}
	return p, faults
}

// Rules are the rules that were configured, each with its directory.
func (p *Policy) Rules() []Rule {
	var all []Rule
	for _, r := range p.rules {
		all = append(all, r.Rule)
	}
	return all
}

// compile prepares a valid rule.
func compile(r Rule, number int) *rule {
	c := &rule{Rule: r, number: number, names: map[string]bool{}, tagKeys: sortedKeys(r.SessionTags)}
	if r.Under != "" {
		c.under, _ = parseDN(r.Under)
	}
	if r.GroupPattern != "" {
		// The whole name counts: an operator's missing $ must not widen a rule.
		c.pattern = regexp.MustCompile(`^(?:` + r.GroupPattern + `)$`)
	}
	for _, g := range r.Groups {
		if name, err := parseDN(g); err == nil {
			c.groups = append(c.groups, name)
		} else {
			c.names[fold(g)] = true
		}
	}
	for _, arn := range r.Roles {
		role, _ := gatehouse.ParseRoleARN(arn)
		c.roles = append(c.roles, role)
	}
	return c
}

func partition(a gatehouse.Account) string { return cmp.Or(a.Partition, "aws") }

// membership is one of a person's groups. Its DN is parsed when a rule first
// asks, since most groups are told apart by their names already.
type membership struct {
	gatehouse.Group
	parsed bool
	name   dn
}

// dn is the group's parsed name; nil where the DN is none: such a group gives nothing.
func (g *membership) dn() dn {
	if !g.parsed {
		g.parsed = true
		if name, err := parseDN(g.DN); err == nil {
			g.name = name
		}
	}
	return g.name
}

func memberships(u gatehouse.User) []membership {
	all := make([]membership, len(u.Groups))
	for i, g := range u.Groups {
		all[i].Group = g
	}
	return all
}

// wanted narrows a decision to one role, whose name's case does not matter.
// Its zero value is every role.
type wanted struct{ account, role string }

func (w wanted) has(account, role string) bool {
	return w == wanted{} || w.account == account && strings.EqualFold(w.role, role)
}

// Entitlements lists what u may have, sorted by account name and role.
func (p *Policy) Entitlements(u gatehouse.User) []gatehouse.Entitlement {
	return p.entitlements(u, wanted{})
}

func (p *Policy) entitlements(u gatehouse.User, only wanted) []gatehouse.Entitlement {
	var list []gatehouse.Entitlement
	index := map[string]int{} // a role's key -> its place in list
	groups := memberships(u)
	for _, r := range p.rules {
		if r.Directory != u.Directory || r.ServiceProvider != "" || !r.mayGive(only) {
			continue
		}
		for i := range groups {
			g := &groups[i]
			for _, role := range p.given(r, g, only) {
				key := role.Account + "/" + strings.ToLower(role.Name)
				via := gatehouse.Via{Rule: r.number, Group: g.Group}
				if at, ok := index[key]; ok {
					list[at].Via = append(list[at].Via, via)
					list[at].Confirm = list[at].Confirm || r.Confirm // caution is no term to be outdone
					continue
				}
				index[key] = len(list)
				list = append(list, p.entitlement(r, role, via, u))
			}
		}
	}
	slices.SortStableFunc(list, func(a, b gatehouse.Entitlement) int {
		return cmp.Or(strings.Compare(a.Account.Name, b.Account.Name), strings.Compare(a.Account.ID, b.Account.ID), strings.Compare(a.Role.Name, b.Role.Name))
	})
	return list
}

// Entitlement is u's entitlement to one role; ErrNotEntitled when there is none.
func (p *Policy) Entitlement(u gatehouse.User, account, role string) (gatehouse.Entitlement, error) {
	for _, e := range p.entitlements(u, wanted{account, role}) {
		if e.Role.Account == account && e.Role.Name == role {
			return e, nil
		}
	}
	return gatehouse.Entitlement{}, fmt.Errorf("role %s in account %s: %w", role, account, gatehouse.ErrNotEntitled)
}

// Provider says whether u may sign in to the service provider of that name
// (of the configuration, not its entity ID), and by which rules and groups, and
// what it is told: the first rule that admits sets that.
func (p *Policy) Provider(u gatehouse.User, name string) (via []gatehouse.Via, told []saml.Attribute, err error) {
	groups := memberships(u)
	for _, r := range p.rules {
		if r.Directory != u.Directory || r.ServiceProvider == "" || r.ServiceProvider != name {
			continue
		}
		for i := range groups {
			if g := &groups[i]; r.covers(g) {
				if len(via) == 0 {
					told = r.released(u)
				}
				via = append(via, gatehouse.Via{Rule: r.number, Group: g.Group})
			}
		}
	}
	if len(via) == 0 {
		return nil, nil, fmt.Errorf("service provider %s: %w: %w", name, gatehouse.ErrNotAdmitted, gatehouse.ErrNotEntitled)
	}
	return via, told, nil
}

// mayGive reports whether r could give a wanted role to anybody.
func (r *rule) mayGive(only wanted) bool {
	return r.pattern != nil || slices.ContainsFunc(r.roles, func(role gatehouse.Role) bool { return only.has(role.Account, role.Name) })
}

// given lists the wanted roles that r gives for membership in g.
func (p *Policy) given(r *rule, g *membership, only wanted) []gatehouse.Role {
	if r.pattern == nil {
		if !r.covers(g) {
			return nil
		}
		var roles []gatehouse.Role
		for _, role := range r.roles {
			if only.has(role.Account, role.Name) {
				roles = append(roles, role)
			}
		}
		return roles
	}
	role, err := p.spelled(r, g, only)
	if err != nil {
		return nil
	}
	return []gatehouse.Role{role}
}

// covers reports whether g is one of the groups that r names.
func (r *rule) covers(g *membership) bool {
	if len(r.groups) > 0 && g.dn() != nil && slices.ContainsFunc(r.groups, g.dn().equal) {
		return r.under == nil || g.dn().under(r.under)
	}
	return len(r.names) > 0 && r.names[fold(g.Name)] && g.dn().under(r.under)
}

// Why a group's name spells no role.
var (
	errOtherName  = errors.New("its name does not match the pattern")
	errElsewhere  = errors.New("it does not live under the rule's entry")
	errNoAccount  = errors.New("its account is not configured")
	errNoRoleName = errors.New("its name holds no valid role name")
	errNotWanted  = errors.New("it spells another role")
)

// spelled is the wanted role that g's name spells under r's pattern. What is
// cheap is asked first; where the group lives decides in the end.
func (p *Policy) spelled(r *rule, g *membership, only wanted) (gatehouse.Role, error) {
	if !strings.Contains(g.Name, only.account) {
		return gatehouse.Role{}, errNotWanted // a pattern takes the account out of the name
	}
	m := r.pattern.FindStringSubmatch(g.Name)
	if m == nil {
		return gatehouse.Role{}, errOtherName
	}
	number, name := m[r.pattern.SubexpIndex("account")], m[r.pattern.SubexpIndex("role")]
	if !only.has(number, name) {
		return gatehouse.Role{}, errNotWanted
	}
	account, ok := p.accounts[number]
	if !ok {
		return gatehouse.Role{}, errNoAccount
	}
	if !gatehouse.RoleName.MatchString(name) {
		return gatehouse.Role{}, errNoRoleName
	}
	if !g.dn().under(r.under) {
		return gatehouse.Role{}, errElsewhere
	}
	return gatehouse.Role{Partition: partition(account), Account: account.ID, Path: "/", Name: name}, nil
}

// entitlement states the terms on which r gives role to u.
func (p *Policy) entitlement(r *rule, role gatehouse.Role, via gatehouse.Via, u gatehouse.User) gatehouse.Entitlement {
	tags, source, why := r.terms(u)
	e := gatehouse.Entitlement{
		Account:        p.accounts[role.Account],
		Role:           role,
		Via:            []gatehouse.Via{via},
		MaxSession:     r.MaxSession,
		Confirm:        r.Confirm,
		Tags:           tags,
		SourceIdentity: source,
		Blocked:        why,
	}
	for _, t := range tags {
		if slices.Contains(r.TransitiveTags, t.Key) {
			e.TransitiveTags = append(e.TransitiveTags, t.Key)
		}
	}
	return e
}
