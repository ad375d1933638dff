package aws

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// dated answers with a clock that is off.
func dated(t *testing.T, off time.Duration) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", noon.Add(off).Format(http.TimeFormat))
		w.WriteHeader(http.StatusFound)
	}))
	t.Cleanup(s.Close)
	return s
}

func check(t *testing.T, change func(*Config)) []gatehouse.Finding {
	t.Helper()
	c := valid()
	change(&c)
	return newClient(t, c).Check(t.Context())
}

func find(t *testing.T, findings []gatehouse.Finding, subject string) gatehouse.Finding {
	t.Helper()
	i := slices.IndexFunc(findings, func(f gatehouse.Finding) bool { return strings.HasPrefix(f.Subject, subject) })
	if i < 0 {
		t.Fatalf("no finding about %q in %v", subject, findings)
	}
	if f := findings[i]; (f.State == gatehouse.FindingOK) != (f.Fix == "") {
		t.Errorf("finding %v: want a fix exactly when something is wrong", f)
	}
	return findings[i]
}

func TestCheckJudgesTheClock(t *testing.T) {
	for off, want := range map[time.Duration]gatehouse.FindingState{
		0: gatehouse.FindingOK, 50 * time.Second: gatehouse.FindingOK, -50 * time.Second: gatehouse.FindingOK,
		2 * time.Minute: gatehouse.FindingWarning, -2 * time.Minute: gatehouse.FindingWarning,
		5 * time.Minute: gatehouse.FindingFailure, -5 * time.Minute: gatehouse.FindingFailure,
	} {
		url := dated(t, off).URL
		findings := check(t, func(c *Config) { c.STSEndpoint, c.SigninEndpoint = url, url })
		if f := find(t, findings, "clock"); f.State != want {
			t.Errorf("a clock off by %v: %v, want %s", off, f, want)
		}
		for _, subject := range []string{"AWS STS " + hostOf(url), "AWS sign-in " + hostOf(url), "AWS accounts"} {
			if f := find(t, findings, subject); f.State != gatehouse.FindingOK {
				t.Errorf("%v, want ok", f)
			}
		}
	}
}

func TestCheckNamesTheStepAtWhichTheWayEnds(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	unknown := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(unknown.Close)
	tests := []struct{ name, endpoint, step, fix string }{
		{"nobody listens", closed.URL, "TCP: ", "allow connections"},
		{"no certificate that we trust", unknown.URL, "TLS: ", "aws.ca_file"},
		{"nobody answers", hang(t), "", "hold it up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			findings := check(t, func(c *Config) {
				c.STSEndpoint, c.SigninEndpoint = tt.endpoint, tt.endpoint
				if tt.step == "" {
					c.Timeout = 500 * time.Millisecond // it will pass, and anywhere else it must not
				}
			})
			f := find(t, findings, "AWS STS")
			if f.State != gatehouse.FindingFailure || !strings.HasPrefix(f.Detail, tt.step) || !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("finding = %v, want a failure at %q with %q", f, tt.step, tt.fix)
			}
			if f := find(t, findings, "clock"); f.State != gatehouse.FindingWarning {
				t.Errorf("clock = %v, want a warning: nobody told the time", f)
			}
		})
	}
}

func TestCheckSaysThatANameDoesNotResolve(t *testing.T) {
	c := newClient(t, valid())
	c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: r.URL.Host, IsNotFound: true}}
	})
	f := find(t, c.Check(t.Context()), "AWS STS sts.eu-west-1.amazonaws.com")
	if f.State != gatehouse.FindingFailure || !strings.HasPrefix(f.Detail, "DNS: ") {
		t.Errorf("finding = %v, want a failure of DNS", f)
	}
}

func TestCheckReachesEachEndpointOnce(t *testing.T) {
	c := valid()
	c.Accounts = map[string]AccountConfig{"000000000001": {}, "000000000002": {}, "000000000003": {Region: "us-east-1"}, "000000000004": {Region: "cn-north-1"}}
	client := newClient(t, c)
	client.http.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no network in tests") })
	var got []string
	for _, f := range client.Check(t.Context()) {
		got = append(got, f.Subject)
	}
	want := []string{"AWS accounts",
		"AWS STS sts.eu-west-1.amazonaws.com", "AWS STS sts.us-east-1.amazonaws.com", "AWS STS sts.cn-north-1.amazonaws.com.cn",
		"AWS sign-in eu-west-1.signin.aws.amazon.com", "AWS sign-in signin.aws.amazon.com", "AWS sign-in signin.amazonaws.cn", "clock against AWS"}
	if !slices.Equal(got, want) {
		t.Errorf("findings about %q, want %q", got, want)
	}
}

func TestCheckOfBrokenAndMissingAccounts(t *testing.T) {
	broken := check(t, func(c *Config) { c.Accounts["1"] = AccountConfig{} })
	if f := find(t, broken, "AWS accounts"); f.State != gatehouse.FindingFailure || !strings.Contains(f.Detail, "twelve digits") {
		t.Errorf("finding = %v, want a failure that names the fault", f)
	}
	none := check(t, func(c *Config) { c.Accounts = nil })
	if f := find(t, none, "AWS accounts"); f.State != gatehouse.FindingWarning {
		t.Errorf("finding = %v, want a warning", f)
	}
}

func TestAPrivateEndpointIsTrustedByItsCAFile(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(grant().body)) }))
	t.Cleanup(s.Close)
	ca := writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	c := newClient(t, Config{STSEndpoint: s.URL, CAFile: ca})
	if _, err := c.AssumeRole(t.Context(), payments, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{}); err != nil {
		t.Errorf("AssumeRole with ca_file = %v, want success", err)
	}
	c = newClient(t, Config{STSEndpoint: s.URL, Timeout: time.Second})
	if _, err := c.AssumeRole(context.Background(), payments, developer, gatehouse.Lent("PHNhbWw+"), time.Hour, gatehouse.SessionPolicy{}); !errors.Is(err, gatehouse.ErrUnavailable) {
		t.Errorf("AssumeRole without ca_file = %v, want ErrUnavailable", err)
	}
}
