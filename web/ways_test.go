package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

func asJSON(r *http.Request) *http.Request {
	r.Header.Set("Accept", "application/json")
	return r
}

func TestProductionIsConfirmedWhereARuleAsks(t *testing.T) {
	h := newHouse(t)
	h.broker.entitlements[1].Confirm = true
	cookie := h.signIn()
	form := url.Values{"as": {"console"}, "duration": {"3600"}, "scope": {"read-only"}, "destination": {`https://console.aws.amazon.com/s3?a="b"`}}
	page := wantStatus(t, h.post(readOnly, cookie, form), 200)
	wantContains(t, page, "Do you mean this account?", "<bdi>Payments</bdi> · ReadOnly", "production", `action="/roles/111122223333/ReadOnly"`,
		`name="as" value="console"`, `name="scope" value="read-only"`, `value="https://console.aws.amazon.com/s3?a=&#34;b&#34;"`, `name="confirm" value="1"`)
	wantContains(t, wantStatus(t, h.do(asJSON(request("POST", readOnly, cookie, form))), 400), "Tick the box")
	form.Set("as", "pickup")
	form.Set("line", "bash")
	wantContains(t, wantStatus(t, h.post(readOnly, cookie, form), 200), "Do you mean this account?")
	if len(h.broker.asks) > 0 {
		t.Fatalf("%d hand-outs without the click", len(h.broker.asks))
	}
	form.Set("confirm", "1")
	form.Set("as", "console")
	wantContains(t, wantStatus(t, h.post(readOnly, cookie, form), 200), "Opening the AWS console")
	if a := h.broker.asks[0]; a.Scope != "read-only" || a.Duration != time.Hour || a.Destination != form.Get("destination") {
		t.Errorf("asked for %+v", a)
	}
	wantStatus(t, h.post("/roles/111122223333/Admin", cookie, url.Values{"as": {"console"}}), 200) // its rule does not ask
	wantContains(t, wantStatus(t, h.get(readOnly, cookie), 200), `name="confirm" value="1" required`)
}

func TestTheSameClickHandsOutOnce(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	post := func(once, as string) int {
		return h.post(readOnly, cookie, url.Values{"as": {as}, "once": {once}}).StatusCode
	}
	const page, script = "p-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "c-0123456789abcdef0123456789abcdef"
	steps := []struct {
		name, once, as string
		later          time.Duration
		want           int
	}{
		{"a click", page, "console", 0, 200},
		{"its double", page, "console", 0, 409},
		{"another form from the same page", page, "bash", 0, 200},
		{"the same on purpose, later", page, "console", doubleClick, 200},
		{"a click by script", script, "console", 0, 200},
		{"its reload, long after", script, "console", 50 * time.Minute, 409},
		{"what no page of ours names passes", "x", "console", 0, 200},
		{"and again", "x", "console", 0, 200},
	}
	for _, step := range steps {
		h.clock = h.clock.Add(step.later)
		if got := post(step.once, step.as); got != step.want {
			t.Errorf("%s answered %d, want %d", step.name, got, step.want)
		}
	}
	h.broker.grantErr = &gatehouse.Refusal{Code: "Throttling"}
	const failed = "c-ffffffffffffffffffffffffffffffff"
	if got := post(failed, "bash"); got != 502 {
		t.Errorf("answered %d", got)
	}
	h.broker.grantErr = nil
	if got := post(failed, "bash"); got != 200 {
		t.Errorf("what failed cannot be tried again: %d", got)
	}
	h.records.deny = &gatehouse.Unavailable{What: "store"}
	if got := post("c-eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "bash"); got != 503 {
		t.Errorf("without a store that tells clicks apart: %d", got)
	}
}

func TestASignInAddressToCopy(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	page := wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"link"}}), 200)
	wantContains(t, page, "https://signin.aws.amazon.com/federation?Action=login&amp;SigninToken=t0k%2Ben", "until <time datetime=\"2026-11-21T09:45:00Z\">", "like a password")
	wantLacks(t, page, "http-equiv=\"refresh\"")
	wantContains(t, wantStatus(t, h.do(asJSON(request("POST", readOnly, cookie, url.Values{"as": {"link"}}))), 200), `"until":"2026-11-21T09:45:00Z"`)
	if h.broker.asks[0].Form != gatehouse.FormConsole {
		t.Errorf("asked for %+v", h.broker.asks[0])
	}
}

