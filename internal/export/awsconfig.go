package export

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"gatehouse"
)

// Place is one role, as ~/.aws/config is to name it.
type Place struct {
	Account     string `json:"accountId"`
	Name        string `json:"accountName"` // the account's
	Environment string `json:"environment"`
	Role        string `json:"roleName"`
	Region      string `json:"region"` // may be empty
}

// AWSConfig says how ~/.aws/config leads to Gatehouse.
type AWSConfig struct {
	Portal      string // public_url
	Region      string // where a Place has none
	STSEndpoint string // private STS endpoint; empty: AWS's own

	// Names is the template of profile names: {account} (its name), {number}
	// (its number), {environment} and {role} are filled in, as the key
	// portal.profile has them. Default: DefaultNames.
	Names string

	// Process writes profiles for clients whose endpoints cannot be set: they
	// run `gatehouse credential-process` instead of speaking to us themselves.
	Process bool
}

// DefaultNames makes payments-readonly.
const DefaultNames = "{account}-{role}"

// SessionName is what the configuration calls the session; the cache of its
// token is named after it.
const SessionName = "gatehouse"

// StartURL is the start URL that the configuration gives. Nothing is ever
// sent there, and nobody need own it: the AWS CLI from 2.35.13 on takes none
// but AWS's kind, and every client hands it to our endpoints as it is.
const StartURL = "https://gatehouse.awsapps.com/start"

// signInRegion fills sso_region, which must be there and leads nowhere once
// endpoints are given.
const signInRegion = "us-east-1"

var (
	unfit    = regexp.MustCompile(`[^a-z0-9]+`)
	unfilled = regexp.MustCompile(`\{[^}]*\}`)
	places   = regexp.MustCompile(`^(https?)://[A-Za-z0-9.:\[\]-]+$`)
)

func slug(s string) string { return strings.Trim(unfit.ReplaceAllString(strings.ToLower(s), "-"), "-") }

// ProfileNames names a profile for each place, in their order. Two that would
// be alike also get their account's number.
// Errors: gatehouse.ErrInvalid for a template that names what is not there.
func ProfileNames(all []Place, template string) ([]string, error) {
	template = cmp.Or(template, DefaultNames)
	if err := checkNames(template); err != nil {
		return nil, err
	}
	names, times := make([]string, len(all)), map[string]int{}
	for i, p := range all {
		names[i] = ProfileFor(template, p)
		times[names[i]]++
	}
	used := map[string]bool{}
	for i, p := range all {
		if times[names[i]] > 1 {
			names[i] += "-" + p.Account
		}
		for n, base := 2, names[i]; used[names[i]]; n++ {
			names[i] = fmt.Sprintf("%s-%d", base, n) // two roles whose names differ in signs only
		}
		used[names[i]] = true
		if err := ProfileName(names[i]); err != nil {
			return nil, fmt.Errorf("%s/%s: %w", p.Account, p.Role, err)
		}
	}
	return names, nil
}

func checkNames(template string) error {
	for _, field := range unfilled.FindAllString(template, -1) {
		if !strings.Contains("{account}{number}{environment}{role}", field) {
			return &gatehouse.Invalid{Field: "names", Why: "There is no " + field + "; use {account}, {number}, {environment} and {role}."}
		}
	}
	return nil
}

// ProfileFor is the name of one profile, on every page and in every file. An
// account whose name has nothing of ASCII, or too much, goes by its number.
func ProfileFor(template string, p Place) string {
	name := slug(p.Name)
	if name == "" || len(name) > 32 {
		name = p.Account
	}
	s := strings.NewReplacer("{account}", name, "{number}", p.Account, "{role}", slug(p.Role),
		"{environment}", cmp.Or(slug(EnvironmentInFull(p.Environment)), "other")).Replace(template)
	return strings.Trim(s[:min(len(s), 64)], "-_. ")
}

