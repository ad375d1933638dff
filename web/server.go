// Package web is the pages of Gatehouse: sign-in, the portal, a role's page
// and the ways to leave with a console or with credentials. It also holds the
// three doors together: routes.go lists every path, middleware.go the order
// in which a request is judged before a page sees it.
//
// A handler reads the request, calls one verb of the Broker, chooses the
// answer and writes it. It decides no policy. Nothing here redirects a form
// off our origin: leave.go says why and how people leave. What a person reads
// when something fails is in problem.go and nowhere else.
//
// Sessions live on the server. The cookie holds a random name and nothing
// that can be guessed, forged or read.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/static"
	"gatehouse/templates"
)

// Broker is the verbs behind the pages; access.Broker has them.
type Broker interface {
	// SignIn proves who somebody is.
	SignIn(ctx context.Context, a access.Attempt) (gatehouse.Session, error)

	// Refresh reads the person again when what is known of them is too old.
	// With ErrUnavailable the session is as it was.
	Refresh(ctx context.Context, s gatehouse.Session) (gatehouse.Session, error)

	// Entitlements lists what the person may have now.
	Entitlements(s gatehouse.Session) []gatehouse.Entitlement

	// Applications lists the service providers that the person may open now.
	Applications(s gatehouse.Session) []gatehouse.Application

	// Releases says what each of them would be told of the person.
	Releases(s gatehouse.Session) []access.Release

	// Grant hands out one role.
	Grant(ctx context.Context, s gatehouse.Session, a gatehouse.Ask) (access.Grant, error)

	// ChangePassword gives a person a new password; their sessions should end.
	ChangePassword(ctx context.Context, c access.PasswordChange) (person string, err error)

	// Scopes lists the limits that somebody at an address may take a role with.
	Scopes(ip string) []access.Offer

	// Longest is how long a hand-out may last, and whether the role was seen
	// to allow less than its rule.
	Longest(ctx context.Context, e gatehouse.Entitlement) (most time.Duration, byRole bool)

	// Opens reports whether Grant opens a console of the account at a page.
	Opens(account gatehouse.Account, region, wish string) bool

	// Explain says why somebody has a role, or why not.
	Explain(s gatehouse.Session, account, role string) access.Explanation

	// Accounts lists all accounts, whoever asks: to find the number of one
	// that somebody knows by name.
	Accounts() []gatehouse.Account

	// Device is a mark for a browser in which the person has just proved who
	// they are; an Attempt from it then carries it.
	Device(person string) string

	// SignOut puts the end of a session on the record.
	SignOut(ctx context.Context, s gatehouse.Session) error
}

// Records keeps what expires; the store has it. It keeps only a hash of each
// key, and a record past its time is gone: ErrNotFound.
type Records interface {
	Put(ctx context.Context, kind, key, owner string, body []byte, expires time.Time) error
	Get(ctx context.Context, kind, key string) ([]byte, error)
	Take(ctx context.Context, kind, key string) ([]byte, error) // and remove: of many, one gets it
	Touch(ctx context.Context, kind, key string, expires time.Time) error
	Replace(ctx context.Context, kind, key string, body []byte) error
	Forget(ctx context.Context, kind, key string) error
	ForgetOwner(ctx context.Context, kind, owner string) (int, error)
	ListOwner(ctx context.Context, kind, owner string) ([]gatehouse.Record, error)
	ForgetID(ctx context.Context, kind, owner, id string) error

	// Trim removes what owner has beyond the most, and returns it.
	Trim(ctx context.Context, kind, owner string, most int) ([]gatehouse.Record, error)

	// Once reports whether key is seen for the first time until then. Its
	// keys are records of the kind "once", and can be forgotten.
	Once(ctx context.Context, key string, until time.Time) (first bool, err error)
}

// People keeps what a person prefers; the store has it.
type People interface {
	Preferences(ctx context.Context, person string) (map[string][]byte, error)
	// SwapPreference puts body in the place of old; ErrConflict when that is
	// not there any more. nil is nothing.
	SwapPreference(ctx context.Context, person, key string, old, body []byte) error
}

// Events finds what is on the record; the store has it.
type Events interface {
	Events(ctx context.Context, q gatehouse.EventQuery) ([]gatehouse.Event, error)
}

