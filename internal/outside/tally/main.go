// Command tally reads the output of `go test -json`, shows what failed and
// what was skipped, and closes with one line: N passed, M failed, K skipped.
// It exits 1 when something failed or nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of test2json's output.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

type result struct {
	passed, failed, skipped int
	output                  map[string]*strings.Builder // of tests and packages that have not ended yet
	reasons                 []string                    // why tests were skipped
}

func main() {
	r := &result{output: map[string]*strings.Builder{}}
	r.read(os.Stdin, os.Stdout)
	os.Exit(r.close(os.Stdout))
}

func (r *result) read(in io.Reader, out io.Writer) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<20), 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // what the go command says by itself
			continue
		}
		r.event(e, out)
	}
}

func (r *result) event(e event, out io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if r.output[key] == nil {
			r.output[key] = &strings.Builder{}
		}
		r.output[key].WriteString(e.Output)
		return
	case "pass":
		r.count(e, &r.passed)
	case "fail", "build-fail":
		if e.Test == "" {
			// A package fails with its tests; alone it fails to build or to run.
			fmt.Fprintf(out, "FAIL %s (%.1fs)\n", e.Package, e.Elapsed)
		}
		if b := r.output[key]; b != nil {
			fmt.Fprint(out, b.String())
		}
		r.failed++
	case "skip":
		r.count(e, &r.skipped)
		if b := r.output[key]; b != nil && e.Test != "" {
			r.reasons = append(r.reasons, e.Package+" "+e.Test+": "+reason(b.String()))
		}
	default:
		return
	}
	delete(r.output, key)
	if e.Test == "" && e.Action == "pass" {
		fmt.Fprintf(out, "ok   %s (%.1fs)\n", e.Package, e.Elapsed)
	}
}

// count counts tests; packages are not tests.
func (r *result) count(e event, n *int) {
	if e.Test != "" {
		*n++
	}
}

// reason is the line that a skipped test gave.
func reason(output string) string {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			return line
		}
	}
	return "no reason given"
}

func (r *result) close(out io.Writer) int {
	for _, why := range r.reasons {
		fmt.Fprintln(out, "skip", why)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	if r.failed > 0 || r.passed == 0 {
		return 1
	}
	return 0
}
