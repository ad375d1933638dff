package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gatehouse/internal/outside"
)

func TestWithTheDiskFullNobodySignsInAndNothingIsHandedOut(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=2m"); err != nil {
		outside.Missing(t, "the right to mount a small disk: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	g := openGate(t, "store: ", "store: sqlite://"+disk+"/gatehouse.db # ")
	b := g.browser(t)
	b.signIn("bob")
	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	chunk := strings.Repeat("x", 512)
	for err == nil {
		_, err = filler.WriteString(chunk)
	}
	_ = filler.Close()
	noneWithoutRecord(t, g, b)
	for _, page := range []string{"/", powerUser, "/me/history", "/me/sessions"} { // who is signed in goes on
		b.get(page).want(t, 200, "Bob")
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	g.browser(t).signIn("alice") // it heals by itself
	b.post(powerUser, "as", "json").want(t, 200, "ASIA")
}
