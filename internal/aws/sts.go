package aws

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"gatehouse"
)

// The limits of DurationSeconds (STS API Reference, AssumeRoleWithSAML).
const (
	minDuration = 15 * time.Minute
	maxDuration = 12 * time.Hour
)

// AssumeRole trades an assertion for credentials of the role, in the account's
// region. d is always sent: without it STS would grant an hour whatever the
// assertion says. When the role's own maximum is below d, it asks once more
// for an hour, the least maximum that a role can have, and Credentials.Lasts
// tells it. limits, where there are any, narrow what the session may do.
// Nothing reads the assertion once AssumeRole has returned.
//
// Errors: gatehouse.Refusal when AWS says no, gatehouse.Unavailable when it
// gives no answer within the timeout, gatehouse.ErrInvalid for a region or
// duration that cannot be asked for.
func (c *Client) AssumeRole(ctx context.Context, account gatehouse.Account, role gatehouse.Role, assertion gatehouse.Lent, d time.Duration, limits gatehouse.SessionPolicy) (gatehouse.Credentials, error) {
	if !of(account).has(account.Region) {
		return gatehouse.Credentials{}, &gatehouse.Invalid{Field: "region", Why: "This is not a region of the account's AWS partition."}
	}
	if d < minDuration || d > maxDuration {
		return gatehouse.Credentials{}, &gatehouse.Invalid{Field: "duration", Why: "Choose between 15 minutes and 12 hours."}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	out, err := c.assume(ctx, account, role, assertion, d, limits)
	if aboveMaximum(err) && d > time.Hour {
		c.log.InfoContext(ctx, "role allows less than its rule, asking for an hour", "role", role.ARN(), "account", account.ID, "duration", d)
		d = time.Hour
		out, err = c.assume(ctx, account, role, assertion, d, limits)
	}
	if err != nil {
		return gatehouse.Credentials{}, c.stsError(ctx, account, role, gatehouse.Secret(assertion), err)
	}
	return c.credentials(account, out, d)
}

func (c *Client) assume(ctx context.Context, account gatehouse.Account, role gatehouse.Role, assertion gatehouse.Lent, d time.Duration, limits gatehouse.SessionPolicy) (*sts.AssumeRoleWithSAMLOutput, error) {
	return c.region(account.Region).AssumeRoleWithSAML(ctx, input(account, role, d, limits), carrying{assertion}.add)
}

// input is what the SDK is to write into the form. The assertion follows, see
// carrying.
func input(account gatehouse.Account, role gatehouse.Role, d time.Duration, limits gatehouse.SessionPolicy) *sts.AssumeRoleWithSAMLInput {
	roleARN, providerARN := role.ARN(), account.ProviderARN()
	seconds, empty := int32(d/time.Second), ""
	in := &sts.AssumeRoleWithSAMLInput{
		RoleArn:         &roleARN,
		PrincipalArn:    &providerARN,
		SAMLAssertion:   &empty,
		DurationSeconds: &seconds,
	}
	if limits.Document != "" {
		in.Policy = &limits.Document
	}
	for i := range limits.ARNs {
		in.PolicyArns = append(in.PolicyArns, types.PolicyDescriptorType{Arn: &limits.ARNs[i]})
	}
	return in
}

// aboveMaximum recognises "The requested DurationSeconds exceeds the
// MaxSessionDuration set for this role." It has no code of its own.
func aboveMaximum(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "MaxSessionDuration")
}

// credentials reads an answer in which anything may be missing: something in
// AWS's place can answer 200 with an empty page.
func (c *Client) credentials(account gatehouse.Account, out *sts.AssumeRoleWithSAMLOutput, asked time.Duration) (gatehouse.Credentials, error) {
	k := out.Credentials
	if k == nil || empty(k.AccessKeyId) || empty(k.SecretAccessKey) || empty(k.SessionToken) || k.Expiration == nil {
		return gatehouse.Credentials{}, c.stsUnavailable(account.Region, errors.New("an answer without credentials"))
	}
	got := gatehouse.Credentials{
		AccessKeyID:     *k.AccessKeyId,
		SecretAccessKey: gatehouse.Secret(*k.SecretAccessKey),
		SessionToken:    gatehouse.Secret(*k.SessionToken),
		Expires:         k.Expiration.UTC(),
		Lasts:           c.lasts(*k.Expiration, asked),
	}
	if u := out.AssumedRoleUser; u != nil && u.Arn != nil {
		got.AssumedRoleARN = *u.Arn
	}
	got.RequestID, _ = middleware.GetRequestIDMetadata(out.ResultMetadata)
	return got, nil
}

func empty(s *string) bool { return s == nil || *s == "" }

// clockTolerance is how far our clock and AWS's may differ while assertions
// are still accepted.
const clockTolerance = 5 * time.Minute

// lasts is what was granted. STS grants what was asked or refuses, unless the
// assertion itself caps the session; our clock is no reason to call it less.
func (c *Client) lasts(expires time.Time, asked time.Duration) time.Duration {
	left := expires.Sub(c.now()).Round(time.Second)
	if left <= 0 || left > asked-clockTolerance {
		return asked
	}
	return left
}

// An assertion is good for more than one attempt while it is fresh: STS does
// not count its uses.
const maxAttempts = 3

// newRetryer repeats throttling, 5xx and broken connections, soon enough for
// all attempts to fit into Config.Timeout, and apart enough for many replicas.
func newRetryer() *retry.Standard {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return backoff(attempt), nil
		})
	})
}

// backoff is between half and the whole of 200 ms, 400 ms, 800 ms, …
func backoff(attempt int) time.Duration {
	whole := 200 * time.Millisecond << min(max(attempt-1, 0), 3)
	return whole/2 + rand.N(whole/2)
}

func (c *Client) stsUnavailable(region string, err error) error {
	return &gatehouse.Unavailable{What: "AWS STS", Name: c.stsHost(region), Err: fmt.Errorf("assume role: %w", err)}
}
