package web

import (
	"strings"
	"testing"

	"gatehouse"
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
