package web

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

// Windows sign-in is the one GET that signs somebody in: a browser answers
// `WWW-Authenticate: Negotiate` with a ticket and no form (RFC 4559).
//
// It is tried by itself once, from the operator's networks alone, and never
// after a sign-out or where a fresh proof is asked; its 401 carries the
// sign-in form, which is all that a browser without a ticket shows. A cookie
// remembers that it was tried, and holds nothing else. Where that cookie does
// not come back none is tried: the session's would not come back either, and
// the browser would be sent in circles.
const (
	triedWindows = "tried" // not again by itself for a while
	leftWindows  = "left"  // signed out: not again by itself until somebody signs in, or the browser ends

	// triedFor is longer than any circle, and shorter than a session's idle time.
	triedFor = 10 * time.Minute
)

// windowsPath is where Windows sign-in is; auto says that nobody asked for it.
func windowsPath(next string, auto bool) string {
	q := url.Values{}
	if next != "" && next != "/" {
		q.Set("next", next)
	}
	if auto {
		q.Set("auto", "1")
	}
	if len(q) == 0 {
		return "/login/windows"
	}
	return "/login/windows?" + q.Encode()
}

// offersWindows reports whether the client is in a network whose computers
// have tickets.
func (s *Server) offersWindows(r *http.Request) bool {
	ip, err := netip.ParseAddr(factsFrom(r.Context()).ip)
	return err == nil && within(ip, s.deps.Windows)
}

// triesWindows reports whether to try a ticket before anybody asks for it.
// Programs that read the sign-in page do not say that they navigate, and keep
// their form.
func (s *Server) triesWindows(r *http.Request) bool {
	return s.offersWindows(r) && s.windowsMark(r) == "" &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func (s *Server) windowsCookie() string {
	if s.secure {
		return "__Host-gatehouse-windows"
	}
	return "gatehouse-windows"
}

// windowsMark is what the browser remembers of Windows sign-in.
func (s *Server) windowsMark(r *http.Request) string {
	c, err := r.Cookie(s.windowsCookie())
	if err != nil {
		return ""
	}
	return c.Value
}

// markWindows has the browser remember.
func (s *Server) markWindows(w http.ResponseWriter, mark string) {
	if len(s.deps.Windows) == 0 {
		return
	}
	c := &http.Cookie{Name: s.windowsCookie(), Value: mark, Path: "/", Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if mark == triedWindows {
		c.MaxAge = int(triedFor.Seconds())
	}
	http.SetCookie(w, c)
}

// windows signs in whoever sends a ticket.
func (s *Server) windows(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	p := loginPage{Next: localPath(q.Get("next")), Again: q.Get("again") == "1"}
	_, err := s.Session(r)
	switch {
	case err != nil && !errors.Is(err, gatehouse.ErrNoSession):
		return err
	case p.Again, !s.offersWindows(r):
		q.Del("auto")
		redirect(w, strings.TrimSuffix("/login?"+q.Encode(), "?"))
		return nil
	case err == nil:
		redirect(w, cmp.Or(p.Next, "/"))
		return nil
	case !s.mayAskTicket(r):
		return s.showLogin(w, r, http.StatusOK, p)
	}
	p.Ticket = true
	token, sent := negotiated(r)
	if !sent {
		w.Header().Set("WWW-Authenticate", "Negotiate")
		return s.showLogin(w, r, http.StatusUnauthorized, p)
	}
	return s.byTicket(w, r, token, p)
}

// mayAskTicket keeps tickets for somebody who looks at the page: not for a
// frame or an image on another one, not for a browser that takes no cookies,
// and after a sign-out for nobody but those who ask for it on our own page.
func (s *Server) mayAskTicket(r *http.Request) bool {
	mark, site := s.windowsMark(r), r.Header.Get("Sec-Fetch-Site")
	switch {
	case r.URL.Query().Get("auto") == "1":
		return mark == triedWindows
	case mark == leftWindows:
		return site == "same-origin" || site == "none"
	}
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "" || dest == "document"
}

// negotiated is the token of the Authorization header, and whether there is
// one. What cannot be decoded is a token too: one that proves nothing.
func negotiated(r *http.Request) (token []byte, sent bool) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Negotiate") {
		return nil, false
	}
	token, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return []byte(text), true
	}
	return token, true
}

// byTicket judges a ticket. A refusal carries no challenge: the browser would
// send the same again.
func (s *Server) byTicket(w http.ResponseWriter, r *http.Request, token []byte, p loginPage) error {
	f := factsFrom(r.Context())
	leave, err := s.signIns.enter(r.Context(), f.ip)
	if err != nil {
		return s.refuse(w, r, err, p)
	}
	defer leave()
	who, err := s.deps.Broker.SignIn(r.Context(), access.Attempt{
		Proof: access.Ticket{Token: token}, Door: gatehouse.DoorPages, IP: f.ip, RequestID: f.id,
	})
	if err != nil {
		return s.refuse(w, r, err, p)
	}
	f.user = who.User.Username
	return s.welcome(w, r, who, p.Next)
}
