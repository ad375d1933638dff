// Package idp is the protocol door: SAML messages over HTTP, under /saml/.
//
// Whoever knocks here is a browser that another site sent, often by a
// cross-site POST, which carries no session cookie (SameSite=Lax). So a
// request is checked by package saml and, unless its answer can be given at
// once, parked in the store under a random handle and answered with a
// redirect to ourselves; that GET carries the cookie, finds the parked
// request, and asks the Broker. A cookie of its own binds the parked request
// to the browser that brought it.
//
// Which providers were told of a session is kept beside it, so that a
// sign-out can be told to each of them (logout.go).
//
// The door decides nothing: the Broker grants, package web shows pages, and
// where an answer goes was chosen from registered metadata. No check of the
// request's origin stands in front of it; the proof is in the message.
package idp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/saml"
	"gatehouse/web/inbound"
)

// Pages is what the door borrows from the pages.
type Pages interface {
	// Session is who is signed in; ErrNoSession when nobody is.
	Session(r *http.Request) (gatehouse.Session, error)

	// Turn waits for a turn to prove somebody; the caller leaves again. It
	// fails with ErrUnavailable when there is none for too long.
	Turn(r *http.Request) (leave func(), err error)

	// Post answers with the page that posts p to its service provider.
	Post(w http.ResponseWriter, r *http.Request, p access.Post) error

	// Dispatch answers with the page that takes the browser to a service
	// provider with d.
	Dispatch(w http.ResponseWriter, r *http.Request, d access.Dispatch) error

	// SignOut ends these sessions of a person's, whichever browsers have them.
	SignOut(w http.ResponseWriter, r *http.Request, person string, sessions []string) error

	// Decline shows and logs err; the page's way back takes the refusal to the
	// provider.
	Decline(w http.ResponseWriter, r *http.Request, err error, refusal access.Post)

	// Problem shows and logs err.
	Problem(w http.ResponseWriter, r *http.Request, err error)
}

// IdP reads requests and refuses them.
type IdP interface {
	Metadata() []byte
	ParseRedirect(rawQuery string) (saml.Request, error)
	ParsePost(form string) (saml.Request, error)
	Unsolicited(entityID, relayState string) (saml.Request, error)
	Refuse(ctx context.Context, r saml.Request, s saml.Status) (saml.Response, error)
	Provider(entityID string) (saml.Provider, bool)
	ParseECP(envelope []byte) (saml.Request, error)
	Envelope(acs string, response gatehouse.Secret) ([]byte, error)
	Fault() []byte
	ParseLogoutRedirect(rawQuery string) (*saml.LogoutRequest, *saml.LogoutResponse, error)
	ParseLogoutPost(form string) (*saml.LogoutRequest, *saml.LogoutResponse, error)
	AskToLogOut(ctx context.Context, to saml.Participant, id string) (saml.Dispatch, error)
	AnswerLogout(ctx context.Context, r saml.LogoutRequest, s saml.Status) (saml.Dispatch, error)
}

// Broker proves, for programs, and grants.
type Broker interface {
	SignIn(ctx context.Context, a access.Attempt) (gatehouse.Session, error)
	Grant(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask) (access.Grant, error)
}

// Records keeps parked requests, participants and sign-outs, for all replicas. Get and Take fail with
// ErrNotFound when there is none; of many who Take one, one gets it.
type Records interface {
	Put(ctx context.Context, kind, key, owner string, body []byte, expires time.Time) error
	Get(ctx context.Context, kind, key string) ([]byte, error)
	Take(ctx context.Context, kind, key string) ([]byte, error)
	Forget(ctx context.Context, kind, key string) error
	ListOwner(ctx context.Context, kind, owner string) ([]gatehouse.Record, error)
}

// Config is what the door must know of the deployment.
type Config struct {
	PublicURL  string        // what browsers see; cookies are Secure exactly when it is https
	SessionMax time.Duration // the longest that a session lasts
}

// Door answers everything under /saml/.
type Door struct {
	secure     bool
	sessionMax time.Duration
	idp        IdP
	broker     Broker
	records    Records
	log        *slog.Logger
	now        func() time.Time
	room       room // for parked requests
}

// New makes the door. nil for now means time.Now.
func New(cfg Config, idp IdP, broker Broker, records Records, log *slog.Logger, now func() time.Time) *Door {
	if now == nil {
		now = time.Now
	}
	return &Door{
		secure:     strings.HasPrefix(cfg.PublicURL, "https://"),
		sessionMax: cfg.SessionMax,
		idp:        idp,
		broker:     broker,
		records:    records,
		log:        log,
		now:        now,
	}
}

