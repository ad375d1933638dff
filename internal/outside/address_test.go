package outside

import (
	"net"
	"testing"
)

func TestAnAddressIsNobodyElsesUntilItsServerListens(t *testing.T) {
	address := Address(t)
	for range 40_000 { // more than there are ports to go out from, if each were picked in turn
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			t.Fatalf("somebody answers at %s: %s", address, c.LocalAddr())
		}
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
