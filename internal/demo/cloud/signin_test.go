package cloud_test

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"

	"gatehouse/internal/demo/cloud"
)

// surfer is a browser that keeps cookies and shows where it ended up.
type surfer struct {
	t testing.TB
	*http.Client
}

func newSurfer(t testing.TB) surfer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return surfer{t, &http.Client{Jar: jar, Timeout: 10 * time.Second}}
}

type page struct {
	status int
	url    *url.URL
	header http.Header
	html   string
	text   string // without tags, blanks folded
}

func (b surfer) get(u string) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, u, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	return b.do(req)
}

func (b surfer) post(u string, form url.Values) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

var tag = regexp.MustCompile(`<style[^>]*>[^<]*</style>|<[^>]*>`)

func (b surfer) do(req *http.Request) page {
	b.t.Helper()
	resp, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	text := strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(string(body), ""))), " ")
	return page{resp.StatusCode, resp.Request.URL, resp.Header, string(body), text}
}

func sessionJSON(k awssdk.Credentials) string {
	b, _ := json.Marshal(map[string]string{"sessionId": k.AccessKeyID, "sessionKey": k.SecretAccessKey, "sessionToken": k.SessionToken})
	return string(b)
}

// signinToken asks for one by POST.
func signinToken(t testing.TB, s *cloud.Server, k awssdk.Credentials, kv ...string) string {
	t.Helper()
	form := url.Values{"Action": {"getSigninToken"}, "Session": {sessionJSON(k)}}
	for i := 0; i < len(kv); i += 2 {
		form.Set(kv[i], kv[i+1])
	}
	p := newSurfer(t).post(s.URL()+"/federation", form)
	var out struct{ SigninToken string }
	if err := json.Unmarshal([]byte(p.html), &out); p.status != 200 || err != nil || out.SigninToken == "" {
		t.Fatalf("getSigninToken: %d %v %s", p.status, err, p.text)
	}
	return out.SigninToken
}

func loginURL(s *cloud.Server, token, destination string) string {
	return s.URL() + "/federation?" + url.Values{"Action": {"login"}, "Issuer": {"https://portal.example/"},
		"Destination": {destination}, "SigninToken": {token}}.Encode()
}

const s3 = "https://eu-west-1.console.aws.amazon.com/s3/buckets?bucketType=general#Instances:x"

func TestCredentialsBecomeAConsole(t *testing.T) {
	s := start(t)
	k := held(t, s, with("SourceIdentity", "alice", "PrincipalTag:team", "pay", "TransitiveTagKeys", "team"))
	b := newSurfer(t)
	p := b.get(loginURL(s, signinToken(t, s, k, "SessionDuration", "43200"), s3))
	if p.status != 200 || p.url.Path != "/console/s3/buckets" || p.url.Fragment != "Instances:x" || p.url.Query().Get("bucketType") != "general" {
		t.Errorf("landed at %d %s", p.status, p.url)
	}
	for _, want := range []string{
		"This is Gatehouse's emulator. It is not AWS", "payments", "1111 2222 3333", "Role Dev", "Session name alice", "eu-west-1", "Service s3",
		"2026-11-21 18:00:00 UTC", "Source identity alice", "team pay (transitive)", s3,
	} {
		if !strings.Contains(spaced(p.html), want) {
			t.Errorf("the page does not say %q:\n%s", want, spaced(p.html))
		}
	}
	if strings.Contains(p.html, k.SessionToken) || strings.Contains(p.html, k.SecretAccessKey) {
		t.Error("a secret is on the page")
	}
}

// spaced is the page's text with a blank for every tag.
func spaced(h string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(h, " "))), " ")
}

func TestPagesCarryTheirHeaders(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/", "/console/console/home", "/saml", "/federation", "/oauth?Action=logout"} {
		p := newSurfer(t).get(s.URL() + path)
		csp := p.header.Get("Content-Security-Policy")
		nonce := regexp.MustCompile(`style-src 'nonce-([A-Z2-7]+)'`).FindStringSubmatch(csp)
		if nonce == nil || !strings.Contains(p.html, `<style nonce="`+nonce[1]+`">`) {
			t.Errorf("%s: the policy %q does not fit the page", path, csp)
		}
		for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"} {
			if got := p.header.Get(header); got != want {
				t.Errorf("%s: %s = %q, want %q", path, header, got, want)
			}
		}
		if strings.Contains(p.html, "<script") || strings.Contains(p.html, " style=") || !strings.Contains(p.html, `<html lang="en">`) {
			t.Errorf("%s: script, inline style or no language", path)
		}
	}
}

