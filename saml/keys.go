package saml

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
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
	return certified(now, entityID, key)
}

// NewECDSAKey makes a P-256 key likewise, for the providers that opt in.
func NewECDSAKey(now time.Time, entityID string) (gatehouse.SigningKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return gatehouse.SigningKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	return certified(now, entityID, key)
}

// certified is key with its certificate, ready to sign.
func certified(now time.Time, entityID string, key crypto.Signer) (gatehouse.SigningKey, error) {
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
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: commonName(entityID)},
		NotBefore:    now.Add(-time.Hour).UTC(),
		NotAfter:     now.Add(certificateLife).UTC(),
		KeyUsage:     x509.KeyUsageDigitalSignature,
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
	algorithm   string // its name
	size        int    // of a signature, in bytes
	certificate string // base64 of the DER
}

// sign signs a digest by SHA-256.
func (k *signer) sign(digest []byte) ([]byte, error) {
	value, err := k.key.Sign(rand.Reader, digest, crypto.SHA256)
	if err == nil && k.algorithm == algECDSASHA256 {
		value, err = sideBySide(value, k.size)
	}
	if err == nil && len(value) != k.size {
		err = fmt.Errorf("signature of %d bytes, want %d", len(value), k.size)
	}
	return value, err
}

// An ECDSA signature is two integers. Go writes them in ASN.1, XML Signature
// side by side, each as long as the curve's order (xmldsig-core1 §6.4.3).
type twoIntegers struct{ R, S *big.Int }

func sideBySide(der []byte, size int) ([]byte, error) {
	var v twoIntegers
	if rest, err := asn1.Unmarshal(der, &v); err != nil || len(rest) > 0 || max(v.R.BitLen(), v.S.BitLen()) > size/2*8 {
		return nil, errors.New("no ECDSA signature")
	}
	out := make([]byte, size)
	v.R.FillBytes(out[:size/2])
	v.S.FillBytes(out[size/2:])
	return out, nil
}

// inASN1 is the way back.
func inASN1(value []byte) ([]byte, error) {
	half := len(value) / 2
	if half == 0 || len(value)%2 != 0 || half > 66 { // P-521's
		return nil, errors.New("no ECDSA signature")
	}
	return asn1.Marshal(twoIntegers{new(big.Int).SetBytes(value[:half]), new(big.Int).SetBytes(value[half:])})
}

// published is a certificate in our metadata.
type published struct {
	id    string
	cert  *x509.Certificate
	text  string // base64 of the DER
	signs bool
}

// keyring is what SetKeys puts in place at once: the keys that sign, and the
// metadata document that publishes them.
type keyring struct {
	signer    signer
	ecdsa     *signer     // for the providers that opt in; nil: there is none
	published []published // RSA before ECDSA, the one that signs first
	metadata  []byte
}

// by is the key that signs by that algorithm.
func (r *keyring) by(s Signature) *signer {
	if s == SignatureECDSA && r.ecdsa != nil { // SetKeys has seen to it
		return r.ecdsa
	}
	return &r.signer
}

// isECDSA says which kind of key k is.
func isECDSA(k gatehouse.SigningKey) bool {
	cert, err := x509.ParseCertificate(k.Certificate)
	return err == nil && cert.PublicKeyAlgorithm == x509.ECDSA
}

// newKeyring reads keys: one of RSA signs, and at most one of ECDSA; they and
// those to come are published. RSA's stand first, since some read no further.
func newKeyring(keys []gatehouse.SigningKey) (*keyring, error) {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k gatehouse.SigningKey) bool { return k.State == gatehouse.KeyRetired })
	// The order decides the bytes of the metadata, and replicas must agree.
	slices.SortFunc(keys, func(a, b gatehouse.SigningKey) int {
		return cmp.Or(compareBool(isECDSA(a), isECDSA(b)), cmp.Compare(a.State, b.State), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
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
		if err := ring.sign(k.ID, signs); err != nil {
			return nil, err
		}
	}
	if ring.signer.key == nil {
		return nil, errors.New("no active signing key")
	}
	return ring, nil
}

// sign has k sign by its algorithm.
func (r *keyring) sign(id string, k signer) error {
	if k.algorithm == algECDSASHA256 {
		if r.ecdsa != nil {
			return fmt.Errorf("signing key %s: another ECDSA key is active too", id)
		}
		r.ecdsa = &k
		return nil
	}
	if r.signer.key != nil {
		return fmt.Errorf("signing keys %s and %s: only one can be active", r.published[0].id, id)
	}
	r.signer = k
	return nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
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
	signs, err := newSigner(parsed)
	if err != nil {
		return signer{}, published{}, err
	}
	cert, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		return signer{}, published{}, fmt.Errorf("certificate: %w", err)
	}
	if public := signs.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !public.Equal(cert.PublicKey) {
		return signer{}, published{}, errors.New("the certificate is for another key")
	}
	signs.certificate = base64.StdEncoding.EncodeToString(k.Certificate)
	return signs, published{k.ID, cert, signs.certificate, k.State == gatehouse.KeyActive}, nil
}

// newSigner settles by which algorithm a private key signs.
func newSigner(private any) (signer, error) {
	switch key := private.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() >= 2048 {
			return signer{key: key, algorithm: algRSASHA256, size: key.Size()}, nil
		}
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return signer{key: key, algorithm: algECDSASHA256, size: 64}, nil
		}
	}
	return signer{}, errors.New("want an RSA key of at least 2048 bits, or an ECDSA key on P-256")
}
