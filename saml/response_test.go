package saml

import (
	"crypto/x509"
	"encoding/xml"
	"net/url"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"gatehouse"
)

func oneCertificate(t *testing.T, k gatehouse.SigningKey) []*x509.Certificate {
	return []*x509.Certificate{testCertificate(t, k)}
}

// testServiceProvider is crewjam's service provider that trusts p's metadata.
// Its clock is the package's: responses for it are made in the present.
func testServiceProvider(t *testing.T, p *IdP, acs, audience string) *crewjam.ServiceProvider {
	t.Helper()
	var entity crewjam.EntityDescriptor
	if err := unmarshal(p.Metadata(), &entity); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(acs)
	if err != nil {
		t.Fatal(err)
	}
	return &crewjam.ServiceProvider{EntityID: audience, AcsURL: *u, IDPMetadata: &entity, AllowIDPInitiated: true}
}

func TestResponseStandsBeforeEveryJudge(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sign  Sign
		nodes []string
	}{
		{"assertion signed", SignAssertion, []string{"Assertion"}},
		{"response signed", SignResponse, []string{"Response"}},
		{"both signed", SignBoth, []string{"Assertion", "Response"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdPAt(t, nil)
			a := awsAssertion(10)
			a.Sign = tt.sign
			a.AuthnInstant = time.Now()
			r, err := p.Respond(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			document := decoded(t, r)
			if err := validAgainst(t, document, "saml-schema-protocol-2.0.xsd"); err != nil {
				t.Error(err)
			}
			altered := replaced(t, document, "role/Developer", "role/Administr")
			for _, node := range tt.nodes {
				if err := xmlsec1(t, document, testKey().Certificate, node); err != nil {
					t.Error(err)
				}
				if err := goxmldsig(document, testKey(), node, t); err != nil {
					t.Error(err)
				}
				if xmlsec1(t, altered, testKey().Certificate, node) == nil || goxmldsig(altered, testKey(), node, t) == nil {
					t.Errorf("a changed byte passed as signed %s", node)
				}
			}
			if _, err := asProvider(t, p, document, testAWSACS, awsAudience); err != nil {
				t.Errorf("crewjam: %v", err)
			}
			if _, err := asProvider(t, p, altered, testAWSACS, awsAudience); err == nil {
				t.Error("crewjam took an altered response")
			}
		})
	}
}

func unmarshal(document []byte, into any) error { return xml.Unmarshal(document, into) }
