package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// watch notes what a tab should not do: say something on its console, break
// the Content Security Policy, or ask anybody but the two servers.
type watch struct {
	mu      sync.Mutex
	origins []string
	faults  []string
	allowed []string
}

// allows lets faults that hold one of these texts pass.
func (w *watch) allows(texts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allowed = append(w.allowed, texts...)
}

// knows lets the tab ask one more server.
func (w *watch) knows(origin string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.origins = append(w.origins, origin)
}

// event hears what the browser tells of a tab. It runs in the reader of the
// protocol and only takes notes.
func (w *watch) event(ev any) {
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		w.note("the console says %s: %s", e.Type, argument(e.Args))
	case *runtime.EventExceptionThrown:
		w.note("a script throws: %s", (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelInfo || e.Entry.Level == log.EntryLevelVerbose {
			return // what Clear-Site-Data did, for one
		}
		w.note("the browser's log says %s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *network.EventRequestWillBeSent:
		if !w.ours(e.Request.URL) {
			w.note("asks %s", e.Request.URL)
		}
	}
}

func argument(args []*runtime.RemoteObject) string {
	if len(args) == 0 {
		return ""
	}
	return string(args[0].Value) + args[0].Description
}

// ours reports whether a URL is that of a server the tab may ask, or nobody's.
func (w *watch) ours(url string) bool {
	if strings.HasPrefix(url, "blob:") || strings.HasPrefix(url, "about:") {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.origins, func(o string) bool { return url == o || strings.HasPrefix(url, o+"/") })
}

func (w *watch) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// bad are the faults that nobody allowed.
func (w *watch) bad() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.faults), func(f string) bool {
		return slices.ContainsFunc(w.allowed, func(a string) bool { return strings.Contains(f, a) })
	})
}

func (w *watch) judge(t *testing.T) {
	for _, fault := range w.bad() {
		t.Errorf("in the browser: %s", fault)
	}
}

var watchWalks = []walk{
	{"a page that breaks the policy is noticed", func(t *testing.T, w *world) {
		b := w.browser(t).open("/login")
		eval[bool](b, `document.head.append(Object.assign(document.createElement("style"), {textContent: "p{}"})), true`)
		eval[bool](b, `document.body.append(Object.assign(document.createElement("img"), {src: "http://x-nobody.invalid/"})), true`)
		b.await("both violations", func(context.Context) bool {
			all := strings.Join(b.watch.bad(), "\n")
			return strings.Contains(all, "style-src 'self'") && strings.Contains(all, "img-src 'self'")
		})
		b.watch.allows("Content Security Policy", "x-nobody.invalid")
	}},
	{"a page that asks somebody else is noticed", func(t *testing.T, w *world) {
		other := httptest.NewServer(http.NotFoundHandler())
		defer other.Close()
		b := w.browser(t).open(other.URL + "/elsewhere")
		if all := strings.Join(b.watch.bad(), "\n"); !strings.Contains(all, "asks "+other.URL) {
			t.Errorf("noticed %q, want the request to %s", all, other.URL)
		}
		b.watch.allows(other.URL)
	}},
	{"a script that throws is noticed", func(t *testing.T, w *world) {
		b := w.browser(t).open("/login")
		eval[bool](b, `setTimeout(() => { throw new Error("thrown on purpose") }), true`)
		b.await("the error", func(context.Context) bool {
			return strings.Contains(strings.Join(b.watch.bad(), "\n"), "thrown on purpose")
		})
		b.watch.allows("thrown on purpose")
	}},
}
