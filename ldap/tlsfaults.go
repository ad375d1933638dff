package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with TLS besides the server's certificate, for which
// crypto/x509 has errors of its own.
var (
	errOldTLS            = errors.New("the server speaks nothing newer than TLS 1.1, and 1.2 is the least")
	errNoStartTLS        = errors.New("the server refuses StartTLS")
	errClientCertificate = errors.New("the server asked for a client certificate, then hung up")
)

// askedFor notes in *asked that the server wants to see a client certificate.
// What it is shown is what crypto/tls would choose by itself.
func askedFor(asked *bool, certificates []tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*asked = true
		for i := range certificates {
			if request.SupportsCertificate(&certificates[i]) == nil {
				return &certificates[i], nil
			}
		}
		return new(tls.Certificate), nil
	}
}

// handshakeFault names what crypto/tls has no type for. Servers that want a
// client certificate mostly just hang up: in the handshake before TLS 1.3,
// after it since (RFC 8446 §4.4.2.4 leaves them the choice of words).
func handshakeFault(err error, asked bool) error {
	switch {
	case !broken(err):
		return err
	case strings.Contains(err.Error(), "protocol version"): // crypto/tls's own words, or the server's alert
		return fmt.Errorf("%w: %w", errOldTLS, err)
	case asked && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", errClientCertificate, err)
	}
	return err
}
