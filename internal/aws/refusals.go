package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"gatehouse"
)

// An explanation turns a code of STS, with a part of its message where one
// code means many things, into cause and cure. In the cure, the words in
// braces stand for the call at hand.
type explanation struct {
	code, text  string // text: part of AWS's message, in lower case; empty: any
	cause, cure string
}

const (
	notYours = "This is nothing you did: "
	ask      = " Please tell the people who run this service, with the reference."
	upload   = "upload this gateway's current metadata (/saml/metadata) to the SAML provider {provider} of account {account} (IAM console, Identity providers)"
)

// The first that fits counts. Codes: STS API Reference, AssumeRoleWithSAML,
// "Errors"; texts: IAM User Guide, "Troubleshoot SAML federation with IAM".
var explanations = []explanation{
	{"AccessDenied", "",
		"AWS did not let you into this role. Most often the role is not set up for this service; nothing is wrong with your account here." + ask,
		"AWS never says why; look in account {account} for, in this order: the role {role} exists, letter case included, and is no AWSReservedSSO role; " +
			"its trust policy names {provider} as the Federated principal with sts:AssumeRoleWithSAML; its SAML:aud condition allows {recipient}; " +
			"sts:TagSession is allowed if a rule sends session_tags, and sts:SetSourceIdentity if one sends source_identity; " +
			"its other conditions hold; the role is not seconds old. CloudTrail of {account} in {region} shows the call"},
	{"ValidationError", "maxsessionduration",
		"This role allows shorter sessions only. Choose a shorter duration.",
		"raise the maximum session duration of {role} (IAM console, Roles, Edit), or lower max_session in access.rules"},
	{"ValidationError", "durationseconds",
		"AWS does not allow this duration. Choose between 15 minutes and 12 hours.",
		"max_session in access.rules must be between 15m and 12h"},
	{"ValidationError", "request arn is invalid",
		notYours + "AWS does not know the name of this role." + ask,
		"{role} or {provider} is no ARN that AWS accepts; check the role's name in access.rules and provider and partition of {account} in aws.accounts"},
	{"ValidationError", "samlassertion",
		notYours + "AWS does not accept the size of what it was sent." + ask,
		"the assertion is above 100,000 characters; send fewer session_tags"},
	{"RegionDisabledException", "",
		notYours + "this account does not use AWS in the region that was asked." + ask,
		"activate STS for {region} in account {account} (IAM console, Account settings, Security Token Service), or set another region for {account} in aws.accounts"},
	{"InvalidIdentityToken", "provider doesn't exist",
		notYours + "this account is not connected to this service yet." + ask,
		"account {account} has no SAML provider {provider}: create it with this gateway's metadata (/saml/metadata), or name the right one as provider of {account} in aws.accounts"},
	{"InvalidIdentityToken", "issuer not present",
		notYours + "this account knows this service by another name." + ask,
		"saml.entity_id differs from the entityID that account {account} was given: " + upload},
	{"InvalidIdentityToken", "signature invalid",
		notYours + "this account does not know the key that this service signs with." + ask,
		"the signing key was changed, or the metadata is another gateway's: " + upload},
	{"InvalidIdentityToken", "audience",
		notYours + "this account is in another part of AWS than this service believes." + ask,
		"set the region or partition of {account} in aws.accounts: China and GovCloud have audiences of their own"},
	{"InvalidIdentityToken", "requested role and metadata",
		notYours + "AWS was asked for another role than it was told of." + ask,
		"the assertion names another pair than {role} and {provider}; AWS compares letter case too; if the names are right, this is a fault in Gatehouse"},
	{"InvalidIdentityToken", "rolesessionname",
		notYours + "AWS does not accept the name of your session." + ask,
		"session names are 2 to 64 of A-Z a-z 0-9 _ = , . @ + -; check the person's name in the directory"},
	{"InvalidIdentityToken", "source identity",
		notYours + "AWS does not accept the identity that your session would carry." + ask,
		"source_identity in access.rules must give 2 to 64 of A-Z a-z 0-9 _ = , . @ + - and not begin with aws:"},
	{"InvalidIdentityToken", "tag",
		notYours + "AWS does not accept the tags that your session would carry." + ask,
		"session_tags in access.rules: at most 50, keys up to 128 and values up to 256 letters, digits, blanks and _ . : / = + - @, no key twice in another letter case"},
	{"InvalidIdentityToken", "encrypt",
		notYours + "this account wants encrypted sign-ins." + ask,
		"the SAML provider {provider} requires encrypted assertions, which Gatehouse does not make yet: set it to Allowed (IAM console, Identity providers)"},
	{"InvalidIdentityToken", "",
		notYours + "AWS did not accept the proof that this service made." + ask,
		"check the clock of this machine (`gatehouse check`) first; then " + upload},
	{"IDPRejectedClaim", "",
		notYours + "AWS did not accept the proof that this service made." + ask,
		"AWS says that the assertion reports a failed sign-in, or that the provider was changed meanwhile; try again, then " + upload},
	{"ExpiredTokenException", "",
		"The sign-in at AWS took too long or the clocks differ. Try again." + ask,
		"the clock of this machine is probably wrong: AWS takes assertions for five minutes; compare it with `gatehouse check` and run NTP"},
	{"PackedPolicyTooLarge", "",
		notYours + "your session would carry more than AWS allows." + ask,
		"send fewer or shorter session_tags in access.rules, or shorten the scope's policy in access.scopes: AWS packs them all into one limit"},
	{"MalformedPolicyDocument", "",
		notYours + "AWS did not accept the limits that your session would have." + ask,
		"the scope's session policy in access.scopes is not valid; AWS's message in the log says where"},
	{"", "",
		notYours + "AWS refused for a reason that this service does not know." + ask,
		"look up AWS's error code and message, which are in the log with the request's ID; AWS support can trace the latter"},
}

