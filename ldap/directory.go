// Package ldap authenticates people against an LDAP server or Active Directory.
//
// It finds a person with a service account, binds as them over TLS, and
// collects their groups, nested ones included. It knows nothing of HTTP, SAML
// or AWS.
//
// # How a person is proved
//
// The name that somebody types is only ever the value of a search filter,
// escaped in one place (userFilter). The search must find exactly one entry,
// by the name as it is or without a suffix of the directory's; see names.go.
// The DN that the server returned for it, byte for byte, is then bound with
// the password, once, on a connection that serves nothing but such binds: a
// refused bind may leave it bound as whoever was before, so nothing is ever
// read there. A bind is never repeated: each one counts towards lock-out.
//
// What the directory says about an account's state is passed on only when it
// says so after the password was right; see judge. Errors about a person
// carry a fixed word for the audit record, which is read with
//
//	var r interface{ Reason() string }
//	if errors.As(err, &r) { word = r.Reason() }
//
// Tests hold each of these to a real Active Directory (Samba) and a real
// OpenLDAP. With a wrong password all of them are ErrInvalidCredentials; with
// the right one:
//
//	                          Active Directory        OpenLDAP with ppolicy
//	locked out                ErrInvalidCredentials   ErrInvalidCredentials
//	disabled                  ErrAccountDisabled      -
//	account expired           ErrAccountExpired       -
//	wrong hour, workstation   ErrAccountHours         -
//	password expired          ErrPasswordExpired      ErrPasswordExpired
//	expired, with grace       -                       signed in, PasswordExpires is now
//	must change, reset        ErrPasswordMustChange   ErrPasswordMustChange
//	smart card only           ErrInvalidCredentials   -
//
// # How a password is changed
//
// Under the same rules as a sign-in: found, admitted, sent once. In Active
// Directory the service account sends the old and the new password in one
// modification, which needs no right of its own and works for those who
// cannot bind; elsewhere the person's own bind comes first, and so it works
// for a reset password and not for one that expired without grace. What the
// directory says against the new password is passed on only once the old one
// was right. Active Directory takes the old one for an hour more (Microsoft
// KB906305). See change.go.
//
// # How a forest is searched
//
// A person is found in the global catalogue, exactly one in the whole forest,
// and then by the same filter and their objectGUID in the domain that their
// DN spells, which is where everything else happens: the bind, the state of
// the account, tokenGroups, a new password. Groups of the person's own domain
// are named there, and those of other domains, which are universal ones, by
// the catalogue. Whose domain is not configured is refused, with a reason.
// See forest.go.
//
// # How groups are collected
//
// All or none: a search that was cut short, by a limit, a lost connection or
// the clock, is an error, and values that come in parts (;range=) are read to
// the last. Active Directory computes nested groups itself
// (tokenGroups): those that Windows would give, the primary group among them,
// and neither distribution lists nor what is behind one. Two searches do, for
// tokens and for names, up to five hundred groups. Where tokenGroups is
// hidden, and on other servers, membership is walked upwards. Whoever wants
// distribution lists to count sets group_filter; the server's own rule is
//
//	nested: false
//	group_filter: (&(objectCategory=group)(member:1.2.840.113556.1.4.1941:=%s))
//
// which finds them all in one search, but for the primary group. See groups.go.
//
// # How servers are used
//
// Everything is encrypted and every certificate verified; ldap:// means
// StartTLS. A few connections are kept for searching, and a few others for
// binding as people, for half a minute, after an ordinary answer, and only on
// the server that a search has just found well. A server that fails is
// passed over, searches go once more to another, and every call ends within
// Config.Timeout. See pool.go, shelf.go and servers.go.
package ldap

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"gatehouse"
)

// Directory is one directory, on one or several servers. It implements
// access.Directory and is safe for concurrent use.
type Directory struct {
	cfg    Config
	now    func() time.Time
	log    *slog.Logger
	pool   *pool
	claims claims

	// The first is what a forest's catalogue has, the second what its domains
	// have; all other directories have neither.
	forest  *forest
	catalog *Directory

	mu       sync.Mutex
	computes *bool // the servers compute nested groups; nil: not known yet
	warned   bool  // that tokenGroups cannot be read
}

// New makes a Directory from a Config that has its defaults and no faults. It
// reads the certificate files and contacts nobody: a directory that is down
// is one that answers ErrUnavailable, until it is up again.
// now may be nil, for time.Now; log may be nil, for none.
func New(cfg Config, now func() time.Time, log *slog.Logger) (*Directory, error) {
	return newDirectory(cfg, net.DefaultResolver, now, log)
}

