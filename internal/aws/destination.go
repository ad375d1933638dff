package aws

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"

	"gatehouse"
)

// Destination settles which console page a sign-in opens. A wish must be an
// https page on the console host of the account's partition,
// console.DOMAIN or REGION.console.DOMAIN, or on the configured sign-in
// endpoint itself. A host of the multi-session kind, ACCOUNT-x.REGION.console.DOMAIN,
// must be the account's own and loses its prefix, which belongs to somebody's
// browser. A page that names no region opens in region, or in the account's;
// no wish means that region's home page. The name of a service (s3,
// cloudwatch) is its home page.
//
// It returns a *gatehouse.Invalid for anything else: a URL that AWS's sign-in
// is told to open after a sign-in is a redirect, and open ones are for phishing.
func (c *Client) Destination(account gatehouse.Account, region, wish string) (string, error) {
	p := of(account)
	if region == "" {
		region = account.Region
	}
	if !p.has(region) {
		return "", &gatehouse.Invalid{Field: "region", Why: "This is not a region of the account's AWS partition."}
	}
	if wish == "" {
		return c.home(p, region), nil
	}
	if serviceName.MatchString(wish) {
		return c.service(p, region, wish), nil
	}
	u, ok := parseDestination(wish)
	if !ok {
		return "", notAConsole()
	}
	if c.isSigninEndpoint(u) {
		return u.String(), nil
	}
	host, ok := p.consoleHost(strings.ToLower(u.Host), account.ID)
	if !ok || u.Scheme != "https" {
		return "", notAConsole()
	}
	if host == p.console && u.Query().Get("region") == "" {
		host = region + "." + host // the page says nothing of a region: the chosen one counts
	}
	u.Host = host
	return u.String(), nil
}

func notAConsole() error {
	return &gatehouse.Invalid{Field: "destination", Why: "Give the address of an AWS console page, as it stands in the browser's address bar."}
}

// home is the console's first page.
func (c *Client) home(p partition, region string) string { return c.service(p, region, "console") }

var serviceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,40}$`)

// shortNames are services whose page is not where their name leads.
var shortNames = map[string]string{
	"cfn": "cloudformation", "cw": "cloudwatch", "ddb": "dynamodbv2", "dynamodb": "dynamodbv2",
	"ecs": "ecs/v2", "r53": "route53/v2", "route53": "route53/v2", "secrets": "secretsmanager", "sns": "sns/v3",
	"sqs": "sqs/v3", "ssm": "systems-manager", "vpc": "vpcconsole",
}

// service is the home page of one service. A sign-in endpoint on loopback
// brings a console of its own.
func (c *Client) service(p partition, region, name string) string {
	path := "/" + cmp.Or(shortNames[name], name) + "/home?region=" + region
	if u, err := url.Parse(c.cfg.SigninEndpoint); err == nil && loopback(u.Hostname()) {
		if name != "console" {
			path = "/console" + path
		}
		return c.cfg.SigninEndpoint + path
	}
	return "https://" + region + "." + p.console + path
}

// A console link may carry a whole query; AWS cuts none that is shorter.
const maxDestination = 2048

// What browsers and parsers read in different ways has no place in a link:
// backslashes, blanks, control characters, quotes, and letters not yet escaped.
var plainURL = regexp.MustCompile(`^https?://[!#-;=?-\[\]^_a-z{|}~]+$`)

func parseDestination(s string) (*url.URL, bool) {
	if len(s) > maxDestination || !plainURL.MatchString(s) {
		return nil, false
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return nil, false
	}
	return u, true
}

func (c *Client) isSigninEndpoint(u *url.URL) bool {
	own, err := url.Parse(c.cfg.SigninEndpoint)
	return err == nil && own.Host != "" && u.Scheme == own.Scheme && strings.EqualFold(u.Host, own.Host)
}

var multiSession = regexp.MustCompile(`^([0-9]{12})-[a-z0-9]{1,16}$`)

// consoleHost is the host without the prefix of a multi-session console, if it
// is a console of the partition at all. A port makes it another host.
func (p partition) consoleHost(host, account string) (string, bool) {
	if host == p.console {
		return host, true
	}
	rest, ok := strings.CutSuffix(host, "."+p.console)
	if !ok {
		return "", false
	}
	if prefix, region, ok := strings.Cut(rest, "."); ok {
		m := multiSession.FindStringSubmatch(prefix)
		if m == nil || m[1] != account {
			return "", false
		}
		rest = region
	}
	return rest + "." + p.console, p.has(rest)
}
