package browser

import (
	"context"
	"strings"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// judgedBy runs axe-core in the page: what it finds, one line each, of what it
// knows of WCAG 2.2, levels A and AA, and of what it advises beyond.
func (b *tab) judgedBy(axe string) []string {
	b.t.Helper()
	b.do("bringing axe-core", chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: axe})
		return err
	}))
	said := eval[string](b, `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }).then(r =>
		r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(" | ")).join("\n"))`)
	if said == "" {
		return nil
	}
	return strings.Split(said, "\n")
}
