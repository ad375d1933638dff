package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gatehouse"
)

// How early Check speaks of a certificate that will expire.
const (
	certificateWarning = 30 * 24 * time.Hour
	certificateUrgent  = 7 * 24 * time.Hour
)

// Check looks at what the doors need: the address that people see and the
// web certificate.
func Check(_ context.Context, cfg Config, now time.Time) []gatehouse.Finding {
	list := []gatehouse.Finding{{Subject: "public_url", State: gatehouse.FindingOK, Detail: cfg.PublicURL}}
	if cfg.TLS.CertFile == "" {
		f := gatehouse.Finding{Subject: "tls", State: gatehouse.FindingOK, Detail: "none here; a proxy in front terminates it"}
		if len(cfg.TrustedProxies) == 0 && strings.HasPrefix(cfg.PublicURL, "https:") {
			f.State, f.Fix = gatehouse.FindingWarning, "name the proxy in trusted_proxies, or every person has the proxy's address in the record and shares its throttle"
		}
		return append(list, f)
	}
	return append(list, checkCertificate(cfg, now))
}

func checkCertificate(cfg Config, now time.Time) gatehouse.Finding {
	f := gatehouse.Finding{Subject: "tls", State: gatehouse.FindingFailure}
	pair, err := tls.LoadX509KeyPair(cfg.TLS.CertFile, cfg.TLS.KeyFile)
	if err != nil {
		f.Detail, f.Fix = err.Error(), "tls.cert_file and tls.key_file must be a PEM certificate and its key"
		return f
	}
	leaf, host := pair.Leaf, hostOf(cfg.PublicURL)
	left := leaf.NotAfter.Sub(now)
	f.Detail = fmt.Sprintf("for %v, until %s", leaf.DNSNames, leaf.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case leaf.VerifyHostname(host) != nil:
		f.Fix = "browsers will refuse it: it must name " + host
	case left < certificateUrgent:
		f.Fix = "renew it now; the files are read again by themselves"
	case left < certificateWarning:
		f.State, f.Fix = gatehouse.FindingWarning, "renew it within the month; the files are read again by themselves"
	case leaf.PublicKeyAlgorithm == x509.RSA:
		f.State, f.Fix = gatehouse.FindingWarning, "it works; an ECDSA P-256 key would cost less than half for each new connection"
	default:
		f.State = gatehouse.FindingOK
	}
	return f
}

// hostOf is the host of a URL that Validate has seen, without its port.
func hostOf(public string) string {
	u, err := url.Parse(public)
	if err != nil {
		return public
	}
	return u.Hostname()
}
