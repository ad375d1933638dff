//go:build unix

package web

import (
	"math"
	"net"
	"os"
	"syscall"
)

// mostFiles is how many files the process may have open (getrlimit(2)); the
// runtime has raised the soft limit to the hard one. 0: nobody knows.
func mostFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur > math.MaxInt32 {
		return 0
	}
	return int(l.Cur)
}

// waiting takes every connection that the kernel holds ready for l. It does
// not wait for any.
func waiting(l net.Listener) []net.Conn {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	var conns []net.Conn
	_ = raw.Control(func(fd uintptr) {
		for {
			syscall.ForkLock.RLock()
			nfd, _, err := syscall.Accept(int(fd)) // the listener does not block, being Go's
			if err == nil {
				syscall.CloseOnExec(nfd)
			}
			syscall.ForkLock.RUnlock()
			if err != nil {
				return
			}
			f := os.NewFile(uintptr(nfd), "connection")
			if c, err := net.FileConn(f); err == nil {
				conns = append(conns, c)
			}
			_ = f.Close() // FileConn has a descriptor of its own
		}
	})
	return conns
}

// pending reports whether something came over conn that nobody has read yet.
func pending(conn net.Conn) bool {
	t, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return false
	}
	came := 0
	_ = raw.Control(func(fd uintptr) {
		came, _, _ = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK) // does not block either
	})
	return came > 0
}
