package aws

import (
	"regexp"

	"gatehouse"
)

// A partition is a separate world of AWS: its own regions, ARNs, consoles and
// sign-in (AWS General Reference, "Amazon Resource Names"; IAM User Guide,
// "Configure SAML assertions for the authentication response").
type partition struct {
	name     string
	regions  *regexp.Regexp
	audience string // AWS's SAML entity ID
	signin   string // host that takes assertions
	console  string // host of consoles; REGION.host is a region's own
	home     string // the region that the sign-in host without a prefix is in; empty: only that host is known
}

// The partitions that Gatehouse knows, the one with the widest pattern last.
// The isolated ones and the European sovereign cloud are missing: what their
// sign-in wants is not published.
var partitions = []partition{
	{
		name:     "aws-us-gov",
		regions:  regexp.MustCompile(`^us-gov-[a-z]{2,12}-[0-9]{1,2}$`),
		audience: "urn:amazon:webservices:govcloud",
		signin:   "signin.amazonaws-us-gov.com",
		console:  "console.amazonaws-us-gov.com",
	},
	{
		name:     "aws-cn",
		regions:  regexp.MustCompile(`^cn-[a-z]{2,12}-[0-9]{1,2}$`),
		audience: "urn:amazon:webservices:cn-north-1",
		signin:   "signin.amazonaws.cn",
		console:  "console.amazonaws.cn",
	},
	{
		name:     "aws",
		regions:  regexp.MustCompile(`^[a-z]{2}-[a-z]{2,12}-[0-9]{1,2}$`),
		audience: "urn:amazon:webservices",
		signin:   "signin.aws.amazon.com",
		console:  "console.aws.amazon.com",
		home:     "us-east-1",
	},
}

// partitionOf finds the partition that a region is in. It is also the check
// of a region's syntax, before the region becomes part of any host's name.
func partitionOf(region string) (partition, bool) {
	for _, p := range partitions {
		if p.regions.MatchString(region) {
			return p, true
		}
	}
	return partition{}, false
}

// of is the partition of an account; the configuration allows no other than
// those above, and none means the ordinary one.
func of(account gatehouse.Account) partition {
	for _, p := range partitions {
		if p.name == account.Partition {
			return p
		}
	}
	return partitions[len(partitions)-1]
}

func (p partition) has(region string) bool {
	q, ok := partitionOf(region)
	return ok && q.name == p.name
}

// signinHost is the sign-in host nearest to a region. In the ordinary
// partition every region has its own but the home region (AWS Security Blog,
// "How to use regional SAML endpoints for failover"); elsewhere only one is sure.
func (p partition) signinHost(region string) string {
	if p.home == "" || region == p.home || !p.has(region) {
		return p.signin
	}
	return region + "." + p.signin
}
