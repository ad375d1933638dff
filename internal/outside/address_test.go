package outside

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestAnAddressIsNobodyElsesUntilItsServerListens(t *testing.T) {
	address := Address(t)
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Errorf("somebody answers at %s", address)
	}
	from, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	other := Address(t)
	if _, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", other); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a connection that goes out from %s: %v, want that it is taken", address, err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
