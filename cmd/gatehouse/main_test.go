package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/internal/outside"
)

// tests are the package's tests with what they may have started ended after them.
type tests struct{ m *testing.M }

func (t tests) Run() int { return outside.Run(t.m) }

func TestMain(m *testing.M) {
	if of := os.Getenv(asSTS); of != "" {
		cannedSTS(of)
		return
	}
	if cookie := os.Getenv(asBrowser); cookie != "" {
		cannedBrowser(cookie)
		return
	}
	testscript.Main(tests{m}, map[string]func(){"gatehouse": main})
}

// TestScripts runs the command as people type it. Beside the commands of
// testscript there are:
//
//	ports NAME…          sets each NAME to a port that is free
//	await URL REGEXP     waits until a page holds something
//	awaitfile F REGEXP   waits until a file does
//	signal NAME          sends HUP, INT or TERM to the one background command
//	taken NAME           sets NAME to a port that somebody else has
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"ports": func(ts *testscript.TestScript, _ bool, args []string) {
				for _, name := range args {
					l, err := net.Listen("tcp", "127.0.0.1:0")
					ts.Check(err)
					ts.Setenv(name, fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
					defer l.Close() // after all have theirs
				}
			},
			"taken": func(ts *testscript.TestScript, _ bool, args []string) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				ts.Check(err)
				ts.Defer(func() { _ = l.Close() })
				ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
			},
			"await": func(ts *testscript.TestScript, _ bool, args []string) {
				await(ts, args[0], args[1], func() (string, error) { return get(args[0]) })
			},
			"awaitfile": func(ts *testscript.TestScript, _ bool, args []string) {
				await(ts, args[0], args[1], func() (string, error) {
					text, err := os.ReadFile(ts.MkAbs(args[0]))
					return string(text), err
				})
			},
			"signal": func(ts *testscript.TestScript, _ bool, args []string) {
				running := ts.BackgroundCmds()
				if len(running) != 1 {
					ts.Fatalf("%d commands run in the background, want 1", len(running))
				}
				names := map[string]os.Signal{"HUP": syscall.SIGHUP, "INT": os.Interrupt, "TERM": syscall.SIGTERM}
				ts.Check(running[0].Process.Signal(names[args[0]]))
			},
		},
	})
}

func get(url string) (string, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func await(ts *testscript.TestScript, what, pattern string, look func() (string, error)) {
	wanted := regexp.MustCompile(pattern)
	deadline := time.Now().Add(20 * time.Second)
	for {
		text, err := look()
		if err == nil && wanted.MatchString(text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s never held %q: %v\n%s", what, pattern, err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
