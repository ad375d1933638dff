package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"gatehouse/internal/audit"
	"gatehouse/internal/store"
)

// BenchmarkRecord is one event on the record, by as many callers at once. One
// commit is shared by all who wait, which is what a busy morning needs: the
// bare insert of BenchmarkAppendEvents in store is the figure to compare
// with "1 at once".
func BenchmarkRecord(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprint(callers, " at once"), func(b *testing.B) {
			s, err := store.Open(b.Context(), store.Config{URL: "sqlite://" + filepath.Join(b.TempDir(), "g.db")}, [][]byte{make([]byte, 32)}, nil)
			must(b, err)
			defer s.Close()
			l, err := audit.Open(b.Context(), audit.Config{File: filepath.Join(b.TempDir(), "audit.jsonl")}, s, nil, slog.New(slog.DiscardHandler))
			must(b, err)
			defer l.Close(context.Background())
			b.ReportAllocs()
			b.SetParallelism(callers)
			if callers == 1 {
				for b.Loop() {
					must(b, l.Record(b.Context(), granted("")))
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := l.Record(context.Background(), granted("")); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
