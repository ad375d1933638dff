package aws

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// Every refusal that AWS documents or that people have reported, of
// AssumeRoleWithSAML, by code and text.
var refusals = []struct {
	status        int
	code, message string
	cure          string // part of what the operator is told
}{
	{403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML", "SAML:aud condition allows https://signin.aws.amazon.com/saml"},
	{400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", "maximum session duration of arn:aws:iam::111122223333:role/team/Developer"},
	{400, "ValidationError", "1 validation error detected: Value '60' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900", "max_session"},
	{400, "ValidationError", "1 validation error detected: Value at 'SAMLAssertion' failed to satisfy constraint: Member must have length less than or equal to 100000", "100,000"},
	{400, "ValidationError", "Request ARN is invalid", "aws.accounts"},
	{400, "ValidationError", "something new", "error code and message"},
	{403, "RegionDisabledException", "STS is not activated in this region for account:111122223333. Your account administrator can activate STS in this region using the IAM Console.", "activate STS for eu-west-1 in account 111122223333"},
	{400, "InvalidIdentityToken", "Specified provider doesn't exist (Service: AWSOpenIdDiscoveryService; Status Code: 400; Error Code: AuthSamlManifestNotFoundException; Request ID: x; Proxy: null)", "create it with this gateway's metadata"},
	{400, "InvalidIdentityToken", "Issuer not present in specified provider (Service: AWSOpenIdDiscoveryService; Error Code: AuthSamlInvalidSamlResponseException)", "saml.entity_id"},
	{400, "InvalidIdentityToken", "Response signature invalid (Service: AWSSecurityTokenService)", "signing key was changed"},
	{400, "InvalidIdentityToken", "Response does not contain the required audience.", "China and GovCloud"},
	{400, "InvalidIdentityToken", "SAML Assertion doesn't contain the requested Role and Metadata in the attributes", "saml-provider/Gatehouse"},
	{400, "InvalidIdentityToken", "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}", "session names"},
	{400, "InvalidIdentityToken", "RoleSessionName is required in AuthnResponse", "session names"},
	{400, "InvalidIdentityToken", `Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`, "source_identity"},
	{400, "InvalidIdentityToken", "Tag keys must be unique", "session_tags"},
	{400, "InvalidIdentityToken", "Invalid base64 SAMLResponse (Service: AWSOpenIdDiscoveryService; Error Code: AuthSamlInvalidSamlResponseException)", "gatehouse check"},
	{400, "InvalidIdentityToken", "Responses must contain SubjectConfirmatonData with a Recipient and NotOnOrAfter", "gatehouse check"},
	{400, "ExpiredTokenException", "Token must be redeemed within 5 minutes of issuance", "NTP"},
	{400, "ExpiredTokenException", "Response has expired", "NTP"},
	{403, "IDPRejectedClaim", "IdP reported that authentication failed", "failed sign-in"},
	{400, "PackedPolicyTooLarge", "Packed policy consumes 104% of allotted space, please use smaller policy.", "session_tags"},
	{400, "MalformedPolicyDocument", "Syntax errors in policy.", "session policy"},
	{403, "OptInRequired", "You are not subscribed", "error code and message"},
}

func TestEveryRefusalHasACauseAndACure(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.code+" "+tt.message[:min(30, len(tt.message))], func(t *testing.T) {
			s := script(t, refuse(tt.status, tt.code, tt.message))
			_, err := assumeAt(t, s.URL, time.Hour)
			var r *gatehouse.Refusal
			if !errors.As(err, &r) {
				t.Fatalf("AssumeRole = %v, want a Refusal", err)
			}
			if r.Service != "STS" || r.Code != tt.code || r.RequestID != "c6104cbe-af31-11e0-8154-cbc7ccf896c7" {
				t.Errorf("refusal = %s %s, request %q", r.Service, r.Code, r.RequestID)
			}
			if !strings.Contains(r.Cure, tt.cure) {
				t.Errorf("cure = %q, want it to say %q", r.Cure, tt.cure)
			}
			if strings.ContainsAny(r.Cure+r.Cause, "{}") || r.Cause == "" {
				t.Errorf("cause %q, cure %q: want all filled in", r.Cause, r.Cure)
			}
			if strings.Contains(r.Cause, "111122223333") || strings.Contains(r.Cause, "arn:") || strings.Contains(r.Cause, tt.message) {
				t.Errorf("cause %q speaks to operators, want it for the person", r.Cause)
			}
			if s.calls() != 1 {
				t.Errorf("%d calls, want 1: a refusal is final", s.calls())
			}
		})
	}
}

func TestTheCureNamesTheRecipientInUse(t *testing.T) {
	s := script(t, refuse(403, "AccessDenied", "Not authorized"))
	c := newClient(t, Config{STSEndpoint: s.URL, SigninEndpoint: "http://127.0.0.1:8081/"})
	_, err := c.AssumeRole(t.Context(), payments, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{})
	var r *gatehouse.Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Cure, "http://127.0.0.1:8081/saml;") {
		t.Errorf("AssumeRole = %v, want a cure with http://127.0.0.1:8081/saml", err)
	}
}

func TestNoErrorTellsTheAssertion(t *testing.T) {
	assertion := gatehouse.Lent(strings.Repeat("PHNhbWw+AbC/", 300))
	part := string(assertion[13:240])
	for name, answer := range map[string]reply{
		"quoted by AWS":         refuse(400, "ValidationError", "Value '"+string(assertion)+"' at 'SAMLAssertion' failed"),
		"quoted in part":        refuse(400, "ValidationError", "Value '"+part+"...' at 'SAMLAssertion' failed"),
		"quoted as the code":    refuse(400, string(assertion), "x"),
		"quoted when throttled": refuse(400, "Throttling", string(assertion)),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Config{STSEndpoint: script(t, answer).URL, Timeout: 700 * time.Millisecond})
			_, err := c.AssumeRole(t.Context(), payments, developer, assertion, time.Hour, gatehouse.SessionPolicy{})
			if err == nil || strings.Contains(err.Error(), part[:60]) {
				t.Errorf("AssumeRole = %v, want an error without the assertion", err)
			}
		})
	}
}

func TestQuiet(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"lines cannot be forged", "a\r\nlevel=ERROR msg=x\x1b[2J\u2028b", "a level=ERROR msg=x [2J b"},
		{"an ARN stays", "arn:aws:iam::111122223333:role/" + strings.Repeat("R", 64), "arn:aws:iam::111122223333:role/" + strings.Repeat("R", 64)},
		{"a secret goes", "the key s3cr3t is bad", "the key [removed] is bad"},
		{"a long run goes", strings.Repeat("QUJD", 30) + "==", "[removed]"},
		{"length has an end", strings.Repeat("ab ", 400), strings.Repeat("ab ", 166) + "ab…"},
	}
	for _, tt := range tests {
		if got := quiet(tt.in, "s3cr3t", ""); got != tt.want {
			t.Errorf("%s: quiet(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestAQuietErrorKeepsItsKind(t *testing.T) {
	err := quietly(http.ErrHandlerTimeout)
	if !errors.Is(err, http.ErrHandlerTimeout) || err.Error() != http.ErrHandlerTimeout.Error() {
		t.Errorf("quietly = %v, want the same kind and text", err)
	}
}
