package ldap_test

import (
	"errors"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/outside"
)

// TestTLSFaults: what is wrong with a real server's TLS is named, in the
// error of a sign-in and in what check says to do. See TestCertificates for
// what is wrong with certificates.
func TestTLSFaults(t *testing.T) {
	t.Parallel()
	only := func(version string) []string { return []string{"TLSCipherSuite NORMAL:-VERS-ALL:+VERS-TLS" + version} }
	tests := []struct {
		name   string
		server outside.SlapdConfig
		says   string
		fix    string
	}{
		{"TLS 1.0 alone", outside.SlapdConfig{Global: only("1.0")}, "nothing newer than TLS 1.1", "TLS 1.2 or 1.3"},
		{"TLS 1.1 alone", outside.SlapdConfig{Global: only("1.1")}, "nothing newer than TLS 1.1", "TLS 1.2 or 1.3"},
		{"StartTLS refused", outside.SlapdConfig{NoTLS: true}, "refuses StartTLS", "give the server a certificate"},
		{"a client certificate is wanted, in TLS 1.2", outside.SlapdConfig{ClientCertificates: true, Global: only("1.2")}, "asked for a client certificate", "set cert_file"},
		{"a client certificate is wanted, in TLS 1.3", outside.SlapdConfig{ClientCertificates: true}, "asked for a client certificate", "set cert_file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, ca := startSlapd(t, tt.server)
			for _, url := range []string{s.LDAP, s.LDAPS} {
				if url == "" {
					continue
				}
				d := open(t, config([]string{url}, ca))
				_, err := signIn(t, d, "alice")
				if !errors.Is(err, gatehouse.ErrUnavailable) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: %v; want it to say %q", url, err, tt.says)
				}
				findings := d.Check(t.Context())
				last := findings[len(findings)-1]
				if last.State != gatehouse.FindingFailure || !strings.Contains(last.Detail, tt.says) || !strings.Contains(last.Fix, tt.fix) {
					t.Errorf("check of %s: %+v; want %q and %q", url, last, tt.says, tt.fix)
				}
			}
		})
	}
}
