package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/aws"
	"gatehouse/internal/delegate"
	"gatehouse/internal/store"
	"gatehouse/web/ssoapi"
)

// api is the door of programs over a store, and a token for session. grants is
// the broker, or stands before it.
func api(tb testing.TB, s *store.Store, broker *access.Broker, grants ssoapi.Broker, session gatehouse.Session) (http.Handler, string) {
	tb.Helper()
	log := slog.New(slog.DiscardHandler)
	keeper := delegate.New(delegate.Deps{Broker: broker, Records: s, Counters: s, Key: []byte("a key of thirty-two bytes, or so"), Lasts: 12 * time.Hour, Most: 100, Log: log})
	door := ssoapi.New(ssoapi.Config{PublicURL: "http://localhost:8080"}, keeper, grants, log, nil).Handler()
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

// keysBy asks the door for the keys of a role.
func keysBy(b *testing.B, door http.Handler, token string, ask gatehouse.Ask) func() {
	path := fmt.Sprintf("/sso/federation/credentials?account_id=%s&role_name=%s", ask.Account, ask.Role)
	return func() {
		r := httptest.NewRequestWithContext(b.Context(), "GET", path, nil)
		r.Header.Set("x-amz-sso_bearer_token", token)
		w := httptest.NewRecorder()
		if door.ServeHTTP(w, r); w.Code != 200 {
			b.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// BenchmarkTokenToKeys reports how many times a bare signature it costs to
// answer GetRoleCredentials for keys that the session was handed before: token,
// policy, record, answer. The limit is 0.2 of processor time (x_rsa_cpu), one
// at a time and many at once.
func BenchmarkTokenToKeys(b *testing.B) {
	s, broker, session, ask := counter(b)
	door, token := api(b, s, broker, broker, session)
	once := keysBy(b, door, token, ask)
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

// anew is a broker that nobody is given twice the same by.
type anew struct{ *access.Broker }

func (a anew) Grant(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask) (access.Grant, error) {
	ask.Shared = false
	return a.Broker.Grant(ctx, s, ask)
}

// askSTS is the call of STS alone, with an assertion of the usual length.
func askSTS(tb testing.TB) func() {
	role := gatehouse.Role{Partition: "aws", Account: "111122223333", Path: "/", Name: "Developer"}
	cfg := aws.Config{Region: "eu-west-1", STSEndpoint: startSTS(tb, role)}
	cfg.SetDefaults()
	client, err := aws.New(cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	account, assertion := gatehouse.Account{ID: role.Account, Region: "eu-west-1", Provider: "Gatehouse"}, gatehouse.Lent(strings.Repeat("A", 6000))
	return func() {
		if _, err := client.AssumeRole(tb.Context(), account, role, assertion, time.Hour, gatehouse.SessionPolicy{}); err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkTokenToNewKeys reports how many times a bare signature it costs to
// answer GetRoleCredentials for keys that nobody has been handed: token,
// policy, assertion, STS, record, answer. x_sts_cpu is the call of STS alone,
// x_own_cpu the rest, whose limit is 1.3 for each of many at once; x_own is
// that by the clock. Rounds of each take turns, as in BenchmarkHandOut.
func BenchmarkTokenToNewKeys(b *testing.B) {
	s, broker, session, ask := counter(b)
	door, token := api(b, s, broker, anew{broker}, session)
	whole, sts, sign := keysBy(b, door, token, ask), askSTS(b), bareRSA(b)
	whole()
	sts()
	for _, many := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d at once", many), func(b *testing.B) {
			var all, call, own, wait []float64
			for n := 0; b.Loop(); n++ {
				if n%round != 0 {
					continue
				}
				wholeClock, wholeCPU := aRound(b, many, whole)
				stsClock, stsCPU := aRound(b, many, sts)
				signClock, signCPU := aRound(b, many, sign)
				all, call, own = append(all, wholeCPU/signCPU), append(call, stsCPU/signCPU), append(own, (wholeCPU-stsCPU)/signCPU)
				wait = append(wait, (wholeClock-stsClock)/signClock)
			}
			b.ReportMetric(median(all), "x_rsa_cpu")
			b.ReportMetric(median(call), "x_sts_cpu")
			b.ReportMetric(median(own), "x_own_cpu")
			b.ReportMetric(median(wait), "x_own")
			b.ReportMetric(0, "ns/op") // it is not what was measured
		})
	}
}

// round is how often something is done between two looks at the clock.
const round = 64

// aRound is what a round of do costs when so many run at once.
func aRound(b *testing.B, many int, do func()) (clock, processor float64) {
	w := begin(b)
	var all sync.WaitGroup
	for range many {
		all.Go(func() {
			for range round / many {
				do()
			}
		})
	}
	all.Wait()
	c, p := w.spent(b)
	return float64(c), float64(p)
}
