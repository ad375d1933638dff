package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/access"
)

const readOnly = "/roles/111122223333/ReadOnly"

func TestHandOutsThatAreRefused(t *testing.T) {
	refusal := &gatehouse.Refusal{Service: "STS", Code: "AccessDenied", Message: "User: arn:aws:secret is not authorized", RequestID: "aws-req",
		Cause: "The role does not trust this portal.", Cure: "Run gatehouse aws setup."}
	away := func(what string) error {
		return &gatehouse.Unavailable{What: what, Name: "sts.internal", Err: errors.New("dial tcp: i/o timeout")}
	}
	tests := []struct {
		name   string
		err    error
		status int
		says   []string
	}{
		{"a role that the person does not hold", gatehouse.ErrNotEntitled, 403, []string{"You do not have this role.", "ask for the group"}},
		{"an application that no rule admits to", errors.Join(gatehouse.ErrNotAdmitted, gatehouse.ErrNotEntitled), 403, []string{"You may not use this application."}},
		{"AWS says no: cause for the person, cure folded", refusal, 502, []string{"AWS refused.", "AWS STS answered AccessDenied", "does not trust this portal", "<details", "Run gatehouse aws setup."}},
		{"STS is away", away("AWS STS"), 503, []string{"AWS STS does not answer."}},
		{"AWS sign-in is away", away("AWS sign-in"), 503, []string{"The AWS sign-in page does not answer."}},
		{"the directory is away", away("directory"), 503, []string{"The directory cannot be reached."}},
		{"the store is away", away("store"), 503, []string{"The record store cannot be reached."}},
		{"something else is away", away("moon"), 503, []string{"Something that is needed does not answer."}},
		{"no record, no grant", fmt.Errorf("grant: %w: %w", gatehouse.ErrNotRecorded, away("store")), 503, []string{"could not be put on the record", "nothing was handed out"}},
		{"a request that makes no sense", &gatehouse.Invalid{Field: "destination", Why: "Choose a page of the AWS console."}, 400, []string{"Choose a page of the AWS console."}},
		{"changed meanwhile", gatehouse.ErrConflict, 409, []string{"Somebody changed this meanwhile."}},
		{"a locked account does not end the session", gatehouse.ErrAccountLocked, 401, []string{"locked"}},
		{"unforeseen", errors.New("map of nil"), 500, []string{"Something went wrong here."}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			cookie := h.signIn()
			h.broker.grantErr = fmt.Errorf("alice asks: %w", tt.err)
			res := h.post(readOnly, cookie, url.Values{"as": {"bash"}})
			page := wantStatus(t, res, tt.status)
			wantContains(t, page, tt.says...)
			wantContains(t, page, res.Header.Get("X-Request-Id"))
			wantLacks(t, page, "alice asks", "sts.internal", "i/o timeout", "arn:aws:secret", "map of nil", "ASIA")

			r := request("POST", readOnly, cookie, url.Values{"as": {"bash"}})
			r.Header.Set("Accept", "application/json")
			res = h.do(r)
			var told brief
			if err := json.Unmarshal([]byte(wantStatus(t, res, tt.status)), &told); err != nil || told.Title == "" || told.Reference == "" {
				t.Errorf("our module was told %+v (%v)", told, err)
			}
			wantStatus(t, h.get("/", cookie), 200)
		})
	}
}