func TestAScopeIsNamedEverywhere(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	text := wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"ini"}, "scope": {"read-only"}}), 200)
	wantContains(t, text, "[payments-readonly-read-only]", "limited to read-only,")
	wantContains(t, wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"ini"}, "scope": {"read-only"}, "profile": {"mine"}}), 200), "[mine-read-only]")
	for _, tt := range []struct{ profile, scope, want string }{
		{"p", "", "p"}, {"p", "logs", "p-logs"}, {"p-logs", "logs", "p-logs"}, {strings.Repeat("p", 64), "logs", strings.Repeat("p", 59) + "-logs"},
	} {
		if got := scoped(tt.profile, tt.scope); got != tt.want {
			t.Errorf("scoped(%q, %q) = %q, want %q", tt.profile, tt.scope, got, tt.want)
		}
	}
}

func TestWhatWasNamedByHandIsThereNextTime(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"ini"}, "profile": {"payments-readonly"}, "region": {"eu-west-1"}}), 200)
	wantContains(t, wantStatus(t, h.get(readOnly, cookie), 200), `name="profile" value="payments-readonly"`, `name="region" value="eu-west-1"`)
	wantLacks(t, string(h.people.rows["corp/0001"][usesKey]), "payments-readonly", "eu-west-1")
	wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"ini"}, "profile": {"mine"}, "region": {"us-east-1"}}), 200)
	page := wantStatus(t, h.get(readOnly, cookie), 200)
	wantContains(t, page, `name="profile" value="mine"`, `name="region" value="us-east-1"`)
	wantContains(t, wantStatus(t, h.get(readOnly+"?region=eu-north-1", cookie), 200), `name="region" value="eu-north-1"`)
}

func TestTheRealCapIsSaid(t *testing.T) {
	h := newHouse(t)
	h.broker.known = time.Hour
	page := wantStatus(t, h.get(readOnly, h.signIn()), 200)
	wantContains(t, page, "AWS allows this role 1 hour, as it said the last time.", `<option value="3600" selected>`)
	wantLacks(t, page, `value="7200"`)
}

var pickedUp = regexp.MustCompile(`code=([A-Z2-7]+)`)

// line asks for a pickup line and returns its code.
func (h *house) line(cookie string, form url.Values) string {
	h.t.Helper()
	var told struct{ Line, Until string }
	if err := json.Unmarshal([]byte(wantStatus(h.t, h.do(asJSON(request("POST", readOnly, cookie, form))), 200)), &told); err != nil || told.Until == "" {
		h.t.Fatalf("told %+v, %v", told, err)
	}
	return pickedUp.FindStringSubmatch(told.Line)[1]
}

