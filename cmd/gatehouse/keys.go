package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/config"
	"gatehouse/internal/store"
	"gatehouse/saml"
)

// keysCommand is what an operator does to signing keys. Replicas that run
// take every change within half a minute.
func keysCommand(stdout io.Writer) *cobra.Command {
	c := &cobra.Command{
		Use: "keys", Short: "List, add, import, promote and retire the keys that sign assertions", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(keysListCommand(stdout), keysAddCommand(stdout), keysImportCommand(stdout), keysPromoteCommand(stdout), keysRetireCommand(stdout))
	return c
}

// keyCommand is one of them: do works on the store of the configuration.
func keyCommand(use, short string, args int, do func(context.Context, *keyring, []string) error) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: use, Short: short, Args: arguments(args, args),
		RunE: func(c *cobra.Command, args []string) error {
			return withStore(c.Context(), file, func(cfg *config.Config, s *store.Store) error {
				return do(c.Context(), &keyring{s, cfg}, args)
			})
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	return c
}

// withStore opens the store of a configuration for what is done to it. Files
// that others answer for stop nobody here.
func withStore(ctx context.Context, file string, do func(*config.Config, *store.Store) error) error {
	cfg, err := loadConfig(file, config.Read)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, cfg.Store, cfg.Secrets, nil)
	if err != nil {
		return err
	}
	return errors.Join(do(cfg, s), s.Close())
}

// keyring is the signing keys of an installation.
type keyring struct {
	store *store.Store
	cfg   *config.Config
}

// change puts a change of keys in place and on the record.
func (r *keyring) change(ctx context.Context, kind gatehouse.EventKind, change func([]gatehouse.SigningKey) ([]gatehouse.SigningKey, string, error)) (id string, err error) {
	log, err := audit.Open(ctx, r.cfg.Audit, r.store, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	err = r.store.ChangeSigningKeys(ctx, func(keys []gatehouse.SigningKey) (after []gatehouse.SigningKey, err error) {
		after, id, err = change(keys)
		return after, err
	})
	if err == nil {
		err = log.Record(ctx, gatehouse.Event{Kind: kind, Reason: id})
	}
	return id, errors.Join(err, log.Close(ctx))
}

func keysListCommand(stdout io.Writer) *cobra.Command {
	return keyCommand("list --config FILE", "List the signing keys", 0, func(ctx context.Context, r *keyring, _ []string) error {
		keys, err := r.store.SigningKeys(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "KEY\tKIND\tSTATE\tSINCE\tCERTIFICATE UNTIL")
		for _, k := range keys {
			kind, until := "unreadable", "unreadable"
			if cert, err := x509.ParseCertificate(k.Certificate); err == nil {
				kind, until = saml.KeyKind(cert), cert.NotAfter.UTC().Format(time.DateOnly)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.ID, kind, keyStates[k.State], k.CreatedAt.UTC().Format(time.DateOnly), until)
		}
		return w.Flush()
	})
}

// keyStates are the states in an operator's words.
var keyStates = map[gatehouse.KeyState]string{
	gatehouse.KeyActive: "signs", gatehouse.KeyNext: "published", gatehouse.KeyRetired: "retired",
}

func keysAddCommand(stdout io.Writer) *cobra.Command {
	var ecdsa bool
	c := keyCommand("add --config FILE [--ecdsa]", "Make the next key, and publish it", 0, func(ctx context.Context, r *keyring, _ []string) error {
		make := saml.NewSigningKey
		if ecdsa {
			make = saml.NewECDSAKey
		}
		k, err := make(time.Now(), r.cfg.SAML.EntityID)
		if err != nil {
			return err
		}
		return r.add(ctx, stdout, gatehouse.EventKeyCreated, k)
	})
	c.Flags().BoolVar(&ecdsa, "ecdsa", false, "of ECDSA (P-256), for the service providers whose signature is ecdsa-sha256")
	return c
}

func (r *keyring) add(ctx context.Context, stdout io.Writer, kind gatehouse.EventKind, k gatehouse.SigningKey) error {
	id, err := r.change(ctx, kind, func(keys []gatehouse.SigningKey) ([]gatehouse.SigningKey, string, error) {
		after, err := saml.AddKey(keys, k)
		return after, k.ID, err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Key %s is published in %s and does not sign yet.\n", id, publicURL(r.cfg, "saml", "metadata"))
	fmt.Fprintf(stdout, "Give that document to IAM in every account (aws iam update-saml-provider), unless the key is of ECDSA, and to the service providers; after a day:\n  gatehouse keys promote --config FILE %s\n", id)
	return nil
}

func keysImportCommand(stdout io.Writer) *cobra.Command {
	var key, cert string
	c := keyCommand("import --config FILE --key FILE --cert FILE", "Take over a key that was made elsewhere, and publish it", 0, func(ctx context.Context, r *keyring, _ []string) error {
		if key == "" || cert == "" {
			return &usageError{"wants --key and --cert", "gatehouse keys import --help"}
		}
		private, err := os.ReadFile(key)
		if err != nil {
			return err
		}
		certificate, err := os.ReadFile(cert)
		if err != nil {
			return err
		}
		k, err := saml.ReadSigningKey(private, certificate, time.Now())
		if err != nil {
			return fmt.Errorf("%s, %s: %w", key, cert, err)
		}
		return r.add(ctx, stdout, gatehouse.EventKeyImported, k)
	})
	c.Flags().StringVar(&key, "key", "", "file with the private key, as PEM")
	c.Flags().StringVar(&cert, "cert", "", "file with its certificate, as PEM")
	return c
}

func keysPromoteCommand(stdout io.Writer) *cobra.Command {
	var now bool
	c := keyCommand("promote --config FILE KEY", "Have a published key sign from now on", 1, func(ctx context.Context, r *keyring, args []string) error {
		id, err := r.change(ctx, gatehouse.EventKeyPromoted, func(keys []gatehouse.SigningKey) ([]gatehouse.SigningKey, string, error) {
			after, err := saml.PromoteKey(keys, args[0], time.Now(), now)
			return after, newlyActive(keys, after), err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "Key %s signs. One that did before stays published, so that you can go back; when all is well:\n  gatehouse keys retire --config FILE KEY\n", id)
		return nil
	})
	c.Flags().BoolVar(&now, "now", false, "even though it has been published for less than a day")
	return c
}

// newlyActive is the key that signs now and did not before.
func newlyActive(before, after []gatehouse.SigningKey) string {
	for i := range after {
		if i < len(before) && before[i].State != after[i].State && after[i].State == gatehouse.KeyActive {
			return after[i].ID
		}
	}
	return ""
}

func keysRetireCommand(stdout io.Writer) *cobra.Command {
	return keyCommand("retire --config FILE KEY", "Take a key out of the metadata", 1, func(ctx context.Context, r *keyring, args []string) error {
		id, err := r.change(ctx, gatehouse.EventKeyRetired, func(keys []gatehouse.SigningKey) ([]gatehouse.SigningKey, string, error) {
			after, err := saml.RetireKey(keys, args[0], r.cfg.SAML.WantsECDSA())
			return after, changed(keys, after), err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "Key %s is retired.\n", id)
		return nil
	})
}

// changed is the key whose state differs.
func changed(before, after []gatehouse.SigningKey) string {
	for i := range after {
		if i < len(before) && before[i].State != after[i].State {
			return after[i].ID
		}
	}
	return ""
}
