package main

import (
	"cmp"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/outside/faults"
)

// Three replicas behind nginx, people at work, and one trouble after another:
// of the network to the directory, to the database and to both of AWS's
// endpoints, a replica killed, one restarted: each of these six at least once.
// GATEHOUSE_TEST_SOAK makes it longer: 10m has every trouble on every wire.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("GATEHOUSE_TEST_SOAK"), "20s"))
	if err != nil {
		t.Fatalf("GATEHOUSE_TEST_SOAK: %v", err)
	}
	f := muster(t, 3)
	before := f.signIn(t)
	work := f.work(t, 6)
	wires := []*faults.Proxy{f.directory, f.database, f.sts, f.outskirts.signIn}
	order := rand.Perm(len(troubles))
	t.Logf("troubles in the order %v", order)
	kinds := len(wires) + 2
	for round, end := 0, time.Now().Add(length); round < kinds || time.Now().Before(end); round++ {
		r := f.replicas[round%len(f.replicas)]
		switch kind := round % kinds; kind {
		case kinds - 2:
			r.kill()
			r.start(t)
		case kinds - 1:
			r.stop(t)
			r.start(t)
		default: // the next round starts with the next trouble
			wires[kind].Set(troubles[order[(round/kinds+kind)%len(order)]].fault)
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
			wires[kind].Set(faults.Fault{})
		}
		healed(t, func() bool {
			for _, r := range f.replicas {
				if !f.isReady(r) {
					return false
				}
			}
			return true
		})
		time.Sleep(time.Second) // all is well for a while
	}
	wrong := work.end()
	refusals, first := map[string]int{}, ""
	for _, w := range wrong {
		kind := "other"
		for _, known := range []string{"502 Bad Gateway", "504 Gateway", "status 503", "status 502", "EOF"} {
			if strings.Contains(w, known) {
				kind = known
				break
			}
		}
		if refusals[kind]++; kind == "other" && first == "" {
			first = w
		}
	}
	t.Logf("%d requests in %v, %d of them turned away meanwhile: %v; %d keys", work.requests.Load(), length, len(wrong), refusals, len(work.keys))
	if n := refusals["other"]; n > 0 {
		t.Errorf("%d times somebody got neither an answer nor a reason; first: %s", n, first)
	}
	f.nothingIsLost(t, before, work)
	for _, r := range f.replicas {
		t.Logf("%s: %d kB, at most %d kB", r.address, proc(t, r.cmd.Process.Pid, "VmRSS:"), proc(t, r.cmd.Process.Pid, "VmHWM:"))
	}
}
