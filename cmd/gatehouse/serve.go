package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
)

func serveCommand(stderr io.Writer) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "serve --config FILE", Short: "Run Gatehouse", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file, config.Load)
			if err != nil {
				return err
			}
			signal.Ignore(syscall.SIGPIPE) // a log whose reader is gone is no reason to end
			sink := newLogSink(stderr)
			defer sink.Close()
			log := slog.New(slog.NewJSONHandler(sink, nil))
			return serve(c.Context(), cfg, log, func() (*config.Config, error) { return config.Load(file) }, nil)
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file; deploy/gatehouse.yaml shows every key")
	return c
}

// listeners are bound before anything else is opened, so that a port that is
// taken is known at once; demo binds them itself.
type listeners struct{ doors, admin net.Listener }

func listen(cfg *config.Config) (l listeners, err error) {
	if l.doors, err = net.Listen("tcp", cfg.Web.Listen); err != nil {
		return l, fmt.Errorf("listen: %w; is another Gatehouse running, or is the port another's?", err)
	}
	if l.admin, err = net.Listen("tcp", cfg.Web.AdminListen); err != nil {
		_ = l.doors.Close()
		return l, fmt.Errorf("admin_listen: %w; choose another address", err)
	}
	return l, nil
}

// serve runs Gatehouse until ctx ends and all requests have been answered.
// SIGHUP has load read the configuration again; up, if not nil, is called
// once requests are answered.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, load func() (*config.Config, error), up func()) error {
	l, err := listen(cfg)
	if err != nil {
		return err
	}
	return serveOn(ctx, l, cfg, log, load, up)
}

func serveOn(ctx context.Context, l listeners, cfg *config.Config, log *slog.Logger, load func() (*config.Config, error), up func()) error {
	// From the first moment: a signal that nobody has asked for ends the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	h, err := openHouse(ctx, cfg, log)
	if err != nil {
		return errors.Join(err, l.doors.Close(), l.admin.Close())
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		h.close(ending)
		log.Info("stopped")
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	var running sync.WaitGroup
	errs := make(chan error, 2)
	start := func(f func() error) {
		running.Go(func() {
			err := f()
			stop() // one that fails ends the other
			errs <- err
		})
	}
	start(func() error { return h.server.Serve(ctx, l.doors) })
	start(func() error { return h.server.ServeAdmin(ctx, l.admin, h.adminHandler()) })
	running.Go(func() { h.sweep(ctx) })
	running.Go(func() { h.watch(ctx) })
	running.Go(func() { h.watchReload(ctx, hup, load) })
	log.Info("serving", slog.String("public_url", cfg.Web.PublicURL), slog.String("listen", l.doors.Addr().String()),
		slog.String("admin_listen", l.admin.Addr().String()), slog.String("version", version))
	if up != nil {
		up()
	}
	debug.FreeOSMemory() // what only the start needed
	releaseProgram()
	running.Go(func() { rest(ctx) })
	running.Wait()
	return errors.Join(<-errs, <-errs)
}

// watchReload reads the configuration again at every SIGHUP. A file that
// cannot be used leaves everything as it is.
func (h *house) watchReload(ctx context.Context, hup <-chan os.Signal, load func() (*config.Config, error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		if err := h.audit.Reopen(); err != nil {
			h.log.Error("audit file not reopened", slog.Any("err", err))
		}
		cfg, err := load()
		if err == nil {
			err = h.reload(cfg)
		}
		if err != nil {
			h.log.Error("configuration not reloaded; the one before stays", slog.Any("err", err))
			continue
		}
		h.log.Info("configuration reloaded")
	}
}
