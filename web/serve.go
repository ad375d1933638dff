package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// The four timeouts of a server, and how long an ending one takes altogether:
// with the record's five seconds, less than the thirty that are promised. A
// hand-out may wait for the directory and for AWS, so writing has the most.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 24 * time.Second
	longestDelay  = 15 * time.Second // of drainTimeout; the rest is for requests
	headerLimit   = 64 << 10
	mostStreams   = 64 // of one HTTP/2 connection: a browser has a dozen
)

// Serve answers on ln until ctx ends. Then readiness goes off, and for
// Config.DrainDelay everything is answered as before, each answer being the
// last on its connection; only then is no new connection taken, and what is in
// flight has the rest of 24 seconds to finish. It speaks TLS when the
// configuration names a certificate. It returns nil when all ended well.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	c := newCrowd(ln, s.room(), s.isProxy)
	srv := newHTTPServer(s.answering(c), s.log)
	if s.cert != nil {
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate}
	}
	srv.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: mostStreams}
	srv.ConnState = c.note
	return run(ctx, srv, c, func(drain context.Context) {
		s.drain()
		s.log.InfoContext(ctx, "draining", slog.Duration("delay", *s.acting().cfg.DrainDelay), slog.Duration("at_most", drainTimeout))
		linger(drain, *s.acting().cfg.DrainDelay)
		c.finish(drain)
	})
}

// ServeAdmin answers h on the operator's address until ctx ends, and as long
// as Serve still answers everything: probes ask here, too.
func (s *Server) ServeAdmin(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := newHTTPServer(h, s.log)
	srv.WriteTimeout = 5 * time.Minute // profiles take as long as they are asked to
	return run(ctx, srv, ln, func(drain context.Context) { linger(drain, *s.acting().cfg.DrainDelay) })
}

func linger(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerLimit, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
}

// run serves until ctx ends, then drains: ending is what comes before the last
// connections are closed.
func run(ctx context.Context, srv *http.Server, ln net.Listener, ending func(context.Context)) error {
	failed := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			failed <- srv.ServeTLS(ln, "", "")
			return
		}
		failed <- srv.Serve(ln)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	ending(drain)
	if err := srv.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("drain %s: %w", ln.Addr(), err), srv.Close())
	}
	return nil
}

// certificate is a web certificate that is read again when its file changes,
// so that renewal needs no restart. A renewal that cannot be read, or is half
// written, leaves the old one in place.
type certificate struct {
	files TLS
	now   func() time.Time

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  time.Time // of the files when loaded
	looked time.Time
}

// lookEvery is how often, at most, the files are looked at.
const lookEvery = 10 * time.Second

func openCertificate(files TLS, now func() time.Time) (*certificate, error) {
	c := &certificate{files: files, now: now}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) load() error {
	stamp, err := c.modified()
	if err != nil {
		return fmt.Errorf("web: tls: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err != nil {
		return fmt.Errorf("web: tls: %w", err)
	}
	c.loaded, c.stamp, c.looked = &pair, stamp, c.now()
	return nil
}

// modified is when the later of the two files was written.
func (c *certificate) modified() (time.Time, error) {
	var last time.Time
	for _, name := range []string{c.files.CertFile, c.files.KeyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return time.Time{}, err
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}

// get is for tls.Config.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if stamp, err := c.modified(); err == nil && !stamp.Equal(c.stamp) {
			_ = c.load() // the old one serves on; `gatehouse check` names the fault
		}
	}
	return c.loaded, nil
}
