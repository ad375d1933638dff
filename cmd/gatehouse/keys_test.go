package main

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo"
	"gatehouse/saml"
)

// keyroom is an installation whose keys are changed by commands while it runs.
type keyroom struct {
	t     *testing.T
	file  string
	house *house
}

func openKeyroom(t *testing.T) *keyroom {
	t.Helper()
	w, err := demo.Start(demo.Options{Portal: "localhost:8080", AWS: "127.0.0.1:0", LDAP: "127.0.0.1:0", State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if err := os.WriteFile(w.ConfigFile, w.Config, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := w.Load()
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHouse(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.close(t.Context()) })
	return &keyroom{t, w.ConfigFile, h}
}

// keys runs gatehouse keys.
func (r *keyroom) keys(args ...string) (code int, said string) {
	r.t.Helper()
	var out bytes.Buffer
	code = run(r.t.Context(), append(append([]string{"keys"}, args...), "--config", r.file), &out, &out)
	return code, out.String()
}

func (r *keyroom) done(args ...string) string {
	r.t.Helper()
	code, said := r.keys(args...)
	if code != exitDone {
		r.t.Fatalf("gatehouse keys %s ended with %d:\n%s", strings.Join(args, " "), code, said)
	}
	return said
}

// published is what the running replica publishes, once it has looked.
func (r *keyroom) published() int {
	r.t.Helper()
	if err := r.house.readKeys(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return strings.Count(string(r.house.current.Load().idp.Metadata()), "<ds:X509Certificate>")
}

var keyLine = regexp.MustCompile(`(?m)^([0-9a-f]{16}) +(?:RSA-2048|ECDSA P-256) +(signs|published|retired) +\d{4}-\d\d-\d\d +\d{4}-\d\d-\d\d$`)

func TestKeysAreRotatedWhileGatehouseRuns(t *testing.T) {
	t.Parallel()
	r := openKeyroom(t)
	first := keyLine.FindStringSubmatch(r.done("list"))
	if first == nil || first[2] != "signs" || r.published() != 1 {
		t.Fatalf("at first: %q, %d published", first, r.published())
	}
	said := r.done("add")
	second := regexp.MustCompile(`[0-9a-f]{16}`).FindString(said)
	if !strings.Contains(said, "does not sign yet") || r.published() != 2 {
		t.Errorf("added: %d published\n%s", r.published(), said)
	}
	if code, said := r.keys("promote", second); code != exitFailed || !strings.Contains(said, "less than a day") {
		t.Errorf("promoted too early: %d\n%s", code, said)
	}
	r.done("promote", second, "--now")
	if r.published() != 2 {
		t.Errorf("promoted: %d published", r.published())
	}
	response, err := r.house.current.Load().idp.Respond(t.Context(), saml.Assertion{Recipient: "https://x", Audience: "y", NameID: saml.NameID{Value: "z"}, AuthnInstant: time.Now()})
	if err != nil || response.ID == "" {
		t.Error(err)
	}
	if code, said := r.keys("retire", second); code != exitFailed || !strings.Contains(said, "promote another first") {
		t.Errorf("retired what signs: %d\n%s", code, said)
	}
	r.done("retire", first[1][:6])
	list := r.done("list")
	if r.published() != 1 || !regexp.MustCompile(first[1]+` +RSA-2048 +retired`).MatchString(list) || !regexp.MustCompile(second+` +RSA-2048 +signs`).MatchString(list) {
		t.Errorf("in the end: %d published\n%s", r.published(), list)
	}
	events, err := r.house.store.Events(t.Context(), gatehouse.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		if strings.HasPrefix(string(e.Kind), "key.") {
			kinds = append(kinds, string(e.Kind)+" "+e.Reason)
		}
	}
	want := []string{"key.retired " + first[1], "key.promoted " + second, "key.created " + second, "key.created " + first[1]}
	if strings.Join(kinds, "\n") != strings.Join(want, "\n") {
		t.Errorf("on the record:\n%s\nwant\n%s", strings.Join(kinds, "\n"), strings.Join(want, "\n"))
	}
}

func TestAnECDSAKeySignsBesideTheFirst(t *testing.T) {
	t.Parallel()
	r := openKeyroom(t)
	key := regexp.MustCompile(`[0-9a-f]{16}`).FindString(r.done("add", "--ecdsa"))
	if said := r.done("promote", key, "--now"); !strings.Contains(said, key+" signs") || r.published() != 2 {
		t.Errorf("promoted: %d published\n%s", r.published(), said)
	}
	if list := r.done("list"); !regexp.MustCompile(key+` +ECDSA P-256 +signs`).MatchString(list) || strings.Count(list, "signs") != 2 {
		t.Errorf("both should sign:\n%s", list)
	}
	if err := r.house.readKeys(t.Context()); err != nil {
		t.Error(err)
	}
	if r.done("retire", key); r.published() != 1 {
		t.Errorf("retired, since nobody wants it: %d published", r.published())
	}
}

func TestAKeyIsImported(t *testing.T) {
	t.Parallel()
	r := openKeyroom(t)
	k, err := saml.NewSigningKey(time.Now(), "https://elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	for path, block := range map[string]*pem.Block{key: {Type: "PRIVATE KEY", Bytes: k.PrivateKey}, cert: {Type: "CERTIFICATE", Bytes: k.Certificate}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if said := r.done("import", "--key", key, "--cert", cert); !strings.Contains(said, k.ID) || r.published() != 2 {
		t.Errorf("imported: %d published\n%s", r.published(), said)
	}
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"twice":        {[]string{"import", "--key", key, "--cert", cert}, exitFailed, "there already"},
		"half":         {[]string{"import", "--key", key}, exitUsage, "--cert"},
		"no such file": {[]string{"import", "--key", key, "--cert", dir + "/none"}, exitFailed, "no such file"},
		"no key":       {[]string{"import", "--key", cert, "--cert", cert}, exitFailed, "PRIVATE KEY"},
		"an unknown":   {[]string{"retire", "abcdef"}, exitFailed, "no key"},
		"no argument":  {[]string{"promote"}, exitUsage, "wants"},
	} {
		if code, said := r.keys(tt.args...); code != tt.code || !strings.Contains(said, tt.says) || strings.Contains(said, "BEGIN") {
			t.Errorf("%s: %d, want %d and %q:\n%s", name, code, tt.code, tt.says, said)
		}
	}
}
