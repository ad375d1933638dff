package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

func credentials(username, password string) url.Values {
	return url.Values{"username": {username}, "password": {password}}
}

// inputError is what stock clients look for; without it they try for ever.
const inputError = `<span id="input-error"`

func TestRefusedSignIns(t *testing.T) {
	away := func(what string) error {
		return &gatehouse.Unavailable{What: what, Name: "corp-secret-host", Err: errors.New("dial tcp 10.9.8.7: refused")}
	}
	tests := []struct {
		name   string
		err    error
		status int
		says   string
		form   bool
	}{
		{"a wrong password", gatehouse.ErrInvalidCredentials, 401, "Invalid username or password.", true},
		{"nobody of that name reads like a wrong password", gatehouse.ErrUnknownPerson, 401, "Invalid username or password.", true},
		{"an expired password", gatehouse.ErrPasswordExpired, 401, "Your password has expired.", true},
		{"a password that must be changed", gatehouse.ErrPasswordMustChange, 401, "choose a new password first", true},
		{"a disabled account", gatehouse.ErrAccountDisabled, 401, "account is disabled", true},
		{"an expired account", gatehouse.ErrAccountExpired, 401, "account has expired", true},
		{"a locked account", gatehouse.ErrAccountLocked, 401, "account is locked", true},
		{"the wrong hour", gatehouse.ErrAccountHours, 401, "cannot sign in now", true},
		{"too many attempts", &gatehouse.Throttled{Until: start.Add(5 * time.Minute), Why: "person"}, 429, "Try again in 5 minutes.", true},
		{"too many attempts where the directory counts for ever", &gatehouse.Throttled{Until: start.Add(7 * 24 * time.Hour), Why: "person"}, 429, "Try again in 7 days.", true},
		{"too many groups have a page of their own", gatehouse.ErrTooManyGroups, 403, "You are in too many groups.", false},
		{"a directory that is away has a page of its own", away("directory"), 503, "The directory cannot be reached.", false},
		{"a store that is away has a page of its own", away("store"), 503, "The record store cannot be reached.", false},
		{"no record, no sign-in", fmt.Errorf("audit: %w", gatehouse.ErrNotRecorded), 503, "could not be put on the record", false},
		{"what nobody foresaw", errors.New("nil dereference in corp-secret-host"), 500, "Something went wrong here.", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			h.broker.signInErr = fmt.Errorf("sign in: %w", tt.err)
			res := h.post("/login", "", credentials("alice", "hunter2hunter2"))
			page := wantStatus(t, res, tt.status)
			wantContains(t, page, tt.says, inputError, "Invalid username or password.", res.Header.Get("X-Request-Id"))
			wantLacks(t, page, "hunter2hunter2", "corp-secret-host", "10.9.8.7", "sign in:")
			if strings.Contains(page, "<form") != tt.form {
				t.Errorf("the page has a form: %v, want %v", !tt.form, tt.form)
			}
			if len(res.Cookies()) > 0 {
				t.Errorf("a refused sign-in set cookies: %v", res.Cookies())
			}
			wantLacks(t, h.logs.String(), "hunter2hunter2", "user=alice")
			wantContains(t, h.logs.String(), res.Header.Get("X-Request-Id"))
		})
	}
}

func TestThrottledSignInSaysWhenInTheHeader(t *testing.T) {
	h := newHouse(t)
	h.broker.signInErr = &gatehouse.Throttled{Until: start.Add(90 * time.Second), Why: "address"}
	res := h.post("/login", "", credentials("alice", "x"))
	if got := res.Header.Get("Retry-After"); got != "90" {
		t.Errorf("Retry-After %q, want 90", got)
	}
}

