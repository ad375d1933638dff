package web

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/delegate"
)

// lettingIn remembers which roles a program was let have.
type lettingIn struct {
	Programs
	roles []string
}

func (p *lettingIn) AgreeRole(_ context.Context, _ gatehouse.Session, _ delegate.RoleLogin, account, role, _, _ string) (back, carry string, err error) {
	p.roles = append(p.roles, account+"/"+role)
	return "http://127.0.0.1:34567/oauth/callback?code=c0de", "", nil
}

func (p *lettingIn) Disagree(context.Context, gatehouse.Session, delegate.Authorization, string, string) (string, error) {
	return "http://127.0.0.1:34567/oauth/callback?error=access_denied", nil
}

// awsLogin is what the AWS CLI asks for.
func awsLogin(more ...string) url.Values {
	form := url.Values{"response_type": {"code"}, "client_id": {"arn:aws:signin:::devtools/same-device"}, "redirect_uri": {"http://127.0.0.1:34567/oauth/callback"},
		"state": {"st8"}, "code_challenge_method": {"SHA-256"}, "code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

func TestARoleForAWSLoginIsNamedWhole(t *testing.T) {
	h := newHouse(t, func(_ *Config, d *Deps) { d.Programs = &lettingIn{} })
	h.broker.entitlements[2].Blocked = "It has no tags."
	cookie := h.signIn()
	page := wantStatus(t, h.get("/v1/authorize?"+awsLogin().Encode(), cookie), 200)
	wantContains(t, page, `<li class="red"><label><input type="radio" name="role" value="111122223333/ReadOnly" required> <span><bdi>Payments</bdi> (<bdi>production</bdi>) · ReadOnly <span class="num">1111 2222 3333</span></span></label></li>`)
	wantLacks(t, page, "PowerUser", " checked", "data-filter")
	wantContains(t, wantStatus(t, h.get("/v1/authorize?"+awsLogin("role", "111122223333/Admin").Encode(), cookie), 200), `value="111122223333/Admin" required checked>`)

	h = newHouse(t, func(_ *Config, d *Deps) { d.Programs = &lettingIn{} })
	h.broker.entitlements = h.broker.entitlements[:1]
	page = wantStatus(t, h.get("/v1/authorize?"+awsLogin().Encode(), h.signIn()), 200)
	if strings.Count(page, `name="role"`) != 1 || !strings.Contains(page, "required checked>") {
		t.Error("of one role it is not chosen")
	}
	h = newHouse(t, func(_ *Config, d *Deps) { d.Programs = &lettingIn{} })
	h.broker.entitlements = manyRoles(60)
	wantContains(t, wantStatus(t, h.get("/v1/authorize?"+awsLogin().Encode(), h.signIn()), 200), "data-filter hidden")
}

// The page asks, and so does the server: who posts without it lets nobody in.
func TestAWSLoginIsAskedOnceMoreForRolesThatAskForIt(t *testing.T) {
	door := &lettingIn{}
	h := newHouse(t, func(_ *Config, d *Deps) { d.Programs = door })
	i := slices.IndexFunc(h.broker.entitlements, func(e gatehouse.Entitlement) bool { return e.Role.Name == "Admin" })
	h.broker.entitlements[i].Confirm = true
	cookie := h.signIn()
	form := awsLogin("role", "111122223333/Admin", "answer", "agree")
	page := wantStatus(t, h.post("/v1/authorize", cookie, form), 200)
	wantContains(t, page, "Do you mean this account?", "<bdi>Payments</bdi> · Admin", `<li class="red">`, "production", `action="/v1/authorize"`,
		`name="confirm" value="1"`, `name="role" value="111122223333/Admin"`, `name="state" value="st8"`, `name="answer" value="agree">Agree`, `name="answer" value="decline">Do not agree`)
	wantLacks(t, page, `name="answer" value="agree">`+"\n<input", "c0de")
	for _, confirm := range []string{"", "0", "yes"} {
		form.Set("confirm", confirm)
		wantLacks(t, wantStatus(t, h.post("/v1/authorize", cookie, form), 200), "c0de")
	}
	if len(door.roles) > 0 {
		t.Fatalf("let have %q without the click", door.roles)
	}
	form.Set("confirm", "1")
	form.Set("answer", "decline")
	wantContains(t, wantStatus(t, h.post("/v1/authorize", cookie, form), 200), "error=access_denied")
	form.Set("answer", "agree")
	wantContains(t, wantStatus(t, h.post("/v1/authorize", cookie, form), 200), "code=c0de")
	wantContains(t, wantStatus(t, h.post("/v1/authorize", cookie, awsLogin("role", "111122223333/ReadOnly", "answer", "agree")), 200), "code=c0de")
	if want := []string{"111122223333/Admin", "111122223333/ReadOnly"}; !slices.Equal(door.roles, want) {
		t.Errorf("let have %q, want %q", door.roles, want)
	}
}
