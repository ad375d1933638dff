package aws

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"gatehouse"
)

// What a probe of an endpoint saw.
type probe struct {
	subject, url string
	took         time.Duration
	offset       time.Duration // our clock minus theirs
	dated        bool          // the answer had a date
	err          error
}

// Check reaches for each STS and sign-in endpoint that the accounts use, and
// compares our clock with theirs. It sends no assertion and no keys.
func (c *Client) Check(ctx context.Context) []gatehouse.Finding {
	accounts, err := c.cfg.AccountList()
	if err != nil {
		return []gatehouse.Finding{{Subject: "AWS accounts", State: gatehouse.FindingFailure, Detail: err.Error(), Fix: "correct aws.accounts and aws.accounts_file"}}
	}
	if len(accounts) == 0 {
		return []gatehouse.Finding{{Subject: "AWS accounts", State: gatehouse.FindingWarning, Detail: "none is listed", Fix: "list accounts in aws.accounts or aws.accounts_file"}}
	}
	probes := c.endpoints(accounts)
	var wg sync.WaitGroup
	for i := range probes {
		wg.Go(func() { c.reach(ctx, &probes[i]) })
	}
	wg.Wait()
	findings := []gatehouse.Finding{{Subject: "AWS accounts", State: gatehouse.FindingOK, Detail: fmt.Sprintf("%d listed", len(accounts))}}
	for _, p := range probes {
		findings = append(findings, p.finding())
	}
	return append(findings, clock(probes))
}

// endpoints lists each endpoint once, STS first: its clock is the one that
// assertions are judged by.
func (c *Client) endpoints(accounts []gatehouse.Account) []probe {
	var all, signin []probe
	seen := map[string]bool{}
	add := func(to *[]probe, subject, endpoint string) {
		if key := subject + endpoint; !seen[key] {
			seen[key] = true
			*to = append(*to, probe{subject: subject, url: endpoint})
		}
	}
	for _, a := range accounts {
		add(&all, "AWS STS", c.stsURL(a.Region))
		add(&signin, "AWS sign-in", c.federation(a))
	}
	return slices.Concat(all, signin)
}

// reach asks for the endpoint's page: any answer will do. It goes the way
// that real calls go, a proxy included.
func (c *Client) reach(ctx context.Context, p *probe) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		p.err = err
		return
	}
	asked, start := c.now(), time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		p.err = err
		return
	}
	resp.Body.Close()
	p.took = time.Since(start)
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The header is cut to the second, and was written about half way.
		p.dated, p.offset = true, asked.Add(p.took/2).Sub(date.Add(time.Second/2))
	}
}

func (p probe) finding() gatehouse.Finding {
	f := gatehouse.Finding{Subject: p.subject + " " + p.host(), State: gatehouse.FindingOK}
	if p.err == nil {
		f.Detail = fmt.Sprintf("answers in %d ms", p.took.Milliseconds())
		return f
	}
	f.State = gatehouse.FindingFailure
	f.Detail, f.Fix = p.diagnosis()
	return f
}

func (p probe) host() string {
	if u, err := url.Parse(p.url); err == nil {
		return u.Host
	}
	return p.url
}

// diagnosis says at which step the way to the endpoint ends.
func (p probe) diagnosis() (detail, fix string) {
	var (
		dns  *net.DNSError
		op   *net.OpError
		cert *tls.CertificateVerificationError
		name x509.HostnameError
	)
	switch {
	case errors.As(p.err, &op) && op.Op == "proxyconnect":
		return "proxy: " + quiet(p.err.Error()), "check HTTPS_PROXY and NO_PROXY in the environment of Gatehouse, and that the proxy answers"
	case errors.As(p.err, &dns):
		return "DNS: " + quiet(dns.Error()), "let this machine resolve " + p.host() + "; if the region is right, look at the resolver or set HTTPS_PROXY"
	case errors.As(p.err, &cert), errors.As(p.err, &name):
		return "TLS: " + quiet(p.err.Error()), "if a proxy looks into TLS, or the endpoint is private, name its certificates in aws.ca_file"
	case errors.As(p.err, &op) && op.Op == "dial":
		return "TCP: " + quiet(p.err.Error()), "allow connections from this machine to " + p.host() + ", or set HTTPS_PROXY"
	}
	return quiet(p.err.Error()), "allow HTTPS from this machine to " + p.host() + "; something on the way may hold it up"
}

// Assertions are redeemed within five minutes and begin a little in the past.
const (
	clockWarning = time.Minute
	clockFailure = 4 * time.Minute
)

// clock judges by the first endpoint that told the time.
func clock(probes []probe) gatehouse.Finding {
	f := gatehouse.Finding{Subject: "clock against AWS", State: gatehouse.FindingOK}
	i := slices.IndexFunc(probes, func(p probe) bool { return p.dated })
	if i < 0 {
		f.State, f.Detail, f.Fix = gatehouse.FindingWarning, "unknown: no endpoint told the time", "make an endpoint above reachable first"
		return f
	}
	off := probes[i].offset
	f.Detail = fmt.Sprintf("%v off %s", off.Abs().Round(time.Second), probes[i].host())
	if off.Abs() > clockWarning {
		f.State, f.Fix = gatehouse.FindingWarning, "run NTP on this machine; AWS refuses assertions from clocks that are minutes off"
	}
	if off.Abs() > clockFailure {
		f.State = gatehouse.FindingFailure
	}
	return f
}
