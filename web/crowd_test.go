package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// crowded serves with room for so many connections.
func crowded(t *testing.T, most int, isProxy bool) (address string) {
	t.Helper()
	return watched(t, most, isProxy, func() {})
}

// watched is crowded, and says of each connection when it idles.
func watched(t *testing.T, most int, isProxy bool, idles func()) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(l, most, func(netip.Addr) bool { return isProxy })
	note := func(conn net.Conn, state http.ConnState) {
		c.note(conn, state)
		if state == http.StateIdle {
			idles()
		}
	}
	srv := &http.Server{ConnState: note, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "yes")
	})}
	go func() { _ = srv.Serve(c) }()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

// caller is a connection that asks by hand.
type caller struct {
	net.Conn
	r *bufio.Reader
}

func call(t *testing.T, address string) *caller {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &caller{c, bufio.NewReader(c)}
}

// ask says whether the connection is answered within limit.
func (c *caller) ask(limit time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		return err
	}
	return c.hear()
}

func (c *caller) hear() error {
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || string(text) != "yes" {
		return fmt.Errorf("answer %q, %w", text, err)
	}
	return nil
}

// hold begins a request that does not end.
func (c *caller) hold(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n1234"); err != nil {
		t.Fatal(err)
	}
}

func TestWhoeverIdledLongestMakesRoomForWhoeverComes(t *testing.T) {
	idle := make(chan struct{}, 32)
	address := watched(t, 4, true, func() { idle <- struct{}{} })
	var callers []*caller
	for range 12 {
		c := call(t, address)
		if err := c.ask(5 * time.Second); err != nil {
			t.Fatalf("caller %d: %v", len(callers), err)
		}
		<-idle // an answer may be heard a moment before
		callers = append(callers, c)
	}
	if err := callers[0].ask(5 * time.Second); err == nil {
		t.Error("the one that idled longest is still there")
	}
	if err := callers[11].ask(5 * time.Second); err != nil {
		t.Errorf("the last is gone: %v", err)
	}
}

func TestWhereNobodyIdlesTheNextOneWaitsUntilARequestEnds(t *testing.T) {
	address := crowded(t, 4, true)
	var held []*caller
	for range 4 {
		c := call(t, address)
		c.hold(t)
		held = append(held, c)
	}
	next := call(t, address)
	if err := next.ask(100 * time.Millisecond); err == nil {
		t.Fatal("a fifth connection was answered beside four")
	}
	if _, err := io.WriteString(held[2], "5"); err != nil {
		t.Fatal(err)
	}
	if err := held[2].hear(); err != nil {
		t.Fatal(err)
	}
	_ = next.SetDeadline(time.Now().Add(5 * time.Second))
	if err := next.hear(); err != nil {
		t.Errorf("the fifth, when one of the four had ended: %v", err)
	}
}

func TestOneAddressHasAQuarterOfAllConnections(t *testing.T) {
	address := crowded(t, 8, false)
	for range 2 {
		call(t, address).hold(t)
	}
	if err := call(t, address).ask(5 * time.Second); err == nil {
		t.Error("a third connection of one address was answered beside two of eight that are busy")
	}
}

func TestAnIdleConnectionOfTheSameAddressMakesRoom(t *testing.T) {
	address := crowded(t, 8, false)
	for i := range 6 {
		if err := call(t, address).ask(5 * time.Second); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
}
