package saml

import (
	"crypto/x509"
	"encoding/base64"
	"flag"
	"sync"
	"testing"
	"time"

	"gatehouse"
)

var update = flag.Bool("update", false, "rewrite golden files")

// noon is the time of all tests that need one.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const (
	testEntityID = "https://aws.corp.example/saml/metadata"
	testSSO      = "https://aws.corp.example/saml/sso"
	testAWSACS   = "https://signin.aws.amazon.com/saml"
)

// testKey is made once: key generation is slow under the race detector.
var testKey = sync.OnceValue(func() gatehouse.SigningKey { return mustKey(noon) })

func mustKey(now time.Time) gatehouse.SigningKey {
	k, err := NewSigningKey(now, testEntityID)
	if err != nil {
		panic(err)
	}
	return k
}

// newTestIdP is an identity provider at noon, with these provider files.
func newTestIdP(t testing.TB, files ...ServiceProvider) *IdP {
	t.Helper()
	return newIdPAt(t, func() time.Time { return noon }, files...)
}

func newIdPAt(t testing.TB, now func() time.Time, files ...ServiceProvider) *IdP {
	t.Helper()
	p, err := New(Config{ServiceProviders: files}, Endpoints{Metadata: testEntityID, SSO: testSSO, AWS: []string{testAWSACS}},
		[]gatehouse.SigningKey{testKey()}, []byte("a key of the tests, made by them"), now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// awsAssertion is what a hand-out of n roles says.
func awsAssertion(n int) Assertion {
	return Assertion{
		Recipient:    testAWSACS,
		Audience:     awsAudience,
		NameID:       NameID{Value: "_0123456789abcdef"},
		AuthnInstant: noon.Add(-time.Hour),
		SessionIndex: "_session",
		AWS: &AWS{
			Roles:             rolePairs(n),
			RoleSessionName:   "alice",
			SessionDuration:   time.Hour,
			SourceIdentity:    "alice",
			Tags:              []gatehouse.Tag{{Key: "team", Value: "Zahlungen & Größe"}, {Key: "cost", Value: ""}},
			TransitiveTagKeys: []string{"team"},
		},
	}
}

func rolePairs(n int) []RolePair {
	pairs := make([]RolePair, n)
	for i := range pairs {
		account := "1111" + string([]byte{byte('0' + i/100%10), byte('0' + i/10%10), byte('0' + i%10)}) + "33333"
		pairs[i] = RolePair{
			RoleARN:     "arn:aws:iam::" + account + ":role/Developer",
			ProviderARN: "arn:aws:iam::" + account + ":saml-provider/Gatehouse",
		}
	}
	return pairs
}

// decoded is the XML of a Response.
func decoded(t testing.TB, r Response) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(string(r.Encoded))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func testCertificate(t testing.TB, k gatehouse.SigningKey) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
