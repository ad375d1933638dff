package web

import (
	"context"
	"io"
	"net/http"
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
		f.State, f.Detail = gatehouse.FindingOK, "not probed: nothing answers at public_url yet"
		return f
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
