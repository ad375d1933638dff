package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"gatehouse"
)

// Record is something that expires, as ListOwner returns it.
type Record = gatehouse.Record

// keyHash is what stands in the database for a bearer secret. A zero byte
// keeps kind and key apart; it stands in no kind. The keys have 128 random
// bits or more, so one round is enough: there is nothing to guess.
func keyHash(kind, key string) []byte {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write([]byte(key))
	return h.Sum(nil)
}

// Put keeps body under kind and key until expires, in place of what was there.
// owner, which may be empty, is whose it is: a User.Key.
func (s *Store) Put(ctx context.Context, kind, key, owner string, body []byte, expires time.Time) error {
	const q = `
		insert into records (kind, key_hash, owner, body, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6)
		on conflict (kind, key_hash) do update
		set owner = excluded.owner, body = excluded.body,
			created_at = excluded.created_at, expires_at = excluded.expires_at`
	_, err := s.exec(ctx, q, kind, keyHash(kind, key), maybe(owner), orEmpty(body), s.nowMillis(), millis(expires))
	return err
}

// orEmpty is b, never nil: an empty body is not an absent one.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// alive returns the two times that a record must lie between: it expires
// after the first, and was made before the second. One that was made in the
// future is a clock's mistake and would outlive its due.
func (s *Store) alive() (now, madeBefore int64) {
	t := s.now()
	return millis(t), millis(t.Add(maxSkew))
}

// Get returns what Put kept. ErrNotFound when it is absent or has expired.
func (s *Store) Get(ctx context.Context, kind, key string) ([]byte, error) {
	const q = `
		select body
		from records
		where kind = $1 and key_hash = $2 and expires_at > $3 and created_at <= $4`
	now, made := s.alive()
	var body []byte
	err := s.get(ctx, q, []any{kind, keyHash(kind, key), now, made}, &body)
	return body, err
}

// Take returns what Put kept and removes it. Of many who take one record at
// the same time, on any replica, one gets it; the others get ErrNotFound.
func (s *Store) Take(ctx context.Context, kind, key string) ([]byte, error) {
	const q = `
		delete from records
		where kind = $1 and key_hash = $2 and expires_at > $3 and created_at <= $4
		returning body`
	now, made := s.alive()
	var body []byte
	if err := s.change(ctx, q, []any{kind, keyHash(kind, key), now, made}, &body); err != nil {
		return nil, err
	}
	return body, nil
}

// Once notes that key was seen, until a time, and reports whether that was for
// the first time. Of many who ask at the same time, on any replica, one is the
// first. After until the key counts as never seen.
func (s *Store) Once(ctx context.Context, key string, until time.Time) (first bool, err error) {
	n, err := s.exec(ctx, insertOnce, s.onceRow(gatehouse.Once{Key: key, Until: until})...)
	return n == 1, err
}

const insertOnce = `
	insert into records (kind, key_hash, body, created_at, expires_at)
	values ($1, $2, $3, $4, $5)
	on conflict (kind, key_hash) do update
	set created_at = excluded.created_at, expires_at = excluded.expires_at
	where records.expires_at <= $4`

// onceRow is o as a row, in the order of insertOnce.
func (s *Store) onceRow(o gatehouse.Once) []any {
	return []any{onceKind, keyHash(onceKind, o.Key), []byte{}, s.nowMillis(), millis(o.Until)}
}

// onceKind is what the keys of Once are kept under.
const onceKind = "once"

// Touch moves the expiry of a record that has not expired yet.
func (s *Store) Touch(ctx context.Context, kind, key string, expires time.Time) error {
	const q = `
		update records
		set expires_at = $5
		where kind = $1 and key_hash = $2 and expires_at > $3 and created_at <= $4`
	now, made := s.alive()
	return s.must(s.exec(ctx, q, kind, keyHash(kind, key), now, made, millis(expires)))
}

// Replace gives a record a new body and leaves its expiry alone.
func (s *Store) Replace(ctx context.Context, kind, key string, body []byte) error {
	const q = `
		update records
		set body = $5
		where kind = $1 and key_hash = $2 and expires_at > $3 and created_at <= $4`
	now, made := s.alive()
	return s.must(s.exec(ctx, q, kind, keyHash(kind, key), now, made, orEmpty(body)))
}

