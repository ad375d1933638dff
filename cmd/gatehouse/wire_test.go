package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// What follows are the exchanges of AWS CLIs that are newer than any package:
// their requests as they were seen on the wire, sent to us.

// told is what a program got.
type told struct {
	status int
	kind   string // x-amzn-ErrorType
	header http.Header
	body   map[string]any
	raw    string
}

// call sends JSON, or nothing, as programs do.
func (g *gate) call(t testing.TB, method, path string, in any, headers ...string) told {
	t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, g.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = []string{headers[i+1]} // byte for byte, as they were written
	}
	return send(t, r)
}

func send(t testing.TB, r *http.Request) told {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := told{status: res.StatusCode, kind: res.Header.Get("x-amzn-ErrorType"), header: res.Header, raw: string(text)}
	if len(text) > 0 && json.Unmarshal(text, &a.body) != nil {
		t.Errorf("%s %s answered no JSON: %s", r.Method, r.URL, text)
	}
	return a
}

func (a told) text(name string) string { s, _ := a.body[name].(string); return s }

func (a told) want(t testing.TB, status int, kind, code string) {
	t.Helper()
	if a.status != status || a.kind != kind || a.text("error") != code {
		t.Errorf("answered %d %q %s, want %d %q error=%q", a.status, a.kind, a.raw, status, kind, code)
	}
}

const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	callback  = "http://127.0.0.1:34567/oauth/callback"
)

// registered is a client as the AWS CLI registers one from 2.22 on.
func (g *gate) registered(t testing.TB) (id, secret string) {
	t.Helper()
	a := g.call(t, "POST", "/oidc/client/register", map[string]any{
		"clientName": "botocore-client-gatehouse", "clientType": "public", "scopes": []string{"sso:account:access"},
		"grantTypes": []string{"authorization_code", "refresh_token"}, "redirectUris": []string{"http://127.0.0.1/oauth/callback"},
		"issuerUrl": "https://gatehouse.awsapps.com/start",
	}, "Content-Type", "application/json")
	for _, name := range []string{"clientIdIssuedAt", "clientSecretExpiresAt"} {
		if seconds, _ := a.body[name].(float64); seconds < 1.7e9 || seconds > 1e10 {
			t.Errorf("%s = %v, want seconds", name, a.body[name])
		}
	}
	if a.status != 200 || a.text("clientId") == "" || a.text("clientSecret") == "" {
		t.Fatalf("register: %d %s", a.status, a.raw)
	}
	return a.text("clientId"), a.text("clientSecret")
}

// authorizePath is where the CLI leads the browser.
func authorizePath(id string) string {
	return "/authorize?response_type=code&client_id=" + url.QueryEscape(id) + "&redirect_uri=" + url.QueryEscape(callback) +
		"&state=6e0d35c2-6a1c-4d0a-8b4d-0d6d5c7c7d0a&code_challenge_method=S256&scopes=sso%3Aaccount%3Aaccess&code_challenge=" + challenge
}

// consent presses a button of the page that asks, and returns where it leads.
func (b *browser) consent(p page, word string) *url.URL {
	b.t.Helper()
	var pairs []string
	for _, name := range []string{"response_type", "client_id", "redirect_uri", "state", "code_challenge_method", "code_challenge"} {
		pairs = append(pairs, name, p.find(b.t, `name="`+name+`" value="([^"]*)"`))
	}
	left := b.post("/authorize", append(pairs, "answer", word)...)
	left.want(b.t, 200, "Opening your program")
	to, err := url.Parse(left.find(b.t, `http-equiv="refresh" content="0; url=([^"]*)"`))
	if err != nil || to.Host != "127.0.0.1:34567" || to.Path != "/oauth/callback" || to.Query().Get("state") != "6e0d35c2-6a1c-4d0a-8b4d-0d6d5c7c7d0a" {
		b.t.Fatalf("the page leads to %s, %v", to, err)
	}
	return to
}

