package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/aws"
	"gatehouse/internal/config"
	"gatehouse/internal/kerberos"
	"gatehouse/internal/store"
	"gatehouse/ldap"
	"gatehouse/saml"
	"gatehouse/web"
)

func checkCommand(stdout io.Writer) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "check --config FILE", Short: "Look at everything that Gatehouse needs, and say how to mend it", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file, config.Load)
			var faults *config.Faults
			if errors.As(err, &faults) {
				return table(stdout, faultFindings(faults))
			}
			if err != nil {
				return err
			}
			return table(stdout, check(c.Context(), cfg))
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	return c
}

func faultFindings(f *config.Faults) []gatehouse.Finding {
	var list []gatehouse.Finding
	for _, fault := range f.Faults {
		finding := gatehouse.Finding{Subject: "configuration", State: gatehouse.FindingFailure,
			Detail: strings.TrimSpace(fault.Key + " " + fault.What), Fix: "correct " + f.File}
		if fault.Line > 0 {
			finding.Subject = fmt.Sprintf("configuration:%d", fault.Line)
			finding.Fix = fmt.Sprintf("correct line %d of %s", fault.Line, f.File)
		}
		finding.Fix = cmp.Or(fault.Fix, finding.Fix)
		list = append(list, finding)
	}
	return list
}

// check asks every room for its findings. A room that cannot even be opened
// is a finding too.
func check(ctx context.Context, cfg *config.Config) []gatehouse.Finding {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	list := []gatehouse.Finding{{Subject: "configuration", State: gatehouse.FindingOK,
		Detail: fmt.Sprintf("directories: %d, accounts: %d, rules: %d", len(cfg.Directories), len(cfg.Accounts), len(cfg.Access.Access.Rules))}}
	for _, name := range cfg.Awaited() {
		list = append(list, gatehouse.Finding{Subject: "service provider " + name, State: gatehouse.FindingWarning,
			Detail: "a rule names it, and it has no metadata", Fix: "put " + name + ".xml into saml.metadata_dir, or correct the rule"})
	}
	for _, key := range cfg.Idle() {
		list = append(list, gatehouse.Finding{Subject: "configuration", State: gatehouse.FindingWarning,
			Detail: key + " is set and gives nobody anything: nothing uses it yet", Fix: "take out " + cfg.Where(key)})
	}
	list = append(list, web.Check(ctx, cfg.Web, time.Now())...)
	list = append(list, web.CheckListen(ctx, cfg.Web)...)
	list = append(list, web.CheckProxy(ctx, cfg.Web, http.DefaultClient))
	list = append(list, checkStore(ctx, cfg)...)
	list = append(list, kerberos.Check(ctx, cfg.Windows)...)
	list = append(list, checkDirectories(ctx, cfg, log)...)
	client, err := aws.New(cfg.AWS, nil, log)
	if err != nil {
		return append(list, broken("AWS", err, "correct aws.ca_file or the endpoints"))
	}
	return append(list, client.Check(ctx)...)
}

// checkDirectories looks at each directory, and then for what rules name in
// those that answer.
func checkDirectories(ctx context.Context, cfg *config.Config, log *slog.Logger) []gatehouse.Finding {
	var list []gatehouse.Finding
	var answering []access.Source
	for _, dc := range cfg.Directories {
		d, err := ldap.New(dc, nil, log)
		if err != nil {
			list = append(list, broken("directory "+dc.Name, err, "correct its ca_file, cert_file or key_file"))
			continue
		}
		defer d.Close()
		list = append(list, d.Check(ctx)...)
		if d.Ready(ctx).State == gatehouse.FindingOK { // of another nothing more can be said
			s := source(d, dc)
			answering = append(answering, s)
			list = append(list, access.Check(ctx, cfg.Access.Throttle, []access.Source{s})...)
		}
	}
	return append(list, access.CheckRules(ctx, cfg.Policy.Rules(), answering, cfg.Where)...)
}

// checkStore looks at the database, and at the signing keys in it.
func checkStore(ctx context.Context, cfg *config.Config) []gatehouse.Finding {
	s, err := store.Open(ctx, cfg.Store, cfg.Secrets, nil)
	if err != nil {
		return []gatehouse.Finding{broken("store", err, storeFix(cfg.Store.URL, err))}
	}
	defer func() { _ = s.Close() }()
	list := s.Check(ctx)
	keys, err := s.SigningKeys(ctx)
	switch {
	case err != nil:
		return append(list, broken("signing keys", err, "put the secret file back that sealed them"))
	case len(keys) == 0:
		return append(list, gatehouse.Finding{Subject: "signing keys", State: gatehouse.FindingOK, Detail: "none yet; the first start makes one"})
	}
	p, err := saml.New(cfg.SAML, saml.Endpoints{Metadata: cfg.SAML.EntityID, SSO: publicURL(cfg, "saml", "sso")}, keys, make([]byte, 32), nil)
	if err != nil {
		return append(list, broken("saml", err, "correct saml.service_providers and their metadata"))
	}
	return append(list, p.Check(ctx)...)
}

// storeFix is what to do about a store that cannot be opened.
func storeFix(address string, err error) string {
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(err.Error(), w) })
	}
	u, _ := url.Parse(address) // Validate has refused one that is none
	folder := filepath.Dir(u.Path)
	switch {
	case says("it needs at least"):
		return "for a new store make one of 32 random bytes: (umask 077; head -c 32 /dev/urandom > secret.key); for an old one put its own back"
	case says("secret_files"):
		return "put the file that sealed the store back into secret_files; without it only an empty store is left to begin with"
	case says("newer gatehouse"):
		return "run the newer release, or restore the backup from before the upgrade"
	case u.Scheme != "sqlite" && errors.Is(err, gatehouse.ErrUnavailable):
		return "see that PostgreSQL runs at " + u.Host + ", that this machine may reach it, and that user, password and database in store are right"
	case says("half applied", "malformed", "not a database"):
		return "stop gatehouse and restore a backup"
	case says("does not exist"):
		return "install -d -m 0700 -o gatehouse " + folder
	case errors.Is(err, fs.ErrPermission) || says("readonly", "read-only"):
		return "let the user that runs gatehouse, and nobody else, write to " + folder + " and the files in it; run check as that user"
	}
	return "look at the disk of " + folder + ", its space and its permissions"
}

func broken(subject string, err error, fix string) gatehouse.Finding {
	return gatehouse.Finding{Subject: subject, State: gatehouse.FindingFailure, Detail: err.Error(), Fix: fix}
}

// table prints the findings; the error is errReported when one is a failure.
func table(out io.Writer, list []gatehouse.Finding) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	failures := 0
	for _, f := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.State, f.Subject, line(f.Detail))
		if f.Fix != "" {
			fmt.Fprintf(w, "\t\t→ %s\n", f.Fix)
		}
		if f.State == gatehouse.FindingFailure {
			failures++
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failures > 0 {
		return errReported
	}
	return nil
}