func TestPickup(t *testing.T) {
	bash := url.Values{"as": {"pickup"}, "line": {"bash"}, "duration": {"900"}, "scope": {"read-only"}, "profile": {"mine"}}
	t.Run("brings the keys once, asked for when they are fetched", func(t *testing.T) {
		h := newHouse(t)
		code := h.line(h.signIn(), bash)
		if len(h.broker.asks) > 0 {
			t.Fatal("keys were made before anybody fetched them")
		}
		for k, r := range h.records.rows {
			if strings.Contains(k+string(r.body), "wJalr") || strings.Contains(k+string(r.body), code) {
				t.Error("a key, or the code, is in the store")
			}
		}
		fetch := func() string {
			return wantStatus(t, h.post("/pickup", "", url.Values{"as": {"bash"}, "code": {code}}), 200)
		}
		wantContains(t, fetch(), "export AWS_SECRET_ACCESS_KEY='wJalr", "limited to read-only")
		if a := h.broker.asks[0]; a.Account != "111122223333" || a.Role != "ReadOnly" || a.Scope != "read-only" || a.Duration != 15*time.Minute || a.Form != "bash" || a.IP == "" {
			t.Errorf("asked for %+v", a)
		}
		wantContains(t, fetch(), "echo 'gatehouse: This line was used or is over.", ">&2; false")
		wantContains(t, string(h.people.rows["corp/0001"][usesKey]), "111122223333/ReadOnly")
	})
	refused := []struct {
		name   string
		change func(h *house, cookie string, r *http.Request, form url.Values)
		want   string
	}{
		{"not after a minute", func(h *house, _ string, _ *http.Request, _ url.Values) { h.clock = h.clock.Add(pickupTime) }, "used or is over"},
		{"not from another address", func(_ *house, _ string, r *http.Request, _ url.Values) { r.RemoteAddr = "198.51.100.9:1" }, "used or is over"},
		{"not in another form", func(_ *house, _ string, _ *http.Request, form url.Values) { form.Set("as", "fish") }, "used or is over"},
		{"not after a sign-out", func(h *house, cookie string, _ *http.Request, _ url.Values) { h.post("/logout", cookie, url.Values{}) }, "You are signed out."},
		{"not after an administrator ended everything", func(h *house, _ string, _ *http.Request, _ url.Values) {
			_, _ = h.records.ForgetOwner(t.Context(), "", "corp/0001")
		}, "used or is over"},
		{"not when the sign-in has run out", func(h *house, _ string, _ *http.Request, _ url.Values) {
			h.server.sessions.limits.Idle = time.Nanosecond
			h.clock = h.clock.Add(time.Second)
		}, "You are signed out."},
		{"not when the role is gone", func(h *house, _ string, _ *http.Request, _ url.Values) { h.broker.entitlements = nil }, "You do not have this role."},
		{"not when AWS refuses, whose words stay text", func(h *house, _ string, _ *http.Request, _ url.Values) {
			h.broker.grantErr = &gatehouse.Refusal{Service: "STS", Code: "X", Cause: "'; rm -rf / #"}
		}, "AWS refused."},
		{"not for a code that nobody made", func(_ *house, _ string, _ *http.Request, form url.Values) {
			form.Set("code", strings.Repeat("A", 26))
		}, "used or is over"},
		{"not for what is no code", func(_ *house, _ string, _ *http.Request, form url.Values) { form.Set("code", "$(id)") }, "used or is over"},
	}
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			cookie := h.signIn()
			form := url.Values{"as": {"bash"}, "code": {h.line(cookie, bash)}}
			r := request("POST", "/pickup", "", nil)
			tt.change(h, cookie, r, form)
			next := request("POST", "/pickup", "", form)
			next.RemoteAddr = r.RemoteAddr
			res := h.do(next)
			said := wantStatus(t, res, 200)
			if !regexp.MustCompile(`^echo 'gatehouse: [A-Za-z0-9 .,:/-]+' >&2; false\n$`).MatchString(said) || !strings.Contains(said, tt.want) {
				t.Errorf("said %q, want %q", said, tt.want)
			}
			if res.Header.Get("X-Gatehouse-Status") == "" || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("headers %v", res.Header)
			}
		})
	}
	t.Run("a file is not answered with what it would hold: a script replaces the section", func(t *testing.T) {
		h := newHouse(t)
		file := url.Values{"as": {"pickup"}, "line": {"ini"}, "profile": {"mine"}}
		cookie := h.signIn()
		form := url.Values{"as": {"file"}, "code": {h.line(cookie, file)}}
		wantContains(t, wantStatus(t, h.post("/pickup", "", form), 200), "umask 077\n", "\n[mine]\naws_access_key_id = ASIA", `echo "gatehouse: wrote mine to $file"`)
		wantContains(t, wantStatus(t, h.post("/pickup", "", form), 200), "echo 'gatehouse: This line was used or is over.", ">&2; false")
		form = url.Values{"as": {"ini"}, "code": {h.line(cookie, file)}}
		wantContains(t, wantStatus(t, h.post("/pickup", "", form), 410), "gatehouse: This line was used")
		wantContains(t, wantStatus(t, h.post(readOnly, cookie, file), 200), "sh -c &#39;eval", "in place of an older one of that name")
	})
	t.Run("who asks for nothing that a line asks for gets a status", func(t *testing.T) {
		h := newHouse(t)
		wantStatus(t, h.post("/pickup", "", url.Values{"code": {"x"}}), 410)
	})
	t.Run("no other site may fetch it in a browser", func(t *testing.T) {
		h := newHouse(t)
		r := request("POST", "/pickup", "", url.Values{"as": {"bash"}, "code": {h.line(h.signIn(), bash)}})
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		wantStatus(t, h.do(r), 403)
		if len(h.broker.asks) > 0 {
			t.Error("it was handed out")
		}
	})
	t.Run("without script there is a page with the line", func(t *testing.T) {
		h := newHouse(t)
		cookie := h.signIn()
		wantContains(t, wantStatus(t, h.post(readOnly, cookie, bash), 200), "eval &#34;$(curl -fsS", "/pickup&#39; || echo false)&#34;</textarea>")
		wantStatus(t, h.post(readOnly, cookie, url.Values{"as": {"pickup"}, "line": {"console"}}), 400)
		wantStatus(t, h.post("/roles/111122223333/Other", cookie, bash), 403)
	})
}

