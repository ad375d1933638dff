package access

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/saml"
)

const (
	payments = "111122223333"
	sandbox  = "444455556666"
	awsOU    = "OU=AWS,OU=Groups,DC=corp,DC=example,DC=com"
	devsDN   = "CN=Developers,OU=Groups,DC=corp,DC=example,DC=com"
)

var testAccounts = []gatehouse.Account{
	{ID: payments, Name: "Payments", Provider: "Gatehouse", Region: "eu-west-1", Partition: "aws"},
	{ID: sandbox, Name: "Sandbox", Provider: "Gatehouse", Region: "eu-west-1", Partition: "aws"},
}

func testRules() []Rule {
	return []Rule{
		{Directory: "corp", Under: awsOU, GroupPattern: `^AWS-(?P<account>\d{12})-(?P<role>[\w+=,.@-]+)$`, MaxSession: 2 * time.Hour},
		{Directory: "corp", Groups: []string{devsDN}, Roles: []string{"arn:aws:iam::" + sandbox + ":role/team/PowerUser"}, MaxSession: 4 * time.Hour,
			SessionTags: map[string]string{"team": "{attribute:department}", "mail": "{mail}"}, TransitiveTags: []string{"team"}, SourceIdentity: "{username}"},
		{Directory: "corp", Under: awsOU, Groups: []string{"Auditors"}, Roles: []string{"arn:aws:iam::" + payments + ":role/Audit"}, MaxSession: time.Hour},
		{Directory: "corp", Groups: []string{devsDN}, ServiceProvider: "Wiki", MaxSession: time.Hour},
	}
}

func testPolicy(t testing.TB, rules ...Rule) *Policy {
	t.Helper()
	if rules == nil {
		rules = testRules()
	}
	cfg := Config{Access: Access{Rules: rules}}
	cfg.SetDefaults()
	if faults := cfg.Validate(); len(faults) > 0 {
		t.Fatalf("rules: %v", faults)
	}
	p, faults := NewPolicy(cfg, testAccounts, []string{"corp", "other"}, []string{"Wiki"})
	if len(faults) > 0 {
		t.Fatalf("policy: %v", faults)
	}
	return p
}

func person(groups ...string) gatehouse.User {
	u := gatehouse.User{Directory: "corp", ID: "7c9e6679-7425-40de-944b-e07fc1f90ae7", Username: "alice", Mail: "alice@corp.example.com",
		DisplayName: "Alice", Attributes: map[string][]string{"department": {"payments"}}}
	for _, dn := range groups {
		name, _, _ := strings.Cut(strings.TrimPrefix(dn, "CN="), ",")
		u.Groups = append(u.Groups, gatehouse.Group{DN: dn, Name: name})
	}
	return u
}

func roles(list []gatehouse.Entitlement) []string {
	var arns []string
	for _, e := range list {
		arns = append(arns, e.Role.ARN())
	}
	return arns
}

