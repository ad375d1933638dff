//go:build unix

package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/outside"
)

// reopenOn ends the log and begins another that writes to path.
func (r *record) reopenOn(t *testing.T, path string) {
	t.Helper()
	must(t, r.Close(t.Context()))
	r.file = path
	r.begin(t)
}

func (r *record) fileFinding(t *testing.T) gatehouse.Finding {
	t.Helper()
	findings := r.Check(t.Context())
	return findings[len(findings)-1]
}

func TestAFullFileStopsNobodyAndIsReported(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		outside.Missing(t, "/dev/full")
	}
	r := open(t)
	r.reopenOn(t, "/dev/full")
	must(t, r.Record(t.Context(), granted("1")))
	waitFor(t, "two dropped lines", func() bool { return r.Dropped() == 2 })
	if f := r.fileFinding(t); f.State != gatehouse.FindingWarning || !strings.Contains(f.Detail, "no space left") {
		t.Errorf("Check = %+v, want a warning that names the cause", f)
	}
	r.wantWhole(t)
}

// waitFor looks every millisecond until what is so.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	must(t, syscall.Mkfifo(path, 0o600))
	return path
}

func TestAFIFOThatNobodyReadsStopsNobody(t *testing.T) {
	r := open(t)
	path := fifo(t)
	r.reopenOn(t, path)
	must(t, r.Record(t.Context(), granted("1")))
	waitFor(t, "two dropped lines", func() bool { return r.Dropped() == 2 })

	reader, err := os.OpenFile(path, os.O_RDWR, 0) // so that the open does not wait
	must(t, err)
	defer reader.Close()
	must(t, r.Record(t.Context(), granted("2")))
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil || !strings.Contains(line, `"id":"2"`) {
		t.Errorf("the reader got %q, %v; want event 2", line, err)
	}
	waitFor(t, "the file to be well again", func() bool { return strings.Contains(r.fileFinding(t).Detail, "takes lines again") })
}

func TestAReaderThatStallsStopsNobody(t *testing.T) {
	r := open(t)
	path := fifo(t)
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer reader.Close()
	r.reopenOn(t, path)
	big := granted("")
	big.Reason = strings.Repeat("x", 16<<10) // a pipe holds 64 KiB
	start := time.Now()
	for range 20 {
		must(t, r.Record(t.Context(), big))
	}
	must(t, r.Close(context.Background()))
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("twenty events and the end took %s behind a stalled reader", took)
	}
	r.wantWhole(t)
}

func TestARotatedFileIsFollowedAfterReopen(t *testing.T) {
	r := open(t)
	must(t, r.Record(t.Context(), granted("1")))
	must(t, os.Rename(r.file, r.file+".1"))
	must(t, r.Record(t.Context(), granted("2")))
	must(t, r.Reopen())
	must(t, r.Record(t.Context(), granted("3")))
	lines := r.lines(t)
	if len(lines) != 1 || !strings.Contains(lines[0], `"id":"3"`) {
		t.Errorf("new file: %q, want event 3", lines)
	}
	old, err := os.ReadFile(r.file + ".1")
	must(t, err)
	if n := strings.Count(string(old), "\n"); n != 3 || !strings.Contains(string(old), `"id":"2"`) {
		t.Errorf("old file: %q, want the start and events 1 and 2", old)
	}
	info, err := os.Stat(r.file)
	must(t, err)
	if info.Mode().Perm()&0o007 != 0 {
		t.Errorf("the file's mode is %v; others may read it", info.Mode())
	}
}

func TestAFileThatIsRemovedIsMadeAnew(t *testing.T) {
	r := open(t)
	must(t, os.Remove(r.file))
	must(t, r.Record(t.Context(), granted("1")))
	waitFor(t, "the event in a new file", func() bool {
		text, err := os.ReadFile(r.file)
		return err == nil && strings.HasSuffix(string(text), "\n") && strings.Contains(string(text), `"id":"1"`)
	})
	must(t, os.RemoveAll(filepath.Dir(r.file))) // and nowhere to make it
	must(t, r.Record(t.Context(), granted("2")))
	waitFor(t, "a dropped line", func() bool { return r.Dropped() == 1 })
	if f := r.fileFinding(t); f.State != gatehouse.FindingWarning || !strings.Contains(f.Detail, "no such file or directory") {
		t.Errorf("Check = %+v, want a warning that names the cause", f)
	}
	must(t, os.Mkdir(filepath.Dir(r.file), 0o700))
	must(t, r.Record(t.Context(), granted("3")))
	waitFor(t, "the file to be well again", func() bool { return strings.Contains(r.fileFinding(t).Detail, "takes lines again") })
	r.wantWhole(t)
}

func TestAFileThatCannotBeWrittenIsRefusedAtTheStart(t *testing.T) {
	r := open(t)
	missing := filepath.Join(t.TempDir(), "missing", "audit.jsonl")
	_, err := audit.Open(t.Context(), audit.Config{File: missing}, r.store, now, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("Open = %v, want an error that names the file", err)
	}
}

func TestATornLineSpoilsNoOther(t *testing.T) {
	r := open(t)
	path := fifo(t)
	reader, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	r.reopenOn(t, path)
	big := granted("torn")
	big.Reason = strings.Repeat("x", 100<<10) // more than a pipe holds
	must(t, r.Record(t.Context(), big))
	waitFor(t, "the torn line", func() bool { return r.Dropped() == 1 })
	lines := bufio.NewReader(reader)
	must(t, reader.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = io.ReadFull(lines, make([]byte, 60<<10)) // make room
	must(t, err)
	must(t, r.Record(t.Context(), granted("next")))
	for i := 0; ; i++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		if strings.HasPrefix(line, fmt.Sprintf(`{"id":%q`, "next")) {
			return
		}
	}
}

// To look whether the file can be written leaves all as it is: nothing is made
// or changed, and whoever reads a FIFO is not told that its writer has gone.
func TestToLookAtTheFileLeavesItAlone(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(at("old.jsonl"), []byte("{}\n"), 0o600))
	must(t, syscall.Mkfifo(at("fifo"), 0o600))
	reader, err := os.OpenFile(at("fifo"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	for name, good := range map[string]bool{"": true, at("old.jsonl"): true, at("new.jsonl"): true, at("fifo"): true, "/dev/null": true,
		dir: false, at("no/audit.jsonl"): false, at("old.jsonl/audit.jsonl"): false} {
		faults := audit.Config{File: name}.Files()
		if (len(faults) == 0) != good {
			t.Errorf("%q: %v", name, faults)
		}
		for _, f := range faults {
			if f.Key != "file" || f.What == "" || f.Fix == "" || strings.Contains(f.What, ".gatehouse-") {
				t.Errorf("%q: %+v", name, f)
			}
		}
	}
	var names []string
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "fifo old.jsonl" {
		t.Errorf("the folder holds %s", got)
	}
	if text, err := os.ReadFile(at("old.jsonl")); err != nil || string(text) != "{}\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