func TestSigninTokensThatAreRefused(t *testing.T) {
	clock := now
	s := start(t, func(c *cloud.Config) { c.Now = func() time.Time { return clock } })
	k := held(t, s, usual())
	foreign := held(t, start(t), usual())
	mixed := k
	mixed.SecretAccessKey = foreign.SecretAccessKey
	hop := chained(t, s, k)
	tests := []struct {
		name, session, duration string
		later                   time.Duration
		want                    string
	}{
		{"no session", "", "", 0, "Invalid credentials parameter"},
		{"not JSON", "{", "", 0, "Invalid credentials parameter"},
		{"another server's", sessionJSON(foreign), "", 0, "Invalid credentials parameter"},
		{"another secret", sessionJSON(mixed), "", 0, "Invalid credentials parameter"},
		{"ended", sessionJSON(k), "", time.Hour, "Invalid credentials parameter"},
		{"too short", sessionJSON(k), "899", 0, "Invalid SessionDuration parameter"},
		{"too long", sessionJSON(k), "43201", 0, "Invalid SessionDuration parameter"},
		{"a duration that is none", sessionJSON(k), "x", 0, "Invalid SessionDuration parameter"},
		{"a chained role with a duration", sessionJSON(hop), "3600", 0, "Invalid SessionDuration parameter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clock = now.Add(tt.later)
			defer func() { clock = now }()
			form := url.Values{"Action": {"getSigninToken"}, "Session": {tt.session}}
			if tt.duration != "" {
				form.Set("SessionDuration", tt.duration)
			}
			p := newSurfer(t).post(s.URL()+"/federation", form)
			if p.status != 400 || !strings.Contains(p.text, tt.want) || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
				t.Errorf("got %d %s %q, want 400 text/html %q", p.status, p.header.Get("Content-Type"), p.text, tt.want)
			}
		})
	}
	signinToken(t, s, hop) // without a duration a chained role is welcome
	if p := newSurfer(t).get(s.URL() + "/federation?" + url.Values{"Action": {"getSigninToken"}, "Session": {sessionJSON(k)}}.Encode()); p.status != 200 {
		t.Errorf("by GET: %d, want 200", p.status)
	}
}

