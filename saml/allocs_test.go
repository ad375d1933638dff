package saml

import (
	"math"
	"runtime/debug"
	"slices"
	"testing"

	"gatehouse"
)

// What docs/operations.md says that a signed Response costs: in memory that is
// the caller's, and with a text of its own.
const (
	allocationsLent = 3
	allocationsOwn  = 4
)

// underRace reports whether the race detector is on, which allocates itself.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func TestAResponseCostsAsManyAllocationsAsTheDocumentsSay(t *testing.T) {
	p := newTestIdP(t)
	var memory gatehouse.Lent
	detector := 0.0
	if underRace() {
		detector = 1
	}
	for _, roles := range []int{1, 10} {
		a := awsAssertion(roles)
		for _, tt := range []struct {
			name    string
			want    float64
			respond func() error
		}{
			{"lent", allocationsLent, func() (err error) { memory, _, err = p.AppendResponse(t.Context(), memory[:0], a); return err }},
			{"its own", allocationsOwn, func() error { _, err := p.Respond(t.Context(), a); return err }},
		} {
			// The least of many counts: what the collector took away during one
			// is made again, and something else may allocate beside it.
			least := math.Inf(1)
			for range 50 {
				least = min(least, testing.AllocsPerRun(1, func() {
					if err := tt.respond(); err != nil {
						t.Fatal(err)
					}
				}))
			}
			if least != tt.want+detector {
				t.Errorf("%d roles, in memory that is %s: %v allocations, want %v", roles, tt.name, least, tt.want+detector)
			}
		}
	}
}
