package store

import (
	"bytes"
	"errors"
	"testing"
)

func TestAnySealedByteThatChangesIsNoticed(t *testing.T) {
	s, err := newSealer([][]byte{secretA, secretB})
	fatal(t, err)
	sealed := s.seal("secret", "name", []byte("plain"))
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, _, err := s.open("secret", "name", changed); !errors.Is(err, errSealed) {
			t.Errorf("byte %d changed: %v, want it refused", i, err)
		}
		if _, _, err := s.open("secret", "name", sealed[:i]); !errors.Is(err, errSealed) {
			t.Errorf("cut after %d bytes: %v, want it refused", i, err)
		}
	}
	for _, row := range [][2]string{{"secret", "other"}, {"signing key", "name"}, {"secretname", ""}} {
		if _, _, err := s.open(row[0], row[1], sealed); !errors.Is(err, errSealed) {
			t.Errorf("opened as %q: %v, want it refused", row, err)
		}
	}
	if again := s.seal("secret", "name", []byte("plain")); bytes.Equal(again, sealed) {
		t.Error("the same value is sealed to the same bytes twice")
	}
}

// Whatever is in the database, only what was sealed comes out.
func FuzzOpenSealed(f *testing.F) {
	s, err := newSealer([][]byte{secretA})
	fatal(f, err)
	sealed := s.seal("secret", "name", []byte("plain"))
	f.Add(sealed)
	f.Add(sealed[:sealHeader])
	f.Add([]byte{sealVersion})
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, stale, err := s.open("secret", "name", data)
		if err == nil && (string(plain) != "plain" || stale) {
			t.Errorf("open(%x) = %q", data, plain)
		}
	})
}

// Whatever is in the configuration, no password gets into a name or an error.
func FuzzParseURL(f *testing.F) {
	for _, url := range []string{"sqlite:///var/lib/gatehouse/gatehouse.db", "postgres://u:hunter2@h/db", "postgres://u:hunter2@[::1/db", "mysql:hunter2", ""} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, tail string) {
		const password = "pa55word"
		p, err := parseURL("postgres://u:" + password + "@h/" + tail)
		if bytes.Contains([]byte(p.name), []byte(password)) && !bytes.Contains([]byte(tail), []byte(password)) {
			t.Errorf("name %q holds the password", p.name)
		}
		if err != nil && bytes.Contains([]byte(err.Error()), []byte(password)) {
			t.Errorf("error %q holds the password", err)
		}
		if p, err := parseURL(tail); err == nil && p.dialect == onSQLite && p.path == "" {
			t.Errorf("parseURL(%q) is SQLite without a path", tail)
		}
	})
}
