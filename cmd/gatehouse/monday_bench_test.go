package main

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	"gatehouse/internal/outside/faults"
)

// BenchmarkMonday measures with real processes (serve, nginx, slapd,
// PostgreSQL, the AWS emulator) what a sign-in, a page and a hand-out cost,
// has the model of a Monday carry 50,000 people at those costs, and prints
// both. It measures one act at a time, which is dearer than many at once. The
// figures of the simulation are computed: see monday for what is assumed.
func BenchmarkMonday(b *testing.B) {
	f := muster(b, 1)
	for b.Loop() {
		c := costs{
			signIn: f.cost(b, func() { f.signIn(b) }),
		}
		ann := f.signIn(b)
		c.page = f.cost(b, func() { ann.get("/").want(b, 200, "Developer") })
		c.signIn.processor -= c.page.processor // signIn follows to the portal
		c.signIn.trips -= c.page.trips
		c.handOut = f.cost(b, func() { takeKeys(b, []*browser{ann}, 1) })
		printf := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
		printf("measured: a sign-in %v of processor time and %d round trips to the database; the portal %v and %d; a hand-out %v and %d",
			c.signIn.processor.Round(10*time.Microsecond), c.signIn.trips, c.page.processor.Round(10*time.Microsecond), c.page.trips, c.handOut.processor.Round(10*time.Microsecond), c.handOut.trips)
		printf("| Replicas, of two processors | To the database and back | What happens | Busiest ten seconds | A sign-in: half within, 99 %% within, longest | Sign-ins at once, connections in use | Answers 503 | Last one in |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
		for _, m := range mondays {
			m.costs = c
			o := m.simulate()
			printf("| %d | %v | %s | %.0f %% | %v, %v, %v | %d, %d | %d | %s |", m.replicas, m.trip, cmp.Or(m.what(), "nothing"), 100*o.busiest,
				o.within(0.5).Round(time.Millisecond), o.within(0.99).Round(time.Millisecond), o.within(1).Round(time.Millisecond), o.signIns, o.pool, o.turnedAway, o.end(m))
		}
	}
}

const (
	middle = mondayHour / 2
	near   = time.Millisecond // a zone away
)

// mondays are what is compared.
var mondays = []monday{
	{people: 50_000, replicas: 1, cores: 2, trip: near},
	{people: 50_000, replicas: 2, cores: 2, trip: near},
	{people: 50_000, replicas: 3, cores: 2, trip: near},
	{people: 50_000, replicas: 2, cores: 2, trip: 10 * time.Millisecond},
	{people: 50_000, replicas: 2, cores: 2, trip: 40 * time.Millisecond},
	{people: 50_000, replicas: 4, cores: 2, trip: 40 * time.Millisecond},
	{people: 50_000, replicas: 4, cores: 2, trip: 80 * time.Millisecond},
	{people: 50_000, replicas: 8, cores: 2, trip: 80 * time.Millisecond},
	{people: 50_000, replicas: 2, cores: 2, trip: near, gone: middle, back: middle + 5*time.Minute},
	{people: 50_000, replicas: 3, cores: 2, trip: near, gone: middle, back: middle + 5*time.Minute},
}

func (m monday) what() string {
	if m.back == 0 {
		return ""
	}
	return fmt.Sprintf("the directory hangs for %v from the middle on", m.back-m.gone)
}

// end says when everybody was in.
func (o outcome) end(m monday) string {
	if m.back > 0 {
		return fmt.Sprintf("who had waited: %v after its return", o.caughtUp.Round(time.Second))
	}
	return o.lastIn.Round(time.Second).String()
}

// cost measures an act: processor time as a mean of many, and round trips by
// what a database that is late adds to it. Each way is late once.
func (f *fleet) cost(b *testing.B, do func()) cost {
	b.Helper()
	const many, few, late = 60, 9, 15 * time.Millisecond
	do()
	before := f.processorTime(b)
	for range many {
		do()
	}
	c := cost{processor: (f.processorTime(b) - before) / many}
	soon := took(few, do)
	f.database.Set(faults.Fault{Kind: faults.Delay, By: late})
	defer f.database.Set(faults.Fault{})
	c.trips = int((took(few, do) - soon + late) / (2 * late))
	return c
}

// took is the median of what an act took.
func took(times int, do func()) time.Duration {
	var all []float64
	for range times {
		began := time.Now()
		do()
		all = append(all, float64(time.Since(began)))
	}
	return time.Duration(median(all))
}
