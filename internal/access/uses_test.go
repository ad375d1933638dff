package access

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
)

// counts are the numbers of the record's events.
func counts(g *guardedWorld) (list []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		list = append(list, max(1, e.Count))
	}
	return list
}

func TestWhatIsGivenAgainIsOnTheRecord(t *testing.T) {
	type step func(g *guardedWorld, s *gatehouse.Session, a *gatehouse.Ask)
	nothing := func(*guardedWorld, *gatehouse.Session, *gatehouse.Ask) {}
	again := []step{nothing, nothing, nothing}
	tests := []struct {
		name  string
		then  []step // between two deliveries
		want  int    // events at once
		later int    // events after a minute
	}{
		{"before the first delivery", nil, 1, 1},
		{"as a number within a minute, where nothing is new", again, 1, 2},
		{"before it goes to another address", []step{nothing, func(_ *guardedWorld, _ *gatehouse.Session, a *gatehouse.Ask) { a.IP = "198.51.100.9" }}, 2, 3},
		{"before another group gives it", []step{func(_ *guardedWorld, s *gatehouse.Session, _ *gatehouse.Ask) {
			s.User.Groups = person("CN=AWS-" + payments + "-Admin,OU=New," + awsOU).Groups
		}}, 2, 2},
		{"before another session has it", []step{func(_ *guardedWorld, s *gatehouse.Session, _ *gatehouse.Ask) { s.ID = "T" }}, 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, b := newGuarded(t)
				s, a := g.session(), shared()
				deliver := func() {
					if grant, err := b.Grant(t.Context(), s, a); err != nil || grant.ID == "" {
						t.Fatal(grant.ID, err)
					}
				}
				deliver()
				for _, change := range tt.then {
					change(g, &s, &a)
					deliver()
				}
				if got := counts(g); len(got) != tt.want {
					t.Errorf("at once %v, want %d events", got, tt.want)
				}
				time.Sleep(countFor + time.Second)
				got, sum := counts(g), 0
				for _, n := range got {
					sum += n
				}
				if len(got) != tt.later || sum != 1+len(tt.then) {
					t.Errorf("after a minute %v, want %d events for %d deliveries", got, tt.later, 1+len(tt.then))
				}
			})
		})
	}
}

func TestNothingIsGivenAgainWhileItsNumberCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, b := newGuarded(t)
		s := g.session()
		deliver := func() error {
			grant, err := b.Grant(t.Context(), s, shared())
			if err != nil && grant.Credentials.AccessKeyID != "" {
				t.Error("there are keys all the same")
			}
			return err
		}
		fail := func(err error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.auditErr, g.failsUnseen = err, true
		}
		for range 3 {
			if err := deliver(); err != nil {
				t.Fatal(err)
			}
		}
		fail(errors.New("disk full"))
		time.Sleep(countFor + time.Second)
		if err := deliver(); !errors.Is(err, gatehouse.ErrNotRecorded) {
			t.Errorf("%v, want ErrNotRecorded: two deliveries are on no record", err)
		}
		fail(nil)
		if err := deliver(); err != nil {
			t.Error(err)
		}
		if got := counts(g); len(got) != 2 || got[1] != 3 {
			t.Errorf("on the record %v, want the first and then the other three", got)
		}
	})
}

func TestANumberIsWrittenAtTheEnd(t *testing.T) {
	g, b := newGuarded(t)
	for range 3 {
		if _, err := b.Grant(t.Context(), g.session(), shared()); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	if got := counts(g); len(got) != 2 || got[1] != 2 {
		t.Errorf("on the record %v, want the first and the two after it", got)
	}
}
