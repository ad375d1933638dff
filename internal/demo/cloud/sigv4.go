package cloud

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	amzDate    = "20060102T150405Z"
	maxSkew    = 15 * time.Minute
	maxPresign = 7 * 24 * time.Hour
)

// claim is what a request says about its own signature (AWS General
// Reference, "Signature Version 4").
type claim struct {
	keyID, date, region, service, terminator string
	signedHeaders                            []string
	signature                                []byte

	at        time.Time
	token     string
	presigned bool
	expires   time.Duration // of a presigned request
}

func incomplete(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, "IncompleteSignature", fmt.Sprintf(format, args...))
}

func doesNotMatch(message string) *refusal {
	return refuse(http.StatusForbidden, "SignatureDoesNotMatch", message)
}

func invalidToken(why string, args ...any) *refusal {
	return refuse(http.StatusForbidden, "InvalidClientTokenId",
		"The security token included in the request is invalid.").because(why, args...)
}

// authenticate verifies the request's signature and says who made it, or
// refuses. What it canonicalizes is the request as it came over the wire.
func (s *Server) authenticate(q *request) *refusal {
	c, no := readClaim(q)
	if no != nil {
		return no
	}
	q.region, q.call.Region = c.region, c.region
	if no := c.checkScope(); no != nil {
		return no
	}
	var who identity
	if c.token == "" {
		return invalidToken("no session token, and there are no long-term keys here")
	}
	if err := s.seal.open("session", c.token, &who); err != nil || who.AccessKeyID != c.keyID {
		return invalidToken("the session token is not of this server or not of this key")
	}
	if no := c.checkTime(q.now); no != nil {
		return no
	}
	if no := c.checkSignedHeaders(q); no != nil {
		return no
	}
	if !hmac.Equal(c.sign(q, s.seal.secretKey(who.AccessKeyID)), c.signature) {
		return doesNotMatch("The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if !q.now.Before(who.Expires) {
		return refuse(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	}
	q.caller = &who
	return nil
}

// readClaim finds the signature in the header or in the query, not in both.
func readClaim(q *request) (*claim, *refusal) {
	headers := q.Header.Values("Authorization")
	_, inQuery := q.params["X-Amz-Signature"]
	switch {
	case len(headers) == 0 && !inQuery && q.params["X-Amz-Credential"] == "":
		return nil, refuse(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	case len(headers) > 1 || len(headers) == 1 && inQuery:
		return nil, incomplete("The request carries more than one signature.")
	case len(headers) == 1:
		return claimOfHeader(q, headers[0])
	}
	return claimOfQuery(q.params)
}

func claimOfHeader(q *request, header string) (*claim, *refusal) {
	c, no := parseAuthorization(header)
	if no != nil {
		return nil, no
	}
	stamp, tokens := cmp.Or(q.Header.Get("X-Amz-Date"), q.Header.Get("Date")), q.Header.Values("X-Amz-Security-Token")
	if len(q.Header.Values("X-Amz-Date")) > 1 || len(tokens) > 1 {
		return nil, incomplete("X-Amz-Date or X-Amz-Security-Token is there twice.")
	}
	if stamp == "" {
		return nil, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if len(tokens) == 1 {
		c.token = tokens[0]
	}
	return c, c.setTime(stamp)
}

// parseAuthorization reads the header's value: the algorithm, then Credential,
// SignedHeaders and Signature, each once, in any order.
func parseAuthorization(header string) (*claim, *refusal) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return nil, incomplete("Authorization header must begin with '%s'.", algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[key]; !ok || twice || !slices.Contains([]string{"Credential", "SignedHeaders", "Signature"}, key) {
			return nil, incomplete("'%.64s' is not a valid key=value pair (missing or unexpected) in Authorization header.", key)
		}
		parts[key] = value
	}
	for _, key := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[key] == "" {
			return nil, incomplete("Authorization header requires '%s' parameter.", key)
		}
	}
	return newClaim(parts["Credential"], parts["SignedHeaders"], parts["Signature"])
}

// claimOfQuery reads a presigned request.
func claimOfQuery(p params) (*claim, *refusal) {
	if p["X-Amz-Algorithm"] != algorithm {
		return nil, incomplete("X-Amz-Algorithm must be '%s'.", algorithm)
	}
	for _, key := range []string{"X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		if p[key] == "" {
			return nil, incomplete("AWS query-string parameters must include '%s'.", key)
		}
	}
	c, no := newClaim(p["X-Amz-Credential"], p["X-Amz-SignedHeaders"], p["X-Amz-Signature"])
	if no != nil {
		return nil, no
	}
	seconds := 300 // SDKs that presign STS requests may leave X-Amz-Expires out
	if v, sent := p["X-Amz-Expires"]; sent {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || time.Duration(n)*time.Second > maxPresign {
			return nil, incomplete("X-Amz-Expires must be between 1 and 604800 seconds.")
		}
		seconds = n
	}
	c.presigned, c.expires, c.token = true, time.Duration(seconds)*time.Second, p["X-Amz-Security-Token"]
	return c, c.setTime(p["X-Amz-Date"])
}

var headerName = lazily(`^[a-z0-9!#$%&'*+.^_|~-]+$`)

func newClaim(credential, signedHeaders, signature string) (*claim, *refusal) {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || slices.Contains(parts, "") {
		return nil, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	sig, err := hex.DecodeString(signature)
	if err != nil || len(sig) != sha256.Size || strings.ToLower(signature) != signature {
		return nil, incomplete("The signature is not 64 lower-case hexadecimal digits.")
	}
	names := strings.Split(signedHeaders, ";")
	for i, name := range names {
		if !headerName.MatchString(name) || i > 0 && names[i-1] >= name {
			return nil, incomplete("SignedHeaders must be lower-case header names, sorted, each once.")
		}
	}
	return &claim{keyID: parts[0], date: parts[1], region: parts[2], service: parts[3], terminator: parts[4],
		signedHeaders: names, signature: sig}, nil
}

// setTime reads X-Amz-Date, or a Date header as HTTP writes it.
func (c *claim) setTime(stamp string) *refusal {
	at, err := time.Parse(amzDate, stamp)
	if err != nil {
		at, err = http.ParseTime(stamp)
	}
	if err != nil {
		return incomplete("Date must be in ISO-8601 'basic format'. Got '%.40s'.", stamp)
	}
	c.at = at.UTC()
	return nil
}

var regionName = lazily(`^[a-z]{2,8}(-[a-z]{2,12}){1,3}-\d{1,2}$`)

func (c *claim) checkScope() *refusal {
	switch {
	case c.terminator != "aws4_request":
		return doesNotMatch("Credential should be scoped with a valid terminator: 'aws4_request'.")
	case c.service != "sts":
		return doesNotMatch("Credential should be scoped to correct service: 'sts'.")
	case !regionName.MatchString(c.region):
		return doesNotMatch("Credential should be scoped to a valid region.")
	case c.date != c.at.Format("20060102"):
		return doesNotMatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	return nil
}

func (c *claim) checkTime(now time.Time) *refusal {
	oldest, newest := now.Add(-maxSkew), now.Add(maxSkew)
	if c.presigned {
		oldest = now.Add(-c.expires)
	}
	switch {
	case c.at.Before(oldest):
		return doesNotMatch(fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %d min.)",
			c.at.Format(amzDate), oldest.Format(amzDate), now.Format(amzDate), int(now.Sub(oldest).Minutes())))
	case c.at.After(newest):
		return doesNotMatch(fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 15 min.)",
			c.at.Format(amzDate), newest.Format(amzDate), now.Format(amzDate)))
	}
	return nil
}

