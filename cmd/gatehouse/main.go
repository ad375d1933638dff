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
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gatehouse"
)

func main() {
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
	fmt.Fprintf(stderr, "gatehouse: %s%v%s\n", name, err, advice(err))
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// advice is what to try next, by kind of failure.
func advice(err error) string {
	if errors.Is(err, gatehouse.ErrTooManyGroups) {
		return "; try: narrow group_base_dn or group_filter, or take the person out of groups; until then they cannot sign in"
	}
	return ""
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
