package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse"
)

func TestAProxyThatDropsTheTokenHeaderIsFound(t *testing.T) {
	api := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-amzn-ErrorType", "UnauthorizedException")
		w.WriteHeader(http.StatusUnauthorized)
		if r.Header.Get(tokenHeader) == "" {
			_, _ = w.Write([]byte(`{"message":"the header is missing"}`))
		}
	}
	tests := []struct {
		name  string
		proxy http.HandlerFunc
		want  gatehouse.FindingState
	}{
		{"passed on", api, gatehouse.FindingOK},
		{"dropped", func(w http.ResponseWriter, r *http.Request) { r.Header.Del(tokenHeader); api(w, r) }, gatehouse.FindingFailure},
		{"another site", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }, gatehouse.FindingWarning},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.proxy)
			defer s.Close()
			if f := CheckProxy(t.Context(), Config{PublicURL: s.URL}, s.Client()); f.State != tt.want || (f.Fix == "") != (tt.want == gatehouse.FindingOK) {
				t.Errorf("%+v, want %s", f, tt.want)
			}
		})
	}
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	if f := CheckProxy(t.Context(), Config{PublicURL: s.URL}, s.Client()); f.State != gatehouse.FindingOK {
		t.Errorf("before serve runs: %+v", f)
	}
}

// With a certificate of its own Gatehouse is meant to be reached without a
// proxy, and then the two ports have to be one.
func TestAPortThatNobodyListensOnIsFound(t *testing.T) {
	trusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer trusted.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	own := TLS{CertFile: "tls.crt", KeyFile: "tls.key"}
	_, port, _ := strings.Cut(strings.TrimPrefix(gone.URL, "http://"), ":")
	tests := []struct {
		name string
		cfg  Config
		want gatehouse.FindingState
		says string
	}{
		{"another port than ours", Config{PublicURL: "https://127.0.0.1:" + port, Listen: ":8443", TLS: own}, gatehouse.FindingWarning, "it means port " + port + ", where nothing answers; Gatehouse listens on port 8443"},
		{"the port that https means", Config{PublicURL: "https://aws.invalid", Listen: "10.0.0.1:8443", TLS: own}, gatehouse.FindingWarning, "it means port 443"},
		{"our own port, before the start", Config{PublicURL: "https://127.0.0.1:" + port, Listen: ":" + port, TLS: own}, gatehouse.FindingOK, "nothing answers at public_url yet"},
		{"a proxy that is yet to come", Config{PublicURL: "https://127.0.0.1:" + port, Listen: ":8443"}, gatehouse.FindingOK, "nothing answers at public_url yet"},
		{"a proxy whose certificate is not known here", Config{PublicURL: trusted.URL, Listen: ":8443", TLS: own}, gatehouse.FindingOK, "is not one that this machine trusts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := CheckProxy(t.Context(), tt.cfg, &http.Client{Transport: &http.Transport{}})
			if f.State != tt.want || !strings.Contains(f.Detail, tt.says) || (f.Fix == "") != (tt.want == gatehouse.FindingOK) {
				t.Errorf("%+v, want %s that says %q", f, tt.want, tt.says)
			}
		})
	}
}
