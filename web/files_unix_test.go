//go:build unix

package web

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// A server that is behind has not read yet what came seconds ago.
func TestARequestThatNobodyHasReadYetDoesNotMakeRoom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(l, 2, func(netip.Addr) bool { return true })
	t.Cleanup(func() { _ = c.Close() })
	var guests []*guest
	for _, says := range []string{"GET / HTTP/1.1\r\n", ""} {
		if _, err := io.WriteString(call(t, l.Addr().String()), says); err != nil {
			t.Fatal(err)
		}
		conn, err := c.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		guests = append(guests, conn.(*guest))
		guests[len(guests)-1].since = time.Now().Add(-silence)
	}
	for !pending(guests[0].Conn) { // until the kernel has it
		time.Sleep(time.Millisecond)
	}
	evict := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.evict("")
	}
	if !evict() || guests[0].gone || !guests[1].gone {
		t.Errorf("gone: who asked %t, who is silent %t", guests[0].gone, guests[1].gone)
	}
	if evict() {
		t.Error("who asked made room when nobody else could")
	}
}
