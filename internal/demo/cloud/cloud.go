// Package cloud is a small AWS on loopback: STS, the sign-in endpoints and
// one console page, for `gatehouse demo` and for tests.
//
// It is meant as a judge, so it is strict where AWS is strict and stricter
// where AWS's leniency is not known. It checks a SAML response in a fixed
// order, each row with the code and the text that AWS documents or that people
// have seen; it verifies the Signature Version 4 of what is signed; and the
// credentials that it issues are accepted by nothing but itself.
//
// It imports nothing of this product. What issues assertions and what judges
// them must not share a mistake: not a type, not a constant, not a parser.
//
// Everything that it issues (session tokens, sign-in tokens) is sealed under a
// key made at Start and carries its own content, so that nothing has to be
// remembered and a token of another emulator is worthless here. Only the
// browsers' console sessions are kept, in bounded memory.
//
// The checks of AssumeRoleWithSAML are numbered rows in the code and in the
// tests: 1 parameters, 2 ARNs, 3 STS active, 4 provider, 5 encoding and XML,
// 6 status, 7 issuer, 8 one assertion, 9 signature, 10 confirmation, 11 end,
// 12 age, 13 not before, 14 audience, 15 role pair, 16 and 17 session name,
// 18 source identity, 19 tags, 20 NameID, 21 role and trust policy, 22 longest
// session, 23 session policy, 24 packed size, 25 throttling. That is the order
// in which they are made; the order within AWS is not known.
//
// It does not evaluate permissions, decrypt assertions, or know IAM's own API.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says what the emulated AWS looks like.
type Config struct {
	// Listen is HOST:PORT on loopback; port 0 takes any free one. Default 127.0.0.1:0.
	Listen string

	// URL is the base URL that browsers see, if it is not http://HOST:PORT.
	URL string

	// Accounts are the accounts that exist.
	Accounts []Account

	// Metadata answers with the IdP metadata document that an operator would
	// have uploaded to IAM. It is asked once, when a provider without a
	// document is first needed, and the answer is kept for every such
	// provider; after an error it is asked again. Nil: only PutProvider.
	Metadata func(ctx context.Context) ([]byte, error)

	// Now is the clock. Nil: time.Now.
	Now func() time.Time

	// MultiSession lets one browser hold sessions of several accounts. Without
	// it a second account gets AWS's "You must first log out" page.
	MultiSession bool

	// Log receives what an operator would want to know, never a secret. Nil: nothing.
	Log *slog.Logger
}

// Account is one AWS account.
type Account struct {
	ID        string   // twelve digits
	Name      string   // its alias, as the role page shows it
	Partition string   // aws (default), aws-us-gov, aws-cn
	Providers []string // names of its IAM SAML providers
	Roles     []Role
	STSOff    bool // STS is switched off here: RegionDisabledException
}

// Role is one IAM role.
type Role struct {
	Name       string
	Path       string        // "/" by default, or "/team/"
	MaxSession time.Duration // 1h (default) to 12h
	Trust      Trust
}

// Trust is a role's trust policy. The zero value trusts nobody.
type Trust struct {
	Providers         []string // SAML providers of the same account that sts:AssumeRoleWithSAML is allowed for
	Audiences         []string // SAML:aud, that is the Recipient; empty: no condition
	SubType           string   // SAML:sub_type; empty: no condition
	TagSession        bool     // sts:TagSession is allowed
	SetSourceIdentity bool     // sts:SetSourceIdentity is allowed
	Principals        []string // role ARNs, or account numbers, that sts:AssumeRole is allowed for
}

// Server is a running emulator.
type Server struct {
	cfg      Config
	url      *url.URL
	now      func() time.Time
	log      *slog.Logger
	accounts map[string]*account
	listener net.Listener
	http     *http.Server
	done     chan struct{}
	stop     context.CancelFunc

	seal     *sealer
	browsers *browsers
	pages    pages
	calls    calls
	faults   faults
	sts, web *bucket

	metadataMu sync.Mutex // held while the document is fetched, so that it is asked for once
	uploaded   *metadata  // what Config.Metadata answered
}

// Start validates cfg, listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	s, err := newServer(cfg)
	if err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	s.listener, err = listen(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("cloud: %w", err)
	}
	s.url, err = baseURL(cfg.URL, s.listener.Addr())
	if err != nil {
		_ = s.listener.Close()
		return nil, fmt.Errorf("cloud: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.http = &http.Server{
		Handler:           s.Handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	go s.serve()
	return s, nil
}

func newServer(cfg Config) (*Server, error) {
	accounts, err := indexAccounts(cfg.Accounts)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, now: cfg.Now, log: cfg.Log, accounts: accounts, done: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.seal = newSealer()
	s.browsers = newBrowsers()
	s.sts, s.web = newBucket(2000, 4000), newBucket(200, 400)
	s.pages, err = parsePages()
	return s, err
}

func (s *Server) serve() {
	defer close(s.done)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("emulator stopped serving", "err", err)
	}
}

// URL is the base URL, without a slash at its end: STS, /federation, /saml
// and /console are below it.
func (s *Server) URL() string { return strings.TrimSuffix(s.url.String(), "/") }

// Close stops listening, ends what is being served, and waits for it.
func (s *Server) Close() error {
	s.stop()
	err := s.http.Close()
	<-s.done
	return err
}

// listen refuses any address that another machine could reach: the emulator
// believes whoever its configuration names.
func listen(addr string) (net.Listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listen address %q is not on loopback", addr)
	}
	return net.Listen("tcp", addr)
}

func baseURL(given string, addr net.Addr) (*url.URL, error) {
	if given == "" {
		return &url.URL{Scheme: "http", Host: addr.String()}, nil
	}
	u, err := url.Parse(given)
	if err != nil {
		return nil, err
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("url %q: want http(s)://HOST[:PORT]", given)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}
