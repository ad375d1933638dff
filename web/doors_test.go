package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/static"
)

// pageHeaders are on every page, spelt as the standards do.
var pageHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":    "nosniff",
	"Referrer-Policy":           "same-origin",
	"Cache-Control":             "no-store",
	"Strict-Transport-Security": "max-age=31536000",
}

func TestHeadersOfEveryPage(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	for _, path := range []string{"/", "/login", "/roles/111122223333/ReadOnly", "/roles/111122223333/Nope", "/nowhere", "/saml/sso", "/healthz", "/go/111122223333/ReadOnly"} {
		res := h.get(path, cookie)
		for name, want := range pageHeaders {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", path, name, got, want)
			}
		}
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s answers CORS: %s", path, name)
			}
		}
	}
}

func TestNoHSTSOverHTTP(t *testing.T) {
	h := newHouse(t, func(c *Config, _ *Deps) { c.PublicURL = "http://localhost:8080" })
	r := httptest.NewRequest("GET", "http://localhost:8080/login", nil)
	if res := h.do(r); res.StatusCode != 200 || res.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// The CSP forbids inline script and style, so a page that has some is broken.
func TestPagesHoldNoInlineCode(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script[^>]*>[^<]|javascript:`)
	for _, path := range []string{"/", "/login", "/roles/111122223333/ReadOnly", "/nowhere"} {
		c := cookie
		if path == "/login" {
			c = ""
		}
		if m := inline.FindString(body(t, h.get(path, c))); m != "" {
			t.Errorf("%s: %q", path, m)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/nowhere", 404, ""},
		{"POST", "/nowhere", 404, ""},
		{"GET", "/saml/sso", 404, ""}, // no protocol door in this house
		{"GET", "/static/nothing.css", 404, ""},
		{"GET", "/static/../static.go", 404, ""},
		{"GET", "/roles/111122223333", 404, ""},
		{"DELETE", "/", 405, "GET, HEAD"},
		{"POST", "/", 405, "GET, HEAD"},
		{"PUT", "/login", 405, "GET, HEAD, POST"},
		{"GET", "/logout", 405, "POST"},
		{"PATCH", "/roles/111122223333/ReadOnly", 405, "GET, HEAD, POST"},
		{"POST", "/go/111122223333/ReadOnly", 405, "GET, HEAD"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			h := newHouse(t)
			r := request(tt.method, "/", "", url.Values{})
			r.URL.Path = tt.path
			res := h.do(r)
			if tt.status == 404 && res.StatusCode == http.StatusTemporaryRedirect {
				return // the mux cleans the path and asks again
			}
			page := wantStatus(t, res, tt.status)
			if got := res.Header.Get("Allow"); got != tt.allow {
				t.Errorf("Allow %q, want %q", got, tt.allow)
			}
			wantContains(t, page, "<h1>", res.Header.Get("X-Request-Id"))
		})
	}
}

func TestOtherHostsAreMisdirected(t *testing.T) {
	tests := []struct {
		host   string
		status int
	}{
		{"aws.corp.example.com", 200},
		{"AWS.Corp.Example.COM", 200},
		{"aws.corp.example.com:443", 200},
		{"aws.corp.example.com:8443", 421},
		{"evil.example", 421},
		{"aws.corp.example.com.evil.example", 421},
		{"10.0.0.5", 421},
		{"", 421},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			h := newHouse(t)
			r := request("GET", "/login", "", nil)
			r.Host = tt.host
			page := wantStatus(t, h.do(r), tt.status)
			if tt.status == 421 {
				wantContains(t, page, `href="https://aws.corp.example.com/"`)
				if tt.host != "" && tt.host != "aws.corp.example.com:8443" {
					wantLacks(t, page, tt.host+"<", tt.host+"/")
				}
			}
		})
	}
	t.Run("but probes and assets answer to any name", func(t *testing.T) {
		h := newHouse(t)
		for _, path := range []string{"/healthz", "/readyz", static.Path("gatehouse.css")} {
			r := request("GET", path, "", nil)
			r.Host = "10.0.0.5:8443"
			wantStatus(t, h.do(r), 200)
		}
	})
}

func TestOtherSitesChangeNothing(t *testing.T) {
	tests := []struct {
		name    string
		headers map[string]string
		refused bool
	}{
		{"another site, said by the browser", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, true},
		{"a sibling subdomain", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "https://evil.corp.example.com"}, true},
		{"another site, by an old browser", map[string]string{"Origin": "https://evil.example"}, true},
		{"an opaque origin", map[string]string{"Origin": "null"}, true},
		{"plain http of our own name", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://aws.corp.example.com"}, true},
		{"our own page", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": publicURL}, false},
		{"our own page behind a proxy that changes the name", map[string]string{"Origin": publicURL}, false},
		{"a program", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			cookie := h.signIn()
			r := request("POST", "/roles/111122223333/ReadOnly", cookie, url.Values{"as": {"bash"}})
			for k, v := range tt.headers {
				r.Header.Set(k, v)
			}
			res := h.do(r)
			if tt.refused {
				wantContains(t, wantStatus(t, res, 403), "This came from another site.")
			} else {
				wantStatus(t, res, 200)
			}
			if got := len(h.broker.asks) == 0; got != tt.refused {
				t.Errorf("asked the broker: %v", !got)
			}
		})
	}
}

func TestAPanicIsAPageAndALine(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.broker.panics = true
	res := h.get("/", cookie)
	page := wantStatus(t, res, 500)
	wantContains(t, page, "Something went wrong here.", res.Header.Get("X-Request-Id"))
	wantLacks(t, page, "broker fell over", "goroutine")
	wantContains(t, h.logs.String(), "msg=panic", "broker fell over", "stack=", "request_id="+res.Header.Get("X-Request-Id"))
}

func TestEveryLineOfTheLogHasTheReference(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.broker.grantErr = errors.New("secret plans")
	h.post("/roles/111122223333/ReadOnly?token=hush", cookie, url.Values{"as": {"bash"}})
	h.get("/nowhere/else?password=hush", cookie)
	for line := range strings.Lines(h.logs.String()) {
		if !strings.Contains(line, "request_id=") || !strings.Contains(line, "client_ip=192.0.2.1") {
			t.Errorf("a line without its facts: %s", line)
		}
	}
	wantContains(t, h.logs.String(), "user=alice", "route=/roles/{account}/{role}", "status=500", "secret plans")
	wantLacks(t, h.logs.String(), "hush", "nowhere", cookie)
}

func TestTheClientCannotChooseTheReference(t *testing.T) {
	h := newHouse(t)
	r := request("GET", "/nowhere", "", nil)
	r.Header.Set("X-Request-Id", "forged")
	res := h.do(r)
	wantLacks(t, body(t, res)+res.Header.Get("X-Request-Id")+h.logs.String(), "forged")
}

func TestHealth(t *testing.T) {
	state := gatehouse.FindingOK
	h := newHouse(t, func(_ *Config, d *Deps) {
		d.Ready = func(context.Context) []gatehouse.Finding {
			return []gatehouse.Finding{{Subject: "store", State: gatehouse.FindingOK}, {Subject: "directory corp", State: state, Detail: "no answer"}}
		}
	})
	probe := func(path string, status int, ok bool) health {
		t.Helper()
		var got health
		if err := json.Unmarshal([]byte(wantStatus(t, h.get(path, ""), status)), &got); err != nil || got.OK != ok {
			t.Fatalf("%s answered %+v (%v), want ok %v", path, got, err, ok)
		}
		return got
	}
	probe("/readyz", 200, true)
	state = gatehouse.FindingWarning
	probe("/readyz", 200, true)
	state = gatehouse.FindingFailure
	if got := probe("/readyz", 503, false); len(got.Reasons) != 2 || got.Reasons[1].State != gatehouse.FindingFailure || got.Reasons[1].Detail != "" {
		t.Errorf("the network is told %+v, want what fails and no detail", got.Reasons)
	}
	detailed := httptest.NewRecorder()
	h.server.AdminHandler().ServeHTTP(detailed, httptest.NewRequest("GET", "/readyz", nil))
	if detailed.Code != 503 || !strings.Contains(detailed.Body.String(), "no answer") {
		t.Errorf("the operator is told %d %s", detailed.Code, detailed.Body)
	}
	probe("/healthz", 200, true)
	state = gatehouse.FindingOK
	h.server.draining.Store(true)
	if got := probe("/readyz", 503, false); got.Reasons[0].Detail != "shutting down" {
		t.Errorf("reasons %+v", got.Reasons)
	}
	probe("/healthz", 200, true)
}

func TestAfterAReloadTheOperatorsAddressSpeaksOfTheNewRooms(t *testing.T) {
	old, next := newHouse(t), newHouse(t, func(_ *Config, d *Deps) {
		d.Ready = func(context.Context) []gatehouse.Finding {
			return []gatehouse.Finding{{Subject: "directory new", State: gatehouse.FindingFailure, Detail: "no answer"}}
		}
	})
	admin := old.server.AdminHandler()
	old.server.Replace(next.server)
	w := httptest.NewRecorder()
	admin.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "directory new") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	old.server.drain()
	w = httptest.NewRecorder()
	if admin.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil)); !strings.Contains(w.Body.String(), "shutting down") {
		t.Errorf("while draining: %s", w.Body)
	}
}

func TestStaticFiles(t *testing.T) {
	h := newHouse(t)
	for name, kind := range map[string]string{"gatehouse.css": "text/css; charset=utf-8", "role.js": "text/javascript; charset=utf-8", "mark.svg": "image/svg+xml"} {
		res := h.get(static.Path(name), "")
		wantStatus(t, res, 200)
		if got := res.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
			t.Errorf("%s: Cache-Control %q", name, got)
		}
		if got := res.Header.Get("Content-Type"); got != kind {
			t.Errorf("%s: Content-Type %q, want %q", name, got, kind)
		}
		wantStatus(t, h.get("/static/"+name, ""), 404)
	}
}

// The protocol door: cross-site and chunked by design, the same session, our
// address and reference.
func TestTheProtocolDoor(t *testing.T) {
	var seen *http.Request
	var who gatehouse.Session
	var whoErr error
	h := newHouse(t, func(c *Config, d *Deps) {
		c.TrustedProxies = []string{"192.0.2.0/24"}
		d.Protocol = func(p Pages) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = r
				who, whoErr = p.Session(r)
				switch r.URL.Path {
				case "/saml/problem":
					p.Problem(w, r, &gatehouse.Invalid{Field: "SAMLRequest", Why: "The request is too old."})
				case "/saml/post":
					_ = p.Post(w, r, access.Post{URL: "https://wiki.example/acs", SAMLResponse: "UE9TVA=="})
				}
			})
		}
	})
	cookie := h.signIn()

	r := request("POST", "/saml/sso", "", url.Values{"SAMLRequest": {"x"}})
	r.ContentLength = -1
	r.Header.Set("Origin", "https://wiki.example")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	res := h.do(r)
	wantStatus(t, res, 200)
	if seen.RemoteAddr != "203.0.113.9:0" || seen.Header.Get("X-Request-Id") != res.Header.Get("X-Request-Id") {
		t.Errorf("the door saw address %q and reference %q", seen.RemoteAddr, seen.Header.Get("X-Request-Id"))
	}
	if !errors.Is(whoErr, gatehouse.ErrNoSession) {
		t.Errorf("without a cookie: %v, want ErrNoSession", whoErr)
	}
	h.get("/saml/sso", cookie)
	if whoErr != nil || who.User.Username != "alice" || who.ID != "s-1" {
		t.Errorf("with a cookie: %+v, %v", who, whoErr)
	}
	wantContains(t, wantStatus(t, h.get("/saml/problem", cookie), 400), "The request is too old.")
	wantContains(t, wantStatus(t, h.get("/saml/post", cookie), 200), `action="https://wiki.example/acs"`)
	other := request("GET", "/saml/sso", cookie, nil)
	other.Host = "evil.example"
	wantStatus(t, h.do(other), 421)
}

func TestAdminHandler(t *testing.T) {
	h := newHouse(t)
	w := httptest.NewRecorder()
	h.server.AdminHandler().ServeHTTP(w, httptest.NewRequest("GET", "/debug/pprof/cmdline", nil))
	if w.Code != 200 {
		t.Errorf("profiles answered %d", w.Code)
	}
	wantStatus(t, h.get("/debug/pprof/", ""), 404)
	wantStatus(t, h.get("/metrics", ""), 404)
}
