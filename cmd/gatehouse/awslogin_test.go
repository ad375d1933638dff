package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// awsLogin is an `aws login`, as the CLI from 2.32 on is one.
type awsLogin struct {
	g   *gate
	key *ecdsa.PrivateKey
}

func newAWSLogin(t testing.TB, g *gate) *awsLogin {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &awsLogin{g, key}
}

// proof is a DPoP header; change may spoil it before it is signed.
func (p *awsLogin) proof(change func(header, payload map[string]any)) string {
	b64 := base64.RawURLEncoding.EncodeToString
	point, _ := p.key.PublicKey.Bytes()
	header := map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": map[string]string{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}}
	payload := map[string]any{"jti": rand.Text(), "htm": "POST", "htu": p.g.url + "/v1/token", "iat": time.Now().Unix()}
	if change != nil {
		change(header, payload)
	}
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(payload)
	message := b64(h) + "." + b64(c)
	sum := sha256.Sum256([]byte(message))
	r, s, _ := ecdsa.Sign(rand.Reader, p.key, sum[:])
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return message + "." + b64(signature)
}

const sameDevice = "arn:aws:signin:::devtools/same-device"

// login opens the page, chooses a role and returns the code.
func (p *awsLogin) login(t testing.TB, b *browser, role string) string {
	t.Helper()
	page := b.get("/v1/authorize?response_type=code&client_id=" + url.QueryEscape(sameDevice) + "&state=st8&code_challenge_method=SHA-256&scope=openid&redirect_uri=" +
		url.QueryEscape(callback) + "&code_challenge=" + challenge)
	page.want(t, 200, "aws login asks for one of your roles.", "127.0.0.1:34567", "PowerUser")
	left := b.post("/v1/authorize", "response_type", "code", "client_id", sameDevice, "redirect_uri", callback, "state", "st8", "code_challenge_method", "SHA-256",
		"code_challenge", challenge, "role", role, "answer", "agree")
	left.want(t, 200, "Opening your program")
	to, err := url.Parse(left.find(t, `content="0; url=([^"]*)"`))
	if err != nil || to.Query().Get("state") != "st8" {
		t.Fatalf("it leads to %s, %v", to, err)
	}
	return to.Query().Get("code")
}

func (p *awsLogin) token(t testing.TB, proof string, pairs ...string) told {
	t.Helper()
	in := map[string]string{"clientId": sameDevice}
	for i := 0; i < len(pairs); i += 2 {
		in[pairs[i]] = pairs[i+1]
	}
	return p.g.call(t, "POST", "/v1/token", in, "Content-Type", "application/json", "Dpop", proof)
}

func (p *awsLogin) redeem(t testing.TB, code string) told {
	t.Helper()
	return p.token(t, p.proof(nil), "grantType", "authorization_code", "code", code, "codeVerifier", verifier, "redirectUri", callback)
}

func TestAWSLogin(t *testing.T) {
	g := openGate(t)
	l := newLaptop(t, g)
	t.Setenv("HOME", l.home)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(l.home, ".aws/config"))
	bob := g.browser(t)
	bob.signIn("bob")
	p := newAWSLogin(t, g)

	a := p.redeem(t, p.login(t, bob, "444455556666/PowerUser"))
	if seconds, _ := a.body["expiresIn"].(float64); a.status != 200 || a.text("tokenType") != "aws_sigv4" || seconds > 900 || seconds < 800 {
		t.Fatalf("token: %d %s", a.status, a.raw)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(a.text("idToken"), ".")[1])
	var id struct{ Sub string }
	if err != nil || json.Unmarshal(payload, &id) != nil || !strings.HasPrefix(id.Sub, "arn:aws:sts::444455556666:assumed-role/PowerUser/bob-") {
		t.Fatalf("id token %s, %v", payload, err)
	}
	bob.get("/me/sessions").want(t, 200, "aws login", "for 444455556666/PowerUser")

	// What the CLI leaves behind, with keys that are over: the SDK must refresh.
	der, err := x509.MarshalECPrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(map[string]any{
		"accessToken": map[string]any{"accessKeyId": "ASIAOVER", "secretAccessKey": "x", "sessionToken": "x", "accountId": "444455556666", "expiresAt": time.Now().Add(-time.Minute)},
		"tokenType":   "aws_sigv4", "refreshToken": a.text("refreshToken"), "identityToken": a.text("idToken"), "clientId": sameDevice,
		"dpopKey": string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})),
	})
	sum := sha256.Sum256([]byte(id.Sub))
	l.write(".aws/login/cache/"+hex.EncodeToString(sum[:])+".json", string(text))
	l.write(".aws/config", "[profile sandbox]\nlogin_session = "+id.Sub+"\nregion = eu-west-1\nservices = gatehouse\n[services gatehouse]\nsignin =\n  endpoint_url = "+g.url+"\nsts =\n  endpoint_url = "+g.AWS+"\n")
	wantCaller(t, "bob-")

	bob.post("/me/sessions", "id", bob.get("/me/sessions").find(t, `name="id" value="([^"]*)"`)).want(t, 200, "There are none.")
	l.write(".aws/login/cache/"+hex.EncodeToString(sum[:])+".json", string(text))
	if _, err := caller(t.Context()); err == nil || !strings.Contains(err.Error(), "login session has expired") {
		t.Errorf("after its end: %v, want that the SDK says so", err)
	}
}