func TestWishesThatAreRefused(t *testing.T) {
	tests := []struct {
		name, key, value, says string
	}{
		{"no form", "as", "", "Choose a console"},
		{"a form that is none", "as", "exe", "Choose a console"},
		{"too short", "duration", "899", "between 15 minutes and 12 hours"},
		{"too long", "duration", "43201", "between 15 minutes and 12 hours"},
		{"negative", "duration", "-900", "between 15 minutes and 12 hours"},
		{"not a number", "duration", "1h", "between 15 minutes and 12 hours"},
		{"far too long", "duration", "99999999999999999999", "between 15 minutes and 12 hours"},
		{"a region that is a host", "region", "evil.example/", "Write the region as AWS does"},
		{"a region with a line end", "region", "eu-west-1\nx", "Write the region as AWS does"},
		{"a profile with a line end", "profile", "a]\n[b", "profile"},
		{"a profile with a shell in it", "profile", "$(id)", "profile"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			form := url.Values{"as": {"bash"}}
			form.Set(tt.key, tt.value)
			wantContains(t, wantStatus(t, h.post(readOnly, h.signIn(), form), 400), tt.says)
			if len(h.broker.asks) > 0 {
				t.Error("the broker was asked")
			}
		})
	}
}

func TestTheAskIsTheForm(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	res := h.post(readOnly, cookie, url.Values{"as": {"console"}, "duration": {"3600"}, "region": {"us-east-1"}, "destination": {"https://console.aws.amazon.com/s3"}, "account": {"999999999999"}})
	wantStatus(t, res, 200)
	want := gatehouse.Ask{Account: "111122223333", Role: "ReadOnly", Form: gatehouse.FormConsole, Duration: time.Hour, Region: "us-east-1",
		Destination: "https://console.aws.amazon.com/s3", IP: "192.0.2.1", RequestID: res.Header.Get("X-Request-Id")}
	if diff := cmp.Diff(want, h.broker.asks[0]); diff != "" {
		t.Errorf("ask (-want +got):\n%s", diff)
	}
}

func TestSignedOutPeopleAreHandedNothing(t *testing.T) {
	h := newHouse(t)
	wantStatus(t, h.post(readOnly, "", url.Values{"as": {"bash"}}), 303)
	r := request("POST", readOnly, "", url.Values{"as": {"bash"}})
	r.Header.Set("Accept", "application/json")
	var told brief
	if err := json.Unmarshal([]byte(wantStatus(t, h.do(r), 401)), &told); err != nil || told.Login != "/login?next=%2Froles%2F111122223333%2FReadOnly" {
		t.Errorf("our module was told %+v (%v)", told, err)
	}
	if len(h.broker.asks) > 0 {
		t.Error("the broker was asked")
	}
}

// A form's answer never redirects off our origin (docs/architecture.md, The doors).
func TestLeavingForTheConsole(t *testing.T) {
	h := newHouse(t)
	res := h.post(readOnly, h.signIn(), url.Values{"as": {"console"}})
	page := wantStatus(t, res, 200)
	if got := res.Header.Get("Referrer-Policy") + " " + res.Header.Get("Cache-Control") + res.Header.Get("Location"); got != "no-referrer no-store" {
		t.Errorf("headers %q", got)
	}
	const to = "https://signin.aws.amazon.com/federation?Action=login&SigninToken=t0k%2Ben&Destination=https%3A%2F%2Fconsole.aws.amazon.com%2F"
	refresh := regexp.MustCompile(`<meta http-equiv="refresh" content="([^"]*)">`).FindStringSubmatch(page)
	link := regexp.MustCompile(`<a class="button main" href="([^"]*)" rel="noreferrer">Continue</a>`).FindStringSubmatch(page)
	if refresh == nil || html.UnescapeString(refresh[1]) != "0; url="+to {
		t.Errorf("refresh %q", refresh)
	}
	if link == nil || html.UnescapeString(link[1]) != to {
		t.Errorf("link %q", link)
	}
	wantLacks(t, h.logs.String(), "t0k")
}

