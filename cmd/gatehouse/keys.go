package main

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"gatehouse/internal/config"
)

// keysEvery is how often the store is asked for signing keys that another
// replica, or an operator, has added, promoted or retired.
const keysEvery = 10 * time.Second

// watchKeys keeps the signing keys those of the store, until ctx ends. While
// they cannot be read, the ones that are known sign on.
func (h *house) watchKeys(ctx context.Context) {
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := h.readKeys(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			h.log.WarnContext(ctx, "signing keys not read again; the ones that are known stay", slog.Any("err", err))
		}
		failing = err != nil
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

// renew takes the secrets of another configuration into use, and reads the
// signing keys again for the rooms that it will furnish. The lock is held.
func (h *house) renew(cfg *config.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), keysEvery)
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
