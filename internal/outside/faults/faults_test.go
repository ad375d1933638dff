package faults

import (
	"bufio"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// echo answers each line with itself.
func echo(t *testing.T) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	p, err := Start(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a line and reads one within limit.
func ask(c net.Conn, limit time.Duration) (string, error) {
	_ = c.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(c, "how are you today?\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

const (
	long  = 5 * time.Second
	short = 50 * time.Millisecond
)

func TestEveryFaultIsWhatItsNameSaysAndEnds(t *testing.T) {
	const line = "how are you today?\n"
	timeout := func(err error) bool { return errors.Is(err, syscall.ETIMEDOUT) || isTimeout(err) }
	tests := []struct {
		name  string
		fault Fault
		met   func(answer string, err error) bool
		lives bool // the connection goes on after the fault
	}{
		{"none passes everything", Fault{}, func(a string, err error) bool { return a == line && err == nil }, true},
		{"a delay is late", Fault{Kind: Delay, By: time.Minute}, func(a string, err error) bool { return a == "" && timeout(err) }, true},
		{"a hang says nothing", Fault{Kind: Hang}, func(a string, err error) bool { return a == "" && timeout(err) }, true},
		{"half-open says nothing", Fault{Kind: HalfOpen}, func(a string, err error) bool { return a == "" && timeout(err) }, false},
		{"a reset is told at once", Fault{Kind: Reset}, func(_ string, err error) bool { return err != nil && !timeout(err) }, false},
		{"what is corrupt is as long", Fault{Kind: Corrupt}, func(a string, err error) bool { return a != line && len(a) == len(line) && err == nil }, true},
		{"a cut ends after so many bytes", Fault{Kind: Cut, After: 4}, func(a string, err error) bool { return a == line[:4] && err == io.EOF }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := echo(t)
			old := dial(t, p)
			if tt.fault.Kind != Cut {
				if a, err := ask(old, long); a != line {
					t.Fatalf("before: %q, %v", a, err)
				}
			}
			p.Set(tt.fault)
			limit := long
			if tt.fault.Kind == Delay || tt.fault.Kind == Hang || tt.fault.Kind == HalfOpen {
				limit = short
			}
			if a, err := ask(old, limit); !tt.met(a, err) {
				t.Errorf("a connection from before: %q, %v", a, err)
			}
			if tt.fault.Kind != Reset {
				if a, err := ask(dial(t, p), limit); !tt.met(a, err) {
					t.Errorf("a new connection: %q, %v", a, err)
				}
			}
			p.Set(Fault{})
			if a, err := ask(dial(t, p), long); a != line {
				t.Errorf("a new connection afterwards: %q, %v", a, err)
			}
			if a, err := ask(old, limit); (a == line) != tt.lives {
				t.Errorf("the old connection afterwards: %q, %v", a, err)
			}
		})
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestAClosedProxyRefusesAndHoldsNothing(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	if _, err := ask(c, long); err != nil {
		t.Fatal(err)
	}
	p.Set(Fault{Kind: Hang})
	p.Close()
	p.Close()
	if n := p.Open(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
	if _, err := ask(c, long); err == nil || isTimeout(err) {
		t.Errorf("after the end: %v, want the connection closed", err)
	}
	if _, err := net.Dial("tcp", p.Address()); err == nil {
		t.Error("connecting is not refused")
	}
}
