// Package browser walks through the portal as people do: Debian's Chromium,
// real clicks and keys, against the demo as `gatehouse demo` starts it. It
// holds tests only.
//
// One house and one browser serve all walks; each walk has a browser context
// of its own, which is to cookies and storage what a new browser is. Every
// tab is watched: a line on its console, a violation of the Content Security
// Policy or a request to anybody but the portal and the emulator fails the
// walk (watch_test.go).
package browser

import (
	"context"
	"flag"
	"testing"

	"gatehouse/internal/outside"
)

var update = flag.Bool("update", false, "write the pictures of docs/pictures anew")

// walk is one thing that a person does, or that somebody tries.
type walk struct {
	name string
	walk func(*testing.T, *world)
}

// world is where a walk takes place.
type world struct {
	*house
	chromium context.Context
}

func TestBrowser(t *testing.T) {
	chromium := outside.Chromium(t)
	w := &world{house: startHouse(t), chromium: chromium}
	for _, part := range []struct {
		name  string
		walks []walk
	}{
		{"watching", watchWalks},
		{"sign-in", signInWalks},
		{"portal", portalWalks},
		{"console", consoleWalks},
		{"keys", keysWalks},
		{"ways", waysWalks},
		{"programs", programWalks},
		{"times", timesWalks},
		{"plain", plainWalks},
		{"guards", guardWalks},
		{"looks", looksWalks},
		{"pictures", pictureWalks},
	} {
		t.Run(part.name, func(t *testing.T) {
			for _, step := range part.walks {
				t.Run(step.name, func(t *testing.T) { step.walk(t, w) })
			}
		})
	}
}
