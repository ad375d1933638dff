package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

const (
	// Directories hang up on connections that are idle for long, and load
	// balancers and firewalls forget them sooner, without saying so.
	maxIdle = 4 * time.Minute
	maxLife = 10 * time.Minute

	// A bind is never sent twice, so that one on a connection that was
	// forgotten is a sign-in lost; and nobody stays bound for long.
	maxIdleProving = 30 * time.Second

	// A service account that is refused is not tried again at once, or it
	// would be locked out by our own retries on every server.
	backOffMin = time.Minute
	backOffMax = 30 * time.Minute
)

// pool keeps the connections to a directory: a few that are bound as the
// service account and search, and a few that only ever bind, to prove
// passwords. The two never mix: a refused bind leaves a connection bound as
// whoever it was before on some servers, which RFC 4511 §4.2.1 forbids and
// Samba does.
type pool struct {
	cfg      Config
	tls      *tls.Config
	resolver *net.Resolver
	servers  *servers
	now      func() time.Time
	log      *slog.Logger

	searching chan struct{} // one token for each connection that searches
	proving   chan struct{} // one for each that binds as a person
	service   serviceAccount

	mu      sync.Mutex
	readers shelf // bound as the service account
	provers shelf // bound as the last who proved their password, or as nobody
	closed  bool
}

func newPool(c Config, resolver *net.Resolver, now func() time.Time, log *slog.Logger) (*pool, error) {
	conf, err := c.clientTLS()
	if err != nil {
		return nil, err
	}
	ss, err := newServers(c, resolver, now)
	if err != nil {
		return nil, err
	}
	return &pool{
		cfg: c, tls: conf, resolver: resolver, servers: ss, now: now, log: log,
		searching: make(chan struct{}, c.Connections),
		proving:   make(chan struct{}, c.Connections),
		service:   serviceAccount{one: make(chan struct{}, 1)},
		readers:   shelf{maxIdle: maxIdle}, provers: shelf{maxIdle: maxIdleProving},
	}, nil
}

// acquire takes a token, or gives up when ctx ends.
func acquire(ctx context.Context, tokens chan struct{}) error {
	select {
	case tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for a free connection: %w", ctx.Err())
	}
}

// search runs f, which must only read, on a connection bound as the service
// account. When the server fails at it, it runs once more, on another server
// where there is one.
func (p *pool) search(ctx context.Context, f func(*conn) error) error {
	if err := acquire(ctx, p.searching); err != nil {
		return err
	}
	defer func() { <-p.searching }()
	failed, err := p.attempt(ctx, nil, f)
	if failed == nil || ctx.Err() != nil {
		return err
	}
	again, err2 := p.attempt(ctx, failed, f)
	if again == nil && err2 == nil {
		return nil
	}
	return several{err2, err}
}

// attempt runs f once. When the server is to blame for the error it returns,
// it also returns the server.
func (p *pool) attempt(ctx context.Context, avoid *server, f func(*conn) error) (*server, error) {
	c := p.take(&p.readers, func(*conn) bool { return true })
	if c == nil {
		var err error
		if c, err = p.open(ctx, avoid); err != nil {
			return nil, err
		}
	}
	call, cancel := p.share(ctx, avoid == nil)
	defer cancel()
	err := c.during(call, func() error { return f(c) })
	switch code, _ := resultCode(err); {
	case errors.Is(err, errTooMany):
		// Entries that nobody wants may still be on their way.
		c.drop()
		return nil, err
	case broken(err), troubled(err):
		p.blame(ctx, c.server, err)
		c.drop()
		return c.server, err
	case code == goldap.LDAPResultOther, code == goldap.LDAPResultOperationsError:
		// Active Directory says the latter on a connection whose bind it has forgotten.
		c.drop()
		return c.server, err
	}
	p.worked(ctx, c.server)
	p.giveBack(&p.readers, c)
	return nil, err
}

// share leaves more than half of the time for a second attempt elsewhere,
// where there is an elsewhere: with the default timeout nobody waits more than
// two seconds for a server that fell silent.
func (p *pool) share(ctx context.Context, first bool) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !first || !ok || p.servers.count() < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)*2/5)
}

