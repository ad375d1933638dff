package access

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

const logsPolicy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"logs:Get*","Resource":"*"}}`

func TestScopes(t *testing.T) {
	account := gatehouse.Account{ID: payments, Partition: "aws-cn"}
	own := Access{Scopes: []Scope{{Name: "logs", Policy: logsPolicy, PolicyARNs: []string{"arn:aws:iam::aws:policy/ViewOnlyAccess"}}}}
	with := func(addresses ...string) Access { own := own; own.Addresses = addresses; return own }
	const from, via = `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":[`, `]}}},{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:ViaAWSService":"true"}}}]`
	tests := []struct {
		name      string
		cfg       Access
		scope, ip string
		want      gatehouse.SessionPolicy
		kind      error
	}{
		{"a scope that nobody configured is refused, not left out", own, "nothing", "203.0.113.9", gatehouse.SessionPolicy{}, gatehouse.ErrInvalid},
		{"an address that AWS never sees is refused", own, ScopeMyAddress, "10.1.2.3", gatehouse.SessionPolicy{}, gatehouse.ErrInvalid},
		{"as is one of a carrier", own, ScopeMyAddress, "100.64.0.7", gatehouse.SessionPolicy{}, gatehouse.ErrInvalid},
		{"as is one by IPv6, since most of AWS is reached by IPv4", own, ScopeMyAddress, "2001:db8::7", gatehouse.SessionPolicy{}, gatehouse.ErrInvalid},
		{"as is none", own, ScopeMyAddress, "", gatehouse.SessionPolicy{}, gatehouse.ErrInvalid},
		{"no scope limits nothing", own, "", "203.0.113.9", gatehouse.SessionPolicy{}, nil},
		{"read-only is AWS's own policy, in the account's partition", own, ScopeReadOnly, "", gatehouse.SessionPolicy{ARNs: []string{"arn:aws-cn:iam::aws:policy/ReadOnlyAccess"}}, nil},
		{"only from my address", own, ScopeMyAddress, "203.0.113.9", gatehouse.SessionPolicy{Document: `{"Statement":[` + from + `"203.0.113.9/32"` + via + `,"Version":"2012-10-17"}`}, nil},
		{"an IPv4 address written as IPv6 is the IPv4 one", own, ScopeMyAddress, "::ffff:203.0.113.9", gatehouse.SessionPolicy{Document: `{"Statement":[` + from + `"203.0.113.9/32"` + via + `,"Version":"2012-10-17"}`}, nil},
		{"people behind a private address have the ones that AWS sees", with("198.51.100.0/28", "198.51.100.77"), ScopeMyAddress, "10.1.2.3", gatehouse.SessionPolicy{Document: `{"Statement":[` + from + `"198.51.100.0/28","198.51.100.77/32"` + via + `,"Version":"2012-10-17"}`}, nil},
		{"people elsewhere have their own", with("198.51.100.0/28"), ScopeMyAddress, "203.0.113.9", gatehouse.SessionPolicy{Document: `{"Statement":[` + from + `"203.0.113.9/32"` + via + `,"Version":"2012-10-17"}`}, nil},
		{"the operator's own", own, "logs", "", gatehouse.SessionPolicy{Document: logsPolicy, ARNs: []string{"arn:aws:iam::aws:policy/ViewOnlyAccess"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := NewScopes(tt.cfg).policy(tt.scope, tt.ip, account)
			if !errors.Is(err, tt.kind) || !cmp.Equal(got, tt.want) {
				t.Errorf("policy(%q, %q) = %+v, %v; want %+v, %v", tt.scope, tt.ip, got, err, tt.want, tt.kind)
			}
			if got.Document != "" && !isPolicy(got.Document) {
				t.Error("it would not pass our own check")
			}
		})
	}
}

func TestScopesThatCannotBeAreRefused(t *testing.T) {
	good := Scope{Name: "logs", Policy: logsPolicy}
	tests := []struct {
		name   string
		change func(*Scope)
		key    string // of the fault; empty: none
	}{
		{"a good one passes", func(*Scope) {}, ""},
		{"managed policies alone pass", func(s *Scope) { s.Policy, s.PolicyARNs = "", []string{"arn:aws:iam::aws:policy/ViewOnlyAccess"} }, ""},
		{"a name is one word", func(s *Scope) { s.Name = "all logs" }, ".name"},
		{"a name of ours is taken", func(s *Scope) { s.Name = ScopeReadOnly }, ".name"},
		{"what limits nothing is no scope", func(s *Scope) { s.Policy = "" }, ""},
		{"a policy is JSON", func(s *Scope) { s.Policy = "allow" }, ".policy"},
		{"a policy has a statement", func(s *Scope) { s.Policy = `{"Version":"2012-10-17"}` }, ".policy"},
		{"a session policy names no principal", func(s *Scope) {
			s.Policy = `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`
		}, ".policy"},
		{"AWS takes 2048 characters", func(s *Scope) {
			s.Policy = strings.Replace(logsPolicy, "logs:Get*", strings.Repeat("x", 2048), 1)
		}, ".policy"},
		{"AWS takes no letters beyond Latin-1", func(s *Scope) { s.Policy = strings.Replace(logsPolicy, "logs", "ログ", 1) }, ".policy"},
		{"AWS takes 10 managed policies", func(s *Scope) {
			s.PolicyARNs = strings.Fields(strings.Repeat("arn:aws:iam::aws:policy/X ", 11))
		}, ".policy_arns"},
		{"a managed policy is named by its ARN", func(s *Scope) { s.PolicyARNs = []string{"ViewOnlyAccess"} }, ".policy_arns[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := good
			tt.change(&s)
			faults := Access{Scopes: []Scope{s}}.validateScopes()
			nothing := s.Policy == "" && len(s.PolicyARNs) == 0
			if (len(faults) > 0) != (tt.key != "" || nothing) || len(faults) > 0 && faults[0].Key != "access.scopes[0]"+tt.key {
				t.Errorf("faults %+v, want one at %q", faults, tt.key)
			}
		})
	}
	if faults := (Access{Scopes: []Scope{good, good}, Addresses: []string{"everywhere"}}).validateScopes(); len(faults) != 2 {
		t.Errorf("a name twice and no address give %+v", faults)
	}
}

func TestGrantWithAScope(t *testing.T) {
	w, b := newWorld(t)
	admin := gatehouse.Ask{Account: payments, Role: "Admin", Form: gatehouse.FormBash, IP: "203.0.113.9", Scope: ScopeReadOnly}
	g, err := b.Grant(t.Context(), w.session(), admin)
	if err != nil || g.Scope != "Read-only" || len(w.limits) != 1 || !cmp.Equal(w.limits[0].ARNs, []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}) {
		t.Fatalf("grant %+v, %v; STS was given %+v", g, err, w.limits)
	}
	if e := w.events[0]; e.Kind != gatehouse.EventGranted || e.Scope != ScopeReadOnly {
		t.Errorf("the record says %+v", e)
	}
	refused := []struct {
		name  string
		scope string
		form  gatehouse.Form
		said  string // on the record
	}{
		{"a scope that is gone hands out nothing", "gone", gatehouse.FormBash, "gone"},
		{"what is no name is not on the record", "<b>\n", gatehouse.FormBash, ""},
		{"the browser's own way to AWS takes no limits, so none is dropped", ScopeReadOnly, gatehouse.FormPost, ScopeReadOnly},
	}
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			w.limits, w.said, w.events = nil, nil, nil
			ask := admin
			ask.Scope, ask.Form = tt.scope, tt.form
			_, err := b.Grant(t.Context(), w.session(), ask)
			if !errors.Is(err, gatehouse.ErrInvalid) || len(w.limits)+len(w.said) > 0 {
				t.Errorf("error %v, said %v", err, w.said)
			}
			if e := w.events[0]; e.Kind != gatehouse.EventRefused || e.Scope != tt.said {
				t.Errorf("the record says %+v", e)
			}
		})
	}
}
