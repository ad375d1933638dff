package ssoapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"gatehouse"
	"gatehouse/internal/delegate"
	"gatehouse/web/inbound"
)

// The grant types of CreateToken (IAM Identity Center OIDC API Reference).
const (
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code"
	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"
)

type registerInput struct {
	ClientName   string   `json:"clientName"`
	ClientType   string   `json:"clientType"`
	RedirectURIs []string `json:"redirectUris"`
	// scopes, grantTypes and issuerUrl are free text here: one kind of token
	// is given, whatever is named.
}

type registerOutput struct {
	ClientID              string  `json:"clientId"`
	ClientSecret          string  `json:"clientSecret"`
	ClientIDIssuedAt      int64   `json:"clientIdIssuedAt"` // Unix seconds
	ClientSecretExpiresAt int64   `json:"clientSecretExpiresAt"`
	AuthorizationEndpoint *string `json:"authorizationEndpoint"`
	TokenEndpoint         *string `json:"tokenEndpoint"`
}

// register is RegisterClient.
func (d *Door) register(r *http.Request) (any, error) {
	var in registerInput
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	if in.ClientType != "public" {
		return nil, &delegate.Refusal{Code: "invalid_client_metadata", Why: "clientType: only public clients register here"}
	}
	reg, err := d.keeper.Register(in.ClientName, in.RedirectURIs)
	if err != nil {
		return nil, err
	}
	return registerOutput{ClientID: reg.ClientID, ClientSecret: reg.ClientSecret,
		ClientIDIssuedAt: reg.Issued.Unix(), ClientSecretExpiresAt: reg.Until.Unix()}, nil
}

type deviceInput struct {
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	// startUrl is whatever the person's configuration says: see docs/clients.md.
}

type deviceOutput struct {
	DeviceCode              string `json:"deviceCode"`
	UserCode                string `json:"userCode"`
	VerificationURI         string `json:"verificationUri"`
	VerificationURIComplete string `json:"verificationUriComplete"`
	ExpiresIn               int    `json:"expiresIn"`
	Interval                int    `json:"interval"`
}

// device is StartDeviceAuthorization.
func (d *Door) device(r *http.Request) (any, error) {
	var in deviceInput
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	client, err := d.keeper.Authenticate(in.ClientID, in.ClientSecret)
	if err != nil {
		return nil, err
	}
	given, err := d.keeper.BeginDevice(r.Context(), client, inbound.IP(r))
	if err != nil {
		return nil, err
	}
	page := d.cfg.PublicURL + "/device"
	return deviceOutput{DeviceCode: string(given.DeviceCode), UserCode: given.UserCode, VerificationURI: page,
		VerificationURIComplete: page + "?" + url.Values{"user_code": {given.UserCode}}.Encode(),
		ExpiresIn:               int(given.Lasts.Seconds()), Interval: int(given.Interval.Seconds())}, nil
}

type tokenInput struct {
	GrantType    string           `json:"grantType"`
	ClientID     string           `json:"clientId"`
	ClientSecret string           `json:"clientSecret"`
	DeviceCode   gatehouse.Secret `json:"deviceCode"`
	Code         gatehouse.Secret `json:"code"`
	RedirectURI  string           `json:"redirectUri"`
	CodeVerifier string           `json:"codeVerifier"`
	RefreshToken gatehouse.Secret `json:"refreshToken"`
}

type tokenOutput struct {
	AccessToken string `json:"accessToken"`
	TokenType   string `json:"tokenType"`
	ExpiresIn   int    `json:"expiresIn"`

	// RefreshToken is on every answer: SDKs forget the one they have when
	// there is none.
	RefreshToken string  `json:"refreshToken"`
	IDToken      *string `json:"idToken"`
}

// token is CreateToken.
func (d *Door) token(r *http.Request) (any, error) {
	var in tokenInput
	if err := readJSON(r, &in); err != nil {
		return nil, err
	}
	client, err := d.keeper.Authenticate(in.ClientID, in.ClientSecret)
	if err != nil {
		return nil, err
	}
	tokens, err := d.tokens(r, client, in)
	if err != nil {
		return nil, err
	}
	return tokenOutput{AccessToken: string(tokens.Access), TokenType: "Bearer", ExpiresIn: int(tokens.Lasts.Seconds()), RefreshToken: string(tokens.Refresh)}, nil
}

func (d *Door) tokens(r *http.Request, client delegate.Client, in tokenInput) (delegate.Tokens, error) {
	switch in.GrantType {
	case grantDevice:
		return d.keeper.RedeemDevice(r.Context(), client, in.DeviceCode)
	case grantCode:
		return d.keeper.RedeemCode(r.Context(), client, in.Code, in.RedirectURI, in.CodeVerifier, inbound.IP(r), inbound.ID(r))
	case grantRefresh:
		return d.keeper.Refresh(r.Context(), client, in.RefreshToken, inbound.IP(r), inbound.ID(r))
	case "":
		return delegate.Tokens{}, &delegate.Refusal{Code: "invalid_request", Why: "grantType is missing"}
	}
	return delegate.Tokens{}, &delegate.Refusal{Code: "unsupported_grant_type", Why: "want the grant type of a device code, an authorization code or a refresh token"}
}

// kinds are the names of the protocol's words. Any that is not here has
// status 400.
var kinds = map[string]string{
	"authorization_pending":   "AuthorizationPending",
	"slow_down":               "SlowDown",
	"expired_token":           "ExpiredToken",
	"access_denied":           "AccessDenied",
	"invalid_grant":           "InvalidGrant",
	"invalid_client":          "InvalidClient",
	"invalid_request":         "InvalidRequest",
	"invalid_client_metadata": "InvalidClientMetadata",
	"invalid_redirect_uri":    "InvalidRedirectUri",
	"unsupported_grant_type":  "UnsupportedGrantType",
}

// oidc are the errors of sso-oidc.
func oidc(err error) failure {
	var refusal *delegate.Refusal
	switch {
	case errors.As(err, &refusal) && kinds[refusal.Code] != "":
		status := http.StatusBadRequest
		if refusal.Code == "invalid_client" {
			status = http.StatusUnauthorized
		}
		return failure{status: status, kind: kinds[refusal.Code], code: refusal.Code, message: refusal.Why}
	case errors.Is(err, errNowhere):
		return failure{status: http.StatusNotFound, kind: "InvalidRequest", code: "invalid_request", message: "there is no such operation"}
	case errors.Is(err, gatehouse.ErrThrottled):
		// Of the words that there are, the one that makes programs wait.
		return failure{status: http.StatusBadRequest, kind: "SlowDown", code: "slow_down", message: "too many requests from this address"}
	case errors.Is(err, gatehouse.ErrUnavailable), errors.Is(err, gatehouse.ErrNotRecorded), errors.Is(err, context.DeadlineExceeded):
		return failure{status: http.StatusServiceUnavailable, kind: "InternalServer", code: "server_error", message: "Gatehouse lacks something that it needs; try again in a minute"}
	}
	return failure{status: http.StatusInternalServerError, kind: "InternalServer", code: "server_error", message: "something went wrong here"}
}