func TestWrongPasswordAndUnknownPersonLookAlike(t *testing.T) {
	reference := regexp.MustCompile(`[A-Z2-7]{16}`)
	answer := func(err error) (string, http.Header) {
		h := newHouse(t)
		h.broker.signInErr = err
		res := h.post("/login", "", credentials("someone", "x"))
		page := reference.ReplaceAllString(wantStatus(t, res, 401), "REF")
		res.Header.Del("X-Request-Id")
		return page, res.Header
	}
	wrong, wrongHeader := answer(gatehouse.ErrInvalidCredentials)
	unknown, unknownHeader := answer(gatehouse.ErrUnknownPerson)
	if wrong != unknown || fmt.Sprint(wrongHeader) != fmt.Sprint(unknownHeader) {
		t.Errorf("a stranger can tell who exists:\n%s\n%s", wrong, unknown)
	}
}

// Stock clients read this page: saml2aws does.
func TestSignInPageSuitsStockClients(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/login", "/login?next=%2Fsaml%2Fcontinue%2Fabc"} {
		page := wantStatus(t, h.get(path, ""), 200)
		if n := strings.Count(page, "<form"); n != 1 {
			t.Errorf("%s has %d forms, want one", path, n)
		}
		wantContains(t, page, `<form action="https://aws.corp.example.com/login" method="post">`)
		inputs := regexp.MustCompile(`<input[^>]*>`).FindAllString(page, -1)
		if len(inputs) < 2 {
			t.Fatalf("inputs: %q", inputs)
		}
		for _, in := range inputs {
			if !strings.Contains(in, ` name="`) {
				t.Errorf("an input without a name ends saml2aws: %s", in)
			}
		}
		wantLacks(t, page, "input-error")
	}
}

func TestHostileSignIns(t *testing.T) {
	tests := []struct {
		name, username, password string
		kept                     string // what the form shows again
	}{
		{"markup is text", `<script>alert(1)</script>`, "x", "&lt;script&gt;alert(1)&lt;/script&gt;"},
		{"quotes end no attribute", `" autofocus onfocus="x`, "x", `&#34; autofocus onfocus=&#34;x`},
		{"NUL bytes are refused as any wrong name", "ali\x00ce", "pass\x00word", ""},
		{"a name of 64 KB is refused and not shown", strings.Repeat("a", 64<<10), "x", `value=""`},
		{"64 KB of bytes that must be escaped", strings.Repeat("\x00", 64<<10), "x", `value=""`},
		{"LDAP metacharacters", `*)(uid=*))(|(uid=*`, "x", `*)(uid=*))(|(uid=*`},
		{"nothing at all", "", "", `value=""`},
		{"right-to-left marks", "\u202eecila", "x", "\u202eecila"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			page := wantStatus(t, h.post("/login", "", credentials(tt.username, tt.password)), 401)
			wantContains(t, page, tt.kept, "Invalid username or password.")
			wantLacks(t, page, "<script>alert", `" autofocus onfocus`)
			got := h.broker.attempts[0].Proof.(access.Password)
			if got.Username != tt.username || string(got.Password) != tt.password {
				t.Errorf("the broker was given a name of %d bytes, want %d, byte for byte", len(got.Username), len(tt.username))
			}
		})
	}
}

func TestFormsThatAreNoForms(t *testing.T) {
	form := func(body string, change func(*http.Request)) *http.Request {
		r := request("POST", "/login", "", url.Values{})
		r2, _ := http.NewRequest("POST", publicURL+"/login", strings.NewReader(body))
		r2.Host, r2.RemoteAddr, r2.Header = r.Host, r.RemoteAddr, r.Header
		change(r2)
		return r2
	}
	tests := []struct {
		name   string
		r      *http.Request
		status int
	}{
		{"more than a sign-in can hold", form("username="+strings.Repeat("a", 300<<10), func(*http.Request) {}), 413},
		{"a chunked body", form("username=a&password=b", func(r *http.Request) { r.ContentLength = -1 }), 411},
		{"a broken escape", form("username=%zz", func(*http.Request) {}), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			res := h.do(tt.r)
			wantContains(t, wantStatus(t, res, tt.status), "Reference")
			if closes := res.Header.Get("Connection") == "close"; tt.status == 411 && !closes {
				t.Error("where the next request begins is in doubt, and the connection goes on")
			}
			if len(h.broker.attempts) > 0 {
				t.Error("the attempt reached the broker")
			}
		})
	}
}