// blame notes that s did not answer, and hangs up on what is idle there: it
// goes to the same dead place.
func (p *pool) blame(ctx context.Context, s *server, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return // whoever asked went away; that says nothing of the server
	}
	if p.servers.failed(s) {
		p.log.LogAttrs(ctx, slog.LevelWarn, "directory server does not answer, and is asked last for a while",
			slog.String("directory", p.cfg.Name), slog.String("server", s.url), slog.Any("err", err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers.forget(s)
	p.provers.forget(s)
}

func (p *pool) take(s *shelf, good func(*conn) bool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.take(p.now(), good)
}

func (p *pool) giveBack(s *shelf, c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.IsClosing() {
		go c.close()
		return
	}
	s.put(c, p.now())
}

// open connects as the service account. avoid, if any, is asked last.
func (p *pool) open(ctx context.Context, avoid *server) (*conn, error) {
	return p.connect(ctx, avoid, func(ctx context.Context, c *conn) error {
		return p.service.bind(ctx, p, c)
	})
}

// connect opens a connection to the first server that answers and for which
// prepare succeeds.
func (p *pool) connect(ctx context.Context, avoid *server, prepare func(context.Context, *conn) error) (*conn, error) {
	list, err := p.servers.order(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.Index(list, avoid); i >= 0 {
		list = append(slices.Delete(list, i, i+1), avoid)
	}
	var all several
	for _, s := range list {
		c, err := p.connectTo(ctx, s, len(list) > 1, prepare)
		if err == nil {
			return c, nil
		}
		all = append(all, fmt.Errorf("%s: %w", s.url, err))
		if ctx.Err() != nil || errors.Is(err, errServiceRefused) {
			break
		}
	}
	return nil, fmt.Errorf("no server answers: %w", all)
}

// several are errors in one line: what one server said, then the next.
type several []error

func (e several) Error() string {
	said := make([]string, len(e))
	for i, err := range e {
		said[i] = err.Error()
	}
	return strings.Join(said, "; ")
}

// Unwrap makes it all of its errors, as errors.Join does.
func (e several) Unwrap() []error { return e }

func (p *pool) connectTo(ctx context.Context, s *server, hurry bool, prepare func(context.Context, *conn) error) (*conn, error) {
	limit := p.cfg.Timeout
	if hurry {
		// A server that swallows packets must leave time for the next one.
		limit /= 4
	}
	attempt, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := p.dial(attempt, s)
	if err != nil {
		p.blame(ctx, s, err)
		return nil, err
	}
	if err := prepare(attempt, c); err != nil {
		c.drop()
		if !errors.Is(err, errServiceRefused) && (broken(err) || troubled(err)) {
			p.blame(ctx, s, err)
		}
		return nil, err
	}
	p.worked(ctx, s)
	return c, nil
}

// prove runs f, which binds, on a connection that only binds. Only connecting
// is tried on several servers: what f sends is sent once, since every bind
// counts towards somebody's lock-out. The connection is kept where keep says
// so of f's error.
func (p *pool) prove(ctx context.Context, keep func(error) bool, f func(*conn) error) error {
	if err := acquire(ctx, p.proving); err != nil {
		return err
	}
	defer func() { <-p.proving }()
	// A server that has just answered a search will answer this.
	c := p.take(&p.provers, func(c *conn) bool { return p.servers.favours(c.server) })
	if c == nil {
		var err error
		if c, err = p.connect(ctx, nil, func(context.Context, *conn) error { return nil }); err != nil {
			return err
		}
	}
	return p.finish(ctx, c, keep, f(c))
}

// finish puts c back among the provers, or ends it, as err says.
func (p *pool) finish(ctx context.Context, c *conn, keep func(error) bool, err error) error {
	switch {
	case broken(err), troubled(err):
		p.blame(ctx, c.server, err)
		c.drop()
	case keep(err):
		p.giveBack(&p.provers, c)
	default:
		c.close()
	}
	return err
}

// once runs f, which changes something, on a connection of its own that is
// bound as the service account. Like prove it never runs f again.
func (p *pool) once(ctx context.Context, f func(*conn) error) error {
	if err := acquire(ctx, p.proving); err != nil {
		return err
	}
	defer func() { <-p.proving }()
	c, err := p.open(ctx, nil)
	if err != nil {
		return err
	}
	return p.finish(ctx, c, neverKeep, c.during(ctx, func() error { return f(c) }))
}

func neverKeep(error) bool { return false }

// clean reports whether a bind was answered in one of the two ordinary ways,
// after which the connection is good for another.
func clean(err error) bool {
	code, ok := resultCode(err)
	return err == nil || ok && code == goldap.LDAPResultInvalidCredentials
}

// close hangs up on what is idle; what is in use hangs up when it is given back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.readers.clear()
	p.provers.clear()
}

// errServiceRefused: the directory does not take the service account's password.
var errServiceRefused = errors.New("the service account is refused: check bind_dn, bind_password and whether the account is locked or expired")

// serviceAccount binds connections as the service account, one at a time, and
// remembers a refusal.
type serviceAccount struct {
	one chan struct{} // whoever holds its token may bind, and touch the rest

	backOff time.Duration
	until   time.Time
	expires time.Time // when its password does, as the server warned last; zero: it did not
}

// expiry is when the account's password expires, where the server has warned
// of it.
func (a *serviceAccount) expiry(ctx context.Context) time.Time {
	if acquire(ctx, a.one) != nil {
		return time.Time{}
	}
	defer func() { <-a.one }()
	return a.expires
}

// bind binds c as the service account. After a refusal it fails without
// asking for a while.
func (a *serviceAccount) bind(ctx context.Context, p *pool, c *conn) error {
	if p.cfg.BindDN == "" {
		return nil
	}
	if err := acquire(ctx, a.one); err != nil {
		return err
	}
	defer func() { <-a.one }()
	if now := p.now(); now.Before(a.until) {
		return fmt.Errorf("%w (not tried again before %s, or a reload)", errServiceRefused, a.until.UTC().Format(time.RFC3339))
	}
	result, err := c.bind(ctx, p.cfg.BindDN, string(p.cfg.BindPassword))
	a.expires = warnedExpiry(result, p.now())
	if err == nil && policyError(result) == policyChangeAfterReset {
		// OpenLDAP accepts the bind, and refuses whatever comes next.
		return fmt.Errorf("%w: its password was reset, and must be changed first", errServiceRefused)
	}
	if code, ok := resultCode(err); !ok || code != goldap.LDAPResultInvalidCredentials {
		a.backOff = 0
		if err != nil {
			return fmt.Errorf("binding as the service account: %w", err)
		}
		return nil
	}
	a.backOff = min(max(4*a.backOff, backOffMin), backOffMax)
	a.until = p.now().Add(a.backOff)
	err = fmt.Errorf("%w: %w", errServiceRefused, err)
	p.log.LogAttrs(ctx, slog.LevelError, "directory refuses the service account",
		slog.String("directory", p.cfg.Name), slog.String("server", c.server.url), slog.Any("err", err))
	return err
}
