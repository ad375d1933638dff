package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/config"
	"gatehouse/internal/delegate"
	"gatehouse/internal/store"
	"gatehouse/ldap"
	"gatehouse/web"
)

func revokeCommand(stdout io.Writer) *cobra.Command {
	var file, reason string
	c := &cobra.Command{
		Use: "revoke --config FILE PERSON", Short: "End everything that a person is signed in to, at once and on every replica", Args: arguments(1, 1),
		Long: "End all sessions of a person in browsers and all command-line sign-ins, at once and on every replica. PERSON is a login name, or DIRECTORY/ID as " +
			"`gatehouse explain` and the record show it. It does not keep them out: disable the account in the directory first. " +
			"Keys that were handed out last until they expire; attach AWSRevokeOlderSessions to their roles to end them.",
		RunE: func(c *cobra.Command, args []string) error {
			return withStore(c.Context(), file, func(cfg *config.Config, s *store.Store) error {
				return revoke(c.Context(), stdout, cfg, s, args[0], reason)
			})
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	c.Flags().StringVar(&reason, "reason", "", "why, in your words, for the record")
	return c
}

// revoke ends first and records then: what cannot be recorded must not keep
// somebody in.
func revoke(ctx context.Context, out io.Writer, cfg *config.Config, s *store.Store, name, reason string) error {
	who, err := whomToRevoke(ctx, cfg, s, name)
	if err != nil {
		return err
	}
	browsers, failed := web.EndSessions(ctx, s, who.Person)
	programs, err := delegate.New(delegate.Deps{Records: s}).EndAll(ctx, who.Person)
	failed = errors.Join(failed, err)
	who.Kind, who.Reason, who.Count = gatehouse.EventRevoked, reason, browsers+programs
	if err := recordOne(ctx, cfg, s, who); err != nil {
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return fmt.Errorf("%s: ended %d sessions in browsers and %d of programs, but: %w", who.Person, browsers, programs, failed)
	}
	fmt.Fprintf(out, "%s (%s): ended %d in browsers and %d of programs, on every replica.\n", shown(who.Username), shown(who.Person), browsers, programs)
	fmt.Fprintln(out, "Whom the directory still lets in may sign in again. Keys that were handed out last until they expire.")
	return nil
}

// recordOne puts one event on the record, in a chain of its own.
func recordOne(ctx context.Context, cfg *config.Config, s *store.Store, e gatehouse.Event) error {
	log, err := audit.Open(ctx, cfg.Audit, s, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(log.Record(ctx, e), log.Close(ctx))
}

// whomToRevoke is the person of a name, or of an identity. Whom the directory
// does not know any more, or cannot be asked of, the record may know.
func whomToRevoke(ctx context.Context, cfg *config.Config, s *store.Store, name string) (gatehouse.Event, error) {
	if directory, id, ok := strings.Cut(name, "/"); ok && id != "" &&
		slices.ContainsFunc(cfg.Directories, func(d ldap.Config) bool { return d.Name == directory }) {
		return lastKnown(ctx, s, gatehouse.EventQuery{Person: name}, gatehouse.Event{Person: name, Directory: directory})
	}
	user, err := findPerson(ctx, cfg, name)
	if err == nil {
		return gatehouse.Event{Person: user.Key(), Username: user.Username, Directory: user.Directory, DN: user.DN}, nil
	}
	who, found := lastKnown(ctx, s, gatehouse.EventQuery{Username: name}, gatehouse.Event{})
	switch {
	case found != nil:
		return who, found
	case who.Person == "":
		return who, err
	}
	return who, nil
}

// lastKnown is the person whom some events are about, or else what is given.
func lastKnown(ctx context.Context, s *store.Store, q gatehouse.EventQuery, known gatehouse.Event) (gatehouse.Event, error) {
	q.Limit = 1000
	events, err := s.Events(ctx, q)
	if err != nil {
		return known, err
	}
	var people []string
	for _, e := range events {
		if e.Person == "" || slices.Contains(people, e.Person) {
			continue
		}
		people = append(people, e.Person)
		known = gatehouse.Event{Person: e.Person, Username: e.Username, Directory: e.Directory, DN: e.DN}
	}
	if len(people) > 1 {
		return known, fmt.Errorf("%q was the name of %s; say which", q.Username, strings.Join(people, " and of "))
	}
	return known, nil
}
