package main

import (
	"bufio"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a writer that takes nothing until it is let go.
type stuck struct {
	lines
	let chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.let
	return s.lines.Write(p)
}

func TestALogThatIsNotTakenStopsNobodyAndSaysWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &stuck{let: make(chan struct{})}
		s := newLogSink(to)
		log := slog.New(slog.NewJSONHandler(s, nil))
		log.Info("line", "n", 0)
		synctest.Wait() // it is being written now
		for i := range logWaiting + 7 {
			log.Info("line", "n", i+1)
		}
		began := time.Now()
		s.Close()
		if took := time.Since(began); took != logPatience {
			t.Errorf("Close waited %v for somebody who does not read, want %v", took, logPatience)
		}
		close(to.let)
		synctest.Wait()
		s.Close() // now it is taken
		if got := to.String(); !strings.Contains(got, `"n":4096}`) || strings.Contains(got, `"n":4097}`) || !strings.Contains(got, `"dropped":7}`) {
			t.Errorf("the log ends in %q, want its first lines, and that seven are missing", got[max(0, len(got)-200):])
		}
		log.Info("after the end") // is lost, and holds nobody
	})
}

// noReader runs serve with a log that goes into a pipe, for check to look at
// while nobody reads it.
func noReader(t *testing.T, check func(t *testing.T, get func() int, log *os.File)) {
	t.Helper()
	w := outsideWorld(t, "gatehouse")
	log, its, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("gatehouse", "serve", "--config", w.config)
	cmd.Stderr = its
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = its.Close()
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = log.Close() // or the end would wait for a reader
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
	}()
	get := func() int {
		client := http.Client{Timeout: 2 * time.Second}
		res, err := client.Get(w.url + "/login")
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	healed(t, func() bool { return get() == http.StatusOK })
	check(t, get, log)
}

func TestWithALogThatNobodyReadsRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	const room = 64 << 10 // of a pipe (pipe(7)); a line has more than a hundred bytes
	noReader(t, func(t *testing.T, get func() int, log *os.File) {
		for i := range logWaiting + room/100 + 100 {
			if status := get(); status != http.StatusOK {
				t.Fatalf("request %d is answered %d", i, status)
			}
		}
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "lines are missing") {
				return
			}
		}
		t.Error("the log does not say that lines are missing")
	})
}

func TestWithALogWhoseReaderIsGoneRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	noReader(t, func(t *testing.T, get func() int, log *os.File) {
		_ = log.Close()
		for range 5 {
			if status := get(); status != http.StatusOK {
				t.Fatalf("answered %d", status)
			}
		}
	})
}
