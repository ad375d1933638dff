package saml

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"
)

// Facts is what a provider's metadata and configuration come to, for people
// to read.
type Facts struct {
	Source     string    // the file that its metadata was read from
	Vouched    bool      // that is signed by whom the operator named
	ValidUntil time.Time // of the metadata; zero: it does not say
	Services   []Service // where assertions may go
	Logout     []Service // where logout messages may
	Keys       []Key     // in the order of its metadata
	Encrypt    Encrypt   // how assertions are encrypted; never, where they are not
}

// Service is a place where a provider takes messages.
type Service struct {
	Location string
	Binding  string // HTTP-POST, HTTP-Redirect or PAOS
	Default  bool   // answers go there unless the request says otherwise
}

// Key is one that a provider's metadata has.
type Key struct {
	Use   string    // signing or encryption
	Kind  string    // such as RSA-2048
	Until time.Time // of its certificate, whose dates do not count
}

// Facts says what is known of sp.
func (sp *Provider) Facts() Facts {
	f := Facts{Source: sp.source, Vouched: sp.vouched, ValidUntil: sp.validUntil, Encrypt: EncryptNever}
	for _, e := range sp.endpoints {
		f.Services = append(f.Services, Service{e.location, "HTTP-POST", e.location == sp.ACS})
	}
	for _, e := range sp.paos {
		f.Services = append(f.Services, Service{e.location, "PAOS", e.location == defaultACS(sp.paos)})
	}
	for _, s := range sp.logout {
		binding := "HTTP-Redirect"
		if s.post {
			binding = "HTTP-POST"
		}
		f.Logout = append(f.Logout, Service{Location: s.location, Binding: binding})
	}
	for _, cert := range sp.keys {
		f.Keys = append(f.Keys, Key{"signing", KeyKind(cert), cert.NotAfter})
	}
	if to := sp.recipient; to != nil {
		f.Keys = append(f.Keys, Key{"encryption", KeyKind(to.certificate), to.certificate.NotAfter})
		f.Encrypt = to.cipher.choice
	}
	return f
}

// KeyKind names a certificate's key: its algorithm and its size.
func KeyKind(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Params().Name
	}
	return cert.PublicKeyAlgorithm.String()
}

// nameKinds are the formats of names in people's words.
var nameKinds = map[string]string{
	NameIDPersistent: "persistent", NameIDTransient: "transient", NameIDEmail: "emailAddress",
}

// NameKind is the short word for a format of names.
func NameKind(format string) string {
	if kind, ok := nameKinds[format]; ok {
		return kind
	}
	return format
}
