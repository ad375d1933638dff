package main

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// How much of the log waits for whoever reads it: some seconds of a busy
// morning, a few megabytes; and how long the end of the process waits for that.
const (
	logWaiting  = 4096
	logPatience = time.Second
)

// logSink takes the log's lines and writes them from a goroutine of its own,
// since a pipe whose reader hangs would hold every request that has something
// to log. Lines for which there is no room are dropped and counted, and how
// many there were is in the log as soon as it is read again.
type logSink struct {
	to      io.Writer
	lines   chan []byte // nil: the end
	dropped atomic.Int64
	done    chan struct{}
}

func newLogSink(to io.Writer) *logSink {
	s := &logSink{to: to, lines: make(chan []byte, logWaiting), done: make(chan struct{})}
	go s.run()
	return s
}

// Write takes one line and never waits.
func (s *logSink) Write(line []byte) (int, error) {
	select {
	case s.lines <- bytes.Clone(line): // a handler uses its buffer again
	default:
		s.dropped.Add(1)
	}
	return len(line), nil
}

func (s *logSink) run() {
	defer close(s.done)
	for line := range s.lines {
		if line == nil {
			return
		}
		_, err := s.to.Write(line)
		if err != nil {
			s.dropped.Add(1)
			continue // there is nobody to tell
		}
		if n := s.dropped.Swap(0); n > 0 {
			_, _ = fmt.Fprintf(s.to, `{"time":%q,"level":"ERROR","msg":"the log was not taken; lines are missing","dropped":%d}`+"\n", time.Now().Format(time.RFC3339Nano), n)
		}
	}
}

// Close writes what waits, for a moment at most. What is logged later is lost.
func (s *logSink) Close() {
	enough := time.After(logPatience)
	select {
	case s.lines <- nil:
	case <-enough:
		return
	}
	select {
	case <-s.done:
	case <-enough:
	}
}
