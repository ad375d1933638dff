package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

const windowsCookie = "__Host-gatehouse-windows"

// office opens a portal whose office has Windows computers.
func office(t testing.TB) *house {
	return newHouse(t, func(_ *Config, d *Deps) {
		d.Windows = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	})
}

// visitOf is a request as somebody's browser sends it when they go to a page.
type visitOf struct {
	path, from string // from: the client's address; empty: in the office
	site, dest string // Sec-Fetch-…; empty: typed, a page
	program    bool   // no browser: none of those headers
	mark       string
	ticket     string // Authorization
	session    string
}

func (v visitOf) request() *http.Request {
	r := request("GET", v.path, v.session, nil)
	r.RemoteAddr = "10.1.2.3:5678"
	if v.from != "" {
		r.RemoteAddr = v.from + ":5678"
	}
	if !v.program {
		for name, value := range map[string]string{"Mode": "navigate", "Dest": "document", "Site": "none"} {
			r.Header.Set("Sec-Fetch-"+name, value)
		}
		if v.site != "" {
			r.Header.Set("Sec-Fetch-Site", v.site)
		}
		if v.dest != "" {
			r.Header.Set("Sec-Fetch-Dest", v.dest)
		}
	}
	if v.mark != "" {
		r.AddCookie(&http.Cookie{Name: windowsCookie, Value: v.mark})
	}
	if v.ticket != "" {
		r.Header.Set("Authorization", v.ticket)
	}
	return r
}

func negotiate(token string) string {
	return "Negotiate " + base64.StdEncoding.EncodeToString([]byte(token))
}

// mark is what an answer has the browser remember.
func mark(res *http.Response) (value string, seconds int) {
	for _, c := range res.Cookies() {
		if c.Name == windowsCookie {
			return c.Value, c.MaxAge
		}
	}
	return "", 0
}

const offer = "Use Windows sign-in"

func TestWhenATicketIsTriedByItself(t *testing.T) {
	tests := []struct {
		name  string
		visit visitOf
		tried bool
		offer bool // on the form, where it is not
	}{
		{"on the first visit from the office", visitOf{path: "/login?next=%2Froles%2F111122223333%2FAdmin"}, true, false},
		{"when an application led there", visitOf{path: "/login", site: "cross-site"}, true, false},
		{"from the office's IPv6 network", visitOf{path: "/login", from: "[2001:db8::7]"}, true, false},
		{"not once more soon after", visitOf{path: "/login", mark: triedWindows}, false, true},
		{"not after a sign-out", visitOf{path: "/login", mark: leftWindows}, false, true},
		{"not on the page that a sign-out leads to", visitOf{path: "/login?said=out"}, false, true},
		{"not from elsewhere, where it is not even offered", visitOf{path: "/login", from: "192.0.2.7"}, false, false},
		{"not where a fresh proof is asked", visitOf{path: "/login?again=1"}, false, false},
		{"not for a program that reads the form", visitOf{path: "/login", program: true}, false, true},
		{"not in a frame", visitOf{path: "/login", dest: "iframe"}, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := office(t)
			res := h.do(tt.visit.request())
			if !tt.tried {
				page := wantStatus(t, res, 200)
				wantContains(t, page, "<form")
				if strings.Contains(page, offer) != tt.offer {
					t.Errorf("offered: %v, want %v", !tt.offer, tt.offer)
				}
				return
			}
			wantStatus(t, res, 303)
			to, err := url.Parse(res.Header.Get("Location"))
			if err != nil || to.Path != "/login/windows" || to.Query().Get("auto") != "1" {
				t.Errorf("led to %q, %v", to, err)
			}
			if value, seconds := mark(res); value != triedWindows || seconds != 600 {
				t.Errorf("remembers %q for %d s", value, seconds)
			}
		})
	}
	t.Run("not where it is not configured", func(t *testing.T) {
		h := newHouse(t)
		wantLacks(t, wantStatus(t, h.do(visitOf{path: "/login"}.request()), 200), offer)
	})
}

func TestABrowserWithoutATicketShowsTheForm(t *testing.T) {
	h := office(t)
	res := h.do(visitOf{path: "/login/windows?auto=1&next=%2Froles%2F111122223333%2FAdmin", mark: triedWindows}.request())
	page := wantStatus(t, res, 401)
	if got := res.Header.Values("WWW-Authenticate"); fmt.Sprint(got) != "[Negotiate]" {
		t.Errorf("asked for %q", got)
	}
	wantContains(t, page, `<form action="https://aws.corp.example.com/login" method="post">`, `name="next" value="/roles/111122223333/Admin"`)
	wantLacks(t, page, offer, "input-error", `role="alert"`)
	if len(h.broker.attempts) > 0 {
		t.Error("that was an attempt")
	}
}

