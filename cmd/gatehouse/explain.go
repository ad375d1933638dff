package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/config"
	"gatehouse/ldap"
)

func explainCommand(stdout io.Writer) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "explain --config FILE USER [ACCOUNT [ROLE]]", Short: "Say which groups and which rule give a person a role, or would",
		Args: arguments(1, 3),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := loadConfig(file, config.Load)
			if err != nil {
				return err
			}
			args = append(args, "", "")
			return explain(c.Context(), stdout, cfg, args[0], args[1], args[2])
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file")
	return c
}

// loadConfig reads the file that every command but demo works from, by
// config.Load or config.Read.
func loadConfig(file string, read func(string) (*config.Config, error)) (*config.Config, error) {
	if file == "" {
		return nil, &usageError{"no --config given", "gatehouse demo"}
	}
	return read(file)
}

func explain(ctx context.Context, out io.Writer, cfg *config.Config, username, account, role string) error {
	switch {
	case role == "" && strings.HasPrefix(account, "arn:"):
		r, err := gatehouse.ParseRoleARN(account)
		if err != nil {
			return &usageError{err.Error(), "gatehouse explain --help"}
		}
		account, role = r.Account, r.Name
	case account != "" && !gatehouse.AccountID.MatchString(account):
		return &usageError{fmt.Sprintf("%q is no account: want twelve digits, or a role's ARN", account), "gatehouse explain --help"}
	}
	user, state, err := findState(ctx, cfg, username)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "person\t%s (%s)\ndirectory\t%s\nDN\t%s\nstate\t%s\nidentity\t%s\nsession name\t%s\n\n",
		shown(user.DisplayName), shown(user.Username), user.Directory, shown(user.DN), barred(state), shown(user.Key()), access.SessionName(user))
	if account == "" {
		explainGroups(w, user)
	}
	for _, e := range cfg.Policy.Entitlements(user) {
		if e.Account.ID == account && strings.EqualFold(e.Role.Name, role) {
			role = e.Role.Name // IAM's names are unique whatever their case
		}
	}
	explainRoles(w, user, cfg.Policy.Explain(user, account, role), account, role)
	return w.Flush()
}

// direct is the attribute in which Active Directory lists the groups that
// name the person themselves: of its other groups it does not tell the way.
const direct = "memberof"

// barred says in a line whether the account lets its person in.
func barred(s ldap.State) string {
	var words []string
	for _, bar := range s.Bars {
		words = append(words, bar.Error())
	}
	if s.Unseen != "" {
		words = append(words, "unknown beyond that: the service account does not see "+s.Unseen)
	}
	switch {
	case len(words) == 0:
		return "no bar to a sign-in"
	case len(s.Bars) == 0:
		return "unknown: the service account does not see " + s.Unseen
	}
	return strings.Join(words, ", ")
}

// findPerson reads the person whom a sign-in by that name would be about.
func findPerson(ctx context.Context, cfg *config.Config, username string) (gatehouse.User, error) {
	user, _, err := findState(ctx, cfg, username)
	return user, err
}

// findState is findPerson, and whether their account lets them in.
func findState(ctx context.Context, cfg *config.Config, username string) (gatehouse.User, ldap.State, error) {
	r := &rooms{cfg: askingForDirect(cfg), stop: func() {}}
	sources, err := r.openDirectories(slog.New(slog.DiscardHandler))
	if err != nil {
		return gatehouse.User{}, ldap.State{}, err
	}
	defer r.close()
	home, err := access.Home(ctx, sources, username)
	if err != nil {
		return gatehouse.User{}, ldap.State{}, notFound(username, err)
	}
	i := slices.IndexFunc(r.directories, func(d *ldap.Directory) bool { return d.Name() == home.Name() })
	user, err := r.directories[i].Find(ctx, username)
	if err != nil {
		return gatehouse.User{}, ldap.State{}, notFound(username, err)
	}
	state, err := r.directories[i].State(ctx, username)
	if err == nil && r.cfg.Directories[i].Type == ldap.ActiveDirectory && user.Attributes[direct] == nil {
		user.Attributes[direct] = []string{} // none, which is not the same as not knowing
	}
	return user, state, notFound(username, err)
}

