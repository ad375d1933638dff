package aws

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
)

// A hand-out ends its context as soon as it has its answer. That must not
// cost the connection: the next one would pay for a TLS handshake with STS.
func TestOneConnectionServesCallAfterCall(t *testing.T) {
	var dialled atomic.Int32
	s := httptest.NewUnstartedServer(script(t, grant()))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := newClient(t, Config{Region: "eu-west-1", STSEndpoint: s.URL})
	for range 100 {
		if _, err := c.AssumeRole(t.Context(), payments, developer, gatehouse.Lent("assertion"), time.Hour, gatehouse.SessionPolicy{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := dialled.Load(); n > 2 {
		t.Errorf("100 calls, one after the other, dialled %d times, want once", n)
	}
}