func TestLessThanAskedForIsSaid(t *testing.T) {
	const sentence = "You asked for 4 hours; this role allows 1 hour."
	house := func() (*house, string) {
		h := newHouse(t)
		h.broker.lower = time.Hour
		return h, h.signIn()
	}
	t.Run("on the way to the console, which waits for the button", func(t *testing.T) {
		h, cookie := house()
		page := wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"console"}, "duration": {"14400"}}), 200)
		wantContains(t, page, sentence, `<a class="button main" href="https://signin.aws.amazon.com/federation?`)
		wantLacks(t, page, "http-equiv")
	})
	t.Run("not to somebody who asked for no time", func(t *testing.T) {
		h, cookie := house()
		page := wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"console"}}), 200)
		wantLacks(t, page, "You asked for")
		wantContains(t, page, `content="0; url=`)
	})
	t.Run("to our module", func(t *testing.T) {
		h, cookie := house()
		if got := handedOutTo(t, h, cookie, url.Values{"as": {"bash"}, "duration": {"14400"}}); got.Lowered != sentence || got.Lasts != 3600 {
			t.Errorf("%q, %d seconds", got.Lowered, got.Lasts)
		}
	})
	t.Run("in a header beside the text", func(t *testing.T) {
		h, cookie := house()
		res := h.post(readOnly, cookie, url.Values{"as": {"bash"}, "duration": {"14400"}})
		if got := res.Header.Get("X-Gatehouse-Lowered-From"); got != "14400" {
			t.Errorf("header %q", got)
		}
	})
}

func handedOutTo(t *testing.T, h *house, cookie string, form url.Values) handedOut {
	t.Helper()
	r := request("POST", readOnly, cookie, form)
	r.Header.Set("Accept", "application/json")
	res := h.do(r)
	var got handedOut
	if err := json.Unmarshal([]byte(wantStatus(t, res, 200)), &got); err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", res.Header)
	}
	return got
}

func TestOneHandOutInEveryFormForOurModule(t *testing.T) {
	h := newHouse(t, func(_ *Config, d *Deps) { d.STSEndpoint = "http://127.0.0.1:8081" })
	got := handedOutTo(t, h, h.signIn(), url.Values{"as": {"fish"}, "duration": {"3600"}, "profile": {"mine"}})
	if len(h.broker.asks) != 1 || h.broker.asks[0].Form != gatehouse.FormFish {
		t.Errorf("asks %+v, want one", h.broker.asks)
	}
	if !got.Expires.Equal(start.Add(time.Hour)) || len(got.Forms) != 7 {
		t.Errorf("expires %v, %d forms", got.Expires, len(got.Forms))
	}
	for form, text := range got.Forms {
		if !strings.Contains(text.Text, "ASIAQ3EGXAMPLE7KWZ2M") || !strings.HasPrefix(text.Filename, "aws-credentials.") && text.Filename != "credentials.ini" {
			t.Errorf("%s: %q %q", form, text.Filename, text.Text)
		}
	}
	wantContains(t, got.Forms["bash"].Text, "AWS_ENDPOINT_URL_STS", "http://127.0.0.1:8081", "eu-west-1")
	wantContains(t, got.Forms["ini"].Text, "[mine]")
	wantLacks(t, h.logs.String(), "ASIA", "wJalr", "IQoJ")
}

func TestTexts(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	for _, form := range textForms {
		t.Run(string(form.Form), func(t *testing.T) {
			res := h.post(readOnly, cookie, url.Values{"as": {string(form.Form)}})
			text := wantStatus(t, res, 200)
			wantContains(t, text, "ASIAQ3EGXAMPLE7KWZ2M", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
			if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Disposition") != "" || strings.Contains(res.Header.Get("Content-Type"), "html") {
				t.Errorf("headers %v", res.Header)
			}
			res = h.post(readOnly, cookie, url.Values{"as": {string(form.Form)}, "download": {"1"}})
			if got := res.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment; filename=") || strings.Contains(got, "ayments") {
				t.Errorf("Content-Disposition %q", got)
			}
		})
	}
	t.Run("json is what a credential_process answers", func(t *testing.T) {
		var got struct {
			Version    int
			Expiration time.Time
		}
		text := body(t, h.post(readOnly, cookie, url.Values{"as": {"json"}}))
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.Version != 1 || got.Expiration.IsZero() {
			t.Errorf("%s (%v)", text, err)
		}
	})
}

