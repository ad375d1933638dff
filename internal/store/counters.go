package store

import (
	"context"
	"errors"
	"time"

	"gatehouse"
)

// Hit adds one to a counter and returns the new count and when the counter
// starts anew: a window after its last hit. It is one statement, so that no
// hit is lost among replicas.
func (s *Store) Hit(ctx context.Context, key string, window time.Duration) (int, time.Time, error) {
	const q = `
		insert into counters (key_hash, hits, expires_at)
		values ($1, 1, $2)
		on conflict (key_hash) do update
		set hits = case when counters.expires_at <= $3 then 1 else counters.hits + 1 end,
			expires_at = excluded.expires_at
		returning hits, expires_at`
	now := s.now()
	var hits int
	var until int64
	err := s.change(ctx, q, []any{keyHash("counter", key), millis(now.Add(window)), millis(now)}, &hits, &until)
	if err != nil {
		return 0, time.Time{}, err
	}
	return hits, instant(until), nil
}

// Hits returns a counter without adding to it; zero when nobody touched it
// for its window.
func (s *Store) Hits(ctx context.Context, key string) (int, time.Time, error) {
	const q = `select hits, expires_at from counters where key_hash = $1 and expires_at > $2`
	var hits int
	var until int64
	err := s.get(ctx, q, []any{keyHash("counter", key), s.nowMillis()}, &hits, &until)
	if errors.Is(err, gatehouse.ErrNotFound) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	return hits, instant(until), nil
}

// Clear sets a counter to nothing.
func (s *Store) Clear(ctx context.Context, key string) error {
	const q = `delete from counters where key_hash = $1`
	_, err := s.exec(ctx, q, keyHash("counter", key))
	return err
}

// Learn remembers a value until a time, in place of what was known.
func (s *Store) Learn(ctx context.Context, key, value string, until time.Time) error {
	const q = `
		insert into learnt (key, value, expires_at)
		values ($1, $2, $3)
		on conflict (key) do update
		set value = excluded.value, expires_at = excluded.expires_at`
	_, err := s.exec(ctx, q, key, value, millis(until))
	return err
}

// Learnt returns what was learnt. ErrNotFound when nothing is known any more.
func (s *Store) Learnt(ctx context.Context, key string) (string, error) {
	const q = `select value from learnt where key = $1 and expires_at > $2`
	var value string
	err := s.get(ctx, q, []any{key, s.nowMillis()}, &value)
	return value, err
}
