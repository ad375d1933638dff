package main

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
	"gatehouse/internal/store"
)

func TestAReplicaWhoseClockIsWrongSaysSo(t *testing.T) {
	var wrong atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }
	s, err := store.Open(t.Context(), store.Config{URL: outside.Postgres(t)}, [][]byte{[]byte(strings.Repeat("s", 32))}, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	logs := &lines{}
	h := &house{store: s, log: slog.New(slog.NewJSONHandler(logs, nil))}
	for _, step := range []struct {
		by       time.Duration
		readyz   string // the detail of the warning
		messages int    // in the log so far
	}{
		{0, "", 0}, {30 * time.Second, "", 0},
		{5 * time.Minute, "ahead of the database's by 5m0s", 1}, {5 * time.Minute, "ahead of the database's by 5m0s", 1},
		{0, "", 2}, {-5 * time.Minute, "ahead of the database's by -5m0s", 3},
	} {
		wrong.Store(int64(step.by))
		if err := h.readClock(t.Context()); err != nil {
			t.Fatal(err)
		}
		said := h.clock()
		if (len(said) > 0) != (step.readyz != "") || len(said) > 0 && (said[0].Detail != step.readyz || said[0].State != gatehouse.FindingWarning) {
			t.Errorf("%v off: readiness says %+v, want %q", step.by, said, step.readyz)
		}
		if n := strings.Count(logs.String(), "this clock and the database's"); n != step.messages {
			t.Errorf("%v off: %d messages, want %d:\n%s", step.by, n, step.messages, logs)
		}
	}
}
