package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatehouse"
)

// keyLimit bounds what happens under the lock that signing keys and named
// secrets are made under: an RSA-4096 key may take seconds.
const keyLimit = 30 * time.Second

// The kinds of sealed values, part of what authenticates them.
const (
	sealedKey    = "signing key"
	sealedSecret = "secret"
)

// querier is what reads inside and outside of a transaction.
type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

// SigningKeys returns all signing keys, the oldest first. The error names
// secret_files when one was sealed with a secret that is not among them.
func (s *Store) SigningKeys(ctx context.Context) ([]gatehouse.SigningKey, error) {
	ctx, leave, err := s.read.enter(ctx, deadline)
	if err != nil {
		return nil, s.fault(err)
	}
	defer leave()
	keys, err := s.signingKeys(ctx, s.read)
	return keys, s.fault(err)
}

func (s *Store) signingKeys(ctx context.Context, from querier) ([]gatehouse.SigningKey, error) {
	const q = `
		select id, state, private_key, certificate, created_at
		from signing_keys
		order by created_at, id`
	rows, err := from.QueryContext(ctx, q)
	if err != nil {
		return nil, err
	}
	var keys []gatehouse.SigningKey
	err = drain(rows, func(row scanner) error {
		var k gatehouse.SigningKey
		var sealed []byte
		var created int64
		if err := row.Scan(&k.ID, &k.State, &sealed, &k.Certificate, &created); err != nil {
			return err
		}
		k.CreatedAt = instant(created)
		k.PrivateKey, _, err = s.seal.Load().open(sealedKey, k.ID, sealed)
		keys = append(keys, k)
		return err
	})
	return keys, err
}

// FirstSigningKey returns the signing keys there are. When there is none it
// makes the first and stores it, under a lock that all replicas honour, so
// that replicas that start together agree. create must not use the store.
func (s *Store) FirstSigningKey(ctx context.Context, create func() (gatehouse.SigningKey, error)) ([]gatehouse.SigningKey, error) {
	keys, err := s.SigningKeys(ctx)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	var createErr error // not the store's failure
	err = s.locked(ctx, keyLimit, func(ctx context.Context, tx *sql.Tx) error {
		if keys, err = s.signingKeys(ctx, tx); err != nil || len(keys) > 0 {
			return err
		}
		var k gatehouse.SigningKey
		if k, createErr = create(); createErr != nil {
			return createErr
		}
		keys = []gatehouse.SigningKey{k}
		return s.insertKey(ctx, tx, k)
	})
	if createErr != nil {
		return nil, fmt.Errorf("making the first signing key: %w", createErr)
	}
	if err != nil {
		return nil, err
	}
	return keys, nil
}

func (s *Store) insertKey(ctx context.Context, tx *sql.Tx, k gatehouse.SigningKey) error {
	const q = `
		insert into signing_keys (id, state, private_key, certificate, created_at)
		values ($1, $2, $3, $4, $5)`
	sealed := s.seal.Load().seal(sealedKey, k.ID, k.PrivateKey)
	_, err := tx.ExecContext(ctx, q, k.ID, string(k.State), sealed, k.Certificate, millis(k.CreatedAt))
	return err
}

