//go:build unix

package audit

import (
	"os"
	"syscall"
)

// removed reports whether f has no name any more: what is written to it then
// is read by nobody. One that was renamed is still read, by logrotate's rules.
func removed(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}
