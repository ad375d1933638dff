package saml

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	_ "crypto/sha1"   // digests of OAEP
	_ "crypto/sha256" // likewise
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
)

// A name in a logout request may be encrypted to us (saml-core §2.2.4), by a
// key of our metadata that is there for it. The request is signed, and its
// signature good, before anything is decrypted: nobody but a registered
// provider can have us try, and all failures look alike.

// encryptedID is an EncryptedID. Its keys stand within the KeyInfo of the
// data, or beside it.
type encryptedID struct {
	Data struct {
		Method  encryptionMethod `xml:"http://www.w3.org/2001/04/xmlenc# EncryptionMethod"`
		KeyInfo struct {
			Keys []encryptedKey `xml:"http://www.w3.org/2001/04/xmlenc# EncryptedKey"`
		} `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo"`
		Cipher cipherData `xml:"http://www.w3.org/2001/04/xmlenc# CipherData"`
	} `xml:"http://www.w3.org/2001/04/xmlenc# EncryptedData"`
	Keys []encryptedKey `xml:"http://www.w3.org/2001/04/xmlenc# EncryptedKey"`
}

type encryptedKey struct {
	Method encryptionMethod `xml:"http://www.w3.org/2001/04/xmlenc# EncryptionMethod"`
	Cipher cipherData       `xml:"http://www.w3.org/2001/04/xmlenc# CipherData"`
}

type encryptionMethod struct {
	Algorithm string `xml:",attr"`
	Digest    struct {
		Algorithm string `xml:",attr"`
	} `xml:"http://www.w3.org/2000/09/xmldsig# DigestMethod"`
	MGF struct {
		Algorithm string `xml:",attr"`
	} `xml:"http://www.w3.org/2009/xmlenc11# MGF"`
	Params *struct{} `xml:"http://www.w3.org/2001/04/xmlenc# OAEPparams"`
}

type cipherData struct {
	Value string `xml:"http://www.w3.org/2001/04/xmlenc# CipherValue"`
}

// maxWrapped is how many EncryptedKeys are tried: a message is for us, or for
// us and an archive.
const maxWrapped = 4

var errNotDecrypted = errors.New("it cannot be decrypted")

// decrypt opens e with one of keys.
func (e *encryptedID) decrypt(keys []crypto.Decrypter) ([]byte, error) {
	i := slices.IndexFunc(contentCiphers, func(c contentCipher) bool { return c.gcm && c.algorithm == e.Data.Method.Algorithm })
	if i < 0 {
		return nil, fmt.Errorf("%w: content by %q", errNotDecrypted, e.Data.Method.Algorithm)
	}
	sealed, err := base64.StdEncoding.DecodeString(withoutSpace(e.Data.Cipher.Value))
	if err != nil {
		return nil, errNotDecrypted
	}
	wrapped := slices.Concat(e.Data.KeyInfo.Keys, e.Keys)
	for _, w := range wrapped[:min(len(wrapped), maxWrapped)] {
		for _, key := range keys {
			content, err := w.unwrap(key)
			if err != nil || len(content) != contentCiphers[i].keySize {
				continue
			}
			if plain, err := openGCM(content, sealed); err == nil {
				return plain, nil
			}
		}
	}
	return nil, errNotDecrypted
}

// unwrap is the content key, as RSA-OAEP carries it (xmlenc-core1 §5.5.2).
func (w *encryptedKey) unwrap(key crypto.Decrypter) ([]byte, error) {
	options := &rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
	switch w.Method.Digest.Algorithm {
	case "", algSHA1:
	case algSHA256:
		options.Hash = crypto.SHA256
	default:
		return nil, errNotDecrypted
	}
	switch {
	case w.Method.Params != nil:
		return nil, errNotDecrypted
	case w.Method.Algorithm == algOAEP, w.Method.Algorithm == algOAEP11 && (w.Method.MGF.Algorithm == "" || w.Method.MGF.Algorithm == algMGF1SHA1):
	case w.Method.Algorithm == algOAEP11 && w.Method.MGF.Algorithm == algMGF1SHA256:
		options.MGFHash = crypto.SHA256
	default:
		return nil, errNotDecrypted // PKCS #1 v1.5 above all (SDP-ALG01)
	}
	value, err := base64.StdEncoding.DecodeString(withoutSpace(w.Cipher.Value))
	if err != nil {
		return nil, errNotDecrypted
	}
	return key.Decrypt(nil, value, options)
}

const (
	algMGF1SHA1   = "http://www.w3.org/2009/xmlenc11#mgf1sha1"
	algMGF1SHA256 = "http://www.w3.org/2009/xmlenc11#mgf1sha256"
)

// openGCM is the way back of seal.
func openGCM(key, sealed []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, sealed, nil)
}

// nameElement is a NameID as logout requests have it.
type nameElement struct {
	Format          string `xml:",attr"`
	NameQualifier   string `xml:",attr"`
	SPNameQualifier string `xml:",attr"`
	Value           string `xml:",chardata"`
}

// readName reads what was encrypted: a NameID and nothing else.
func readName(document []byte) (*nameElement, error) {
	want := inSAML("NameID")
	err := scan(document, strictness{element: func(path []xml.Name, _ xml.StartElement) error {
		if len(path) > 1 || path[0] != want {
			return errors.New("what was encrypted is no NameID")
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	n := &nameElement{}
	if err := xml.Unmarshal(document, n); err != nil {
		return nil, fmt.Errorf("what was encrypted: %w", err)
	}
	return n, nil
}
