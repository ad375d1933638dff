package cloud

import (
	"bytes"
	"crypto/rand"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed pages/*.html
var pageFiles embed.FS

// pages are the templates, each with the layout.
type pages map[string]*template.Template

func parsePages() (pages, error) {
	all := pages{}
	for _, name := range []string{"console.html", "ended.html", "refusal.html", "chooser.html", "home.html"} {
		t, err := template.ParseFS(pageFiles, "pages/layout.html", "pages/"+name)
		if err != nil {
			return nil, err
		}
		all[name] = t
	}
	return all, nil
}

// show renders a page, whole, before anything is sent.
func (s *Server) show(w http.ResponseWriter, status int, name string, data any) {
	nonce := rand.Text()
	var b bytes.Buffer
	if err := s.pages[name].Execute(&b, map[string]any{"Page": data, "Nonce": nonce}); err != nil {
		s.log.Error("a page could not be rendered", "page", name, "err", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// consolePage is what the console shows.
type consolePage struct {
	Account, AccountID string
	Role, SessionName  string
	ARN                string
	Region, Service    string
	Path, Destination  string
	Expires, Left      string
	SourceIdentity     string
	Chained            bool
	Tags               []consoleTag
	Issuer             string
	Others             []otherSession
}

type consoleTag struct {
	Tag
	Transitive bool
}

type otherSession struct{ ID, Label string }

// endedPage is shown where no session is.
type endedPage struct{ Title, Issuer string }

// serveConsole shows who the browser is signed in as and what it came for.
func (s *Server) serveConsole(w http.ResponseWriter, r *http.Request) {
	now := s.now().UTC()
	shown, others, issuer := s.browsers.current(r, now)
	if shown == nil {
		title := "You are not signed in"
		if issuer != "" {
			title = "Your session has ended"
		}
		s.show(w, http.StatusForbidden, "ended.html", endedPage{Title: title, Issuer: issuer})
		return
	}
	page := s.consolePage(shown, now)
	page.Path = strings.TrimPrefix(r.URL.Path, "/console")
	page.Service, _, _ = strings.Cut(strings.TrimPrefix(page.Path, "/"), "/")
	if region := r.URL.Query().Get("region"); regionName.MatchString(region) {
		page.Region = region
	}
	for _, o := range others {
		page.Others = append(page.Others, otherSession{o.id, s.accountLabel(o.who.Account) + ", " + o.who.Role})
	}
	s.show(w, http.StatusOK, "console.html", page)
}

func (s *Server) consolePage(c *consoleSession, now time.Time) consolePage {
	id := c.who.Account
	page := consolePage{
		Account: id, AccountID: strings.Join([]string{id[:4], id[4:8], id[8:]}, " "),
		Role: c.who.Role, SessionName: c.who.SessionName, ARN: c.who.arn(), Region: "us-east-1",
		Expires: c.expires.Format("2006-01-02 15:04:05 UTC"), Left: left(c.expires.Sub(now)),
		SourceIdentity: c.who.SourceIdentity, Chained: c.who.Chained,
		Destination: c.destination, Issuer: c.issuer,
	}
	if acc := s.accounts[id]; acc != nil && acc.Name != "" {
		page.Account = acc.Name
	}
	for _, t := range c.who.Tags {
		transitive := false
		for _, key := range c.who.Transitive {
			transitive = transitive || key == t.Key
		}
		page.Tags = append(page.Tags, consoleTag{t, transitive})
	}
	return page
}

// left is a duration as people say it.
func left(d time.Duration) string {
	minutes := int(d.Minutes())
	if minutes < 60 {
		return fmt.Sprintf("%d min", minutes)
	}
	return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
}

// serveSwitch shows another of the browser's sessions.
func (s *Server) serveSwitch(w http.ResponseWriter, r *http.Request) {
	s.browsers.choose(r, r.PathValue("id"), s.now().UTC())
	leave(w, r, "/console/home")
}

// serveSeveral lets the browser hold several accounts from now on.
func (s *Server) serveSeveral(w http.ResponseWriter, r *http.Request) {
	s.browsers.allowSeveral(r, s.now().UTC())
	leave(w, r, "/console/home")
}

// refusalPage is AWS's own page for what sign-in refuses.
type refusalPage struct {
	Message string
	Logout  bool // offer AWS's "To logout, click here."
	Issuer  string
}

// showRefusal shows why; what STS said carries the suffix that people know
// from AWS's sign-in page.
func (s *Server) showRefusal(w http.ResponseWriter, q *request, no *refusal) {
	message := no.text(q.id)
	if no.Code != "BadRequest" && no.Code != "AlreadySignedIn" {
		message = fmt.Sprintf("%s (Service: AWSSecurityTokenService; Status Code: %d; Error Code: %s; Request ID: %s; Proxy: null)",
			message, no.Status, no.Code, q.id)
	}
	s.show(w, no.Status, "refusal.html", refusalPage{
		Message: message, Logout: no.Code == "AlreadySignedIn" || message == invalidResponse,
	})
}

// homePage explains the emulator to whoever opens its address.
type homePage struct {
	URL      string
	Accounts []homeAccount
}

type homeAccount struct {
	Label string
	Roles int
}

func (s *Server) serveHome(w http.ResponseWriter) {
	page := homePage{URL: s.URL()}
	for _, a := range s.cfg.Accounts {
		page.Accounts = append(page.Accounts, homeAccount{s.accountLabel(a.ID), len(a.Roles)})
	}
	s.show(w, http.StatusOK, "home.html", page)
}