func TestAProofThatIsNoneBringsNothing(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	bob := g.browser(t)
	bob.signIn("bob")
	p := newAWSLogin(t, g)
	code := p.login(t, bob, "444455556666/PowerUser")
	redeem := func(proof string) told {
		return p.token(t, proof, "grantType", "authorization_code", "code", code, "codeVerifier", verifier, "redirectUri", callback)
	}
	for name, change := range map[string]func(h, c map[string]any){
		"no signature algorithm": func(h, _ map[string]any) { h["alg"] = "none" },
		"another kind of token":  func(h, _ map[string]any) { h["typ"] = "JWT" },
		"a key that is no point": func(h, _ map[string]any) {
			h["jwk"] = map[string]string{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}
		},
		"a private key":   func(h, _ map[string]any) { h["jwk"].(map[string]string)["d"] = "AQ" },
		"another method":  func(_, c map[string]any) { c["htm"] = "GET" },
		"another address": func(_, c map[string]any) { c["htu"] = "https://signin.aws.amazon.com/v1/token" },
		"another path":    func(_, c map[string]any) { c["htu"] = g.url + "/v1/token/x" },
		"too old":         func(_, c map[string]any) { c["iat"] = time.Now().Add(-6 * time.Minute).Unix() },
		"of tomorrow":     func(_, c map[string]any) { c["iat"] = time.Now().Add(24 * time.Hour).Unix() },
		"no name":         func(_, c map[string]any) { c["jti"] = "" },
	} {
		if a := redeem(p.proof(change)); a.status != 400 || a.kind != "ValidationException" {
			t.Errorf("%s: %d %q %s, want a ValidationException", name, a.status, a.kind, a.raw)
		}
	}
	good := p.proof(nil)
	for name, proof := range map[string]string{"nothing": "", "no JWT": "x", "another's signature": good[:strings.LastIndex(good, ".")] + "." + strings.Split(newAWSLogin(t, g).proof(nil), ".")[2], "64 KB": strings.Repeat("a", 8<<10)} {
		if a := redeem(proof); a.status != 400 {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if a := redeem(good); a.status != 200 {
		t.Fatalf("the good one: %d %s", a.status, a.raw)
	}
	if a := redeem(good); a.status != 400 || !strings.Contains(a.text("message"), "used before") {
		t.Errorf("once more: %d %s", a.status, a.raw)
	}
}

func TestATokenOfAWSLoginIsForItsKeyAndItsRole(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	bob := g.browser(t)
	bob.signIn("bob")
	p := newAWSLogin(t, g)
	a := p.redeem(t, p.login(t, bob, "444455556666/PowerUser"))
	refresh := a.text("refreshToken")

	thief := newAWSLogin(t, g)
	if got := thief.token(t, thief.proof(nil), "grantType", "refresh_token", "refreshToken", refresh); got.status != 403 || got.kind != "AccessDeniedException" || got.text("error") != "TOKEN_EXPIRED" {
		t.Errorf("with another key: %d %q %s", got.status, got.kind, got.raw)
	}
	id, secret := g.registered(t)
	g.call(t, "POST", "/oidc/token", map[string]string{"clientId": id, "clientSecret": secret, "grantType": "refresh_token", "refreshToken": refresh}).
		want(t, 400, "InvalidGrantException", "invalid_grant")
	if got := p.token(t, p.proof(nil), "grantType", "refresh_token", "refreshToken", refresh); got.status != 200 || got.text("refreshToken") == refresh {
		t.Errorf("the owner: %d %s", got.status, got.raw)
	}
	bob.post("/v1/authorize", "response_type", "code", "client_id", sameDevice, "redirect_uri", callback, "state", "st8", "code_challenge_method", "SHA-256",
		"code_challenge", challenge, "role", "111122223333/Admin", "answer", "agree").want(t, 403, "You do not have this role.")
}

func TestAWSLoginOnAnotherComputer(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	bob := g.browser(t)
	bob.signIn("bob")
	fields := []string{"response_type", "code", "client_id", "arn:aws:signin:::devtools/cross-device", "redirect_uri", g.url + "/v1/sessions/confirmation", "state", "st8",
		"code_challenge_method", "SHA-256", "code_challenge", challenge}
	q := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		q.Set(fields[i], fields[i+1])
	}
	bob.get("/v1/authorize?"+q.Encode()).want(t, 200, "It waits on another computer")
	page := bob.post("/v1/authorize", append(fields, "role", "444455556666/PowerUser", "answer", "agree")...)
	page.want(t, 200, "Paste this into your terminal")
	text, err := base64.StdEncoding.DecodeString(page.find(t, `data-desk>([^<]*)</textarea>`))
	carried, _ := url.ParseQuery(string(text))
	if err != nil || carried.Get("state") != "st8" || carried.Get("code") == "" {
		t.Fatalf("carried %q, %v", text, err)
	}
	p := newAWSLogin(t, g)
	a := p.token(t, p.proof(nil), "clientId", "arn:aws:signin:::devtools/cross-device", "grantType", "authorization_code", "code", carried.Get("code"), "codeVerifier", verifier,
		"redirectUri", g.url+"/v1/sessions/confirmation")
	if a.status != 200 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	fields[5] = "https://evil.example/v1/sessions/confirmation"
	bob.post("/v1/authorize", append(fields, "role", "444455556666/PowerUser", "answer", "agree")...).want(t, 400, "strange address")
}
