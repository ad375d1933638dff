package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"gatehouse"
)

// BenchmarkResponse makes signed Responses and reports how long one takes in
// bare RSA-2048 signatures, which are measured in the same run. They go into
// memory that is the caller's and is used again, as the Broker has it for
// those that it trades for credentials; "own text" is what a page gets, whose
// text nobody can use again.
func BenchmarkResponse(b *testing.B) {
	for _, n := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprintf("roles=%d", n), func(b *testing.B) { benchmarkResponse(b, n, SignAssertion, appended(b)) })
	}
	b.Run("roles=10,both", func(b *testing.B) { benchmarkResponse(b, 10, SignBoth, appended(b)) })
	b.Run("roles=10,own text", func(b *testing.B) {
		benchmarkResponse(b, 10, SignAssertion, func(p *IdP, a Assertion) error {
			_, err := p.Respond(b.Context(), a)
			return err
		})
	})
}

func appended(b *testing.B) func(*IdP, Assertion) error {
	var memory gatehouse.Lent
	return func(p *IdP, a Assertion) (err error) {
		memory, _, err = p.AppendResponse(b.Context(), memory[:0], a)
		return err
	}
}

// benchmarkResponse alternates both in batches, so that whatever else the
// machine does hits them alike.
func benchmarkResponse(b *testing.B, roles int, sign Sign, respond func(*IdP, Assertion) error) {
	p := newTestIdP(b)
	a := awsAssertion(roles)
	a.Sign = sign
	bare := bareSignature(b)
	b.ReportAllocs()
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		if err := respond(p, a); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		b.StopTimer()
		start = time.Now()
		bare()
		theirs += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(ours)/float64(theirs), "x_rsa")
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