func chained(t testing.TB, s *cloud.Server, k awssdk.Credentials) awssdk.Credentials {
	t.Helper()
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {boxARN}, "RoleSessionName": {"hop"}}
	resp, err := http.DefaultClient.Do(signed(t, s, k, form.Encode(), now, "eu-west-1", "sts"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	part := func(name string) string {
		_, rest, _ := strings.Cut(string(body), "<"+name+">")
		value, _, _ := strings.Cut(rest, "<")
		return value
	}
	return awssdk.Credentials{AccessKeyID: part("AccessKeyId"), SecretAccessKey: part("SecretAccessKey"), SessionToken: part("SessionToken")}
}

func TestDestinations(t *testing.T) {
	s := start(t)
	token := signinToken(t, s, held(t, s, usual()))
	tests := []struct{ name, destination, path string }{
		{"the console's home", "https://console.aws.amazon.com/", "/console/home"},
		{"a region's console", "https://eu-west-1.console.aws.amazon.com/console/home?region=eu-west-1", "/console/console/home"},
		{"a multi-session console", "https://111122223333-abcd1234.eu-west-1.console.aws.amazon.com/ec2/home", "/console/ec2/home"},
		{"our own console", s.URL() + "/console/ec2/home", "/console/ec2/home"},
		{"our own root", s.URL() + "/", "/console/home"},
		{"a path that climbs", "https://console.aws.amazon.com/../oauth?Action=logout", "/console/oauth"},
		{"none", "", ""},
		{"another site", "https://evil.example/", ""},
		{"a name that ends alike", "https://evilconsole.aws.amazon.com/", ""},
		{"a name that begins alike", "https://console.aws.amazon.com.evil.example/", ""},
		{"a user before the host", "https://console.aws.amazon.com@evil.example/", ""},
		{"a user at the right host", "https://evil@console.aws.amazon.com/", ""},
		{"a port", "https://console.aws.amazon.com:8443/", ""},
		{"plain http", "http://console.aws.amazon.com/", ""},
		{"a script", "javascript:alert(1)", ""},
		{"two slashes", "//evil.example/", ""},
		{"another partition", "https://console.amazonaws-us-gov.com/", ""},
		{"ours, elsewhere", s.URL() + "/oauth?Action=logout", ""},
	}
	for _, tt := range tests {
		p := newSurfer(t).get(loginURL(s, token, tt.destination))
		if tt.path == "" && (p.status != 400 || !strings.Contains(p.text, "Invalid Destination parameter")) {
			t.Errorf("%s: %d %s, want 400", tt.name, p.status, p.url)
		}
		if tt.path != "" && (p.status != 200 || p.url.Path != tt.path || p.url.Host != strings.TrimPrefix(s.URL(), "http://")) {
			t.Errorf("%s: %d %s, want %s", tt.name, p.status, p.url, tt.path)
		}
	}
}

func TestLoginTokenLastsAQuarterOfAnHour(t *testing.T) {
	clock := now
	s := start(t, func(c *cloud.Config) { c.Now = func() time.Time { return clock } })
	token := signinToken(t, s, held(t, s, usual()))
	clock = now.Add(15*time.Minute - time.Second)
	if p := newSurfer(t).get(loginURL(s, token, s3)); p.status != 200 {
		t.Errorf("a second before: %d, want 200", p.status)
	}
	clock = now.Add(15 * time.Minute)
	if p := newSurfer(t).get(loginURL(s, token, s3)); p.status != 400 {
		t.Errorf("after: %d, want 400", p.status)
	}
	if p := newSurfer(t).get(loginURL(s, token[:len(token)-8]+"AAAAAAA=", s3)); p.status != 400 {
		t.Errorf("a changed token: %d, want 400", p.status)
	}
}

func TestSessionEndsAndLeadsBack(t *testing.T) {
	clock := now
	s := start(t, func(c *cloud.Config) { c.Now = func() time.Time { return clock } })
	b := newSurfer(t)
	b.get(loginURL(s, signinToken(t, s, held(t, s, usual())), s3))
	clock = now.Add(time.Hour)
	p := b.get(s.URL() + "/console/s3/buckets")
	if p.status != 403 || !strings.Contains(p.text, "Your session has ended") || !strings.Contains(p.html, `<a id="issuer" href="https://portal.example/">Sign in again</a>`) {
		t.Errorf("got %d %s", p.status, p.html)
	}
	if p := newSurfer(t).get(s.URL() + "/console/"); p.status != 403 || strings.Contains(p.html, "portal.example") {
		t.Errorf("a stranger: %d %s", p.status, p.text)
	}
}

func TestCookieIsNewWhenASessionBegins(t *testing.T) {
	clock := now
	s := start(t, func(c *cloud.Config) { c.Now = func() time.Time { return clock } })
	b := newSurfer(t)
	token := signinToken(t, s, held(t, s, usual()), "SessionDuration", "900")
	cookie := func(p page) string { return b.Jar.Cookies(p.url)[0].Value }
	first := cookie(b.get(loginURL(s, token, s3)))
	clock = now.Add(900 * time.Second)
	if p := b.get(s.URL() + "/console/"); p.status != 403 {
		t.Fatalf("still signed in: %d", p.status)
	}
	clock = now.Add(899 * time.Second) // the token's time is not over on this clock
	if second := cookie(b.get(loginURL(s, token, s3))); second == first {
		t.Error("the next session has the cookie of the one before")
	}
}

func TestIssuerIsAWebAddressOrNothing(t *testing.T) {
	s := start(t)
	b := newSurfer(t)
	u := strings.Replace(loginURL(s, signinToken(t, s, held(t, s, usual())), s3), url.QueryEscape("https://portal.example/"), url.QueryEscape("javascript:alert(1)"), 1)
	if p := b.get(u); p.status != 200 || strings.Contains(p.html, "javascript") || strings.Contains(p.html, `id="issuer"`) {
		t.Errorf("got %d %s", p.status, p.html)
	}
}

func TestSecondAccountMustLogOutFirst(t *testing.T) {
	for _, several := range []bool{false, true} {
		s := start(t, func(c *cloud.Config) { c.MultiSession = several })
		k := held(t, s, usual())
		first, second := signinToken(t, s, k), signinToken(t, s, chained(t, s, k))
		b := newSurfer(t)
		b.get(loginURL(s, first, s3))
		if p := b.get(loginURL(s, first, s3)); p.status != 200 {
			t.Errorf("multi-session %v: the same account again: %d, want 200", several, p.status)
		}
		p := b.get(loginURL(s, second, s3))
		if !several {
			if want := "You must first log out before logging into a different AWS account. To logout, click here."; p.status != 400 || !strings.Contains(p.text, want) {
				t.Errorf("got %d %q, want 400 %q", p.status, p.text, want)
			}
			hop := s.URL() + "/oauth?" + url.Values{"Action": {"logout"}, "redirect_uri": {loginURL(s, second, s3)}}.Encode()
			if p := b.get(hop); p.status != 200 || !strings.Contains(p.html, "4444 5555 6666") {
				t.Errorf("log out and in again in one hop: %d %s", p.status, p.text)
			}
			continue
		}
		if p.status != 200 || !strings.Contains(p.html, "4444 5555 6666") || !strings.Contains(p.text, "payments (111122223333), Dev") {
			t.Errorf("with multi-session: %d %s", p.status, p.text)
		}
		link := regexp.MustCompile(`href="(/sessions/[^"]+)"`).FindStringSubmatch(p.html)
		if p := b.get(s.URL() + link[1]); !strings.Contains(p.html, "1111 2222 3333") {
			t.Errorf("switched: %s", p.text)
		}
	}
}

func TestLogout(t *testing.T) {
	s := start(t)
	token := signinToken(t, s, held(t, s, usual()))
	tests := []struct {
		name, to string
		status   int
		path     string
		text     string
	}{
		{"without a target says so and leads back", "", 200, "/oauth", "You are signed out"},
		{"to our own page", s.URL() + "/console/console/home", 403, "/console/console/home", "not signed in"},
		{"to AWS's console, which is ours here", "https://console.aws.amazon.com/s3", 403, "/console/s3", "not signed in"},
		{"to another site is not followed", "https://evil.example/", 400, "/oauth", "Invalid redirect_uri parameter"},
		{"to another site with our host's name first", "https://signin.aws.amazon.com.evil.example/", 400, "/oauth", "Invalid redirect_uri parameter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newSurfer(t)
			b.get(loginURL(s, token, s3))
			q := url.Values{"Action": {"logout"}}
			if tt.to != "" {
				q.Set("redirect_uri", tt.to)
			}
			p := b.get(s.URL() + "/oauth?" + q.Encode())
			if p.status != tt.status || p.url.Path != tt.path || !strings.Contains(p.text, tt.text) {
				t.Errorf("got %d %s %q, want %d %s %q", p.status, p.url, p.text, tt.status, tt.path, tt.text)
			}
			if p := b.get(s.URL() + "/console/"); p.status != 403 {
				t.Errorf("still signed in: %d", p.status)
			}
		})
	}
}

