package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

func TestCookie(t *testing.T) {
	tests := []struct {
		name, public, cookie string
		secure               bool
	}{
		{"https: secure, and bound to the host by its name", publicURL, "__Host-gatehouse", true},
		{"http on loopback: neither, or the browser drops it", "http://localhost:8080", "gatehouse", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, func(c *Config, _ *Deps) { c.PublicURL = tt.public })
			r := request("POST", "/login", "", credentials("alice", "correct horse"))
			r.Host = strings.Split(tt.public, "//")[1]
			c := sessionCookie(t, h.do(r))
			if c.Name != tt.cookie || c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 || !c.Expires.IsZero() {
				t.Errorf("cookie %s", c)
			}
			if len(c.Value) != 26 {
				t.Errorf("value %q holds more or less than 130 random bits", c.Value)
			}
		})
	}
}

func TestForgedCookiesAreSignedOut(t *testing.T) {
	h := newHouse(t)
	good := h.signIn()
	forged := []string{"", "x", strings.Repeat("A", 26), strings.ToLower(good), good + "A", good[:25], "../../etc/passwd", strings.Repeat("A", 4000), "a=b"}
	for _, value := range forged {
		res := h.get("/", value)
		wantStatus(t, res, 303)
		if got := res.Header.Get("Location"); got != "/login" {
			t.Errorf("cookie %.40q led to %q, want the sign-in page", value, got)
		}
	}
	wantStatus(t, h.get("/", good), 200)
}

func TestSigningInRotatesTheSession(t *testing.T) {
	h := newHouse(t)
	first := h.signIn()
	res := h.post("/login", first, credentials("alice", "correct horse"))
	second := sessionCookie(t, res).Value
	if first == second {
		t.Fatal("the session kept its name over a sign-in")
	}
	wantStatus(t, h.get("/", first), 303)
	wantStatus(t, h.get("/", second), 200)
	if len(h.records.rows) != 1 {
		t.Errorf("%d records, want the new one only", len(h.records.rows))
	}
}

func TestBeyondTheMostThePersonsSessionEndsThatIdledLongest(t *testing.T) {
	h := newHouse(t, func(c *Config, _ *Deps) { c.Limits.SessionsPerPerson = 4 })
	var cookies []string
	for range 4 {
		cookies = append(cookies, h.signIn())
		h.clock = h.clock.Add(2 * time.Minute)
	}
	wantStatus(t, h.get("/", cookies[0]), 200) // the first is in use
	cookies = append(cookies, h.signIn())
	for i, cookie := range cookies {
		want := 200
		if i == 1 {
			want = 303
		}
		wantStatus(t, h.get("/", cookie), want)
	}
	if h.broker.signOuts != 1 {
		t.Errorf("%d ends of sessions are on the record, want 1", h.broker.signOuts)
	}
	h.records.deny = errors.New("disk full") // nobody gets in without their record; whoever is in stays
	wantStatus(t, h.get("/", cookies[0]), 200)
}

func TestAPlantedCookieIsNotAdopted(t *testing.T) {
	h := newHouse(t)
	planted := strings.Repeat("B", 26)
	res := h.post("/login", planted, credentials("alice", "correct horse"))
	if got := sessionCookie(t, res).Value; got == planted {
		t.Fatal("the sign-in took over a name that somebody else chose")
	}
	wantStatus(t, h.get("/", planted), 303)
}

func TestTheStoreHoldsNoCookieAndNoPassword(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	for key, row := range h.records.rows {
		if strings.Contains(key+string(row.body), cookie) || strings.Contains(string(row.body), "correct horse") {
			t.Errorf("record %s holds a bearer secret: %s", key, row.body)
		}
		if row.owner != "corp/0001" {
			t.Errorf("owner %q, want the person's key", row.owner)
		}
	}
}

func TestSessionLimits(t *testing.T) {
	tests := []struct {
		name  string
		steps []time.Duration // between requests
		want  int             // of the last one
	}{
		{"good at once", []time.Duration{0}, 200},
		{"good shortly before the idle limit", []time.Duration{59 * time.Minute}, 200},
		{"over when idle for an hour", []time.Duration{time.Hour}, 303},
		{"a request starts the idle hour anew", []time.Duration{50 * time.Minute, 50 * time.Minute, 50 * time.Minute}, 200},
		{"a request within the minute is not written, and still counts to the minute", []time.Duration{30 * time.Second, 58 * time.Minute}, 200},
		{"over after twelve hours, however busy", halfHours(24), 303},
		{"good shortly before the twelve hours", append(halfHours(23), 29*time.Minute), 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			cookie := h.signIn()
			var res *http.Response
			for _, step := range tt.steps {
				h.clock = h.clock.Add(step)
				res = h.get("/", cookie)
			}
			wantStatus(t, res, tt.want)
		})
	}
}