// askingForDirect is cfg, asking each Active Directory for direct as well.
func askingForDirect(cfg *config.Config) *config.Config {
	more := *cfg
	more.Directories = slices.Clone(cfg.Directories)
	for i, d := range more.Directories {
		asked := func(name string) bool { return strings.EqualFold(name, direct) }
		if d.Type == ldap.ActiveDirectory && !slices.ContainsFunc(d.Attributes, asked) {
			more.Directories[i].Attributes = append(slices.Clone(d.Attributes), direct)
		}
	}
	return &more
}

// notFound says of a name that means nobody, or several, what to try.
func notFound(username string, err error) error {
	var why interface{ Reason() string }
	switch {
	case !errors.Is(err, gatehouse.ErrUnknownPerson):
		return err
	case errors.As(err, &why) && why.Reason() == "ambiguous":
		return fmt.Errorf("%q means more than one person: %w; try it with the directory's suffix", username, err)
	}
	return fmt.Errorf("no directory knows %q; try the login name", username)
}

func explainGroups(w io.Writer, user gatehouse.User) {
	what := "groups"
	if len(user.Groups) == 1 {
		what = "group"
	}
	fmt.Fprintf(w, "%d %s\n", len(user.Groups), what)
	for _, g := range user.Groups {
		fmt.Fprintf(w, "  %s%s\n", shown(g.DN), chain(user, g))
	}
	fmt.Fprintln(w)
}

// shown is a directory's text as a terminal may have it. People write their
// own names into directories; an escape sequence in one must not rewrite what
// an operator reads, nor a line end forge a line of it.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// chain says through which groups a nested membership leads: one way, where
// there are several. Active Directory counts groups without telling the way.
// It is found by following members upwards; where that ends too early, and
// for the primary group, which lists nobody, it says so.
func chain(u gatehouse.User, g gatehouse.Group) string {
	members, known := u.Attributes[direct]
	switch {
	case len(g.Via) > 0:
		return "  through " + shown(strings.Join(g.Via, " in "))
	case !known || slices.ContainsFunc(members, func(dn string) bool { return strings.EqualFold(dn, g.DN) }):
		return ""
	}
	return "  by a way that the directory does not show: the primary group, or nested deeper than is followed"
}

// short is a duration without the zeros: 4h, not 4h0m0s.
func short(d time.Duration) string {
	s := d.String()
	for _, zeros := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zeros) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func explainRoles(w io.Writer, user gatehouse.User, x access.Explanation, account, role string) {
	for _, e := range x.Has {
		fmt.Fprintf(w, "%s\t%s, up to %s\n", e.Role.ARN(), e.Account.Name, short(e.MaxSession))
		for _, via := range e.Via {
			fmt.Fprintf(w, "  rule %d\t%s%s\n", via.Rule, shown(via.Group.DN), chain(user, via.Group))
		}
		for _, t := range e.Tags {
			fmt.Fprintf(w, "  tag\t%s=%s\n", t.Key, shown(t.Value))
		}
		if e.SourceIdentity != "" {
			fmt.Fprintf(w, "  source identity\t%s\n", shown(e.SourceIdentity))
		}
		if e.Blocked != "" {
			fmt.Fprintf(w, "  blocked\t%s\n", e.Blocked)
		}
	}
	if len(x.Has) == 0 {
		what := "no role"
		if role != "" {
			what = "not " + role
		}
		if account != "" {
			what += " in " + account
		}
		fmt.Fprintf(w, "has %s\n", what)
	}
	for _, m := range x.Misses {
		fmt.Fprintf(w, "  rule %d does not count\t%s: %s\n", m.Rule, shown(m.Group.DN), m.Why)
	}
	for _, would := range x.Would {
		fmt.Fprintf(w, "  rule %d would give it to\t%s\n", would.Rule, would.To)
	}
}
