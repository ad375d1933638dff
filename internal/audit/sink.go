package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"gatehouse"
)

const (
	// sinkWaiting is how many lines may wait for the file: some seconds of a
	// busy morning, a few megabytes.
	sinkWaiting = 4096

	// sinkPatience is how long one line may take, and how long the end of the
	// process waits for the file.
	sinkPatience = time.Second
)

// sink copies lines to the file, from a goroutine of its own.
type sink struct {
	path string
	log  *slog.Logger

	work chan task
	done chan struct{}

	dropped atomic.Int64
	failing atomic.Pointer[error] // why the last line was dropped; nil when it was not

	// The goroutine's own.
	file *os.File // nil while it cannot be opened
	torn bool     // the last line was written in part
}

// task is a line to write, or the wish to open the file again.
type task struct {
	line   []byte
	reopen chan error
}

func openSink(path string, log *slog.Logger) (*sink, error) {
	s := &sink{path: path, log: log, work: make(chan task, sinkWaiting), done: make(chan struct{})}
	if err := s.open(); err != nil && !errors.Is(err, syscall.ENXIO) {
		return nil, err // ENXIO: a FIFO that nobody reads yet
	}
	go s.run()
	return s, nil
}

// open never waits: a FIFO that nobody reads would otherwise hold us for ever.
// The group may read what is written, since collectors seldom run as we do.
func (s *sink) open() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
	if err != nil {
		return err
	}
	s.file = f
	return nil
}

// appendable says why lines cannot be added to the file at path, or nothing.
// What it says begins with the file or the folder that it is about. It leaves
// all as it is: a file that is not there is not made, but tried for
// with another name, and a FIFO is not opened, since its reader would take that
// for the end.
func appendable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.CreateTemp(filepath.Dir(path), ".gatehouse-*")
		if err != nil {
			return about(filepath.Dir(path), err)
		}
		return errors.Join(f.Close(), os.Remove(f.Name()))
	case err != nil:
		return about(path, err)
	case info.IsDir():
		return fmt.Errorf("%s is a folder", path)
	case info.Mode()&fs.ModeNamedPipe != 0:
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	if err != nil {
		return about(path, err)
	}
	return f.Close()
}

// about is why the system refused, said of path.
func about(path string, err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// offer hands over a line, or counts it as dropped. It never waits.
func (s *sink) offer(line []byte) {
	select {
	case s.work <- task{line: line}:
	default:
		s.drop(errors.New("it takes lines too slowly"))
	}
}

func (s *sink) drop(err error) {
	s.dropped.Add(1)
	if s.failing.Swap(&err) == nil {
		s.log.Error("audit file misses lines; the store has them", slog.String("file", s.path), slog.Any("err", err))
	}
}

func (s *sink) run() {
	defer close(s.done)
	for t := range s.work {
		if t.reopen != nil {
			t.reopen <- s.reopen()
			continue
		}
		if err := s.write(t.line); err != nil {
			s.drop(err)
		} else if s.failing.Swap(nil) != nil {
			s.log.Info("audit file takes lines again", slog.String("file", s.path), slog.Int64("dropped", s.dropped.Load()))
		}
	}
	s.shut()
}

func (s *sink) write(line []byte) error {
	if s.file != nil && removed(s.file) {
		s.shut()
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.torn {
		line = append([]byte{'\n'}, line...) // so that only the torn line is lost
	}
	_ = s.file.SetWriteDeadline(time.Now().Add(sinkPatience)) // only pipes and the like know deadlines
	n, err := s.file.Write(line)
	if err == nil {
		s.torn = false
		return nil
	}
	if n > 0 {
		s.torn = true
	}
	if errors.Is(err, syscall.EPIPE) {
		s.shut() // the reader is gone; the next one needs a new connection
	}
	return err
}

func (s *sink) reopen() error {
	s.shut()
	return s.open()
}

func (s *sink) shut() {
	if s.file != nil {
		_ = s.file.Close()
	}
	s.file, s.torn = nil, false
}

// askReopen opens the file again once the lines before are written.
func (s *sink) askReopen() error {
	slow := time.After(2 * sinkPatience)
	answer := make(chan error, 1)
	select {
	case s.work <- task{reopen: answer}:
	case <-slow:
		return fmt.Errorf("%s takes lines too slowly to be opened again", s.path)
	}
	select {
	case err := <-answer:
		return err
	case <-slow:
		return fmt.Errorf("%s takes lines too slowly to be opened again", s.path)
	}
}

// close gives the file a moment, and then leaves it.
func (s *sink) close() {
	close(s.work)
	select {
	case <-s.done:
	case <-time.After(sinkPatience):
		s.log.Warn("audit file did not take all lines before the end", slog.String("file", s.path))
	}
}

func (s *sink) check() gatehouse.Finding {
	n := s.dropped.Load()
	if n == 0 {
		return gatehouse.Finding{Subject: "audit file", State: gatehouse.FindingOK, Detail: s.path + " has every event since the start"}
	}
	f := gatehouse.Finding{Subject: "audit file", State: gatehouse.FindingWarning,
		Detail: fmt.Sprintf("%s missed %d lines since the start; it takes lines again", s.path, n),
		Fix:    "the store has them all: docs/operations.md says how to read them there"}
	if failing := s.failing.Load(); failing != nil {
		f.Detail = fmt.Sprintf("%s missed %d lines since the start: %v", s.path, n, *failing)
		f.Fix = "make room or start the reader; then read what is missing from the store (docs/operations.md)"
	}
	return f
}
