package cloud_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/outside"
)

// held are credentials of a session in s, made at the test's hour.
func held(t testing.TB, s *cloud.Server, w what) awssdk.Credentials {
	t.Helper()
	out, err := assume(t, s, w.encoded(t))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keysOf(out).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

const whoami = "Action=GetCallerIdentity&Version=2011-06-15"

// signed is a POST of body, signed at that time for region and service.
func signed(t testing.TB, s *cloud.Server, keys awssdk.Credentials, body string, at time.Time, region, service string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, req, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		t.Fatal(err)
	}
	return req
}

func send(t testing.TB, req *http.Request) (int, string, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return answer(t, resp)
}

func TestSignedRequests(t *testing.T) {
	clock := now
	s := start(t, func(c *cloud.Config) { c.Now = func() time.Time { return clock } })
	keys := held(t, s, usual())
	foreign := held(t, start(t), usual())
	mixed := keys
	mixed.AccessKeyID = foreign.AccessKeyID
	bare := keys
	bare.SessionToken = ""
	wrong := keys
	wrong.SecretAccessKey = foreign.SecretAccessKey
	auth := func(edit func(string) string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", edit(r.Header.Get("Authorization"))) }
	}
	swap := func(from, to string) func(*http.Request) {
		return auth(func(a string) string { return strings.Replace(a, from, to, 1) })
	}
	tests := []struct {
		name    string
		keys    awssdk.Credentials
		age     time.Duration // of the signature
		region  string
		service string
		later   time.Duration // the server's clock at the call
		edit    func(*http.Request)
		code    string // empty: accepted
	}{
		{name: "another's secret key", keys: wrong, code: "SignatureDoesNotMatch"},
		{name: "a key with another's token", keys: mixed, code: "InvalidClientTokenId"},
		{name: "credentials of another server", keys: foreign, code: "InvalidClientTokenId"},
		{name: "no session token", keys: bare, code: "InvalidClientTokenId"},
		{name: "the session has ended", later: time.Hour, age: -time.Hour, code: "ExpiredToken"},
		{name: "a wrong signature on an ended session says nothing of its end", keys: wrong, later: time.Hour, age: -time.Hour, code: "SignatureDoesNotMatch"},
		{name: "signed sixteen minutes ago", age: 16 * time.Minute, code: "SignatureDoesNotMatch"},
		{name: "signed in sixteen minutes", age: -16 * time.Minute, code: "SignatureDoesNotMatch"},
		{name: "signed for another service", service: "iam", code: "SignatureDoesNotMatch"},
		{name: "signed for no region of this world", region: "moon", code: "SignatureDoesNotMatch"},
		{name: "the body was changed", edit: func(r *http.Request) {
			b := whoami + "&x=y"
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(b)), int64(len(b))
		}, code: "SignatureDoesNotMatch"},
		{name: "the body was changed to one of the same length", edit: func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader("Action=GetCallerIdentity&Version=2011-06-15&"[:len(whoami)-1] + "5"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}, code: "SignatureDoesNotMatch"},
		{name: "a query was added", edit: func(r *http.Request) { r.URL.RawQuery = "Foo=bar" }, code: "SignatureDoesNotMatch"},
		{name: "another host", edit: func(r *http.Request) { r.Host = "sts.amazonaws.com" }, code: "SignatureDoesNotMatch"},
		{name: "an x-amz header that is not signed", edit: func(r *http.Request) { r.Header.Set("X-Amz-Extra", "1") }, code: "SignatureDoesNotMatch"},
		{name: "a signed header was taken away", edit: func(r *http.Request) { r.Header.Del("X-Amz-Extra-Signed") }, code: "SignatureDoesNotMatch"},
		{name: "the date in the scope is another day", edit: swap("/20261121/", "/20261120/"), code: "SignatureDoesNotMatch"},
		{name: "a scope that ends otherwise", edit: swap("aws4_request", "aws5_request"), code: "SignatureDoesNotMatch"},
		{name: "no authorization", edit: func(r *http.Request) { r.Header.Del("Authorization") }, code: "MissingAuthenticationToken"},
		{name: "Basic authorization", edit: auth(func(string) string { return "Basic YTpi" }), code: "IncompleteSignature"},
		{name: "no Credential", edit: swap("Credential=", "Credentials="), code: "IncompleteSignature"},
		{name: "no SignedHeaders", edit: swap("SignedHeaders=", "Signedheaders="), code: "IncompleteSignature"},
		{name: "a Credential in four parts", edit: swap("/aws4_request", ""), code: "IncompleteSignature"},
		{name: "a signature that is too short", edit: auth(func(a string) string { return a[:len(a)-2] }), code: "IncompleteSignature"},
		{name: "a signature in capitals", edit: auth(func(a string) string {
			i := strings.Index(a, "Signature=")
			return a[:i+10] + strings.ToUpper(a[i+10:])
		}), code: "IncompleteSignature"},
		{name: "host is not among the signed headers", edit: auth(func(a string) string { return strings.Replace(a, ";host;", ";", 1) }), code: "SignatureDoesNotMatch"},
		{name: "signed headers out of order", edit: swap("content-length;content-type", "content-type;content-length"), code: "IncompleteSignature"},
		{name: "a date that is none", edit: func(r *http.Request) { r.Header.Set("X-Amz-Date", "today") }, code: "IncompleteSignature"},
		{name: "no date", edit: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, code: "IncompleteSignature"},
		{name: "two authorizations", edit: func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, code: "IncompleteSignature"},
		{name: "signed fourteen minutes ago is near enough", age: 14 * time.Minute},
		{name: "any region will do", region: "ap-southeast-2"},
		{name: "unsigned headers without x-amz are nobody's business", edit: func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.keys.AccessKeyID == "" {
				tt.keys = keys
			}
			clock = now.Add(tt.later)
			defer func() { clock = now }()
			region, service := "eu-west-1", "sts"
			if tt.region != "" {
				region = tt.region
			}
			if tt.service != "" {
				service = tt.service
			}
			req := signed(t, s, tt.keys, whoami, now.Add(-tt.age), region, service, "X-Amz-Extra-Signed", " a   b ")
			if tt.edit != nil {
				tt.edit(req)
			}
			status, code, message := send(t, req)
			if code != tt.code || (status == 200) != (tt.code == "") {
				t.Errorf("got %d %s %q, want %q; why: %s", status, code, message, tt.code, last(s).Why)
			}
		})
	}
}

