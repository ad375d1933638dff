// Package ssoapi is the API of AWS IAM Identity Center, as far as the AWS CLI
// and the SDKs use it: /oidc/ is the service sso-oidc, where programs register
// and get tokens, and /sso/ is the service sso, where a token lists accounts
// and roles and brings credentials. Both are JSON over HTTP and need no
// signature.
//
// Clients branch on the header x-amzn-ErrorType (botocore reads nothing else)
// and on `error` in the body, so that both are on every refusal. Nothing here
// decides: package delegate knows whose a token is, and the Broker grants.
//
// Programs knock here: cookies mean nothing, and no answer is HTML.
package ssoapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/delegate"
	"gatehouse/web/inbound"
)

// Broker is what tokens are good for; access.Broker has it.
type Broker interface {
	Entitlements(s gatehouse.Session) []gatehouse.Entitlement
	Grant(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask) (access.Grant, error)
}

// Config is what the door must know of the deployment.
type Config struct {
	PublicURL   string // verification pages are under it, whatever name a request came by
	Region      string // where an account has none
	Profiles    string // how profiles are named, for configurations: portal.profile
	STSEndpoint string // private STS endpoint, for configurations; empty: AWS's own
}

// Door answers everything under /oidc/ and /sso/.
type Door struct {
	cfg    Config
	keeper *delegate.Keeper
	broker Broker
	log    *slog.Logger
	now    func() time.Time
}

// New makes the door. nil for now means time.Now.
func New(cfg Config, keeper *delegate.Keeper, broker Broker, log *slog.Logger, now func() time.Time) *Door {
	if now == nil {
		now = time.Now
	}
	return &Door{cfg: cfg, keeper: keeper, broker: broker, log: log, now: now}
}

// Handler serves both services.
func (d *Door) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /oidc/client/register", d.serve(oidc, d.register))
	mux.Handle("POST /oidc/device_authorization", d.serve(oidc, d.device))
	mux.Handle("POST /oidc/token", d.serve(oidc, d.token))
	mux.Handle("GET /sso/assignment/accounts", d.serve(portal, d.accounts))
	mux.Handle("GET /sso/assignment/roles", d.serve(portal, d.roles))
	mux.Handle("GET /sso/federation/credentials", d.serve(portal, d.credentials))
	mux.Handle("GET /sso/gatehouse/roles", d.serve(portal, d.everything))
	mux.Handle("POST /sso/logout", d.serve(portal, d.logout))
	mux.Handle("/oidc/", d.serve(oidc, nowhere))
	mux.Handle("/sso/", d.serve(portal, nowhere))
	return mux
}

// A service has errors of its own.
type service func(error) failure

// failure is an error as a service says it.
type failure struct {
	status  int
	kind    string // x-amzn-ErrorType, without "Exception"
	code    string // `error` in the body; sso-oidc only
	message string
}

// handler answers with what is to be written as JSON; nil is an empty answer.
type handler func(r *http.Request) (any, error)

var errNowhere = errors.New("no such operation")

func nowhere(*http.Request) (any, error) { return nil, errNowhere }

// serve writes what h answers.
func (d *Door) serve(of service, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("x-amzn-RequestId", inbound.ID(r))
		answer, err := h(r)
		switch {
		case err != nil && errors.Is(err, context.Canceled) && r.Context().Err() != nil:
			return // they left
		case err != nil:
			d.refuse(w, r, of(err), err)
		case answer == nil:
			w.WriteHeader(http.StatusOK)
		default:
			writeJSON(w, http.StatusOK, answer)
		}
	})
}

// refuse says no in the service's words, and logs why.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, f failure, err error) {
	level := slog.LevelInfo
	switch {
	case f.status == http.StatusInternalServerError:
		level = slog.LevelError
	case f.status > http.StatusInternalServerError:
		level = slog.LevelWarn
	case f.code == "authorization_pending" || f.code == "slow_down":
		level = slog.LevelDebug
	}
	d.log.LogAttrs(r.Context(), level, "request failed", slog.String("route", r.URL.Path), slog.Int("status", f.status),
		slog.String("client_ip", inbound.IP(r)), slog.String("request_id", inbound.ID(r)), slog.Any("err", err))
	w.Header().Set("x-amzn-ErrorType", f.kind+"Exception")
	if t := (*gatehouse.Throttled)(nil); errors.As(err, &t) {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(t.Until.Sub(d.now()).Seconds())))))
	}
	body := map[string]string{"message": f.message}
	if f.code != "" {
		body = map[string]string{"error": f.code, "error_description": f.message}
	}
	writeJSON(w, f.status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // strings and numbers only: cannot fail
		status, body = http.StatusInternalServerError, []byte(`{}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// readJSON reads a request's body, whatever it says of its type: clients
// differ. Keys that we do not know are others' business.
func readJSON(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return errors.Join(&delegate.Refusal{Code: "invalid_request", Why: "the body is not the JSON that this operation takes"}, err)
	}
	return nil
}