func TestSeveralRolesInOneFile(t *testing.T) {
	h := newHouse(t)
	h.broker.entitlements = manyRoles(60)
	cookie := h.signIn()
	wantContains(t, wantStatus(t, h.get("/several", cookie), 200), `name="role" value="100000000000/ReadOnly"`, `action="/several"`)
	wantLacks(t, wantStatus(t, h.get("/several?q=team+003+admin", cookie), 200), "100000000003/ReadOnly", "100000000004/")
	form := url.Values{"as": {"ini"}, "duration": {"900"}, "scope": {"read-only"}, "role": {"100000000000/Admin", "100000000001/ReadOnly", "100000000000/Admin"}}
	res := h.post("/several", cookie, form)
	file := wantStatus(t, res, 200)
	wantContains(t, file, "[team-000-admin-read-only]\naws_access_key_id", "[team-001-readonly-read-only]\n")
	if strings.Count(file, "aws_access_key_id") != 2 || len(h.broker.asks) != 2 || res.Header.Get("Content-Disposition") != "attachment; filename=credentials.ini" {
		t.Errorf("%d asks, headers %v:\n%s", len(h.broker.asks), res.Header, file)
	}
	if a := h.broker.asks[0]; a.Duration != 15*time.Minute || a.Scope != "read-only" || a.Form != gatehouse.FormINI {
		t.Errorf("asked for %+v", a)
	}

	h.broker.asks = nil
	var many []string
	for _, e := range h.broker.entitlements[:mostAtOnce+1] {
		many = append(many, e.Account.ID+"/"+e.Role.Name)
	}
	refused := []struct {
		name   string
		form   url.Values
		status int
		want   string
	}{
		{"nothing ticked", url.Values{"as": {"ini"}}, 400, "Tick at least one role."},
		{"too many ticked, and what was ticked stays so", url.Values{"as": {"ini"}, "role": many}, 400, `value="` + many[3] + `" checked`},
		{"a region that is none, likewise", url.Values{"as": {"ini"}, "role": many[:1], "region": {"nowhere"}}, 400, `value="` + many[0] + `" checked`},
		{"a role that is not held", url.Values{"as": {"ini"}, "role": {many[0], "999999999999/Admin"}}, 403, "You do not have this role."},
		{"what is no role", url.Values{"as": {"ini"}, "role": {"<script>"}}, 403, "You do not have this role."},
	}
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			wantContains(t, wantStatus(t, h.post("/several", cookie, tt.form), tt.status), tt.want)
			if len(h.broker.asks) > 0 {
				t.Error("something was handed out all the same")
			}
		})
	}
	t.Run("a sign-in that ended meanwhile leads back with what was ticked", func(t *testing.T) {
		res := h.post("/several", "", url.Values{"as": {"ini"}, "role": many[:2], "scope": {"read-only"}})
		wantStatus(t, res, 303)
		back, err := url.Parse(res.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		page := wantStatus(t, h.get(back.Query().Get("next"), cookie), 200)
		wantContains(t, page, `value="`+many[0]+`" checked`, `value="`+many[1]+`" checked`, `<option value="read-only" selected>`)
	})
	t.Run("production among them asks for the click more", func(t *testing.T) {
		h.broker.entitlements[0].Confirm = true
		h.clock = h.clock.Add(heldFor)
		form := url.Values{"as": {"ini"}, "role": many[:2]}
		page := wantStatus(t, h.post("/several", cookie, form), 200)
		wantContains(t, page, "Do you mean this account?", "Team 000", `name="role" value="`+many[1]+`"`)
		form.Set("confirm", "1")
		wantContains(t, wantStatus(t, h.post("/several", cookie, form), 200), "aws_session_token")
	})
}

