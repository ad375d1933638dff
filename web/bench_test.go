package web

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"log/slog"

	"gatehouse"
)

// company is n roles in a third as many accounts, whose numbers are as
// random as AWS's, and as many groups as give them.
func company(n int) (all []gatehouse.Entitlement, groups []gatehouse.Group) {
	numbers := mathrand.New(mathrand.NewPCG(1, 2))
	teams := strings.Fields("Billing Booking Catalogue Chat Checkout Claims Forecast Fraud Invoices Loyalty Mail Maps Orders Partners Pricing Reports Returns Search Shipping Warehouse")
	id, name, env, owner := "", "", "", ""
	for i := range n {
		if i%3 == 0 {
			team := teams[numbers.IntN(len(teams))]
			id, env = fmt.Sprintf("%012d", numbers.Int64N(1e12)), []string{"prod", "staging", "dev", "shared"}[i/3%4]
			name, owner = fmt.Sprintf("%s %s %d", team, env, numbers.IntN(1000)), strings.ToLower(team)+"@corp.example.com"
		}
		role := []string{"ReadOnly", "Developer", "Admin"}[i%3]
		all = append(all, entitlement(id, name, env, owner, role))
		cn := "AWS-" + id + "-" + role
		groups = append(groups, gatehouse.Group{DN: "CN=" + cn + ",OU=AWS,OU=Groups,DC=corp,DC=example,DC=com", Name: cn})
	}
	return all, groups
}

// populous is a portal whose only visitor has n roles, and their cookie.
func populous(tb testing.TB, n int) (*house, string) {
	h := newHouse(tb, func(_ *Config, d *Deps) { d.Log = slog.New(slog.DiscardHandler) })
	h.broker.entitlements, h.broker.user.Groups = company(n)
	h.people.rows[h.broker.user.Key()] = map[string][]byte{
		favouritesKey: []byte(`["` + h.broker.entitlements[0].Account.ID + `"]`),
		usesKey:       []byte(`{"` + h.broker.entitlements[n-1].Account.ID + `/Admin":{"at":1795250000,"count":9,"weight":4}}`),
	}
	return h, h.signIn()
}

// gzipAsk is the portal as a browser asks for it.
func gzipAsk(cookie string) *http.Request {
	r := request("GET", "/", cookie, nil)
	r.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	return r
}

const (
	mostOnTheWire = 40 << 10 // the page of 2,000 roles
	mostAtFirst   = 60 << 10 // the first page, with all that it loads
)

func TestTwoThousandRolesAreFewBytes(t *testing.T) {
	h, cookie := populous(t, 2000)
	w := httptest.NewRecorder()
	h.server.Handler().ServeHTTP(w, gzipAsk(cookie))
	t.Logf("2,000 roles are %.1f KB on the wire", float64(w.Body.Len())/1024)
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > mostOnTheWire {
		t.Errorf("2,000 roles are %d bytes, %q; want at most %d", w.Body.Len(), w.Header().Get("Content-Encoding"), mostOnTheWire)
	}
}

// BenchmarkPortal makes the page anew for somebody who has been here: the
// session is read, the person is known to the last minute, the list is kept.
// of-a-signature is the share of a bare RSA-2048 signature of the same run.
func BenchmarkPortal(b *testing.B) {
	for _, n := range []int{2, 31, 300, 2000} {
		b.Run(fmt.Sprintf("%d roles", n), func(b *testing.B) {
			h, cookie := populous(b, n)
			sign := signature(b)
			size := 0
			get := func() {
				w := httptest.NewRecorder()
				h.server.Handler().ServeHTTP(w, gzipAsk(cookie))
				size = w.Body.Len()
			}
			get()
			var signing time.Duration
			signed := 0
			b.ReportAllocs()
			for b.Loop() {
				get()
				if signed < 200 {
					b.StopTimer()
					began := time.Now()
					sign()
					signing += time.Since(began)
					signed++
					b.StartTimer()
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/(float64(signing)/float64(signed)), "of-a-signature")
			b.ReportMetric(float64(size)/1024, "KiB")
		})
	}
}

// signature is what one assertion costs at the least.
func signature(tb testing.TB) func() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	hash := sha256.Sum256([]byte("a signed assertion"))
	return func() {
		if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:]); err != nil {
			tb.Fatal(err)
		}
	}
}