// Secret returns the random value of that name, the same on every replica and
// for ever. The first who asks makes it, with size bytes.
func (s *Store) Secret(ctx context.Context, name string, size int) ([]byte, error) {
	value, err := s.known(ctx, name)
	if !errors.Is(err, gatehouse.ErrNotFound) {
		return value, err
	}
	err = s.locked(ctx, deadline, func(ctx context.Context, tx *sql.Tx) error {
		if value, err = s.secret(ctx, tx, name); !errors.Is(err, gatehouse.ErrNotFound) {
			return err
		}
		value = make([]byte, size)
		rand.Read(value)
		const q = `insert into secrets (name, value, created_at) values ($1, $2, $3)`
		_, err := tx.ExecContext(ctx, q, name, s.seal.Load().seal(sealedSecret, name, value), s.nowMillis())
		return err
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

func (s *Store) known(ctx context.Context, name string) ([]byte, error) {
	ctx, leave, err := s.read.enter(ctx, deadline)
	if err != nil {
		return nil, s.fault(err)
	}
	defer leave()
	value, err := s.secret(ctx, s.read, name)
	return value, s.fault(err)
}

func (s *Store) secret(ctx context.Context, from querier, name string) ([]byte, error) {
	const q = `select value from secrets where name = $1`
	rows, err := from.QueryContext(ctx, q, name)
	if err != nil {
		return nil, err
	}
	var value []byte
	err = drain(rows, func(row scanner) error {
		var sealed []byte
		if err := row.Scan(&sealed); err != nil {
			return err
		}
		value, _, err = s.seal.Load().open(sealedSecret, name, sealed)
		return err
	})
	if err == nil && value == nil {
		err = gatehouse.ErrNotFound
	}
	return value, err
}

// sealedTable is a table with a sealed column.
type sealedTable struct{ kind, read, write string }

var sealedTables = []sealedTable{
	{sealedKey, `select id, private_key from signing_keys`, `update signing_keys set private_key = $1 where id = $2 and private_key = $3`},
	{sealedSecret, `select name, value from secrets`, `update secrets set value = $1 where name = $2 and value = $3`},
}

// SetSecrets puts other secrets in the place of those that Open got, if they
// open all that is sealed, and seals anew what another than the first had
// sealed. Otherwise nothing changes, and the error names secret_files.
func (s *Store) SetSecrets(ctx context.Context, secrets [][]byte) error {
	with, err := newSealer(secrets)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := s.reseal(ctx, with); err != nil {
		return fmt.Errorf("store %s: %w", s.place.name, err)
	}
	s.seal.Store(with)
	return nil
}

// reseal makes sure that everything sealed can be opened, and seals anew what
// another than the first secret had sealed.
func (s *Store) reseal(ctx context.Context, with *sealer) error {
	for _, t := range sealedTables {
		stale, err := s.stale(ctx, t, with)
		if err != nil {
			return err
		}
		for _, row := range stale {
			if _, err := s.exec(ctx, t.write, row.sealed, row.id, row.was); err != nil {
				return err
			}
		}
	}
	return nil
}

type staleRow struct {
	id          string
	sealed, was []byte
}

func (s *Store) stale(ctx context.Context, t sealedTable, with *sealer) ([]staleRow, error) {
	var list []staleRow
	err := s.each(ctx, s.write, t.read, nil, func(row scanner) error {
		var id string
		var was []byte
		if err := row.Scan(&id, &was); err != nil {
			return err
		}
		plain, stale, err := with.open(t.kind, id, was)
		if stale {
			list = append(list, staleRow{id, with.seal(t.kind, id, plain), was})
		}
		return err
	})
	return list, err
}

// ChangeSigningKeys puts what change makes of the signing keys in their place,
// under the lock that all replicas honour. Keys may be added, and may change
// their state; none goes away, so that the record of them stays. change must
// not use the store; its error is returned, and nothing has changed then.
func (s *Store) ChangeSigningKeys(ctx context.Context, change func([]gatehouse.SigningKey) ([]gatehouse.SigningKey, error)) error {
	var refused error // not the store's failure
	err := s.locked(ctx, keyLimit, func(ctx context.Context, tx *sql.Tx) error {
		before, err := s.signingKeys(ctx, tx)
		if err != nil {
			return err
		}
		states := map[string]gatehouse.KeyState{}
		for _, k := range before {
			states[k.ID] = k.State
		}
		var after []gatehouse.SigningKey
		if after, refused = change(before); refused != nil {
			return refused
		}
		return s.putKeys(ctx, tx, after, states)
	})
	if refused != nil {
		return refused
	}
	return err
}

// putKeys inserts the keys that have no state yet, and changes the state of
// those that have another.
func (s *Store) putKeys(ctx context.Context, tx *sql.Tx, keys []gatehouse.SigningKey, states map[string]gatehouse.KeyState) error {
	const q = `update signing_keys set state = $1 where id = $2`
	for _, k := range keys {
		was, known := states[k.ID]
		var err error
		switch {
		case !known:
			err = s.insertKey(ctx, tx, k)
		case was != k.State:
			_, err = tx.ExecContext(ctx, q, string(k.State), k.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
