package store

import "context"

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

// Preference returns what SetPreference kept. ErrNotFound when there is none.
func (s *Store) Preference(ctx context.Context, person, key string) ([]byte, error) {
	const q = `select body from people where owner = $1 and key = $2`
	var body []byte
	err := s.get(ctx, q, []any{person, key}, &body)
	return body, err
}
