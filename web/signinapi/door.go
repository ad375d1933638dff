// Package signinapi is the API behind `aws login`: one operation,
// CreateOAuth2Token of AWS Sign-In, that turns a code or a refresh token into
// the keys of the one role that the person chose on our page. Each request
// proves that it comes from the program that began (dpop.go).
//
// Programs knock here: cookies mean nothing, and no answer is HTML.
package signinapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
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

// Broker grants; access.Broker has it.
type Broker interface {
	Grant(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask) (access.Grant, error)
}

// Seen knows proofs that were used, for all replicas.
type Seen interface {
	// Once reports whether key is seen for the first time until then.
	Once(ctx context.Context, key string, until time.Time) (first bool, err error)
}

// Config is what the door must know of the deployment.
type Config struct {
	PublicURL string // proofs are made for an address below it
}

// Door answers POST /v1/token.
type Door struct {
	cfg    Config
	keeper *delegate.Keeper
	broker Broker
	seen   Seen
	log    *slog.Logger
	now    func() time.Time
}

// New makes the door. nil for now means time.Now.
func New(cfg Config, keeper *delegate.Keeper, broker Broker, seen Seen, log *slog.Logger, now func() time.Time) *Door {
	if now == nil {
		now = time.Now
	}
	return &Door{cfg, keeper, broker, seen, log, now}
}

// lasts is of the keys: the least that STS gives, and the most that clients
// take. A new set is one silent call away, for as long as the person may.
const lasts = 15 * time.Minute

// early is how long before the keys' end clients are told to ask for others.
const early = 30 * time.Second

type input struct {
	ClientID     string           `json:"clientId"`
	GrantType    string           `json:"grantType"`
	Code         gatehouse.Secret `json:"code"`
	CodeVerifier string           `json:"codeVerifier"`
	RedirectURI  string           `json:"redirectUri"`
	RefreshToken gatehouse.Secret `json:"refreshToken"`
}

type output struct {
	AccessToken  keys   `json:"accessToken"`
	TokenType    string `json:"tokenType"`
	ExpiresIn    int    `json:"expiresIn"` // seconds
	RefreshToken string `json:"refreshToken"`
	IDToken      string `json:"idToken"`
}

type keys struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
}

// Handler serves the operation.
func (d *Door) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("x-amzn-RequestId", inbound.ID(r))
		out, err := d.token(r)
		if err != nil {
			d.refuse(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, out)
	})
}

var errMethod = errors.New("want POST")

// token is CreateOAuth2Token.
func (d *Door) token(r *http.Request) (output, error) {
	if r.Method != http.MethodPost {
		return output{}, errMethod
	}
	key, err := d.prove(r)
	if err != nil {
		return output{}, err
	}
	var in input
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		return output{}, errors.Join(&delegate.Refusal{Code: "invalid_request", Why: "the body is not the JSON that this operation takes"}, err)
	}
	role, err := d.role(r, in, key)
	if err != nil {
		return output{}, err
	}
	g, err := d.broker.Grant(r.Context(), role.Session, gatehouse.Ask{Account: role.Account, Role: role.Name, Form: gatehouse.FormJSON, Duration: lasts,
		IP: inbound.IP(r), RequestID: inbound.ID(r)})
	if err != nil {
		return output{}, err
	}
	return d.answer(g, role)
}

func (d *Door) role(r *http.Request, in input, key string) (delegate.Role, error) {
	switch in.GrantType {
	case "authorization_code":
		return d.keeper.RedeemRole(r.Context(), in.ClientID, in.Code, in.RedirectURI, in.CodeVerifier, key, inbound.IP(r), inbound.ID(r))
	case "refresh_token":
		return d.keeper.RefreshRole(r.Context(), in.ClientID, in.RefreshToken, key, inbound.IP(r), inbound.ID(r))
	}
	return delegate.Role{}, &delegate.Refusal{Code: "invalid_request", Why: "grantType: want authorization_code or refresh_token"}
}

func (d *Door) answer(g access.Grant, role delegate.Role) (output, error) {
	id, err := idToken(g.Credentials.AssumedRoleARN)
	if err != nil {
		return output{}, err
	}
	left := min(lasts, g.Credentials.Expires.Sub(d.now())) - early
	c := g.Credentials
	return output{AccessToken: keys{c.AccessKeyID, string(c.SecretAccessKey), string(c.SessionToken)}, TokenType: "aws_sigv4",
		ExpiresIn: int(max(left, 0).Seconds()), RefreshToken: string(role.Refresh), IDToken: id}, nil
}

// idToken tells the CLI who it is: it reads `sub`, an ARN, and checks nothing.
// It proves nothing to anybody, and so it is not signed (RFC 7519 §6).
func idToken(arn string) (string, error) {
	payload, err := json.Marshal(map[string]string{"sub": arn})
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"none"}`)) + "." + b64(payload) + "." + b64([]byte("unsigned")), nil
}

// failure is an error as the service says it: `error` in the body is one of
// OAuth2ErrorCode, and clients tell people by it what to do.
type failure struct {
	status        int
	kind          string
	code, message string
}

func failureOf(err error) failure {
	var refusal *delegate.Refusal
	var aws *gatehouse.Refusal
	denied := func(code, message string) failure {
		return failure{http.StatusForbidden, "AccessDeniedException", code, message}
	}
	switch {
	case errors.Is(err, errMethod):
		return failure{http.StatusMethodNotAllowed, "ValidationException", "INVALID_REQUEST", "want POST"}
	case errors.As(err, &refusal) && refusal.Code == "invalid_grant":
		return denied("TOKEN_EXPIRED", refusal.Why)
	case errors.As(err, &refusal):
		return failure{http.StatusBadRequest, "ValidationException", "INVALID_REQUEST", refusal.Why}
	case errors.Is(err, gatehouse.ErrNoSession):
		return denied("USER_CREDENTIALS_CHANGED", "you may not sign in any more")
	case errors.Is(err, gatehouse.ErrNotEntitled), errors.Is(err, gatehouse.ErrInvalid):
		return denied("INSUFFICIENT_PERMISSIONS", "none of your groups gives you this role any more")
	case errors.As(err, &aws):
		return denied("INSUFFICIENT_PERMISSIONS", fmt.Sprintf("AWS %s refused the role (%s): %s", aws.Service, aws.Code, aws.Cause))
	case errors.Is(err, gatehouse.ErrThrottled):
		return failure{http.StatusTooManyRequests, "TooManyRequestsError", "SERVER_ERROR", "too many requests"}
	case errors.Is(err, gatehouse.ErrUnavailable), errors.Is(err, gatehouse.ErrNotRecorded), errors.Is(err, context.DeadlineExceeded):
		return failure{http.StatusServiceUnavailable, "InternalServerException", "SERVER_ERROR", "Gatehouse lacks something that it needs; try again in a minute"}
	}
	return failure{http.StatusInternalServerError, "InternalServerException", "SERVER_ERROR", "something went wrong here"}
}

// refuse says no, and logs why.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // they left
	}
	f := failureOf(err)
	level := slog.LevelInfo
	if f.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	d.log.LogAttrs(r.Context(), level, "request failed", slog.String("route", "/v1/token"), slog.Int("status", f.status),
		slog.String("client_ip", inbound.IP(r)), slog.String("request_id", inbound.ID(r)), slog.Any("err", err))
	w.Header().Set("x-amzn-ErrorType", f.kind)
	if t := (*gatehouse.Throttled)(nil); errors.As(err, &t) {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(t.Until.Sub(d.now()).Seconds())))))
	}
	writeJSON(w, f.status, map[string]string{"error": f.code, "message": f.message})
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
