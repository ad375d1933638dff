package access

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// The bounds of a hand-out in time: STS AssumeRoleWithSAML, DurationSeconds.
const (
	MinDuration = 15 * time.Minute
	MaxDuration = 12 * time.Hour
)

// Config says who may have what, and how often somebody may guess.
type Config struct {
	Access Access `yaml:"access"`

	// Administrators are groups whose members run Gatehouse itself, as whole DNs.
	Administrators []string `yaml:"administrators"`

	// Throttle bounds guessing.
	Throttle Throttle `yaml:"throttle"`
}

// Access holds the rules.
type Access struct {
	Rules []Rule `yaml:"rules"`

	// Scopes are limits that people may take a role with, beside the built-in
	// read-only and my-address.
	Scopes []Scope `yaml:"scopes"`

	// Addresses are the addresses or networks that AWS sees when people whose
	// address here is private reach it; my-address means these for them.
	// Default: none. Example: 203.0.113.0/28.
	Addresses []string `yaml:"addresses"`
}

// Rule gives AWS roles, or a service provider, to the members of some groups.
// Whatever no rule gives is denied. Where two rules give one role, the first
// sets its terms.
type Rule struct {
	// Directory is the one whose groups the rule speaks of. It may be left
	// out only while there is one directory.
	Directory string `yaml:"directory"`

	// Under is the entry below which the groups must live. Patterns and bare
	// names need it: whoever may create a group anywhere must not be able to
	// make themselves an administrator.
	Under string `yaml:"under"`

	// GroupPattern gives the roles that the groups' names spell: a regular
	// expression over the whole name with the groups account and role.
	GroupPattern string `yaml:"group_pattern"`

	// Groups are whole DNs, or with Under bare names; any of them gives the roles.
	Groups []string `yaml:"groups"`

	// Roles are the ARNs of what Groups give.
	Roles []string `yaml:"roles"`

	// ServiceProvider is the name of what Groups give, of those under saml.service_providers.
	ServiceProvider string `yaml:"service_provider"`

	// Attributes are told to ServiceProvider: name to text, as SessionTags; a
	// text that is {groups} or one {attribute:NAME} alone may be several
	// values. What comes out empty is left out. Default: none.
	Attributes map[string]string `yaml:"attributes"`

	// MaxSession is the longest hand-out, 15m to 12h. Default: 1h.
	MaxSession time.Duration `yaml:"max_session"`

	// Confirm has the pages ask for one click more before they hand the roles
	// out, whichever rules give them too: for production, where a slip costs.
	// Default: false.
	Confirm bool `yaml:"confirm"`

	// SessionTags are sent with the role: key to text, in which
	// {username}, {mail}, {name}, {directory} and {attribute:NAME} stand for
	// the person's own. A tag whose text comes out empty is left out. The
	// role's trust policy must allow sts:TagSession.
	SessionTags map[string]string `yaml:"session_tags"`

	// TransitiveTags are keys of SessionTags that survive role chaining.
	TransitiveTags []string `yaml:"transitive_tags"`

	// SourceIdentity is a text like those of SessionTags, e.g. "{username}".
	// Default: none. The trust policy must allow sts:SetSourceIdentity.
	SourceIdentity string `yaml:"source_identity"`
}

// Throttle bounds guessing. Failures are counted per person and per name that
// was typed until nothing was added for Window, and per address in windows of
// that length, one after the other.
type Throttle struct {
	// Failures per person. Where the directory tells its lock-out threshold
	// and this is not below it, fewer count: see Throttle.allowance. A part is
	// kept for browsers in which the person signed in before. Default: 4.
	Failures int `yaml:"failures"`

	// FailuresPerAddress from one client address (IPv6: one /64). Default: 100.
	FailuresPerAddress int `yaml:"failures_per_address"`

	// Window is how long failures count; at least the directory's observation
	// window counts where that is longer. Default: 30m.
	Window time.Duration `yaml:"window"`
}

// SetDefaults fills in what the file left out.
func (c *Config) SetDefaults() {
	for i := range c.Access.Rules {
		if c.Access.Rules[i].MaxSession == 0 {
			c.Access.Rules[i].MaxSession = time.Hour
		}
	}
	if c.Throttle.Failures == 0 {
		c.Throttle.Failures = 4
	}
	if c.Throttle.FailuresPerAddress == 0 {
		c.Throttle.FailuresPerAddress = 100
	}
	if c.Throttle.Window == 0 {
		c.Throttle.Window = 30 * time.Minute
	}
}

// Validate reports every fault. What other rooms must know of (directories,
// accounts, service providers) is judged by NewPolicy.
func (c Config) Validate() []gatehouse.Fault {
	var faults []gatehouse.Fault
	for i, r := range c.Access.Rules {
		for _, f := range r.validate() {
			f.Key = fmt.Sprintf("access.rules[%d]%s", i, f.Key)
			faults = append(faults, f)
		}
	}
	faults = append(faults, c.Access.validateScopes()...)
	for i, g := range c.Administrators {
		if _, err := parseDN(g); err != nil {
			faults = append(faults, gatehouse.Fault{Key: fmt.Sprintf("administrators[%d]", i), What: fmt.Sprintf("%q is not a whole DN", g)})
		}
	}
	t := c.Throttle
	if t.Failures < 1 || t.FailuresPerAddress < 1 || t.Window < time.Minute {
		faults = append(faults, gatehouse.Fault{Key: "throttle", What: "failures and failures_per_address must be at least 1, window at least 1m"})
	}
	return faults
}

