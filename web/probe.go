package web

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse"
)

// tokenHeader is the one that AWS's clients send and that some proxies drop.
const tokenHeader = "x-amz-sso_bearer_token"

// CheckProxy asks the portal, by the address that people use, whether the
// header of AWS's clients arrives. Where nothing answers there, it says so and
// no more: `check` runs before `serve` does.
func CheckProxy(ctx context.Context, cfg Config, client *http.Client) gatehouse.Finding {
	f := gatehouse.Finding{Subject: "AWS clients", State: gatehouse.FindingWarning}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(cfg.PublicURL, "/")+"/sso/assignment/accounts", nil)
	if err != nil {
		f.Detail, f.Fix = "not probed: "+err.Error(), "correct public_url"
		return f
	}
	r.Header[tokenHeader] = []string{"probe"}
	res, err := client.Do(r)
	if err != nil {
		return unanswered(cfg, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	switch {
	case res.Header.Get("x-amzn-ErrorType") != "UnauthorizedException":
		f.Detail = "what answers at public_url is not this API: status " + res.Status
		f.Fix = "let the proxy pass /oidc/ and /sso/ on to Gatehouse as they are"
	case strings.Contains(string(body), "is missing"):
		f.State, f.Detail = gatehouse.FindingFailure, "a proxy drops the header "+tokenHeader
		f.Fix = "nginx: underscores_in_headers on; an AWS load balancer: routing.http.drop_invalid_header_fields.enabled=false"
	default:
		f.State, f.Detail = gatehouse.FindingOK, "their token header arrives"
	}
	return f
}

// unanswered is what to say where public_url gives no answer to a request of
// ours. Before the first start that is as it should be, unless the port that
// people will come to is one that nobody is going to listen on.
func unanswered(cfg Config, err error) gatehouse.Finding {
	f := gatehouse.Finding{Subject: "AWS clients", State: gatehouse.FindingOK, Detail: "not probed: nothing answers at public_url yet"}
	public, own := portOf(cfg.PublicURL), cfg.Listen[strings.LastIndex(cfg.Listen, ":")+1:]
	untrusted := (*tls.CertificateVerificationError)(nil)
	switch {
	case errors.As(err, &untrusted):
		f.Detail = "not probed: the certificate at public_url is not one that this machine trusts: " + untrusted.Err.Error()
	case cfg.TLS.CertFile != "" && public != own && own != "0":
		f.Subject, f.State = "public_url", gatehouse.FindingWarning
		f.Detail = "it means port " + public + ", where nothing answers; Gatehouse listens on port " + own
		f.Fix = "forward port " + public + " to " + own + ", or put a proxy there; or set listen to :" + public + " (below 1024 with CAP_NET_BIND_SERVICE, see deploy/gatehouse.service)"
	}
	return f
}

// portOf is the port that a browser goes to.
func portOf(public string) string {
	u, err := url.Parse(public)
	switch {
	case err == nil && u.Port() != "":
		return u.Port()
	case err == nil && u.Scheme == "http":
		return "80"
	}
	return "443"
}
