package browser

import (
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
)

// faraway is a zone whose hours nobody takes for those of UTC: it is half an
// hour off them all year.
var faraway = time.FixedZone("Asia/Kolkata", 5*3600+1800)

var timesWalks = []walk{
	{"every page shows its times in the person's own zone", func(t *testing.T, w *world) {
		b := w.browser(t).inZone(faraway).signIn("carol").open("/roles/700140960000/Support").get()
		newPlace(b, net.IPv4(127, 0, 0, 3))
		b.open("/").timesIn(faraway, 4) // the end of the session, the first end of keys, the new place and since when
		b.open("/me/history").timesIn(faraway, 2)
		b.open("/me/sessions").timesIn(faraway, 7)
		askedFrom(b, nil)
		b.timesIn(faraway, 1)
		askedFrom(b, net.IPv4(127, 0, 0, 3))
		b.timesIn(faraway, 1)
		b.open("/roles/700140960000/Support").get().timesIn(faraway, 1)
		for _, form := range []string{"pickup", "link"} {
			b.plainly("/roles/700140960000/Support", form)
			b.timesIn(faraway, 1)
		}
	}},
}

// dated is a time as protocols write it.
var dated = regexp.MustCompile(`\d{4}-\d\d-\d\dT`)

// inZone gives the tab a clock of another zone.
func (b *tab) inZone(zone *time.Location) *tab {
	b.t.Helper()
	call(b, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone.String()})
	return b
}

// plainly takes a role by one of the buttons that are for people without
// scripts. What it leads to has them.
func (b *tab) plainly(path, form string) {
	b.t.Helper()
	b.withoutScripts().open(path)
	b.stays("form[action='" + path + "']")
	b.withScripts().goes(func() { eval[bool](b, `document.querySelector("button[value=`+form+`]").click(), true`) })
}

// timesIn holds all times of the page to the zone. There must be some.
func (b *tab) timesIn(zone *time.Location, least int) {
	b.t.Helper()
	times := eval[[]struct{ At, Text string }](b, `[...document.querySelectorAll("time[datetime]")].filter(t => t.checkVisibility()).map(t => ({ At: t.dateTime, Text: t.innerText }))`)
	if len(times) < least {
		b.t.Errorf("%s shows %d times, want %d", b.at(), len(times), least)
	}
	for _, shown := range times {
		at, err := time.Parse(time.RFC3339, shown.At)
		if err != nil || !strings.Contains(shown.Text, at.In(zone).Format("15:04")) {
			b.t.Errorf("%s shows %s as %q (%v)", b.at(), shown.At, shown.Text, err)
		}
	}
	eval[bool](b, `document.querySelectorAll("pre").forEach(p => p.remove()), true`) // what is there for programs and help desks
	if text := b.text("body"); strings.Contains(text, "UTC") || dated.MatchString(text) {
		b.t.Errorf("%s leaves a time in another zone:\n%s", b.at(), text)
	}
}