func (a Access) validateScopes() []gatehouse.Fault {
	var faults []gatehouse.Fault
	names := map[string]bool{}
	for i, s := range a.Scopes {
		fault := func(key, format string, args ...any) {
			faults = append(faults, gatehouse.Fault{Key: fmt.Sprintf("access.scopes[%d]%s", i, key), What: fmt.Sprintf(format, args...)})
		}
		s.validate(fault)
		if names[s.Name] {
			fault(".name", "%q is taken", s.Name)
		}
		names[s.Name] = true
	}
	for i, text := range a.Addresses {
		if _, ok := parseNetwork(text); !ok {
			faults = append(faults, gatehouse.Fault{Key: fmt.Sprintf("access.addresses[%d]", i), What: fmt.Sprintf("want an address or a network such as 203.0.113.0/28, not %q", text)})
		}
	}
	return faults
}

func (r Rule) validate() []gatehouse.Fault {
	var faults []gatehouse.Fault
	fault := func(key, format string, args ...any) {
		faults = append(faults, gatehouse.Fault{Key: key, What: fmt.Sprintf(format, args...)})
	}
	switch given := r.gives(); {
	case given == 0:
		fault("", "gives nothing: add group_pattern, roles or service_provider")
	case given > 1:
		fault("", "gives several kinds of things: use one rule for each of group_pattern, roles and service_provider")
	}
	if r.GroupPattern != "" {
		r.validatePattern(fault)
	} else if len(r.Groups) == 0 {
		fault("", "names no groups, so it gives nothing to anybody: add groups")
	}
	if r.Under != "" {
		if _, err := parseDN(r.Under); err != nil {
			fault(".under", "%q is not a DN", r.Under)
		}
	}
	r.validateNames(fault)
	r.validateTerms(fault)
	return faults
}

// gives counts the kinds of things that the rule gives.
func (r Rule) gives() int {
	n := 0
	for _, has := range []bool{r.GroupPattern != "", len(r.Roles) > 0, r.ServiceProvider != ""} {
		if has {
			n++
		}
	}
	return n
}

func (r Rule) validatePattern(fault func(string, string, ...any)) {
	if r.Under == "" {
		fault(".under", "is missing: a pattern counts only below a named entry, or whoever may create a group could become an administrator")
	}
	if len(r.Groups) > 0 {
		fault(".groups", "do not go with group_pattern: use two rules")
	}
	re, err := regexp.Compile(r.GroupPattern)
	if err != nil {
		fault(".group_pattern", "is not a regular expression: %v", err)
		return
	}
	for _, name := range []string{"account", "role"} {
		if re.SubexpIndex(name) < 0 {
			fault(".group_pattern", "has no group (?P<%s>…)", name)
		}
	}
}

func (r Rule) validateNames(fault func(string, string, ...any)) {
	for i, g := range r.Groups {
		if _, err := parseDN(g); err == nil {
			continue
		}
		if strings.Contains(g, "=") || r.Under == "" {
			fault(fmt.Sprintf(".groups[%d]", i), "%q is not a whole DN; a bare name needs under", g)
		}
	}
	for i, arn := range r.Roles {
		if _, err := gatehouse.ParseRoleARN(arn); err != nil {
			fault(fmt.Sprintf(".roles[%d]", i), "%v", err)
		}
	}
}

func (r Rule) validateTerms(fault func(string, string, ...any)) {
	if r.MaxSession < MinDuration || r.MaxSession > MaxDuration || r.MaxSession%time.Second != 0 {
		fault(".max_session", "must be whole seconds between 15m and 12h, not %s", r.MaxSession)
	}
	// 50 tags: IAM User Guide, "Passing session tags in AWS STS".
	if len(r.SessionTags) > 50 {
		fault(".session_tags", "has %d tags, AWS takes 50", len(r.SessionTags))
	}
	seen := map[string]string{}
	for key, text := range r.SessionTags {
		if why := badTagKey(key); why != "" {
			fault(".session_tags."+key, "%s", why)
		}
		if other, ok := seen[strings.ToLower(key)]; ok {
			fault(".session_tags."+key, "is the same key as %s: AWS ignores case", other)
		}
		seen[strings.ToLower(key)] = key
		if err := checkTemplate(text); err != nil {
			fault(".session_tags."+key, "%v", err)
		}
	}
	for i, key := range r.TransitiveTags {
		if _, ok := r.SessionTags[key]; !ok {
			fault(fmt.Sprintf(".transitive_tags[%d]", i), "%q is not among session_tags", key)
		}
	}
	r.validateAttributes(fault)
	if err := checkTemplate(r.SourceIdentity); err != nil {
		fault(".source_identity", "%v", err)
	}
	if r.ServiceProvider != "" && r.Confirm {
		fault(".confirm", "is for AWS roles")
	}
	if r.ServiceProvider != "" && (len(r.SessionTags) > 0 || r.SourceIdentity != "") {
		fault(".service_provider", "takes no session_tags and no source_identity: they are AWS's")
	}
}

func (r Rule) validateAttributes(fault func(string, string, ...any)) {
	if len(r.Attributes) > 0 && r.ServiceProvider == "" {
		fault(".attributes", "are told to a service_provider; for roles there are session_tags")
	}
	for name, text := range r.Attributes {
		if name == "" || strings.HasPrefix(name, "https://aws.amazon.com/SAML/") {
			fault(".attributes", "%q is no name for an attribute of another provider than AWS", name)
		}
		if err := checkTemplate(text); text != allGroups && err != nil {
			fault(".attributes."+name, "%v; and {groups}, alone", err)
		}
	}
}

// sortedKeys is the order in which tags are sent and shown.
func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
