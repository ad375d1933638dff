package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

var (
	payments  = gatehouse.Account{ID: "111122223333", Name: "Payments", Provider: "Gatehouse", Region: "eu-west-1", Partition: "aws"}
	developer = gatehouse.Role{Partition: "aws", Account: "111122223333", Path: "/team/", Name: "Developer"}
)

// The answers of STS, as its API Reference and facts from real calls have them.
const granted = `<AssumeRoleWithSAMLResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
 <AssumeRoleWithSAMLResult>
  <Issuer>https://idp.example/saml/metadata</Issuer>
  <AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/Developer/alice</Arn><AssumedRoleId>AROAEXAMPLE:alice</AssumedRoleId></AssumedRoleUser>
  <Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>secret/+</SecretAccessKey><SessionToken>token==</SessionToken><Expiration>%s</Expiration></Credentials>
  <Audience>https://signin.aws.amazon.com/saml</Audience>
 </AssumeRoleWithSAMLResult>
 <ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>
</AssumeRoleWithSAMLResponse>`

const refused = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error>` +
	`<RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ErrorResponse>`

// reply is one answer of a server on loopback.
type reply struct {
	status int
	body   string
}

func grant() reply { return reply{200, fmt.Sprintf(granted, noon.Add(time.Hour).Format(time.RFC3339))} }

func refuse(status int, code, message string) reply {
	return reply{status, fmt.Sprintf(refused, code, message)}
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A scripted server gives its replies in turn, the last one for ever, and
// keeps the forms that it was sent.
type scripted struct {
	*httptest.Server
	mu      sync.Mutex
	replies []reply
	forms   []url.Values
	headers []http.Header
}

func script(t testing.TB, replies ...reply) *scripted {
	t.Helper()
	s := &scripted{replies: replies}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = r.ParseForm()
	s.forms, s.headers = append(s.forms, r.PostForm), append(s.headers, r.Header)
	next := s.replies[0]
	if len(s.replies) > 1 {
		s.replies = s.replies[1:]
	}
	if next.status >= 300 && next.status < 400 {
		w.Header().Set("Location", next.body)
	}
	w.Header().Set("X-Amzn-Requestid", "c6104cbe-af31-11e0-8154-cbc7ccf896c7")
	w.WriteHeader(next.status)
	io.WriteString(w, next.body)
}

func (s *scripted) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

func newClient(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg, func() time.Time { return noon }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// assumeAt asks the endpoint for the Developer role.
func assumeAt(t *testing.T, endpoint string, d time.Duration) (gatehouse.Credentials, error) {
	t.Helper()
	return newClient(t, Config{STSEndpoint: endpoint}).AssumeRole(t.Context(), payments, developer, gatehouse.Lent("PHNhbWw+"), d, gatehouse.SessionPolicy{})
}

func TestLimitsAreSentAsSessionPolicies(t *testing.T) {
	s := script(t, refuse(400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."), grant())
	limits := gatehouse.SessionPolicy{Document: `{"Statement":{}}`, ARNs: []string{"arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"}}
	if _, err := newClient(t, Config{STSEndpoint: s.URL}).AssumeRole(t.Context(), payments, developer, gatehouse.Lent("PHNhbWw+"), 4*time.Hour, limits); err != nil {
		t.Fatal(err)
	}
	for i, form := range s.forms { // the second attempt, with less time, must not be without them
		if form.Get("Policy") != limits.Document || form.Get("PolicyArns.member.1.arn") != limits.ARNs[0] || form.Get("PolicyArns.member.2.arn") != limits.ARNs[1] {
			t.Errorf("attempt %d sent %v", i+1, form)
		}
	}
	if len(s.forms) != 2 {
		t.Errorf("%d calls", len(s.forms))
	}
}

func TestTheCallSaysWhatAWSNeedsAndNothingElse(t *testing.T) {
	s := script(t, grant())
	if _, err := assumeAt(t, s.URL, time.Hour); err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"Action": {"AssumeRoleWithSAML"}, "Version": {"2011-06-15"}, "DurationSeconds": {"3600"}, "SAMLAssertion": {"PHNhbWw+"},
		"RoleArn":      {"arn:aws:iam::111122223333:role/team/Developer"},
		"PrincipalArn": {"arn:aws:iam::111122223333:saml-provider/Gatehouse"},
	}
	if diff := cmp.Diff(want, s.forms[0]); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	if auth := s.headers[0].Get("Authorization"); auth != "" {
		t.Errorf("Authorization = %q, want none: the call is unsigned", auth)
	}
}

func TestTheAnswerBecomesCredentials(t *testing.T) {
	got, err := assumeAt(t, script(t, grant()).URL, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	want := gatehouse.Credentials{AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret/+", SessionToken: "token==",
		Expires: noon.Add(time.Hour), Lasts: time.Hour, AssumedRoleARN: "arn:aws:sts::111122223333:assumed-role/Developer/alice",
		RequestID: "c6104cbe-af31-11e0-8154-cbc7ccf896c7"}
	if got != want {
		t.Errorf("credentials = %+v, want %+v", got, want)
	}
}

var tooLong = refuse(400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")

func TestDurations(t *testing.T) {
	tests := []struct {
		name    string
		replies []reply
		d       time.Duration
		want    []string // DurationSeconds of each call
		lasts   time.Duration
		kind    error
	}{
		{"what was asked", []reply{grant()}, time.Hour, []string{"3600"}, time.Hour, nil},
		{"above the role's maximum: once more, an hour", []reply{tooLong, grant()}, 4 * time.Hour, []string{"14400", "3600"}, time.Hour, nil},
		{"still above it: no third time", []reply{tooLong}, 4 * time.Hour, []string{"14400", "3600"}, 0, gatehouse.ErrRefusedByAWS},
		{"an hour is never lowered", []reply{tooLong}, time.Hour, []string{"3600"}, 0, gatehouse.ErrRefusedByAWS},
		{"another refusal is final", []reply{refuse(403, "AccessDenied", "no")}, 4 * time.Hour, []string{"14400"}, 0, gatehouse.ErrRefusedByAWS},
		{"less granted than asked", []reply{grant()}, 4 * time.Hour, []string{"14400"}, time.Hour, nil},
		{"less than AWS allows", []reply{grant()}, 14 * time.Minute, nil, 0, gatehouse.ErrInvalid},
		{"more than AWS allows", []reply{grant()}, 12*time.Hour + time.Second, nil, 0, gatehouse.ErrInvalid},
		{"nothing", []reply{grant()}, 0, nil, 0, gatehouse.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := script(t, tt.replies...)
			got, err := assumeAt(t, s.URL, tt.d)
			if !errors.Is(err, tt.kind) || got.Lasts != tt.lasts {
				t.Errorf("AssumeRole(%v) lasts %v, %v; want %v, %v", tt.d, got.Lasts, err, tt.lasts, tt.kind)
			}
			var asked []string
			for _, f := range s.forms {
				asked = append(asked, f.Get("DurationSeconds"))
			}
			if diff := cmp.Diff(tt.want, asked); diff != "" {
				t.Errorf("DurationSeconds (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOurClockDoesNotShortenAGrant(t *testing.T) {
	for off, want := range map[time.Duration]time.Duration{
		0: time.Hour, 4 * time.Minute: time.Hour, -4 * time.Minute: time.Hour, 30 * time.Minute: 30 * time.Minute, 2 * time.Hour: time.Hour,
	} {
		c := newClient(t, Config{})
		c.now = func() time.Time { return noon.Add(off) }
		if got := c.lasts(noon.Add(time.Hour), time.Hour); got != want {
			t.Errorf("an hour, seen %v later, lasts %v, want %v", off, got, want)
		}
	}
}

func TestWhatIsNoAnswerIsUnavailable(t *testing.T) {
	const xml = `<AssumeRoleWithSAMLResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithSAMLResult>%s</AssumeRoleWithSAMLResult></AssumeRoleWithSAMLResponse>`
	tests := []struct {
		name  string
		reply reply
	}{
		{"throttled", refuse(400, "Throttling", "Rate exceeded")},
		{"throttled otherwise", refuse(400, "ThrottlingException", "Rate exceeded")},
		{"an error of theirs", refuse(500, "InternalFailure", "sorry")},
		{"their view of us is down", refuse(400, "IDPCommunicationError", "sorry")},
		{"busy, without a body", reply{503, ""}},
		{"a page instead of an error", reply{502, "<html><body>Bad gateway</body></html>"}},
		{"a proxy's refusal", reply{403, "<!doctype html><html><body>Blocked by policy"}},
		{"a proxy's refusal in good XML", reply{403, "<html><body>Blocked</body></html>"}},
		{"a captive portal", reply{200, "<!doctype html><html><body>Welcome to our hotel</body></html>"}},
		{"an empty answer", reply{200, ""}},
		{"an answer cut short", reply{200, granted[:400]}},
		{"no credentials", reply{200, fmt.Sprintf(xml, "")}},
		{"credentials without a key", reply{200, fmt.Sprintf(xml, "<Credentials><SessionToken>t</SessionToken></Credentials>")}},
		{"credentials without expiry", reply{200, fmt.Sprintf(xml, "<Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken></Credentials>")}},
		{"an endless answer", reply{200, "<a>" + strings.Repeat("x", maxAnswer)}},
		{"a redirect", reply{307, "https://evil.example/"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := script(t, tt.reply)
			got, err := assumeAt(t, s.URL, time.Hour)
			var u *gatehouse.Unavailable
			if !errors.As(err, &u) || u.What != "AWS STS" || u.Name != hostOf(s.URL) || got != (gatehouse.Credentials{}) {
				t.Errorf("AssumeRole = %v, %v; want AWS STS %s unavailable", got, err, hostOf(s.URL))
			}
			if n := s.calls(); n > maxAttempts {
				t.Errorf("%d attempts, want at most %d", n, maxAttempts)
			}
		})
	}
}

func TestTransientFailuresAreRepeated(t *testing.T) {
	for name, first := range map[string]reply{
		"throttling":  refuse(400, "Throttling", "Rate exceeded"),
		"a 503":       {503, ""},
		"their error": refuse(500, "InternalFailure", "sorry"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := script(t, first, grant())
			if _, err := assumeAt(t, s.URL, time.Hour); err != nil || s.calls() != 2 {
				t.Errorf("AssumeRole = %v after %d calls, want success after 2", err, s.calls())
			}
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	elsewhere := script(t, grant())
	_, err := assumeAt(t, script(t, reply{307, elsewhere.URL}).URL, time.Hour)
	if err == nil || elsewhere.calls() != 0 {
		t.Errorf("AssumeRole = %v, and the assertion went elsewhere %d times", err, elsewhere.calls())
	}
}

func TestAConnectionThatWasClosedMeanwhileIsReplaced(t *testing.T) {
	s := script(t, grant())
	c := newClient(t, Config{STSEndpoint: s.URL})
	for range 3 {
		if _, err := c.AssumeRole(t.Context(), payments, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{}); err != nil {
			t.Fatal(err)
		}
		s.CloseClientConnections()
	}
}

// hang listens and never answers.
func hang(t *testing.T) string {
	t.Helper()
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(stop) })
	return s.URL
}

func TestAHangingSTSIsUnavailableInTime(t *testing.T) {
	c := newClient(t, Config{STSEndpoint: hang(t), Timeout: 200 * time.Millisecond})
	start := time.Now()
	_, err := c.AssumeRole(t.Context(), payments, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{})
	if !errors.Is(err, gatehouse.ErrUnavailable) {
		t.Errorf("AssumeRole = %v, want ErrUnavailable", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v, want about 200ms", took)
	}
}

func TestOneHangingConnectionIsGivenUpForAnother(t *testing.T) {
	stop := make(chan struct{})
	var once sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		first := false
		once.Do(func() { first = true })
		if first {
			<-stop
		}
		io.WriteString(w, grant().body)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(stop) })
	c := newClient(t, Config{STSEndpoint: s.URL, Timeout: 2 * time.Second})
	if _, err := c.AssumeRole(t.Context(), payments, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{}); err != nil {
		t.Errorf("AssumeRole = %v, want success by the second connection", err)
	}
}

func TestWhoLeftIsNotToldOfAnOutage(t *testing.T) {
	c := newClient(t, Config{STSEndpoint: hang(t)})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.AssumeRole(ctx, payments, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{})
	if !errors.Is(err, context.Canceled) || errors.Is(err, gatehouse.ErrUnavailable) {
		t.Errorf("AssumeRole = %v, want context.Canceled alone", err)
	}
}

func TestARegionThatIsNoneBuildsNoHost(t *testing.T) {
	c := newClient(t, Config{})
	c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("called %s", r.URL)
		return nil, errors.New("no")
	})
	for _, region := range []string{"", "evil.example/", "eu-west-1.evil.example", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1"} {
		a := payments
		a.Region = region
		if _, err := c.AssumeRole(t.Context(), a, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{}); !errors.Is(err, gatehouse.ErrInvalid) {
			t.Errorf("AssumeRole in %q = %v, want ErrInvalid", region, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheEnvironmentDoesNotRedirectTheGateway(t *testing.T) {
	trap := script(t, grant())
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_STS": trap.URL, "AWS_ENDPOINT_URL": trap.URL, "AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true",
		"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CA_BUNDLE": "/nonexistent",
	} {
		t.Setenv(name, value)
	}
	hosts := map[string]string{"eu-west-1": "sts.eu-west-1.amazonaws.com", "us-east-1": "sts.us-east-1.amazonaws.com"}
	for region, want := range hosts {
		c := newClient(t, Config{})
		c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if got := r.URL.Scheme + "://" + r.URL.Host; got != "https://"+want || r.Header.Get("Authorization") != "" {
				t.Errorf("the call goes to %s, signed %q; want https://%s, unsigned", got, r.Header.Get("Authorization"), want)
			}
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(grant().body)), Header: http.Header{}, Request: r}, nil
		})
		a := payments
		a.Region = region
		if _, err := c.AssumeRole(t.Context(), a, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{}); err != nil {
			t.Error(err)
		}
		if got := c.stsHost(region); got != want {
			t.Errorf("stsHost(%s) = %q, want %q", region, got, want)
		}
	}
	if trap.calls() != 0 {
		t.Errorf("the environment's endpoint was called %d times", trap.calls())
	}
}

func TestOneClientPerRegionIsKept(t *testing.T) {
	c := newClient(t, Config{})
	first, again, other := c.region("eu-west-1"), c.region("eu-west-1"), c.region("eu-west-2")
	if first != again || first == other {
		t.Error("want one client for each region, made once")
	}
}

func BenchmarkAssumeRole(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, grant().body)
	}))
	b.Cleanup(s.Close)
	c := newClient(b, Config{STSEndpoint: s.URL})
	assertion := gatehouse.Lent(strings.Repeat("PHNhbWw+", 1024))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AssumeRole(b.Context(), payments, developer, assertion, time.Hour, gatehouse.SessionPolicy{}); err != nil {
			b.Fatal(err)
		}
	}
}
