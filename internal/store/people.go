package store

import (
	"context"
	"fmt"

	"gatehouse"
)

// SetPreference keeps something that a person prefers: favourites, a
// language. person is a User.Key.
func (s *Store) SetPreference(ctx context.Context, person, key string, body []byte) error {
	const q = `
		insert into people (owner, key, body, updated_at)
		values ($1, $2, $3, $4)
		on conflict (owner, key) do update
		set body = excluded.body, updated_at = excluded.updated_at`
	_, err := s.exec(ctx, q, person, key, orEmpty(body), s.nowMillis())
	return err
}

// SwapPreference keeps body in the place of old, where nil stands for nothing.
// ErrConflict when something else is there by now: of two tabs, or replicas,
// that change one list at the same time, none undoes the other's change.
func (s *Store) SwapPreference(ctx context.Context, person, key string, old, body []byte) error {
	const first = `
		insert into people (owner, key, body, updated_at)
		values ($1, $2, $3, $4)
		on conflict (owner, key) do nothing`
	const next = `
		update people
		set body = $3, updated_at = $4
		where owner = $1 and key = $2 and body = $5`
	q, args := first, []any{person, key, orEmpty(body), s.nowMillis()}
	if old != nil {
		q, args = next, append(args, old)
	}
	n, err := s.exec(ctx, q, args...)
	if err == nil && n == 0 {
		return fmt.Errorf("preference %s: %w", key, gatehouse.ErrConflict)
	}
	return err
}

// Preference returns what SetPreference kept. ErrNotFound when there is none.
func (s *Store) Preference(ctx context.Context, person, key string) ([]byte, error) {
	const q = `select body from people where owner = $1 and key = $2`
	var body []byte
	err := s.get(ctx, q, []any{person, key}, &body)
	return body, err
}

// Preferences returns all that a person prefers, by key.
func (s *Store) Preferences(ctx context.Context, person string) (map[string][]byte, error) {
	const q = `select key, body from people where owner = $1`
	all := map[string][]byte{}
	err := s.list(ctx, q, []any{person}, func(row scanner) error {
		var key string
		var body []byte
		if err := row.Scan(&key, &body); err != nil {
			return err
		}
		all[key] = orEmpty(body) // nil would mean that there is none
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
