package aws

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

var keys = gatehouse.Credentials{AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret/+", SessionToken: "token==&\""}

const (
	portal  = "https://aws.corp.example.com/?a=b&c=d"
	console = "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1#Instances:v=3"
)

func consoleAt(t *testing.T, endpoint string, d time.Duration) (gatehouse.Secret, error) {
	t.Helper()
	c := newClient(t, Config{SigninEndpoint: endpoint, Timeout: time.Second})
	return c.ConsoleURL(t.Context(), payments, keys, d, portal, console)
}

// The page that AWS answers a bad request with, in short.
const badPage = "<html><head><style>a{b}</style><title>Error</title></head><body><h1>Invalid credentials\nparameter</h1>secret/+</body></html>"

func TestKeysTravelInTheBodyOfAPost(t *testing.T) {
	var got *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got = r
		w.Write([]byte(`{"SigninToken":"tok+en/="}`))
	}))
	t.Cleanup(s.Close)
	if _, err := consoleAt(t, s.URL, 4*time.Hour); err != nil {
		t.Fatal(err)
	}
	if got.Method != http.MethodPost || got.URL.String() != "/federation" {
		t.Errorf("request = %s %s, want POST /federation", got.Method, got.URL)
	}
	if got.PostForm.Get("Action") != "getSigninToken" || got.PostForm.Get("SessionDuration") != "14400" || len(got.PostForm) != 3 {
		t.Errorf("form = %v", got.PostForm)
	}
	var session map[string]string
	if err := json.Unmarshal([]byte(got.PostForm.Get("Session")), &session); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"sessionId": "ASIAIOSFODNN7EXAMPLE", "sessionKey": "secret/+", "sessionToken": "token==&\""}
	if diff := cmp.Diff(want, session); diff != "" {
		t.Errorf("Session (-want +got):\n%s", diff)
	}
}

func TestTheURLKeepsItsPartsApart(t *testing.T) {
	s := script(t, reply{200, `{"SigninToken":"tok+en/=&Destination=https://evil.example"}`})
	got, err := consoleAt(t, s.URL, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(got))
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"Action": {"login"}, "Issuer": {portal}, "Destination": {console},
		"SigninToken": {"tok+en/=&Destination=https://evil.example"}}
	if diff := cmp.Diff(want, u.Query()); diff != "" || u.Fragment != "" || u.Path != "/federation" {
		t.Errorf("%s (-want +got):\n%s", got, diff)
	}
}

