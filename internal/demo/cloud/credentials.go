package cloud

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"
)

// Tag is a session tag.
type Tag struct{ Key, Value string }

// identity is an assumed role's session: what a session token holds.
type identity struct {
	AccessKeyID    string
	Partition      string
	Account        string
	Role, Path     string
	SessionName    string
	SourceIdentity string   `json:",omitempty"`
	Tags           []Tag    `json:",omitempty"`
	Transitive     []string `json:",omitempty"`
	Chained        bool     // by AssumeRole with a role's credentials
	Issued         time.Time
	Expires        time.Time
}

// arn is the session's own; the role's path is dropped from it.
func (i *identity) arn() string {
	return "arn:" + i.Partition + ":sts::" + i.Account + ":assumed-role/" + i.Role + "/" + i.SessionName
}

func (i *identity) roleARN() string {
	return "arn:" + i.Partition + ":iam::" + i.Account + ":role" + i.Path + i.Role
}

func (i *identity) userID() string {
	return roleID(i.Partition, i.Account, i.Role) + ":" + i.SessionName
}

// lasts is the session's whole length.
func (i *identity) lasts() time.Duration { return i.Expires.Sub(i.Issued).Round(time.Second) }

// mint gives the session keys.
func (s *Server) mint(i identity) credentialsAnswer {
	i.AccessKeyID = newAccessKeyID()
	return credentialsAnswer{
		AccessKeyID:     i.AccessKeyID,
		SecretAccessKey: s.seal.secretKey(i.AccessKeyID),
		SessionToken:    s.seal.close("session", i),
		Expiration:      i.Expires.UTC().Format(time.RFC3339),
	}
}

func newAccessKeyID() string {
	var b [10]byte
	_, _ = rand.Read(b[:])
	return "ASIA" + base32.StdEncoding.EncodeToString(b[:])
}

// sealer makes tokens that carry what they stand for, and that only the
// server that made them can open.
type sealer struct {
	aead   cipher.AEAD
	secret []byte // secret access keys are derived from it
}

func newSealer() *sealer {
	var key [32]byte
	secret := make([]byte, 32)
	_, _ = rand.Read(key[:])
	_, _ = rand.Read(secret)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // a key of 32 bytes is always accepted
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &sealer{aead, secret}
}

// close seals v for one purpose. The alphabet is that of real session tokens,
// with + and / and =, so that whoever forgets to quote them finds out here.
func (s *sealer) close(purpose string, v any) string {
	plain, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own structs are sealed
	}
	return base64.StdEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(purpose)))
}

func (s *sealer) open(purpose, token string, v any) error {
	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(token) > 64<<10 {
		return errors.New("not a token")
	}
	plain, err := s.aead.Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

// secretKey is the secret that belongs to an access key: 40 characters.
func (s *sealer) secretKey(accessKeyID string) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(accessKeyID))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)[:30])
}
