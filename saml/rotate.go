package saml

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// A signing key is published for a while before it signs: IAM and service
// providers must have our metadata with it first. The one that it follows
// stays published until it is retired, so that the change can be taken back.

// publishedFor is how long a key should have been in our metadata before it signs.
const publishedFor = 24 * time.Hour

// AddKey is keys with k, which is published and does not sign yet.
func AddKey(keys []gatehouse.SigningKey, k gatehouse.SigningKey) ([]gatehouse.SigningKey, error) {
	if i := slices.IndexFunc(keys, func(other gatehouse.SigningKey) bool { return other.ID == k.ID }); i >= 0 {
		return nil, fmt.Errorf("key %s is there already, %s", k.ID, keys[i].State)
	}
	k.State = gatehouse.KeyNext
	return good(append(slices.Clone(keys), k))
}

// PromoteKey is keys with the one of that id signing, and the one that signed
// published on. Unless now is forced, the key must have been published for a day.
func PromoteKey(keys []gatehouse.SigningKey, id string, now time.Time, force bool) ([]gatehouse.SigningKey, error) {
	keys = slices.Clone(keys)
	k, err := findKey(keys, id)
	switch {
	case err != nil:
		return nil, err
	case k.State == gatehouse.KeyActive:
		return nil, fmt.Errorf("key %s signs already", k.ID)
	case k.State == gatehouse.KeyRetired:
		return nil, fmt.Errorf("key %s is retired; add another", k.ID)
	case !force && now.Sub(k.CreatedAt) < publishedFor:
		return nil, fmt.Errorf("key %s has been published since %s, for less than a day: who does not know it yet would refuse what it signs", k.ID, k.CreatedAt.UTC().Format(time.RFC3339))
	}
	for i := range keys {
		if keys[i].State == gatehouse.KeyActive && isECDSA(keys[i]) == isECDSA(*k) {
			keys[i].State = gatehouse.KeyNext
		}
	}
	k.State = gatehouse.KeyActive
	return good(keys)
}

// RetireKey is keys with the one of that id neither signing nor published. A
// key that signs stays; the ECDSA key only while somebody wants it.
func RetireKey(keys []gatehouse.SigningKey, id string, wantsECDSA bool) ([]gatehouse.SigningKey, error) {
	keys = slices.Clone(keys)
	k, err := findKey(keys, id)
	switch {
	case err != nil:
		return nil, err
	case k.State == gatehouse.KeyActive && (wantsECDSA || !isECDSA(*k)):
		return nil, fmt.Errorf("key %s signs; promote another first", k.ID)
	case k.State == gatehouse.KeyRetired:
		return nil, fmt.Errorf("key %s is retired already", k.ID)
	}
	k.State = gatehouse.KeyRetired
	return good(keys)
}

// findKey is the one key whose identifier begins with id.
func findKey(keys []gatehouse.SigningKey, id string) (*gatehouse.SigningKey, error) {
	var found *gatehouse.SigningKey
	for i := range keys {
		if id == "" || !strings.HasPrefix(keys[i].ID, strings.ToLower(id)) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%q means several keys", id)
		}
		found = &keys[i]
	}
	if found == nil {
		return nil, fmt.Errorf("there is no key %q", id)
	}
	return found, nil
}

// good makes sure that keys could be put in place.
func good(keys []gatehouse.SigningKey) ([]gatehouse.SigningKey, error) {
	if _, err := newKeyring(keys); err != nil {
		return nil, err
	}
	return keys, nil
}

// ReadSigningKey reads a private key and its certificate, both as PEM: PKCS #8,
// PKCS #1 or SEC 1, not encrypted. One document may hold both.
func ReadSigningKey(key, certificate []byte, now time.Time) (gatehouse.SigningKey, error) {
	k := gatehouse.SigningKey{State: gatehouse.KeyNext, CreatedAt: now.UTC().Truncate(time.Second)}
	for _, block := range blocks(key) {
		switch block.Type {
		case "PRIVATE KEY":
			k.PrivateKey = block.Bytes
		case "RSA PRIVATE KEY", "EC PRIVATE KEY":
			var err error
			if k.PrivateKey, err = inPKCS8(block); err != nil {
				return gatehouse.SigningKey{}, fmt.Errorf("private key: %w", err)
			}
		case "ENCRYPTED PRIVATE KEY":
			return gatehouse.SigningKey{}, errors.New("the private key is encrypted; decrypt it first (openssl pkey)")
		}
	}
	for _, block := range blocks(certificate) {
		if block.Type == "CERTIFICATE" && k.Certificate == nil {
			k.Certificate = block.Bytes
		}
	}
	if k.PrivateKey == nil || k.Certificate == nil {
		return gatehouse.SigningKey{}, errors.New("want a PRIVATE KEY and a CERTIFICATE, as PEM")
	}
	k.ID = keyID(k.Certificate)
	_, _, err := readKey(k)
	return k, err
}

// inPKCS8 is a private key in the one form that is kept.
func inPKCS8(block *pem.Block) (der []byte, err error) {
	var private any
	if block.Type == "EC PRIVATE KEY" {
		private, err = x509.ParseECPrivateKey(block.Bytes)
	} else {
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(private)
}

func blocks(text []byte) []*pem.Block {
	var all []*pem.Block
	for {
		var block *pem.Block
		if block, text = pem.Decode(bytes.TrimSpace(text)); block == nil {
			return all
		}
		all = append(all, block)
	}
}
