package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/client"
	"gatehouse/internal/export"
)

// laptopCommands are the employee's side: what runs where people work.
func laptopCommands(stdout, stderr io.Writer) []*cobra.Command {
	return []*cobra.Command{
		loginCommand(stderr), logoutCommand(stderr), processCommand(stdout, stderr), envCommand(stdout, stderr), execCommand(stdout, stderr),
		consoleCommand(stdout, stderr), configCommand(stdout, stderr),
	}
}

// seat is the laptop and the portal that a command works with.
type seat struct {
	*client.Laptop
	portal string
}

// onLaptop is a command that works with a portal; --url says which.
func onLaptop(c *cobra.Command, stderr io.Writer, run func(ctx context.Context, at seat, args []string) error) *cobra.Command {
	asked := c.Flags().String("url", "", "the portal; default: GATEHOUSE_URL, else the one of the last sign-in")
	c.RunE = func(c *cobra.Command, args []string) error {
		l, err := client.Here(stderr)
		if err != nil {
			return err
		}
		if c.Name() == "login" && len(args) == 1 {
			*asked, args = args[0], nil
		}
		portal, err := l.Portal(*asked)
		if err != nil {
			return err
		}
		return run(c.Context(), seat{l, portal}, args)
	}
	return c
}

func loginCommand(stderr io.Writer) *cobra.Command {
	var how client.Login
	c := &cobra.Command{Use: "login [URL]", Short: "Sign in from this terminal, for gatehouse, the AWS CLI and the SDKs", Args: arguments(0, 1)}
	c.Flags().BoolVar(&how.Device, "device", false, "by a code that is typed into a page on any machine; the default under SSH")
	c.Flags().BoolVar(&how.NoBrowser, "no-browser", false, "show the address of the page and open nothing")
	return onLaptop(c, stderr, func(ctx context.Context, at seat, _ []string) error {
		how.Portal = at.portal
		if err := at.Login(ctx, how); err != nil {
			return err
		}
		fmt.Fprintln(stderr, "Signed in. Profiles for all your roles: gatehouse config --write")
		return nil
	})
}

func logoutCommand(stderr io.Writer) *cobra.Command {
	c := &cobra.Command{Use: "logout", Short: "End the sign-in of this terminal", Args: arguments(0, 0)}
	return onLaptop(c, stderr, func(ctx context.Context, at seat, _ []string) error { return at.Logout(ctx, at.portal) })
}

// processPatience is below the minute that SDKs wait for a credential_process.
const processPatience = 50 * time.Second

func processCommand(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{Use: "credential-process ACCOUNT/ROLE", Short: "Print credentials as a credential_process of ~/.aws/config does", Args: arguments(1, 1)}
	return onLaptop(c, stderr, func(ctx context.Context, at seat, args []string) error {
		ctx, cancel := context.WithTimeout(ctx, processPatience)
		defer cancel()
		keys, err := at.Keys(ctx, at.portal, args[0])
		if err != nil {
			return err
		}
		return show(stdout, gatehouse.FormJSON, keys, export.Options{})
	})
}

func show(out io.Writer, form gatehouse.Form, c gatehouse.Credentials, o export.Options) error {
	text, err := export.Render(form, c, o)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text.Body)
	return err
}

func envCommand(stdout, stderr io.Writer) *cobra.Command {
	var form string
	c := &cobra.Command{Use: "env ACCOUNT/ROLE", Short: `Print credentials as lines for a shell: eval "$(gatehouse env ACCOUNT/ROLE)"`, Args: arguments(1, 1)}
	texts := slices.DeleteFunc(slices.Clone(gatehouse.Forms), func(f gatehouse.Form) bool { return f == gatehouse.FormConsole || f == gatehouse.FormPost })
	c.Flags().StringVar(&form, "format", "", fmt.Sprintf("one of %v; default: what the shell in SHELL reads", texts))
	return onLaptop(c, stderr, func(ctx context.Context, at seat, args []string) error {
		f := gatehouse.Form(form)
		if form == "" {
			f = shellForm(at.Getenv("SHELL"))
		}
		if !slices.Contains(texts, f) {
			return &usageError{fmt.Sprintf("--format %s is unknown", form), "gatehouse env --help"}
		}
		keys, o, err := at.keys(ctx, args[0])
		if err != nil {
			return err
		}
		return show(stdout, f, keys, o)
	})
}

// shellForm is what the person's shell reads.
func shellForm(shell string) gatehouse.Form {
	switch {
	case filepath.Base(shell) == "fish":
		return gatehouse.FormFish
	case shell == "" && runtime.GOOS == "windows":
		return gatehouse.FormPowerShell
	}
	return gatehouse.FormBash
}

