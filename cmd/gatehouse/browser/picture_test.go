package browser

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"gatehouse/internal/outside"
)

// pictures is the folder that the README shows pictures from. `go test
// ./cmd/gatehouse/browser -run TestBrowser/pictures -update` takes them anew.
const pictures = "../../../docs/pictures"

// largestPicture keeps the README quick.
const largestPicture = 150 << 10

// shot is one page, and how a person gets there.
type shot struct {
	name          string
	who           string // signs in first; empty: nobody
	width, height int64
	walk          func(b *tab)
}

const (
	wide  = 1120
	phone = 390
)

// shots are the pages of the portal, as somebody would show them; fleeting has
// the rest. That no page is left out, TestEveryPageHasAPictureOrAReason says.
var shots = []shot{
	{"sign-in", "", wide, 640, func(b *tab) {
		b.open("/login")
		b.typeIn("#username", "alice")
		b.typeIn("#password", password)
	}},
	{"sign-in-refused", "", wide, 720, func(b *tab) { refusal(b, "alice", "wrong") }},
	{"new-password", "", wide, 760, func(b *tab) { b.open("/me/password?username=alice") }},
	{"portal", "alice", wide, 1000, func(b *tab) {
		b.open("/roles/111122224444/Admin").get()
		b.open("/roles/555566667777/ReadOnly").get()
		b.open("/")
		for _, id := range []string{"111122223333", "444455556666"} {
			if b.count(`.group:not(.shelf) .star[name=star][value="`+id+`"]`) == 1 {
				b.do("focusing the star", chromedp.Focus(chromedp.CSS(`.group:not(.shelf) .star[value="`+id+`"]`)))
				b.press(kb.Enter)
				b.until("the star", `document.querySelector(".shelf .star[value='`+id+`']")`)
			}
		}
		b.open("/")
	}},
	{"portal-phone", "alice", phone, 780, func(b *tab) {}},
	{"portal-two", "bob", wide, 560, func(b *tab) {}},
	{"portal-none", "dan", wide, 560, func(b *tab) {}},
	{"portal-300", "carol", wide, 800, func(b *tab) {}},
	{"portal-search", "carol", wide, 560, func(b *tab) {
		b.typeIn(".search input", "ship adm")
		b.press(kb.Enter)
	}},
	{"portal-keys", "alice", wide, 800, func(b *tab) { b.click("[data-help]") }},
	{"person-menu", "alice", wide, 560, func(b *tab) { b.click(".menu summary") }},
	{"role", "alice", wide, 760, func(b *tab) { b.open(readOnly) }},
	{"role-phone", "alice", phone, 900, func(b *tab) { b.open(readOnly) }},
	{"role-links", "alice", wide, 1040, func(b *tab) {
		b.open(readOnly)
		b.click("details.more summary")
	}},
	{"credentials", "alice", wide, 960, func(b *tab) { b.open(readOnly).get() }},
	{"credentials-phone", "alice", phone, 1200, func(b *tab) { b.open(readOnly).get() }},
	{"credentials-scoped", "alice", wide, 1000, func(b *tab) {
		b.open(readOnly)
		b.pick("#scope", "Read-only")
		b.get()
		b.click("#tab-ini")
	}},
	{"line", "alice", wide, 860, func(b *tab) {
		b.open(readOnly)
		b.click("[data-park]")
		b.until("the line", `!document.querySelector("[data-copy-line]").hidden`)
	}},
	{"session-ends", "alice", wide, 760, func(b *tab) {
		b.open(readOnly)
		// The answer of two minutes before the end, without the wait for it.
		eval[bool](b, `fetch = async () => Response.json({ left: 110, most: 3600 }), document.dispatchEvent(new Event("visibilitychange")), true`)
		b.until("the strip", `document.querySelector("[data-ending] button")`)
	}},
	{"role-confirm", "alice", wide, 760, func(b *tab) { b.open(identityAdmin) }},
	{"confirm", "alice", wide, 560, func(b *tab) {
		b.stays("form[data-roles]")
		b.do("focusing the role", chromedp.Focus(chromedp.CSS(`.group:not(.shelf) button[formaction="`+identityAdmin+`"]`)))
		b.goes(func() { b.press(kb.Enter) })
	}},
	{"several", "alice", wide, 800, func(b *tab) {
		b.open("/several")
		for _, role := range []string{"999900001111/ReadOnly", "222233334444/Analyst"} {
			b.click(`[value="` + role + `"]`)
		}
	}},
	{"several-phone", "alice", phone, 900, func(b *tab) { b.open("/several") }},
	{"link-pick", "alice", wide, 700, func(b *tab) { b.open("/go?url=https%3A%2F%2Feu-west-1.console.aws.amazon.com%2Fs3%2Fhome") }},
	{"link-missing", "bob", wide, 640, func(b *tab) { b.open("/go/111122225555/Admin") }},
	{"why", "bob", wide, 640, func(b *tab) { b.open("/why/111122225555/Developer") }},
	{"why-not", "dan", wide, 800, func(b *tab) { b.open("/why/111122223333/Admin") }},
	{"history", "alice", wide, 800, func(b *tab) { b.open("/me/history") }},
	{"sign-ins", "alice", wide, 640, func(b *tab) { b.open("/me/sessions") }},
	{"applications", "alice", wide, 560, func(b *tab) { b.open("/me/applications") }},
	{"role-clients", "alice", wide, 1040, func(b *tab) {
		b.open(readOnly)
		b.click("details.more:last-of-type summary")
	}},
	{"device", "alice", wide, 560, func(b *tab) { b.open("/device") }},
	{"consent", "alice", wide, 860, func(b *tab) { asked(b) }},
	{"agreed", "alice", wide, 560, func(b *tab) {
		asked(b)
		b.goes(func() { b.click("button[value=agree]") })
	}},
	{"aws-login", "bob", wide, 860, func(b *tab) {
		p := listening(b.t, &world{house: b.house})
		p.awsLogin(b)
		b.click(`[value="444455556666/PowerUser"]`)
	}},
	{"carry", "bob", wide, 560, func(b *tab) { listening(b.t, &world{house: b.house}).carry(b) }},
	{"problem", "alice", wide, 640, func(b *tab) { b.open("/nowhere") }},
}