func TestPostedResponseOpensTheConsole(t *testing.T) {
	s := start(t)
	b := newSurfer(t)
	p := b.post(s.URL()+"/saml", url.Values{"SAMLResponse": {with("SessionDuration", "7200").encoded(t)}, "RelayState": {s3}})
	if p.status != 200 || p.url.Path != "/console/s3/buckets" || !strings.Contains(p.html, "2026-11-21 08:00:00 UTC") {
		t.Errorf("got %d %s %s; want the bucket page for two hours", p.status, p.url, p.text)
	}
}

func TestSeveralRolesGiveAWSsChooser(t *testing.T) {
	s := start(t)
	w := usual()
	w.attributes = append(w.attributes, [2]string{"Role", opsARN + "," + provider}, [2]string{"Role", boxSAML + "," + boxARN})
	encoded := w.encoded(t)
	p := newSurfer(t).post(s.URL()+"/saml", url.Values{"SAMLResponse": {encoded}, "RelayState": {s3}})
	for _, want := range []string{
		`<form id="saml_form" name="saml_form" action="/saml" method="post">`,
		`<div class="saml-account"><div class="expandable-container"><div class="saml-account-name">Account: payments (111122223333)</div></div>`,
		`<div class="saml-account-name">Account: sandbox (444455556666)</div>`,
		`<input type="radio" name="roleIndex" value="` + opsARN + `" class="saml-radio" id="` + opsARN + `" required>`,
		`<label for="` + opsARN + `" class="saml-role-description">Ops</label>`,
		`<input type="hidden" name="SAMLResponse" value="` + html.EscapeString(strings.ReplaceAll(encoded, "+", "&#43;"))[:20],
	} {
		if !strings.Contains(p.html, want) {
			t.Errorf("the chooser lacks %s", want)
		}
	}
	if p.status != 200 || strings.Count(p.html, `class="saml-account"`) != 2 {
		t.Errorf("%d, %d accounts; want 200 with 2", p.status, strings.Count(p.html, `class="saml-account"`))
	}
	b := newSurfer(t)
	p = b.post(s.URL()+"/saml", url.Values{"SAMLResponse": {encoded}, "RelayState": {s3}, "roleIndex": {boxARN}})
	if p.status != 200 || !strings.Contains(p.html, "4444 5555 6666") {
		t.Errorf("the chosen role: %d %s", p.status, p.text)
	}
	p = b.post(s.URL()+"/saml", url.Values{"SAMLResponse": {encoded}, "roleIndex": {"arn:aws:iam::111122223333:role/Narrow"}})
	if p.status != 400 || !strings.Contains(p.text, "invalid SAML response") {
		t.Errorf("a role that the response does not hold: %d %s", p.status, p.text)
	}
	unsigned := w
	unsigned.bare = true
	if p := newSurfer(t).post(s.URL()+"/saml", url.Values{"SAMLResponse": {unsigned.encoded(t)}}); p.status != 400 || !strings.Contains(p.text, badSignature) {
		t.Errorf("an unsigned response: %d %s", p.status, p.text)
	}
}

