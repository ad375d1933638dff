package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/delegate"
	"gatehouse/internal/store"
	"gatehouse/web/ssoapi"
)

// api is the door of programs over a store, and a token for session.
func api(tb testing.TB, s *store.Store, broker *access.Broker, session gatehouse.Session) (http.Handler, string) {
	tb.Helper()
	log := slog.New(slog.DiscardHandler)
	keeper := delegate.New(delegate.Deps{Broker: broker, Records: s, Counters: s, Key: []byte("a key of thirty-two bytes, or so"), Lasts: 12 * time.Hour, Most: 100, Log: log})
	door := ssoapi.New(ssoapi.Config{PublicURL: "http://localhost:8080"}, keeper, broker, log, nil).Handler()
	call := func(path string, in map[string]string, out any) {
		body, _ := json.Marshal(in)
		w := httptest.NewRecorder()
		door.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), "POST", path, bytes.NewReader(body)))
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil || w.Code != 200 {
			tb.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	var client struct{ ClientID, ClientSecret string }
	call("/oidc/client/register", map[string]string{"clientName": "bench", "clientType": "public"}, &client)
	var device struct{ UserCode, DeviceCode string }
	call("/oidc/device_authorization", map[string]string{"clientId": client.ClientID, "clientSecret": client.ClientSecret}, &device)
	if _, err := keeper.Answer(tb.Context(), session, device.UserCode, true, "192.0.2.1", "r"); err != nil {
		tb.Fatal(err)
	}
	var token struct{ AccessToken string }
	call("/oidc/token", map[string]string{"clientId": client.ClientID, "clientSecret": client.ClientSecret, "deviceCode": device.DeviceCode,
		"grantType": "urn:ietf:params:oauth:grant-type:device_code"}, &token)
	return door, token.AccessToken
}

// BenchmarkTokenToKeys reports how many times a bare signature it costs to
// answer GetRoleCredentials for keys that the session was handed before: token,
// policy, record, answer. The limit is 0.2 of processor time (x_rsa_cpu) for
// each of the many that ask at once; they share one write of the record.
func BenchmarkTokenToKeys(b *testing.B) {
	s, broker, session, ask := counter(b)
	door, token := api(b, s, broker, session)
	path := fmt.Sprintf("/sso/federation/credentials?account_id=%s&role_name=%s", ask.Account, ask.Role)
	once := func() {
		r := httptest.NewRequestWithContext(b.Context(), "GET", path, nil)
		r.Header.Set("x-amz-sso_bearer_token", token)
		w := httptest.NewRecorder()
		if door.ServeHTTP(w, r); w.Code != 200 {
			b.Errorf("%d %s", w.Code, w.Body)
		}
	}
	once()
	sign := bareRSA(b)
	const signatures = 200
	began := processorTime(b)
	for range signatures {
		sign()
	}
	signature := float64(processorTime(b)-began) / signatures
	for _, many := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d at once", many), func(b *testing.B) {
			b.SetParallelism(many)
			b.ReportAllocs()
			began := processorTime(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					once()
				}
			})
			b.ReportMetric(float64(processorTime(b)-began)/float64(b.N)/signature, "x_rsa_cpu")
		})
	}
}
