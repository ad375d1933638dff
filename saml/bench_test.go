package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkResponse makes signed Responses and reports how long one takes in
// bare RSA-2048 signatures, which are measured in the same run, and how much
// memory it takes besides the Response itself (own_B/op). That one is the
// caller's, a text of 7 KB for ten roles, and no buffer can be used again for
// it: it is a bearer token that goes to an HTTP client or onto a page, and
// may be read after the call that was to be its last.
func BenchmarkResponse(b *testing.B) {
	for _, n := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprintf("roles=%d", n), func(b *testing.B) { benchmarkResponse(b, n, SignAssertion) })
	}
	b.Run("roles=10,both", func(b *testing.B) { benchmarkResponse(b, 10, SignBoth) })
}

// benchmarkResponse alternates both in batches, so that whatever else the
// machine does hits them alike.
func benchmarkResponse(b *testing.B, roles int, sign Sign) {
	p := newTestIdP(b)
	a := awsAssertion(roles)
	a.Sign = sign
	bare := bareSignature(b)
	b.ReportAllocs()
	var ours, theirs time.Duration
	var made, calls uint64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		start := time.Now()
		r, err := p.Respond(b.Context(), a)
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		made, calls = made+uint64(len(r.Encoded)), calls+1
		b.StopTimer()
		start = time.Now()
		bare()
		theirs += time.Since(start)
		b.StartTimer()
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(ours)/float64(theirs), "x_rsa")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc-made)/float64(calls), "own_B/op")
}

func bareSignature(b *testing.B) func() {
	key, err := x509.ParsePKCS8PrivateKey(testKey().PrivateKey)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	return func() {
		if _, err := rsa.SignPKCS1v15(nil, key.(*rsa.PrivateKey), crypto.SHA256, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}
