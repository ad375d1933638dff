package store

import (
	"strings"
	"testing"
	"time"

	"gatehouse"
)

func TestCheckSaysWhichDatabaseThisIs(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		b.clock.t = time.Now()
		found := b.open(t).Check(t.Context())
		want := map[dialect]string{onSQLite: "one replica only", onPostgres: "PostgreSQL 1"}
		p, _ := parseURL(b.cfg.URL)
		if len(found) != 1 || found[0].State != gatehouse.FindingOK || !strings.Contains(found[0].Detail, want[p.dialect]) {
			t.Errorf("Check = %+v, want one ok that says %q", found, want[p.dialect])
		}
	})
}

func TestCheckComparesTheClockWithTheDatabases(t *testing.T) {
	b := &bench{cfg: Config{URL: databases[1].url(t)}, clock: &clock{t: time.Now().Add(-2 * time.Minute)}}
	found := b.open(t).Check(t.Context())
	if len(found) != 2 || found[1].State != gatehouse.FindingWarning || !strings.Contains(found[1].Detail, "differ by 2m") {
		t.Errorf("Check = %+v, want a warning that the clocks differ by 2m", found)
	}
}

func TestAConnectionOverANetworkIsToBeVerified(t *testing.T) {
	for url, want := range map[string]bool{
		"postgres://u@db.corp.example.com/g":                      true,
		"postgres://u@db.corp.example.com/g?sslmode=require":      true,
		"postgres://u@db.corp.example.com/g?sslmode=verify-full":  false,
		"postgres://u@localhost/g?sslmode=disable":                false,
		"postgres://u@127.0.0.1:5432/g":                           false,
		"postgres:///g?host=/run/postgresql":                      false,
		"postgres://u@localhost/g?host=db.corp.example.com":       true,
		"postgres://u@localhost.attacker.example/g?sslmode=allow": true,
		"postgres://u@127.evil.example/g":                         true,
	} {
		if got := unverified(url); got != want {
			t.Errorf("unverified(%s) = %v, want %v", url, got, want)
		}
	}
}
