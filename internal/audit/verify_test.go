package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"gatehouse/internal/audit"
)

func TestVerifyNamesWhatWasDoneToTheRecord(t *testing.T) {
	tests := []struct {
		name string
		do   []string // to the database; {chain} is the first of two chains, of five events each
		want []string // the problems; {chain} and {other} as above
	}{
		{"nothing", nil, nil},
		{"a byte of an event was changed",
			[]string{`update events set body = {patched} where chain = '{chain}' and seq = 3`},
			[]string{"chain {chain}, event 3: was changed"}},
		{"an event was changed together with its hash",
			[]string{`update events set hash = '{zero}' where chain = '{chain}' and seq = 3`},
			[]string{"chain {chain}, event 3: was changed", "chain {chain}, event 4: does not follow"}},
		{"an event is missing",
			[]string{`delete from events where chain = '{chain}' and seq = 3`},
			[]string{"chain {chain}, event 3: is missing"}},
		{"several events are missing",
			[]string{`delete from events where chain = '{chain}' and seq in (2, 3)`},
			[]string{"chain {chain}, event 2: is missing, and all up to 3"}},
		{"the end is cut off",
			[]string{`delete from events where chain = '{chain}' and seq > 3`},
			[]string{"chain {chain}: its end is cut off: it has 5 events, the last one found is 3"}},
		{"all events of a chain are gone",
			[]string{`delete from events where chain = '{chain}'`},
			[]string{"chain {chain}: its end is cut off"}},
		{"the head was moved back",
			[]string{`update chains set events = 4 where name = '{chain}'`},
			[]string{"chain {chain}: its head was moved back"}},
		{"the head is another",
			[]string{`update chains set head = '{zero}' where name = '{chain}'`},
			[]string{"chain {chain}: its head is not its last event"}},
		{"a chain is gone with its events",
			[]string{`delete from events where chain = '{chain}'`, `delete from chains where name = '{chain}'`},
			[]string{"chain {chain}: chain number 1 is lost"}},
		{"the last chain is gone with its events",
			[]string{`delete from events where chain = '{other}'`, `delete from chains where name = '{other}'`},
			[]string{"chain {other}: chain number 2 is lost"}},
		{"a chain is gone without its events",
			[]string{`delete from chains where name = '{chain}'`},
			[]string{"chain {chain}: chain number 1 is lost", "chain {chain}: is lost, although there are events of it"}},
		{"an event is filed under another person",
			[]string{`update events set person = 'corp/2' where chain = '{chain}' and seq = 3`},
			[]string{"chain {chain}, event 3: is filed under something that it does not say"}},
		{"an event is hidden from who searches by key",
			[]string{`update events set access_key_id = null where chain = '{chain}' and seq = 3`},
			[]string{"chain {chain}, event 3: is filed under"}},
	}
	for _, db := range []struct {
		name    string
		open    func(t *testing.T) (url, driver, source string)
		patched string // the body with one byte changed
	}{
		{"sqlite", onSQLite, `cast(replace(cast(body as text), 'corp/1', 'corp/2') as blob)`},
		{"postgres", onPostgres, `convert_to(replace(convert_from(body, 'UTF8'), 'corp/1', 'corp/2'), 'UTF8')`},
	} {
		for _, tt := range tests {
			t.Run(db.name+"/"+tt.name, func(t *testing.T) {
				r := twoChains(t, db.open)
				chains, err := r.store.Chains(t.Context())
				must(t, err)
				names := strings.NewReplacer("{chain}", chains[0].Name, "{other}", chains[1].Name,
					"{patched}", db.patched, "{zero}", strings.Repeat("0", 64))
				for _, q := range tt.do {
					_, err := r.raw.Exec(names.Replace(q))
					must(t, err)
				}
				report, err := audit.Verify(t.Context(), r.store)
				must(t, err)
				compareProblems(t, report, tt.want, names)
			})
		}
	}
}

// compareProblems wants exactly these problems, each by its beginning. An
// event whose body was changed may also be filed wrongly; that is no other
// problem.
func compareProblems(t *testing.T, report audit.Report, want []string, names *strings.Replacer) {
	t.Helper()
	var got []string
	changed := map[string]bool{}
	for _, p := range report.Problems {
		at := fmt.Sprint(p.Chain, p.Seq)
		if strings.HasPrefix(p.What, "was changed") {
			changed[at] = true
		} else if changed[at] && strings.HasPrefix(p.What, "is filed") {
			continue
		}
		got = append(got, p.String())
	}
	if len(got) != len(want) {
		t.Fatalf("problems = %q, want %q", got, want)
	}
	for i := range want {
		if w := names.Replace(want[i]); !strings.HasPrefix(got[i], w) {
			t.Errorf("problem %d = %q, want %q…", i, got[i], w)
		}
	}
}

// twoChains is a record of two replicas, with a start and four grants each.
func twoChains(t *testing.T, database func(t *testing.T) (url, driver, source string)) *record {
	t.Helper()
	r := openOn(t, database)
	for i := range 2 {
		if i > 0 {
			r.begin(t)
		}
		for j := range 4 {
			must(t, r.Record(t.Context(), granted(fmt.Sprintf("%d%d", i, j))))
		}
	}
	return r
}

func TestVerifyWalksWhileReplicasWrite(t *testing.T) {
	r := open(t)
	stop := make(chan struct{})
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for {
			select {
			case <-stop:
				return
			default:
				if err := r.Record(t.Context(), granted("")); err != nil {
					t.Errorf("Record: %v", err)
					return
				}
			}
		}
	}()
	for range 20 {
		r.wantWhole(t)
	}
	close(stop)
	<-writing
	r.wantWhole(t)
}
