package browser

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// house is a running demo.
type house struct {
	Portal string // http://localhost:PORT
	AWS    string // http://127.0.0.1:PORT
}

// password is everybody's in the demo.
const password = "gatehouse"

// Roles that the walks take.
const (
	developer     = "/roles/111122225555/Developer" // bob's, through a group in a group
	powerUser     = "/roles/444455556666/PowerUser" // bob's, by a rule with session tags
	readOnly      = "/roles/111122223333/ReadOnly"  // alice's
	identityAdmin = "/roles/333344445555/Admin"     // alice's; its rule asks for one click more
	admin         = "/roles/111122223333/Admin"     // alice's; AWS allows an hour
)

// startHouse builds the binary and starts its demo, which ends with the test.
func startHouse(t *testing.T) *house {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "gatehouse")
	build := exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, "demo", "--portal", "localhost:0", "--aws", "127.0.0.1:0", "--ldap", "127.0.0.1:0",
		"--state", t.TempDir(), "--json")
	var stderr lines
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endHouse(t, cmd, &stderr) })
	return readHouse(t, bufio.NewReader(stdout), &stderr)
}

// readHouse waits for the line that says that all is ready.
func readHouse(t *testing.T, stdout *bufio.Reader, stderr *lines) *house {
	t.Helper()
	first := make(chan []byte, 1)
	go func() {
		line, _ := stdout.ReadBytes('\n')
		first <- line
	}()
	h := new(house)
	select {
	case line := <-first:
		if err := json.Unmarshal(line, h); err != nil || h.Portal == "" || h.AWS == "" {
			t.Fatalf("demo --json printed %q (%v)\n%s", line, err, stderr.text())
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the demo was not ready within 30 s\n%s", stderr.text())
	}
	return h
}

// endHouse asks the demo to end, and holds it to having had no trouble that
// an operator should look at.
func endHouse(t *testing.T, cmd *exec.Cmd, stderr *lines) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v\n%s", err, stderr.text())
	}
	for line := range strings.Lines(stderr.text()) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			t.Errorf("the demo said: %s", line)
		}
	}
}

// lines collects what a process says while others read it.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
