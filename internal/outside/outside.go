// Package outside brings the outside world to tests: programs from packages,
// and real servers on loopback that end with the test.
//
// Under GATEHOUSE_TEST_REQUIRE=1, which `make test` sets, a missing program
// fails the test that wants it. Otherwise the test skips and says which one.
package outside

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Elsewhere lists where Debian keeps programs that are not on every PATH.
var elsewhere = []string{"/usr/sbin", "/sbin", "/usr/lib/postgresql/*/bin"}

// Program is the path of an outside program, or the test ends: it fails
// where programs are required, and skips elsewhere. pkg is the Debian package
// that has it.
func Program(t testing.TB, name, pkg string) string {
	t.Helper()
	if path, ok := find(name); ok {
		return path
	}
	Missing(t, name+" (Debian package "+pkg+")")
	return ""
}

// Missing ends the test for want of what: a failure where outside programs
// are required, a skip elsewhere.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("GATEHOUSE_TEST_REQUIRE") == "1" {
		t.Fatalf("missing: %s; make test installs it", what)
	}
	t.Skipf("skipped: needs %s", what)
}

func find(name string) (string, bool) {
	if path, err := exec.LookPath(name); err == nil {
		return path, true
	}
	for _, dir := range elsewhere {
		found, _ := filepath.Glob(filepath.Join(dir, name))
		for _, path := range slices.Backward(found) { // the newest version first
			if path, err := exec.LookPath(path); err == nil {
				return path, true
			}
		}
	}
	return "", false
}
