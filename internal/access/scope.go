package access

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse"
)

// Scope is a template of limits that people may take a role with, so that a
// script or a tool gets less than they have. AWS lets such a session do what
// both the role and the limits allow (IAM User Guide, "Session policies").
type Scope struct {
	// Name is what the record, links and profiles call it: small letters,
	// digits and hyphens. Example: logs.
	Name string `yaml:"name"`

	// Title is what pages call it. Default: Name. Example: Only the log buckets.
	Title string `yaml:"title"`

	// Policy is an IAM policy, JSON, of at most 2048 characters together with
	// the ARNs. It names no principal.
	Policy string `yaml:"policy"`

	// PolicyARNs are up to 10 managed policies, of AWS or of the role's account.
	PolicyARNs []string `yaml:"policy_arns"`
}

// The scopes that are always there.
const (
	ScopeReadOnly  = "read-only"
	ScopeMyAddress = "my-address"
)

// Offer is a scope as somebody may choose it.
type Offer struct {
	Name, Title string
	Why         string // not empty: why it cannot be had from where they are
}

// Limits of a session policy: STS API Reference, AssumeRoleWithSAML.
const (
	maxPolicy     = 2048
	maxPolicyARNs = 10
)

var (
	scopeName    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,23}$`)
	policyARN    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\x21-\x7e]+$`) // and of maxPolicy in all
	policyLetter = regexp.MustCompile(`^[\x09\x0A\x0D\x20-\xFF]*$`)
)

func (s Scope) validate(fault func(key, format string, args ...any)) {
	if !scopeName.MatchString(s.Name) || s.Name == ScopeReadOnly || s.Name == ScopeMyAddress {
		fault(".name", "%q must be 1 to 24 small letters, digits and hyphens, and neither %s nor %s", s.Name, ScopeReadOnly, ScopeMyAddress)
	}
	if utf8.RuneCountInString(s.Title) > 64 {
		fault(".title", "must be at most 64 characters")
	}
	if s.Policy == "" && len(s.PolicyARNs) == 0 {
		fault("", "limits nothing: add policy or policy_arns")
	}
	if s.Policy != "" && !isPolicy(s.Policy) {
		fault(".policy", "is no IAM policy: want one JSON object with Version and Statement, and no Principal")
	}
	if n := utf8.RuneCountInString(s.Policy + strings.Join(s.PolicyARNs, "")); n > maxPolicy || !policyLetter.MatchString(s.Policy) {
		fault(".policy", "has %d characters with policy_arns; AWS takes %d, none above U+00FF", n, maxPolicy)
	}
	if len(s.PolicyARNs) > maxPolicyARNs {
		fault(".policy_arns", "are %d; AWS takes %d", len(s.PolicyARNs), maxPolicyARNs)
	}
	for i, arn := range s.PolicyARNs {
		if !policyARN.MatchString(arn) {
			fault(fmt.Sprintf(".policy_arns[%d]", i), "%q is no policy's ARN: want arn:aws:iam::aws:policy/Name", arn)
		}
	}
}

// isPolicy looks at the outline of a policy; AWS judges the rest.
func isPolicy(text string) bool {
	var p struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(text), &p) != nil {
		return false
	}
	var all []map[string]json.RawMessage
	if json.Unmarshal(p.Statement, &all) != nil {
		all = make([]map[string]json.RawMessage, 1)
		if json.Unmarshal(p.Statement, &all[0]) != nil {
			return false
		}
	}
	return len(all) > 0 && !slices.ContainsFunc(all, func(s map[string]json.RawMessage) bool { return s["Effect"] == nil || s["Principal"] != nil })
}

// Scopes knows every scope.
type Scopes struct {
	own       []Scope
	addresses []netip.Prefix // by which people behind private addresses reach AWS
}

