package export

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse"
)

func TestProfileNames(t *testing.T) {
	p := func(account, name, environment, role string) Place {
		return Place{Account: account, Name: name, Environment: environment, Role: role}
	}
	tests := []struct {
		name, template string
		places         []Place
		want           []string
	}{
		{"the account's name and the role", "", []Place{p("111122223333", "Payments", "prod", "ReadOnly")}, []string{"payments-readonly"}},
		{"a template", "{environment}.{number}.{role}", []Place{p("111122223333", "Payments", "prod", "Admin")}, []string{"production.111122223333.admin"}},
		{"accounts of one name get their numbers", "", []Place{p("111122223333", "Dev", "", "A"), p("444455556666", "dev", "", "A")},
			[]string{"dev-a-111122223333", "dev-a-444455556666"}},
		{"roles that differ in signs only are counted", "", []Place{p("111122223333", "Dev", "", "A.b"), p("111122223333", "Dev", "", "A_b")},
			[]string{"dev-a-b-111122223333", "dev-a-b-111122223333-2"}},
		{"a name without ASCII gives way to the number", "", []Place{p("111122223333", "支払い", "", "Admin")}, []string{"111122223333-admin"}},
		{"markup and line ends vanish", "", []Place{p("111122223333", "a]\n[profile evil]\ncredential_process = sh", "", "R")}, []string{"111122223333-r"}},
		{"no environment is another", "{environment}-{role}", []Place{p("111122223333", "", "", "R")}, []string{"other-r"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ProfileNames(tt.places, tt.template)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
	for _, template := range []string{"{rolle}", "a b", "{role}]", "\n", "{role}\n[x]"} {
		if got, err := ProfileNames([]Place{p("111122223333", "n", "e", "r")}, template); !errors.Is(err, gatehouse.ErrInvalid) {
			t.Errorf("template %q gives %q, %v; want ErrInvalid", template, got, err)
		}
	}
}

const wantConfig = `# For AWS CLI 2.13 or later: an older one does not know [services], and would ask AWS.
[sso-session gatehouse]
sso_start_url = https://gatehouse.awsapps.com/start
sso_region = us-east-1
sso_registration_scopes = sso:account:access

[services gatehouse]
sso =
  endpoint_url = https://gw.example.com/sso
sso_oidc =
  endpoint_url = https://gw.example.com/oidc
signin =
  endpoint_url = https://gw.example.com

# Payments Admin
[profile payments-admin]
sso_session = gatehouse
sso_account_id = 111122223333
sso_role_name = Admin
region = eu-central-1
services = gatehouse

[profile bob-s-r]
sso_session = gatehouse
sso_account_id = 444455556666
sso_role_name = R
region = eu-west-1
services = gatehouse
`

func TestAWSConfig(t *testing.T) {
	all := []Place{{"111122223333", "Payments", "prod", "Admin", "eu-central-1"}, {"444455556666", "Bob's", "", "R", ""}}
	c := AWSConfig{Portal: "https://gw.example.com", Region: "eu-west-1"}
	if got, err := c.Render(all, nil); err != nil || got != wantConfig {
		t.Errorf("%v:\n%s", err, got)
	}
	c.Process, c.STSEndpoint = true, "http://127.0.0.1:8081"
	got, err := c.Render(all[:1], nil)
	if err != nil || !strings.Contains(got, "credential_process = gatehouse credential-process 111122223333/Admin\n") || strings.Contains(got, "sso_account_id") || !strings.Contains(got, "sts =\n  endpoint_url = http://127.0.0.1:8081\n") {
		t.Errorf("%v:\n%s", err, got)
	}
	for what, bad := range map[string]Place{
		"a role": {"111122223333", "n", "", "R\n[profile x]", ""}, "an account": {"1", "n", "", "R", ""}, "a region": {"111122223333", "n", "", "R", "x\ny = z"},
	} {
		if got, err := c.Render([]Place{bad}, nil); err == nil {
			t.Errorf("%s that breaks out is written:\n%s", what, got)
		}
	}
	c.Portal = "https://gw.example.com\ncredential_process = sh"
	if got, err := c.Render(all, nil); err == nil {
		t.Errorf("a portal that breaks out is written:\n%s", got)
	}
}

func TestSaml2awsProfile(t *testing.T) {
	got, err := Saml2aws("https://aws.corp.example.com", "alice", "payments-readonly", gatehouse.Role{Account: "111122223333", Name: "ReadOnly"})
	if want := "[payments-readonly]\nurl         = https://aws.corp.example.com/saml/ecp/111122223333/ReadOnly\n"; err != nil || !strings.HasPrefix(got, want) {
		t.Errorf("%q, %v; want it to begin %q", got, err, want)
	}
	for what, user := range map[string]string{"a new line": "alice\nrole_arn = x", "nothing": ""} {
		if got, err := Saml2aws("https://aws.corp.example.com", user, "p", gatehouse.Role{Account: "111122223333", Name: "R"}); err == nil {
			t.Errorf("%s as a username: %q", what, got)
		}
	}
}
