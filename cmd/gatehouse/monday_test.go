package main

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// monday is a model of the hour in which everybody comes to work: a
// simulation by events, whose costs BenchmarkMonday measures with real
// processes. Half of the people come evenly over the hour, the other half
// around its middle (a normal distribution, five minutes wide). Each signs in,
// sees the portal, takes keys or a console some seconds later, and six in ten
// do so again within the hour. The balancer takes replicas in turn.
//
// What it leaves out makes it worse than the real thing: commits of the
// record are not shared. What it assumes is in the constants below.
type monday struct {
	people, replicas, cores int           // cores of each replica
	trip                    time.Duration // one round trip to the database, there and back
	gone, back              time.Duration // between them the directory hangs
	costs                   costs
}

// costs are what one act needs.
type costs struct{ signIn, page, handOut cost }

type cost struct {
	processor time.Duration // of the replica
	trips     int           // round trips to the database, one after the other
}

// What the outside and people are assumed to take, and what a replica allows
// by default (limits.sign_ins, limits.sign_ins_waiting, the directory's and
// the database's connections; docs/operations.md).
const (
	mondayHour     = time.Hour
	mondayBind     = 10 * time.Millisecond  // all of a sign-in's talk with the directory
	mondaySTS      = 150 * time.Millisecond // AWS's answer
	mondayCommit   = time.Millisecond       // the database's own time for one round trip
	mondayGiveUp   = 4 * time.Second
	mondayPatience = 5 * time.Second
	mondayRetry    = 10 * time.Second // and up to 20 s more: people who read "try again"
	mondaySlots    = 32
	mondayWaiting  = 512
	mondayBinds    = 4
	mondayPool     = 16
)

// outcome is what came of a Monday.
type outcome struct {
	waits      []time.Duration // of each sign-in that was accepted, from the click to the answer; sorted
	handOuts   int
	turnedAway int           // answers 503; everybody comes again
	lastIn     time.Duration // when the last person was in
	caughtUp   time.Duration // after the directory's return, until all were in who had come before it
	busiest    float64       // share of all processors, in the busiest ten seconds
	signIns    int           // most at one time, at one replica
	pool       int           // most connections to the database in use, at one replica
}

// within is the wait that a share of all had at most.
func (o outcome) within(share float64) time.Duration {
	if len(o.waits) == 0 {
		return 0
	}
	return o.waits[min(len(o.waits)-1, int(share*float64(len(o.waits))))]
}

// simulation is a Monday under way.
type simulation struct {
	monday
	outcome
	random *rand.Rand
	now    time.Duration
	agenda agenda
	count  int
	next   int // replica
	houses []*modelHouse
	spent  []time.Duration // processor time, by ten seconds
}

// modelHouse is one replica: what there is only so much of.
type modelHouse struct{ processors, signIns, directory, pool *desk }

// simulate runs a Monday to its end, the same way each time.
func (m monday) simulate() outcome {
	s := &simulation{monday: m, random: rand.New(rand.NewPCG(50_000, 9))}
	for range m.replicas {
		s.houses = append(s.houses, &modelHouse{processors: &desk{places: m.cores, counted: true}, directory: &desk{places: mondayBinds}, pool: &desk{places: mondayPool},
			signIns: &desk{places: mondaySlots, bound: mondayWaiting, patience: mondayPatience}})
	}
	for i := range m.people {
		at := time.Duration(s.random.Float64() * float64(mondayHour))
		if i%2 == 0 {
			at = mondayHour/2 + time.Duration(s.random.NormFloat64()*float64(5*time.Minute))
		}
		s.at(max(0, at), func() { s.arrive(s.now) })
	}
	for len(s.agenda) > 0 {
		e := heap.Pop(&s.agenda).(entry)
		s.now = e.at
		e.do()
	}
	for _, h := range s.houses {
		s.signIns, s.outcome.pool = max(s.signIns, h.signIns.most), max(s.outcome.pool, h.pool.most)
	}
	for _, spent := range s.spent {
		s.busiest = max(s.busiest, spent.Seconds()/10/float64(m.replicas*m.cores))
	}
	slices.Sort(s.waits)
	return s.outcome
}

