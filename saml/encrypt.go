package saml

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the digest of rsa-oaep-mgf1p, where no collision matters
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	crewjam "github.com/crewjam/saml"
)

// Encrypt says how assertions for one provider are encrypted.
type Encrypt string

// What can be chosen. By default assertions are encrypted for whoever has an
// encryption key in their metadata, by the first GCM algorithm that it lists,
// or AES-128-GCM. CBC, which cannot tell an altered text, is used only where
// it is chosen.
const (
	EncryptByMetadata Encrypt = ""
	EncryptNever      Encrypt = "never"
	EncryptAES128GCM  Encrypt = "aes128-gcm"
	EncryptAES256GCM  Encrypt = "aes256-gcm"
	EncryptAES128CBC  Encrypt = "aes128-cbc"
	EncryptAES256CBC  Encrypt = "aes256-cbc"
)

func (e Encrypt) known() bool {
	return e == EncryptByMetadata || e == EncryptNever || slices.ContainsFunc(contentCiphers, func(c contentCipher) bool { return c.choice == e })
}

// contentCipher encrypts assertions (xmlenc-core1 §5.2).
type contentCipher struct {
	choice    Encrypt
	algorithm string
	keySize   int // bytes
	gcm       bool
}

// contentCiphers are in the order in which they are preferred.
var contentCiphers = []contentCipher{
	{EncryptAES128GCM, "http://www.w3.org/2009/xmlenc11#aes128-gcm", 16, true},
	{EncryptAES256GCM, "http://www.w3.org/2009/xmlenc11#aes256-gcm", 32, true},
	{EncryptAES128CBC, "http://www.w3.org/2001/04/xmlenc#aes128-cbc", 16, false},
	{EncryptAES256CBC, "http://www.w3.org/2001/04/xmlenc#aes256-cbc", 32, false},
}

const (
	// The key transport that the deployment profiles prescribe (SDP-ALG01).
	// Its MGF is fixed to SHA-1, and so is its digest unless a DigestMethod
	// says otherwise, which some do not read.
	algOAEP        = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
	algSHA1        = "http://www.w3.org/2000/09/xmldsig#sha1"
	typeElement    = "http://www.w3.org/2001/04/xmlenc#Element"
	algRSA15       = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
	algOAEP11      = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
	maxEncryptions = 64 // EncryptionMethods that are read of one key
)

// recipient is whom an assertion is encrypted to.
type recipient struct {
	key         *rsa.PublicKey
	certificate *x509.Certificate
	text        string // base64 of its DER
	cipher      contentCipher
}

// addRecipient settles whether and how assertions for sp are encrypted: by a
// key for encryption, else by one without a use (saml-metadata §2.4.1.1).
func (sp *Provider) addRecipient(descriptors []crewjam.KeyDescriptor, choice Encrypt) error {
	if choice == EncryptNever {
		return nil
	}
	for _, use := range []string{"encryption", ""} {
		for _, d := range descriptors {
			if d.Use != use {
				continue
			}
			to, err := newRecipient(d, choice)
			if err != nil {
				return err
			}
			if to != nil {
				sp.recipient = to
				return nil
			}
		}
	}
	if choice != EncryptByMetadata {
		return fmt.Errorf("encrypt is %s, and its metadata has no RSA key for encryption", choice)
	}
	return nil
}

// newRecipient reads the first usable certificate of d; nil when it has none.
// A key without a use may be one that only signs (ECDSA): that is no fault.
func newRecipient(d crewjam.KeyDescriptor, choice Encrypt) (*recipient, error) {
	for _, c := range d.KeyInfo.X509Data.X509Certificates {
		cert, err := readCertificate(c.Data)
		if err != nil {
			return nil, err
		}
		key, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok || key.N.BitLen() < 2048 {
			if d.Use == "encryption" {
				return nil, errors.New("its key for encryption is no RSA key of at least 2048 bits")
			}
			continue
		}
		with, err := chooseCipher(d.EncryptionMethods, choice)
		if err != nil {
			return nil, err
		}
		return &recipient{key, cert, base64.StdEncoding.EncodeToString(cert.Raw), with}, nil
	}
	return nil, nil
}