func TestATicketSignsIn(t *testing.T) {
	for _, v := range []visitOf{
		{path: "/login/windows?next=%2Froles%2F111122223333%2FAdmin", ticket: negotiate("alice's ticket")},
		{path: "/login/windows?auto=1&next=%2Froles%2F111122223333%2FAdmin", mark: triedWindows, ticket: negotiate("alice's ticket")},
		{path: "/login/windows?next=%2Froles%2F111122223333%2FAdmin", program: true, ticket: "negotiate " + strings.TrimPrefix(negotiate("alice's ticket"), "Negotiate ")},
	} {
		h := office(t)
		res := h.do(v.request())
		wantStatus(t, res, 303)
		if got := res.Header.Get("Location"); got != "/roles/111122223333/Admin" {
			t.Errorf("led to %q", got)
		}
		wantStatus(t, h.get("/", sessionCookie(t, res).Value), 200)
		a := h.broker.attempts[0]
		if got := a.Proof.(access.Ticket); string(got.Token) != "alice's ticket" || a.IP != "10.1.2.3" || a.Door != gatehouse.DoorPages || a.RequestID == "" {
			t.Errorf("attempt %+v", a)
		}
		wantLacks(t, h.logs.String(), negotiate("alice's ticket"), "alice's ticket")
	}
}

func TestASignInByTicketGivesUpTheSessionBefore(t *testing.T) {
	h := office(t)
	planted := strings.Repeat("A", 26)
	res := h.do(visitOf{path: "/login/windows", ticket: negotiate("alice's ticket"), session: planted}.request())
	wantStatus(t, res, 303)
	if got := sessionCookie(t, res).Value; got == planted {
		t.Error("the session keeps a name that was known before")
	}
}

func TestRefusedTickets(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		says   string
	}{
		{"NTLM", errors.Join(gatehouse.ErrInvalidCredentials, gatehouse.ErrNoTicket), 401, "This browser has no Windows ticket."},
		{"a ticket that proves nothing", gatehouse.ErrInvalidCredentials, 401, "Windows sign-in did not work."},
		{"a disabled account", gatehouse.ErrAccountDisabled, 401, "Your directory account is disabled.</strong> Your Windows ticket was good."},
		{"too many groups", gatehouse.ErrTooManyGroups, 403, "You are in too many groups."},
		{"too many", &gatehouse.Throttled{Until: start.Add(5 * time.Minute), Why: "address"}, 429, "Try again in 5 minutes."},
		{"a directory that is away", &gatehouse.Unavailable{What: "directory", Err: errors.New("dial tcp 10.9.8.7")}, 503, "The directory cannot be reached."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := office(t)
			h.broker.signInErr = tt.err
			res := h.do(visitOf{path: "/login/windows?next=%2Froles%2F111122223333%2FAdmin", ticket: negotiate("TICKET")}.request())
			page := wantStatus(t, res, tt.status)
			wantContains(t, page, tt.says, res.Header.Get("X-Request-Id"))
			wantLacks(t, page, "password was right", "10.9.8.7", "TICKET", offer)
			if got := res.Header.Get("WWW-Authenticate"); got != "" {
				t.Errorf("asks again for %q: browsers would send the same again", got)
			}
			if tt.status < 500 && tt.status != 403 {
				wantContains(t, page, "<form", inputError, `name="next" value="/roles/111122223333/Admin"`)
			}
			for _, c := range res.Cookies() {
				if strings.HasSuffix(c.Name, "gatehouse") {
					t.Errorf("a session: %v", c)
				}
			}
		})
	}
}

