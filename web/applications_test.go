package web

import (
	"errors"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/saml"
)

func TestThePortalShowsApplications(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	if body := wantStatus(t, h.get("/", cookie), 200); strings.Contains(body, "Applications") {
		t.Error("without an application there is a heading for them")
	}
	h.broker.applications = []gatehouse.Application{{Name: "<Wiki>", EntityID: "https://wiki.example/sp?a=1&b"}, {Name: "Blog", EntityID: "blog"}}
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "<h2>Applications</h2>", `href="/saml/launch?sp=https%3A%2F%2Fwiki.example%2Fsp%3Fa%3D1%26b" target="_blank" rel="noopener"><bdi>&lt;Wiki&gt;</bdi>`, ">Blog<")
	body := wantStatus(t, h.get("/?q=WIKI", cookie), 200)
	wantContains(t, body, "&lt;Wiki&gt;")
	if strings.Contains(body, ">Blog<") {
		t.Error("the search does not hold for applications")
	}
	h.broker.entitlements = nil
	h.clock = h.clock.Add(heldFor) // the list is kept so long
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), "You have no roles yet", ">Blog<")
}

func TestOnesOwnReleasesAreShown(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	wantContains(t, wantStatus(t, h.get("/me/applications", cookie), 200), "You have no applications")
	wiki := saml.Provider{Name: "<Wiki>", EntityID: "https://wiki.example/sp?a=1&b"}
	h.broker.releases = []access.Release{
		{Provider: wiki, NameID: saml.NameID{Format: saml.NameIDPersistent, Value: "_abc<"}, Attributes: []saml.Attribute{{Name: "groups", Values: []string{"Ops & Co", "<b>"}}}},
		{Provider: saml.Provider{Name: "Vault"}, Err: &gatehouse.Invalid{Field: "mail", Why: "Vault needs your mail address."}},
		{Provider: saml.Provider{Name: "Blog"}, Err: errors.New("goroutine 1 [running]")},
	}
	body := wantStatus(t, h.get("/me/applications", cookie), 200)
	wantContains(t, body, "<bdi>&lt;Wiki&gt;</bdi>", `href="/saml/launch?sp=https%3A%2F%2Fwiki.example%2Fsp%3Fa%3D1%26b"`, "_abc&lt;", "A name that no other application has",
		"<bdi>groups</bdi>", "<bdi>Ops &amp; Co</bdi>", "<bdi>&lt;b&gt;</bdi>", "Vault needs your mail address.", "It is told nothing, and cannot be opened.")
	wantLacks(t, body, "goroutine", "<b>")
	wantStatus(t, h.get("/me/applications", ""), 303)
	h.broker.applications = []gatehouse.Application{{Name: "Blog", EntityID: "blog"}}
	wantContains(t, wantStatus(t, h.get("/", cookie), 200), `<a href="/me/applications">What they are told about you</a>`)
}
