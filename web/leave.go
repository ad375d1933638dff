package web

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"

	"gatehouse/internal/access"
)

// Browsers apply the form page's form-action to every hop that a form
// starts: answered with a redirect to AWS, a form of ours silently does
// nothing (seen in Chromium). So every departure is a page of its own, with
// status 200, that moves on by itself without script and in a new tab, unless
// there is something to read first.

// leaving is the page that leads off our origin.
type leaving struct {
	frame
	URL     string // where to; a bearer secret when it is the console
	To      string // what is there, in words
	Lowered string // a sentence when less was granted than asked for
}

// leave sends the browser to target, an https URL of AWS, a loopback one in
// tests and the demo. With lowered the page waits for the person, since
// nobody can say how long they read (WCAG 2.2, 2.2.1).
func (s *Server) leave(w http.ResponseWriter, r *http.Request, target, to, lowered string) error {
	p := leaving{frame: s.frame(nil, ""), URL: target, To: to, Lowered: lowered}
	p.Narrow = true
	w.Header().Set("Referrer-Policy", "no-referrer")
	return s.render(w, http.StatusOK, "leave.html", p)
}

// posting is the page that posts a SAML Response. AnswerHere, where it is set,
// holds the place of what is in the form.
type posting struct {
	frame
	URL, Host, SAMLResponse, RelayState string

	AnswerHere string
}

// answerHere is where the answer goes in the page. Nobody can write it into a
// URL: it is made anew by each process.
var answerHere = "answer" + rand.Text()

// Post answers with the page that posts p to its service provider: by a
// small module, or by its button.
func (s *Server) Post(w http.ResponseWriter, r *http.Request, p access.Post) error {
	u, err := url.Parse(p.URL)
	if err != nil {
		return err
	}
	page := posting{frame: s.frame(nil, "post.js"), URL: p.URL, Host: u.Host,
		SAMLResponse: string(p.SAMLResponse), RelayState: p.RelayState}
	page.Narrow = true
	around, err := s.keptAround(page)
	if err != nil {
		return err
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Content-Security-Policy", postingPolicy(u))
	return s.buffered(w, http.StatusOK, func(b *bytes.Buffer) error {
		b.Write(around.before)
		err := s.pages.Part(b, "post.html", "answer", page)
		b.Write(around.after)
		return err
	})
}

// around is a page without what goes into its form.
type around struct{ before, after []byte }

// keptAround is what a page has around its answer, made once for each provider
// that is posted to.
func (s *Server) keptAround(page posting) (*around, error) {
	key := keyOf([]byte("post"), []byte(page.URL))
	if kept, ok := s.kitchen.get(key).(*around); ok {
		return kept, nil
	}
	page.AnswerHere = answerHere
	var b bytes.Buffer
	if err := s.pages.Execute(&b, "post.html", page); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	before, after, _ := bytes.Cut(b.Bytes(), []byte(answerHere))
	made := &around{before, after}
	s.kitchen.put(key, b.Cap(), made)
	return made, nil
}

// postingPolicy lets the form go to any https address, since the provider's
// own redirects count too, and to the exact origin of a provider on loopback.
// Where it goes is settled by registered metadata, not by this header.
func postingPolicy(target *url.URL) string {
	to := "https:"
	if target.Scheme == "http" && isLoopback(target.Hostname()) {
		to += " http://" + target.Host
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action " + to +
		"; base-uri 'none'; frame-ancestors 'none'"
}
