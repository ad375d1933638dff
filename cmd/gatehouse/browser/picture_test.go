package browser

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// pictures is the folder that the README shows pictures from. `go test
// ./cmd/gatehouse/browser -run TestBrowser/pictures -update` takes them anew.
const pictures = "../../../docs/pictures"

// largestPicture keeps the README quick.
const largestPicture = 150 << 10

var pictureWalks = []walk{
	{"sign-in", func(t *testing.T, w *world) {
		b := w.camera(t).size(1120, 640, 1).open("/login")
		b.typeIn("#username", "alice")
		b.typeIn("#password", password)
		b.pictured("sign-in")
	}},
	{"portal", func(t *testing.T, w *world) {
		b := w.camera(t).size(1120, 800, 1).signIn("alice")
		b.pictured("portal")
	}},
	{"credentials", func(t *testing.T, w *world) {
		b := w.camera(t).size(1120, 880, 1).signIn("alice").open(readOnly).get()
		b.pictured("credentials")
	}},
}

// camera is a browser without scroll bars.
func (w *world) camera(t *testing.T) *tab {
	t.Helper()
	b := w.browser(t)
	call(b, emulation.SetScrollbarsHidden, emulation.SetScrollbarsHiddenParams{Hidden: true})
	return b
}

// pictured takes the picture that is called name in light and in the dark.
func (b *tab) pictured(name string) {
	b.t.Helper()
	dir := b.t.TempDir()
	if *update {
		dir = pictures
	}
	b.do("moving the mouse away", chromedp.MouseEvent(chromedp.MouseMoved, 1, 1))
	light := b.scheme("light").picture(filepath.Join(dir, name+".png"))
	dark := b.scheme("dark").picture(filepath.Join(dir, name+"-dark.png"))
	if light < 0.7 || dark > 0.3 {
		b.t.Errorf("%s: the light one is %.2f bright and the dark one %.2f", name, light, dark)
	}
}

// picture saves what the window shows, and is how bright it is: 0 to 1. A
// picture that shows nothing, or too much for the README, fails.
func (b *tab) picture(path string) (brightness float64) {
	b.t.Helper()
	eval[*runtime.RemoteObject](b, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
		.then(() => Promise.all(document.getAnimations().map(a => a.finished)))`)
	file := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{}).Data
	shot, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o644); err != nil {
		b.t.Fatal(err)
	}
	brightness, colours, plain := judged(shot)
	b.t.Logf("%s: %d KB, %d colours", filepath.Base(path), len(file)>>10, colours)
	if len(file) > largestPicture || shot.Bounds().Dx() != 1120 || colours < 50 || plain > 0.97 {
		b.t.Errorf("%s is %v and %d bytes, with %d colours, one of them on %.0f %% of it", path, shot.Bounds().Max, len(file), colours, 100*plain)
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