func TestSignInAnswers(t *testing.T) {
	ok := reply{200, `{"SigninToken":"t"}`}
	tests := []struct {
		name      string
		replies   []reply
		d         time.Duration
		durations []string // SessionDuration of each call
		kind      error
	}{
		{"a token", []reply{ok}, time.Hour, []string{"3600"}, nil},
		{"no duration, none sent", []reply{ok}, 0, []string{""}, nil},
		{"400: once more without the duration", []reply{{400, badPage}, ok}, time.Hour, []string{"3600", ""}, nil},
		{"400 twice is a refusal", []reply{{400, badPage}}, time.Hour, []string{"3600", ""}, gatehouse.ErrRefusedByAWS},
		{"400 without a duration is a refusal at once", []reply{{400, badPage}}, 0, []string{""}, gatehouse.ErrRefusedByAWS},
		{"403 is a refusal at once", []reply{{403, badPage}}, time.Hour, []string{"3600"}, gatehouse.ErrRefusedByAWS},
		{"503 is repeated", []reply{{503, ""}, ok}, time.Hour, []string{"3600", "3600"}, nil},
		{"503 twice", []reply{{503, ""}}, time.Hour, []string{"3600", "3600"}, gatehouse.ErrUnavailable},
		{"too many requests", []reply{{429, ""}}, time.Hour, []string{"3600", "3600"}, gatehouse.ErrUnavailable},
		{"a captive portal", []reply{{200, badPage}}, time.Hour, []string{"3600", "3600"}, gatehouse.ErrUnavailable},
		{"an empty answer", []reply{{200, ""}}, time.Hour, []string{"3600", "3600"}, gatehouse.ErrUnavailable},
		{"no token", []reply{{200, "{}"}}, time.Hour, []string{"3600", "3600"}, gatehouse.ErrUnavailable},
		{"an endless answer", []reply{{200, `{"SigninToken":"` + strings.Repeat("t", maxSignin) + `"}`}}, time.Hour, []string{"3600", "3600"}, gatehouse.ErrUnavailable},
		{"a redirect is not followed", []reply{{302, "/elsewhere"}}, time.Hour, []string{"3600", "3600"}, gatehouse.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := script(t, tt.replies...)
			got, err := consoleAt(t, s.URL, tt.d)
			if !errors.Is(err, tt.kind) || (err == nil) != (got != "") {
				t.Errorf("ConsoleURL = %d characters, %v; want %v", len(got), err, tt.kind)
			}
			var durations []string
			for _, f := range s.forms {
				durations = append(durations, f.Get("SessionDuration"))
			}
			if diff := cmp.Diff(tt.durations, durations); diff != "" {
				t.Errorf("SessionDuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARefusalQuotesThePageWithoutTheKeys(t *testing.T) {
	_, err := consoleAt(t, script(t, reply{400, badPage}).URL, time.Hour)
	var r *gatehouse.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("ConsoleURL = %v, want a Refusal", err)
	}
	if r.Service != "sign-in" || r.Code != "HTTP 400" || r.Message != "Error Invalid credentials parameter [removed]" || r.Cause == "" || r.Cure == "" {
		t.Errorf("refusal = %+v", r)
	}
}

func TestAHangingSignInIsUnavailableInTime(t *testing.T) {
	start := time.Now()
	c := newClient(t, Config{SigninEndpoint: hang(t), Timeout: 200 * time.Millisecond})
	_, err := c.ConsoleURL(t.Context(), payments, keys, time.Hour, portal, console)
	var u *gatehouse.Unavailable
	if !errors.As(err, &u) || u.What != "AWS sign-in" {
		t.Errorf("ConsoleURL = %v, want AWS sign-in unavailable", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v, want about 200ms", took)
	}
}

func TestSignInHosts(t *testing.T) {
	tests := []struct{ partition, region, federation, recipient, audience string }{
		{"aws", "us-east-1", "https://signin.aws.amazon.com/federation", "https://signin.aws.amazon.com/saml", "urn:amazon:webservices"},
		{"aws", "eu-west-1", "https://eu-west-1.signin.aws.amazon.com/federation", "https://signin.aws.amazon.com/saml", "urn:amazon:webservices"},
		{"", "eu-west-1", "https://eu-west-1.signin.aws.amazon.com/federation", "https://signin.aws.amazon.com/saml", "urn:amazon:webservices"},
		{"aws-us-gov", "us-gov-west-1", "https://signin.amazonaws-us-gov.com/federation", "https://signin.amazonaws-us-gov.com/saml", "urn:amazon:webservices:govcloud"},
		{"aws-cn", "cn-north-1", "https://signin.amazonaws.cn/federation", "https://signin.amazonaws.cn/saml", "urn:amazon:webservices:cn-north-1"},
		{"aws", "evil.example/", "https://signin.aws.amazon.com/federation", "https://signin.aws.amazon.com/saml", "urn:amazon:webservices"},
	}
	c := newClient(t, Config{})
	for _, tt := range tests {
		a := gatehouse.Account{ID: "111122223333", Region: tt.region, Partition: tt.partition}
		if f, r, aud := c.federation(a), c.Recipient(a), c.Audience(a); f != tt.federation || r != tt.recipient || aud != tt.audience {
			t.Errorf("%s %s: %s, %s, %s; want %s, %s, %s", tt.partition, tt.region, f, r, aud, tt.federation, tt.recipient, tt.audience)
		}
	}
	own := newClient(t, Config{SigninEndpoint: "http://127.0.0.1:8081/"})
	if f, r := own.federation(payments), own.Recipient(payments); f != "http://127.0.0.1:8081/federation" || r != "http://127.0.0.1:8081/saml" {
		t.Errorf("with an endpoint of our own: %s, %s", f, r)
	}
}

func FuzzParseSignin(f *testing.F) {
	for _, s := range []string{`{"SigninToken":"t"}`, `{"SigninToken":""}`, `{"SigninToken":1}`, `[]`, "", badPage, `{"SigninToken":"a"} x`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := parseSignin(body)
		if (err == nil) == (token == "") {
			t.Errorf("parseSignin(%q) = %d characters, %v", body, len(token), err)
		}
		if err != nil && len(body) > 40 && strings.Contains(err.Error(), string(body)) {
			t.Errorf("the error quotes the answer: %v", err)
		}
	})
}
