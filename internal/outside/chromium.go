package outside

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// chromiumFlags make a browser that talks to nobody but the test's servers.
// They are Chromium's own names, without the dashes.
var chromiumFlags = []string{
	"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
	"disable-background-networking", "disable-component-update", "disable-sync",
}

// longestBrowsing bounds the life of a browser, whatever a test does with it.
const longestBrowsing = 10 * time.Minute

// Chromium starts a headless browser with a profile of its own, for chromedp:
// tabs are made below the context with chromedp.NewContext. more are flags and
// an environment that the test's own browser needs. It ends with the test. The test skips, or fails, where there is none: see Program.
func Chromium(t testing.TB, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(Program(t, "chromium", "chromium")),
		chromedp.CombinedOutput(io.Discard),
	}
	for _, name := range chromiumFlags {
		options = append(options, chromedp.Flag(name, true))
	}
	bounded, giveUp := context.WithTimeout(context.Background(), longestBrowsing)
	t.Cleanup(giveUp)
	allocator, end := chromedp.NewExecAllocator(bounded, append(options, more...)...)
	t.Cleanup(end) // waits until the process has gone and its profile is removed
	// chromedp reports events that come while a tab is being replaced.
	quiet := chromedp.WithErrorf(func(string, ...any) {})
	ctx, closeBrowser := chromedp.NewContext(allocator, quiet)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return ctx
}
