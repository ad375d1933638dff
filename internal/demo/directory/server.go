package directory

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// maxConnections is how many clients are served at once; more are told that
// the server is busy.
const maxConnections = 1024

// acceptPause is how long the listener rests after an error.
const acceptPause = 50 * time.Millisecond

// Config says what the directory holds and how it behaves.
type Config struct {
	// Listen is the address to serve on. It must be loopback.
	// Default: 127.0.0.1:0, a port that the system picks.
	Listen string

	// Suffix is the DN above every entry: DC=corp,DC=example,DC=com.
	Suffix string

	// Entries are there from the start. Parents need not be listed.
	Entries []Entry

	// Certificate is shown to clients. Default: one made at start by an
	// authority that Server.CA returns, for 127.0.0.1, ::1 and localhost.
	Certificate *tls.Certificate

	// LDAPS expects TLS from the first byte, instead of StartTLS.
	LDAPS bool

	// AllowCleartext accepts passwords without TLS. Otherwise they are
	// answered with 13 (confidentialityRequired).
	AllowCleartext bool

	// ActiveDirectory makes the root DSE name the capabilities of Active
	// Directory, gives entries an objectGUID, accepts userPrincipalName as
	// a bind name, and answers a search before bind as AD does. Account
	// states of both kinds work with or without it.
	ActiveDirectory bool

	// GlobalCatalog makes it a catalogue of the forest whose root is Suffix:
	// it has a part of each entry's attributes, members of universal groups
	// only, and may be searched from "" on. It implies ActiveDirectory.
	GlobalCatalog bool

	// RootDomain is the suffix of the forest that Suffix is a domain of, as
	// the root DSE names it. Default: Suffix.
	RootDomain string

	// MaxValues is how many values of an attribute one answer holds; more are
	// for the client to ask for, a range at a time. Active Directory has 1500.
	// Zero: no limit.
	MaxValues int

	// MaxEntries is how many entries one page has at most, and a search
	// without pages before it ends with 4 (sizeLimitExceeded). Active
	// Directory has 1000. Zero: no limit.
	MaxEntries int

	// LockoutThreshold locks an account at that many wrong passwords in a
	// row, until it is Put anew. Zero: never.
	LockoutThreshold int

	// PasswordMaxAge is how long after pwdChangedTime a password expires,
	// and PasswordWarning how long before that binds say so. A pwdPolicy
	// entry named by pwdPolicySubentry overrides both. Zero: never.
	PasswordMaxAge  time.Duration
	PasswordWarning time.Duration

	// Now tells the time of account states and limits. Default: time.Now.
	Now func() time.Time

	// Log receives what an operator should look at. Default: nothing.
	Log *slog.Logger
}

// Entry is one entry as it is put into the directory. Attribute names ignore
// case. userPassword is held in clear, and is never returned nor matched.
// entryUUID and createTimestamp are made up where missing; memberOf is always
// computed from the groups' member and uniqueMember.
type Entry struct {
	DN         string
	Attributes map[string][]string
}

// Server is a running directory. Its methods may be used from any goroutine.
type Server struct {
	cfg      Config
	listener net.Listener
	tls      *tls.Config
	ca       []byte
	tree     *tree
	accounts accounts
	deciding sync.Mutex // held while a bind or a password change is decided

	mu      sync.Mutex
	conns   map[net.Conn]bool
	closed  bool
	running sync.WaitGroup
}

