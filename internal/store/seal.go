package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Sealing. Each secret file gives, by HKDF-SHA256 (RFC 5869) without a salt,
// an AES-256 key (info "gatehouse seal v1") and an eight-byte fingerprint
// (info "gatehouse fingerprint v1") that says which file it was without
// saying anything about it. A sealed value is
//
//	1 byte   version, 1
//	8 bytes  fingerprint
//	12 bytes nonce, random
//	rest     AES-256-GCM, with kind, a zero byte and the row's id as additional data
//
// The additional data keeps somebody who can write to the database from
// putting one row's secret into another.
//
// To rotate: add the new file at the end everywhere; then put it first
// everywhere; each replica that starts or reloads so seals everything anew;
// then drop the old file. Each step may take its time: at any moment every
// replica opens what any other has sealed.

const (
	sealVersion     = 1
	minSecret       = 32 // bytes of a secret file
	fingerprintSize = 8
	nonceSize       = 12
	sealHeader      = 1 + fingerprintSize
)

// errSealed is the kind of every failure to open a sealed value.
var errSealed = errors.New("cannot be opened with secret_files")

type sealKey struct {
	fingerprint []byte
	aead        cipher.AEAD
}

// sealer seals with its first key and opens with all.
type sealer struct{ keys []sealKey }

func newSealer(secrets [][]byte) (*sealer, error) {
	if len(secrets) == 0 {
		return nil, errors.New("secret_files is empty; name a file of at least 32 random bytes")
	}
	var s sealer
	for i, secret := range secrets {
		if len(secret) < minSecret {
			return nil, fmt.Errorf("secret_files[%d] has %d bytes; it needs at least %d random ones", i, len(secret), minSecret)
		}
		k, err := deriveKey(secret)
		if err != nil {
			return nil, fmt.Errorf("secret_files[%d]: %w", i, err)
		}
		s.keys = append(s.keys, k)
	}
	return &s, nil
}

func deriveKey(secret []byte) (sealKey, error) {
	raw, err := hkdf.Key(sha256.New, secret, nil, "gatehouse seal v1", 32)
	if err != nil {
		return sealKey{}, err
	}
	fingerprint, err := hkdf.Key(sha256.New, secret, nil, "gatehouse fingerprint v1", fingerprintSize)
	if err != nil {
		return sealKey{}, err
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return sealKey{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealKey{fingerprint, aead}, err
}

func additional(kind, id string) []byte { return []byte(kind + "\x00" + id) }

// seal closes plain for one row.
func (s *sealer) seal(kind, id string, plain []byte) []byte {
	k := s.keys[0]
	out := make([]byte, sealHeader+nonceSize, sealHeader+nonceSize+len(plain)+k.aead.Overhead())
	out[0] = sealVersion
	copy(out[1:], k.fingerprint)
	nonce := out[sealHeader:]
	rand.Read(nonce) // never fails (crypto/rand)
	return k.aead.Seal(out, nonce, plain, additional(kind, id))
}

// open is the reverse of seal. stale says that it was not the first key that
// opened it.
func (s *sealer) open(kind, id string, sealed []byte) (plain []byte, stale bool, err error) {
	if len(sealed) < sealHeader+nonceSize || sealed[0] != sealVersion {
		return nil, false, fmt.Errorf("%s %q %w: it is damaged, or not of this release", kind, id, errSealed)
	}
	fingerprint := sealed[1:sealHeader]
	nonce, text := sealed[sealHeader:sealHeader+nonceSize], sealed[sealHeader+nonceSize:]
	for i, k := range s.keys {
		if !bytes.Equal(k.fingerprint, fingerprint) {
			continue
		}
		plain, err := k.aead.Open(nil, nonce, text, additional(kind, id))
		if err != nil {
			return nil, false, fmt.Errorf("%s %q %w: it was changed in the database", kind, id, errSealed)
		}
		return plain, i > 0, nil
	}
	return nil, false, fmt.Errorf("%s %q %w: it was sealed with another secret (fingerprint %x); add the file that it was sealed with, on every replica the same",
		kind, id, errSealed, fingerprint)
}
