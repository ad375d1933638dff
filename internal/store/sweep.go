package store

import (
	"context"
	"time"
)

// Sweep removes what has expired and says how much that was. It works in
// small transactions, so that nobody waits behind it; several replicas may
// sweep at once.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	// Each names the rows of one batch by its primary key. skip is where
	// PostgreSQL leaves rows to the replica that is removing them already.
	skip := ""
	if s.place.dialect == onPostgres {
		skip = " for update skip locked"
	}
	total := 0
	for _, q := range []string{
		`delete from records where (kind, key_hash) in (
			select kind, key_hash from records where expires_at <= $1 limit $2` + skip + `)`,
		`delete from counters where key_hash in (
			select key_hash from counters where expires_at <= $1 limit $2` + skip + `)`,
		`delete from learnt where key in (
			select key from learnt where expires_at <= $1 limit $2` + skip + `)`,
	} {
		n, err := s.sweepAll(ctx, q)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// sweepBatch rows take about two milliseconds.
const sweepBatch = 200

func (s *Store) sweepAll(ctx context.Context, q string) (total int, err error) {
	now := s.nowMillis()
	for {
		n, err := s.exec(ctx, q, now, sweepBatch)
		total += n
		if err != nil || n < sweepBatch {
			return total, err
		}
		select {
		case <-ctx.Done():
			return total, ctx.Err()
		case <-time.After(time.Millisecond): // let whoever waits go first
		}
	}
}
