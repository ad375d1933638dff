package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/outside"
)

// BenchmarkReplicas reports what a hand-out costs all replicas together, in
// processor time: of one replica, of two, and the two by the one, x_one, which
// may be 1.1. Both fleets are real processes behind nginx, each with a
// PostgreSQL database of its own; their rounds take turns, so that a busy
// machine slows both, and a figure is the median of the rounds. In a round a
// few people for each replica take keys again and again, all at once: as many
// for each, since those who wait together share one commit of the record,
// which the same few spread over two replicas do less (and cost 1.13). ns/op
// is a round of both.
func BenchmarkReplicas(b *testing.B) {
	const people, each = 4, 25 // of each replica
	fleets := []*fleet{muster(b, 1), muster(b, 2)}
	var desks [2][]*browser
	for k, f := range fleets {
		for range people * len(f.replicas) {
			desks[k] = append(desks[k], f.signIn(b))
		}
		takeKeys(b, desks[k], each) // dials, everywhere
	}
	var cost [2][]float64
	for i := 0; b.Loop(); i++ {
		for k := range fleets {
			k = (i + k) % 2
			before := fleets[k].processorTime(b)
			takeKeys(b, desks[k], each)
			spent := fleets[k].processorTime(b) - before
			cost[k] = append(cost[k], float64(spent.Microseconds())/float64(len(desks[k])*each))
		}
	}
	one, two := median(cost[0]), median(cost[1])
	b.ReportMetric(one, "one-µs/hand-out")
	b.ReportMetric(two, "two-µs/hand-out")
	b.ReportMetric(two/one, "x_one")
}

// takeKeys has everybody take keys, so many times, all at once.
func takeKeys(b *testing.B, people []*browser, times int) {
	b.Helper()
	var all sync.WaitGroup
	for _, p := range people {
		all.Go(func() {
			for range times {
				if text, err := p.attempt("POST", developerOfAnn, url.Values{"as": {"json"}}); err != nil || !strings.Contains(text, "ASIA") {
					b.Errorf("no keys: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// processorTime is what the replicas' processes have used so far.
func (f *fleet) processorTime(t testing.TB) (sum time.Duration) {
	t.Helper()
	for _, r := range f.replicas {
		// The first field is the nanoseconds that a thread ran (the kernel's
		// sched-stats.rst); the clock ticks of proc_pid_stat(5) are too coarse.
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", r.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			outside.Missing(t, "/proc/PID/task/TID/schedstat, to see what processor time is used (Linux, CONFIG_SCHED_INFO)")
		}
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // the thread has just ended
			}
			ran, _, _ := strings.Cut(string(text), " ")
			ns, err := strconv.ParseInt(ran, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(ns)
		}
	}
	return sum
}
