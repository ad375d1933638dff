package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"gatehouse/web/inbound"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// The most that a form may hold. The sign-in form has more room, so that a
// name of 64 KB, escaped, is refused as any other wrong name is.
const (
	formLimit     = 64 << 10
	loginLimit    = 256 << 10
	protocolLimit = 1 << 20 // backstop; the door has limits of its own
)

// middleware stands before a handler.
type middleware func(http.Handler) http.Handler

// chain puts the middlewares before h, the first outermost.
func chain(h http.Handler, before ...middleware) http.Handler {
	for i := len(before) - 1; i >= 0; i-- {
		h = before[i](h)
	}
	return h
}

// pagesDoor is for our own pages in a browser.
func (s *Server) pagesDoor() http.Handler {
	return chain(s.pagesMux(), s.identify, s.guard, s.headers, s.bounded, s.rightHost, s.sameOrigin, s.limitForms)
}

// protocolDoor is for browsers that another site sent, and for ECP clients:
// their POSTs are cross-site and may be chunked by design.
func (s *Server) protocolDoor() http.Handler {
	h := s.serve(s.missing)
	if s.deps.Protocol != nil {
		h = s.deps.Protocol(s)
	}
	return chain(named("/saml/", h), s.identify, s.guard, s.headers, s.bounded, s.rightHost, limit(protocolLimit))
}

// apiDoor is for programs: cookies mean nothing there, and what fails before
// the door itself answers is told as JSON.
func (s *Server) apiDoor(route string) http.Handler {
	h := s.serve(s.missing)
	if s.deps.API != nil {
		h = s.deps.API
	}
	return chain(named(route, h), s.identify, forPrograms, s.guard, s.headers, s.bounded, s.rightHost, limit(formLimit))
}

func forPrograms(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Cookie")
		r.Header.Set("Accept", "application/json")
		next.ServeHTTP(w, r)
	})
}

// plainDoor is for what anybody may fetch under any name: health and assets.
func (s *Server) plainDoor(route string, h http.Handler) http.Handler {
	return chain(named(route, h), s.identify, s.guard, s.headers)
}

// facts are what is known of a request; logs and problem pages tell them.
type facts struct {
	id    string // the reference that people and logs share
	ip    string // the client's address
	route string
	user  string // once the directory knows the name
}

type factsKey struct{}

func withFacts(ctx context.Context, f *facts) context.Context {
	return context.WithValue(ctx, factsKey{}, f)
}

// factsFrom never answers nil.
func factsFrom(ctx context.Context) *facts {
	if f, ok := ctx.Value(factsKey{}).(*facts); ok {
		return f
	}
	return &facts{}
}

// identify gives the request its reference, settles where it came from, and
// writes the access line. What the client said of either is overwritten.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now() // a duration, not a date: the monotonic clock
		f := &facts{id: rand.Text()[:16], ip: clientAddress(r.RemoteAddr, r.Header["X-Forwarded-For"], s.trusted)}
		r = r.WithContext(withFacts(r.Context(), f))
		inbound.Settle(r, f.id, f.ip)
		w.Header().Set(inbound.IDHeader, f.id)
		sw := &statusWriter{ResponseWriter: w}
		defer func() {
			s.log.LogAttrs(r.Context(), accessLevel(f.route), "request", append(f.attrs(),
				slog.Int("status", sw.status), slog.Duration("duration", time.Since(began)))...)
		}()
		next.ServeHTTP(sw, r)
	})
}

// attrs are the facts as log attributes. Paths and queries are not among
// them: people paste secrets into addresses.
func (f *facts) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("request_id", f.id), slog.String("client_ip", f.ip), slog.String("route", f.route)}
	if f.user != "" {
		attrs = append(attrs, slog.String("user", f.user))
	}
	return attrs
}

// accessLevel keeps probes and assets out of the ordinary log.
func accessLevel(route string) slog.Level {
	switch route {
	case "/healthz", "/readyz", "/static/", "/me/session": // the last is asked by pages, not by people
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// named notes which route was taken.
func named(route string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		factsFrom(r.Context()).route = route
		next.ServeHTTP(w, r)
	})
}

// statusWriter remembers what was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// guard turns a panic into a problem page and a log line with its stack.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			s.log.LogAttrs(r.Context(), slog.LevelError, "panic", append(factsFrom(r.Context()).attrs(),
				slog.String("err", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))...)
			if sw, ok := w.(*statusWriter); !ok || sw.status == 0 {
				s.Problem(w, r, errPanic)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// bounded refuses what is too much at a time, at once: what waits costs memory.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.requests <- struct{}{}:
			defer func() { <-s.requests }()
			next.ServeHTTP(w, r)
		default:
			s.Problem(w, r, errCrowded)
		}
	})
}

// rightHost refuses requests for another name: with DNS rebinding or a
// careless proxy they would be answered under an origin that is not ours.
func (s *Server) rightHost(next http.Handler) http.Handler {
	want := canonicalHost(s.public.Host, s.public.Scheme)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if canonicalHost(r.Host, s.public.Scheme) != want {
			s.Problem(w, r, errHost)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// canonicalHost is host in lower case, without the scheme's own port.
func canonicalHost(host, scheme string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// policy is the CSP of every page but the one that posts to a service provider.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headers are on every answer. An asset replaces Cache-Control; the leaving
// page replaces Referrer-Policy, and the posting page the CSP as well.
// Referrer-Policy is not no-referrer: that makes browsers send `Origin: null`
// with our own forms (seen in Chromium).
func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Frame-Options", "DENY")
		if s.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses state changes that another site asks for.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	cop := http.NewCrossOriginProtection()
	if err := cop.AddTrustedOrigin(s.public.Scheme + "://" + s.public.Host); err != nil {
		// Validate accepts only URLs that have an origin.
		panic(fmt.Sprintf("web: public_url has no origin: %v", err))
	}
	cop.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Problem(w, r, errCrossOrigin)
	}))
	return cop.Handler(next)
}

// limitForms bounds bodies, and refuses those that do not say how long they
// are: lenient proxies and servers disagree on where a chunked one ends.
func (s *Server) limitForms(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 {
			w.Header().Set("Connection", "close") // nobody agrees on where the next request begins
			s.Problem(w, r, inbound.ErrLength)
			return
		}
		most := int64(formLimit)
		if r.URL.Path == "/login" {
			most = loginLimit
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

func limit(most int64) middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, most)
			next.ServeHTTP(w, r)
		})
	}
}

// readForm parses the form, or says what is wrong with it.
func readForm(r *http.Request) error {
	err := r.ParseForm()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return inbound.ErrTooLarge
	case err != nil:
		return fmt.Errorf("%w: %w", inbound.ErrForm, err)
	}
	return nil
}
