package delegate

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"gatehouse"
)

func TestTheEndOfAll(t *testing.T) {
	person := alice().User.Key()
	t.Run("ends what programs have, with the protocol's own word", func(t *testing.T) {
		d := newDesk(t)
		c, tokens := d.signedIn()
		if n, err := d.k.EndAll(t.Context(), person); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		_, err := d.k.Check(t.Context(), tokens.Access)
		d.wantRefused("an access token", err, "invalid_token")
		_, err = d.k.Refresh(t.Context(), c, tokens.Refresh, there, "r")
		d.wantRefused("a refresh token", err, "invalid_grant")
	})
	t.Run("ends what was agreed to and not fetched yet", func(t *testing.T) {
		d := newDesk(t)
		c := d.client()
		dev := d.device(c)
		if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, true, here, "r"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.k.EndAll(t.Context(), person); err != nil {
			t.Fatal(err)
		}
		tokens, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode)
		if d.wantRefused("a device code", err, "access_denied"); tokens.Access != "" {
			t.Error("there is a token all the same")
		}
		if list, _ := d.k.List(t.Context(), person); len(list) != 0 {
			t.Errorf("there is %+v", list)
		}
	})
	t.Run("leaves others, and what is agreed to later", func(t *testing.T) {
		d := newDesk(t)
		_, tokens := d.signedIn()
		if _, err := d.k.EndAll(t.Context(), "corp/b"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.k.Check(t.Context(), tokens.Access); err != nil {
			t.Errorf("another's: %v", err)
		}
		if _, err := d.k.EndAll(t.Context(), person); err != nil {
			t.Fatal(err)
		}
		_, tokens = d.signedIn()
		if _, err := d.k.Check(t.Context(), tokens.Access); err != nil {
			t.Errorf("what was agreed to later: %v", err)
		}
	})
}

// Whoever is revoked in the middle of a refresh, or of a sign-in, has nothing
// afterwards, whichever came first.
func TestNothingOutlivesTheEndOfAll(t *testing.T) {
	d := newDesk(t)
	person := alice().User.Key()
	for round := range 20 {
		c, tokens := d.signedIn()
		dev := d.device(c)
		if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, true, here, "r"); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var refreshed, redeemed Tokens
		all.Go(func() { refreshed, _ = d.k.Refresh(t.Context(), c, tokens.Refresh, there, "r") })
		all.Go(func() { redeemed, _ = d.k.RedeemDevice(t.Context(), c, dev.DeviceCode) })
		all.Go(func() {
			if _, err := d.k.EndAll(t.Context(), person); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		for what, tokens := range map[string]Tokens{"the first": tokens, "a refreshed": refreshed, "a fetched": redeemed} {
			if _, err := d.k.Check(t.Context(), tokens.Access); err == nil {
				t.Errorf("%s token is good after the end of all", fmt.Sprint(round, " ", what))
			}
		}
	}
}

// Whoever guesses codes at one replica has guessed at all of them.
func TestGuessesAreCountedAcrossReplicas(t *testing.T) {
	d := newDesk(t)
	other := New(d.k.d)
	code := d.device(d.client()).UserCode
	for i := range mostByPerson {
		k := []*Keeper{d.k, other}[i%2]
		if _, err := k.Waiting(t.Context(), alice(), "BBBB-BBBB", here); !errors.Is(err, gatehouse.ErrInvalid) {
			t.Fatalf("guess %d: %v, want ErrInvalid", i+1, err)
		}
	}
	for i, k := range []*Keeper{d.k, other} {
		if _, err := k.Waiting(t.Context(), alice(), code, here); !errors.Is(err, gatehouse.ErrThrottled) {
			t.Errorf("replica %d, after %d guesses at both: %v, want ErrThrottled even for a code that waits", i+1, mostByPerson, err)
		}
	}
	d.pass(guessWindow + 1)
	if _, err := other.Waiting(t.Context(), alice(), code, here); err == nil {
		t.Error("the code has outlived its ten minutes")
	} else if errors.Is(err, gatehouse.ErrThrottled) {
		t.Errorf("after the window: %v", err)
	}
}
