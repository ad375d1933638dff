package main

import (
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
)

func TestADirectorysTextDoesNotReachTheTerminalAsMoreThanText(t *testing.T) {
	const evil = "x\x1b[2J\r\nhas arn:aws:iam::111122223333:role/Admin\u202e\u009b"
	g := gatehouse.Group{DN: "CN=" + evil, Name: evil, Via: []string{evil}}
	e := gatehouse.Entitlement{Role: gatehouse.Role{Account: "111122223333", Name: "Admin"}, MaxSession: time.Hour, Via: []gatehouse.Via{{Rule: 1, Group: g}},
		Tags: []gatehouse.Tag{{Key: "team", Value: evil}}, SourceIdentity: evil}
	var out strings.Builder
	explainGroups(&out, gatehouse.User{Groups: []gatehouse.Group{g}})
	explainRoles(&out, access.Explanation{Has: []gatehouse.Entitlement{e}, Misses: []access.Miss{{Rule: 2, Group: g, Why: "no"}}}, "", "")
	if strings.ContainsAny(out.String(), "\x1b\r\u202e\u009b") || strings.Contains(out.String(), "\nhas ") {
		t.Errorf("printed %q", out.String())
	}
}
