//go:build unix

package web

import (
	"math"
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
