package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
)

func TestACrowdThatAsksForReadinessCostsOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		ready := sparing(func(ctx context.Context) []gatehouse.Finding {
			looks++
			return []gatehouse.Finding{{Subject: "store", State: gatehouse.FindingOK}}
		})
		gone, leave := context.WithCancel(t.Context())
		leave()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if list := ready(gone); len(list) != 1 {
					t.Errorf("told %v", list)
				}
			})
		}
		all.Wait()
		if looks != 1 {
			t.Errorf("%d looks, want 1", looks)
		}
		time.Sleep(readyFor)
		if ready(t.Context()); looks != 2 {
			t.Errorf("%d looks after a while, want 2", looks)
		}
	})
}
