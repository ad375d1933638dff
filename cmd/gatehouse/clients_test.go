package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sso"
	ssotypes "github.com/aws/aws-sdk-go-v2/service/sso/types"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	oidctypes "github.com/aws/aws-sdk-go-v2/service/ssooidc/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"gatehouse"
	"gatehouse/internal/outside"
)

// laptop is a person's home folder with an AWS configuration that leads to
// the gate, as docs/clients.md has it.
type laptop struct {
	t    testing.TB
	home string
	env  []string
}

func newLaptop(t testing.TB, g *gate) *laptop {
	t.Helper()
	l := &laptop{t: t, home: t.TempDir()}
	l.write(".aws/config", `[sso-session gatehouse]
sso_start_url = https://gatehouse.awsapps.com/start
sso_region = us-east-1
sso_registration_scopes = sso:account:access
[profile sandbox]
sso_session = gatehouse
sso_account_id = 444455556666
sso_role_name = PowerUser
region = eu-west-1
services = gatehouse
[services gatehouse]
sso =
  endpoint_url = `+g.url+`/sso
sso_oidc =
  endpoint_url = `+g.url+`/oidc
sts =
  endpoint_url = `+g.AWS+"\n")
	return l
}

func (l *laptop) write(name, text string) {
	l.t.Helper()
	path := filepath.Join(l.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// cacheFile is where every client keeps the session's token.
func (l *laptop) cacheFile() string {
	sum := sha1.Sum([]byte("gatehouse"))
	return filepath.Join(l.home, ".aws/sso/cache", hex.EncodeToString(sum[:])+".json")
}

// cached is that file.
func (l *laptop) cached() map[string]string {
	l.t.Helper()
	text, err := os.ReadFile(l.cacheFile())
	if err != nil {
		l.t.Fatal(err)
	}
	all := map[string]any{}
	if err := json.Unmarshal(text, &all); err != nil {
		l.t.Fatalf("%v in %s", err, text)
	}
	fields := map[string]string{}
	for k, v := range all {
		fields[k] = fmt.Sprint(v)
	}
	return fields
}

func (l *laptop) cache(fields map[string]string) {
	l.t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(strings.TrimPrefix(l.cacheFile(), l.home+"/"), string(text))
}

// expire makes the cached token look old, so that the client must refresh it.
func (l *laptop) expire() {
	l.t.Helper()
	c := l.cached()
	c["expiresAt"] = time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	l.cache(c)
}

// agree types the code of a program into the page, as somebody does.
func (b *browser) agree(code string) {
	b.t.Helper()
	p := b.get("/device?" + url.Values{"user_code": {code}}.Encode())
	p.want(b.t, 200, "Let a program act for you?", code, "That is what it calls itself")
	b.post("/device", "user_code", code, "answer", "agree").want(b.t, 200, "The program is signed in")
}

// A program on the Go SDK, with nothing of ours: it registers, waits for the
// person, and from then on has keys by itself until the sign-in ends.
func TestAGoProgramSignsInByDeviceCode(t *testing.T) {
	g := openGate(t)
	l := newLaptop(t, g)
	t.Setenv("HOME", l.home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(l.home, ".aws/config")) // the SDK has looked for HOME already
	bob := g.browser(t)
	bob.signIn("bob")
	oidc := ssooidc.New(ssooidc.Options{Region: "us-east-1", BaseEndpoint: awssdk.String(g.url + "/oidc")})
	ctx := t.Context()

	client, err := oidc.RegisterClient(ctx, &ssooidc.RegisterClientInput{ClientName: awssdk.String("my-tool"), ClientType: awssdk.String("public")})
	if err != nil {
		t.Fatal(err)
	}
	device, err := oidc.StartDeviceAuthorization(ctx, &ssooidc.StartDeviceAuthorizationInput{
		ClientId: client.ClientId, ClientSecret: client.ClientSecret, StartUrl: awssdk.String("https://gatehouse.awsapps.com/start")})
	if err != nil {
		t.Fatal(err)
	}
	ask := &ssooidc.CreateTokenInput{ClientId: client.ClientId, ClientSecret: client.ClientSecret, DeviceCode: device.DeviceCode,
		GrantType: awssdk.String("urn:ietf:params:oauth:grant-type:device_code")}
	var pending *oidctypes.AuthorizationPendingException
	if _, err := oidc.CreateToken(ctx, ask); !errors.As(err, &pending) {
		t.Fatalf("before anybody agreed: %v, want AuthorizationPendingException", err)
	}
	bob.agree(awssdk.ToString(device.UserCode))
	token, err := oidc.CreateToken(ctx, ask)
	if err != nil {
		t.Fatal(err)
	}
	var over *oidctypes.ExpiredTokenException
	if _, err := oidc.CreateToken(ctx, ask); !errors.As(err, &over) {
		t.Errorf("the device code once more: %v, want ExpiredTokenException", err)
	}
	l.cache(map[string]string{
		"startUrl": "https://gatehouse.awsapps.com/start", "region": "us-east-1", "clientId": *client.ClientId, "clientSecret": *client.ClientSecret,
		"accessToken": *token.AccessToken, "refreshToken": *token.RefreshToken,
		"expiresAt":             time.Now().Add(time.Duration(token.ExpiresIn) * time.Second).UTC().Format(time.RFC3339),
		"registrationExpiresAt": time.Unix(client.ClientSecretExpiresAt, 0).UTC().Format(time.RFC3339),
	})

	wantCaller(t, "bob-")
	l.expire()
	wantCaller(t, "bob-")
	if got := l.cached()["refreshToken"]; got == *token.RefreshToken || got == "" {
		t.Errorf("the SDK's cache has refresh token %q after a refresh, want another", got)
	}
	wantLists(t, g, l.cached()["accessToken"])

	p := bob.get("/me/sessions")
	p.want(t, 200, "my-tool", "End it")
	bob.post("/me/sessions", "id", p.find(t, `name="id" value="([^"]*)"`)).want(t, 200, "Ended.", "There are none.")
	if _, err := caller(ctx); err == nil || !strings.Contains(err.Error(), "UnauthorizedException") {
		t.Errorf("after its end the sign-in still brings keys: %v", err)
	}
	store := record(t, g.cfg, nil)
	if e := lastEvent(t, store); e.Kind != gatehouse.EventSignOut || e.Client != "my-tool" || e.Username != "bob" {
		t.Errorf("the last event is %+v", e)
	}
}

// caller asks AWS who a program is that was started with the profile.
func caller(ctx context.Context) (string, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithSharedConfigProfile("sandbox"))
	if err != nil {
		return "", err
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return awssdk.ToString(who.Arn), nil
}

func wantCaller(t testing.TB, session string) {
	t.Helper()
	arn, err := caller(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:sts::444455556666:assumed-role/PowerUser/" + session; !strings.HasPrefix(arn, want) {
		t.Errorf("the caller is %s, want %s…", arn, want)
	}
}

// wantLists reads accounts and roles page by page, as `aws configure sso` does.
func wantLists(t testing.TB, g *gate, token string) {
	t.Helper()
	portal := sso.New(sso.Options{Region: "us-east-1", BaseEndpoint: awssdk.String(g.url + "/sso")})
	var accounts []string
	pages := sso.NewListAccountsPaginator(portal, &sso.ListAccountsInput{AccessToken: &token, MaxResults: awssdk.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.AccountList {
			accounts = append(accounts, awssdk.ToString(a.AccountId)+" "+awssdk.ToString(a.AccountName))
		}
	}
	if len(accounts) != 2 || !strings.HasPrefix(accounts[1], "444455556666 ") {
		t.Errorf("accounts %q, want bob's two by name", accounts)
	}
	roles, err := portal.ListAccountRoles(t.Context(), &sso.ListAccountRolesInput{AccessToken: &token, AccountId: awssdk.String("444455556666")})
	if err != nil || len(roles.RoleList) != 1 || *roles.RoleList[0].RoleName != "PowerUser" || roles.NextToken != nil {
		t.Errorf("roles %+v, %v", roles, err)
	}
	_, err = portal.GetRoleCredentials(t.Context(), &sso.GetRoleCredentialsInput{AccessToken: &token, AccountId: awssdk.String("111122223333"), RoleName: awssdk.String("Admin")})
	var unauthorized *ssotypes.UnauthorizedException
	if err == nil || errors.As(err, &unauthorized) || !strings.Contains(err.Error(), "403") {
		t.Errorf("somebody else's role: %v, want a 403, which does not end the client's session", err)
	}
}

// ruleSet leads every call of a service to one address: the AWS CLI before
// 2.13 knows no other way.
const ruleSet = `{"version":"1.0","parameters":{
"Region":{"builtIn":"AWS::Region","required":false,"documentation":"","type":"String"},
"UseDualStack":{"builtIn":"AWS::UseDualStack","required":true,"default":false,"documentation":"","type":"Boolean"},
"UseFIPS":{"builtIn":"AWS::UseFIPS","required":true,"default":false,"documentation":"","type":"Boolean"},
"Endpoint":{"builtIn":"SDK::Endpoint","required":false,"documentation":"","type":"String"}},
"rules":[{"conditions":[],"endpoint":{"url":%q,"properties":{},"headers":{}},"type":"endpoint"}]}`

// cliV2 is an AWS CLI of version 2.
func cliV2(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"aws", "/usr/bin/aws"} {
		if path, err := exec.LookPath(name); err == nil {
			if out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput(); err == nil && strings.HasPrefix(string(out), "aws-cli/2.") {
				return path
			}
		}
	}
	outside.Missing(t, "aws, version 2 (Debian package awscli)")
	return ""
}

// aws is the CLI on the laptop.
func (l *laptop) aws(path string, args ...string) *exec.Cmd {
	c := exec.CommandContext(l.t.Context(), path, args...)
	c.Env = []string{"HOME=" + l.home, "PATH=" + os.Getenv("PATH"), "AWS_PROFILE=sandbox", "AWS_PAGER=", "PYTHONUNBUFFERED=1", "BROWSER=/bin/false"}
	return c
}

func TestTheStockCLISignsIn(t *testing.T) {
	t.Parallel()
	cli := cliV2(t)
	g := openGate(t)
	l := newLaptop(t, g)
	l.write(".aws/models/sso-oidc/2019-06-10/endpoint-rule-set-1.json", fmt.Sprintf(ruleSet, g.url+"/oidc"))
	l.write(".aws/models/sso/2019-06-10/endpoint-rule-set-1.json", fmt.Sprintf(ruleSet, g.url+"/sso"))
	bob := g.browser(t)
	bob.signIn("bob")

	login := l.aws(cli, "sso", "login", "--no-browser")
	stdout, err := login.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	login.Stderr = &stderr
	if err := login.Start(); err != nil {
		t.Fatal(err)
	}
	code, said := "", ""
	for lines := bufio.NewScanner(stdout); code == "" && lines.Scan(); {
		said += lines.Text() + "\n"
		code = regexp.MustCompile(`(?m)^[B-Z]{4}-[B-Z]{4}$`).FindString(lines.Text())
	}
	if code == "" || !strings.Contains(said, g.url+"/device") {
		t.Fatalf("aws sso login shows no code:\n%s%s", said, &stderr)
	}
	bob.agree(code)
	if err := login.Wait(); err != nil {
		t.Fatalf("aws sso login: %v\n%s%s", err, said, &stderr)
	}

	identity := func() (string, error) {
		out, err := l.aws(cli, "sts", "get-caller-identity", "--endpoint-url", g.AWS, "--query", "Arn", "--output", "text").CombinedOutput()
		return string(out), err
	}
	want := "arn:aws:sts::444455556666:assumed-role/PowerUser/bob-"
	if out, err := identity(); err != nil || !strings.HasPrefix(out, want) {
		t.Fatalf("aws sts get-caller-identity: %v\n%s", err, out)
	}

	before := l.cached()["accessToken"]
	l.expire()
	if err := os.RemoveAll(filepath.Join(l.home, ".aws/cli/cache")); err != nil { // the keys it has kept
		t.Fatal(err)
	}
	if out, err := identity(); err != nil || !strings.HasPrefix(out, want) {
		t.Fatalf("after the token's end: %v\n%s", err, out)
	}
	if l.cached()["accessToken"] == before {
		t.Error("the CLI did not refresh its token")
	}

	if out, err := l.aws(cli, "sso", "logout").CombinedOutput(); err != nil {
		t.Fatalf("aws sso logout: %v\n%s", err, out)
	}
	if out, err := identity(); err == nil {
		t.Errorf("after aws sso logout it still has keys:\n%s", out)
	}
	bob.get("/me/sessions").want(t, 200, "There are none.")
}

// signedIn is what a program gets that the person lets in as the AWS CLI asks
// from 2.22 on: its access token.
func (b *browser) signedIn(g *gate) (access string) {
	b.t.Helper()
	id, secret := g.registered(b.t)
	code := b.consent(b.get(authorizePath(id)), "agree").Query().Get("code")
	a := g.call(b.t, "POST", "/oidc/token", map[string]any{"clientId": id, "clientSecret": secret, "grantType": "authorization_code",
		"code": code, "codeVerifier": verifier, "redirectUri": callback})
	if a.status != 200 {
		b.t.Fatalf("token: %d %s", a.status, a.raw)
	}
	return a.text("accessToken")
}

// A program is let in where nobody has been before; the portal says so until
// the person says that it was them.
func TestASignInInANewPlaceIsShownUntilItIsKnown(t *testing.T) {
	t.Parallel()
	const notice = "A command-line sign-in in a new place."
	g := openGate(t)
	alice := g.browser(t)
	alice.signIn("alice")
	alice.signedIn(g)
	if e := lastEvent(t, record(t, g.cfg, nil)); e.Kind != gatehouse.EventNewPlace || e.IP != "127.0.0.1" || e.Username != "alice" || e.Client == "" {
		t.Errorf("the last event is %+v, want place.new", e)
	}
	for _, path := range []string{"/", "/me/sessions"} {
		alice.get(path).want(t, 200, notice, "127.0.0.1", "It was me", "End it")
	}
	alice.post("/me/sessions", "known", alice.get("/").find(t, `name="known" value="([^"]*)"`)).want(t, 200, "Good: that place is yours.", "botocore-client-gatehouse")
	alice.signedIn(g)
	for _, path := range []string{"/", "/me/sessions"} {
		if p := alice.get(path); strings.Contains(p.text(), notice) {
			t.Errorf("%s still has the notice", path)
		}
	}
}