// Start listens on cfg.Listen and serves until Close. It fails on an address
// that is not loopback, an entry outside the suffix, and a DN that is none.
func Start(cfg Config) (*Server, error) {
	address := cmp.Or(cfg.Listen, "127.0.0.1:0")
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("directory: listen on %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("directory: listen on %q: only loopback addresses are allowed", address)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	s, err := Serve(l, cfg)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

// Serve is Start on a listener that exists already, which Close will close.
// It must be bound to a loopback address.
func Serve(l net.Listener, cfg Config) (*Server, error) {
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("directory: serve on %v: only loopback addresses are allowed", l.Addr())
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.ActiveDirectory = cfg.ActiveDirectory || cfg.GlobalCatalog
	s := &Server{cfg: cfg, listener: l, conns: map[net.Conn]bool{}}
	if err := s.fill(); err != nil {
		return nil, err
	}
	if err := s.certify(); err != nil {
		return nil, err
	}
	s.running.Go(s.accept)
	return s, nil
}

// fill makes the tree and puts the configured entries into it.
func (s *Server) fill() error {
	var err error
	if s.tree, err = newTree(s.cfg.Suffix, s.cfg.ActiveDirectory, s.cfg.Now); err != nil {
		return err
	}
	for _, e := range s.cfg.Entries {
		if err := s.put(e); err != nil {
			return err
		}
	}
	return nil
}

// put adds as much of e as this server has.
func (s *Server) put(e Entry) error {
	if s.cfg.GlobalCatalog {
		e = partial(e)
	}
	return s.tree.put(e)
}

// certify prepares TLS with the configured certificate, or a new one.
func (s *Server) certify() error {
	if s.cfg.Certificate == nil {
		made, err := makeCertificate()
		if err != nil {
			return fmt.Errorf("directory: make a certificate: %w", err)
		}
		s.cfg.Certificate = &made
	}
	chain := s.cfg.Certificate.Certificate
	if len(chain) == 0 {
		return errors.New("directory: the certificate is empty")
	}
	s.ca = encodePEM(chain[len(chain)-1])
	s.tls = &tls.Config{Certificates: []tls.Certificate{*s.cfg.Certificate}, MinVersion: tls.VersionTLS12}
	return nil
}

// URL is where clients dial: ldap://127.0.0.1:PORT, or ldaps://.
func (s *Server) URL() string {
	if s.cfg.LDAPS {
		return "ldaps://" + s.listener.Addr().String()
	}
	return "ldap://" + s.listener.Addr().String()
}

// CA is the certificate, as PEM, that verifies the server's: the last one of
// its chain.
func (s *Server) CA() []byte { return s.ca }

// Put adds e, or replaces the entry of that DN with all its attributes; wrong
// passwords counted against it are forgotten. Clients see it from their next
// request on.
func (s *Server) Put(e Entry) error {
	if err := s.put(e); err != nil {
		return err
	}
	if key, err := normalDN(e.DN); err == nil {
		s.accounts.forget(key)
	}
	return nil
}

// Delete removes the entry dn. Groups that list it are left as they are.
func (s *Server) Delete(dn string) error { return s.tree.remove(dn) }

// Binds is how often a password was tried on dn since the start, rightly or
// wrongly, whether or not the entry exists.
func (s *Server) Binds(dn string) int {
	key, err := normalDN(dn)
	if err != nil {
		return 0
	}
	return s.accounts.attempts(key)
}

// Close ends the listener and every connection, and returns when their
// handlers have ended. Closing twice does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.running.Wait()
		return nil
	}
	s.closed = true
	err := s.listener.Close()
	for nc := range s.conns {
		_ = nc.Close() // it may be gone already
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

// accept hands out connections until the listener is closed.
func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		switch {
		case err == nil:
			s.admit(nc)
		case s.isClosed() || errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, perhaps: that passes
			s.cfg.Log.Error("directory cannot accept a connection", slog.Any("err", err))
			time.Sleep(acceptPause)
		}
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// admit starts to serve nc, unless the server is closed or full.
func (s *Server) admit(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConnections {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = nc.Write(disconnection(codeBusy, "too many connections").Bytes())
		_ = nc.Close()
		return
	}
	s.conns[nc] = true
	s.running.Go(func() {
		defer s.dismiss(nc)
		newConn(s, nc).serve()
	})
}

// dismiss closes nc and forgets it.
func (s *Server) dismiss(nc net.Conn) {
	_ = nc.Close() // Close may have done so
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, nc)
}
