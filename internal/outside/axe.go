package outside

import (
	"os"
	"path/filepath"
	"testing"
)

// Axe is the text of axe-core, which judges whether a page can be used by
// everybody, for a browser to run. The test skips, or fails, where it is not
// installed: see Program.
func Axe(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(cache, "gatehouse-tests", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		Missing(t, "axe-core (npm package axe-core)")
	}
	return string(text)
}
