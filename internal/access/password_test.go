package access

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
)

func change(username, old, new string) PasswordChange {
	return PasswordChange{Username: username, Old: gatehouse.Secret(old), New: gatehouse.Secret(new), Door: gatehouse.DoorPages, IP: "192.0.2.7", RequestID: "R"}
}

func TestChangePassword(t *testing.T) {
	t.Run("is made and on the record", func(t *testing.T) {
		w, b := newWorld(t)
		person, err := b.ChangePassword(t.Context(), change("alice", "right", "a new one"))
		if err != nil || person != w.people["alice"].Key() || w.password != "a new one" {
			t.Fatalf("%q, %v, password %q", person, err, w.password)
		}
		if e := w.events[0]; e.Kind != gatehouse.EventPasswordChanged || e.Person != person || e.Username != "alice" || e.IP != "192.0.2.7" {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("with a wrong old password uses up the guesses of a sign-in", func(t *testing.T) {
		w, b := newWorld(t)
		for i := range 3 {
			if _, err := b.ChangePassword(t.Context(), change("alice", fmt.Sprint("wrong ", i), "a new one")); !errors.Is(err, gatehouse.ErrInvalidCredentials) {
				t.Fatal(err)
			}
		}
		if _, err := b.SignIn(t.Context(), attempt("alice", "right")); !errors.Is(err, gatehouse.ErrThrottled) || w.binds != 3 {
			t.Errorf("sign-in after three wrong ones: %v, %d binds", err, w.binds)
		}
		if w.kinds()[0] != "password.refused invalid_credentials" {
			t.Errorf("events %q", w.kinds())
		}
	})
	t.Run("of somebody unknown looks like a wrong password", func(t *testing.T) {
		_, b := newWorld(t)
		if _, err := b.ChangePassword(t.Context(), change("nobody", "x", "a new one")); !errors.Is(err, gatehouse.ErrInvalidCredentials) || errors.Is(err, gatehouse.ErrUnknownPerson) {
			t.Error(err)
		}
	})
	t.Run("may be tried until the directory likes the new one", func(t *testing.T) {
		w, b := newWorld(t)
		for range 10 {
			_, err := b.ChangePassword(t.Context(), change("alice", "right", "short"))
			if !errors.Is(err, gatehouse.ErrPasswordRefused) {
				t.Fatal(err)
			}
		}
		if w.kinds()[0] != "password.refused too_short" || w.password != "right" {
			t.Errorf("events %q, password %q", w.kinds(), w.password)
		}
	})
	t.Run("that cannot be recorded is told as it is: made", func(t *testing.T) {
		w, b := newWorld(t)
		w.auditErr = errors.New("disk full")
		if _, err := b.ChangePassword(t.Context(), change("alice", "right", "a new one")); err != nil || w.password != "a new one" {
			t.Errorf("%v, password %q", err, w.password)
		}
	})
	t.Run("when refused takes its least time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, b := newWorld(t)
			b.d.RefusalTime = 400 * time.Millisecond
			start := time.Now()
			if _, err := b.ChangePassword(t.Context(), change("nobody", "x", "y")); err == nil || time.Since(start) != 400*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
	})
}