// Handler serves /saml/metadata, /saml/sso, /saml/slo, /saml/ecp, /saml/launch
// and where they go on.
func (d *Door) Handler(p Pages) http.Handler {
	v := &visitor{Door: d, pages: p}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /saml/metadata", d.metadata)
	mux.Handle("GET /saml/sso", v.serve(v.redirected))
	mux.Handle("POST /saml/sso", v.serve(v.posted))
	mux.HandleFunc("POST "+ecpPath, v.ecp)
	mux.HandleFunc("POST "+ecpPath+"/{account}/{role}", v.ecp)
	mux.Handle("GET /saml/launch", v.serve(v.launch))
	mux.Handle("GET "+continuePath, v.serve(v.resume))
	mux.Handle("GET /saml/slo", v.serve(v.logoutRedirected))
	mux.Handle("POST /saml/slo", v.serve(v.logoutPosted))
	mux.Handle("GET "+logoutPath, v.serve(v.goOn))
	mux.Handle("/saml/", v.serve(func(http.ResponseWriter, *http.Request) error { return gatehouse.ErrNotFound }))
	for path, methods := range map[string]string{
		"/saml/metadata": "GET, HEAD", "/saml/sso": "GET, POST", "/saml/launch": "GET", continuePath: "GET",
		"/saml/slo": "GET, POST", ecpPath: "POST", ecpPath + "/{account}/{role}": "POST", logoutPath: "GET",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { v.notAllowed(w, r, methods) })
	}
	return mux
}

// visitor is the door together with the pages that it borrows.
type visitor struct {
	*Door
	pages Pages
}

// serve shows whatever h returns. HEAD is no GET here: a GET parks requests
// and grants, and a checker of links must do neither.
func (v *visitor) serve(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			v.notAllowed(w, r, http.MethodGet)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		err := h(w, r)
		var refusal *saml.StatusError
		if errors.As(err, &refusal) {
			err = v.refuse(w, r, refusal)
		}
		var no *declined
		if errors.As(err, &no) && v.decline(w, r, no) {
			return
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			v.pages.Problem(w, r, err)
		}
	})
}

func (v *visitor) notAllowed(w http.ResponseWriter, r *http.Request, methods string) {
	w.Header().Set("Allow", methods)
	if inbound.Person(r) {
		v.pages.Problem(w, r, fmt.Errorf("saml door: %w", inbound.ErrMethod))
		return
	}
	http.Error(w, "This address does not take that method. Reference "+inbound.ID(r), http.StatusMethodNotAllowed)
}

// refuse tells the provider that its request is not granted, at the place
// where it would have had the assertion (saml-profiles §4.1.4.1).
func (v *visitor) refuse(w http.ResponseWriter, r *http.Request, e *saml.StatusError) error {
	response, err := v.idp.Refuse(r.Context(), e.Request, e.Status)
	if err != nil {
		return err
	}
	v.log.LogAttrs(r.Context(), slog.LevelInfo, "saml request refused", slog.Any("err", e), slog.String("request_id", inbound.ID(r)))
	return v.pages.Post(w, r, access.Post{URL: response.Destination, SAMLResponse: response.Encoded, RelayState: e.Request.RelayState})
}

// declined is a request that was found good and may not be granted to this
// person, who can read why.
type declined struct {
	request saml.Request
	err     error
}

func (e *declined) Error() string { return e.err.Error() }
func (e *declined) Unwrap() error { return e.err }

// decline shows why not. The provider has a right to hear it too
// (saml-profiles §4.1.4.1): it does when the person goes back there.
func (v *visitor) decline(w http.ResponseWriter, r *http.Request, e *declined) bool {
	response, err := v.idp.Refuse(r.Context(), e.request, saml.Status{Code: saml.StatusResponder, Detail: saml.StatusRequestDenied})
	if err != nil {
		return false
	}
	v.pages.Decline(w, r, e.err, access.Post{URL: response.Destination, SAMLResponse: response.Encoded, RelayState: e.request.RelayState})
	return true
}

// invalid is a fault of the request, in words for the person.
func invalid(cause, field, why string) error {
	return fmt.Errorf("saml door: %s: %w", cause, &gatehouse.Invalid{Field: field, Why: why})
}
