package saml

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// states is how keys stand, in one line.
func states(keys []gatehouse.SigningKey) string {
	var s []string
	for _, k := range keys {
		s = append(s, string(k.State))
	}
	return strings.Join(s, " ")
}

func TestAKeyIsAddedPromotedAndRetired(t *testing.T) {
	old, next := testKey(), mustKey(noon)
	later := noon.Add(25 * time.Hour)
	keys, err := AddKey([]gatehouse.SigningKey{old}, next)
	if err != nil || states(keys) != "active next" {
		t.Fatalf("added: %q, %v", states(keys), err)
	}
	if got, err := AddKey(keys, next); err == nil {
		t.Errorf("added again: %q", states(got))
	}
	if got, err := PromoteKey(keys, next.ID, noon.Add(23*time.Hour), false); err == nil || !strings.Contains(err.Error(), "less than a day") {
		t.Errorf("promoted before anybody knows it: %q, %v", states(got), err)
	}
	if got, err := PromoteKey(keys, next.ID, noon, true); err != nil || states(got) != "next active" {
		t.Errorf("forced: %q, %v", states(got), err)
	}
	promoted, err := PromoteKey(keys, strings.ToUpper(next.ID[:6]), later, false)
	if err != nil || states(promoted) != "next active" || states(keys) != "active next" {
		t.Fatalf("promoted: %q, %v; before %q", states(promoted), err, states(keys))
	}
	if back, err := PromoteKey(promoted, old.ID, later, false); err != nil || states(back) != "active next" {
		t.Errorf("taken back: %q, %v", states(back), err)
	}
	retired, err := RetireKey(promoted, old.ID, false)
	if err != nil || states(retired) != "retired active" {
		t.Fatalf("retired: %q, %v", states(retired), err)
	}
	for name, try := range map[string]func() ([]gatehouse.SigningKey, error){
		"promoting what signs":   func() ([]gatehouse.SigningKey, error) { return PromoteKey(retired, next.ID, later, true) },
		"promoting what is gone": func() ([]gatehouse.SigningKey, error) { return PromoteKey(retired, old.ID, later, true) },
		"retiring what signs":    func() ([]gatehouse.SigningKey, error) { return RetireKey(retired, next.ID, false) },
		"retiring twice":         func() ([]gatehouse.SigningKey, error) { return RetireKey(retired, old.ID, false) },
		"an unknown key":         func() ([]gatehouse.SigningKey, error) { return RetireKey(retired, "ffffffffffffffff", false) },
		"no key":                 func() ([]gatehouse.SigningKey, error) { return RetireKey(retired, "", false) },
		"a beginning that two have": func() ([]gatehouse.SigningKey, error) {
			a, b := old, next
			a.ID, b.ID = "ab1", "ab2"
			return RetireKey([]gatehouse.SigningKey{a, b}, "ab", false)
		},
	} {
		if got, err := try(); err == nil {
			t.Errorf("%s: %q", name, states(got))
		}
	}
}

func TestSigningKeysAreReadFromPEM(t *testing.T) {
	k := testKey()
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k.PrivateKey})
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate})
	other := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: mustKey(noon).Certificate})
	for name, pair := range map[string][2][]byte{"two files": {key, cert}, "one file": {append(cert, key...), append(cert, key...)}} {
		if got, err := ReadSigningKey(pair[0], pair[1], noon); err != nil || got.ID != k.ID || got.State != gatehouse.KeyNext || !bytes.Equal(got.PrivateKey, k.PrivateKey) {
			t.Errorf("%s: %+v, %v", name, got.ID, err)
		}
	}
	for name, pair := range map[string][2][]byte{
		"nothing": {nil, nil}, "no key": {cert, cert}, "no certificate": {key, key}, "another's certificate": {key, other},
		"an encrypted key": {pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: k.PrivateKey}), cert},
		"rubbish":          {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), cert},
		"a broken PKCS #1": {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x")}), cert},
	} {
		if got, err := ReadSigningKey(pair[0], pair[1], noon); err == nil {
			t.Errorf("%s: %+v", name, got.ID)
		}
	}
}
