package signinapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// The example of RFC 7638 is an RSA key; this one is of RFC 9449 §6.1.
func TestThumbprint(t *testing.T) {
	x, y, err := coordinates("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := thumbprint(x, y), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"; got != want {
		t.Errorf("thumbprint %s, want %s", got, want)
	}
}

// signed is a proof whose coordinates have no zeros in front, as the Go SDK
// writes them.
func signed(tb testing.TB, zero bool) string {
	tb.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	for {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		point, _ := key.PublicKey.Bytes()
		if zero != (point[1] == 0) {
			continue
		}
		x := strings.TrimLeft(string(point[1:33]), "\x00")
		message := b64(fmt.Appendf(nil, `{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC","crv":"P-256","x":"%s","y":"%s"}}`, b64([]byte(x)), b64(point[33:]))) + "." +
			b64([]byte(`{"jti":"j","htm":"POST","htu":"https://gw/v1/token","iat":1}`))
		sum := sha256.Sum256([]byte(message))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			tb.Fatal(err)
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return message + "." + b64(signature)
	}
}

func TestAKeyThatBeginsWithZeroIsRead(t *testing.T) {
	if _, _, err := readProof(signed(t, true)); err != nil {
		t.Error(err)
	}
}

// Whatever is taken is signed: with a blank behind its claims it is not.
func FuzzReadProof(f *testing.F) {
	f.Add(signed(f, false))
	f.Add("e30.e30.AA")
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		if _, _, err := readProof(raw); err != nil {
			return
		}
		part := strings.Split(raw, ".")
		claims, err := base64.RawURLEncoding.DecodeString(part[1])
		if err != nil {
			t.Fatal(err)
		}
		part[1] = base64.RawURLEncoding.EncodeToString(append(claims, ' '))
		if _, _, err := readProof(strings.Join(part, ".")); err == nil {
			t.Errorf("taken with other claims than were signed: %q", raw)
		}
	})
}
