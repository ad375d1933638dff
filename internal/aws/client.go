// Package aws trades SAML assertions for temporary credentials at STS, and
// those for a console sign-in.
//
// It needs no AWS secrets of its own: AssumeRoleWithSAML is an unsigned call,
// and the assertion is all the proof there is. So nothing of the ambient AWS
// configuration (environment, ~/.aws, instance metadata) is read: it could
// only send assertions somewhere else.
//
// Every refusal of AWS's becomes a gatehouse.Refusal with cause and cure,
// everything that is no answer a gatehouse.Unavailable. The package decides
// nothing about who may have which role.
package aws

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"gatehouse"
)

// Client speaks to STS and to AWS's sign-in. It is safe for concurrent use,
// and keeps its connections: there should be one per configuration.
type Client struct {
	cfg  Config
	now  func() time.Time
	log  *slog.Logger
	http *http.Client

	mu      sync.Mutex
	regions map[string]*sts.Client // by STS region
}

// New makes a client. now may be nil for time.Now, log for none. It opens no
// connection. It refuses endpoints to which keys would travel in plain text,
// and a CA file that cannot be used.
func New(cfg Config, now func() time.Time, log *slog.Logger) (*Client, error) {
	cfg.SetDefaults()
	if err := errors.Join(checkEndpoint(cfg.STSEndpoint), checkEndpoint(cfg.SigninEndpoint)); err != nil {
		return nil, fmt.Errorf("aws endpoints: %w", err)
	}
	cfg.STSEndpoint = strings.TrimSuffix(cfg.STSEndpoint, "/")
	cfg.SigninEndpoint = strings.TrimSuffix(cfg.SigninEndpoint, "/")
	client, err := newHTTPClient(cfg)
	if err != nil {
		return nil, err
	}
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: cfg, now: now, log: log, http: client, regions: map[string]*sts.Client{}}, nil
}

// Audience is AWS's entity ID in the account's partition.
func (c *Client) Audience(account gatehouse.Account) string { return of(account).audience }

// Recipient is the ACS URL that assertions for the account name. Trust
// policies compare SAML:aud with it, byte by byte, and nearly all of them name
// the partition's own URL rather than a region's.
func (c *Client) Recipient(account gatehouse.Account) string {
	return cmp.Or(c.cfg.SigninEndpoint, "https://"+of(account).signin) + "/saml"
}

// maxAnswer is more than any answer of AWS's: an error may quote an assertion
// of 100,000 characters.
const maxAnswer = 256 << 10

// newHTTPClient is shared by all regions and the sign-in. Its parts of the
// whole timeout leave time for a second attempt when the first one hangs.
func newHTTPClient(cfg Config) (*http.Client, error) {
	roots, err := cfg.roots()
	if err != nil {
		return nil, fmt.Errorf("aws.ca_file %s: %w", cfg.CAFile, err)
	}
	dialer := &net.Dialer{Timeout: cfg.Timeout * 3 / 8, KeepAlive: 30 * time.Second}
	return &http.Client{
		Transport: bounded{&http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
			TLSHandshakeTimeout:    cfg.Timeout * 3 / 8,
			ResponseHeaderTimeout:  cfg.Timeout * 5 / 8,
			MaxIdleConns:           128,
			MaxIdleConnsPerHost:    32,
			IdleConnTimeout:        50 * time.Second,
			WriteBufferSize:        32 << 10, // an assertion leaves in one write
			MaxResponseHeaderBytes: 64 << 10,
		}},
		// A redirect would carry an assertion or keys to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// bounded reads answers whole, and cuts them off at maxAnswer, whoever gives
// them.
//
// It also keeps the connection. http.Transport gives one up when the request's
// context ends at the moment in which the body does, and a caller with a
// deadline ends its context just then: one call in a few would pay for another
// TLS handshake. So the transport's context ends with the caller's only until
// the answer is read.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.Context(), func() { cancel(context.Cause(r.Context())) })
	resp, err := b.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(err)
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if !stop() || err != nil || len(body) == maxAnswer {
		cancel(err)
	}
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body, resp.Request = io.NopCloser(bytes.NewReader(body)), r
	return resp, nil
}

// region is the STS client of one region, made once.
func (c *Client) region(name string) *sts.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.regions[name] == nil {
		c.regions[name] = c.newSTS(name)
	}
	return c.regions[name]
}

// newSTS sets each option by hand: the SDK's own loader honours
// AWS_ENDPOINT_URL_STS, AWS_USE_FIPS_ENDPOINT and more of the environment.
func (c *Client) newSTS(region string) *sts.Client {
	o := sts.Options{
		Region:           region,
		HTTPClient:       c.http,
		Credentials:      awssdk.AnonymousCredentials{},
		Retryer:          newRetryer(),
		RetryMaxAttempts: maxAttempts,
		DefaultsMode:     awssdk.DefaultsModeStandard,
	}
	if c.cfg.STSEndpoint != "" {
		o.BaseEndpoint = &c.cfg.STSEndpoint
	}
	return sts.New(o)
}

// stsHost is the host that serves a region, for people to read.
func (c *Client) stsHost(region string) string { return hostOf(c.stsURL(region)) }

func (c *Client) stsURL(region string) string {
	if c.cfg.STSEndpoint != "" {
		return c.cfg.STSEndpoint
	}
	p := sts.EndpointParameters{Region: &region}
	e, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), p.WithDefaults())
	if err != nil {
		return "https://sts." + region
	}
	return e.URI.String()
}

func hostOf(endpoint string) string {
	_, host, _ := strings.Cut(endpoint, "://")
	return strings.TrimSuffix(host, "/")
}
