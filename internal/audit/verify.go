package audit

import (
	"context"
	"errors"
	"fmt"

	"gatehouse"
)

// Chains is the record as Verify reads it.
type Chains interface {
	// Chains returns every chain that must exist, those that do not marked as lost.
	Chains(ctx context.Context) ([]gatehouse.Chain, error)

	// Chain returns one chain as it is now. ErrNotFound.
	Chain(ctx context.Context, name string) (gatehouse.Chain, error)

	// ChainEvents returns up to limit links, in order, after a sequence number.
	ChainEvents(ctx context.Context, chain string, after int64, limit int) ([]gatehouse.Link, error)

	// Misfiled returns which of these links are filed under something that
	// their bodies do not say.
	Misfiled(ctx context.Context, chain string, after int64, limit int) ([]int64, error)
}

// Report is what Verify found.
type Report struct {
	Chains   int
	Events   int64
	Problems []Problem // empty when the record is whole
}

// OK reports whether the record is whole.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Problem is one place where the record is not what was recorded.
type Problem struct {
	Chain string // its name, or #number when that is lost too
	Seq   int64  // of the event; 0 when the chain itself is meant
	What  string
}

func (p Problem) String() string {
	if p.Seq == 0 {
		return fmt.Sprintf("chain %s: %s", p.Chain, p.What)
	}
	return fmt.Sprintf("chain %s, event %d: %s", p.Chain, p.Seq, p.What)
}

// page is how many events are read at a time.
const page = 500

// Verify walks every chain, while replicas go on writing to theirs. The error
// is the store's; what is wrong with the record is in the report.
func Verify(ctx context.Context, store Chains) (Report, error) {
	list, err := store.Chains(ctx)
	if err != nil {
		return Report{}, err
	}
	var r Report
	for _, c := range list {
		r.Chains++
		if c.Lost {
			r.add(label(c), 0, lost(c))
			continue
		}
		w := walker{store: store, report: &r, chain: c.Name}
		if err := w.walk(ctx); err != nil {
			return r, err
		}
		r.Events += w.events
	}
	return r, nil
}

func (r *Report) add(chain string, seq int64, what string) {
	r.Problems = append(r.Problems, Problem{chain, seq, what})
}

func label(c gatehouse.Chain) string {
	if c.Name == "" {
		return fmt.Sprintf("#%d", c.Number)
	}
	return c.Name
}

func lost(c gatehouse.Chain) string {
	if c.Number == 0 {
		return "is lost, although there are events of it"
	}
	return fmt.Sprintf("chain number %d is lost", c.Number)
}

// walker goes along one chain.
type walker struct {
	store  Chains
	report *Report
	chain  string
	seq    int64  // of the last event seen
	hash   string // of the last event seen
	events int64
}

// walk compares the events with each other, and then the last one with the
// chain's head. The head is read after the events: a replica that appends
// meanwhile can only have moved it further, and then the walk goes on.
func (w *walker) walk(ctx context.Context) error {
	for {
		before := w.seq
		if err := w.forward(ctx); err != nil {
			return err
		}
		c, err := w.store.Chain(ctx, w.chain)
		switch {
		case errors.Is(err, gatehouse.ErrNotFound):
			w.report.add(w.chain, 0, "was lost during the walk")
			return nil
		case err != nil:
			return err
		case c.Count > w.seq && w.seq > before:
			continue
		}
		w.compare(c)
		return nil
	}
}

// compare holds the end of the walk against the chain's head.
func (w *walker) compare(c gatehouse.Chain) {
	switch {
	case c.Count > w.seq:
		w.report.add(w.chain, 0, fmt.Sprintf("its end is cut off: it has %d events, the last one found is %d", c.Count, w.seq))
	case c.Count < w.seq:
		w.report.add(w.chain, 0, fmt.Sprintf("its head was moved back: it says %d events, and there is event %d", c.Count, w.seq))
	case c.Head != w.hash:
		w.report.add(w.chain, 0, "its head is not its last event")
	}
}

// forward reads to the end of the events that there are.
func (w *walker) forward(ctx context.Context) error {
	for {
		after := w.seq
		links, err := w.store.ChainEvents(ctx, w.chain, after, page)
		if err != nil || len(links) == 0 {
			return err
		}
		for _, l := range links {
			w.step(l)
		}
		misfiled, err := w.store.Misfiled(ctx, w.chain, after, len(links))
		if err != nil {
			return err
		}
		for _, seq := range misfiled {
			w.report.add(w.chain, seq, "is filed under something that it does not say")
		}
	}
}

// step looks at the next event.
func (w *walker) step(l gatehouse.Link) {
	switch {
	case l.Seq == w.seq+2:
		w.report.add(w.chain, w.seq+1, "is missing")
	case l.Seq != w.seq+1:
		w.report.add(w.chain, w.seq+1, fmt.Sprintf("is missing, and all up to %d", l.Seq-1))
	case l.Prev != w.hash:
		w.report.add(w.chain, l.Seq, "does not follow the event before it")
	}
	if Hash(l.Prev, l.Body) != l.Hash {
		w.report.add(w.chain, l.Seq, "was changed: its hash is another")
	}
	w.seq, w.hash = l.Seq, l.Hash
	w.events++
}
