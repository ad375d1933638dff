package main

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"gatehouse/internal/config"
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
