package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/internal/outside"
)

func TestOnlyPagesThatEqualTheFilesAreGivenBack(t *testing.T) {
	const size = "Size: 8 kB\nRss: 8 kB\n"
	const clean, changed = size + "Anonymous: 0 kB\nVmFlags: rd mr mw me\n", size + "Anonymous: 4 kB\nVmFlags: rd mr mw me\n"
	text, constants := mapping{0x400000, 0xe0a000}, mapping{0xe0a000, 0x1c00000}
	for name, c := range map[string]struct {
		smaps string
		want  []mapping
	}{
		"text and constants": {"00400000-00e0a000 r-xp 00000000 08:01 131 /usr/bin/gatehouse\n" + clean +
			"00e0a000-01c00000 r--p 00a0a000 08:01 131 /usr/bin/gatehouse\n" + clean, []mapping{text, constants}},
		"a path with blanks":               {"00400000-00e0a000 r-xp 00000000 08:01 131 /opt/my programs/gatehouse (deleted)\n" + clean, []mapping{text}},
		"a debugger has written to it":     {"00400000-00e0a000 r-xp 00000000 08:01 131 /usr/bin/gatehouse\n" + changed, nil},
		"one that may be written":          {"00400000-00e0a000 rw-p 00000000 08:01 131 /usr/bin/gatehouse\n" + clean, nil},
		"written to and run":               {"00400000-00e0a000 rwxp 00000000 08:01 131 /usr/bin/gatehouse\n" + clean, nil},
		"one shared with others":           {"00400000-00e0a000 r--s 00000000 08:01 131 /var/lib/gatehouse/gatehouse.db-shm\n" + clean, nil},
		"memory of no file":                {"00400000-00e0a000 r--p 00000000 00:00 0\n" + clean, nil},
		"the kernel's own":                 {"7ffe1000-7ffe3000 r-xp 00000000 00:00 0 [vdso]\n" + clean, nil},
		"not to be touched at all":         {"00400000-00e0a000 ---p 00000000 08:01 131 /usr/bin/gatehouse\n" + clean, nil},
		"a kernel that does not say":       {"00400000-00e0a000 r-xp 00000000 08:01 131 /usr/bin/gatehouse\n" + size, nil},
		"clean, behind one that may not":   {"00400000-00e0a000 rw-p 00000000 08:01 131 /a\n" + size + "00e0a000-01c00000 r--p 00a0a000 08:01 131 /a\n" + clean, []mapping{constants}},
		"an end before the start":          {"00e0a000-00400000 r-xp 00000000 08:01 131 /usr/bin/gatehouse\n" + clean, nil},
		"an address that is none":          {"0040zz00-00e0a000 r-xp 00000000 08:01 131 /usr/bin/gatehouse\n" + clean, nil},
		"an address wider than a register": {"1ffffffffffffffff-2ffffffffffffffff r-xp 00000000 08:01 131 /usr/bin/gatehouse\n" + clean, nil},
		"nonsense":                         {"Anonymous: 0 kB\n\n-\nAnonymous: 0 kB\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := unchanged(strings.NewReader(c.smaps))
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(mapping{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMemoryIsGivenBackOnceForEachQuietTimeAfterWork(t *testing.T) {
	const none, work = idling / 2, 2 * worked
	for name, c := range map[string]struct {
		looks []time.Duration // processor time used since the look before
		want  []bool
	}{
		"at work":                      {[]time.Duration{work, work, work}, []bool{false, false, false}},
		"after work":                   {[]time.Duration{work, none, none, none}, []bool{false, true, false, false}},
		"after each time":              {[]time.Duration{work, none, work, none}, []bool{false, true, false, true}},
		"nothing was done":             {[]time.Duration{0, none, none}, []bool{false, false, false}},
		"minutes of health checks":     {slices.Repeat([]time.Duration{idling / 50}, 100), make([]bool, 100)},
		"a request now and then":       {[]time.Duration{idling, none, idling, none}, []bool{false, false, false, false}},
		"as busy as is no longer idle": {[]time.Duration{work, idling, idling}, []bool{false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var r resting
			var used time.Duration
			var got []bool
			for _, more := range c.looks {
				used += more
				begins := r.begins(used)
				if begins {
					r.given = used
				}
				got = append(got, begins)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if before := ownTime(); before <= 0 {
		t.Errorf("this process has used %v so far", before)
	}
}

func TestAProgramWhosePagesAreGivenBackRunsOn(t *testing.T) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		outside.Missing(t, "/proc/self/smaps")
	}
	defer f.Close()
	if len(unchanged(f)) == 0 {
		t.Fatal("no part of this very program was found in smaps")
	}
	before := proc(t, os.Getpid(), "RssFile:")
	releaseProgram()
	if after := proc(t, os.Getpid(), "RssFile:"); after >= before {
		t.Errorf("of the program %d kB are resident, %d before", after, before)
	}
}
