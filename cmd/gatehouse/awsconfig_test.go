package main

import (
	"strings"
	"testing"
)

func TestTheDownloadIsWhatTheCommandWrites(t *testing.T) {
	t.Parallel()
	g := openGate(t)
	b := g.browser(t)
	b.signIn("bob")
	b.get("/me/sessions").want(t, 200, "aws sso login", "gatehouse login "+g.url)
	p := b.get("/me/aws-config")
	if p.status != 200 || !strings.HasPrefix(p.header.Get("Content-Disposition"), "attachment") || !strings.Contains(p.body, "[profile sandbox-poweruser]\nsso_session = gatehouse\nsso_account_id = 444455556666\n") ||
		!strings.Contains(p.body, "endpoint_url = "+g.url+"/oidc\n") || strings.Contains(p.body, "111122223333") {
		t.Errorf("%d %v:\n%s", p.status, p.header, p.body)
	}
	if p = b.get("/me/aws-config?for=process"); !strings.Contains(p.body, "credential_process = gatehouse credential-process 444455556666/PowerUser\n") {
		t.Errorf("for=process:\n%s", p.body)
	}
	if p = g.browser(t).get("/me/aws-config"); p.url.Path != "/login" {
		t.Errorf("a stranger is led to %s", p.url)
	}
}
