package idp

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse"
)

func TestOneAddressDoesNotFillTheStoreWithRequests(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	var m room
	for i := range mostParked {
		if err := m.take(fmt.Sprintf("2001:db8:1:2::%x", i), now); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if err := m.take("2001:db8:1:2::9", now); !errors.Is(err, gatehouse.ErrThrottled) {
		t.Errorf("one more of that network: %v", err)
	}
	if err := m.take("192.0.2.1", now); err != nil {
		t.Errorf("another address: %v", err)
	}
	if err := m.take("2001:db8:1:2::9", now.Add(parkedFor)); err != nil {
		t.Errorf("once the first have expired: %v", err)
	}
}

func TestWithoutRoomARequestIsNotParked(t *testing.T) {
	w := newWorld(t)
	w.door.room.until, w.door.room.taken = time.Now().Add(time.Hour), map[string]int{"127.0.0.1": mostParked}
	w.get("/saml/launch?sp=" + wikiID)
	if len(w.problems) != 1 || !errors.Is(w.problems[0], gatehouse.ErrThrottled) {
		t.Errorf("problems %v", w.problems)
	}
}
