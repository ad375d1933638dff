package idp

import (
	"sync"
	"time"

	"gatehouse"
)

// mostParked is how many requests one client address may have parked within
// parkedFor. Anybody can send requests, and each is kept for that long; an
// office of thousands that opens one application on Monday morning stays below.
const mostParked = 5000

// room counts who parked how much, in this replica. Windows do not slide:
// what is bounded is what the store holds, to twice mostParked for an address.
type room struct {
	mu    sync.Mutex
	until time.Time // when all counts start anew
	taken map[string]int
}

// take takes room for one request of ip's, or says when there is some again.
func (m *room) take(ip string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !now.Before(m.until) {
		m.until, m.taken = now.Add(parkedFor), map[string]int{}
	}
	client := gatehouse.Network(ip)
	if m.taken[client] >= mostParked {
		return &gatehouse.Throttled{Until: m.until, Why: "address"}
	}
	m.taken[client]++
	return nil
}
