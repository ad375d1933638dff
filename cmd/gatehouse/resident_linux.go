package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// releaseProgram gives back the pages of the program's own text and constants
// that starting has mapped. Starting touches a little of everything, and the
// kernel maps sixteen pages around each one touched (fault_around_bytes), so
// that after it nearly the whole binary counts as resident, although running
// needs a small part.
//
// What is given back is in the page cache still: a page that is needed after
// all is mapped again without reading a disk, at less than a microsecond each.
// Nothing is lost by it, since such a page equals the file's: only private
// mappings of files are chosen that nobody may write, and of which no page
// was changed after all, by a debugger or a probe (see unchanged). Where
// anything is other than expected, all stays as it is.
func releaseProgram() {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return // a kernel without it
	}
	defer f.Close()
	for _, m := range unchanged(f) {
		// An address and a length, as the kernel has just told them: there is no Go object there.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, syscall.MADV_DONTNEED)
	}
}

// When a process rests: it has used less than a hundredth of a processor
// between two looks, which health checks and looking after the store do not
// come to, and has done something since it last rested that was worth it.
const (
	lookEvery = 5 * time.Second
	idling    = lookEvery / 100
	worked    = 200 * time.Millisecond
)

// rest gives back what work has left whenever the process is quiet, until ctx
// ends: memory that the heap holds ready, and the program's pages. It is done
// once for each quiet time, since whoever comes next waits a millisecond or
// two for what is needed again.
func rest(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	r := resting{ownTime(), ownTime()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if r.begins(ownTime()) {
			debug.FreeOSMemory()
			releaseProgram()
			r.given = ownTime()
			r.last = r.given
		}
	}
}

// resting is the processor time that had been used when memory was last given
// back, and at the last look.
type resting struct{ given, last time.Duration }

// begins looks again: whether it is time to give memory back.
func (r *resting) begins(used time.Duration) bool {
	quiet := used-r.last < idling
	r.last = used
	return quiet && used-r.given > worked
}

// ownTime is what this process has used so far (getrusage(2)).
func ownTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0 // then nothing ever seems worth it
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// mapping is a part of the address space.
type mapping struct{ start, end uintptr }

// unchanged returns the mappings in smaps (proc_pid_smaps(5)) that are private,
// of a file, not writable, and without any page that differs from the file's
// (Anonymous: a page that was written to and so became the process's own).
func unchanged(smaps io.Reader) []mapping {
	var found []mapping
	var m mapping
	var candidate bool
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"):
			m, candidate = header(fields)
		case len(fields) >= 2 && fields[0] == "Anonymous:" && candidate && fields[1] == "0":
			found = append(found, m)
		}
	}
	return found
}

// header reads the line that begins a mapping, and says whether it is one to
// look at: address range, permissions, offset, device, inode, path.
func header(fields []string) (m mapping, candidate bool) {
	from, to, _ := strings.Cut(fields[0], "-")
	start, errStart := strconv.ParseUint(from, 16, strconv.IntSize)
	end, errEnd := strconv.ParseUint(to, 16, strconv.IntSize)
	permissions, inode := fields[1], fields[4]
	constant := permissions == "r-xp" || permissions == "r--p"
	return mapping{uintptr(start), uintptr(end)}, errStart == nil && errEnd == nil && end > start && constant && inode != "0"
}