func TestProfileNames(t *testing.T) {
	tests := []struct{ account, role, want string }{
		{"Payments", "ReadOnly", "payments-readonly"},
		{"Data  lake (EU)!", "A.B", "data-lake-eu-a-b"},
		{"支付", "Admin", "111122223333-admin"},
		{"", "Admin", "111122223333-admin"},
		{strings.Repeat("long ", 20), "Admin", "111122223333-admin"},
		{"p", strings.Repeat("R", 64), "p-" + strings.Repeat("r", 62)},
		{"p", "+=,.@-", "p"},
	}
	for _, tt := range tests {
		if got := newHouse(t).server.profileFor(entitlement("111122223333", tt.account, "", "", tt.role)); got != tt.want {
			t.Errorf("profileFor(%q, %q) = %q, want %q", tt.account, tt.role, got, tt.want)
		}
	}
}

func TestPostingPage(t *testing.T) {
	tests := []struct{ name, url, formAction string }{
		{"https: its own redirects count, so any https", "https://signin.aws.amazon.com/saml", "form-action https:;"},
		{"a provider on loopback: its exact origin too", "http://127.0.0.1:8081/saml", "form-action https: http://127.0.0.1:8081;"},
		{"plain http elsewhere is never allowed", "http://wiki.example/acs", "form-action https:;"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			h.broker.post = &access.Post{URL: tt.url, SAMLResponse: "UEhOaGJXeA/==", RelayState: `https://x/?a="b"`}
			res := h.post(readOnly, h.signIn(), url.Values{"as": {"post"}})
			page := wantStatus(t, res, 200)
			// saml2aws reads this line literally: attributes in this order, `"/>` at the end.
			wantContains(t, page, `<input type="hidden" name="SAMLResponse" value="UEhOaGJXeA/=="/>`,
				`<input type="hidden" name="RelayState" value="https://x/?a=&#34;b&#34;"/>`, `action="`+tt.url+`" method="post"`, `>Continue</button>`)
			if strings.Count(page, "<form") != 1 {
				t.Error("more than one form")
			}
			csp := res.Header.Get("Content-Security-Policy")
			wantContains(t, csp, tt.formAction, "default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'")
			if res.Header.Get("Referrer-Policy") != "no-referrer" || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", res.Header)
			}
			wantLacks(t, h.logs.String(), "UEhO")
		})
	}
	t.Run("without RelayState there is no such field", func(t *testing.T) {
		h := newHouse(t)
		h.broker.post = &access.Post{URL: "https://signin.aws.amazon.com/saml", SAMLResponse: "eA=="}
		wantLacks(t, wantStatus(t, h.post(readOnly, h.signIn(), url.Values{"as": {"post"}}), 200), "RelayState")
	})
}

// What is kept of the page is the provider's alone: another answer, and
// another provider's, comes out as if nothing were kept.
func TestThePostingPageIsMadeForEachAnswer(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	for _, p := range []access.Post{
		{URL: "https://wiki.example/acs", SAMLResponse: "Zmlyc3Q+", RelayState: `"><script>`},
		{URL: "https://wiki.example/acs", SAMLResponse: "c2Vjb25k"},
		{URL: "https://mail.example/acs", SAMLResponse: "dGhpcmQ=", RelayState: "answer"},
		{URL: "https://wiki.example/acs", SAMLResponse: "Zm91cnRo", RelayState: "&"},
	} {
		h.broker.post = &p
		u, _ := url.Parse(p.URL)
		whole := posting{frame: h.server.frame(nil, "post.js"), URL: p.URL, Host: u.Host, SAMLResponse: string(p.SAMLResponse), RelayState: p.RelayState}
		whole.Narrow = true
		var want bytes.Buffer
		if err := h.server.pages.Execute(&want, "post.html", whole); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"post"}}), 200)); diff != "" {
			t.Errorf("answer %s at %s (-want +got):\n%s", p.SAMLResponse, p.URL, diff)
		}
	}
}
