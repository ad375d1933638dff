package store

import (
	"context"
	"database/sql"
	"fmt"

	"gatehouse"
)

// Chain is one replica's part of the record.
type Chain = gatehouse.Chain

// OpenChain begins a chain under a new name and gives it the next number.
// ErrConflict when the name was used before.
func (s *Store) OpenChain(ctx context.Context, name string) error {
	return s.within(ctx, deadline, func(ctx context.Context, tx *sql.Tx) error {
		// The row of chain_log is locked from here to the commit, so that
		// numbers have no gap.
		const count = `update chain_log set opened = opened + 1 where id = 1 returning opened, last`
		var number int64
		var before string
		if err := tx.QueryRowContext(ctx, count).Scan(&number, &before); err != nil {
			return err
		}
		const note = `update chain_log set last = $1 where id = 1`
		if _, err := tx.ExecContext(ctx, note, name); err != nil {
			return err
		}
		const insert = `
			insert into chains (name, number, after, head, events, opened_at)
			values ($1, $2, $3, '', 0, $4)
			on conflict (name) do nothing`
		res, err := tx.ExecContext(ctx, insert, name, number, before, s.nowMillis())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return orConflict(err, name)
		}
		return nil
	})
}

// CloseChain marks the orderly end of a chain: nothing is appended after it.
func (s *Store) CloseChain(ctx context.Context, name string) error {
	const q = `update chains set closed_at = $1 where name = $2 and closed_at is null`
	return s.must(s.exec(ctx, q, s.nowMillis(), name))
}

// Chain returns one chain. ErrNotFound when there is none of that name.
func (s *Store) Chain(ctx context.Context, name string) (Chain, error) {
	const q = `select name, number, head, events, opened_at, closed_at from chains where name = $1`
	// Not from the readers: who asks wants to know how a write ended.
	c := Chain{}
	err := s.each(ctx, s.write, q, []any{name}, func(row scanner) (err error) {
		c, err = scanChain(row)
		return err
	})
	if err == nil && c.Name == "" {
		return Chain{}, fmt.Errorf("chain %s: %w", name, gatehouse.ErrNotFound)
	}
	return c, err
}

func scanChain(row scanner, more ...any) (Chain, error) {
	var c Chain
	var opened int64
	var closed sql.NullInt64
	err := row.Scan(append([]any{&c.Name, &c.Number, &c.Head, &c.Count, &opened, &closed}, more...)...)
	c.OpenedAt, c.ClosedAt = instant(opened), at(closed)
	return c, err
}

// Chains returns every chain that must exist, in the order of their numbers,
// and then those that only their events tell of. The ones that do not exist
// any more are marked as lost.
func (s *Store) Chains(ctx context.Context) ([]Chain, error) {
	opened, last, err := s.chainLog(ctx)
	if err != nil {
		return nil, err
	}
	const q = `
		select name, number, head, events, opened_at, closed_at, after
		from chains
		order by number`
	var list []Chain
	err = s.list(ctx, q, nil, func(row scanner) error {
		var before string
		c, err := scanChain(row, &before)
		list = append(fillGap(list, c.Number, before), c)
		return err
	})
	if err != nil {
		return nil, err
	}
	list = fillGap(list, opened+1, last)
	orphans, err := s.orphans(ctx)
	return append(list, orphans...), err
}

func (s *Store) chainLog(ctx context.Context) (opened int64, last string, err error) {
	const q = `select opened, last from chain_log where id = 1`
	err = s.get(ctx, q, nil, &opened, &last)
	return opened, last, err
}

// fillGap adds the chains that are missing before number. The last of them is
// known by name, from the chain that came after it.
func fillGap(list []Chain, number int64, before string) []Chain {
	for n := int64(len(list)) + 1; n < number; n++ {
		c := Chain{Number: n, Lost: true}
		if n == number-1 {
			c.Name = before
		}
		list = append(list, c)
	}
	return list
}

// orphans are chains that only their events tell of.
func (s *Store) orphans(ctx context.Context) ([]Chain, error) {
	const q = `
		select distinct chain
		from events
		where chain not in (select name from chains)
		order by chain`
	var list []Chain
	err := s.list(ctx, q, nil, func(row scanner) error {
		c := Chain{Lost: true}
		err := row.Scan(&c.Name)
		list = append(list, c)
		return err
	})
	return list, err
}
