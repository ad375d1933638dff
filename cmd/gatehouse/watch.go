package main

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/store"
)

// watchEvery is how often the store is asked for signing keys that an operator
// or another replica has added, promoted or retired, and how often the
// metadata of service providers is looked at: what is changed there reaches
// every replica within that time.
const watchEvery = 10 * time.Second

// watch puts changed signing keys and metadata in place, until ctx ends. Where
// they cannot be read or used, those before stay; that is logged when it begins.
func (h *house) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	failing := map[string]bool{}
	look := func(what string, read func(context.Context) error) {
		err := read(ctx)
		if err != nil && !failing[what] && ctx.Err() == nil {
			h.log.WarnContext(ctx, what+" not read again; what is known stays", slog.Any("err", err))
		}
		failing[what] = err != nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			look("signing keys", h.readKeys)
			look("metadata of service providers", h.readMetadata)
			look("the database's clock", h.readClock)
		}
	}
}

// readKeys puts the store's signing keys in place where they have changed.
func (h *house) readKeys(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys, err := h.store.SigningKeys(ctx)
	if err != nil || reflect.DeepEqual(keys, h.keys) {
		return err
	}
	if err := h.current.Load().idp.SetKeys(keys); err != nil {
		return err
	}
	h.keys = keys
	h.log.InfoContext(ctx, "signing keys changed", slog.Int("keys", len(keys)))
	return nil
}

// readClock compares the clock with the database's, as every replica does. That
// they differ is logged when it begins and when it ends, and readiness tells.
func (h *house) readClock(ctx context.Context) error {
	ahead, err := h.store.Ahead(ctx)
	if err != nil {
		return err
	}
	differs := ahead.Abs() > store.TolerableSkew
	if differed := time.Duration(h.ahead.Swap(int64(ahead))).Abs() > store.TolerableSkew; differs != differed {
		level, what := slog.LevelInfo, "this clock and the database's agree again"
		if differs {
			level, what = slog.LevelWarn, "this clock and the database's differ; set whichever is wrong: replicas that differ by minutes end each other's sessions"
		}
		h.log.Log(ctx, level, what, slog.Duration("ahead", ahead.Round(time.Millisecond)))
	}
	return nil
}

// clock is what readiness says of it: nothing, or a warning. It is no reason
// to take no traffic, since with a database that is wrong all would be so.
func (h *house) clock() []gatehouse.Finding {
	ahead := time.Duration(h.ahead.Load())
	if ahead.Abs() <= store.TolerableSkew {
		return nil
	}
	return []gatehouse.Finding{{Subject: "clock", State: gatehouse.FindingWarning, Detail: fmt.Sprintf("ahead of the database's by %s", ahead.Round(time.Second))}}
}

// readMetadata reads the service providers' documents that have changed.
func (h *house) readMetadata(ctx context.Context) error {
	changed, err := h.current.Load().idp.Refresh()
	if changed {
		h.log.InfoContext(ctx, "metadata of service providers changed")
	}
	return err
}

// renew takes the secrets of another configuration into use, and reads the
// signing keys again for the rooms that it will furnish. The lock is held.
func (h *house) renew(cfg *config.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchEvery)
	defer cancel()
	if !reflect.DeepEqual(cfg.Secrets, h.current.Load().cfg.Secrets) {
		if err := h.store.SetSecrets(ctx, cfg.Secrets); err != nil {
			return err
		}
	}
	keys, err := h.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	h.keys = keys
	return nil
}