func halfHours(n int) []time.Duration {
	steps := make([]time.Duration, n)
	for i := range steps {
		steps[i] = 30 * time.Minute
	}
	return steps
}

func TestABusySessionIsWrittenOnceAMinute(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	before := h.records.sets
	for range 50 {
		h.get("/", cookie)
	}
	if h.records.sets != before {
		t.Errorf("%d writes within the minute, want none", h.records.sets-before)
	}
	h.clock = h.clock.Add(time.Minute)
	h.get("/", cookie)
	h.get("/", cookie)
	if got := h.records.sets - before; got != 2 { // the body, and its time
		t.Errorf("%d writes after a minute, want 2", got)
	}
}

func TestARecordFromTheFutureIsNone(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.clock = h.clock.Add(-time.Hour)
	wantStatus(t, h.get("/", cookie), 303)
}

func TestASessionIsGoodAtReplicasWhoseClocksDiffer(t *testing.T) {
	for _, tt := range []struct {
		name string
		skew time.Duration // of the replica where nobody signed in
		want int
	}{
		{"half a minute behind", -30 * time.Second, 200},
		{"half a minute ahead", 30 * time.Second, 200},
		{"five minutes behind", -5 * time.Minute, 200},
		{"five minutes ahead", 5 * time.Minute, 200},
		{"further behind: signed out, since a record from the future would outlive its due", -5*time.Minute - time.Second, 303},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			other := newHouse(t, func(_ *Config, d *Deps) { d.Records = h.records })
			other.clock = h.clock.Add(tt.skew)
			cookie := h.signIn()
			wantStatus(t, other.get("/", cookie), tt.want)
			if tt.want == 200 {
				wantStatus(t, h.get("/", cookie), 200) // and nothing was broken by it
			}
		})
	}
}

func TestADamagedRecordIsNone(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	for key, row := range h.records.rows {
		row.body = []byte(`{"session": 12`)
		h.records.rows[key] = row
	}
	wantStatus(t, h.get("/", cookie), 303)
}

func TestSignOut(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	res := h.post("/logout", cookie, url.Values{})
	wantStatus(t, res, 303)
	if c := sessionCookie(t, res); c.MaxAge >= 0 || c.Value != "" || !c.Secure || c.Path != "/" {
		t.Errorf("the cookie was not taken back: %s", c)
	}
	if got := res.Header.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("Clear-Site-Data %q", got)
	}
	if len(h.records.rows) != 0 || h.broker.signOuts != 1 {
		t.Errorf("%d records left, %d sign-outs recorded", len(h.records.rows), h.broker.signOuts)
	}
	wantContains(t, wantStatus(t, h.get(res.Header.Get("Location"), ""), 200), "You are signed out.")
	wantStatus(t, h.get("/", cookie), 303)
}

func TestSignOutEndsTheSessionEvenUnrecorded(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.broker.signOutErr = gatehouse.ErrNotRecorded
	wantStatus(t, h.post("/logout", cookie, url.Values{}), 303)
	wantStatus(t, h.get("/", cookie), 303)
	wantContains(t, h.logs.String(), "sign-out not recorded")
}

func TestThisBrowserIsSignedOutWhateverTheStoreSays(t *testing.T) {
	away := &gatehouse.Unavailable{What: "store", Name: "db", Err: errors.New("refused")}
	for name, refuse := range map[string]func(*fakeRecords){
		"a store that is down":     func(f *fakeRecords) { f.err = away },
		"a disk that is full":      func(f *fakeRecords) { f.deny = away },
		"a failure without a name": func(f *fakeRecords) { f.deny = errors.New("disk I/O error") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			cookie := h.signIn()
			refuse(h.records)
			res := h.post("/logout", cookie, url.Values{})
			wantStatus(t, res, 303)
			if c := sessionCookie(t, res); c.MaxAge >= 0 || c.Value != "" {
				t.Errorf("the browser keeps %s", c)
			}
			if got := res.Header.Get("Clear-Site-Data"); got != `"cache"` {
				t.Errorf("Clear-Site-Data %q: Back may show what was there", got)
			}
			page := wantStatus(t, h.get(res.Header.Get("Location"), ""), 200)
			wantContains(t, page, "You are signed out in this browser.", "could not be ended", "at most 12 hours after it began", "end it under My sign-ins")
			wantContains(t, h.logs.String(), "session not ended, but for this browser")
		})
	}
}