// anywhere enters a role without a condition on SAML:aud.
func anywhere(recipient string) what {
	w := set(".//SubjectConfirmationData", "Recipient", recipient)
	w.attributes[0][1] = "arn:aws:iam::111122223333:role/Anywhere," + provider
	return w
}

func TestRegionalAndOwnRecipientsEnterTheConsole(t *testing.T) {
	s := start(t)
	for _, recipient := range []string{acs, "https://eu-west-1.signin.aws.amazon.com/saml", "https://signin.aws.amazon.com/saml/acs/SAMLSPABC", s.URL() + "/saml"} {
		if p := newSurfer(t).post(s.URL()+"/saml", url.Values{"SAMLResponse": {anywhere(recipient).encoded(t)}}); p.status != 200 {
			t.Errorf("%s: %d %s, want 200", recipient, p.status, p.text)
		}
	}
}

func TestPostedResponsesThatAreRefused(t *testing.T) {
	s := start(t)
	sts := func(text, status, code string) string {
		return text + " (Service: AWSSecurityTokenService; Status Code: " + status + "; Error Code: " + code + "; Request ID: "
	}
	const nothing = "Your request included an invalid SAML response. To logout, click here."
	tests := []struct {
		name string
		w    what
		form url.Values
		want string
	}{
		{"no role", without("Role"), nil, nothing},
		{"no response", usual(), url.Values{"SAMLResponse": {""}}, nothing},
		{"100,001 characters", usual(), url.Values{"SAMLResponse": {strings.Repeat("A", 100_001)}}, nothing},
		{"not base64", usual(), url.Values{"SAMLResponse": {"!"}}, "Invalid base64 SAMLResponse (Service: AWSOpenIdDiscoveryService; Status Code: 400;"},
		{"row 9", what{signer: other(), attributes: usual().attributes}, nil, badSignature},
		{"row 16", without("RoleSessionName"), nil, sts("RoleSessionName is required in AuthnResponse", "400", "InvalidIdentityToken")},
		{"row 20", removed(".//NameID"), nil, sts(notAuthorized, "403", "AccessDenied")},
		{"a Recipient that is no sign-in page, though the role would take it", anywhere("https://signin.aws.amazon.com.evil.example/saml"), nil, "The Recipient is not an AWS sign-in URL"},
		{"a RelayState elsewhere", usual(), url.Values{"RelayState": {"https://evil.example/"}}, "Invalid RelayState parameter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			form := url.Values{"SAMLResponse": {tt.w.encoded(t)}}
			for k, v := range tt.form {
				form[k] = v
			}
			p := newSurfer(t).post(s.URL()+"/saml", form)
			if p.status < 400 || !strings.Contains(p.text, tt.want) {
				t.Errorf("got %d %q, want %q", p.status, p.text, tt.want)
			}
		})
	}
	if p := newSurfer(t).get(s.URL() + "/saml"); p.status != 400 || !strings.Contains(p.text, nothing) {
		t.Errorf("by GET: %d %q, want %q", p.status, p.text, nothing)
	}
}

func TestSignInFaults(t *testing.T) {
	s := start(t)
	for kind, want := range map[cloud.FaultKind]int{cloud.FaultThrottle: 400, cloud.FaultServerError: 500, cloud.FaultUnavailable: 503, cloud.FaultCaptive: 200} {
		s.Fault(cloud.Fault{Door: cloud.DoorSignIn, Kind: kind})
		if p := newSurfer(t).post(s.URL()+"/federation", nil); p.status != want {
			t.Errorf("%s: %d, want %d", kind, p.status, want)
		}
	}
	s.Fault(cloud.Fault{Door: cloud.DoorSignIn, Kind: cloud.FaultHang})
	hurried := http.Client{Timeout: 50 * time.Millisecond}
	if _, err := hurried.PostForm(s.URL()+"/federation", url.Values{"Action": {"x"}}); err == nil {
		t.Error("a hanging server answered")
	}
}