func TestOfSeveralRolesTheOnesThatFailDoNotKeepTheOthersBack(t *testing.T) {
	h := newHouse(t)
	cookie := h.signIn()
	h.broker.refuse = map[string]error{"Admin": &gatehouse.Refusal{Service: "STS", Code: "AccessDenied", Cause: "The role\n[evil]\nsays no."}}
	form := url.Values{"as": {"ini"}, "role": {"111122223333/Admin", "111122223333/ReadOnly"}}
	res := h.post("/several", cookie, form)
	file := wantStatus(t, res, 200)
	if !regexp.MustCompile(`(?m)^# gatehouse: no keys for payments-admin\. AWS refused\. The role evil says no\. Reference [A-Z2-7]{16}$`).MatchString(file) {
		t.Errorf("the file says\n%s", file)
	}
	wantContains(t, file, "[payments-readonly]")
	wantLacks(t, file, "[evil]")
	if res.Header.Get("X-Gatehouse-Refused") != "1" {
		t.Errorf("headers %v", res.Header)
	}
	form["role"] = form["role"][:1]
	wantContains(t, wantStatus(t, h.post("/several", cookie, form), 502), "AWS refused.")
}

func TestSharedLinks(t *testing.T) {
	const s3 = "https%3A%2F%2Feu-central-1.console.aws.amazon.com%2Fs3%2Fhome"
	tests := []struct{ name, link, want string }{
		{"a role of an account by its number", "/go/111122223333/readonly", "/roles/111122223333/ReadOnly"},
		{"by its name", "/go/payments/Admin", "/roles/111122223333/Admin"},
		{"by the beginning of its name", "/go/data/Analyst", "/roles/222233334444/Analyst"},
		{"without a role: the least privileged one", "/go/payments", "/roles/111122223333/ReadOnly"},
		{"the names of AWS's own portal", "/go?account_id=111122223333&role_name=Admin&destination=" + s3, "/roles/111122223333/Admin?destination=" + s3 + "&region=eu-central-1"},
		{"without its role_name", "/go?account_id=111122223333", "/roles/111122223333/ReadOnly"},
		{"a number as people write it", "/go?account=1111+2222+3333", "/roles/111122223333/ReadOnly"},
		{"a console's address that names the account", "/go?url=https%3A%2F%2F444455556666-abc123.eu-west-2.console.aws.amazon.com%2Fec2%2Fhome%23Instances", "/roles/444455556666/PowerUser?destination=https%3A%2F%2F444455556666-abc123.eu-west-2.console.aws.amazon.com%2Fec2%2Fhome%23Instances&region=eu-west-2"},
		{"a region in the address's query", "/go/payments?url=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3%3Fregion%3Dus-west-2", "/roles/111122223333/ReadOnly?destination=https%3A%2F%2Fconsole.aws.amazon.com%2Fs3%3Fregion%3Dus-west-2&region=us-west-2"},
		{"a service by its name", "/go/payments?destination=s3&duration=900&scope=read-only", "/roles/111122223333/ReadOnly?destination=s3&duration=900&scope=read-only"},
		{"what is no address is dropped", "/go/payments?destination=javascript:alert(1)", "/roles/111122223333/ReadOnly"},
	}
	h := newHouse(t)
	h.broker.entitlements = append(h.broker.entitlements, entitlement("222233334444", "Data lake", "prod", "", "Analyst"))
	h.broker.accounts = []gatehouse.Account{{ID: "333344445555", Name: "Identity", Environment: "prod", Owner: "iam-team"}, {ID: "555566667777", Name: "Twin"}, {ID: "666677778888", Name: "twin"}}
	cookie := h.signIn()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := h.get(tt.link, cookie)
			wantStatus(t, res, 303)
			if got := res.Header.Get("Location"); got != tt.want {
				t.Errorf("%s led to\n%s, want\n%s", tt.link, got, tt.want)
			}
		})
	}
	asks := []struct {
		name, link string
		status     int
		want       []string
	}{
		{"no account: all roles, with the page that waits", "/go?url=" + s3, 200, []string{"Which role?", "eu-central-1.console.aws.amazon.com/s3/home", `href="/roles/444455556666/PowerUser?destination=` + s3}},
		{"a role that is not held there: those that are", "/go/111122223333/Owner?destination=s3", 403, []string{"You do not have <bdi>Owner</bdi> in <bdi>Payments</bdi>.", `href="/roles/111122223333/Admin?destination=s3"`, `href="/why/111122223333/Owner"`}},
		{"no account, and a page that is none of AWS's: left out, and said", "/go?url=https%3A%2F%2Fexample.org%2F", 200, []string{"Which role?", "so it was left out", `href="/roles/444455556666/PowerUser"`}},
		{"a page that only looks like AWS's", "/go?url=https%3A%2F%2Fconsole.aws.amazon.com.example.org%2F", 200, []string{"so it was left out", `href="/roles/444455556666/PowerUser"`}},
		{"on the role's page", "/roles/111122223333/ReadOnly?destination=https%3A%2F%2Fexample.org%2F", 200, []string{"is no page of this account's AWS console, so it was left out", `name="destination" value=""`}},
		{"a page of another account's", "/roles/111122223333/ReadOnly?destination=https%3A%2F%2F444455556666-abc123.eu-west-2.console.aws.amazon.com%2F", 200, []string{"so it was left out", `name="destination" value=""`}},
		{"what is no address", "/roles/111122223333/ReadOnly?destination=javascript:alert(1)", 200, []string{"so it was left out", `name="destination" value=""`}},
		{"an account without a role: how to ask", "/go/999999999999/Admin", 403, []string{"You have no role in this account.", `href="/why/999999999999/Admin"`}},
		{"the same by the account's name", "/go/payments/Owner", 403, []string{"in <bdi>Payments</bdi>.", `href="/why/111122223333/Owner"`}},
		{"a role that is held nowhere", "/go?role=Owner", 403, []string{"You do not have <bdi>Owner</bdi> in any of these accounts.", "your platform team"}},
		{"an account without a role by its name: how to ask", "/go/identity/Admin", 403, []string{"<strong><bdi>Identity</bdi> · <bdi>Admin</bdi></strong>", `href="/why/333344445555/Admin?account=identity"`}},
		{"the whole account", "/go/identity", 403, []string{"<strong><bdi>Identity</bdi></strong>", `href="/why/333344445555?account=identity"`}},
		{"a number stays one", "/go/333344445555/Admin", 403, []string{"<strong><bdi>3333 4444 5555</bdi> · <bdi>Admin</bdi></strong>", `href="/why/333344445555/Admin"`}},
		{"the beginning of a name that is not theirs finds nothing", "/go/ident/Admin", 403, []string{"<strong><bdi>ident</bdi> · <bdi>Admin</bdi></strong>", "your platform team"}},
		{"nor does a name that several have", "/go/twin/Admin", 403, []string{"<strong><bdi>twin</bdi> · <bdi>Admin</bdi></strong>", "your platform team"}},
		{"an account's name that is unknown", "/go/nowhere", 403, []string{"You have no role in this account.", "your platform team"}},
	}
	for _, tt := range asks {
		t.Run(tt.name, func(t *testing.T) {
			page := wantStatus(t, h.get(tt.link, cookie), tt.status)
			wantContains(t, page, tt.want...)
			wantLacks(t, page, "example.org", "javascript:")
		})
	}
	if len(h.broker.asks) > 0 {
		t.Error("a link handed something out")
	}
	for path, want := range map[string]string{"/start": "/", "/start?account_id=111122223333&role_name=Admin": "/go?account_id=111122223333&role_name=Admin"} {
		if got := h.get(path, "").Header.Get("Location"); got != want {
			t.Errorf("%s led to %q, want %q", path, got, want)
		}
	}
	wantContains(t, body(t, h.get("/go/payments/%3Cscript%3E?account=%3Cb%3E", cookie)), "&lt;script&gt;")
}

