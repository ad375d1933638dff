package web

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse"
)

// What check says of an address that it cannot have depends on who has it.
func TestAnAddressIsFreeOrGatehousesOrAFault(t *testing.T) {
	answering := func(secure bool, body string) string {
		start := httptest.NewServer
		if secure {
			start = httptest.NewTLSServer
		}
		s := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				fmt.Fprint(w, body)
			}
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = silent.Close() })
	_, port, _ := net.SplitHostPort(answering(false, `{"ok":true}`))
	tests := []struct {
		name    string
		address string
		secure  bool
		state   gatehouse.FindingState
		says    string
	}{
		{"nobody has it", "127.0.0.1:0", false, gatehouse.FindingOK, "is free"},
		{"Gatehouse runs", answering(false, "{\"ok\":true}\n"), false, gatehouse.FindingOK, "by Gatehouse"},
		{"Gatehouse runs with TLS", answering(true, "{\"ok\":true}\n"), true, gatehouse.FindingOK, "by Gatehouse"},
		{"Gatehouse runs on one address, and all are wanted", ":" + port, false, gatehouse.FindingOK, "by Gatehouse"},
		{"another web server", answering(false, "hello"), false, gatehouse.FindingFailure, "something that does not answer as Gatehouse"},
		{"something that hangs up", silent.Addr().String(), true, gatehouse.FindingFailure, "something that does not answer as Gatehouse"},
		{"an address of another machine", "192.0.2.1:8443", false, gatehouse.FindingFailure, "192.0.2.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := checkAddress(t.Context(), "listen", tt.address, tt.secure)
			if f.State != tt.state || !strings.Contains(f.Detail, tt.says) || (f.Fix == "") != (tt.state == gatehouse.FindingOK) {
				t.Errorf("%+v, want %s that says %q", f, tt.state, tt.says)
			}
		})
	}
}