// checkSignedHeaders demands what "Create a signed AWS API request" demands:
// host and every x-amz-* header that is there are signed, and every header
// said to be signed is there.
func (c *claim) checkSignedHeaders(q *request) *refusal {
	if !slices.Contains(c.signedHeaders, "host") {
		return doesNotMatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if !c.presigned && q.Header.Get("X-Amz-Date") == "" && !slices.Contains(c.signedHeaders, "date") {
		return doesNotMatch("'Date' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range q.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(c.signedHeaders, lower) {
			return doesNotMatch("There were headers present in the request which were not signed: " + lower)
		}
	}
	for _, name := range c.signedHeaders {
		if _, ok := q.signedHeader(name); !ok {
			return doesNotMatch("A header in SignedHeaders is not in the request: " + name)
		}
	}
	return nil
}

// sign computes what the signature should be.
func (c *claim) sign(q *request, secret string) []byte {
	scope := strings.Join([]string{c.date, c.region, c.service, c.terminator}, "/")
	hashed := sha256.Sum256([]byte(c.canonicalRequest(q)))
	toSign := strings.Join([]string{algorithm, c.at.Format(amzDate), scope, hex.EncodeToString(hashed[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, c.terminator} {
		key = hmacSHA256(key, part)
	}
	return hmacSHA256(key, toSign)
}

func (c *claim) canonicalRequest(q *request) string {
	var headers strings.Builder
	for _, name := range c.signedHeaders {
		value, _ := q.signedHeader(name)
		headers.WriteString(name + ":" + value + "\n")
	}
	// The payload is always hashed here; an X-Amz-Content-Sha256 that says
	// otherwise (UNSIGNED-PAYLOAD is for S3) cannot match.
	body := sha256.Sum256(q.body)
	return strings.Join([]string{
		q.Method, "/", canonicalQuery(q.URL.RawQuery), headers.String(),
		strings.Join(c.signedHeaders, ";"), hex.EncodeToString(body[:]),
	}, "\n")
}

// signedHeader is a header's canonical value: inner and outer blanks folded,
// several lines joined by commas. net/http keeps Host apart.
func (q *request) signedHeader(name string) (string, bool) {
	switch name {
	case "host":
		return q.Host, true
	case "content-length":
		return strconv.Itoa(len(q.body)), true
	}
	values := q.Header.Values(name)
	folded := make([]string, len(values))
	for i, v := range values {
		folded[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(folded, ","), len(values) > 0
}

// canonicalQuery sorts the raw query by encoded name and value, without the
// signature itself.
func canonicalQuery(raw string) string {
	var pairs [][2]string
	for pair := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(pair, "=")
		key, _ = url.QueryUnescape(key) // parseForm has refused what cannot be decoded
		value, _ = url.QueryUnescape(value)
		if pair != "" && key != "X-Amz-Signature" {
			pairs = append(pairs, [2]string{uriEncode(key), uriEncode(value)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	joined := make([]string, len(pairs))
	for i, p := range pairs {
		joined[i] = p[0] + "=" + p[1]
	}
	return strings.Join(joined, "&")
}

// uriEncode encodes everything but RFC 3986's unreserved characters.
func uriEncode(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