// arrive is somebody who clicks on Sign in, and did so first at a time.
func (s *simulation) arrive(first time.Duration) {
	clicked, h := s.now, s.turn()
	again := func() {
		s.turnedAway++
		s.after(mondayRetry+time.Duration(s.random.Float64()*2*float64(mondayRetry)), func() { s.arrive(first) })
	}
	h.signIns.take(s, func() {
		if s.now >= s.gone && s.now < s.back { // it hangs, for as long as a sign-in may take
			s.after(mondayGiveUp, func() { h.signIns.leave(); again() })
			return
		}
		s.work(h.processors, s.costs.signIn.processor/2, func() {
			s.work(h.directory, mondayBind, func() {
				s.work(h.pool, s.talk(s.costs.signIn), func() {
					s.work(h.processors, s.costs.signIn.processor/2, func() {
						h.signIns.leave()
						s.waits, s.lastIn = append(s.waits, s.now-clicked), s.now
						if first < s.back {
							s.caughtUp = s.now - s.back
						}
						s.goOn()
					})
				})
			})
		})
	}, again)
}

// goOn is what somebody does who is in.
func (s *simulation) goOn() {
	s.act(s.costs.page, 0)
	s.after(time.Duration(s.random.ExpFloat64()*float64(15*time.Second)), s.handOut)
	if s.random.IntN(10) < 6 {
		s.after(time.Duration(s.random.Float64()*float64(mondayHour)), s.handOut)
	}
}

func (s *simulation) handOut() { s.handOuts++; s.act(s.costs.handOut, mondaySTS) }

func (s *simulation) act(c cost, outside time.Duration) {
	h := s.turn()
	s.work(h.processors, c.processor/2, func() {
		s.after(outside, func() {
			s.work(h.pool, s.talk(c), func() { s.work(h.processors, c.processor/2, func() {}) })
		})
	})
}

// talk is how long an act keeps a connection to the database.
func (s *simulation) talk(c cost) time.Duration {
	return time.Duration(c.trips) * (s.trip + mondayCommit)
}

func (s *simulation) turn() *modelHouse {
	s.next++
	return s.houses[s.next%len(s.houses)]
}

// work takes a place for a while, and then goes on.
func (s *simulation) work(d *desk, takes time.Duration, then func()) {
	d.take(s, func() {
		if d.counted {
			s.account(takes)
		}
		s.after(takes, func() { d.leave(); then() })
	}, nil)
}

func (s *simulation) account(takes time.Duration) {
	i := int(s.now / (10 * time.Second))
	for len(s.spent) <= i {
		s.spent = append(s.spent, 0)
	}
	s.spent[i] += takes
}

// desk is something with so many places, before which people queue.
type desk struct {
	places, bound int // bound: how many may wait; 0: any number
	patience      time.Duration
	counted       bool // these are processors
	taken, most   int
	queue         []*waiting
}

type waiting struct{ then func() }

// take goes on with then when there is a place, or with refused when the
// queue is full or it took too long.
func (d *desk) take(s *simulation, then, refused func()) {
	if d.taken < d.places {
		d.taken++
		d.most = max(d.most, d.taken)
		then()
		return
	}
	if d.bound > 0 && len(d.queue) >= d.bound {
		refused()
		return
	}
	w := &waiting{then: then}
	d.queue = append(d.queue, w)
	if d.patience > 0 {
		s.after(d.patience, func() {
			if i := slices.Index(d.queue, w); i >= 0 {
				d.queue = slices.Delete(d.queue, i, i+1)
				refused()
			}
		})
	}
}

// leave gives the place to whoever has waited longest.
func (d *desk) leave() {
	if len(d.queue) == 0 {
		d.taken--
		return
	}
	w := d.queue[0]
	d.queue = d.queue[1:]
	w.then()
}

// agenda is what will happen, the soonest first; of what happens together,
// what was entered first.
type agenda []entry