// keys are credentials for a role, and what goes with them.
func (at seat) keys(ctx context.Context, role string) (gatehouse.Credentials, export.Options, error) {
	place, o, err := at.Place(ctx, at.portal, role)
	if err != nil {
		return gatehouse.Credentials{}, o, err
	}
	keys, err := at.Keys(ctx, at.portal, place.Account+"/"+place.Role)
	return keys, o, err
}

func execCommand(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{Use: "exec ACCOUNT/ROLE -- COMMAND [ARG...]", Short: "Run a command with credentials in its environment", Args: arguments(2, 1000)}
	return onLaptop(c, stderr, func(ctx context.Context, at seat, args []string) error {
		keys, o, err := at.keys(ctx, args[0])
		if err != nil {
			return err
		}
		args = args[1:]                           // cobra has taken the -- away
		run := exec.Command(args[0], args[1:]...) // signals of the terminal reach it by themselves
		run.Stdin, run.Stdout, run.Stderr = os.Stdin, stdout, stderr
		if run.Env, err = at.Environ(keys, o); err != nil {
			return err
		}
		err = run.Run()
		if ended := (*exec.ExitError)(nil); errors.As(err, &ended) && ended.ExitCode() < 0 {
			return fmt.Errorf("%s: %w", args[0], err) // ended by a signal
		}
		return err
	})
}

func consoleCommand(stdout, stderr io.Writer) *cobra.Command {
	var destination string
	var only bool
	c := &cobra.Command{Use: "console ACCOUNT/ROLE", Short: "Open a role's page in the browser, one press away from its console", Args: arguments(1, 1)}
	c.Flags().StringVar(&destination, "destination", "", "console page to open, for example https://eu-west-1.console.aws.amazon.com/s3/home")
	c.Flags().BoolVar(&only, "print", false, "print the address and open nothing")
	return onLaptop(c, stderr, func(ctx context.Context, at seat, args []string) error {
		account, role, _ := strings.Cut(args[0], "/")
		if !gatehouse.AccountID.MatchString(account) || !gatehouse.RoleName.MatchString(role) {
			place, _, err := at.Place(ctx, at.portal, args[0])
			if err != nil {
				return err
			}
			account, role = place.Account, place.Role
		}
		page := at.portal + "/go/" + account + "/" + url.PathEscape(role)
		if destination != "" {
			page += "?" + url.Values{"destination": {destination}}.Encode()
		}
		if only || at.Open(page) != nil {
			fmt.Fprintln(stdout, page)
		}
		return nil
	})
}

func configCommand(stdout, stderr io.Writer) *cobra.Command {
	var c export.AWSConfig
	var doWrite bool
	command := &cobra.Command{Use: "config", Short: "Profiles in ~/.aws/config for every role that you may use: shows what would change", Args: arguments(0, 0)}
	command.Flags().BoolVar(&doWrite, "write", false, "change the file")
	command.Flags().StringVar(&c.Names, "names", "", "how profiles are called: {account}, {number}, {environment}, {role}; the portal's own way by default")
	command.Flags().BoolVar(&c.Process, "process", false, "for clients that know no endpoints: profiles that run gatehouse credential-process")
	return onLaptop(command, stderr, func(ctx context.Context, at seat, _ []string) error {
		all, err := at.Roles(ctx, at.portal)
		if err != nil {
			return err
		}
		c.Names = cmp.Or(c.Names, all.Profiles)
		c.Portal, c.Region, c.STSEndpoint = at.portal, all.Region, all.STSEndpoint
		old, err := at.ReadConfig()
		if err != nil {
			return err
		}
		merged, kept, err := client.Merge(old, c, all.Roles)
		if err != nil {
			return fmt.Errorf("%s: %w", at.ConfigFile(), err)
		}
		for _, name := range kept {
			fmt.Fprintf(stderr, "profile %s is there already, outside our block: left as it is; --names gives ours others\n", name)
		}
		return at.change(stdout, stderr, old, merged, doWrite)
	})
}

// change shows what changes, and changes it if it is to.
func (at seat) change(stdout, stderr io.Writer, old, merged string, doWrite bool) error {
	if old == merged {
		fmt.Fprintln(stderr, at.ConfigFile()+" is as it should be.")
		return nil
	}
	if _, err := io.WriteString(stdout, client.Diff(old, merged)); err != nil {
		return err
	}
	if !doWrite {
		fmt.Fprintln(stderr, "Nothing was changed yet; try: gatehouse config --write")
		return nil
	}
	return at.WriteConfig(merged)
}