// Pages is what the protocol door borrows from the pages. Server has it.
//
// Package inbound tells the door the client's settled address and the
// request's reference.
type Pages interface {
	// Session is who is signed in in this browser, or ErrNoSession.
	Session(r *http.Request) (gatehouse.Session, error)

	// Turn waits for a turn to prove somebody, as the sign-in page does; the
	// caller leaves again. It fails with ErrUnavailable when there is none for
	// too long.
	Turn(r *http.Request) (leave func(), err error)

	// Post answers with the page that posts p to its service provider.
	Post(w http.ResponseWriter, r *http.Request, p access.Post) error

	// Dispatch answers with the page that takes the browser to a service
	// provider with d, at a sign-out.
	Dispatch(w http.ResponseWriter, r *http.Request, d access.Dispatch) error

	// SignOut ends these sessions of a person's, whichever browsers have
	// them, and puts that on the record.
	SignOut(w http.ResponseWriter, r *http.Request, person string, sessions []string) error

	// Decline is Problem for somebody whom an application sent: the page's way
	// back takes the refusal to it.
	Decline(w http.ResponseWriter, r *http.Request, err error, refusal access.Post)

	// Problem answers with the page that says what err means.
	Problem(w http.ResponseWriter, r *http.Request, err error)
}

// Leaving begins to tell others that a session has ended, and says by which
// path the browser goes on; empty: nobody is to be told.
type Leaving func(w http.ResponseWriter, r *http.Request, s gatehouse.Session) (path string, err error)

// Deps is what a Server stands on.
type Deps struct {
	Broker   Broker
	Records  Records
	People   People                                    // nil: nothing is remembered of anybody
	Events   Events                                    // nil: nobody has a history
	Protocol func(Pages) http.Handler                  // everything under /saml/; nil: nothing is there
	Programs Programs                                  // sign-ins of command-line programs; nil: there are none
	API      http.Handler                              // everything under /oidc/ and /sso/, and /v1/token; nil: nothing is there
	Leaving  Leaving                                   // who else is told of a sign-out; nil: nobody
	Ready    func(context.Context) []gatehouse.Finding // what sign-in needs; nil: nothing

	NameForms []string // examples of names that say which directory they are in; none: names need not

	Windows []netip.Prefix // client networks where a Windows ticket is tried; none: nowhere

	STSEndpoint   string // private STS endpoint that exported credentials carry; empty: AWS's own
	DefaultRegion string // suggested where an account has none

	Log *slog.Logger     // nil: slog.Default
	Now func() time.Time // nil: time.Now
}

// Server answers every request of the three doors.
type Server struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	now     func() time.Time
	public  *url.URL // scheme and host of public_url
	secure  bool     // public_url is https
	trusted []netip.Prefix

	pages     templates.Set
	sessions  *keeper
	cert      *certificate // nil without TLS
	kitchen   *kitchen
	logo      *logo // nil: our own mark
	signIns   *turns
	requests  chan struct{} // one place per request under way
	away      away
	draining  atomic.Bool
	successor atomic.Pointer[Server] // answers in s's place after a reload
	handler   http.Handler
}

// keptBytes is how much of pages is kept, so that they need not be made again.
const keptBytes = 96 << 20

// New wires a Server. It fails on a configuration that Validate refuses, on
// pages that do not parse, and on a certificate that cannot be read.
func New(cfg Config, deps Deps) (*Server, error) {
	cfg.SetDefaults()
	if faults := cfg.Validate(); len(faults) > 0 {
		return nil, fmt.Errorf("web: %s %s", faults[0].Key, faults[0].What)
	}
	if deps.Broker == nil || deps.Records == nil {
		return nil, errors.New("web: broker and records are needed")
	}
	s := &Server{cfg: cfg, deps: deps, log: deps.Log, now: deps.Now, kitchen: newKitchen(keptBytes),
		signIns: newTurns(cfg.Limits), requests: make(chan struct{}, cfg.Limits.Requests)}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	s.handler = s.doors()
	return s, nil
}

// settle derives what a Server needs from its configuration.
func (s *Server) settle() (err error) {
	if s.public, err = url.Parse(strings.TrimSuffix(s.cfg.PublicURL, "/")); err != nil {
		return fmt.Errorf("web: public_url: %w", err)
	}
	s.secure = s.public.Scheme == "https"
	for _, p := range s.cfg.TrustedProxies {
		prefix, err := parsePrefix(p)
		if err != nil {
			return fmt.Errorf("web: trusted_proxies: %w", err)
		}
		s.trusted = append(s.trusted, prefix)
	}
	if s.cfg.TLS.CertFile != "" {
		if s.cert, err = openCertificate(s.cfg.TLS, s.now); err != nil {
			return err
		}
	}
	if s.logo, err = readLogo(s.cfg.Portal.LogoFile); err != nil {
		return fmt.Errorf("web: portal.logo_file: %w", err)
	}
	s.sessions = newKeeper(s.cfg.Session, s.secure, s.deps.Records, s.now)
	s.pages, err = templates.Parse(static.Path)
	return err
}

// Handler answers the three doors.
func (s *Server) Handler() http.Handler { return s.handler }