// handMade signs without the SDK, which would not leave anything out.
func handMade(t testing.TB, s *cloud.Server, k awssdk.Credentials, scopeDate string, names ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/", strings.NewReader(whoami))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"host": req.Host, "x-amz-date": "20261121T060000Z", "x-amz-security-token": k.SessionToken,
		"content-type": "application/x-www-form-urlencoded"}
	var canonical strings.Builder
	canonical.WriteString("POST\n/\n\n")
	for _, n := range names {
		canonical.WriteString(n + ":" + values[n] + "\n")
	}
	for n, v := range values {
		req.Header.Set(n, v)
	}
	list := strings.Join(names, ";")
	body := sha256.Sum256([]byte(whoami))
	fmt.Fprintf(&canonical, "\n%s\n%x", list, body)
	hashed := sha256.Sum256([]byte(canonical.String()))
	scope := scopeDate + "/eu-west-1/sts/aws4_request"
	key := []byte("AWS4" + k.SecretAccessKey)
	for _, part := range append(strings.Split(scope, "/"), fmt.Sprintf("AWS4-HMAC-SHA256\n20261121T060000Z\n%s\n%x", scope, hashed)) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", k.AccessKeyID, scope, list, key))
	return req
}

// TestRightSignaturesOverTooLittle are signatures that match, and do not
// cover what they must.
func TestRightSignaturesOverTooLittle(t *testing.T) {
	s := start(t)
	k := held(t, s, usual())
	tests := []struct {
		name, date string
		headers    []string
		want       string
	}{
		{"all that must be", "20261121", []string{"host", "x-amz-date", "x-amz-security-token"}, ""},
		{"without the host", "20261121", []string{"x-amz-date", "x-amz-security-token"}, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"without the date", "20261121", []string{"host", "x-amz-security-token"}, "There were headers present in the request which were not signed: x-amz-date"},
		{"without the token", "20261121", []string{"host", "x-amz-date"}, "There were headers present in the request which were not signed: x-amz-security-token"},
		{"with a header that is not sent", "20261121", []string{"host", "x-amz-date", "x-amz-security-token", "x-amz-target"}, "A header in SignedHeaders is not in the request: x-amz-target"},
		{"with yesterday's key", "20261120", []string{"host", "x-amz-date", "x-amz-security-token"}, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if status, _, message := send(t, handMade(t, s, k, tt.date, tt.headers...)); message != tt.want {
				t.Errorf("got %d %q, want %q", status, message, tt.want)
			}
		})
	}
}

