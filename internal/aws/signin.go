package aws

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

// ConsoleURL trades credentials for a URL that signs a browser in to the
// console for d (IAM User Guide, "Enable custom identity broker access to the
// AWS console"). The URL is good for 15 minutes to whoever has it: it is never
// logged, and only handed to the person. destination comes from Destination;
// issuer is where AWS leads back when the session ends.
//
// Errors: gatehouse.Refusal when AWS's sign-in says no, gatehouse.Unavailable
// when it gives no answer within the timeout.
func (c *Client) ConsoleURL(ctx context.Context, account gatehouse.Account, k gatehouse.Credentials, d time.Duration, issuer, destination string) (gatehouse.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	endpoint := c.federation(account)
	token, err := c.signinToken(ctx, endpoint, k, d)
	if errors.Is(ctx.Err(), context.Canceled) {
		return "", fmt.Errorf("get sign-in token: %w", context.Canceled)
	}
	if err != nil {
		return "", err
	}
	return gatehouse.Secret(endpoint + "?Action=login" +
		"&Issuer=" + url.QueryEscape(issuer) +
		"&Destination=" + url.QueryEscape(destination) +
		"&SigninToken=" + url.QueryEscape(string(token))), nil
}

// federation is the endpoint that both steps use: a token is good at the
// host that made it.
func (c *Client) federation(account gatehouse.Account) string {
	return cmp.Or(c.cfg.SigninEndpoint, "https://"+of(account).signinHost(account.Region)) + "/federation"
}

// signinToken asks with the session's duration, and without it if AWS answers
// 400: AWS refuses some durations of credentials that it takes otherwise, and
// then grants what is left of the credentials' own.
func (c *Client) signinToken(ctx context.Context, endpoint string, k gatehouse.Credentials, d time.Duration) (gatehouse.Secret, error) {
	form, err := signinForm(k)
	if err != nil {
		return "", err
	}
	if d > 0 {
		withDuration := url.Values{"SessionDuration": {strconv.Itoa(int(d / time.Second))}}
		for name, value := range form {
			withDuration[name] = value
		}
		token, err := c.askSignin(ctx, endpoint, withDuration, k)
		var refusal *gatehouse.Refusal
		if !errors.As(err, &refusal) || refusal.Code != badRequest {
			return token, err
		}
	}
	return c.askSignin(ctx, endpoint, form, k)
}

func signinForm(k gatehouse.Credentials) (url.Values, error) {
	session, err := json.Marshal(struct {
		ID    string `json:"sessionId"`
		Key   string `json:"sessionKey"`
		Token string `json:"sessionToken"`
	}{k.AccessKeyID, string(k.SecretAccessKey), string(k.SessionToken)})
	return url.Values{"Action": {"getSigninToken"}, "Session": {string(session)}}, err
}

// askSignin posts, so that keys are in no URL, and posts once more when
// nothing usable came back.
func (c *Client) askSignin(ctx context.Context, endpoint string, form url.Values, k gatehouse.Credentials) (gatehouse.Secret, error) {
	token, err := c.postSignin(ctx, endpoint, form, k)
	if !errors.Is(err, gatehouse.ErrUnavailable) {
		return token, err
	}
	select {
	case <-ctx.Done():
		return "", err
	case <-time.After(backoff(1)):
		return c.postSignin(ctx, endpoint, form, k)
	}
}

func (c *Client) postSignin(ctx context.Context, endpoint string, form url.Values, k gatehouse.Credentials) (gatehouse.Secret, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	unavailable := func(err error) error {
		return &gatehouse.Unavailable{What: "AWS sign-in", Name: req.URL.Host,
			Err: quietly(fmt.Errorf("get sign-in token: %w", err), k.SecretAccessKey, k.SessionToken)}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", unavailable(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSignin+1))
	if err != nil {
		return "", unavailable(err)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		token, err := parseSignin(body)
		if err != nil {
			return "", unavailable(err)
		}
		return token, nil
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests:
		return "", signinRefusal(resp, body, k)
	}
	return "", unavailable(fmt.Errorf("unexpected answer %s", resp.Status))
}

// maxSignin is far above any answer with a token.
const maxSignin = 64 << 10

// parseSignin reads {"SigninToken":"…"}.
func parseSignin(body []byte) (gatehouse.Secret, error) {
	if len(body) > maxSignin {
		return "", errors.New("an answer of more than 64 KiB")
	}
	var answer struct{ SigninToken string }
	if err := json.Unmarshal(body, &answer); err != nil {
		// The decoder's own error may quote what it read.
		return "", errors.New("an answer that is not JSON, so not AWS's")
	}
	if answer.SigninToken == "" {
		return "", errors.New("an answer without a token")
	}
	return gatehouse.Secret(answer.SigninToken), nil
}

const badRequest = "HTTP 400"

// signinRefusal reads AWS's refusal, which is a page of HTML for people.
func signinRefusal(resp *http.Response, body []byte, k gatehouse.Credentials) error {
	return &gatehouse.Refusal{
		Service:   "sign-in",
		Code:      fmt.Sprintf("HTTP %d", resp.StatusCode),
		Message:   quiet(pageText(body), gatehouse.Secret(k.AccessKeyID), k.SecretAccessKey, k.SessionToken),
		RequestID: quiet(resp.Header.Get("X-Amzn-Requestid")),
		Cause:     "AWS gave you the role, but did not open its console. Try again in a minute; the keys of the role itself work.",
		Cure: "AWS's sign-in does not say why; it refuses credentials that come by a chained role or that just expired, and partitions that do not match: " +
			"check the region and partition of the account in aws.accounts, and signin_endpoint if it is set",
	}
}

var tags = regexp.MustCompile(`(?s)<(?:style|script)\b.*?</(?:style|script)>|<[^>]*>`)

// pageText is what a page says, without its markup.
func pageText(body []byte) string { return tags.ReplaceAllString(string(body), " ") }
