package delegate

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"gatehouse"
)

// news are the addresses that alice is shown.
func (d *desk) news() (list []string) {
	d.t.Helper()
	all, err := d.k.List(d.t.Context(), alice().User.Key())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, p := range all {
		for _, n := range p.New {
			list = append(list, n.IP)
		}
	}
	return list
}

// use is one use of an access token at an address.
func (d *desk) use(access gatehouse.Secret, ip string) error {
	h, err := d.k.Check(d.t.Context(), access)
	if err == nil {
		_, err = d.k.Welcome(d.t.Context(), h, ip, "r")
	}
	return err
}

func TestNewPlaces(t *testing.T) {
	const far, farther = "203.0.113.9", "2001:db8:1:2::9"
	portal := gatehouse.Event{Session: "another", Door: gatehouse.DoorPages}
	tests := []struct {
		name   string
		before []string // where alice signed in to the portal, another day
		uses   []string // where the program is used then
		want   []string
	}{
		{"where a program asks from, and where somebody agrees", nil, nil, []string{here, there}},
		{"not where they signed in to the portal before", []string{here, there}, nil, nil},
		{"where a program is first used", []string{here, there}, []string{there, far}, []string{far}},
		{"once, however often it is used there", []string{here, there}, []string{far, there, far, far}, []string{far}},
		{"not at another address of one client", []string{here, there, farther}, []string{"2001:db8:1:2::5"}, nil},
		{"by the /64", []string{here, there}, []string{farther, "2001:db8:1:2::5", "2001:db8:1:3::5"}, []string{farther, "2001:db8:1:3::5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.watches = true
			for _, ip := range tt.before {
				e := portal
				e.IP = ip
				d.signed = append(d.signed, e)
			}
			_, tokens := d.signedIn()
			for _, ip := range tt.uses {
				if err := d.use(tokens.Access, ip); err != nil {
					t.Fatal(err)
				}
			}
			if got := d.news(); !slices.Equal(got, tt.want) {
				t.Errorf("shown %q, want %q", got, tt.want)
			}
			var want []string
			for _, ip := range tt.want {
				want = append(want, "place "+ip)
			}
			if got := slices.DeleteFunc(slices.Clone(d.events), func(e string) bool { return e == "accepted botocore-client-gatehouse" }); !slices.Equal(got, want) {
				t.Errorf("on the record %q, want %q", got, want)
			}
		})
	}
}

func TestANewPlaceIsOnTheRecordBeforeAnythingIsGivenThere(t *testing.T) {
	d := newDesk(t)
	d.watches = true
	c, tokens := d.signedIn()
	d.denied = gatehouse.ErrNotRecorded
	if err := d.use(tokens.Access, "203.0.113.9"); !errors.Is(err, gatehouse.ErrNotRecorded) {
		t.Errorf("a use without a record: %v", err)
	}
	if _, err := d.k.Refresh(t.Context(), c, tokens.Refresh, "203.0.113.9", "r"); !errors.Is(err, gatehouse.ErrNotRecorded) {
		t.Errorf("a refresh without a record: %v", err)
	}
	if err := d.use(tokens.Access, there); err != nil {
		t.Errorf("where it was before: %v", err)
	}
}

func TestAPlaceIsNewOnceForManyAtOnce(t *testing.T) {
	d := newDesk(t)
	d.watches = true
	_, tokens := d.signedIn()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := d.use(tokens.Access, "203.0.113.9"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	d.wantEvents("accepted botocore-client-gatehouse", "place "+here, "place "+there, "place 203.0.113.9")
}

func TestANoticeStandsUntilAWordOrTheEnd(t *testing.T) {
	person := alice().User.Key()
	sole := func(t *testing.T, d *desk) string {
		list, err := d.k.List(t.Context(), person)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0].ID
	}
	t.Run("a place that its person knows is not new again", func(t *testing.T) {
		d := newDesk(t)
		d.signedIn()
		if err := d.k.Known(t.Context(), person, sole(t, d)); err != nil {
			t.Fatal(err)
		}
		if got := d.news(); got != nil {
			t.Errorf("still shown: %q", got)
		}
		if d.signedIn(); d.news() != nil {
			t.Errorf("the next sign-in there shows %q", d.news())
		}
	})
	t.Run("a place of a sign-in that was ended is as new the next time", func(t *testing.T) {
		d := newDesk(t)
		d.signedIn()
		if err := d.k.End(t.Context(), person, sole(t, d)); err != nil || d.news() != nil {
			t.Fatal(d.news(), err)
		}
		if d.signedIn(); len(d.news()) != 2 {
			t.Errorf("shown %q, want both places", d.news())
		}
	})
	t.Run("nobody speaks for another", func(t *testing.T) {
		d := newDesk(t)
		d.signedIn()
		if err := d.k.Known(t.Context(), "corp/b", sole(t, d)); !errors.Is(err, gatehouse.ErrNotFound) || len(d.news()) != 2 {
			t.Errorf("%v, and %q is shown", err, d.news())
		}
	})
}
