package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse"
)

// frame is what every page's struct begins with.
type frame struct {
	Product  string  // name of this installation
	Logo     string  // where its picture is; empty: our own mark
	Support  support // whom to ask
	Notice   string  // the operator's line
	Person   *person // who is signed in; nil: the page has no header
	Ends     ends    // when their session does
	Query    string  // what the search box holds
	SearchAt string  // which page it searches
	Script   string  // the page's own module; empty: none
	Narrow   bool    // one small card in the middle
}

// person is the person menu.
type person struct{ Name, Username, Directory string }

// support is whom to ask, as a link where it is one.
type support struct{ Text, Href string }

// frame begins a page. v may be nil: nobody is signed in.
func (s *Server) frame(v *visit, script string) frame {
	f := frame{Product: s.cfg.Portal.Name, Support: supportFrom(s.cfg.Portal.Support), Notice: s.cfg.Portal.Notice, SearchAt: "/", Script: script}
	if s.logo != nil {
		f.Logo = s.logo.path
	}
	if v != nil {
		u := v.Session.User
		f.Person, f.Ends = &person{Name: displayName(u), Username: u.Username, Directory: u.Directory}, s.ends(v)
	}
	return f
}

// displayName is what to call somebody.
func displayName(u gatehouse.User) string {
	if u.DisplayName != "" {
		return u.DisplayName
	}
	return u.Username
}

func supportFrom(text string) support {
	if strings.HasPrefix(text, "https://") && !strings.ContainsAny(text, " \t") {
		return support{Text: strings.TrimPrefix(text, "https://"), Href: text}
	}
	if a, err := mail.ParseAddress(text); err == nil && a.Address == text {
		return support{Text: text, Href: "mailto:" + text}
	}
	return support{Text: text}
}

// moment is a point in time on a page: in UTC as served, and in the reader's
// own time once the page's module has run.
type moment struct{ ISO, Text, Day string }

func momentOf(t time.Time) moment {
	t = t.UTC()
	return moment{ISO: t.Format(time.RFC3339), Text: t.Format("15:04") + " UTC", Day: t.Format("2 Jan 2006")}
}

// page is a handler that leaves its failure to serve.
type page func(w http.ResponseWriter, r *http.Request) error

// serve runs p. Whatever p returns is shown to the person and logged once.
func (s *Server) serve(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p(w, r); err != nil {
			s.Problem(w, r, err)
		}
	})
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// largestKept keeps one huge page from holding its memory for ever.
const largestKept = 1 << 20

// render writes a page whole: the status goes out only once there is a body
// for it.
func (s *Server) render(w http.ResponseWriter, status int, name string, data any) error {
	return s.buffered(w, status, func(b *bytes.Buffer) error { return s.pages.Execute(b, name, data) })
}

// buffered is render for a page that fill makes.
func (s *Server) buffered(w http.ResponseWriter, status int, fill func(b *bytes.Buffer) error) error {
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= largestKept {
			buffers.Put(b)
		}
	}()
	b.Reset()
	if err := fill(b); err != nil {
		return fmt.Errorf("render: %w", err)
	}
	write(w, status, "text/html; charset=utf-8", b.Bytes())
	return nil
}

// write sends a whole answer. A client that went away is nobody to tell.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// writeJSON answers our own modules and health probes.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("json: %w", err)
	}
	write(w, status, "application/json", append(body, '\n'))
	return nil
}

// wantsJSON reports whether our own module asks. A form of another site
// cannot set the header.
func wantsJSON(r *http.Request) bool { return r.Header.Get("Accept") == "application/json" }

// note logs what did not stop the request.
func (s *Server) note(r *http.Request, what string, err error) {
	s.log.LogAttrs(r.Context(), slog.LevelWarn, what, append(factsFrom(r.Context()).attrs(), slog.Any("err", err))...)
}
