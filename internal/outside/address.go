package outside

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
)

// Address is a port of loopback, as HOST:PORT, for a program that is about to
// be started. The system picks it, and nobody else gets it until the test
// ends: neither who asks for any port nor a connection that goes out.
func Address(t testing.TB) string {
	t.Helper()
	port, reserved, err := reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reserved.Close() })
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// freePort is an Address for as long as this process runs.
func freePort() (int, error) {
	port, reserved, err := reserve()
	if err == nil {
		forGood.Store(port, reserved)
	}
	return port, err
}

var forGood sync.Map // port -> *os.File

// reserve binds a socket to a port and does not listen. With SO_REUSEADDR on
// both, which every server sets, another socket may then listen there; without
// the first, thousands of outgoing connections would pick from the same ports,
// and a connection to one where nobody listens yet could even meet itself.
func reserve() (port int, reserved *os.File, err error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	reserved = os.NewFile(uintptr(fd), "reserved port")
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, nil, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, nil, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, nil, os.NewSyscallError("getsockname", err)
	}
	return name.(*syscall.SockaddrInet4).Port, reserved, nil
}
