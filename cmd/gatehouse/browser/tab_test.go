package browser

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a walk waits for anything.
const patience = 20 * time.Second

// tab is one tab of a browser, and the person before it.
type tab struct {
	t     *testing.T
	house *house
	ctx   context.Context
	watch *watch
}

// browser opens a tab in a browser that knows nothing yet.
func (w *world) browser(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(w.chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return newTab(t, w.house, ctx)
}

func newTab(t *testing.T, h *house, ctx context.Context) *tab {
	t.Helper()
	b := &tab{t: t, house: h, ctx: ctx, watch: &watch{origins: []string{h.Portal, h.AWS}}}
	if err := chromedp.Listen(ctx, b.watch.event); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	t.Cleanup(func() { b.watch.judge(t) })
	return b
}

// withoutScripts switches scripts off in this tab. What the walk asks of the
// page still runs.
func (b *tab) withoutScripts() *tab {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	return b
}

// call sends one command of the DevTools protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// do runs steps that say nothing.
func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v; the tab is at %s and says:\n%s", what, err, b.at(), b.says())
	}
}

// open types a path of the portal, or a whole URL, into the address bar.
func (b *tab) open(path string) *tab {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.house.Portal + path
	}
	b.do("opening "+path, chromedp.Navigate(path))
	return b
}

// click clicks the middle of the first element that selector matches.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// typeIn clicks a field and types.
func (b *tab) typeIn(selector, text string) {
	b.t.Helper()
	b.click(selector)
	b.press(text)
}

// press types into whatever has the focus.
func (b *tab) press(keys string, with ...chromedp.KeyOption) {
	b.t.Helper()
	b.do(fmt.Sprintf("pressing %q", keys), chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		for _, r := range keys {
			for _, k := range strokes(r) {
				for _, o := range with {
					o(k)
				}
				if _, err := cdp.Call(ctx, tab, input.DispatchKeyEvent, *k); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// strokes are a key going down and up. chromedp sends the letter as an event
// of its own, which a page cannot prevent; keyboards do not.
func strokes(r rune) []*input.DispatchKeyEventParams {
	var all []*input.DispatchKeyEventParams
	for _, k := range kb.Encode(r) {
		if n := len(all); k.Type == kb.KeyChar && n > 0 && all[n-1].Type == kb.KeyDown {
			all[n-1].Text, all[n-1].UnmodifiedText = k.Text, k.UnmodifiedText
			continue
		}
		all = append(all, k)
	}
	return all
}

// goes acts and waits until the page that this leads to is there, scripts and all.
func (b *tab) goes(act func()) {
	b.t.Helper()
	b.until("marking the page", "(globalThis.walked = true)")
	act()
	b.until("the next page", "globalThis.walked !== true && document.readyState === 'complete'")
}

// eval is what an expression says in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v; the tab is at %s", expression, err, b.at())
	}
	return v
}

// until waits for an expression to be true; a page that is just being
// replaced has no answer yet.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	b.await(what+" ("+expression+")", func(ctx context.Context) bool {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && ok
	})
}

// await asks again and again, for as long as patience lasts.
func (b *tab) await(what string, ready func(context.Context) bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ready(ctx) {
		select {
		case <-ctx.Done():
			b.t.Fatalf("waited %s for %s; the tab is at %s and says:\n%s", patience, what, b.at(), b.says())
		case <-tick.C:
		}
	}
}

// at is the address of the page.
func (b *tab) at() string { return b.ask("location.href") }

// says is the visible text of the page.
func (b *tab) says() string { return b.ask("document.body?.innerText ?? ''") }

// ask is for messages: it fails nothing.
func (b *tab) ask(expression string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), patience)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return s
}

// text is the visible text of the first element that selector matches.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, "(document.querySelector("+strconv.Quote(selector)+")?.innerText ?? '(not there)').trim()")
}

// value is what a field holds.
func (b *tab) value(selector string) string {
	b.t.Helper()
	return eval[string](b, "document.querySelector("+strconv.Quote(selector)+").value")
}

// count is how many elements match and are shown.
func (b *tab) count(selector string) int {
	b.t.Helper()
	return eval[int](b, "[...document.querySelectorAll("+strconv.Quote(selector)+")].filter(e => e.checkVisibility()).length")
}

// wants fails unless what the person reads there holds all parts. Rows that
// have just come into sight are laid out a moment later: it looks again.
func (b *tab) wants(selector string, parts ...string) {
	b.t.Helper()
	var got string
	for range 20 {
		got = b.text(selector)
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(got, part) }) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Errorf("%s at %s says %q, want it to hold %q", selector, b.at(), got, parts)
}

// wantsAt fails unless the tab is at a path of the portal.
func (b *tab) wantsAt(path string) {
	b.t.Helper()
	if got := b.at(); got != b.house.Portal+path {
		b.t.Errorf("the tab is at %s, want %s", got, b.house.Portal+path)
	}
}

// signIn signs somebody in by typing, from wherever the sign-in page shows.
func (b *tab) signIn(username string) *tab {
	b.t.Helper()
	if !strings.Contains(b.at(), "/login") {
		b.open("/login")
	}
	b.typeIn("#username", username)
	b.typeIn("#password", password)
	b.goes(func() { b.press(kb.Enter) })
	return b
}

// opens acts and is the tab that opens by it.
func (b *tab) opens(act func()) *tab {
	b.t.Helper()
	mine := chromedp.FromContext(b.ctx).BrowserContextID
	pages := func(ctx context.Context) (ids []target.ID) {
		infos, _ := chromedp.Targets(ctx)
		for _, info := range infos {
			if info.Type == "page" && info.BrowserContextID == mine {
				ids = append(ids, info.TargetID)
			}
		}
		return ids
	}
	before := pages(b.ctx)
	act()
	var opened target.ID
	b.await("a new tab", func(ctx context.Context) bool {
		for _, id := range pages(ctx) {
			if !slices.Contains(before, id) {
				opened = id
			}
		}
		return opened != ""
	})
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithTargetID(opened))
	b.t.Cleanup(cancel)
	next := newTab(b.t, b.house, ctx)
	next.until("the new tab's page", "location.href !== 'about:blank' && document.readyState === 'complete'")
	return next
}

// size gives the tab a window of another size.
func (b *tab) size(width, height int64, scale float64) *tab {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: scale})
	return b
}

// scheme is what the person's system prefers: light or dark.
func (b *tab) scheme(name string) *tab {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
	return b
}
