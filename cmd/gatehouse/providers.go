package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/config"
	"gatehouse/internal/store"
	"gatehouse/saml"
)

func providersCommand(stdout io.Writer) *cobra.Command {
	var file, person string
	c := &cobra.Command{
		Use: "providers --config FILE [--for PERSON]", Short: "Show each application (service provider), and what it would be told of a person", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file, config.Load)
			if err != nil {
				return err
			}
			return providers(c.Context(), stdout, cfg, person)
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	c.Flags().StringVar(&person, "for", "", "whom they would be told of")
	return c
}

func providers(ctx context.Context, out io.Writer, cfg *config.Config, person string) error {
	idp, err := identityProvider(ctx, cfg)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	told := map[string]access.Release{}
	if person != "" {
		user, err := findPerson(ctx, cfg, person)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "person\t%s (%s)\ndirectory\t%s\nidentity\t%s\n\n", shown(user.DisplayName), shown(user.Username), user.Directory, shown(user.Key()))
		for _, r := range access.Releases(cfg.Policy, idp, gatehouse.Session{User: user}) {
			told[r.Provider.EntityID] = r
		}
	}
	list := slices.DeleteFunc(idp.Providers(), func(sp saml.Provider) bool { return sp.AWS })
	for _, sp := range list {
		listProvider(w, cfg, sp)
		if r, asked := told[sp.EntityID]; asked {
			listRelease(w, r)
		}
		fmt.Fprintln(w)
	}
	for _, name := range cfg.Awaited() {
		fmt.Fprintf(w, "%s\n  metadata\tnone yet; put %s.xml into saml.metadata_dir\n\n", shown(name), shown(name))
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "There is no application besides AWS; see saml.service_providers.")
	}
	return w.Flush()
}

// identityProvider is the identity provider as it would run, with the keys of the
// store: names are made with one of them. Before the first start it has a
// signing key that is thrown away.
func identityProvider(ctx context.Context, cfg *config.Config) (*saml.IdP, error) {
	s, err := store.Open(ctx, cfg.Store, cfg.Secrets, nil)
	if err != nil {
		return nil, err
	}
	idp, err := identityProviderOf(ctx, cfg, s)
	return idp, errors.Join(err, s.Close())
}

func identityProviderOf(ctx context.Context, cfg *config.Config, s *store.Store) (*saml.IdP, error) {
	keys, err := s.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.Secret(ctx, "nameid", 32)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		k, err := saml.NewSigningKey(time.Now(), cfg.SAML.EntityID)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return saml.New(cfg.SAML, saml.Endpoints{Metadata: cfg.SAML.EntityID, SSO: publicURL(cfg, "saml", "sso")}, keys, names, nil)
}

// listProvider prints what is known of an application. Its metadata is
// somebody else's text.
func listProvider(w io.Writer, cfg *config.Config, sp saml.Provider) {
	f := sp.Facts()
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w, shown(sp.Name))
	line("entity ID", "%s", shown(sp.EntityID))
	line("metadata", "%s%s%s", f.Source, mark(f.Vouched, ", its signature good"), until(", good until ", f.ValidUntil))
	for _, s := range f.Services {
		line("answers go to", "%s by %s%s", shown(s.Location), s.Binding, mark(s.Default, ", unless it asks for another place"))
	}
	for _, s := range f.Logout {
		line("signs out at", "%s by %s", shown(s.Location), s.Binding)
	}
	for _, k := range f.Keys {
		line("key for "+k.Use, "%s, its certificate until %s", k.Kind, k.Until.UTC().Format(time.DateOnly))
	}
	line("requests", "%s", cmp.Or(mark(sp.SignedRequests, "must be signed"), "may be unsigned"))
	line("signed", "%s, by %s", sp.Sign, sp.Signature)
	line("encrypted", "%s", f.Encrypt)
	line("name", "%s", saml.NameKind(sp.NameIDFormat))
	for i, r := range cfg.Access.Access.Rules {
		if r.ServiceProvider == sp.Name {
			line(fmt.Sprintf("rule %d admits", i+1), "members of %s", strings.Join(r.Groups, " or "))
		}
	}
}

func until(words string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return words + t.UTC().Format(time.DateOnly)
}

func mark(is bool, words string) string {
	if is {
		return words
	}
	return ""
}

// listRelease prints what an application would be told, or why nothing.
func listRelease(w io.Writer, r access.Release) {
	for _, v := range r.Via {
		fmt.Fprintf(w, "  admitted\tby rule %d, through %s\n", v.Rule, shown(v.Group.DN))
	}
	if r.Err != nil {
		fmt.Fprintf(w, "  is told\tnothing: %s\n", whyNot(r.Err))
		return
	}
	value := shown(r.NameID.Value)
	if r.NameID.Format == saml.NameIDTransient {
		value = "another one in each session"
	}
	fmt.Fprintf(w, "  is told NameID\t%s (%s)\n", value, saml.NameKind(r.NameID.Format))
	for _, a := range r.Attributes {
		for _, v := range a.Values {
			fmt.Fprintf(w, "  is told %s\t%s\n", shown(a.Name), shown(v))
		}
	}
}

// whyNot is a refusal in an operator's words.
func whyNot(err error) string {
	var invalid *gatehouse.Invalid
	switch {
	case errors.Is(err, gatehouse.ErrNotEntitled):
		return "no rule admits them"
	case errors.As(err, &invalid):
		return shown(invalid.Why)
	}
	return shown(err.Error())
}
