package signinapi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/internal/delegate"
)

// A proof is a JWT that the program makes for one request, with a key that
// never leaves it (RFC 9449). The key comes with the proof; what counts is
// that it is the one that the sign-in began with.

// skew is how far the program's clock may be off (RFC 9449 §11.1).
const skew = 5 * time.Minute

// longestProof is many times what a proof with a P-256 key takes.
const longestProof = 4096

type proof struct {
	Header struct {
		Typ string `json:"typ"`
		Alg string `json:"alg"`
		JWK struct {
			Kty string `json:"kty"`
			Crv string `json:"crv"`
			X   string `json:"x"`
			Y   string `json:"y"`
			D   string `json:"d"` // a private key has no business here
		} `json:"jwk"`
	}
	Payload struct {
		ID     string `json:"jti"`
		Method string `json:"htm"`
		URL    string `json:"htu"`
		At     int64  `json:"iat"`
	}
}

func bad(why string) error {
	return &delegate.Refusal{Code: "invalid_dpop_proof", Why: "DPoP: " + why}
}

// prove checks the request's proof (RFC 9449 §4.3) and returns the thumbprint
// of its key.
func (d *Door) prove(r *http.Request) (string, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) != 1 || len(headers[0]) > longestProof {
		return "", bad("want one header")
	}
	p, thumb, err := readProof(headers[0])
	if err != nil {
		return "", errors.Join(bad("this is no proof"), err)
	}
	at := time.Unix(p.Payload.At, 0)
	switch now := d.now(); {
	case p.Payload.Method != http.MethodPost || !samePlace(p.Payload.URL, d.cfg.PublicURL+"/v1/token"):
		return "", bad("the proof is for another request than POST " + d.cfg.PublicURL + "/v1/token")
	case at.Before(now.Add(-skew)) || at.After(now.Add(skew)):
		return "", bad("the proof is not of this time; look at the clock of this computer")
	case p.Payload.ID == "" || len(p.Payload.ID) > 128:
		return "", bad("the proof has no jti")
	}
	first, err := d.seen.Once(r.Context(), "dpop "+thumb+" "+p.Payload.ID, at.Add(skew))
	if err != nil {
		return "", err
	}
	if !first {
		return "", bad("the proof was used before")
	}
	return thumb, nil
}

// samePlace compares addresses without query and fragment (RFC 9449 §4.3, 9).
func samePlace(got, want string) bool {
	g, err := url.Parse(got)
	if err != nil {
		return false
	}
	w, err := url.Parse(want)
	return err == nil && strings.EqualFold(g.Scheme, w.Scheme) && strings.EqualFold(g.Host, w.Host) && g.Path == w.Path
}

// readProof reads a proof and verifies its signature by its own key.
func readProof(raw string) (p proof, thumb string, err error) {
	part := strings.Split(raw, ".")
	if len(part) != 3 {
		return p, "", errors.New("want three parts")
	}
	if err := decode(part[0], &p.Header); err != nil {
		return p, "", fmt.Errorf("header: %w", err)
	}
	if err := decode(part[1], &p.Payload); err != nil {
		return p, "", fmt.Errorf("payload: %w", err)
	}
	h := p.Header
	if h.Typ != "dpop+jwt" || h.Alg != "ES256" || h.JWK.Kty != "EC" || h.JWK.Crv != "P-256" || h.JWK.D != "" {
		return p, "", errors.New("want typ dpop+jwt, alg ES256 and a public key on P-256")
	}
	x, y, err := coordinates(h.JWK.X, h.JWK.Y)
	if err != nil {
		return p, "", err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return p, "", err
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(part[2])
	if err != nil || len(signature) != 64 {
		return p, "", errors.New("want a signature of 64 bytes")
	}
	sum := sha256.Sum256([]byte(part[0] + "." + part[1]))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return p, "", errors.New("the signature is not by its key")
	}
	return p, thumbprint(x, y), nil
}

func decode(part string, into any) error {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value")
	}
	return nil
}

// coordinates are 32 bytes each. The Go SDK leaves zeros in front out, which
// RFC 7518 §6.2.1.2 forbids and one key in 128 has.
func coordinates(x64, y64 string) (x, y []byte, err error) {
	for _, c := range []struct {
		text string
		into *[]byte
	}{{x64, &x}, {y64, &y}} {
		b, err := base64.RawURLEncoding.Strict().DecodeString(c.text)
		if err != nil || len(b) == 0 || len(b) > 32 {
			return nil, nil, errors.New("want coordinates of 32 bytes")
		}
		*c.into = append(make([]byte, 32-len(b)), b...)
	}
	return x, y, nil
}

// thumbprint is the key's own (RFC 7638).
func thumbprint(x, y []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + b64(x) + `","y":"` + b64(y) + `"}`))
	return b64(sum[:])
}
