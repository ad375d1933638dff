package cloud

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxAge is how long after its issue STS redeems an assertion, whatever
	// NotOnOrAfter says.
	maxAge = 5 * time.Minute

	// rounding forgives an issuer that rounds its time stamps up, and nothing
	// more: how much skew AWS tolerates is not known.
	rounding = time.Second

	maxAssertion = 100_000
)

var (
	sessionNamePattern = lazily(`^[a-zA-Z_0-9+=,.@-]{2,64}$`)
	tagPattern         = lazily(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// judge takes a response through rows 4 to 14, by the keys of the provider,
// and returns what the verified assertion says.
func (s *Server) judge(ctx context.Context, provider arn, encoded string) (*assertion, *refusal) {
	doc, err := s.provider(ctx, provider)
	if doc == nil {
		r := invalidIdentityToken("Specified provider doesn't exist").because("no such provider")
		if err != nil {
			s.log.Warn("a SAML provider has no metadata", "account", provider.account, "provider", provider.name, "err", err)
			r.Why = err.Error()
		}
		r.Named = "AuthSamlManifestNotFoundException"
		return nil, r
	}
	m, r := decode(encoded)
	if r != nil {
		return nil, r
	}
	if r := m.status(); r != nil {
		return nil, r
	}
	issuer, r := m.issuer(doc)
	if r != nil {
		return nil, r
	}
	if r := m.only(); r != nil {
		return nil, r
	}
	el, r := m.verified(doc.keys[issuer])
	if r != nil {
		return nil, r
	}
	a, r := read(el)
	if r != nil {
		return nil, r
	}
	if a.issuer != issuer {
		return nil, invalidIdentityToken("Response signature invalid").because("the signed issuer is another one")
	}
	return a, a.inTime(s.now(), partitions[provider.partition])
}

// inTime is rows 11 to 14.
func (a *assertion) inTime(now time.Time, audience string) *refusal {
	if !now.Before(a.confirmUntil) || !a.notOnOrAfter.IsZero() && !now.Before(a.notOnOrAfter) ||
		!a.sessionEnd.IsZero() && !now.Before(a.sessionEnd) {
		return expiredToken("Response has expired")
	}
	if now.Sub(a.issueInstant) > maxAge {
		return expiredToken("Token must be redeemed within 5 minutes of issuance")
	}
	for _, t := range append(a.notBefore, a.issueInstant) {
		if now.Add(rounding).Before(t) {
			return invalidIdentityToken("Response is not valid yet")
		}
	}
	if !a.isFor(audience) {
		return invalidIdentityToken("Response does not contain the required audience.")
	}
	return nil
}

// isFor is row 14. Each AudienceRestriction must be met, by one of its
// audiences (saml-core §2.5.1.4).
func (a *assertion) isFor(audience string) bool {
	restrictions := children(child(a.el, nsAssertion, "Conditions"), nsAssertion, "AudienceRestriction")
	for _, r := range restrictions {
		met := false
		for _, el := range children(r, nsAssertion, "Audience") {
			met = met || text(el) == audience
		}
		if !met {
			return false
		}
	}
	return len(restrictions) > 0
}

// attributesFor is rows 15 to 19 for one pair.
func (a *assertion) attributesFor(pair rolePair) *refusal {
	if !slices.Contains(a.rolePairs(), pair) {
		return invalidIdentityToken("SAML Assertion doesn't contain the requested Role and Metadata in the attributes")
	}
	names := a.attributes["RoleSessionName"]
	if len(names) != 1 || names[0] == "" {
		return invalidIdentityToken("RoleSessionName is required in AuthnResponse")
	}
	if a.sessionName = names[0]; !sessionNamePattern.MatchString(a.sessionName) {
		return invalidIdentityToken("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")
	}
	if identity, sent := a.attributes["SourceIdentity"]; sent {
		if len(identity) != 1 || !validSourceIdentity(identity[0]) {
			return invalidIdentityToken(`Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`)
		}
		a.sourceIdentity = identity[0]
	}
	if r := a.readSessionDuration(); r != nil {
		return r
	}
	return a.readTags()
}

func validSourceIdentity(s string) bool {
	return sessionNamePattern.MatchString(s) && !strings.HasPrefix(strings.ToLower(s), "aws:")
}

func (a *assertion) readSessionDuration() *refusal {
	values, sent := a.attributes["SessionDuration"]
	if !sent {
		return nil
	}
	seconds, err := strconv.Atoi(strings.Join(values, ","))
	if err != nil || seconds < 900 || seconds > 43200 {
		return invalidIdentityToken("SessionDuration in AuthnResponse must be an integer between 900 and 43200")
	}
	a.sessionDuration = time.Duration(seconds) * time.Second
	return nil
}

// readTags is row 19.
func (a *assertion) readTags() *refusal {
	for name, values := range a.attributes {
		key, isTag := strings.CutPrefix(name, "PrincipalTag:")
		if !isTag {
			continue
		}
		if len(values) != 1 {
			return invalidIdentityToken("Tag " + key + " must have exactly one value")
		}
		a.tags = append(a.tags, Tag{key, values[0]})
	}
	slices.SortFunc(a.tags, func(x, y Tag) int { return strings.Compare(x.Key, y.Key) })
	a.transitive = a.attributes["TransitiveTagKeys"]
	if problem := checkTags(a.tags, a.transitive); problem != "" {
		return invalidIdentityToken(problem)
	}
	return nil
}

// checkTags holds session tags to IAM's rules ("Pass session tags in AWS
// STS"): what is wrong, or nothing.
func checkTags(tags []Tag, transitive []string) string {
	if len(tags) > 50 {
		return fmt.Sprintf("%d session tags, at most 50 are allowed", len(tags))
	}
	keys, exact := map[string]bool{}, map[string]bool{}
	for _, t := range tags {
		lower := strings.ToLower(t.Key)
		switch {
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128 || !tagPattern.MatchString(t.Key):
			return "Tag key " + t.Key + " is not valid"
		case strings.HasPrefix(lower, "aws:"):
			return "Tag key " + t.Key + " must not begin with aws:"
		case utf8.RuneCountInString(t.Value) > 256 || !tagPattern.MatchString(t.Value):
			return "The value of tag " + t.Key + " is not valid"
		case keys[lower]:
			return "Duplicate tag keys found. Please note that Tag keys are case insensitive."
		}
		keys[lower], exact[t.Key] = true, true
	}
	for _, key := range transitive {
		if !exact[key] {
			return "Transitive tag key " + key + " is not among the tags"
		}
	}
	return ""
}

// admit is rows 20 and 21.
func (s *Server) admit(a *assertion, role, provider arn) (*Role, *refusal) {
	if a.nameID == "" {
		return nil, notAuthorized("no NameID")
	}
	_, found := s.role(role)
	switch {
	case found == nil:
		return nil, notAuthorized("no such role; case and path count")
	case role.account != provider.account || role.partition != provider.partition:
		return nil, notAuthorized("role and provider are not in one account")
	case strings.HasPrefix(role.name, "AWSReservedSSO_"):
		return nil, notAuthorized("AWSReservedSSO_ roles cannot be assumed so")
	}
	if why := found.Trust.trusts(provider.name, a); why != "" {
		return nil, notAuthorized("%s", why)
	}
	return found, nil
}

// lifetime is row 22 and the rule of the shortest: what was asked for or an
// hour, the session's end at the identity provider, and SessionDuration,
// which never lengthens.
func (a *assertion) lifetime(asked time.Duration, role *Role, now time.Time) (time.Duration, *refusal) {
	if asked > role.MaxSession {
		return 0, validationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	d := time.Hour
	if asked > 0 {
		d = asked
	}
	if a.sessionDuration > 0 {
		d = min(d, a.sessionDuration)
	}
	if !a.sessionEnd.IsZero() {
		d = min(d, a.sessionEnd.Sub(now))
	}
	return d, nil
}

// stsActive is row 3. An account that does not exist is not told apart here.
func (s *Server) stsActive(account, region string) *refusal {
	acc := s.accounts[account]
	// us-east-1 cannot be switched off (IAM User Guide, "Manage AWS STS in an AWS Region").
	if acc == nil || !acc.STSOff || region == "us-east-1" {
		return nil
	}
	return refuse(http.StatusForbidden, "RegionDisabledException", "STS is not activated in this region for account:"+account+
		". Your account administrator can activate STS in this region using the IAM Console.")
}