func TestEntitlements(t *testing.T) {
	admin, power := "arn:aws:iam::"+payments+":role/Admin", "arn:aws:iam::"+sandbox+":role/team/PowerUser"
	tests := []struct {
		name   string
		groups []string
		want   []string
	}{
		{"no groups, no roles", nil, nil},
		{"a group under the named entry gives the role it spells", []string{"CN=AWS-" + payments + "-Admin," + awsOU}, []string{admin}},
		{"at any depth", []string{"CN=AWS-" + payments + "-Admin,OU=EU," + awsOU}, []string{admin}},
		{"a group of the right name in the wrong place gives nothing", []string{"CN=AWS-" + payments + "-Admin,OU=People,DC=corp,DC=example,DC=com"}, nil},
		{"nor one whose DN only contains the right place", []string{"CN=AWS-" + payments + `-Admin\,` + strings.ReplaceAll(awsOU, ",", `\,`) + ",OU=People,DC=corp,DC=example,DC=com"}, nil},
		{"nor one whose DN cannot be read", []string{"CN=AWS-" + payments + `-Admin,OU="AWS"`}, nil},
		{"an account that is not configured gives nothing", []string{"CN=AWS-999999999999-Admin," + awsOU}, nil},
		{"a longer name is another group", []string{"CN=XAWS-" + payments + "-Admin," + awsOU}, nil},
		{"a whole DN gives its roles", []string{devsDN}, []string{power}},
		{"a whole DN ignores case and spaces", []string{"cn=developers, ou=groups, dc=corp, dc=example, dc=com"}, []string{power}},
		{"the same name elsewhere is another group", []string{"CN=Developers,OU=AWS,OU=Groups,DC=corp,DC=example,DC=com"}, nil},
		{"a bare name counts under its entry", []string{"CN=Auditors," + awsOU}, []string{"arn:aws:iam::" + payments + ":role/Audit"}},
		{"and nowhere else", []string{"CN=Auditors,OU=People,DC=corp,DC=example,DC=com"}, nil},
		{"a role given twice is listed once", []string{devsDN, "CN=AWS-" + sandbox + "-PowerUser," + awsOU}, []string{"arn:aws:iam::" + sandbox + ":role/PowerUser"}},
		{"a rule for a service provider gives no role", []string{devsDN}, []string{power}},
	}
	p := testPolicy(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, roles(p.Entitlements(person(tt.groups...)))); diff != "" {
				t.Errorf("groups %q (-want +got):\n%s", tt.groups, diff)
			}
		})
	}
	t.Run("the groups of another directory give nothing", func(t *testing.T) {
		u := person("CN=AWS-"+payments+"-Admin,"+awsOU, devsDN)
		u.Directory = "other"
		if got := p.Entitlements(u); len(got) > 0 {
			t.Errorf("got %v", roles(got))
		}
	})
	t.Run("a name that the directory gives a DN of its own is not believed without it", func(t *testing.T) {
		u := person()
		u.Groups = []gatehouse.Group{{Name: "AWS-" + payments + "-Admin"}, {Name: "Auditors"}}
		if got := p.Entitlements(u); len(got) > 0 {
			t.Errorf("got %v", roles(got))
		}
	})
	t.Run("a pattern without anchors still means the whole name", func(t *testing.T) {
		p := testPolicy(t, Rule{Directory: "corp", Under: awsOU, GroupPattern: `(?P<account>\d{12})-(?P<role>Admin)|(?P<x>x)`, MaxSession: time.Hour})
		if got := p.Entitlements(person("CN=evil-"+payments+"-Admin,"+awsOU, "CN=x,"+awsOU)); len(got) > 0 {
			t.Errorf("got %v", roles(got))
		}
	})
}