// Who came by an account's name asks for it by that name; what else is known of
// the account stays with those who have a role there.
func TestWhyNotInAnAccountThatIsKnownByName(t *testing.T) {
	h := newHouse(t)
	h.broker.accounts = []gatehouse.Account{{ID: "333344445555", Name: "Identity", Environment: "prod", Owner: "iam-team"}}
	cookie := h.signIn()
	page := wantStatus(t, h.get("/why/333344445555/Admin?account=identity", cookie), 200)
	wantContains(t, page, "Why you do not have Admin in <bdi>Identity</bdi>", "Please give me Admin in the AWS account 3333 4444 5555 (Identity).")
	wantLacks(t, page, "iam-team", "production")
	for _, path := range []string{"/why/333344445555/Admin", "/why/333344445555/Admin?account=ident", "/why/999999999999/Admin?account=identity"} {
		wantLacks(t, wantStatus(t, h.get(path, cookie), 200), "Identity")
	}
}

func TestWhy(t *testing.T) {
	h := newHouse(t)
	h.broker.entitlements[0].Via = []gatehouse.Via{{Rule: 2, Group: gatehouse.Group{DN: "CN=<b>Admins</b>", Via: []string{"CN=Team"}}}}
	h.broker.entitlements[0].Tags = []gatehouse.Tag{{Key: "department", Value: "Engineering"}}
	h.broker.explanation = access.Explanation{Misses: []access.Miss{{Rule: 1, Group: gatehouse.Group{DN: "CN=Near"}, Why: "it does not live under OU=AWS"}},
		Would: []access.Would{{Rule: 1, To: "members of a group named AWS-111122223333-Owner"}}}
	cookie := h.signIn()
	page := wantStatus(t, h.get("/why/111122223333/Admin", cookie), 200)
	wantContains(t, page, "Why you have Admin in <bdi>Payments</bdi>", "Rule 2 gives it", "CN=&lt;b&gt;Admins", "through <code>CN=Team</code>", "4 hours at most", "department as Engineering")
	wantLacks(t, page, "A text to send")
	page = wantStatus(t, h.get("/why/111122223333/Owner", cookie), 200)
	wantContains(t, page, "Why you do not have Owner in <bdi>Payments</bdi>", "CN=Near", "it does not live under OU=AWS", "members of a group named AWS-111122223333-Owner",
		"Please give me Owner in the AWS account 1111 2222 3333 (Payments).\nI am Alice Ng, alice in the directory corp.")
	wantContains(t, wantStatus(t, h.get("/why/999999999999", cookie), 200), "Please give me a role in the AWS account 9999 9999 9999.")
	wantContains(t, wantStatus(t, h.get("/why/111122223333", cookie), 200), "<strong>ReadOnly</strong>: Rule")
	wantStatus(t, h.get("/why/x/y", cookie), 404)
	wantStatus(t, h.get("/why/111122223333/Admin", ""), 303)
}

