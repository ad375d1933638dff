package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/demo"
)

// demoFlags are the demo's, as they were typed.
type demoFlags struct {
	portal, aws, ldap, state, only string
	json, printConfig              bool
}

func demoCommand(stdout, stderr io.Writer) *cobra.Command {
	var f demoFlags
	c := &cobra.Command{
		Use: "demo", Short: "Run Gatehouse with a sample company and an emulated AWS, on loopback", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c.Context(), f, stdout, stderr) },
	}
	flags := c.Flags()
	flags.StringVar(&f.portal, "portal", "localhost:8080", "where the portal is; port 0: any free one")
	flags.StringVar(&f.aws, "aws", "127.0.0.1:8081", "where the AWS emulator is")
	flags.StringVar(&f.ldap, "ldap", "127.0.0.1:1389", "where the directory is")
	flags.StringVar(&f.state, "state", "", "folder to keep the demo's state in; default: a private temporary one, removed at the end")
	flags.StringVar(&f.only, "only", "", "start just the outside world: directory,aws")
	flags.BoolVar(&f.json, "json", false, "print one JSON line once all is ready, for scripts")
	flags.BoolVar(&f.printConfig, "print-config", false, "print the configuration, ready for serve --config, and end")
	return c
}

func runDemo(ctx context.Context, f demoFlags, stdout, stderr io.Writer) error {
	if f.only != "" && f.only != "directory,aws" && f.only != "aws,directory" {
		return &usageError{fmt.Sprintf("--only %s is unknown", f.only), "gatehouse demo --only directory,aws"}
	}
	for flag, address := range map[string]string{"--portal": f.portal, "--aws": f.aws, "--ldap": f.ldap} {
		if err := onLoopback(address); err != nil {
			return &usageError{fmt.Sprintf("%s %s: %v", flag, address, err), "gatehouse demo " + flag + " 127.0.0.1:0"}
		}
	}
	state, remove, err := stateFolder(f)
	if err != nil {
		return err
	}
	defer remove()
	if f.printConfig {
		return printConfig(f, state, stdout)
	}
	doors, portal, err := bindPortal(f.portal)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	world, err := demo.Start(demo.Options{Portal: portal, AWS: f.aws, LDAP: f.ldap, State: state, Log: log})
	if err != nil {
		return errors.Join(busy(err), doors.Close())
	}
	defer func() { _ = world.Close() }()
	if f.only != "" {
		if err := doors.Close(); err != nil {
			return err
		}
		announce(stdout, f, world, portal)
		<-ctx.Done()
		return nil
	}
	return serveDemo(ctx, f, world, doors, portal, log, stdout)
}

// printConfig prints what the demo would serve. Nothing is started, so that a
// demo may be running meanwhile.
func printConfig(f demoFlags, state string, stdout io.Writer) error {
	if strings.HasSuffix(f.portal, ":0") {
		doors, portal, err := bindPortal(f.portal)
		if err != nil {
			return err
		}
		if f.portal = portal; doors.Close() != nil {
			return fmt.Errorf("portal %s: cannot be freed again", portal)
		}
	}
	world, err := demo.Describe(demo.Options{Portal: f.portal, AWS: f.aws, LDAP: f.ldap, State: state})
	if err != nil {
		return err
	}
	_, err = stdout.Write(world.Config)
	return err
}

// serveDemo calls what serve calls: the demo has no path of its own.
func serveDemo(ctx context.Context, f demoFlags, world *demo.World, doors net.Listener, portal string, log *slog.Logger, stdout io.Writer) error {
	cfg, err := world.Load()
	if err != nil {
		return errors.Join(err, doors.Close())
	}
	admin, err := net.Listen("tcp", cfg.Web.AdminListen)
	if err != nil {
		return errors.Join(err, doors.Close())
	}
	return serveOn(ctx, listeners{doors, admin}, cfg, log, func() (*config.Config, error) { return world.Load() },
		func() { announce(stdout, f, world, portal) })
}

// onLoopback refuses to show a demo to the network.
func onLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("want HOST:PORT")
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("the demo stays on loopback")
	}
	return nil
}

// stateFolder is where the demo keeps what it makes, and how to clean up.
func stateFolder(f demoFlags) (dir string, remove func(), err error) {
	if f.state != "" {
		return f.state, func() {}, os.MkdirAll(f.state, 0o700)
	}
	dir, err = os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("making a folder for the state: %w; try --state DIR", err)
	}
	if f.printConfig {
		return dir, func() {}, nil // what is printed names the files in it
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// bindPortal takes the portal's port, and says which it got. localhost is
// what people type; it is bound where browsers look first.
func bindPortal(address string) (net.Listener, string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", err
	}
	bind := host
	if host == "localhost" {
		bind = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(bind, port))
	if err != nil {
		return nil, "", fmt.Errorf("portal: %w", busy(err))
	}
	_, port, err = net.SplitHostPort(l.Addr().String())
	return l, net.JoinHostPort(host, port), err
}

// busy adds what to try when a port is taken.
func busy(err error) error {
	if strings.Contains(err.Error(), "address already in use") {
		return fmt.Errorf("%w; another demo may be running, or try --portal localhost:0 --aws 127.0.0.1:0 --ldap 127.0.0.1:0", err)
	}
	return err
}

// announce says, for people or for scripts, that all is ready.
func announce(out io.Writer, f demoFlags, w *demo.World, portal string) {
	url := "http://" + portal
	if f.json {
		_ = json.NewEncoder(out).Encode(map[string]any{"portal": url, "aws": w.AWS, "ldap": w.LDAP, "people": w.People})
		return
	}
	if f.only != "" {
		fmt.Fprintf(out, "The sample company's directory is at %s, its AWS at %s.\nThe portal is expected at %s.\n", w.LDAP, w.AWS, url)
		return
	}
	fmt.Fprintf(out, "\n  Gatehouse is at  %s\n\n", url)
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "  Sign in as\twith password\tto see\n")
	for _, p := range w.People {
		fmt.Fprintf(t, "  %s\t%s\t%s\n", p.Username, p.Password, p.Shows)
	}
	_ = t.Flush()
	fmt.Fprintf(out, "\n  AWS is an emulator at %s, the directory is at %s.\n", w.AWS, w.LDAP)
	fmt.Fprintf(out, "  Take credentials from a role's Keys page, paste them into a shell, and try:\n\n    aws sts get-caller-identity\n\n")
	fmt.Fprintf(out, "  Without the aws command, this asks for bob's credentials and shows them:\n\n    %s\n\n", curlLine(url))
	fmt.Fprintf(out, "  All of it stays on this machine and is not for production. Ctrl-C ends it.\n")
}

// curlLine signs in and takes credentials, in one line to paste. The cookie
// stays in curl.
func curlLine(url string) string {
	return fmt.Sprintf("curl -s -b '' -o /dev/null -d 'username=bob&password=%s' %s/login --next -s -b '' -d as=bash %s/roles/444455556666/PowerUser", demo.Password, url, url)
}