func TestFieldsInTheAddressAreNotAnAttempt(t *testing.T) {
	h := newHouse(t)
	wantStatus(t, h.post("/login?username=alice&password=correct+horse", "", url.Values{}), 401)
	if got := h.broker.attempts[0].Proof.(access.Password); got.Username != "" || got.Password != "" {
		t.Errorf("took %q from the address", got.Username)
	}
}

func TestSigningInLeadsBack(t *testing.T) {
	tests := []struct{ name, next, want string }{
		{"to the portal", "", "/"},
		{"to the role that was asked for", "/roles/111122223333/ReadOnly?region=eu-west-1", "/roles/111122223333/ReadOnly?region=eu-west-1"},
		{"to a SAML request that waits", "/saml/continue/h4nDle", "/saml/continue/h4nDle"},
		{"but to no other site", "https://evil.example/", "/"},
		{"and to no other site by two slashes", "//evil.example/", "/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			form := credentials("alice", "correct horse")
			form.Set("next", tt.next)
			res := h.post("/login", "", form)
			wantStatus(t, res, 303)
			if got := res.Header.Get("Location"); got != tt.want {
				t.Errorf("led to %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSignedOutVisitorsComeBackToTheirPage(t *testing.T) {
	h := newHouse(t)
	for _, page := range []string{
		"/roles/111122223333/ReadOnly?destination=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3",
		"/go/payments/ReadOnly?destination=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3&junk=1",
		"/go?url=https%3A%2F%2Feu-west-1.console.aws.amazon.com%2Fs3%2Fhome%3Fa%3Db",
		"/me/history?before=2026-11-21T09%3A00%3A00Z", "/several?q=pay", "/why/111122223333/Admin",
	} {
		login := h.get(page, "").Header.Get("Location")
		u, err := url.Parse(login)
		if err != nil || u.Path != "/login" || u.Query().Get("next") != page {
			t.Fatalf("%s led to %q, want the sign-in page and back", page, login)
		}
		wantContains(t, wantStatus(t, h.get(login, ""), 200), `name="next" value="`+strings.ReplaceAll(page, "&", "&amp;")+`"`)
	}
}

func TestWhoeverIsSignedInNeedNotDoItAgain(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	if got := h.get("/login?next=/roles/111122223333/Admin", cookie).Header.Get("Location"); got != "/roles/111122223333/Admin" {
		t.Errorf("led to %q", got)
	}
}

func TestAFreshProofIsAskedForWhenTheProtocolDoorWantsOne(t *testing.T) {
	h := newHouse(t)
	page := wantStatus(t, h.get("/login?next=%2Fsaml%2Fcontinue%3Frequest%3Dabc&again=1", h.signIn()), 200)
	wantContains(t, page, "Sign in again", `name="next" value="/saml/continue?request=abc"`, `value="alice"`)
}

func TestACrowdWaitsItsTurnAndTheOtherPagesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		cookie := h.signIn()
		for range cap(h.server.signIns.all) {
			h.server.signIns.all <- struct{}{}
		}
		res := h.post("/login", "", credentials("alice", "correct horse"))
		wantContains(t, wantStatus(t, res, 503), "Many people are signing in right now.", inputError)
		if got := res.Header.Get("Retry-After"); got != "5" {
			t.Errorf("Retry-After %q", got)
		}
		wantStatus(t, h.get("/", cookie), 200)
		go func() { <-h.server.signIns.all }()
		wantStatus(t, h.post("/login", "", credentials("alice", "correct horse")), 303)
	})
}

func TestOneAddressLeavesTurnsToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limits Limits
		limits.setDefaults()
		turns := newTurns(limits)
		var leaves []func()
		for i := range limits.SignInsPerAddress {
			leave, err := turns.enter(t.Context(), fmt.Sprintf("2001:db8:1:2::%x", i)) // one client's /64
			if err != nil {
				t.Fatalf("turn %d: %v", i, err)
			}
			leaves = append(leaves, leave)
		}
		if _, err := turns.enter(t.Context(), "2001:db8:1:2::ffff"); !errors.Is(err, errBusy) {
			t.Errorf("one turn more for one address: %v", err)
		}
		leave, err := turns.enter(t.Context(), "198.51.100.7")
		if err != nil {
			t.Fatalf("another address: %v", err)
		}
		for _, leave := range append(leaves, leave) {
			leave()
		}
		if len(turns.all) > 0 || len(turns.clients) > 0 {
			t.Errorf("%d turns and %d addresses are left over", len(turns.all), len(turns.clients))
		}
	})
}

