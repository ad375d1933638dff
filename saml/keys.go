package saml

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"gatehouse"
)

// certificateLife is how long a certificate made here says it is good. IAM
// ignores the dates; other providers may warn by them. Keys are rotated long
// before.
const certificateLife = 10 * 365 * 24 * time.Hour

// NewSigningKey makes an RSA-2048 key with a self-signed certificate of ten
// years. AWS takes no other kind of key for sure, and anything longer costs
// three times the time per hand-out (measured).
func NewSigningKey(now time.Time, entityID string) (gatehouse.SigningKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return gatehouse.SigningKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return gatehouse.SigningKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	certificate, err := selfSigned(now, entityID, key)
	if err != nil {
		return gatehouse.SigningKey{}, fmt.Errorf("make a signing certificate: %w", err)
	}
	return gatehouse.SigningKey{
		ID:          keyID(certificate),
		State:       gatehouse.KeyActive,
		PrivateKey:  der,
		Certificate: certificate,
		CreatedAt:   now.UTC().Truncate(time.Second),
	}, nil
}

// keyID names a key by its certificate's fingerprint, short enough to type.
func keyID(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return hex.EncodeToString(sum[:8])
}

func selfSigned(now time.Time, entityID string, key crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:       serial.Add(serial, big.NewInt(1)),
		Subject:            pkix.Name{CommonName: commonName(entityID)},
		NotBefore:          now.Add(-time.Hour).UTC(),
		NotAfter:           now.Add(certificateLife).UTC(),
		SignatureAlgorithm: x509.SHA256WithRSA,
		KeyUsage:           x509.KeyUsageDigitalSignature,
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// commonName is what fits of the entity ID: X.520 allows 64 characters.
func commonName(entityID string) string {
	name := []rune(cmp.Or(entityID, "Gatehouse"))
	return string(name[:min(len(name), 64)])
}

// signer is a key that signs, with what a Signature says of it.
type signer struct {
	key         crypto.Signer
	size        int    // of a signature, in bytes
	certificate string // base64 of the DER
}

// published is a certificate in our metadata.
type published struct {
	id   string
	cert *x509.Certificate
	text string // base64 of the DER
}

// keyring is what SetKeys puts in place at once: the key that signs, and the
// metadata document that publishes it.
type keyring struct {
	signer    signer
	published []published // the one that signs first
	metadata  []byte
}

// newKeyring reads keys: one signs, it and those to come are published.
func newKeyring(keys []gatehouse.SigningKey) (*keyring, error) {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k gatehouse.SigningKey) bool { return k.State == gatehouse.KeyRetired })
	// The order decides the bytes of the metadata, and replicas must agree.
	slices.SortFunc(keys, func(a, b gatehouse.SigningKey) int {
		return cmp.Or(cmp.Compare(a.State, b.State), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	ring := &keyring{}
	for _, k := range keys {
		signs, p, err := readKey(k)
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", k.ID, err)
		}
		ring.published = append(ring.published, p)
		if k.State != gatehouse.KeyActive {
			continue
		}
		if ring.signer.key != nil {
			return nil, fmt.Errorf("signing keys %s and %s: only one can be active", ring.published[0].id, k.ID)
		}
		ring.signer = signs
	}
	if ring.signer.key == nil {
		return nil, errors.New("no active signing key")
	}
	return ring, nil
}

// readKey parses k and makes sure that key and certificate belong together.
func readKey(k gatehouse.SigningKey) (signer, published, error) {
	if k.State != gatehouse.KeyActive && k.State != gatehouse.KeyNext {
		return signer{}, published{}, fmt.Errorf("state %q is none", k.State)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.PrivateKey)
	if err != nil {
		return signer{}, published{}, fmt.Errorf("private key: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok || key.N.BitLen() < 2048 {
		return signer{}, published{}, errors.New("want an RSA key of at least 2048 bits")
	}
	cert, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		return signer{}, published{}, fmt.Errorf("certificate: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return signer{}, published{}, errors.New("the certificate is for another key")
	}
	text := base64.StdEncoding.EncodeToString(k.Certificate)
	return signer{key: key, size: key.Size(), certificate: text}, published{id: k.ID, cert: cert, text: text}, nil
}
