package main

import (
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse"
	"gatehouse/internal/demo"
	"gatehouse/internal/store"
)

// granted is what the newest events come to: how many hand-outs, and how many
// refusals for that reason.
func granted(t *testing.T, s *store.Store, reason string) (grants, refusals int) {
	t.Helper()
	events, err := s.Events(t.Context(), gatehouse.EventQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		switch {
		case e.Kind == gatehouse.EventGranted:
			grants++
		case e.Kind == gatehouse.EventRefused && e.Reason == reason:
			refusals++
		}
	}
	return grants, refusals
}

// The console page of a link reaches the hand-out, by whatever way: signed in
// or not, with the role to be chosen first.
func TestTheConsolePageOfALaunchArrives(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	link := "/saml/launch?" + url.Values{"sp": {"urn:amazon:webservices"}, "RelayState": {"https://eu-north-1.console.aws.amazon.com/s3/buckets?prefix=logs"}}.Encode()
	const arrives = "eu-north-1.console.aws.amazon.com/s3/buckets?prefix=logs"
	follow := func(b *browser, p page) {
		t.Helper()
		p.want(t, 200, "Which role?", "eu-north-1.console.aws.amazon.com/s3/buckets")
		role := b.get(p.find(t, `<a [^>]*href="(/roles/[^"]*destination=[^"]*)"`))
		role.want(t, 200)
		if got := role.find(t, `name="destination"[^>]* value="([^"]*)"`); got != "https://"+arrives {
			t.Errorf("the role's page would open %q", got)
		}
	}
	b := g.browser(t)
	login := b.get(link)
	follow(b, b.post("/login", "username", "bob", "password", demo.Password, "next", login.find(t, `name="next"[^>]* value="([^"]*)"`)))
	follow(b, b.get(link))
	if grants, _ := granted(t, record(t, g.cfg, nil), ""); grants != 0 {
		t.Errorf("the link alone had %d grants", grants)
	}
}

// Whoever loads the page again, or presses Back, brings the same request: it
// opens nothing, and the page says how to go on.
func TestARequestThatComesAgainLeadsOn(t *testing.T) {
	t.Parallel()
	const app = "https://wiki.example"
	g := openApplications(t, `{mail: "{mail}"}`, map[string]string{"Wiki": metadataOf(app, "")})
	b := g.browser(t)
	b.signIn("bob")
	ask := func() string { return "/saml/sso?SAMLRequest=" + freshRequest(app, g.url+"/saml/sso") }
	path := ask()
	if p := b.get(path); p.status != 200 || !strings.Contains(p.body, `name="SAMLResponse"`) {
		t.Fatalf("%d\n%s", p.status, p.text())
	}
	for range 2 {
		p := b.get(path)
		p.want(t, 409, "This sign-in was answered already.", "Open the application again")
		if p.find(t, `<a [^>]*href="([^"]*)"[^>]*>See what you may open`) != "/" || strings.Contains(p.body, "SAMLResponse") {
			t.Errorf("it leads nowhere:\n%s", p.body)
		}
	}
	b.get("/").want(t, 200, "Wiki")
	record := record(t, g.cfg, nil)
	if grants, refusals := granted(t, record, "answered_before"); grants != 1 || refusals != 2 {
		t.Errorf("%d grants and %d refusals on the record, want 1 and 2", grants, refusals)
	}
	b.get("/me/history").want(t, 200, "the application's request was answered already")

	path = ask()
	var all sync.WaitGroup
	var answers atomic.Int64
	for range 8 {
		all.Go(func() {
			if strings.Contains(b.get(path).body, `name="SAMLResponse"`) {
				answers.Add(1)
			}
		})
	}
	all.Wait()
	if grants, _ := granted(t, record, ""); answers.Load() != 1 || grants != 2 {
		t.Errorf("eight at once had %d answers, and %d grants are on the record, want 1 and 2", answers.Load(), grants)
	}
}