// chooseCipher honours what the metadata lists (saml-metadata §2.4.1.1): the
// first that we do. A list that offers nothing safe is a fault to be settled
// by the operator, not by us.
func chooseCipher(methods []crewjam.EncryptionMethod, choice Encrypt) (contentCipher, error) {
	methods = methods[:min(len(methods), maxEncryptions)]
	if choice != EncryptByMetadata {
		i := slices.IndexFunc(contentCiphers, func(c contentCipher) bool { return c.choice == choice })
		if i < 0 {
			return contentCipher{}, fmt.Errorf("encrypt %q is unknown", choice)
		}
		return contentCiphers[i], nil
	}
	content, transport := false, false
	oaep := false
	var chosen *contentCipher
	for _, m := range methods {
		switch m.Algorithm {
		case algOAEP:
			oaep = true
		case algRSA15, algOAEP11:
			transport = true
		default:
			content = true
			i := slices.IndexFunc(contentCiphers, func(c contentCipher) bool { return c.gcm && c.algorithm == m.Algorithm })
			if i >= 0 && chosen == nil {
				chosen = &contentCiphers[i]
			}
		}
	}
	switch {
	case transport && !oaep:
		return contentCipher{}, errors.New("its metadata does not list rsa-oaep-mgf1p, the one key transport that we do; ask its owner for it, or set encrypt: never")
	case content && chosen == nil:
		return contentCipher{}, errors.New("its metadata lists no AES-GCM; set encrypt: aes128-cbc or aes256-cbc if it must be, or encrypt: never")
	case chosen == nil:
		return contentCiphers[0], nil
	}
	return *chosen, nil
}

// readCertificate reads one ds:X509Certificate.
func readCertificate(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(withoutSpace(text))
	if err != nil {
		return nil, fmt.Errorf("a certificate is not base64: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("a certificate cannot be read: %w", err)
	}
	return cert, nil
}

var (
	samlEncryptedAssertion = element{nsSAML, "EncryptedAssertion"}
	xencEncryptedData      = element{nsXENC, "EncryptedData"}
	xencEncryptedKey       = element{nsXENC, "EncryptedKey"}
	xencEncryptionMethod   = element{nsXENC, "EncryptionMethod"}
	xencCipherData         = element{nsXENC, "CipherData"}
	xencCipherValue        = element{nsXENC, "CipherValue"}
)

// encrypted writes plain as an EncryptedAssertion for to, with a key of its
// own. The EncryptedKey stands within the EncryptedData's KeyInfo, where every
// provider looks for it.
func (w *canonical) encrypted(plain []byte, to *recipient) error {
	key := make([]byte, to.cipher.keySize)
	rand.Read(key) // never fails
	sealed, err := to.cipher.seal(key, plain)
	if err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, to.key, key, nil)
	if err != nil {
		return fmt.Errorf("encrypt the key: %w", err)
	}
	w.open(samlEncryptedAssertion)
	w.open(xencEncryptedData, attribute{name: "Type", value: typeElement})
	w.leaf(xencEncryptionMethod, "", attribute{name: "Algorithm", value: to.cipher.algorithm})
	w.open(dsKeyInfo)
	w.open(xencEncryptedKey)
	w.open(xencEncryptionMethod, attribute{name: "Algorithm", value: algOAEP})
	w.leaf(dsDigestMethod, "", attribute{name: "Algorithm", value: algSHA1})
	w.close()
	w.certificate(to.text)
	w.cipherData(wrapped)
	w.close()
	w.close()
	w.cipherData(sealed)
	w.close()
	w.close()
	return nil
}

func (w *canonical) cipherData(value []byte) {
	w.open(xencCipherData)
	w.open(xencCipherValue)
	w.buf = base64.StdEncoding.AppendEncode(w.buf, value)
	w.close()
	w.close()
}

// seal encrypts plain as XML Encryption wants it: the nonce or IV in front,
// and behind it for GCM the tag (xmlenc-core1 §5.2.4), for CBC the padding,
// whose last byte says how long it is (§5.2.2).
func (c contentCipher) seal(key, plain []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if c.gcm {
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		return aead.Seal(nil, nil, plain, nil), nil
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	out := make([]byte, aes.BlockSize+len(plain)+padding)
	rand.Read(out[:aes.BlockSize])
	body := out[aes.BlockSize:]
	copy(body, plain)
	rand.Read(body[len(plain):])
	body[len(body)-1] = byte(padding)
	cipher.NewCBCEncrypter(block, out[:aes.BlockSize]).CryptBlocks(body, body)
	return out, nil
}
