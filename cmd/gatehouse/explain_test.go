package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/outside"
)

func TestADirectorysTextDoesNotReachTheTerminalAsMoreThanText(t *testing.T) {
	const evil = "x\x1b[2J\r\nhas arn:aws:iam::111122223333:role/Admin\u202e\u009b"
	g := gatehouse.Group{DN: "CN=" + evil, Name: evil, Via: []string{evil}}
	e := gatehouse.Entitlement{Role: gatehouse.Role{Account: "111122223333", Name: "Admin"}, MaxSession: time.Hour, Via: []gatehouse.Via{{Rule: 1, Group: g}},
		Tags: []gatehouse.Tag{{Key: "team", Value: evil}}, SourceIdentity: evil}
	var out strings.Builder
	explainGroups(&out, gatehouse.User{Groups: []gatehouse.Group{g}})
	explainRoles(&out, gatehouse.User{}, access.Explanation{Has: []gatehouse.Entitlement{e}, Misses: []access.Miss{{Rule: 2, Group: g, Why: "no"}}}, "", "")
	if strings.ContainsAny(out.String(), "\x1b\r\u202e\u009b") || strings.Contains(out.String(), "\nhas ") {
		t.Errorf("printed %q", out.String())
	}
}

// The chain that a nested membership leads through, as a real Active
// Directory has it: production_test.go has OpenLDAP's.
func TestExplainTellsTheWayOfANestedMembershipInActiveDirectory(t *testing.T) {
	d := startPeople(t)
	const hidden = "by a way that the directory does not show"
	group := func(name string) string { return "CN=" + name + ",OU=Groups," + outside.SambaBaseDN }
	users := "CN=Domain Users,CN=Users," + outside.SambaBaseDN
	tests := []struct {
		name, person, group, way string
	}{
		{"a direct one has none", "alice", group("team"), ""},
		{"a nested one, through a cycle", "alice", group("org"), "through " + group("team") + " in " + group("dept")},
		{"the primary group lists nobody", "alice", users, hidden},
		{"what is above the primary group is through it", "bob", group("over-primary"), "through " + group("primary")},
		{"another primary group lists nobody either", "bob", group("primary"), hidden},
		{"ten deep", "deep", group("deep-09"), "through " + group("deep-00") + " in "},
		{"deeper than is followed", "deep", group("deep-12"), hidden},
		{"a DN full of signs", "zoë", group("over-strange"), `through CN=\#AWS\, \"prod\" \+ \\ (ö),OU=Groups,` + outside.SambaBaseDN},
	}
	said := map[string]string{}
	for _, tt := range tests {
		if said[tt.person] == "" {
			var out, errs lines
			if code := run(t.Context(), []string{"explain", "--config", d.config, tt.person}, &out, &errs); code != exitDone {
				t.Fatalf("explain %s ended with %d:\n%s%s", tt.person, code, &out, &errs)
			}
			said[tt.person] = out.String()
		}
		t.Run(tt.name, func(t *testing.T) {
			m := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(tt.group) + `(?:  (.*))?$`).FindStringSubmatch(said[tt.person])
			if m == nil || !strings.HasPrefix(m[1], tt.way) || tt.way == "" && m[1] != "" {
				t.Errorf("%s: %q, want %q in\n%s", tt.group, m, tt.way, said[tt.person])
			}
		})
	}
	t.Run("the role's own line has the way, too", func(t *testing.T) {
		want := regexp.MustCompile(`rule 1 +` + regexp.QuoteMeta(group("org")+"  through "+group("team")+" in "+group("dept")))
		if !want.MatchString(said["alice"]) {
			t.Errorf("not there:\n%s", said["alice"])
		}
	})
	t.Run("distribution lists give nothing", func(t *testing.T) {
		if strings.Contains(said["alice"], "behind-a-list") {
			t.Errorf("there:\n%s", said["alice"])
		}
	})
}
