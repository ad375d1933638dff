package web

import (
	"net/http"
	"net/http/httptest"
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
