// Command gatehouse is a web single sign-on portal for AWS: it signs
// employees in against their company's directory and hands out AWS console
// sessions and temporary credentials by SAML.
//
// Here is nothing but flags, wiring and lifecycle; it is the only place that
// knows every room.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/config"
)

func main() {
	runtime.MemProfileRate = 0 // until somebody asks for the heap's profile (web/admin.go)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends what the first lets finish
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// How a command ends.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a command that was used wrongly; hint is what to try.
type usageError struct{ what, hint string }

func (e *usageError) Error() string { return e.what + "; try: " + e.hint }

// reported is a failure that the command has already told in its own output.
var errReported = errors.New("reported")

// run is the program without the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := command(stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	called, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errReported) {
		return exitFailed
	}
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) && ended.ExitCode() > 0 {
		return ended.ExitCode() // of what gatehouse exec has run, and that has said why
	}
	name := strings.TrimPrefix(called.CommandPath(), "gatehouse")
	if name != "" {
		name = strings.TrimSpace(name) + ": "
	}
	fmt.Fprintf(stderr, "gatehouse: %s%s\n", name, failure(err, called))
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// failure is err in one line, with what to try next; faults of a
// configuration have a line each, as they have in the file.
func failure(err error, of *cobra.Command) string {
	var faults *config.Faults
	if errors.As(err, &faults) && len(faults.Faults) > 1 {
		return err.Error()
	}
	text := line(err.Error())
	if try := advice(err, of); try != "" {
		text += "; try: " + try
	}
	return text
}

// line is text in one line: errors that were joined stand beside each other,
// each once.
func line(text string) string {
	var all, last string
	for part := range strings.Lines(text) {
		part = strings.TrimSpace(part)
		switch {
		case part == "" || part == last:
			continue
		case strings.HasSuffix(all, ":"):
			all += " "
		case all != "":
			all += "; "
		}
		all += part
		last = part
	}
	return all
}

// advice is what to try next, by kind of failure; nothing where the error
// says it itself.
func advice(err error, of *cobra.Command) string {
	var away *gatehouse.Unavailable
	switch {
	case errors.Is(err, gatehouse.ErrTooManyGroups):
		return "narrow group_base_dn or group_filter, or take the person out of groups; until then they cannot sign in"
	case !errors.As(err, &away):
		return ""
	case away.What == "portal":
		return "gatehouse login URL, with the address at which a browser shows the portal"
	case of.Flag("config") == nil:
		return ""
	}
	return "gatehouse check --config " + of.Flag("config").Value.String() + ", which says what to mend"
}

// command is the whole command line.
func command(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "gatehouse",
		Short:         "Single sign-on to AWS from the directory you already have",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Sprintf("there is no command %q", args[0]), "gatehouse help"}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{err.Error(), c.CommandPath() + " --help"}
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(helpCommand(stdout))
	root.AddCommand(completionCommand(stdout), demoCommand(stdout, stderr), serveCommand(stderr), checkCommand(stdout), explainCommand(stdout), keysCommand(stdout), providersCommand(stdout), revokeCommand(stdout), versionCommand(stdout))
	root.AddCommand(laptopCommands(stdout, stderr)...)
	return root
}

// arguments checks how many there are, in the house's words.
func arguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			what := "wants: gatehouse " + c.Use
			if most == 0 {
				what = fmt.Sprintf("takes no argument %q", args[0])
			}
			return &usageError{what, c.CommandPath() + " --help"}
		}
		return nil
	}
}