func explain(code, message string) explanation {
	message = strings.ToLower(message)
	for _, e := range explanations {
		if (e.code == code || e.code == "") && strings.Contains(message, e.text) {
			return e
		}
	}
	return explanations[len(explanations)-1]
}

// stsError says which of three things happened: the caller left, AWS refused,
// or there was no answer worth the name.
func (c *Client) stsError(ctx context.Context, account gatehouse.Account, role gatehouse.Role, assertion gatehouse.Secret, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("assume role: %w", context.Canceled)
	}
	var api smithy.APIError
	if !errors.As(err, &api) || noAnswer(api, err) {
		return c.stsUnavailable(account.Region, quietly(err, assertion))
	}
	e := explain(api.ErrorCode(), api.ErrorMessage())
	return &gatehouse.Refusal{
		Service:   "STS",
		Code:      quiet(api.ErrorCode(), assertion),
		Message:   quiet(api.ErrorMessage(), assertion),
		RequestID: requestID(err),
		Cause:     e.cause,
		Cure: strings.NewReplacer("{account}", account.ID, "{region}", account.Region, "{role}", role.ARN(),
			"{provider}", account.ProviderARN(), "{recipient}", c.Recipient(account)).Replace(e.cure),
	}
}

// noAnswer is true of errors that are not about this request: throttling
// (HTTP 400 at STS), 5xx, and pages of a proxy, which the SDK calls UnknownError.
func noAnswer(api smithy.APIError, err error) bool {
	_, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]
	return throttled || status(err) >= http.StatusInternalServerError ||
		api.ErrorCode() == "UnknownError" || api.ErrorCode() == "IDPCommunicationError"
}

func status(err error) int {
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		return resp.HTTPStatusCode()
	}
	return 0
}

func requestID(err error) string {
	var resp interface{ ServiceRequestID() string }
	if errors.As(err, &resp) {
		return quiet(resp.ServiceRequestID())
	}
	return ""
}

// Long runs in AWS's messages are pieces of what it was sent: "Value 'PHNh…'
// at 'SAMLAssertion' failed to satisfy constraint". An ARN's longest run is
// shorter, as a role's name has at most 64 characters.
var longRun = regexp.MustCompile(`[A-Za-z0-9+/=%_-]{100,}`)

// quiet makes a text from outside fit for a log: without the secrets that were
// sent, on one line, and not endless.
func quiet(s string, secrets ...gatehouse.Secret) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, string(secret), "[removed]")
		}
	}
	s = longRun.ReplaceAllString(s, "[removed]")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if rs := []rune(s); len(rs) > 500 {
		s = string(rs[:500]) + "…"
	}
	return s
}

// quietly is err with a quiet text: code can still tell its kind.
func quietly(err error, secrets ...gatehouse.Secret) error {
	return quietError{quiet(err.Error(), secrets...), err}
}

type quietError struct {
	text string
	err  error
}

func (e quietError) Error() string { return e.text }

// Unwrap keeps the kinds: context.DeadlineExceeded, net.Error, …
func (e quietError) Unwrap() error { return e.err }
