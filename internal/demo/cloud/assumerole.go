package cloud

import (
	"encoding/xml"
	"slices"
	"strings"
	"time"
)

type assumeRoleResult struct {
	AssumedRoleUser  assumedRole       `xml:"AssumedRoleUser"`
	Credentials      credentialsAnswer `xml:"Credentials"`
	PackedPolicySize int               `xml:"PackedPolicySize,omitempty"`
	SourceIdentity   string            `xml:"SourceIdentity,omitempty"`
}

type assumeRoleAnswer struct {
	XMLName   xml.Name         `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	Result    assumeRoleResult `xml:"AssumeRoleResult"`
	RequestID string           `xml:"ResponseMetadata>RequestId"`
}

// chain is what AssumeRole was asked for.
type chain struct {
	role       arn
	asked      time.Duration
	policies   sessionPolicies
	tags       []Tag
	transitive []string
	identity   string // SourceIdentity
}

// assumeRole is role chaining: every caller here is a role's session, so the
// session lasts an hour at most, transitive tags come along, and so does the
// source identity (IAM User Guide, "Roles terms and concepts", "Pass session
// tags in AWS STS").
func (s *Server) assumeRole(q *request) (any, *refusal) {
	want, no := readChain(q.params)
	if no != nil {
		return nil, no
	}
	q.call.Role, q.call.Asked = q.params["RoleArn"], want.asked
	if no := s.stsActive(want.role.account, q.region); no != nil {
		return nil, no
	}
	if no := want.inherit(q.caller); no != nil {
		return nil, no
	}
	found, no := s.admitChain(q.caller, want)
	if no != nil {
		return nil, no
	}
	if want.asked > time.Hour {
		return nil, validationError("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	packed, no := want.policies.check(want.tags)
	if no != nil {
		return nil, no
	}
	lasts := want.asked
	if lasts == 0 {
		lasts = time.Hour
	}
	i := identity{
		Partition: want.role.partition, Account: want.role.account, Role: found.Name, Path: found.Path,
		SessionName: q.params["RoleSessionName"], SourceIdentity: want.identity,
		Tags: want.tags, Transitive: want.transitive, Chained: true,
		Issued: q.now, Expires: q.now.Add(lasts).Truncate(time.Second),
	}
	q.call.granted(&i, "")
	return assumeRoleAnswer{RequestID: q.id, Result: assumeRoleResult{
		AssumedRoleUser: assumedRole{i.arn(), i.userID()}, Credentials: s.mint(i),
		PackedPolicySize: packed, SourceIdentity: i.SourceIdentity,
	}}, nil
}

func readChain(p params) (*chain, *refusal) {
	var c complaints
	c.length(p, "RoleArn", true, false, 20, 2048)
	c.length(p, "RoleSessionName", true, false, 2, 64)
	c.length(p, "ExternalId", false, true, 2, 1224)
	c.length(p, "SourceIdentity", false, false, 2, 64)
	if name := p["RoleSessionName"]; name != "" && !sessionNamePattern.MatchString(name) {
		c.add(quoted(name), "roleSessionName", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	}
	if name := p["SourceIdentity"]; name != "" && !validSourceIdentity(name) {
		c.add(quoted(name), "sourceIdentity", `Member must satisfy regular expression pattern: [\w+=,.@-]*`)
	}
	want := &chain{asked: c.duration(p), policies: c.policies(p), identity: p["SourceIdentity"]}
	if no := c.refusal(); no != nil {
		return nil, no
	}
	var ok bool
	if want.role, ok = parseRoleARN(p["RoleArn"]); !ok {
		return nil, validationError("%s is invalid", p["RoleArn"])
	}
	values := p.list("Tags", ".Value")
	for i, key := range p.list("Tags", ".Key") {
		if i >= len(values) {
			return nil, validationError("a tag has no value")
		}
		want.tags = append(want.tags, Tag{key, values[i]})
	}
	want.transitive = p.list("TransitiveTagKeys", "")
	if problem := checkTags(want.tags, want.transitive); problem != "" {
		return nil, validationError("%s", problem)
	}
	return want, nil
}

// inherit carries transitive tags and the source identity over from the
// caller; neither can be changed on the way.
func (want *chain) inherit(caller *identity) *refusal {
	if caller.SourceIdentity != "" {
		if want.identity != "" && want.identity != caller.SourceIdentity {
			return accessDenied("SourceIdentity cannot be changed during role chaining.")
		}
		want.identity = caller.SourceIdentity
	}
	for _, key := range caller.Transitive {
		if slices.ContainsFunc(want.tags, func(t Tag) bool { return strings.EqualFold(t.Key, key) }) {
			return refuse(400, "InvalidParameterValue",
				"One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		for _, t := range caller.Tags {
			if t.Key == key {
				want.tags = append(want.tags, t)
			}
		}
		want.transitive = append(want.transitive, key)
	}
	return nil
}

func (s *Server) admitChain(caller *identity, want *chain) (*Role, *refusal) {
	no := func(action, why string) *refusal {
		return accessDenied("User: "+caller.arn()+" is not authorized to perform: "+action+
			" on resource: "+want.role.String()).because("%s", why)
	}
	_, found := s.role(want.role)
	switch {
	case found == nil:
		return nil, no("sts:AssumeRole", "no such role")
	case !slices.Contains(found.Trust.Principals, caller.roleARN()) && !slices.Contains(found.Trust.Principals, caller.Account):
		return nil, no("sts:AssumeRole", "the trust policy does not name the caller")
	case len(want.tags) > 0 && !found.Trust.TagSession:
		return nil, no("sts:TagSession", "tags, and the trust policy does not allow them")
	case want.identity != "" && !found.Trust.SetSourceIdentity:
		return nil, no("sts:SetSourceIdentity", "source identity, and the trust policy does not allow it")
	}
	return found, nil
}

// String is the role's ARN.
func (a arn) String() string {
	return "arn:" + a.partition + ":iam::" + a.account + ":role" + a.path + a.name
}
