package main

import (
	"context"
	"sync"
	"time"

	"gatehouse"
)

// readyFor is how long an answer about readiness is given again. Anybody may
// ask on the public port, and each look writes to the store and takes one of
// the few connections to each directory.
const readyFor = time.Second

// sparing has look look once for all who ask within readyFor.
func sparing(look func(context.Context) []gatehouse.Finding) func(context.Context) []gatehouse.Finding {
	var (
		mu     sync.Mutex // held while somebody looks, which ends within seconds
		found  []gatehouse.Finding
		looked time.Time
	)
	return func(ctx context.Context) []gatehouse.Finding {
		mu.Lock()
		defer mu.Unlock()
		if looked.IsZero() || time.Since(looked) >= readyFor {
			// Whoever asked may leave; what was seen is for all.
			found = look(context.WithoutCancel(ctx))
			looked = time.Now()
		}
		return found
	}
}