var allShots = slices.Concat(shots, fleeting)

var pictureWalks = func() (walks []walk) {
	for _, s := range allShots {
		walks = append(walks, walk{s.name, func(t *testing.T, w *world) {
			b := s.shown(t, w)
			b.isA(s.name)
			b.pictured(s.name, int(s.width))
		}})
	}
	return walks
}()

// shown is a browser that shows the page.
func (s shot) shown(t *testing.T, w *world) *tab {
	t.Helper()
	b := w.camera(t).size(s.width, s.height, 1)
	b.watch.allows(refused, "status of 400", "status of 403", "status of 404")
	if s.who != "" {
		b.signIn(s.who)
	}
	s.walk(b)
	return b
}

// camera is a browser without scroll bars.
func (w *world) camera(t *testing.T) *tab {
	t.Helper()
	b := w.browser(t)
	call(b, emulation.SetScrollbarsHidden, emulation.SetScrollbarsHiddenParams{Hidden: true})
	return b
}

// pictured takes the picture that is called name in light and in the dark, and
// has axe-core judge both.
func (b *tab) pictured(name string, width int) {
	b.t.Helper()
	dir := b.t.TempDir()
	if *update {
		dir = pictures
	}
	b.do("moving the mouse away", chromedp.MouseEvent(chromedp.MouseMoved, 1, 1))
	axe := outside.Axe(b.t)
	light := b.scheme("light").picture(filepath.Join(dir, name+".png"), width)
	faults := b.judgedBy(axe)
	dark := b.scheme("dark").picture(filepath.Join(dir, name+"-dark.png"), width)
	for _, fault := range append(faults, b.judgedBy(axe)...) {
		b.t.Errorf("%s: axe-core finds %s", name, fault)
	}
	if light < 0.6 || dark > 0.3 {
		b.t.Errorf("%s: the light one is %.2f bright and the dark one %.2f", name, light, dark)
	}
}

// picture saves what the window shows, and is how bright it is: 0 to 1. A
// picture that shows nothing, or too much for the README, fails.
func (b *tab) picture(path string, width int) (brightness float64) {
	b.t.Helper()
	eval[*runtime.RemoteObject](b, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
		.then(() => Promise.all(document.getAnimations().map(a => a.finished)))`)
	file := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{}).Data
	image, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o644); err != nil {
		b.t.Fatal(err)
	}
	brightness, colours, plain := judged(image)
	b.t.Logf("%s: %d KB, %d colours", filepath.Base(path), len(file)>>10, colours)
	if len(file) > largestPicture || image.Bounds().Dx() != width || colours < 50 || plain > 0.97 {
		b.t.Errorf("%s is %v and %d bytes, with %d colours, one of them on %.0f %% of it", path, image.Bounds().Max, len(file), colours, 100*plain)
	}
	return brightness
}

// judged is how bright a picture is, how many colours it has, and how much of
// it has the most frequent one.
func judged(m image.Image) (brightness float64, colours int, plain float64) {
	seen := map[color.Color]int{}
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			seen[m.At(x, y)]++
		}
	}
	all, sum, most := float64(m.Bounds().Dx()*m.Bounds().Dy()), 0.0, 0
	for c, n := range seen {
		most = max(most, n)
		sum += float64(n) * float64(color.GrayModel.Convert(c).(color.Gray).Y) / 255
	}
	return sum / all, len(seen), float64(most) / all
}
