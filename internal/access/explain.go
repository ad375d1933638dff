package access

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"gatehouse"
)

// Explanation says why a person has what they have, and why not what they
// have not. It comes from the same engine as the decision itself.
type Explanation struct {
	Has    []gatehouse.Entitlement // what the rules give
	Misses []Miss                  // groups that nearly gave a role
	Would  []Would                 // what would give the role that was asked about; empty when none was, or it is held
}

// Miss is a group whose name spells a role under a rule that does not apply.
type Miss struct {
	Rule  int
	Group gatehouse.Group
	Why   string // "it does not live under …"
}

// Would is a rule that would give a role, and to whom.
type Would struct {
	Rule int
	To   string // which group's members
}

// Accounts lists every account that the configuration names, in no order. It
// says nothing of who may have what there.
func (p *Policy) Accounts() []gatehouse.Account { return slices.Collect(maps.Values(p.accounts)) }

// Explain explains what u has. With an account it is about that account's
// roles only, with a role (its name) about that one; then it also says what
// would give it.
func (p *Policy) Explain(u gatehouse.User, account, role string) Explanation {
	var x Explanation
	for _, e := range p.Entitlements(u) {
		if (account == "" || e.Role.Account == account) && (role == "" || e.Role.Name == role) {
			x.Has = append(x.Has, e)
		}
	}
	groups := memberships(u)
	for _, r := range p.rules {
		if r.pattern == nil || r.Directory != u.Directory {
			continue
		}
		for i := range groups {
			g := &groups[i]
			if why := p.miss(r, g, account, role); why != "" {
				x.Misses = append(x.Misses, Miss{r.number, g.Group, why})
			}
		}
	}
	if account != "" && role != "" && len(x.Has) == 0 {
		x.Would = p.would(u.Directory, account, role)
	}
	return x
}

// miss says why a group whose name matches a pattern gives nothing by it.
func (p *Policy) miss(r *rule, g *membership, account, role string) string {
	m := r.pattern.FindStringSubmatch(g.Name)
	if m == nil || account != "" && m[r.pattern.SubexpIndex("account")] != account || role != "" && m[r.pattern.SubexpIndex("role")] != role {
		return ""
	}
	switch _, err := p.spelled(r, g, wanted{}); err {
	case nil:
		return ""
	case errElsewhere:
		return "it does not live under " + r.Under
	case errNoAccount:
		return fmt.Sprintf("account %s is not among aws.accounts", m[r.pattern.SubexpIndex("account")])
	default:
		return err.Error()
	}
}

func (p *Policy) would(directory, account, role string) []Would {
	var list []Would
	for _, r := range p.rules {
		if r.Directory != directory || r.ServiceProvider != "" {
			continue
		}
		named := slices.ContainsFunc(r.roles, func(have gatehouse.Role) bool { return have.Account == account && have.Name == role })
		_, configured := p.accounts[account]
		switch {
		case r.pattern != nil && configured && gatehouse.RoleName.MatchString(role):
			list = append(list, Would{r.number, r.wantedGroup(account, role)})
		case named:
			list = append(list, Would{r.number, "members of " + strings.Join(r.Groups, " or ")})
		}
	}
	return list
}

var namedGroup = regexp.MustCompile(`\(\?P?<(account|role)>(?:[^()\\]|\\.)*\)`)

// wantedGroup describes the group that would spell a role. Where the pattern
// is plain text around its two groups, the description is the group's name.
func (r *rule) wantedGroup(account, role string) string {
	name := namedGroup.ReplaceAllStringFunc(strings.Trim(r.GroupPattern, "^$"), func(s string) string {
		if namedGroup.FindStringSubmatch(s)[1] == "account" {
			return account
		}
		return role
	})
	m := r.pattern.FindStringSubmatch(name)
	if m != nil && m[r.pattern.SubexpIndex("account")] == account && m[r.pattern.SubexpIndex("role")] == role {
		return fmt.Sprintf("members of a group named %s under %s", name, r.Under)
	}
	return fmt.Sprintf("members of a group under %s whose name matches %s", r.Under, r.GroupPattern)
}