// Swap gives a record a new body if it still has the old one, byte for byte,
// and leaves its expiry alone. Of many who change one body at the same time,
// on any replica, one does; the others, and who asks for a record that is not
// there, get ErrConflict.
func (s *Store) Swap(ctx context.Context, kind, key string, old, body []byte) error {
	const q = `
		update records
		set body = $6
		where kind = $1 and key_hash = $2 and expires_at > $3 and created_at <= $4 and body = $5`
	now, made := s.alive()
	n, err := s.exec(ctx, q, kind, keyHash(kind, key), now, made, orEmpty(old), orEmpty(body))
	if err == nil && n == 0 {
		return gatehouse.ErrConflict
	}
	return err
}

// SwapID is Swap for the record with the public ID that ListOwner gave it, if
// it is the owner's.
func (s *Store) SwapID(ctx context.Context, kind, owner, id string, old, body []byte) error {
	const q = `
		update records
		set body = $7
		where kind = $1 and owner = $2 and key_hash = $3 and expires_at > $4 and created_at <= $5 and body = $6`
	hash, err := hex.DecodeString(id)
	if err != nil {
		return fmt.Errorf("record %q: %w", id, gatehouse.ErrNotFound)
	}
	now, made := s.alive()
	n, err := s.exec(ctx, q, kind, owner, hash, now, made, orEmpty(old), orEmpty(body))
	if err == nil && n == 0 {
		return gatehouse.ErrConflict
	}
	return err
}

// must is for changes of one thing that has to be there.
func (s *Store) must(n int, err error) error {
	if err == nil && n == 0 {
		return gatehouse.ErrNotFound
	}
	return err
}

// Forget removes a record; that there is none is fine.
func (s *Store) Forget(ctx context.Context, kind, key string) error {
	const q = `delete from records where kind = $1 and key_hash = $2`
	_, err := s.exec(ctx, q, kind, keyHash(kind, key))
	return err
}

// ListOwner returns the owner's records of a kind that have not expired, the
// newest first.
func (s *Store) ListOwner(ctx context.Context, kind, owner string) ([]Record, error) {
	const q = `
		select key_hash, body, created_at, expires_at
		from records
		where kind = $1 and owner = $2 and expires_at > $3 and created_at <= $4
		order by created_at desc, key_hash`
	now, made := s.alive()
	var list []Record
	err := s.list(ctx, q, []any{kind, owner, now, made}, func(row scanner) error {
		var hash, body []byte
		var created, expires int64
		err := row.Scan(&hash, &body, &created, &expires)
		list = append(list, Record{ID: hex.EncodeToString(hash), Body: body, Created: instant(created), Expires: instant(expires)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// mostTrimmed is how many records one Trim removes; the next goes on.
const mostTrimmed = 1000

// Trim removes what the owner has of a kind beyond the most that is allowed,
// what ends soonest first, and returns it, without what had expired anyway.
func (s *Store) Trim(ctx context.Context, kind, owner string, most int) ([]Record, error) {
	const q = `
		delete from records
		where kind = $1 and owner = $2 and key_hash in (
			select key_hash
			from records
			where kind = $1 and owner = $2
			order by expires_at desc, created_at desc, key_hash
			limit $3 offset $4
		)
		returning key_hash, body, created_at, expires_at`
	now, _ := s.alive()
	var list []Record
	err := s.each(ctx, s.write, q, []any{kind, owner, mostTrimmed, most}, func(row scanner) error {
		var hash, body []byte
		var created, expires int64
		err := row.Scan(&hash, &body, &created, &expires)
		if expires > now {
			list = append(list, Record{ID: hex.EncodeToString(hash), Body: body, Created: instant(created), Expires: instant(expires)})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// ForgetOwner removes all of the owner's records of a kind and says how many.
func (s *Store) ForgetOwner(ctx context.Context, kind, owner string) (int, error) {
	const q = `delete from records where kind = $1 and owner = $2`
	return s.exec(ctx, q, kind, owner)
}

// ForgetID removes the record with the public ID that ListOwner gave it, if
// it is the owner's. ErrNotFound when it is not, or is gone.
func (s *Store) ForgetID(ctx context.Context, kind, owner, id string) error {
	const q = `delete from records where kind = $1 and owner = $2 and key_hash = $3`
	hash, err := hex.DecodeString(id)
	if err != nil {
		return fmt.Errorf("record %q: %w", id, gatehouse.ErrNotFound)
	}
	return s.must(s.exec(ctx, q, kind, owner, hash))
}
