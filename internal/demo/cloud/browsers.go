package cloud

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	cookieName    = "gatehouse-cloud"
	keptBrowsers  = 1000 // more than a demo has; the one seen longest ago goes first
	mostSessions  = 5    // of one browser, as AWS's multi-session support has it
	rememberIdle  = 24 * time.Hour
	signinTokenOK = 15 * time.Minute
)

// consoleSession is one role that a browser is signed in to.
type consoleSession struct {
	id          string
	who         identity
	expires     time.Time
	issuer      string // where to sign in again; may be empty
	destination string // what was asked for at sign-in
}

// browser is what one cookie stands for.
type browser struct {
	sessions []*consoleSession // the current one last
	issuer   string            // of the last session, kept when it has ended
	several  bool              // its person switched on multi-session support
	seen     time.Time
}

// browsers are all of them, in bounded memory.
type browsers struct {
	mu   sync.Mutex
	byID map[string]*browser
}

func newBrowsers() *browsers { return &browsers{byID: map[string]*browser{}} }

// with calls f with the request's browser, if it has one, under the lock, and
// after dropping sessions that have ended.
func (b *browsers) with(r *http.Request, now time.Time, f func(*browser)) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.byID[c.Value]; known != nil {
		known.sessions = slices.DeleteFunc(known.sessions, func(s *consoleSession) bool { return !now.Before(s.expires) })
		known.seen = now
		f(known)
	}
}

// current is the session that the console shows, and the issuer to go back to.
func (b *browsers) current(r *http.Request, now time.Time) (shown *consoleSession, others []*consoleSession, issuer string) {
	b.with(r, now, func(known *browser) {
		issuer = known.issuer
		if n := len(known.sessions); n > 0 {
			shown, others = known.sessions[n-1], slices.Clone(known.sessions[:n-1])
		}
	})
	return shown, others, issuer
}

// add signs a browser in. It refuses a second account unless several are
// allowed. The cookie's value is new each time a browser starts from nothing.
func (b *browsers) add(w http.ResponseWriter, r *http.Request, s *consoleSession, several bool, now time.Time) (ok bool) {
	known, refused := false, false
	b.with(r, now, func(br *browser) {
		if len(br.sessions) == 0 {
			return // a new cookie below: an old one may have been planted
		}
		several = several || br.several
		if known = true; !several && slices.ContainsFunc(br.sessions, func(o *consoleSession) bool {
			return o.who.Account != s.who.Account
		}) {
			refused = true
			return
		}
		br.put(s, several)
	})
	if refused || known {
		return !refused
	}
	id := rand.Text()
	b.mu.Lock()
	b.sweep(now)
	b.byID[id] = &browser{sessions: []*consoleSession{s}, issuer: s.issuer, seen: now}
	b.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil})
	return true
}

// put makes s the current session, in place of the same session before; or of
// any other, where a browser may have only one.
func (br *browser) put(s *consoleSession, several bool) {
	br.issuer = s.issuer
	br.sessions = slices.DeleteFunc(br.sessions, func(o *consoleSession) bool {
		return !several || o.who.roleARN() == s.who.roleARN() && o.who.SessionName == s.who.SessionName
	})
	if len(br.sessions) == mostSessions {
		br.sessions = br.sessions[1:]
	}
	br.sessions = append(br.sessions, s)
}

// sweep makes room; the caller holds the lock.
func (b *browsers) sweep(now time.Time) {
	oldest := ""
	for id, br := range b.byID {
		if now.Sub(br.seen) > rememberIdle {
			delete(b.byID, id)
			continue
		}
		if oldest == "" || br.seen.Before(b.byID[oldest].seen) {
			oldest = id
		}
	}
	if len(b.byID) >= keptBrowsers {
		delete(b.byID, oldest)
	}
}

// allowSeveral switches multi-session support on, as AWS's account menu does.
func (b *browsers) allowSeveral(r *http.Request, now time.Time) {
	b.with(r, now, func(br *browser) { br.several = true })
}

// choose makes another of the browser's sessions the current one.
func (b *browsers) choose(r *http.Request, id string, now time.Time) {
	b.with(r, now, func(br *browser) {
		for i, s := range br.sessions {
			if s.id == id {
				br.sessions = append(slices.Delete(br.sessions, i, i+1), s)
				return
			}
		}
	})
}

// forget signs a browser out of everything; the answer is where its last
// session came from.
func (b *browsers) forget(w http.ResponseWriter, r *http.Request, now time.Time) (issuer string) {
	b.with(r, now, func(br *browser) { issuer = br.issuer })
	if c, err := r.Cookie(cookieName); err == nil {
		b.mu.Lock()
		delete(b.byID, c.Value)
		b.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1})
	return issuer
}