// newDirectory is New with a DNS of its own, which tests have.
func newDirectory(cfg Config, resolver *net.Resolver, now func() time.Time, log *slog.Logger) (*Directory, error) {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg.SetDefaults()
	p, err := newPool(cfg, resolver, now, log)
	if err != nil {
		return nil, err
	}
	d := &Directory{cfg: cfg, now: now, log: log, pool: p, claims: cfg.claims()}
	if cfg.Forest != "" {
		d.forest, err = newForest(d, resolver)
	}
	return d, err
}

// Name is the directory's name in the configuration.
func (d *Directory) Name() string { return d.cfg.Name }

// Close closes the connections that are idle; calls under way end as they would.
func (d *Directory) Close() {
	d.pool.close()
	for _, home := range d.domains() {
		home.pool.close()
	}
}

// domains are those of a forest that are known; of any other directory none.
func (d *Directory) domains() []*Directory {
	if d.forest == nil {
		return nil
	}
	return d.forest.known()
}

// Authenticate finds the person that username means, asks admit about them
// (without groups), proves the password and collects their groups. What admit
// returns ends the attempt and is returned as it is.
//
// Errors: ErrInvalidCredentials, ErrUnknownPerson (nobody, or more than one);
// ErrPasswordExpired, ErrPasswordMustChange and the ErrAccount… kinds, only
// when the password was right; ErrTooManyGroups; ErrUnavailable. All but the last and admit's
// own have a method Reason() string: see the package's comment.
func (d *Directory) Authenticate(ctx context.Context, username string, password gatehouse.Secret, admit func(found gatehouse.User) error) (gatehouse.User, error) {
	if err := checkPassword(password); err != nil {
		return gatehouse.User{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	home, entry, err := d.find(ctx, username)
	if err != nil {
		return gatehouse.User{}, err
	}
	user, err := home.user(entry)
	if err != nil {
		return gatehouse.User{}, err
	}
	if err := admit(user); err != nil {
		return gatehouse.User{}, err
	}
	expires, err := home.prove(ctx, user.DN, password)
	if err != nil {
		return gatehouse.User{}, err
	}
	if !expires.IsZero() {
		user.PasswordExpires = expires
	}
	// Most servers have looked at this before they accepted the bind.
	if err := usable(entry, d.now()); err != nil {
		return gatehouse.User{}, d.refused(err)
	}
	return home.withGroups(ctx, user, false)
}

// Find reads the person that username means, without a proof and whatever the
// state of their account. Here, other than at sign-in, nested groups of
// Active Directory have their Via, for people to read.
//
// Errors: ErrUnknownPerson, ErrTooManyGroups, ErrUnavailable.
func (d *Directory) Find(ctx context.Context, username string) (gatehouse.User, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	home, entry, err := d.find(ctx, username)
	if err != nil {
		return gatehouse.User{}, err
	}
	user, err := home.user(entry)
	if err != nil {
		return gatehouse.User{}, err
	}
	return home.withGroups(ctx, user, true)
}

// Lookup reads a person again by their immutable identifier, if their account
// may still be used. It also refuses somebody whom user_filter no longer selects.
//
// Errors: ErrUnknownPerson, ErrAccountDisabled, ErrAccountLocked,
// ErrAccountExpired, ErrTooManyGroups, ErrUnavailable.
func (d *Directory) Lookup(ctx context.Context, id string) (gatehouse.User, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	home, entry, err := d.findID(ctx, id)
	if err != nil {
		return gatehouse.User{}, err
	}
	if err := usable(entry, d.now()); err != nil {
		return gatehouse.User{}, d.refused(err)
	}
	if err := unlocked(entry); err != nil {
		return gatehouse.User{}, d.refused(err)
	}
	user, err := home.user(entry)
	if err != nil {
		return gatehouse.User{}, err
	}
	return home.withGroups(ctx, user, false)
}

// refused keeps a refusal as it is; any other error means that the directory
// talks nonsense.
func (d *Directory) refused(err error) error {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return err
	}
	return d.unavailable(err)
}

// unavailable says that this directory did not do its part.
func (d *Directory) unavailable(err error) error {
	return &gatehouse.Unavailable{What: "directory", Name: d.cfg.Name, Err: err}
}