func TestTheCLIFrom222OnSignsInByAuthorizationCode(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	id, secret := g.registered(t)
	b := g.browser(t)
	p := b.get(authorizePath(id)) // nobody is signed in yet
	if p.url.Path != "/login" {
		t.Fatalf("a stranger is led to %s, want /login", p.url)
	}
	p = b.post("/login", "username", "bob", "password", "gatehouse", "next", p.find(t, `name="next" value="([^"]*)"`))
	p.want(t, 200, "Let a program act for you?", "botocore-client-gatehouse", "127.0.0.1:34567", "2 roles in 2 accounts", "12 hours")
	if len(b.get("/me/sessions").text()) == 0 || !strings.Contains(b.get("/me/sessions").text(), "There are none.") {
		t.Error("the page has agreed by itself")
	}
	code := b.consent(p, "agree").Query().Get("code")

	token := map[string]any{"grantType": "authorization_code", "clientId": id, "clientSecret": secret, "code": code, "redirectUri": callback, "codeVerifier": verifier}
	a := g.call(t, "POST", "/oidc/token", token)
	if a.status != 200 || a.text("tokenType") != "Bearer" || a.text("refreshToken") == "" || a.body["expiresIn"] != 3600.0 || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("token: %d %s %v", a.status, a.raw, a.header)
	}
	keys := g.call(t, "GET", "/sso/federation/credentials?account_id=444455556666&role_name=PowerUser", nil, "x-amz-sso_bearer_token", a.text("accessToken"))
	c, _ := keys.body["roleCredentials"].(map[string]any)
	if ms, _ := c["expiration"].(float64); keys.status != 200 || time.Until(time.UnixMilli(int64(ms))).Round(time.Minute) != time.Hour || c["sessionToken"] == "" {
		t.Errorf("credentials: %d %s, want an hour in milliseconds", keys.status, keys.raw)
	}
	refresh := map[string]any{"grantType": "refresh_token", "clientId": id, "clientSecret": secret, "refreshToken": a.text("refreshToken"), "scope": []string{"sso:account:access"}}
	if again := g.call(t, "POST", "/oidc/token", refresh); again.status != 200 || again.text("refreshToken") == "" || again.text("refreshToken") == a.text("refreshToken") {
		t.Errorf("refresh: %d %s", again.status, again.raw)
	}
	g.call(t, "POST", "/oidc/token", token).want(t, 400, "InvalidGrantException", "invalid_grant")
	g.call(t, "GET", "/sso/assignment/accounts", nil, "x-amz-sso_bearer_token", a.text("accessToken")).want(t, 401, "UnauthorizedException", "")
	if e := lastEvent(t, record(t, g.cfg, nil)); e.Kind != gatehouse.EventTokenReused || e.Username != "bob" || e.Client != "botocore-client-gatehouse" {
		t.Errorf("the last event is %+v, want token.reused", e)
	}
}

func TestDecliningTellsTheProgram(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	id, _ := g.registered(t)
	b := g.browser(t)
	b.signIn("bob")
	to := b.consent(b.get(authorizePath(id)), "decline")
	if to.Query().Get("error") != "access_denied" || to.Query().Has("code") {
		t.Errorf("it leads to %s", to)
	}
	if e := lastEvent(t, record(t, g.cfg, nil)); e.Kind != gatehouse.EventSignInRefused || e.Reason != "declined" {
		t.Errorf("the last event is %+v", e)
	}
}

func TestAnAuthorizationNeverLeadsToAStranger(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	id, _ := g.registered(t)
	b := g.browser(t)
	b.signIn("bob")
	evil := strings.Replace(authorizePath(id), url.QueryEscape(callback), url.QueryEscape("https://evil.example/oauth/callback"), 1)
	p := b.get(evil)
	p.want(t, 400, "The program wants an answer at an address that it has not registered.")
	if strings.Contains(p.body, "evil.example") {
		t.Errorf("the page names the stranger:\n%s", p.body)
	}
	b.post("/authorize", "response_type", "code", "client_id", id, "redirect_uri", "https://evil.example/oauth/callback", "state", "s",
		"code_challenge_method", "S256", "code_challenge", challenge, "answer", "agree").want(t, 400)
	b.header.Set("Origin", "https://evil.example")
	b.header.Set("Sec-Fetch-Site", "cross-site")
	b.post("/device", "user_code", "BCDF-GHJK", "answer", "agree").want(t, 403, "This came from another site.")
}