type entry struct {
	at    time.Duration
	count int
	do    func()
}

func (s *simulation) at(at time.Duration, do func()) {
	s.count++
	heap.Push(&s.agenda, entry{at, s.count, do})
}

func (s *simulation) after(d time.Duration, do func()) { s.at(s.now+d, do) }

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, k int) bool {
	return a[i].at < a[k].at || a[i].at == a[k].at && a[i].count < a[k].count
}
func (a agenda) Swap(i, k int) { a[i], a[k] = a[k], a[i] }
func (a *agenda) Push(e any)   { *a = append(*a, e.(entry)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}

// likely are costs like those that were measured, for tests of the model.
var likely = costs{signIn: cost{4 * time.Millisecond, 12}, page: cost{time.Millisecond, 2}, handOut: cost{3 * time.Millisecond, 5}}

func TestOnAMondayEverybodyGetsIn(t *testing.T) {
	for name, m := range map[string]monday{
		"one replica":                     {people: 10_000, replicas: 1, cores: 2, trip: time.Millisecond, costs: likely},
		"two":                             {people: 10_000, replicas: 2, cores: 2, trip: time.Millisecond, costs: likely},
		"the database across a continent": {people: 10_000, replicas: 2, cores: 2, trip: 40 * time.Millisecond, costs: likely},
		"the directory away at nine":      {people: 10_000, replicas: 2, cores: 2, trip: time.Millisecond, gone: 30 * time.Minute, back: 35 * time.Minute, costs: likely},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := m.simulate()
			if len(o.waits) != m.people {
				t.Errorf("%d of %d people got in", len(o.waits), m.people)
			}
			if away := m.back > 0; (o.turnedAway > 0) != away {
				t.Errorf("%d were turned away", o.turnedAway)
			}
			if share := float64(o.handOuts) / float64(m.people); share < 1.55 || share > 1.65 {
				t.Errorf("each had %.2f hand-outs, want 1.6", share)
			}
		})
	}
}

// What queueing theory knows, the model must show.
func TestTheModelOfAMondayQueuesAsQueuesDo(t *testing.T) {
	t.Run("one place, equal services, half busy: the mean wait is half a service (M/D/1)", func(t *testing.T) {
		s := &simulation{random: rand.New(rand.NewPCG(1, 2))}
		d, service, n, total := &desk{places: 1}, 10*time.Millisecond, 100_000, time.Duration(0)
		for i, at := 0, time.Duration(0); i < n; i++ {
			at += time.Duration(s.random.ExpFloat64() * float64(2*service))
			s.at(at, func() {
				came := s.now
				d.take(s, func() { total += s.now - came; s.after(service, func() { d.leave() }) }, nil)
			})
		}
		for len(s.agenda) > 0 {
			e := heap.Pop(&s.agenda).(entry)
			s.now = e.at
			e.do()
		}
		if mean := float64(total) / float64(n) / float64(service); mean < 0.45 || mean > 0.55 {
			t.Errorf("the mean wait is %.3f services, want 0.5", mean)
		}
	})
	t.Run("too little of anything turns people away, and they come again", func(t *testing.T) {
		dear := likely
		dear.signIn.processor = 500 * time.Millisecond
		o := monday{people: 5000, replicas: 1, cores: 1, costs: dear}.simulate()
		few := monday{people: 5000, replicas: 1, cores: 1, costs: likely}.simulate()
		if len(o.waits) != 5000 || o.turnedAway == 0 || o.busiest < 0.9 || o.lastIn <= few.lastIn {
			t.Errorf("%d in, %d turned away, %.0f%% busy, the last in after %v", len(o.waits), o.turnedAway, 100*o.busiest, o.lastIn)
		}
	})
	t.Run("the same Monday is the same", func(t *testing.T) {
		m := monday{people: 2000, replicas: 2, cores: 2, trip: time.Millisecond, costs: likely}
		if a, b := m.simulate(), m.simulate(); !slices.Equal(a.waits, b.waits) {
			t.Error("two runs differ")
		}
	})
}
