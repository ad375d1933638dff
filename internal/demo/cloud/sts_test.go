package cloud_test

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"gatehouse/internal/demo/cloud"
)

// client is the SDK's STS client for s; nil keys: anonymous.
func client(s *cloud.Server, keys awssdk.CredentialsProvider) *sts.Client {
	if keys == nil {
		keys = awssdk.AnonymousCredentials{}
	}
	return sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: awssdk.String(s.URL()), Credentials: keys,
		RetryMaxAttempts: 1})
}

func assume(t testing.TB, s *cloud.Server, encoded string, change ...func(*sts.AssumeRoleWithSAMLInput)) (*sts.AssumeRoleWithSAMLOutput, error) {
	t.Helper()
	in := &sts.AssumeRoleWithSAMLInput{RoleArn: awssdk.String(devARN), PrincipalArn: awssdk.String(provider), SAMLAssertion: &encoded}
	for _, c := range change {
		c(in)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return client(s, nil).AssumeRoleWithSAML(ctx, in)
}

func keysOf(out *sts.AssumeRoleWithSAMLOutput) awssdk.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
}

func TestAssertionBecomesCredentialsThatTheSDKUses(t *testing.T) {
	s := start(t)
	w := usual()
	w.attributes = append(w.attributes, [2]string{"SourceIdentity", "alice@corp"}, [2]string{"PrincipalTag:team", "pay"})
	out, err := assume(t, s, w.encoded(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"Arn", *out.AssumedRoleUser.Arn, "arn:aws:sts::111122223333:assumed-role/Dev/alice"},
		{"Audience", *out.Audience, acs},
		{"Issuer", *out.Issuer, entityID},
		{"Subject", *out.Subject, "_opaque"},
		{"SubjectType", *out.SubjectType, "persistent"},
		{"SourceIdentity", *out.SourceIdentity, "alice@corp"},
		{"Expiration", out.Credentials.Expiration.Format(time.RFC3339), "2026-11-21T07:00:00Z"},
		{"key's prefix", (*out.Credentials.AccessKeyId)[:4], "ASIA"},
		{"role id's prefix", (*out.AssumedRoleUser.AssumedRoleId)[:4], "AROA"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.what, c.got, c.want)
		}
	}
	//lint:ignore SA1019 the emulator answers as AWS documents the call
	if out.PackedPolicySize == nil || *out.PackedPolicySize < 1 {
		//lint:ignore SA1019 the emulator answers as AWS documents the call
		t.Errorf("PackedPolicySize = %v, want a percentage: a tag was packed", out.PackedPolicySize)
	}
}

func TestCallerIdentityAnswersTheSDK(t *testing.T) {
	real := time.Now()
	s := start(t, func(c *cloud.Config) { c.Now = time.Now })
	w := usual()
	w.before = at(real)
	out, err := assume(t, s, w.encoded(t))
	if err != nil {
		t.Fatal(err)
	}
	id, err := client(s, keysOf(out)).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *id.Arn, "arn:aws:sts::111122223333:assumed-role/Dev/alice"; got != want {
		t.Errorf("Arn = %q, want %q", got, want)
	}
	if *id.Account != account || *id.UserId != *out.AssumedRoleUser.AssumedRoleId {
		t.Errorf("account %s, user %s; want %s, %s", *id.Account, *id.UserId, account, *out.AssumedRoleUser.AssumedRoleId)
	}
}

// post sends a form to STS and returns the status and the error's code and message.
func post(t testing.TB, s *cloud.Server, form url.Values) (int, string, string) {
	t.Helper()
	resp, err := http.PostForm(s.URL()+"/", form)
	if err != nil {
		t.Fatal(err)
	}
	return answer(t, resp)
}

func answer(t testing.TB, resp *http.Response) (int, string, string) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		XMLName   xml.Name
		Code      string `xml:"Error>Code"`
		Message   string `xml:"Error>Message"`
		RequestID string `xml:"RequestId"`
	}
	if err := xml.Unmarshal(body, &e); err != nil {
		t.Fatalf("answer is not XML: %v\n%s", err, body)
	}
	if resp.StatusCode >= 400 && (e.RequestID == "" || e.RequestID != resp.Header.Get("x-amzn-RequestId")) {
		t.Errorf("request id %q in the body, %q in the header", e.RequestID, resp.Header.Get("x-amzn-RequestId"))
	}
	if e.RequestID != "" {
		e.Message = strings.ReplaceAll(e.Message, e.RequestID, "UUID")
	}
	return resp.StatusCode, e.Code, e.Message
}
