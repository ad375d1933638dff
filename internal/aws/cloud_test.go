package aws_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"gatehouse"
	"gatehouse/internal/aws"
	"gatehouse/internal/demo/cloud"
	"gatehouse/saml"
)

const entityID = "https://aws.corp.example.com/saml/metadata"

var (
	account = gatehouse.Account{ID: "111122223333", Name: "Payments", Provider: "Gatehouse", Region: "eu-west-1", Partition: "aws"}
	role    = gatehouse.Role{Partition: "aws", Account: "111122223333", Path: "/team/", Name: "Developer"}
)

// newIdP makes an identity provider with a key of its own.
func newIdP(t *testing.T) *saml.IdP {
	t.Helper()
	key, err := saml.NewSigningKey(time.Now(), entityID)
	if err != nil {
		t.Fatal(err)
	}
	idp, err := saml.New(saml.Config{EntityID: entityID}, saml.Endpoints{Metadata: entityID, SSO: "https://aws.corp.example.com/saml/sso"},
		[]gatehouse.SigningKey{key}, []byte("sixteen bytes of name key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return idp
}

// A stage is the emulator, our client of it, and an identity provider that
// the account trusts.
type stage struct {
	cloud  *cloud.Server
	client *aws.Client
	idp    *saml.IdP
}

// newStage sets it up; trust may change the role's trust policy.
func newStage(t *testing.T, trust func(*cloud.Role)) stage {
	t.Helper()
	idp := newIdP(t)
	r := cloud.Role{Name: "Developer", Path: "/team/", MaxSession: 2 * time.Hour, Trust: cloud.Trust{Providers: []string{"Gatehouse"}, SubType: "persistent"}}
	if trust != nil {
		trust(&r)
	}
	s, err := cloud.Start(cloud.Config{Accounts: []cloud.Account{{ID: account.ID, Name: "payments", Providers: []string{"Gatehouse"}, Roles: []cloud.Role{r}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.PutProvider(account.ID, "Gatehouse", idp.Metadata()); err != nil {
		t.Fatal(err)
	}
	return stage{s, clientOf(t, s.URL()), idp}
}

func clientOf(t *testing.T, endpoint string) *aws.Client {
	t.Helper()
	c, err := aws.New(aws.Config{STSEndpoint: endpoint, SigninEndpoint: endpoint}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// assertion is what the Broker would have signed.
func assertion(t *testing.T, idp *saml.IdP, c *aws.Client, change ...func(*saml.Assertion)) gatehouse.Lent {
	t.Helper()
	a := saml.Assertion{
		Recipient: c.Recipient(account), Audience: c.Audience(account),
		NameID: saml.NameID{Value: idp.NameID("corp/alice", c.Audience(account))}, AuthnInstant: time.Now(), Sign: saml.SignAssertion,
		AWS: &saml.AWS{Roles: []saml.RolePair{{RoleARN: role.ARN(), ProviderARN: account.ProviderARN()}}, RoleSessionName: "alice"},
	}
	for _, f := range change {
		f(&a)
	}
	r, err := idp.Respond(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return gatehouse.Lent(r.Encoded)
}

func (s stage) assume(t *testing.T, d time.Duration, change ...func(*saml.Assertion)) (gatehouse.Credentials, error) {
	t.Helper()
	return s.client.AssumeRole(t.Context(), account, role, assertion(t, s.idp, s.client, change...), d, gatehouse.SessionPolicy{})
}

func TestAnAssertionBecomesCredentialsThatAWSKnows(t *testing.T) {
	s := newStage(t, nil)
	got, err := s.assume(t, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got.AssumedRoleARN != "arn:aws:sts::111122223333:assumed-role/Developer/alice" || got.Lasts != time.Hour || got.RequestID == "" ||
		time.Until(got.Expires).Round(time.Minute) != time.Hour {
		t.Errorf("credentials = %+v", got)
	}
	identity, err := sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: awssdk.String(s.cloud.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(got.AccessKeyID, string(got.SecretAccessKey), string(got.SessionToken))}).
		GetCallerIdentity(t.Context(), nil)
	if err != nil || *identity.Arn != got.AssumedRoleARN {
		t.Errorf("GetCallerIdentity = %v, %v; want %s", identity, err, got.AssumedRoleARN)
	}
}

func TestARoleWithALowerMaximumGivesAnHour(t *testing.T) {
	s := newStage(t, nil)
	got, err := s.assume(t, 4*time.Hour)
	if err != nil || got.Lasts != time.Hour {
		t.Errorf("AssumeRole for 4h = %v, %v; want 1h", got.Lasts, err)
	}
	if got, err := s.assume(t, 2*time.Hour); err != nil || got.Lasts != 2*time.Hour {
		t.Errorf("AssumeRole for 2h = %v, %v; want 2h", got.Lasts, err)
	}
}

func TestTheEmulatorsRefusalsAreExplained(t *testing.T) {
	tests := []struct {
		name  string
		trust func(*cloud.Role)
		say   func(*saml.Assertion)
		code  string
		cure  string
	}{
		{"SAML:aud is AWS's", func(r *cloud.Role) { r.Trust.Audiences = []string{"https://signin.aws.amazon.com/saml"} }, nil, "AccessDenied", "/saml"},
		{"no such role", func(r *cloud.Role) { r.Name = "developer" }, nil, "AccessDenied", "letter case"},
		{"tags that are not allowed", nil, func(a *saml.Assertion) { a.AWS.Tags = []gatehouse.Tag{{Key: "team", Value: "pay"}} }, "AccessDenied", "sts:TagSession"},
		{"a source identity that is not allowed", nil, func(a *saml.Assertion) { a.AWS.SourceIdentity = "alice" }, "AccessDenied", "sts:SetSourceIdentity"},
		{"another audience", nil, func(a *saml.Assertion) { a.Audience = "urn:amazon:webservices:govcloud" }, "InvalidIdentityToken", "partition"},
		{"another role in the assertion", nil, func(a *saml.Assertion) {
			a.AWS.Roles[0].RoleARN = "arn:aws:iam::111122223333:role/Other"
		}, "InvalidIdentityToken", "another pair"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, tt.trust)
			if tt.say == nil {
				tt.say = func(*saml.Assertion) {}
			}
			_, err := s.assume(t, time.Hour, tt.say)
			var r *gatehouse.Refusal
			if !errors.As(err, &r) || r.Code != tt.code || !strings.Contains(r.Cure, tt.cure) || r.RequestID == "" {
				t.Errorf("AssumeRole = %v, want %s with a cure that says %q", err, tt.code, tt.cure)
			}
		})
	}
}

func TestAKeyThatTheAccountDoesNotKnow(t *testing.T) {
	s := newStage(t, nil)
	s.idp = newIdP(t)
	_, err := s.assume(t, time.Hour)
	var r *gatehouse.Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Cure, "signing key was changed") {
		t.Errorf("AssumeRole = %v, want a refusal that tells of the signing key", err)
	}
}

func TestFaultsOfTheEmulatorAreRidden(t *testing.T) {
	for _, kind := range []cloud.FaultKind{cloud.FaultThrottle, cloud.FaultServerError, cloud.FaultUnavailable} {
		s := newStage(t, nil)
		s.cloud.Fault(cloud.Fault{Door: cloud.DoorSTS, Kind: kind, Times: 1})
		if _, err := s.assume(t, time.Hour); err != nil {
			t.Errorf("after one %s: %v, want success", kind, err)
		}
	}
	for _, kind := range []cloud.FaultKind{cloud.FaultThrottle, cloud.FaultServerError, cloud.FaultUnavailable, cloud.FaultCaptive, cloud.FaultMalformed} {
		s := newStage(t, nil)
		s.cloud.Fault(cloud.Fault{Door: cloud.DoorSTS, Kind: kind, Times: -1})
		if _, err := s.assume(t, time.Hour); !errors.Is(err, gatehouse.ErrUnavailable) {
			t.Errorf("under constant %s: %v, want ErrUnavailable", kind, err)
		}
	}
}

func TestCredentialsBecomeAConsole(t *testing.T) {
	s := newStage(t, nil)
	keys, err := s.assume(t, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	destination, err := s.client.Destination(account, "eu-central-1", "")
	if err != nil {
		t.Fatal(err)
	}
	login, err := s.client.ConsoleURL(t.Context(), account, keys, 4*time.Hour, "https://aws.corp.example.com/", destination)
	if err != nil {
		t.Fatal(err)
	}
	jar, _ := cookiejar.New(nil)
	resp, err := (&http.Client{Jar: jar}).Get(string(login))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || !bytes.Contains(page, []byte("Developer")) || !bytes.Contains(page, []byte("eu-central-1")) {
		t.Errorf("the console answers %s at %s:\n%s", resp.Status, resp.Request.URL.Path, page)
	}
}

func TestForgedCredentialsOpenNoConsole(t *testing.T) {
	s := newStage(t, nil)
	keys, err := s.assume(t, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	keys.SecretAccessKey += "x"
	_, err = s.client.ConsoleURL(t.Context(), account, keys, time.Hour, "https://aws.corp.example.com/", s.cloud.URL()+"/console/home")
	var r *gatehouse.Refusal
	if !errors.As(err, &r) || r.Service != "sign-in" || strings.Contains(err.Error(), string(keys.SecretAccessKey)) {
		t.Errorf("ConsoleURL = %v, want a refusal of the sign-in", err)
	}
}

// startMoto starts moto's AWS, written by other people, as a second judge.
// It is no Debian package that `make test` could bring, so its absence is
// never a failure.
func startMoto(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("skipped: needs moto_server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	c := exec.Command(program, "-H", host, "-p", port)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	url, deadline := "http://"+net.JoinHostPort(host, port), time.Now().Add(time.Minute)
	for tick := time.Tick(50 * time.Millisecond); time.Now().Before(deadline); <-tick {
		if resp, err := http.Get(url + "/moto-api/"); err == nil {
			resp.Body.Close()
			return url
		}
	}
	t.Fatal("moto_server did not start within a minute")
	return ""
}

func TestMotoTakesTheCallToo(t *testing.T) {
	url := startMoto(t)
	c := clientOf(t, url)
	plain := role
	plain.Path = "/"
	said := func(a *saml.Assertion) {
		a.AWS.Roles[0].RoleARN = plain.ARN()
		a.AWS.SessionDuration = time.Hour
	}
	got, err := c.AssumeRole(t.Context(), account, plain, assertion(t, newIdP(t), c, said), time.Hour, gatehouse.SessionPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	if got.AssumedRoleARN != "arn:aws:sts::111122223333:assumed-role/Developer/alice" || !strings.HasPrefix(got.AccessKeyID, "ASIA") || got.Lasts != time.Hour {
		t.Errorf("moto's credentials = %+v", got)
	}
}