func TestSigningOutTwiceIsFine(t *testing.T) {
	h := newHouse(t)
	wantStatus(t, h.post("/logout", "", url.Values{}), 303)
	if h.broker.signOuts != 0 {
		t.Error("a sign-out of nobody was recorded")
	}
}

func TestWhatEndsASession(t *testing.T) {
	for _, err := range []error{gatehouse.ErrNoSession, gatehouse.ErrUnknownPerson, gatehouse.ErrAccountDisabled, gatehouse.ErrAccountExpired} {
		t.Run(err.Error(), func(t *testing.T) {
			h := newHouse(t)
			cookie := h.signIn()
			h.broker.refreshErr = fmt.Errorf("refresh: %w", err)
			wantStatus(t, h.get("/", cookie), 303)
			if len(h.records.rows) != 0 {
				t.Error("the record outlived the person")
			}
		})
	}
}

func TestAHandOutToAnEndedSessionLeadsBackToTheRole(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.broker.grantErr = gatehouse.ErrAccountDisabled
	form := url.Values{"as": {"console"}, "destination": {"https://console.aws.amazon.com/s3"}}
	res := h.post("/roles/111122223333/ReadOnly", cookie, form)
	wantStatus(t, res, 303)
	u, err := url.Parse(res.Header.Get("Location"))
	if want := "/roles/111122223333/ReadOnly?destination=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3"; err != nil || u.Query().Get("next") != want {
		t.Errorf("led to %q", res.Header.Get("Location"))
	}
	if len(h.records.rows) != 0 {
		t.Error("the session goes on")
	}
}

func TestWithoutTheDirectoryTheLastListStays(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.broker.refreshErr = &gatehouse.Unavailable{What: "directory", Name: "corp", Err: errors.New("timeout")}
	for _, path := range []string{"/", "/roles/111122223333/ReadOnly"} {
		wantContains(t, wantStatus(t, h.get(path, cookie), 200), "The directory cannot be reached right now.", "ReadOnly", "09:30 UTC")
	}
}

func TestTheStore(t *testing.T) {
	t.Run("that does not answer is named, and signs nobody out", func(t *testing.T) {
		h := newHouse(t)
		cookie := h.signIn()
		h.records.err = &gatehouse.Unavailable{What: "store", Name: "db", Err: errors.New("refused")}
		wantContains(t, wantStatus(t, h.get("/", cookie), 503), "The record store cannot be reached.")
		h.records.err = nil
		wantStatus(t, h.get("/", cookie), 200)
	})
	t.Run("that takes no writes lets running sessions go on", func(t *testing.T) {
		h := newHouse(t)
		cookie := h.signIn()
		h.records.deny = errors.New("disk full")
		h.clock = h.clock.Add(10 * time.Minute)
		wantStatus(t, h.get("/", cookie), 200)
		wantContains(t, h.logs.String(), "session not kept")
	})
	t.Run("that takes no writes signs nobody in", func(t *testing.T) {
		h := newHouse(t)
		h.records.deny = &gatehouse.Unavailable{What: "store", Name: "db", Err: errors.New("disk full")}
		res := h.post("/login", "", credentials("alice", "correct horse"))
		wantStatus(t, res, 503)
		if len(res.Cookies()) > 0 {
			t.Errorf("cookies %v", res.Cookies())
		}
	})
	t.Run("where another replica ended the session has the last word", func(t *testing.T) {
		h := newHouse(t)
		v := visit{Session: gatehouse.Session{User: h.broker.user}, Began: start, Seen: start}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.server.sessions.rewrite(t.Context(), strings.Repeat("A", 26), b, start.Add(time.Hour)); !errors.Is(err, gatehouse.ErrNoSession) {
			t.Errorf("rewriting an ended session: %v, want ErrNoSession", err)
		}
		if len(h.records.rows) != 0 {
			t.Error("an ended session came back")
		}
	})
}

func TestTooManyGroupsAreExplainedToWhoeverRunsThis(t *testing.T) {
	h := newHouse(t)
	h.broker.signInErr = gatehouse.ErrTooManyGroups
	page := wantStatus(t, h.post("/login", "", credentials("alice", "hunter2hunter2")), 403)
	wantContains(t, page, "Trying again does not help.", "Ask <bdi>your platform team</bdi>", "2000 groups", "group_base_dn")
	wantLacks(t, page, "Try again in a minute", "cannot be reached", ">Try again<")
}
