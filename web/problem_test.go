package web

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/web/inbound"
)

// Those of a sign-in are shown on its form, which is what comes next.
func TestEveryProblemSaysWhatComesNext(t *testing.T) {
	all := map[string]problem{"unforeseen": unforeseen}
	for _, w := range words {
		if w.say.Status != 401 && w.say.Status != 422 || errors.Is(w.kind, gatehouse.ErrNoSession) {
			all[w.kind.Error()] = w.say
		}
	}
	for field, say := range amends {
		all["field "+field] = say
	}
	for _, t := range theirs {
		all["address "+t.path] = t.say
	}
	for _, say := range silent {
		all[say.Title] = say
	}
	if len(all) < 30 {
		t.Fatalf("only %d problems were seen", len(all))
	}
	for name, say := range all {
		if say.Title == "" || say.Next == "" || (say.Href == "") != (say.Button == "") {
			t.Errorf("%s: %+v: it lacks a title, what comes next, or one of button and address", name, say)
		}
		if strings.Contains(say.Next, "not yours") && !say.Ask {
			t.Errorf("%s is somebody else's doing, and nobody to ask is named", name)
		}
	}
}

func TestWhatMakesNoSenseLeadsOnFromWhereItWas(t *testing.T) {
	invalid := func(field string) error {
		return fmt.Errorf("door: %w", &gatehouse.Invalid{Field: field, Why: "Why it is."})
	}
	for _, tt := range []struct {
		name, method, path string
		form               url.Values
		err                error
		status             int
		says               []string
		asks               bool
	}{
		{"a region that is none keeps what else was on the form", "POST", "/roles/111122223333/ReadOnly", url.Values{"region": {"nowhere"}, "duration": {"7200"}, "profile": {"mine"}, "as": {"bash"}}, invalid("region"), 400,
			[]string{"Why it is.", `href="/roles/111122223333/ReadOnly?duration=7200&amp;profile=mine&amp;region=nowhere">Back to the form`}, false},
		{"an answer that is none leads back to what was asked", "POST", "/device", url.Values{"user_code": {"ABCD-EFGH"}}, invalid("answer"), 400, []string{`href="/device?user_code=ABCD-EFGH">Back to the form`}, false},
		{"a page of the history that is none", "GET", "/me/history?before=x", nil, invalid("before"), 400, []string{"Your history has no such page.", `href="/me/history"`}, false},
		{"an application's request", "GET", "/saml/sso?SAMLRequest=x", nil, invalid("SAMLRequest"), 400, []string{"The application&#39;s sign-in was not accepted.", "application&#39;s doing, not yours", "Start again from the application"}, true},
		{"an application's message of a sign-out", "GET", "/saml/slo?SAMLRequest=x", nil, invalid("SAMLLogout"), 400, []string{"The application&#39;s sign-out was not accepted.", "You may still be signed in here"}, true},
		{"an application's form that is none", "POST", "/saml/sso", nil, inbound.ErrType, 415, []string{"The application&#39;s sign-in was not accepted.", "not yours"}, true},
		{"an application's form that is too large", "POST", "/saml/slo", nil, inbound.ErrTooLarge, 413, []string{"The application&#39;s sign-out was not accepted.", "holds more than is accepted"}, true},
		{"a sign-in that is over", "GET", "/saml/continue", nil, invalid("sign-in"), 400, []string{"This sign-in is over.", "Why it is.", "Go to the portal"}, false},
		{"a sign-out that is over", "GET", "/saml/logout", nil, invalid("sign-out"), 400, []string{"This sign-out is over."}, false},
		{"a person whom the directory knows no mail address of", "GET", "/saml/sso", nil, invalid("mail"), 400, []string{"cannot be told who you are", "put into the directory"}, true},
		{"a program's request", "GET", "/authorize?client_id=x", nil, invalid("client_id"), 400, []string{"The program&#39;s request was not accepted.", "program&#39;s doing, not yours, and nothing was approved"}, true},
		{"that of aws login", "POST", "/v1/authorize", nil, invalid("state"), 400, []string{"The program&#39;s request was not accepted."}, true},
		{"a method that an address does not take", "PUT", "/saml/sso", nil, inbound.ErrMethod, 405, []string{"Begin again from the list of your roles."}, true},
		{"a page that is not there", "GET", "/nowhere", nil, gatehouse.ErrNotFound, 404, []string{"Look for it in the list of your roles"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			w := httptest.NewRecorder()
			r := request(tt.method, tt.path, "", tt.form)
			r = r.WithContext(withFacts(r.Context(), &facts{id: "REFERENCE"}))
			if tt.form != nil {
				if err := readForm(r); err != nil {
					t.Fatal(err)
				}
			}
			h.server.Problem(w, r, tt.err)
			page := wantStatus(t, w.Result(), tt.status)
			wantContains(t, page, append(tt.says, "REFERENCE")...)
			if asks := strings.Contains(page, "Need help? Ask"); asks != tt.asks {
				t.Errorf("whom to ask is named: %v, want %v", asks, tt.asks)
			}
		})
	}
}
