package cloud

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"
)

// invalidResponse is the sign-in page's answer to what is no SAML response
// for AWS at all.
const invalidResponse = "Your request included an invalid SAML response."

// serveSAML answers /saml, where a browser brings a SAML response. The checks
// are STS's own. What is accepted becomes a sign-in token and a redirect to
// /federation: a post from another site carries no SameSite cookie, so only
// that second request can see whether the browser is signed in already.
func (s *Server) serveSAML(w http.ResponseWriter, r *http.Request) {
	s.serveSignIn(w, r, func(q *request) *refusal {
		q.call.Action = "saml"
		encoded := q.params["SAMLResponse"]
		if r.Method != http.MethodPost || encoded == "" || utf8.RuneCountInString(encoded) > maxAssertion {
			return badRequest(invalidResponse)
		}
		pairs, no := peek(encoded)
		if no != nil {
			return no
		}
		if chosen, sent := q.params["roleIndex"]; sent {
			pairs = slices.DeleteFunc(pairs, func(p rolePair) bool { return p.role != chosen })
		}
		switch len(pairs) {
		case 0:
			return badRequest(invalidResponse).because("no usable Role attribute")
		case 1:
			return s.enter(w, q, pairs[0], encoded)
		}
		return s.chooseRole(w, q, pairs, encoded)
	})
}

// peek reads the Role attribute of a response that is not verified yet. It
// only decides which provider is to judge it; the verified attributes are
// compared with the choice again.
func peek(encoded string) ([]rolePair, *refusal) {
	m, no := decode(encoded)
	if no != nil {
		return nil, no
	}
	a := assertion{el: child(m.root, nsAssertion, "Assertion")}
	if a.el == nil {
		return nil, badRequest(invalidResponse).because("not one assertion")
	}
	if no := a.readAttributes(); no != nil {
		return nil, no
	}
	return a.rolePairs(), nil
}

// enter signs in to one role.
func (s *Server) enter(w http.ResponseWriter, q *request, pair rolePair, encoded string) *refusal {
	q.call.Role, q.call.Provider, q.call.Destination = pair.role, pair.provider, q.params["RelayState"]
	g, no := s.grantSAML(q, pair, encoded, 0, sessionPolicies{})
	if no != nil {
		return no
	}
	if !s.signinRecipient(g.recipient, g.identity.Partition) {
		return invalidIdentityToken("The Recipient is not an AWS sign-in URL")
	}
	destination := q.params["RelayState"]
	if destination == "" {
		destination = s.URL() + "/console/home"
	}
	if _, ok := s.landing(destination, g.identity.Partition); !ok {
		return badRequest("Invalid RelayState parameter").because("not a console of partition %s", g.identity.Partition)
	}
	lasts := g.consoleLifetime(q.now)
	q.call.Lasts = lasts
	token := s.seal.close("signin", signinToken{Who: g.identity, Until: q.now.Add(signinTokenOK), Lasts: lasts})
	leave(w, q.Request, "/federation?"+url.Values{
		"Action": {"login"}, "SigninToken": {token}, "Destination": {destination},
	}.Encode())
	return nil
}

// consoleLifetime is SessionDuration or an hour, ended earlier by
// SessionNotOnOrAfter. A role's maximum does not limit console sessions.
func (a *assertion) consoleLifetime(now time.Time) time.Duration {
	d := time.Hour
	if a.sessionDuration > 0 {
		d = a.sessionDuration
	}
	if !a.sessionEnd.IsZero() {
		d = min(d, a.sessionEnd.Sub(now))
	}
	return d
}

// chooserPage is AWS's page for a response with several roles. Its HTML is
// read by command-line clients, so its structure is AWS's.
type chooserPage struct {
	Accounts     []chooserAccount
	SAMLResponse string
	RelayState   string
}

type chooserAccount struct {
	Name  string // "name (123456789012)"
	Roles []chooserRole
}

type chooserRole struct{ ARN, Name string }

// chooseRole shows the roles, once the response has proved good for the first
// one's provider.
func (s *Server) chooseRole(w http.ResponseWriter, q *request, pairs []rolePair, encoded string) *refusal {
	provider, _ := parseProviderARN(pairs[0].provider)
	a, no := s.judge(q.Context(), provider, encoded)
	if no != nil {
		return no
	}
	page := chooserPage{SAMLResponse: encoded, RelayState: q.params["RelayState"]}
	byID := map[string]int{}
	for _, p := range a.rolePairs() {
		role, _ := parseRoleARN(p.role)
		i, known := byID[role.account]
		if !known {
			i, byID[role.account] = len(page.Accounts), len(page.Accounts)
			page.Accounts = append(page.Accounts, chooserAccount{Name: s.accountLabel(role.account)})
		}
		page.Accounts[i].Roles = append(page.Accounts[i].Roles, chooserRole{p.role, role.name})
	}
	s.show(w, http.StatusOK, "chooser.html", page)
	return nil
}

func (s *Server) accountLabel(id string) string {
	if acc := s.accounts[id]; acc != nil && acc.Name != "" {
		return fmt.Sprintf("%s (%s)", acc.Name, id)
	}
	return id
}
