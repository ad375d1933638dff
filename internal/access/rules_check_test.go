package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
)

// shelf is a Directory that has some entries, and answers the way it is told.
type shelf struct {
	Directory
	name    string
	entries map[string]error // nil: it is there
	takes   time.Duration
}

func (s shelf) Name() string { return s.name }

func (s shelf) Has(ctx context.Context, dn string) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.takes):
	}
	err, known := s.entries[dn]
	if !known {
		return gatehouse.ErrNotFound
	}
	return err
}

func TestEveryEntryThatARuleNamesIsLookedFor(t *testing.T) {
	const awz, aws, users, ops = "OU=AWZ,DC=corp", "OU=AWS,DC=corp", "CN=Users,DC=corp", "CN=Ops,DC=corp"
	where := func(key string) string { return "the line of " + key }
	rules := []Rule{
		{Directory: "corp", Under: awz, GroupPattern: "x"},
		{Directory: "corp", Under: aws, Groups: []string{"bare", users, "CN=Sandbocks Users,DC=corp"}},
		{Directory: "corp", Groups: []string{ops}},
		{Directory: "lab", Groups: []string{users}},
		{Directory: "gone", Groups: []string{users, ops}},
	}
	corp := shelf{name: "corp", entries: map[string]error{aws: nil, users: nil, ops: errors.New("insufficient access rights")}}
	lab := shelf{name: "lab"}
	gone := shelf{name: "gone", entries: map[string]error{users: &gatehouse.Unavailable{}, ops: &gatehouse.Unavailable{}}}
	got := CheckRules(t.Context(), rules, []Source{{Directory: corp}, {Directory: lab}, {Directory: gone}}, where)
	want := []string{
		"failure rule 1 under OU=AWZ,DC=corp: directory corp has no such entry, or hides it from the service account; nobody has anything by it → correct the line of access.rules[0].under; if the DN is right, let the service account read it",
		"failure rule 2 group CN=Sandbocks Users,DC=corp: directory corp has no such entry, or hides it from the service account; nobody has anything by it → correct the line of access.rules[1].groups[2]; if the DN is right, let the service account read it",
		"failure rule 3 group CN=Ops,DC=corp: directory corp does not let the service account read it: insufficient access rights; nobody has anything by it → correct the line of access.rules[2].groups[0]; if the DN is right, let the service account read it",
		"failure rule 4 group CN=Users,DC=corp: directory lab has no such entry, or hides it from the service account; nobody has anything by it → correct the line of access.rules[3].groups[0]; if the DN is right, let the service account read it",
		"ok rules 2 of the 8 entries that they name are in their directories → ",
	}
	for i := range max(len(got), len(want)) {
		line, wanted := "", ""
		if i < len(got) {
			line = fmt.Sprintf("%s %s %s → %s", got[i].State, got[i].Subject, got[i].Detail, got[i].Fix)
		}
		if i < len(want) {
			wanted = want[i]
		}
		if line != wanted {
			t.Errorf("finding %d\n got %s\nwant %s", i, line, wanted)
		}
	}
}

func TestLookingForWhatRulesNameEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := shelf{name: "corp", takes: 4 * time.Second}
		var rules []Rule
		for i := range 100 {
			rules = append(rules, Rule{Directory: "corp", Groups: []string{fmt.Sprintf("CN=%d,DC=corp", i)}})
		}
		begun := time.Now()
		got := CheckRules(t.Context(), rules, []Source{{Directory: slow}}, func(string) string { return "" })
		if took := time.Since(begun); took > rulesTime {
			t.Errorf("it took %s", took)
		}
		if last := got[len(got)-1]; last.State != gatehouse.FindingWarning || !strings.Contains(last.Detail, "of 100 entries that rules name, 3 were looked for") {
			t.Errorf("last finding %+v", last)
		}
	})
}
