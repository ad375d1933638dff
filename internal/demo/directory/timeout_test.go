package directory

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipe serves one end of a pipe and returns the other, in a bubble of time.
func pipe(t *testing.T, cfg Config) net.Conn {
	t.Helper()
	entries, err := ParseLDIF(strings.NewReader(testEntries))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Suffix, cfg.Entries, cfg.Now = suffix, entries, time.Now
	s := &Server{cfg: cfg}
	if err := s.fill(); err != nil {
		t.Fatal(err)
	}
	if err := s.certify(); err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	go func() {
		newConn(s, server).serve()
		_ = server.Close()
	}()
	return client
}

func TestSlowClientsAreLeft(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		talk func(net.Conn) // until it is hung up on
		want time.Duration
	}{
		{"one that says nothing", Config{}, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, idleTimeout},
		{"one that stops in a message", Config{}, func(c net.Conn) {
			_, _ = c.Write([]byte{0x30, 0x82, 0x01})
			_, _ = io.Copy(io.Discard, c)
		}, messageTimeout},
		{"one that sends a byte each second", Config{}, func(c net.Conn) {
			_, err := c.Write([]byte{0x30, 0x82, 0x01, 0x00})
			for ; err == nil; time.Sleep(time.Second) {
				_, err = c.Write([]byte{0})
			}
		}, messageTimeout},
		{"one that stops before the handshake", Config{LDAPS: true}, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, handshakeTimeout},
		{"one that stops after StartTLS", Config{}, func(c net.Conn) {
			_, _ = c.Write(startTLSRequest())
			_, _ = io.Copy(io.Discard, c)
		}, handshakeTimeout},
		{"one that does not read its answers", Config{}, func(c net.Conn) {
			var err error
			for err == nil {
				_, err = c.Write(startTLSRequest())
			}
		}, writeTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, begin := pipe(t, tt.cfg), time.Now()
				tt.talk(c)
				if took := time.Since(begin); took < tt.want || took > tt.want+2*time.Second {
					t.Errorf("hung up on after %v, want %v", took, tt.want)
				}
				_ = c.Close()
			})
		})
	}
}