func TestSignedTextsAreAWSs(t *testing.T) {
	s := start(t)
	keys := held(t, s, usual())
	wrong := keys
	wrong.SecretAccessKey = "x"
	status, _, message := send(t, signed(t, s, wrong, whoami, now, "eu-west-1", "sts"))
	if want := "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method."; status != 403 || !strings.HasPrefix(message, want) {
		t.Errorf("got %d %q, want 403 %q…", status, message, want)
	}
	_, _, message = send(t, signed(t, s, keys, whoami, now.Add(-time.Hour), "eu-west-1", "sts"))
	if want := "Signature expired: 20261121T050000Z is now earlier than 20261121T054500Z (20261121T060000Z - 15 min.)"; message != want {
		t.Errorf("got %q, want %q", message, want)
	}
	for _, action := range []string{"GetSessionToken", "GetFederationToken"} {
		status, code, message := send(t, signed(t, s, keys, "Version=2011-06-15&Action="+action, now, "eu-west-1", "sts"))
		if want := "Cannot call " + action + " with session credentials"; status != 403 || code != "AccessDenied" || message != want {
			t.Errorf("got %d %s %q, want 403 AccessDenied %q", status, code, message, want)
		}
	}
}

func TestPresignedRequests(t *testing.T) {
	s := start(t)
	keys := held(t, s, usual())
	presign := func(expires string, at time.Time) string {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/?"+whoami+"&X-Amz-Expires="+expires, nil)
		sum := sha256.Sum256(nil)
		u, _, err := v4.NewSigner().PresignHTTP(t.Context(), keys, req, hex.EncodeToString(sum[:]), "sts", "eu-west-1", at)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	fine := presign("60", now)
	tests := []struct{ name, url, code string }{
		{"within its time", fine, ""},
		{"a minute late", presign("60", now.Add(-61*time.Second)), "SignatureDoesNotMatch"},
		{"for more than a week", presign("604801", now), "IncompleteSignature"},
		{"a parameter was added", fine + "&Extra=1", "SignatureDoesNotMatch"},
		{"the signature was changed", fine[:len(fine)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(fine, "0")], "SignatureDoesNotMatch"},
		{"without its token", regexpDrop(fine, "X-Amz-Security-Token"), "InvalidClientTokenId"},
		{"without its date", regexpDrop(fine, "X-Amz-Date"), "IncompleteSignature"},
		{"a parameter twice", fine + "&Action=GetCallerIdentity", "MalformedInput"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
			if status, code, message := send(t, req); code != tt.code {
				t.Errorf("got %d %s %q, want %q", status, code, message, tt.code)
			}
		})
	}
}

