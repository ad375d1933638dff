package idp

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"
)

// BenchmarkReissue is an AuthnRequest in and a Response with both signatures
// out, for somebody signed in, beside two bare RSA-2048 signatures of the
// same run. The pages, the Broker and the store are the tests' own.
func BenchmarkReissue(b *testing.B) {
	w := newWorld(b)
	w.signIn(time.Now())
	key, err := x509.ParsePKCS8PrivateKey(signingKey().PrivateKey)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	var ours, theirs time.Duration
	for b.Loop() {
		target := w.redirectURL(w.request(crewjam.HTTPRedirectBinding, nil), relayState) // each is answered once
		start := time.Now()
		answer := httptest.NewRecorder()
		w.server.Config.Handler.ServeHTTP(answer, httptest.NewRequest("GET", target, nil))
		ours += time.Since(start)
		if answer.Code != http.StatusOK {
			b.Fatal(answer.Code, w.problems)
		}
		start = time.Now()
		for range 2 {
			if _, err := rsa.SignPKCS1v15(nil, key.(*rsa.PrivateKey), crypto.SHA256, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
		theirs += time.Since(start)
	}
	b.ReportMetric(float64(ours)/float64(theirs), "x_2rsa")
}