func TestHistory(t *testing.T) {
	h := newHouse(t)
	for i := range 2 * historyLength {
		h.events.all = append(h.events.all, gatehouse.Event{Kind: gatehouse.EventGranted, Person: "corp/0001", Time: start.Add(-time.Duration(i) * time.Hour), Form: "bash",
			Account: "111122223333", Role: "arn:aws:iam::111122223333:role/team/ReadOnly", Duration: time.Hour, Expires: start.Add(time.Duration(1-i) * time.Hour), AccessKeyID: "ASIA", IP: "192.0.2.1", Scope: "read-only"})
	}
	h.events.all[3].Kind, h.events.all[3].Reason, h.events.all[3].Account, h.events.all[3].Role = gatehouse.EventRefused, "refused_by_aws", "999999999999", "arn:aws:iam::999999999999:role/Gone"
	h.events.all[5].Person = "corp/0002"
	h.events.all[5].IP = "203.0.113.5"
	cookie := h.signIn()
	page := wantStatus(t, h.get("/me/history", cookie), 200)
	wantContains(t, page, "Still good", `href="/roles/111122223333/ReadOnly"`, "Keys for bash", "only read-only", "Not handed out", "AWS refused", "<bdi>9999 9999 9999</bdi> · Gone", "21 Nov 2026")
	wantLacks(t, page, "203.0.113.5")
	if n := strings.Count(page, `class="row event`); n != historyLength {
		t.Errorf("%d entries, want %d", n, historyLength)
	}
	older := regexp.MustCompile(`href="(/me/history\?before=[^"]*)"`).FindStringSubmatch(page)
	if older == nil {
		t.Fatal("no way to the older ones")
	}
	next := wantStatus(t, h.get(older[1], cookie), 200)
	if n := strings.Count(next, `class="row event`); n != historyLength-1 {
		t.Errorf("%d older entries, want %d", n, historyLength-1)
	}
	wantLacks(t, next, "Still good", ">Older<")
	wantStatus(t, h.get("/me/history?before=yesterday", cookie), 400)
	wantStatus(t, h.get("/me/history", ""), 303)
	h.events.err = &gatehouse.Unavailable{What: "store"}
	wantStatus(t, h.get("/me/history", cookie), 503)
	h.events.err, h.events.all = nil, nil
	wantContains(t, wantStatus(t, h.get("/me/history", cookie), 200), "Nothing yet")
}

