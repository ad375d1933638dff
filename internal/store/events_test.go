package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

// linked makes links of events, behind head, with hashes that mean nothing:
// the store does not look at them.
func linked(chain, head string, after int64, events ...gatehouse.Event) []gatehouse.Link {
	var links []gatehouse.Link
	for i, e := range events {
		body, _ := json.Marshal(e)
		seq := after + int64(i) + 1
		hash := fmt.Sprintf("%s-%d-%s", chain, seq, e.ID)
		links = append(links, gatehouse.Link{Chain: chain, Seq: seq, Prev: head, Hash: hash, Body: body})
		head = hash
	}
	return links
}

func TestAChainGrowsAtItsHeadOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		fatal(t, s.OpenChain(ctx, "c"))
		wantKind(t, "a name used again", s.OpenChain(ctx, "c"), gatehouse.ErrConflict)
		e := []gatehouse.Event{{ID: "1", Time: b.clock.now()}, {ID: "2", Time: b.clock.now()}}
		links := linked("c", "", 0, e...)
		fatal(t, s.AppendEvents(ctx, links, e))

		head := links[1].Hash
		for what, wrong := range map[string][]gatehouse.Link{
			"the same again":       links,
			"behind another event": linked("c", "elsewhere", 2, e[0]),
			"with a gap":           linked("c", head, 3, e[0]),
			"another chain":        linked("d", "", 0, e[0]),
		} {
			wantKind(t, what, s.AppendEvents(ctx, wrong, e[:len(wrong)]), gatehouse.ErrConflict)
		}
		got, err := s.ChainEvents(ctx, "c", 0, 10)
		fatal(t, err)
		if diff := cmp.Diff(links, got); diff != "" {
			t.Errorf("ChainEvents (-want +got):\n%s", diff)
		}
		fatal(t, s.CloseChain(ctx, "c"))
		wantKind(t, "a closed chain", s.AppendEvents(ctx, linked("c", head, 2, e[0]), e[:1]), gatehouse.ErrConflict)
		c, err := s.Chain(ctx, "c")
		fatal(t, err)
		want := Chain{Name: "c", Number: 1, Head: head, Count: 2, OpenedAt: b.clock.now(), ClosedAt: b.clock.now()}
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("Chain (-want +got):\n%s", diff)
		}
		_, err = s.Chain(ctx, "d")
		wantKind(t, "an unknown chain", err, gatehouse.ErrNotFound)
	})
}

func TestABatchIsAppendedWhollyOrNotAtAll(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		fatal(t, s.OpenChain(ctx, "c"))
		e := []gatehouse.Event{{ID: "1"}, {ID: "2"}}
		links := linked("c", "", 0, e...)
		links[1].Seq = 1 // the second insert fails
		if err := s.AppendEvents(ctx, links, e); err == nil {
			t.Fatal("AppendEvents of two events with one number succeeds")
		}
		c, err := s.Chain(ctx, "c")
		if err != nil || c.Count != 0 || c.Head != "" {
			t.Errorf("Chain = %+v, %v; want it untouched", c, err)
		}
		got, err := s.ChainEvents(ctx, "c", 0, 10)
		if len(got) != 0 || err != nil {
			t.Errorf("ChainEvents = %v, %v; want none", got, err)
		}
	})
}

// What an event stands for once is noted with it or not at all, by all
// replicas, beside what Once notes.
func TestAnEventMayStandForWhatHappensOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.open(t), b.open(t)}
		ctx := t.Context()
		until := b.clock.now().Add(time.Minute)
		head := map[string]string{}
		count := map[string]int64{}
		add := func(replica int, keys ...string) error {
			chain := fmt.Sprint("c", replica)
			var events []gatehouse.Event
			for _, key := range keys {
				events = append(events, gatehouse.Event{ID: fmt.Sprint(chain, count[chain]+int64(len(events))), Once: gatehouse.Once{Key: key, Until: until}})
			}
			links := linked(chain, head[chain], count[chain], events...)
			err := stores[replica].AppendEvents(ctx, links, events)
			if err == nil {
				head[chain], count[chain] = links[len(links)-1].Hash, count[chain]+int64(len(links))
			}
			return err
		}
		fatal(t, stores[0].OpenChain(ctx, "c0"))
		fatal(t, stores[1].OpenChain(ctx, "c1"))

		fatal(t, add(0, "a", ""))
		wantKind(t, "the same again", add(0, "a"), gatehouse.ErrTwice)
		wantKind(t, "the same at the other replica", add(1, "a"), gatehouse.ErrTwice)
		wantKind(t, "among others", add(1, "b", "", "a", "c"), gatehouse.ErrTwice)
		wantKind(t, "twice in one batch", add(1, "d", "d"), gatehouse.ErrTwice)
		fatal(t, add(1, "b", "c", "d", "")) // which those had left alone
		fatal(t, add(0, "", ""))

		if first, err := stores[0].Once(ctx, "b", until); first || err != nil {
			t.Errorf("Once of what came with an event: %v, %v", first, err)
		}
		if first, err := stores[1].Once(ctx, "e", until); !first || err != nil {
			t.Errorf("Once: %v, %v", first, err)
		}
		wantKind(t, "what Once has noted", add(0, "e"), gatehouse.ErrTwice)
		wantKind(t, "at another place", stores[0].AppendEvents(ctx, linked("c0", "elsewhere", 9, gatehouse.Event{}), []gatehouse.Event{{Once: gatehouse.Once{Key: "f", Until: until}}}), gatehouse.ErrConflict)
		fatal(t, add(0, "f"))
		b.clock.advance(time.Minute)
		until = b.clock.now().Add(time.Minute)
		fatal(t, add(0, "a"))
		wantKind(t, "again, after its time and a second one", add(1, "a"), gatehouse.ErrTwice)
	})
}

func TestOneOfManyAnswersAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		results := make([]error, 20)
		stores := []*Store{b.open(t), b.open(t)}
		for i := range results {
			fatal(t, stores[0].OpenChain(t.Context(), fmt.Sprint("c", i)))
		}
		together(len(results), func(i int) {
			e := []gatehouse.Event{{ID: fmt.Sprint(i), Once: gatehouse.Once{Key: "k", Until: b.clock.now().Add(time.Minute)}}}
			results[i] = stores[i%2].AppendEvents(t.Context(), linked(fmt.Sprint("c", i), "", 0, e...), e)
		})
		won := 0
		for _, err := range results {
			if err == nil {
				won++
			} else if !errors.Is(err, gatehouse.ErrTwice) {
				t.Errorf("AppendEvents: %v, want ErrTwice", err)
			}
		}
		if won != 1 {
			t.Errorf("%d were the first, want 1", won)
		}
	})
}

func TestOneOfManyMovesAHead(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.open(t), b.open(t)}
		ctx := t.Context()
		fatal(t, stores[0].OpenChain(ctx, "c"))
		results := make([]error, 20)
		together(len(results), func(i int) {
			e := gatehouse.Event{ID: fmt.Sprint(i)}
			results[i] = stores[i%2].AppendEvents(ctx, linked("c", "", 0, e), []gatehouse.Event{e})
		})
		won := 0
		for _, err := range results {
			if err == nil {
				won++
			} else if !errors.Is(err, gatehouse.ErrConflict) {
				t.Errorf("AppendEvents: %v, want ErrConflict", err)
			}
		}
		if won != 1 {
			t.Errorf("%d appended at the same place, want 1", won)
		}
	})
}

func TestChainsAreNumberedWithoutAGap(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		stores := []*Store{b.open(t), b.open(t)}
		together(10, func(i int) {
			if err := stores[i%2].OpenChain(t.Context(), fmt.Sprint("chain", i)); err != nil {
				t.Errorf("OpenChain: %v", err)
			}
		})
		chains, err := stores[0].Chains(t.Context())
		fatal(t, err)
		for i, c := range chains {
			if c.Number != int64(i)+1 || c.Lost {
				t.Errorf("chain %d = %+v, want number %d", i, c, i+1)
			}
		}
		if len(chains) != 10 {
			t.Errorf("%d chains, want 10", len(chains))
		}
	})
}

func TestEventsAreFoundByWhatTheySay(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		s := b.open(t)
		ctx := t.Context()
		at := func(minutes int) time.Time { return b.clock.now().Add(time.Duration(minutes) * time.Minute) }
		const role = "arn:aws:iam::111122223333:role/Dev"
		events := []gatehouse.Event{
			{ID: "a", Time: at(0), Kind: gatehouse.EventSignInAccepted, Person: "corp/1", Username: "Alice", IP: "192.0.2.1"},
			{ID: "b", Time: at(1), Kind: gatehouse.EventGranted, Person: "corp/1", Username: "Alice", IP: "192.0.2.1",
				Account: "111122223333", Role: role, AccessKeyID: "ASIA1", SessionName: "alice"},
			{ID: "c", Time: at(2), Kind: gatehouse.EventGranted, Person: "corp/2", Username: "bob", IP: "192.0.2.2",
				Account: "111122223333", Role: role, AccessKeyID: "ASIA2", SessionName: "bob"},
			{ID: "d", Time: at(2), Kind: gatehouse.EventSignInRefused, IP: "192.0.2.2"},
		}
		fatal(t, s.OpenChain(ctx, "c"))
		fatal(t, s.AppendEvents(ctx, linked("c", "", 0, events...), events))
		tests := []struct {
			name  string
			query Query
			want  string
		}{
			{"a quote in a value is a value", Query{Person: "corp/1' or '1'='1"}, ""},
			{"everything, newest first, ties in order of the chain", Query{}, "dcba"},
			{"a person", Query{Person: "corp/1"}, "ba"},
			{"a username in any case", Query{Username: "ALICE"}, "ba"},
			{"a role", Query{Role: role}, "cb"},
			{"an account", Query{Account: "111122223333"}, "cb"},
			{"an access key", Query{AccessKeyID: "ASIA2"}, "c"},
			{"a session name", Query{SessionName: "alice"}, "b"},
			{"an address", Query{Address: "192.0.2.2"}, "dc"},
			{"a kind", Query{Kind: gatehouse.EventSignInRefused}, "d"},
			{"since is not before, until is before", Query{Since: at(1), Until: at(2)}, "b"},
			{"all conditions must hold", Query{Person: "corp/1", Kind: gatehouse.EventGranted}, "b"},
			{"no more than the limit", Query{Limit: 2}, "dc"},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				list, err := s.Events(ctx, tt.query)
				fatal(t, err)
				got := ""
				for _, e := range list {
					got += e.ID
				}
				if got != tt.want {
					t.Errorf("Events(%+v) = %q, want %q", tt.query, got, tt.want)
				}
			})
		}
		list, err := s.Events(ctx, Query{AccessKeyID: "ASIA1"})
		fatal(t, err)
		if diff := cmp.Diff(events[1:2], list); diff != "" {
			t.Errorf("an event comes back otherwise than it went in (-want +got):\n%s", diff)
		}
	})
}