func TestWhatProgramsAreToldWhenItFails(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	id, secret := g.registered(t)
	otherID, otherSecret := g.registered(t)
	device := g.call(t, "POST", "/oidc/device_authorization", map[string]any{"clientId": id, "clientSecret": secret, "startUrl": "anything"})
	if device.status != 200 || device.body["interval"] != 5.0 || device.body["expiresIn"] != 600.0 || device.text("verificationUri") != g.url+"/device" ||
		device.text("verificationUriComplete") != g.url+"/device?user_code="+device.text("userCode") {
		t.Fatalf("device_authorization: %d %s", device.status, device.raw)
	}
	with := func(pairs ...string) map[string]any {
		in := map[string]any{"clientId": id, "clientSecret": secret}
		for i := 0; i < len(pairs); i += 2 {
			in[pairs[i]] = pairs[i+1]
		}
		return in
	}
	const byDevice = "urn:ietf:params:oauth:grant-type:device_code"
	tests := []struct {
		name, path string
		in         any
		status     int
		kind, code string
	}{
		{"nobody agreed yet", "/oidc/token", with("grantType", byDevice, "deviceCode", device.text("deviceCode")), 400, "AuthorizationPendingException", "authorization_pending"},
		{"nobody agreed yet, asked again at once", "/oidc/token", with("grantType", byDevice, "deviceCode", device.text("deviceCode")), 400, "AuthorizationPendingException", "authorization_pending"},
		{"asked without a pause", "/oidc/token", with("grantType", byDevice, "deviceCode", device.text("deviceCode")), 400, "SlowDownException", "slow_down"},
		{"another client's device code", "/oidc/token", with("clientId", otherID, "clientSecret", otherSecret, "grantType", byDevice, "deviceCode", device.text("deviceCode")), 400, "InvalidGrantException", "invalid_grant"},
		{"an old device code", "/oidc/token", with("grantType", byDevice, "deviceCode", "BCDFGHJK.AAAAAAAAAAAAAAAAAAAAAAAAAA"), 400, "ExpiredTokenException", "expired_token"},
		{"no device code", "/oidc/token", with("grantType", byDevice), 400, "InvalidGrantException", "invalid_grant"},
		{"a made-up code", "/oidc/token", with("grantType", "authorization_code", "code", "x", "redirectUri", callback, "codeVerifier", verifier), 400, "InvalidGrantException", "invalid_grant"},
		{"a made-up refresh token", "/oidc/token", with("grantType", "refresh_token", "refreshToken", "x"), 400, "InvalidGrantException", "invalid_grant"},
		{"a password", "/oidc/token", with("grantType", "password"), 400, "UnsupportedGrantTypeException", "unsupported_grant_type"},
		{"no grant type", "/oidc/token", with(), 400, "InvalidRequestException", "invalid_request"},
		{"a wrong client secret", "/oidc/token", with("clientSecret", "x", "grantType", byDevice), 401, "InvalidClientException", "invalid_client"},
		{"an unknown client", "/oidc/device_authorization", with("clientId", "x"), 401, "InvalidClientException", "invalid_client"},
		{"a confidential client", "/oidc/client/register", map[string]any{"clientName": "x", "clientType": "confidential"}, 400, "InvalidClientMetadataException", "invalid_client_metadata"},
		{"a client without a name", "/oidc/client/register", map[string]any{"clientType": "public"}, 400, "InvalidClientMetadataException", "invalid_client_metadata"},
		{"a redirect off loopback", "/oidc/client/register", map[string]any{"clientName": "x", "clientType": "public", "redirectUris": []string{"https://evil.example/"}}, 400, "InvalidRedirectUriException", "invalid_redirect_uri"},
		{"a list in the place of an object", "/oidc/token", []string{"x"}, 400, "InvalidRequestException", "invalid_request"},
		{"nothing at all", "/oidc/token", nil, 400, "InvalidRequestException", "invalid_request"},
		{"70 KB", "/oidc/client/register", map[string]any{"clientName": strings.Repeat("x", 70<<10)}, 400, "InvalidRequestException", "invalid_request"},
		{"an operation that is not there", "/oidc/revoke", with(), 404, "InvalidRequestException", "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { g.call(t, "POST", tt.path, tt.in).want(t, tt.status, tt.kind, tt.code) })
	}
	if a := g.call(t, "GET", "/sso/assignment/accounts", nil); a.status != 401 || !strings.Contains(a.text("message"), "underscores_in_headers on;") {
		t.Errorf("without its header: %d %s, want the cause in a proxy", a.status, a.raw)
	}
	if a := g.call(t, "GET", "/oidc/token", nil, "Cookie", "gatehouse=x", "Origin", "https://evil.example"); a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Set-Cookie") != "" {
		t.Errorf("the API answers browsers of others: %v", a.header)
	}
}

// A body of unknown length is normal for programs.
func TestProgramsMaySendChunks(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	body := io.MultiReader(strings.NewReader(`{"clientName":"x",`), strings.NewReader(`"clientType":"public","unknown":{"a":[1]}}`))
	r, err := http.NewRequestWithContext(t.Context(), "POST", g.url+"/oidc/client/register", body)
	if err != nil {
		t.Fatal(err)
	}
	if a := send(t, r); a.status != 200 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// From 2.35.13 on the CLI takes only start URLs of AWS's kind, or one that a
// HEAD shows to lead there.
func TestTheStartURLLeadsToOneOfAWSsKind(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	a := g.call(t, "HEAD", "/start", nil)
	if to := a.header.Get("Location"); a.status != 302 || !strings.HasSuffix(to, ".awsapps.com/start") || !strings.HasPrefix(to, "https://") {
		t.Errorf("HEAD /start: %d to %q", a.status, to)
	}
	g.browser(t).get("/start").want(t, 200, "Sign in")
}