func TestMySignIns(t *testing.T) {
	h := newHouse(t)
	here, there, third := h.signIn(), h.signIn(), h.signIn()
	h.broker.user.ID = "0002"
	stranger := h.signIn()
	one := regexp.MustCompile(`<h3 [^>]*>([^<]*)</h3>[\s\S]*?name="end" value="([^"]*)"`)
	list := func(cookie string) (ids []string) {
		for _, m := range one.FindAllStringSubmatch(wantStatus(t, h.get("/me/sessions", cookie), 200), -1) {
			if m[1] == "This browser" {
				ids = append([]string{m[2]}, ids...)
				continue
			}
			ids = append(ids, m[2])
		}
		return ids
	}
	mine, theirs := list(here), list(stranger)
	if len(mine) != 3 || len(theirs) != 1 {
		t.Fatalf("%d sign-ins of mine, %d of somebody else's", len(mine), len(theirs))
	}
	wantStatus(t, h.post("/me/sessions", here, url.Values{"end": {theirs[0]}}), 303)
	wantStatus(t, h.get("/", stranger), 200) // another's is not mine to end
	wantStatus(t, h.post("/me/sessions", "", url.Values{"others": {"1"}}), 303)
	wantStatus(t, h.get("/", there), 200)

	wantStatus(t, h.post("/me/sessions", there, url.Values{"end": {mine[0]}}), 303)
	wantStatus(t, h.get("/", here), 303)
	wantStatus(t, h.post("/me/sessions", there, url.Values{"others": {"1"}}), 303)
	wantStatus(t, h.get("/", third), 303)
	wantStatus(t, h.get("/", there), 200)
	if got := strings.Join(h.broker.ended, " "); got != "s-1 s-3" {
		t.Errorf("on the record is the end of %s", got)
	}
	res := h.post("/me/sessions", there, url.Values{"end": {list(there)[0]}})
	if wantStatus(t, res, 303); res.Header.Get("Location") != "/login?said=out" {
		t.Errorf("ending the one at hand led to %s", res.Header.Get("Location"))
	}
	wantStatus(t, h.get("/", there), 303)
}
