package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"gatehouse"
)

// CheckListen tries whether the two addresses can be had. Where Gatehouse runs
// already they cannot, and all is well.
func CheckListen(ctx context.Context, cfg Config) []gatehouse.Finding {
	return []gatehouse.Finding{
		checkAddress(ctx, "listen", cfg.Listen, cfg.TLS.CertFile != ""),
		checkAddress(ctx, "admin_listen", cfg.AdminListen, false),
	}
}

// busyTries is how often an address that is taken is tried: another check may
// have it for a moment.
const busyTries = 5

func checkAddress(ctx context.Context, key, address string, secure bool) gatehouse.Finding {
	f := gatehouse.Finding{Subject: key, State: gatehouse.FindingOK}
	var err error
	for try := 0; ; try++ {
		if err = free(ctx, address); err == nil {
			f.Detail = address + " is free"
			return f
		}
		if !errors.Is(err, syscall.EADDRINUSE) || try == busyTries {
			break
		}
		if isGatehouse(ctx, address, secure) {
			f.Detail = address + " is in use, by Gatehouse, which runs"
			return f
		}
		linger(ctx, 50*time.Millisecond)
	}
	f.State, f.Detail, f.Fix = gatehouse.FindingFailure, err.Error(), "name an address of this machine's, or none, as in :8443"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		f.Detail = address + " is in use by something that does not answer as Gatehouse does"
		f.Fix = "end what listens there, or set " + key + " to another address"
	case errors.Is(err, syscall.EACCES):
		f.State = gatehouse.FindingWarning
		f.Fix = "a port below 1024 needs CAP_NET_BIND_SERVICE, which the service may have and this user has not; see deploy/gatehouse.service"
	}
	return f
}

// free listens for a moment.
func free(ctx context.Context, address string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// isGatehouse asks whoever listens at address for its health. It sends nothing
// that matters, so that whose certificate it is does not, either: the name in
// it is not this address.
func isGatehouse(ctx context.Context, address string, secure bool) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	scheme := "http"
	if secure {
		scheme = "https"
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address) // no host in it is this machine
		}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s://localhost/healthz", scheme), nil)
	if err != nil {
		return false
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	return res.StatusCode == http.StatusOK && strings.TrimSpace(string(body)) == `{"ok":true}`
}