func TestHostileHeaders(t *testing.T) {
	tests := []struct {
		name, header string
		attempt      bool
	}{
		{"no base64", "Negotiate <script>", true},
		{"nothing after the scheme", "Negotiate", true},
		{"70 KiB", negotiate(strings.Repeat("A", 70<<10)), true},
		{"a password in place of a ticket", "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==", false},
		{"NTLM by name", "NTLM TlRMTVNTUAABAAAA", false},
		{"a bearer token", "Bearer alice's ticket", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := office(t)
			res := h.do(visitOf{path: "/login/windows", ticket: tt.header}.request())
			wantStatus(t, res, 401)
			if (len(h.broker.attempts) > 0) != tt.attempt {
				t.Errorf("%d attempts", len(h.broker.attempts))
			}
			if (res.Header.Get("WWW-Authenticate") == "") != tt.attempt {
				t.Errorf("asks for %q", res.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestWhereATicketIsNotTaken(t *testing.T) {
	tests := []struct {
		name   string
		visit  visitOf
		status int
		to     string
	}{
		{"from another network", visitOf{path: "/login/windows?next=%2Froles%2F111122223333%2FAdmin", from: "192.0.2.7"}, 303, "/login?next=%2Froles%2F111122223333%2FAdmin"},
		{"where a fresh proof is asked", visitOf{path: "/login/windows?again=1&auto=1"}, 303, "/login?again=1"},
		{"in a frame of another page", visitOf{path: "/login/windows", dest: "iframe"}, 200, ""},
		{"for an image on another page", visitOf{path: "/login/windows", dest: "image", site: "cross-site"}, 200, ""},
		{"for a browser that takes no cookies", visitOf{path: "/login/windows?auto=1"}, 200, ""},
		{"after a sign-out, by a link on another page", visitOf{path: "/login/windows", site: "cross-site", mark: leftWindows}, 200, ""},
		{"after a sign-out, by itself", visitOf{path: "/login/windows?auto=1", mark: leftWindows}, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := office(t)
			tt.visit.ticket = negotiate("alice's ticket")
			res := h.do(tt.visit.request())
			wantStatus(t, res, tt.status)
			if got := res.Header.Get("Location"); got != tt.to {
				t.Errorf("led to %q, want %q", got, tt.to)
			}
			if len(h.broker.attempts) > 0 || res.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("the ticket was taken: %v", h.broker.attempts)
			}
		})
	}
	t.Run("where it is not configured", func(t *testing.T) {
		h := newHouse(t)
		res := h.do(visitOf{path: "/login/windows", ticket: negotiate("alice's ticket")}.request())
		wantStatus(t, res, 303)
		if len(h.broker.attempts) > 0 {
			t.Error("the ticket was taken")
		}
	})
	t.Run("by what a client says of its own address", func(t *testing.T) {
		h := office(t)
		r := visitOf{path: "/login/windows", from: "192.0.2.7", ticket: negotiate("alice's ticket")}.request()
		r.Header.Set("X-Forwarded-For", "10.1.2.3")
		wantStatus(t, h.do(r), 303)
		if len(h.broker.attempts) > 0 {
			t.Error("the ticket was taken")
		}
	})
}

func TestASignOutLasts(t *testing.T) {
	h := office(t)
	res := h.do(visitOf{path: "/login/windows", ticket: negotiate("alice's ticket")}.request())
	wantStatus(t, res, 303)
	out := h.post("/logout", sessionCookie(t, res).Value, url.Values{})
	wantStatus(t, out, 303)
	value, seconds := mark(out)
	if value != leftWindows || seconds != 0 {
		t.Fatalf("after a sign-out the browser remembers %q for %d s, want %q until it ends", value, seconds, leftWindows)
	}
	wantStatus(t, h.do(visitOf{path: "/login?next=%2F", mark: value}.request()), 200)
	asked := h.do(visitOf{path: "/login/windows", site: "same-origin", mark: value, ticket: negotiate("alice's ticket")}.request())
	wantStatus(t, asked, 303)
	if again, _ := mark(asked); again != triedWindows {
		t.Errorf("once somebody asked for it the browser remembers %q, want %q", again, triedWindows)
	}
}

func TestWhoIsSignedInKeepsTheirSession(t *testing.T) {
	h := office(t)
	cookie := h.signIn()
	res := h.do(visitOf{path: "/login/windows?next=%2Froles%2F111122223333%2FAdmin", session: cookie, ticket: negotiate("alice's ticket")}.request())
	wantStatus(t, res, 303)
	if res.Header.Get("Location") != "/roles/111122223333/Admin" || len(h.broker.attempts) != 1 || len(res.Cookies()) > 0 {
		t.Errorf("led to %q, %d attempts, cookies %v", res.Header.Get("Location"), len(h.broker.attempts), res.Cookies())
	}
}

func TestAFreshProofIsAskedAgainAfterAWrongPassword(t *testing.T) {
	h := office(t)
	page := wantStatus(t, h.do(visitOf{path: "/login?again=1", session: h.signIn()}.request()), 200)
	wantContains(t, page, `name="again" value="1"`)
	r := request("POST", "/login", "", url.Values{"username": {"alice"}, "password": {"wrong"}, "again": {"1"}})
	r.RemoteAddr = "10.1.2.3:5678"
	page = wantStatus(t, h.do(r), 401)
	wantContains(t, page, `name="again" value="1"`)
	wantLacks(t, page, offer)
}
