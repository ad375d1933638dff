package web

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"gatehouse"
)

func newPassword(old, new, repeat string) url.Values {
	return url.Values{"username": {"alice"}, "password": {old}, "new": {new}, "repeat": {repeat}}
}

func TestAnExpiredPasswordLeadsToANewOne(t *testing.T) {
	for _, err := range []error{gatehouse.ErrPasswordExpired, gatehouse.ErrPasswordMustChange} {
		h := newHouse(t)
		h.broker.signInErr = err
		page := wantStatus(t, h.post("/login", "", credentials("alice", "hunter2hunter2")), 401)
		wantContains(t, page, `<a href="/me/password?username=alice">Choose a new password</a>`)
		page = wantStatus(t, h.get("/me/password?username=alice", ""), 200)
		wantContains(t, page, `name="username" type="text" value="alice"`, `autocomplete="new-password"`)
	}
}

func TestChangingThePassword(t *testing.T) {
	t.Run("ends every session of the person, and has them sign in anew", func(t *testing.T) {
		h := newHouse(t)
		here, elsewhere := h.signIn(), h.signIn()
		form := newPassword("hunter2hunter2", "battery staple", "battery staple")
		form.Set("username", "mallory") // who is signed in changes their own
		res := h.post("/me/password", here, form)
		wantStatus(t, res, 303)
		if got := res.Header.Get("Location"); got != "/login?said=changed" {
			t.Errorf("leads to %q", got)
		}
		c := h.broker.changes[0]
		if c.Username != "alice" || c.Old != "hunter2hunter2" || c.New != "battery staple" || c.IP == "" || c.RequestID == "" || c.Door != gatehouse.DoorPages {
			t.Errorf("asked %+v for %q", c, string(c.New))
		}
		for _, cookie := range []string{here, elsewhere} {
			if res := h.get("/", cookie); res.StatusCode != 303 {
				t.Errorf("a session from before still opens the portal: %d", res.StatusCode)
			}
		}
		wantContains(t, wantStatus(t, h.get("/login?said=changed", ""), 200), "Your password is changed.")
	})
	t.Run("is said to be done, and sessions that could not be ended to be there", func(t *testing.T) {
		h := newHouse(t)
		here := h.signIn()
		h.records.deny = &gatehouse.Unavailable{What: "store", Name: "db", Err: errors.New("disk full")}
		res := h.post("/me/password", here, newPassword("hunter2hunter2", "battery staple", "battery staple"))
		wantStatus(t, res, 303)
		if c := sessionCookie(t, res); c.MaxAge >= 0 {
			t.Errorf("the browser keeps %s", c)
		}
		wantContains(t, wantStatus(t, h.get(res.Header.Get("Location"), ""), 200), "Your password is changed.", "Not all of your earlier sign-ins could be ended")
	})
	t.Run("needs nobody signed in", func(t *testing.T) {
		h := newHouse(t)
		wantStatus(t, h.post("/me/password", "", newPassword("hunter2hunter2", "battery staple", "battery staple")), 303)
	})
	refusals := []struct {
		name   string
		form   url.Values
		err    error
		status int
		says   string
		asked  int
	}{
		{"two new ones that differ are not sent", newPassword("hunter2hunter2", "battery staple", "battery stable"), nil, 400, "The two new passwords differ.", 0},
		{"a wrong old one", newPassword("x", "battery staple", "battery staple"), gatehouse.ErrInvalidCredentials, 401, "Invalid username or password.", 1},
		{"one that the directory does not take", newPassword("hunter2hunter2", "new", "new"),
			fmt.Errorf("change: %w", &gatehouse.PasswordRefused{Rule: "too_short", Why: "Choose at least 12 characters.", Err: errors.New("0000052D")}), 422, "Choose at least 12 characters.", 1},
		{"too many attempts", newPassword("x", "battery staple", "battery staple"), &gatehouse.Throttled{Until: start.Add(time.Minute), Why: "name"}, 429, "Try again in", 1},
		{"a directory that is away", newPassword("hunter2hunter2", "battery staple", "battery staple"), &gatehouse.Unavailable{What: "directory", Err: errors.New("dial")}, 503, "The directory cannot be reached.", 1},
	}
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			h.broker.changeErr = tt.err
			page := wantStatus(t, h.post("/me/password", "", tt.form), tt.status)
			wantContains(t, page, tt.says)
			wantLacks(t, page, "hunter2hunter2", "battery staple", "0000052D", "dial")
			if len(h.broker.changes) != tt.asked {
				t.Errorf("the directory was asked %d times, want %d", len(h.broker.changes), tt.asked)
			}
			wantLacks(t, h.logs.String(), "hunter2hunter2", "battery staple")
		})
	}
	t.Run("is not done for another site", func(t *testing.T) {
		h := newHouse(t)
		r := request("POST", "/me/password", h.signIn(), newPassword("hunter2hunter2", "battery staple", "battery staple"))
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://evil.example")
		wantStatus(t, h.do(r), 403)
		if len(h.broker.changes) > 0 {
			t.Error("it was")
		}
	})
}

func TestAPasswordThatExpiresSoonIsSaid(t *testing.T) {
	for at, want := range map[time.Duration]string{0: "", 13*24*time.Hour + time.Hour: "expires in 13 days", time.Hour: "expires today", 30 * 24 * time.Hour: ""} {
		h := newHouse(t)
		if at > 0 {
			h.broker.user.PasswordExpires = start.Add(at)
		}
		page := wantStatus(t, h.get("/", h.signIn()), 200)
		if want == "" {
			wantLacks(t, page, "password expires")
			continue
		}
		wantContains(t, page, want, `href="/me/password"`)
	}
	never := newHouse(t, func(c *Config, _ *Deps) { c.Portal.PasswordNotice = new(time.Duration) })
	never.broker.user.PasswordExpires = start // by grace
	wantLacks(t, wantStatus(t, never.get("/", never.signIn()), 200), "password expires")
	for within, want := range map[time.Duration]bool{0: false, 5 * 24 * time.Hour: false, 7 * 24 * time.Hour: true} {
		h := newHouse(t, func(c *Config, _ *Deps) { c.Portal.PasswordNotice = &within })
		h.broker.user.PasswordExpires = start.Add(6 * 24 * time.Hour)
		page := wantStatus(t, h.get("/", h.signIn()), 200)
		if want {
			wantContains(t, page, "expires in 6 days")
		} else {
			wantLacks(t, page, "expires in 6 days")
		}
	}
}