func TestTermsOfAnEntitlement(t *testing.T) {
	p := testPolicy(t)
	u := person(devsDN)
	e, err := p.Entitlement(u, sandbox, "PowerUser")
	if err != nil {
		t.Fatal(err)
	}
	want := gatehouse.Entitlement{
		Account: testAccounts[1], Role: gatehouse.Role{Partition: "aws", Account: sandbox, Path: "/team/", Name: "PowerUser"},
		Via: []gatehouse.Via{{Rule: 2, Group: u.Groups[0]}}, MaxSession: 4 * time.Hour,
		Tags:           []gatehouse.Tag{{Key: "mail", Value: "alice@corp.example.com"}, {Key: "team", Value: "payments"}},
		TransitiveTags: []string{"team"}, SourceIdentity: "alice",
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	t.Run("a tag without a value is left out, and is not transitive", func(t *testing.T) {
		u := person(devsDN)
		u.Attributes = nil
		e, _ := p.Entitlement(u, sandbox, "PowerUser")
		if len(e.Tags) != 1 || e.Tags[0].Key != "mail" || e.TransitiveTags != nil || e.Blocked != "" {
			t.Errorf("got tags %v, transitive %v, blocked %q", e.Tags, e.TransitiveTags, e.Blocked)
		}
	})
	t.Run("several values are joined in one order", func(t *testing.T) {
		u := person(devsDN)
		u.Attributes["department"] = []string{"b", "a"}
		e, _ := p.Entitlement(u, sandbox, "PowerUser")
		if e.Tags[1].Value != "a:b" {
			t.Errorf("got %v", e.Tags)
		}
	})
	for name, value := range map[string]string{"a character AWS refuses": "pay<ments>", "a newline": "a\nb", "a value that is too long": strings.Repeat("x", 257)} {
		t.Run(name+" blocks the hand-out and alters nothing", func(t *testing.T) {
			u := person(devsDN)
			u.Attributes["department"] = []string{value}
			e, _ := p.Entitlement(u, sandbox, "PowerUser")
			if e.Blocked == "" || e.Tags[1].Value != value {
				t.Errorf("got %+v", e)
			}
		})
	}
	t.Run("a source identity that AWS refuses blocks the hand-out", func(t *testing.T) {
		u := person(devsDN)
		u.Username = "zoë"
		if e, _ := p.Entitlement(u, sandbox, "PowerUser"); e.Blocked == "" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("the first rule that gives a role sets its terms", func(t *testing.T) {
		rule := func(max time.Duration) Rule {
			return Rule{Directory: "corp", Groups: []string{devsDN}, Roles: []string{"arn:aws:iam::" + sandbox + ":role/R"}, MaxSession: max}
		}
		e, err := testPolicy(t, rule(time.Hour), rule(8*time.Hour)).Entitlement(person(devsDN), sandbox, "R")
		if err != nil || e.MaxSession != time.Hour || len(e.Via) != 2 {
			t.Errorf("got %+v, %v", e, err)
		}
	})
}

func TestOneRoleIsDecidedAsAmongAll(t *testing.T) {
	arn := func(name string) string { return "arn:aws:iam::" + sandbox + ":role/" + name }
	p := testPolicy(t,
		Rule{Directory: "corp", Groups: []string{devsDN}, Roles: []string{arn("Admin"), arn("Other")}, MaxSession: time.Hour},
		Rule{Directory: "corp", Under: awsOU, GroupPattern: `AWS-(?P<account>\d{12})-(?P<role>.+)`, MaxSession: 2 * time.Hour},
	)
	u := person(devsDN, "CN=AWS-"+sandbox+"-ADMIN,"+awsOU, "CN=AWS-"+sandbox+"-Other,"+awsOU, "CN=AWS-"+payments+"-Admin,"+awsOU)
	all := p.Entitlements(u)
	if len(all) != 3 {
		t.Fatalf("roles %v", roles(all))
	}
	for _, want := range all {
		got, err := p.Entitlement(u, want.Role.Account, want.Role.Name)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-among all +alone):\n%s", want.Role, err, diff)
		}
	}
	// The first rule spelt it Admin, which is how IAM and the list have it.
	if e, err := p.Entitlement(u, sandbox, "ADMIN"); err == nil {
		t.Errorf("another spelling gives %+v", e)
	}
}

func TestProviderRules(t *testing.T) {
	p := testPolicy(t)
	if via, _, err := p.Provider(person(devsDN), "Wiki"); err != nil || len(via) != 1 {
		t.Errorf("Wiki for a developer: %v, %v", via, err)
	}
	if _, _, err := p.Provider(person(), "Wiki"); err == nil {
		t.Error("Wiki for anybody")
	}
	if _, _, err := p.Provider(person(devsDN), ""); err == nil {
		t.Error("a provider without a name")
	}
}

func TestSessionName(t *testing.T) {
	alice := person()
	again := alice
	again.ID = "11111111-7425-40de-944b-e07fc1f90ae7"
	other := alice
	other.Directory = "other"
	seen := map[string]bool{}
	for _, u := range []gatehouse.User{alice, again, other} {
		name := SessionName(u)
		if seen[name] || !identity.MatchString(name) || !strings.HasPrefix(name, "alice-") {
			t.Errorf("%s has session name %q", u.Key(), name)
		}
		seen[name] = true
	}
	for _, username := range []string{"", "zoë", `O'Brien, "Zo"`, strings.Repeat("x", 300), "a\x00b", "a b"} {
		u := person()
		u.Username = username
		if name := SessionName(u); !identity.MatchString(name) {
			t.Errorf("%q has session name %q, which AWS refuses", username, name)
		}
	}
}

func TestConfigFaults(t *testing.T) {
	good := testRules()[0]
	tests := []struct {
		name, key string
		change    func(*Rule)
	}{
		{"a pattern needs a place", ".under", func(r *Rule) { r.Under = "" }},
		{"the place is a DN", ".under", func(r *Rule) { r.Under = "AWS" }},
		{"a pattern compiles", ".group_pattern", func(r *Rule) { r.GroupPattern = "(" }},
		{"a pattern names its account", ".group_pattern", func(r *Rule) { r.GroupPattern = "(?P<role>x)" }},
		{"a rule gives one kind of thing", "", func(r *Rule) { r.ServiceProvider = "Wiki" }},
		{"a rule gives something", "", func(r *Rule) { *r = Rule{Groups: []string{devsDN}, MaxSession: time.Hour} }},
		{"a bare name needs a place", ".groups[0]", func(r *Rule) {
			*r = Rule{Groups: []string{"Developers"}, Roles: []string{"arn:aws:iam::" + payments + ":role/R"}, MaxSession: time.Hour}
		}},
		{"a role is an ARN", ".roles[0]", func(r *Rule) { *r = Rule{Groups: []string{devsDN}, Roles: []string{"Admin"}, MaxSession: time.Hour} }},
		{"a limit is within AWS's", ".max_session", func(r *Rule) { r.MaxSession = 13 * time.Hour }},
		{"a tag's key is AWS's", ".session_tags.aws:x", func(r *Rule) { r.SessionTags = map[string]string{"aws:x": "y"} }},
		{"a placeholder exists", ".session_tags.x", func(r *Rule) { r.SessionTags = map[string]string{"x": "{department}"} }},
		{"a brace is closed", ".source_identity", func(r *Rule) { r.SourceIdentity = "{username" }},
		{"a transitive tag is sent", ".transitive_tags[0]", func(r *Rule) { r.TransitiveTags = []string{"x"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good
			tt.change(&r)
			for _, f := range r.validate() {
				if f.Key == tt.key {
					return
				}
			}
			t.Errorf("no fault at %q: %v", tt.key, r.validate())
		})
	}
	t.Run("what is not configured is named", func(t *testing.T) {
		cfg := Config{Access: Access{Rules: []Rule{
			{Groups: []string{devsDN}, Roles: []string{"arn:aws:iam::999999999999:role/R"}, MaxSession: time.Hour},
			{Directory: "nowhere", Groups: []string{devsDN}, ServiceProvider: "Nothing", MaxSession: time.Hour},
			{Directory: "corp", Groups: []string{devsDN}, Roles: []string{"arn:aws-cn:iam::" + payments + ":role/R"}, MaxSession: time.Hour},
		}}}
		_, faults := NewPolicy(cfg, testAccounts, []string{"corp", "other"}, nil)
		var keys []string
		for _, f := range faults {
			keys = append(keys, f.Key)
		}
		want := []string{"access.rules[0].directory", "access.rules[0].roles[0]", "access.rules[1].directory", "access.rules[1].service_provider", "access.rules[2].roles[0]"}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestExplain(t *testing.T) {
	p := testPolicy(t)
	u := person("CN=AWS-"+payments+"-Admin,OU=People,DC=corp,DC=example,DC=com", "CN=AWS-999999999999-Admin,"+awsOU, devsDN)
	x := p.Explain(u, "", "")
	if got := roles(x.Has); len(got) != 1 {
		t.Errorf("has %v", got)
	}
	if len(x.Misses) != 2 || !strings.Contains(x.Misses[0].Why, "does not live under") || !strings.Contains(x.Misses[1].Why, "not among aws.accounts") {
		t.Errorf("misses %+v", x.Misses)
	}
	x = p.Explain(u, payments, "ReadOnly")
	want := []Would{{1, "members of a group named AWS-" + payments + "-ReadOnly under " + awsOU}}
	if diff := cmp.Diff(want, x.Would); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if x := p.Explain(u, sandbox, "PowerUser"); len(x.Has) != 1 || x.Would != nil {
		t.Errorf("held role: %+v", x)
	}
}

func BenchmarkEntitlements300Groups(b *testing.B) {
	p := testPolicy(b)
	var groups []string
	for i := range 300 {
		groups = append(groups, "CN=AWS-"+payments+"-Role"+string(rune('A'+i%26))+strings.Repeat("x", i/26)+","+awsOU)
	}
	u := person(groups...)
	b.ReportAllocs()
	for b.Loop() {
		if got := p.Entitlements(u); len(got) != 300 {
			b.Fatal(len(got))
		}
	}
}

func TestAProviderIsToldWhatTheFirstRuleThatAdmitsSays(t *testing.T) {
	rules := []Rule{
		{Directory: "corp", Groups: []string{"CN=Others,DC=corp"}, ServiceProvider: "Wiki", Attributes: map[string]string{"secret": "{username}"}, MaxSession: time.Hour},
		{Directory: "corp", Groups: []string{devsDN}, ServiceProvider: "Wiki", MaxSession: time.Hour, Attributes: map[string]string{
			"urn:oid:0.9.2342.19200300.100.1.3": "{mail}", "groups": "{groups}", "phones": "{attribute:telephoneNumber}", "who": "{name} ({username})", "none": "{attribute:absent}"}},
		{Directory: "corp", Groups: []string{devsDN}, ServiceProvider: "Wiki", Attributes: map[string]string{"later": "x"}, MaxSession: time.Hour},
	}
	p, faults := NewPolicy(Config{Access: Access{Rules: rules}}, nil, []string{"corp"}, []string{"Wiki"})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	u := person(devsDN)
	u.Username, u.DisplayName, u.Mail = "alice", "Alice <Ng>", "alice@corp.example"
	u.Attributes = map[string][]string{"telephonenumber": {"2", "1", "2"}}
	_, told, err := p.Provider(u, "Wiki")
	if err != nil {
		t.Fatal(err)
	}
	want := []saml.Attribute{
		{Name: "groups", Format: saml.FormatBasic, Values: []string{u.Groups[0].Name}},
		{Name: "phones", Format: saml.FormatBasic, Values: []string{"1", "2"}},
		{Name: "urn:oid:0.9.2342.19200300.100.1.3", Values: []string{"alice@corp.example"}},
		{Name: "who", Format: saml.FormatBasic, Values: []string{"Alice <Ng> (alice)"}},
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told otherwise (-want +got):\n%s", diff)
	}
	if got := (Config{Access: Access{Rules: rules}}).Attributes(); !slices.Equal(got, []string{"absent", "telephoneNumber"}) {
		t.Errorf("the directory is asked for %q", got)
	}
	for name, r := range map[string]Rule{
		"for a role":           {Groups: []string{devsDN}, Roles: []string{"arn:aws:iam::111122223333:role/A"}, Attributes: map[string]string{"a": "b"}, MaxSession: time.Hour},
		"an unknown part":      {Groups: []string{devsDN}, ServiceProvider: "Wiki", Attributes: map[string]string{"a": "{password}"}, MaxSession: time.Hour},
		"groups beside others": {Groups: []string{devsDN}, ServiceProvider: "Wiki", Attributes: map[string]string{"a": "x{groups}"}, MaxSession: time.Hour},
		"AWS's own":            {Groups: []string{devsDN}, ServiceProvider: "Wiki", Attributes: map[string]string{"https://aws.amazon.com/SAML/Attributes/Role": "x"}, MaxSession: time.Hour},
	} {
		if len(r.validate()) == 0 {
			t.Errorf("%s: no fault", name)
		}
	}
}