func regexpDrop(raw, name string) string {
	base, query, _ := strings.Cut(raw, "?")
	parts := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool { return strings.HasPrefix(p, name+"=") })
	return base + "?" + strings.Join(parts, "&")
}

func TestSDKPresignerIsAccepted(t *testing.T) {
	s := start(t, func(c *cloud.Config) { c.Now = time.Now })
	w := usual()
	w.before = at(time.Now())
	out, err := assume(t, s, w.encoded(t))
	if err != nil {
		t.Fatal(err)
	}
	p, err := sts.NewPresignClient(client(s, keysOf(out))).PresignGetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), p.Method, p.URL, nil)
	if status, code, message := send(t, req); status != 200 {
		t.Errorf("got %d %s %q, want 200", status, code, message)
	}
}

// TestChaining is AssumeRole with a role's own credentials.
func TestChaining(t *testing.T) {
	s := start(t)
	keys := held(t, s, with("PrincipalTag:team", "pay", "PrincipalTag:cost", "7", "TransitiveTagKeys", "team", "SourceIdentity", "alice"))
	call := func(keys awssdk.Credentials, kv ...string) (int, string, string, []byte) {
		form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {boxARN}, "RoleSessionName": {"hop"}}
		for i := 0; i < len(kv); i += 2 {
			form.Set(kv[i], kv[i+1])
		}
		resp, err := http.DefaultClient.Do(signed(t, s, keys, form.Encode(), now, "eu-west-1", "sts"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		status, code, message := answer(t, resp)
		return status, code, message, body
	}
	_, _, _, body := call(keys)
	var out struct {
		ARN    string                                                                  `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
		Source string                                                                  `xml:"AssumeRoleResult>SourceIdentity"`
		Keys   struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string } `xml:"AssumeRoleResult>Credentials"`
	}
	if err := xml.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	if out.ARN != "arn:aws:sts::444455556666:assumed-role/Box/hop" || out.Source != "alice" || out.Keys.Expiration != "2026-11-21T07:00:00Z" {
		t.Errorf("answer = %+v, want Box/hop, alice, an hour", out)
	}
	if got := last(s); !slices.Equal(got.Tags, []cloud.Tag{{Key: "team", Value: "pay"}}) || !slices.Equal(got.Transitive, []string{"team"}) {
		t.Errorf("tags = %v, transitive %v; want the transitive one alone", got.Tags, got.Transitive)
	}
	hop := awssdk.Credentials{AccessKeyID: out.Keys.AccessKeyId, SecretAccessKey: out.Keys.SecretAccessKey, SessionToken: out.Keys.SessionToken}
	const hour = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
	tests := []struct {
		name string
		keys awssdk.Credentials
		kv   []string
		code string
		text string
	}{
		{"an hour at most", keys, []string{"DurationSeconds", "3601"}, "ValidationError", hour},
		{"the source identity cannot change", keys, []string{"SourceIdentity", "bob"}, "AccessDenied", ""},
		{"a transitive tag cannot be given again", keys, []string{"Tags.member.1.Key", "TEAM", "Tags.member.1.Value", "x"}, "InvalidParameterValue", ""},
		{"a role that does not trust the caller", hop, []string{"RoleArn", devARN}, "AccessDenied",
			"User: arn:aws:sts::444455556666:assumed-role/Box/hop is not authorized to perform: sts:AssumeRole on resource: " + devARN},
		{"tags and source identity need every trust policy", keys, []string{"RoleArn", "arn:aws:iam::111122223333:role/Narrow"}, "AccessDenied", ""},
		{"no such role", keys, []string{"RoleArn", "arn:aws:iam::444455556666:role/Nope"}, "AccessDenied", ""},
		{"a session name is required", keys, []string{"RoleSessionName", ""}, "ValidationError", ""},
		{"STS off over there", keys, []string{"RoleArn", "arn:aws:iam::777788889999:role/Dev"}, "RegionDisabledException", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, code, message, _ := call(tt.keys, tt.kv...); code != tt.code || tt.text != "" && message != tt.text {
				t.Errorf("got %s %q, want %s %q", code, message, tt.code, tt.text)
			}
		})
	}
}

func TestQueriesThatAreNone(t *testing.T) {
	s := start(t)
	tests := []struct{ name, body, kind, code string }{
		{"no action", "Version=2011-06-15", "", "MissingAction"},
		{"an unknown action", "Action=Nope&Version=2011-06-15", "", "InvalidAction"},
		{"another version", "Action=GetCallerIdentity&Version=2010-05-08", "", "InvalidAction"},
		{"a parameter twice", "Action=GetCallerIdentity&Action=AssumeRole&Version=2011-06-15", "", "MalformedInput"},
		{"a broken escape", "Action=%zz", "", "MalformedInput"},
		{"JSON", `{"Action":"GetCallerIdentity"}`, "application/json", "MalformedInput"},
		{"more than half a megabyte", "Action=" + strings.Repeat("x", 600<<10), "", "RequestEntityTooLarge"},
		{"signed operations unsigned", whoami, "", "MissingAuthenticationToken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kind := "application/x-www-form-urlencoded"
			if tt.kind != "" {
				kind = tt.kind
			}
			resp, err := http.Post(s.URL()+"/", kind, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if status, code, message := answer(t, resp); code != tt.code || status < 400 {
				t.Errorf("got %d %s %q, want %s", status, code, message, tt.code)
			}
		})
	}
}

func TestSDKKnowsTheErrors(t *testing.T) {
	s := start(t)
	_, err := assume(t, s, b64("nonsense"))
	var token *types.InvalidIdentityTokenException
	if !errors.As(err, &token) {
		t.Errorf("err = %v, want InvalidIdentityTokenException", err)
	}
	_, err = assume(t, s, removed(".//NameID").encoded(t))
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "AccessDenied" || api.ErrorMessage() != notAuthorized {
		t.Errorf("err = %v, want AccessDenied", err)
	}
	for kind, want := range map[cloud.FaultKind]bool{cloud.FaultThrottle: true, cloud.FaultServerError: true, cloud.FaultCaptive: false, cloud.FaultMalformed: false} {
		s.Fault(cloud.Fault{Door: cloud.DoorSTS, Kind: kind})
		if _, err = assume(t, s, usual().encoded(t)); err == nil || errors.As(err, &api) != want {
			t.Errorf("fault %s: err = %v; an API error: %v, want %v", kind, err, !want, want)
		}
	}
}

// TestStockCLI runs Amazon's own command line.
func TestStockCLI(t *testing.T) {
	cli := outside.Program(t, "aws", "awscli")
	s := start(t, func(c *cloud.Config) { c.Now = time.Now })
	w := usual()
	w.before = at(time.Now())
	encoded := w.encoded(t)
	run := func(env []string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), cli, append(args, "--output", "text", "--region", "eu-central-1")...)
		home := t.TempDir()
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "AWS_ENDPOINT_URL_STS=" + s.URL()}, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", args[1], err, out)
		}
		return strings.TrimSpace(string(out))
	}
	keys := strings.Fields(run(nil, "sts", "assume-role-with-saml", "--role-arn", devARN, "--principal-arn", provider,
		"--saml-assertion", encoded, "--query", "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]"))
	if len(keys) != 3 {
		t.Fatalf("keys = %d words, want 3", len(keys))
	}
	env := []string{"AWS_ACCESS_KEY_ID=" + keys[0], "AWS_SECRET_ACCESS_KEY=" + keys[1], "AWS_SESSION_TOKEN=" + keys[2]}
	if got, want := run(env, "sts", "get-caller-identity", "--query", "Arn"), "arn:aws:sts::111122223333:assumed-role/Dev/alice"; got != want {
		t.Errorf("Arn = %q, want %q", got, want)
	}
}