func TestWhoeverCannotEvenWaitIsTurnedAwayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(Limits{SignIns: 4, SignInsPerAddress: 4, SignInsWaiting: 8})
		var leaves []func()
		for i := range 4 {
			leave, err := turns.enter(t.Context(), fmt.Sprintf("192.0.2.%d", i))
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		var got sync.WaitGroup
		waited := func(ip string) {
			got.Go(func() {
				if leave, err := turns.enter(t.Context(), ip); err != nil {
					t.Errorf("%s waited in vain: %v", ip, err)
				} else {
					leave()
				}
			})
			synctest.Wait()
		}
		// One address waits with a quarter of all who may, beyond its own turns.
		for range 6 {
			waited("198.51.100.1")
		}
		began := time.Now()
		if _, err := turns.enter(t.Context(), "198.51.100.1"); !errors.Is(err, errBusy) {
			t.Errorf("a seventh from one address: %v", err)
		}
		waited("203.0.113.1")
		waited("203.0.113.2")
		if _, err := turns.enter(t.Context(), "203.0.113.3"); !errors.Is(err, errBusy) {
			t.Errorf("a ninth who waits: %v", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("whoever was turned away had waited %v", took)
		}
		for _, leave := range leaves {
			leave()
		}
		got.Wait()
		if turns.waiting.Load() != 0 || len(turns.all) > 0 || len(turns.clients) > 0 {
			t.Errorf("%d wait, %d turns and %d addresses are left over", turns.waiting.Load(), len(turns.all), len(turns.clients))
		}
	})
}

func TestTooManyRequestsAtATimeAreRefusedAtOnce(t *testing.T) {
	h := newHouse(t, func(c *Config, _ *Deps) { c.Limits.Requests = 4 })
	for range 4 {
		h.server.requests <- struct{}{}
	}
	res := h.get("/login", "")
	wantContains(t, wantStatus(t, res, 503), "There is too much to do right now.")
	if res.Header.Get("Retry-After") != "5" || res.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("headers %v", res.Header)
	}
	wantStatus(t, h.get("/healthz", ""), 200)
	<-h.server.requests
	wantStatus(t, h.get("/login", ""), 200)
}

// slowBody is a form that begins and does not go on.
type slowBody struct{ ctx context.Context }

func (b slowBody) Read([]byte) (int, error) { <-b.ctx.Done(); return 0, b.ctx.Err() }

func TestAFormThatComesInByteByByteTakesNobodysTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 * cap(h.server.signIns.all) {
			r := httptest.NewRequestWithContext(ctx, "POST", publicURL+"/login", slowBody{ctx})
			r.ContentLength = 100
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			go h.do(r)
		}
		synctest.Wait()
		wantStatus(t, h.post("/login", "", credentials("alice", "correct horse")), 303)
		cancel()
		synctest.Wait()
	})
}

func TestTheAttemptSaysWhereItCameFrom(t *testing.T) {
	h := newHouse(t, func(c *Config, _ *Deps) { c.TrustedProxies = []string{"192.0.2.1"} })
	r := request("POST", "/login", "", credentials("alice", "correct horse"))
	r.Header.Set("X-Forwarded-For", "1.1.1.1, 203.0.113.9")
	res := h.do(r)
	a := h.broker.attempts[0]
	if a.IP != "203.0.113.9" || a.Door != gatehouse.DoorPages || a.RequestID == "" || a.RequestID != res.Header.Get("X-Request-Id") {
		t.Errorf("attempt %+v", a)
	}
}