// NewScopes makes the scopes of a valid configuration.
func NewScopes(cfg Access) Scopes {
	s := Scopes{own: cfg.Scopes}
	for _, text := range cfg.Addresses {
		if p, ok := parseNetwork(text); ok {
			s.addresses = append(s.addresses, p)
		}
	}
	return s
}

func parseNetwork(text string) (netip.Prefix, bool) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), ip.Zone() == ""
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil
}

// offers lists what somebody at an address may choose.
func (s Scopes) offers(ip string) []Offer {
	_, why := s.seen(ip)
	list := []Offer{{Name: ScopeReadOnly, Title: "Read-only"}, {Name: ScopeMyAddress, Title: "Only from my address", Why: why}}
	for _, own := range s.own {
		title := own.Title
		if title == "" {
			title = own.Name
		}
		list = append(list, Offer{Name: own.Name, Title: title})
	}
	return list
}

// Title is what pages call the scope of that name.
func (s Scopes) title(name string) string {
	for _, o := range s.offers("") {
		if o.Name == name {
			return o.Title
		}
	}
	return ""
}

// policy is what the scope of that name sends to STS for an account.
func (s Scopes) policy(name, ip string, account gatehouse.Account) (gatehouse.SessionPolicy, error) {
	switch name {
	case "":
		return gatehouse.SessionPolicy{}, nil
	case ScopeReadOnly:
		return gatehouse.SessionPolicy{ARNs: []string{"arn:" + partition(account) + ":iam::aws:policy/ReadOnlyAccess"}}, nil
	case ScopeMyAddress:
		networks, why := s.seen(ip)
		if why != "" {
			return gatehouse.SessionPolicy{}, &gatehouse.Invalid{Field: "scope", Why: why}
		}
		return gatehouse.SessionPolicy{Document: onlyFrom(networks)}, nil
	}
	for _, own := range s.own {
		if own.Name == name {
			return gatehouse.SessionPolicy{Document: own.Policy, ARNs: slices.Clone(own.PolicyARNs)}, nil
		}
	}
	return gatehouse.SessionPolicy{}, &gatehouse.Invalid{Field: "scope", Why: "There is no such scope any more. Load the page again and choose one."}
}

// carriers is the address space of carriers (RFC 6598), private like the others.
var carriers = netip.MustParsePrefix("100.64.0.0/10")

// seen is the networks in which AWS sees somebody who reaches us from ip, or
// why that is not known.
func (s Scopes) seen(ip string) (networks []netip.Prefix, why string) {
	at, err := netip.ParseAddr(ip)
	at = at.Unmap()
	hidden := err != nil || at.IsPrivate() || at.IsLoopback() || at.IsLinkLocalUnicast() || carriers.Contains(at)
	switch {
	case (hidden || at.Is6()) && len(s.addresses) > 0:
		return s.addresses, ""
	case hidden:
		return nil, "Your address here is a private one, which AWS never sees. Whoever runs this portal can name the one that it does see."
	case at.Is6():
		// Most of AWS is reached by IPv4, from an address that is not known here.
		return nil, "You reach this portal by IPv6, and most of AWS by IPv4. Whoever runs this portal can name that address."
	}
	return []netip.Prefix{netip.PrefixFrom(at, at.BitLen())}, ""
}

// onlyFrom allows calls from some networks, and those that AWS's own services
// make for them: these come from elsewhere (IAM User Guide, "aws:SourceIp").
func onlyFrom(networks []netip.Prefix) string {
	var list []string
	for _, n := range networks {
		list = append(list, n.String())
	}
	type statement struct {
		Effect, Action, Resource string
		Condition                map[string]map[string]any
	}
	allow := func(operator, key string, value any) statement {
		return statement{"Allow", "*", "*", map[string]map[string]any{operator: {key: value}}}
	}
	text, _ := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []statement{
		allow("IpAddress", "aws:SourceIp", list), allow("Bool", "aws:ViaAWSService", "true"),
	}}) // strings only: cannot fail
	return string(text)
}
