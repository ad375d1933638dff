package cloud

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"time"
)

type assumedRole struct {
	ARN string `xml:"Arn"`
	ID  string `xml:"AssumedRoleId"`
}

type credentialsAnswer struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string `xml:"SecretAccessKey"`
	SessionToken    string `xml:"SessionToken"`
	Expiration      string `xml:"Expiration"`
}

type withSAMLResult struct {
	Issuer           string            `xml:"Issuer"`
	AssumedRoleUser  assumedRole       `xml:"AssumedRoleUser"`
	Credentials      credentialsAnswer `xml:"Credentials"`
	Audience         string            `xml:"Audience"`
	SubjectType      string            `xml:"SubjectType"`
	PackedPolicySize int               `xml:"PackedPolicySize,omitempty"`
	NameQualifier    string            `xml:"NameQualifier"`
	SourceIdentity   string            `xml:"SourceIdentity,omitempty"`
	Subject          string            `xml:"Subject"`
}

type withSAMLAnswer struct {
	XMLName   xml.Name       `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithSAMLResponse"`
	Result    withSAMLResult `xml:"AssumeRoleWithSAMLResult"`
	RequestID string         `xml:"ResponseMetadata>RequestId"`
}

// assumeRoleWithSAML checks a call row by row and mints credentials.
func (s *Server) assumeRoleWithSAML(q *request) (any, *refusal) {
	asked, policies, no := withSAMLParams(q.params)
	if no != nil {
		return nil, no
	}
	pair := rolePair{q.params["RoleArn"], q.params["PrincipalArn"]}
	q.call.Role, q.call.Provider, q.call.Asked = pair.role, pair.provider, asked
	g, no := s.grantSAML(q, pair, q.params["SAMLAssertion"], asked, policies)
	if no != nil {
		return nil, no
	}
	keys := s.mint(g.identity)
	return withSAMLAnswer{RequestID: q.id, Result: withSAMLResult{
		Issuer:           g.issuer,
		AssumedRoleUser:  assumedRole{g.identity.arn(), g.identity.userID()},
		Credentials:      keys,
		Audience:         g.recipient,
		SubjectType:      g.subjectType(),
		PackedPolicySize: g.packed,
		NameQualifier:    nameQualifier(g.issuer, g.provider.account, g.provider.name),
		SourceIdentity:   g.sourceIdentity,
		Subject:          g.nameID,
	}}, nil
}

// withSAMLParams is row 1.
func withSAMLParams(p params) (asked time.Duration, policies sessionPolicies, no *refusal) {
	var c complaints
	c.length(p, "RoleArn", true, false, 20, 2048)
	c.length(p, "PrincipalArn", true, false, 20, 2048)
	c.length(p, "SAMLAssertion", true, true, 4, maxAssertion)
	asked = c.duration(p)
	policies = c.policies(p)
	return asked, policies, c.refusal()
}

// samlGrant is what a good assertion gives: the session to be, and the
// assertion that it stands on.
type samlGrant struct {
	*assertion
	identity identity
	provider arn
	packed   int // percent of what session policies and tags may take
}

// grantSAML is rows 2 to 24. The console's /saml goes through it too.
func (s *Server) grantSAML(q *request, pair rolePair, encoded string, asked time.Duration, policies sessionPolicies) (*samlGrant, *refusal) {
	role, isRole := parseRoleARN(pair.role)
	provider, isProvider := parseProviderARN(pair.provider)
	if !isRole || !isProvider {
		return nil, validationError("Request ARN is invalid")
	}
	if no := s.stsActive(role.account, q.region); no != nil {
		return nil, no
	}
	a, no := s.judge(q.Context(), provider, encoded)
	if no != nil {
		return nil, no
	}
	if no := a.attributesFor(pair); no != nil {
		return nil, no
	}
	found, no := s.admit(a, role, provider)
	if no != nil {
		return nil, no
	}
	lasts, no := a.lifetime(asked, found, q.now)
	if no != nil {
		return nil, no
	}
	packed, no := policies.check(a.tags)
	if no != nil {
		return nil, no
	}
	g := &samlGrant{assertion: a, provider: provider, packed: packed, identity: identity{
		Partition: role.partition, Account: role.account, Role: found.Name, Path: found.Path,
		SessionName: a.sessionName, SourceIdentity: a.sourceIdentity,
		Tags: a.tags, Transitive: a.transitive,
		Issued: q.now, Expires: q.now.Add(lasts).Truncate(time.Second),
	}}
	q.call.granted(&g.identity, a.id)
	return g, nil
}

// nameQualifier is saml:namequalifier (IAM User Guide, "Available keys for
// AWS SAML-based federation").
func nameQualifier(issuer, account, provider string) string {
	sum := sha1.Sum([]byte(issuer + account + "/" + provider))
	return base64.StdEncoding.EncodeToString(sum[:])
}
