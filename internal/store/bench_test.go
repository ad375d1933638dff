package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// turns runs a benchmark on both databases: an act of ours, and the bare SQL
// of the same driver, which is the same statement on the same tables,
// prepared, without deadline, clock, hash and error kinds. The two take turns,
// so that a busy machine slows both; x_bare, ours by bare, may be 2.
func turns(b *testing.B, ours, bare func(b *testing.B, s *Store) (act func(i int))) {
	for _, db := range databases {
		b.Run(db.name, func(b *testing.B) {
			bench := &bench{cfg: Config{URL: db.url(b)}, clock: &clock{t: time.Now()}}
			s := bench.open(b)
			fatal(b, s.Put(b.Context(), "session", "k", "corp/1", make([]byte, 600), time.Now().Add(time.Hour)))
			acts, took := [2]func(int){ours(b, s), bare(b, s)}, [2]time.Duration{}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for k := range acts {
					began := time.Now()
					acts[(i+k)%2](i)
					took[(i+k)%2] += time.Since(began)
				}
			}
			b.ReportMetric(float64(took[0].Nanoseconds())/float64(b.N), "store-ns/op")
			b.ReportMetric(float64(took[1].Nanoseconds())/float64(b.N), "bare-ns/op")
			b.ReportMetric(float64(took[0])/float64(took[1]), "x_bare")
		})
	}
}

// onBothFor runs two ways of the same on both databases, one after the other.
func onBothFor(b *testing.B, ours, bare func(b *testing.B, s *Store)) {
	for _, db := range databases {
		for _, way := range []struct {
			name string
			run  func(b *testing.B, s *Store)
		}{{"store", ours}, {"bare", bare}} {
			b.Run(db.name+"/"+way.name, func(b *testing.B) {
				bench := &bench{cfg: Config{URL: db.url(b)}, clock: &clock{t: time.Now()}}
				s := bench.open(b)
				fatal(b, s.Put(b.Context(), "session", "k", "corp/1", make([]byte, 600), time.Now().Add(time.Hour)))
				b.ReportAllocs()
				b.ResetTimer()
				way.run(b, s)
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	turns(b, func(b *testing.B, s *Store) func(int) {
		return func(int) {
			_, err := s.Get(b.Context(), "session", "k")
			fatal(b, err)
		}
	}, func(b *testing.B, s *Store) func(int) {
		stmt, err := s.read.Prepare(`select body from records where kind = $1 and key_hash = $2 and expires_at > $3`)
		fatal(b, err)
		hash, now := keyHash("session", "k"), time.Now().UnixMilli()
		return func(int) {
			var body []byte
			fatal(b, stmt.QueryRow("session", hash, now).Scan(&body))
		}
	})
}

func BenchmarkGetInParallel(b *testing.B) {
	get := func(b *testing.B, s *Store) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Get(context.Background(), "session", "k"); err != nil {
					b.Error(err)
				}
			}
		})
	}
	onBothFor(b, get, func(b *testing.B, s *Store) { // here: all by the writer's connection
		s.read = s.write
		get(b, s)
	})
}

func BenchmarkPut(b *testing.B) {
	body := make([]byte, 600)
	turns(b, func(b *testing.B, s *Store) func(int) {
		return func(i int) {
			fatal(b, s.Put(b.Context(), "session", fmt.Sprint(i), "corp/1", body, time.Now().Add(time.Hour)))
		}
	}, func(b *testing.B, s *Store) func(int) {
		stmt, err := s.write.Prepare(`insert into records (kind, key_hash, owner, body, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)`)
		fatal(b, err)
		return func(i int) {
			_, err := stmt.Exec("session", keyHash("bare", fmt.Sprint(i)), "corp/1", body, time.Now().UnixMilli(), time.Now().Add(time.Hour).UnixMilli())
			fatal(b, err)
		}
	})
}

// anEvent is a grant with everything that has an index.
func anEvent(i int) gatehouse.Event {
	return gatehouse.Event{ID: fmt.Sprint(i), Time: time.Now(), Kind: gatehouse.EventGranted, Person: "corp/1", Username: "alice",
		Account: "111122223333", Role: "arn:aws:iam::111122223333:role/Dev", AccessKeyID: fmt.Sprint("ASIA", i), SessionName: "alice",
		IP: "192.0.2.1", DN: "CN=Alice,OU=People,DC=corp,DC=example,DC=com", Groups: []string{"CN=AWS-111122223333-Dev,OU=AWS,DC=corp"}}
}

// The bare way inserts the same row, without a chain.
func BenchmarkAppendEvents(b *testing.B) {
	turns(b, func(b *testing.B, s *Store) func(int) {
		fatal(b, s.OpenChain(b.Context(), "c"))
		head := ""
		return func(i int) {
			e := anEvent(i)
			links := linked("c", head, int64(i), e)
			fatal(b, s.AppendEvents(b.Context(), links, []gatehouse.Event{e}))
			head = links[0].Hash
		}
	}, func(b *testing.B, s *Store) func(int) {
		stmt, err := s.write.Prepare(strings.TrimSpace(insertEvent))
		fatal(b, err)
		head := ""
		return func(i int) {
			e := anEvent(i)
			l := linked("bare", head, int64(i), e)[0]
			_, err := stmt.Exec(eventRow(l, e)...)
			fatal(b, err)
			head = l.Hash
		}
	})
}

// Deciding figure for one connection that writes: many writers at once, by a
// queue in Go (store) or by SQLite's own waiting (bare).
func BenchmarkWritersInParallel(b *testing.B) {
	hit := func(b *testing.B, s *Store) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := s.Hit(context.Background(), "k", time.Minute); err != nil {
					b.Error(err)
				}
			}
		})
	}
	onBothFor(b, hit, func(b *testing.B, s *Store) {
		if s.place.dialect == onSQLite {
			many, err := openSQLite(dataSource(s.place.path, "immediate"), 16)
			fatal(b, err)
			defer many.Close()
			old := s.write
			defer func() { s.write = old }()
			s.write = many
		}
		hit(b, s)
	})
}

// BenchmarkOpen is what a start costs once the schema is there.
func BenchmarkOpen(b *testing.B) {
	for _, db := range databases {
		b.Run(db.name, func(b *testing.B) {
			bench := &bench{cfg: Config{URL: db.url(b)}, clock: &clock{t: time.Now()}}
			bench.open(b)
			for b.Loop() {
				s, err := Open(b.Context(), bench.cfg, [][]byte{secretA}, nil)
				fatal(b, err)
				fatal(b, s.Close())
			}
		})
	}
}