// EnvironmentInFull writes the usual short words out; any other stays.
func EnvironmentInFull(word string) string {
	switch w := strings.ToLower(word); w {
	case "prod", "prd", "production", "live":
		return "production"
	case "stage", "stg", "staging":
		return "staging"
	case "dev", "development":
		return "development"
	case "shared":
		return w
	}
	return word
}

// Render writes the sections: the session, our endpoints, and a profile for
// each place. skip lists names of profiles that are not to be written.
func (c AWSConfig) Render(all []Place, skip map[string]bool) (string, error) {
	if !places.MatchString(c.Portal) || (c.STSEndpoint != "" && !places.MatchString(strings.TrimSuffix(c.STSEndpoint, "/"))) {
		return "", fmt.Errorf("%q, %q: no addresses that a configuration can hold", c.Portal, c.STSEndpoint)
	}
	names, err := ProfileNames(all, c.Names)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if !c.Process {
		b.WriteString("# For AWS CLI 2.13 or later: an older one does not know [services], and would ask AWS.\n")
	}
	fmt.Fprintf(&b, "[sso-session %s]\nsso_start_url = %s\nsso_region = %s\nsso_registration_scopes = sso:account:access\n", SessionName, StartURL, signInRegion)
	fmt.Fprintf(&b, "\n[services %s]\nsso =\n  endpoint_url = %s/sso\nsso_oidc =\n  endpoint_url = %s/oidc\nsignin =\n  endpoint_url = %s\n", SessionName, c.Portal, c.Portal, c.Portal)
	if c.STSEndpoint != "" {
		fmt.Fprintf(&b, "sts =\n  endpoint_url = %s\n", c.STSEndpoint)
	}
	for i, p := range all {
		if skip[names[i]] {
			continue
		}
		if err := c.profile(&b, names[i], p); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

func (c AWSConfig) profile(b *strings.Builder, name string, p Place) error {
	region := cmp.Or(p.Region, c.Region)
	if !gatehouse.AccountID.MatchString(p.Account) || !gatehouse.RoleName.MatchString(p.Role) || strings.ContainsFunc(region, unfitForRegion) {
		return fmt.Errorf("%q, %q, %q: not an account, a role and a region", p.Account, p.Role, region)
	}
	b.WriteString("\n")
	if line := p.Name + " " + p.Role; checkComment(line) == nil {
		b.WriteString("# " + line + "\n")
	}
	fmt.Fprintf(b, "[profile %s]\n", name)
	if c.Process {
		fmt.Fprintf(b, "credential_process = gatehouse credential-process %s/%s\n", p.Account, p.Role)
	} else {
		fmt.Fprintf(b, "sso_session = %s\nsso_account_id = %s\nsso_role_name = %s\n", SessionName, p.Account, p.Role)
	}
	if region != "" {
		fmt.Fprintf(b, "region = %s\n", region)
	}
	fmt.Fprintf(b, "services = %s\n", SessionName)
	return nil
}

func unfitForRegion(r rune) bool {
	return r != '-' && (r > unicode.MaxASCII || !unicode.IsLower(r) && !unicode.IsDigit(r))
}

// Saml2aws is the section of ~/.saml2aws by which saml2aws has one role by ECP.
// Errors: a username that would not stay one line.
func Saml2aws(portal, username, name string, role gatehouse.Role) (string, error) {
	if username == "" || checkComment(username) != nil || ProfileName(name) != nil || !places.MatchString(portal) {
		return "", fmt.Errorf("%q, %q, %q: not a person, a profile and an address for a file", username, name, portal)
	}
	return fmt.Sprintf("[%s]\nurl         = %s/saml/ecp/%s/%s\nprovider    = ShibbolethECP\nmfa         = auto\naws_urn     = urn:amazon:webservices\n"+
		"role_arn    = %s\nusername    = %s\naws_profile = %s\n", name, portal, role.Account, url.PathEscape(role.Name), role.ARN(), username, name), nil
}
