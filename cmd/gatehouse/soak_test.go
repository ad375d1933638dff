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
// of the network to the directory, to AWS and to the database, a replica
// killed, one restarted: each of them once. GATEHOUSE_TEST_SOAK makes it
// longer: 10m.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("GATEHOUSE_TEST_SOAK"), "20s"))
	if err != nil {
		t.Fatalf("GATEHOUSE_TEST_SOAK: %v", err)
	}
	f := muster(t, 3)
	before := f.signIn(t)
	work := f.work(t, 6)
	wires := []*faults.Proxy{f.directory, f.database, f.sts}
	for round, end := 0, time.Now().Add(length); time.Now().Before(end); round++ {
		r := f.replicas[round%len(f.replicas)]
		switch round % 5 {
		case 3:
			r.kill()
			r.start(t)
		case 4:
			r.stop(t)
			r.start(t)
		default:
			trouble := troubles[rand.IntN(len(troubles))]
			wires[round%5].Set(trouble.fault)
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
			wires[round%5].Set(faults.Fault{})
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
	kinds, first := map[string]int{}, ""
	for _, w := range wrong {
		kind := "other"
		for _, known := range []string{"502 Bad Gateway", "504 Gateway", "status 503", "status 502", "EOF"} {
			if strings.Contains(w, known) {
				kind = known
				break
			}
		}
		if kinds[kind]++; kind == "other" && first == "" {
			first = w
		}
	}
	t.Logf("%d requests in %v, %d of them turned away meanwhile: %v; %d keys", work.requests.Load(), length, len(wrong), kinds, len(work.keys))
	if n := kinds["other"]; n > 0 {
		t.Errorf("%d times somebody got neither an answer nor a reason; first: %s", n, first)
	}
	f.nothingIsLost(t, before, work)
	for _, r := range f.replicas {
		t.Logf("%s: %d kB, at most %d kB", r.address, proc(t, r.cmd.Process.Pid, "VmRSS:"), proc(t, r.cmd.Process.Pid, "VmHWM:"))
	}
}
