package kerberos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"

	"gatehouse"
)

func TestWhatCheckFinds(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("\x05\x02\x00\x00\x00\x20secret bytes of another file!"), 0o600); err != nil {
		t.Fatal(err)
	}
	weak := corpKey
	weak.kind = etypeID.RC4_HMAC
	other := corpKey
	other.principal = "HTTP/wiki.corp.example.com"
	unnumbered := corpKey
	unnumbered.version = 0
	office := []string{"10.0.0.0/8"}
	const failure, warning, ok = gatehouse.FindingFailure, gatehouse.FindingWarning, gatehouse.FindingOK
	tests := []struct {
		name     string
		path     string
		networks []string
		state    gatehouse.FindingState // of the last finding
		says     string
	}{
		{"a keytab that is not there", filepath.Join(t.TempDir(), "no.keytab"), office, failure, "no such file"},
		{"a folder", t.TempDir(), office, failure, "is not a file"},
		{"a keytab that everybody may read", file(t, 0o644, corpKey), office, failure, "open to everybody"},
		{"a file that is no keytab", garbage, office, failure, "is not a keytab"},
		{"an empty keytab", file(t, 0o600), office, failure, "is not a keytab"},
		{"a keytab with RC4 alone", file(t, 0o600, weak), office, failure, "it has " + service + "@" + corp + " version 3 key type 23"},
		{"a keytab of another service", file(t, 0o600, other), office, failure, "it has HTTP/wiki.corp.example.com@" + corp},
		{"no network", file(t, 0o600, corpKey), nil, warning, "windows.networks is empty"},
		{"a key without a version", file(t, 0o600, unnumbered), office, warning, "version 0"},
		{"a good keytab of a group's", file(t, 0o640, corpKey, weak), office, ok, service + "@" + corp + " version 3 aes256-cts-hmac-sha1-96"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{KeytabFile: tt.path, Networks: tt.networks}
			cfg.SetDefaults("https://aws.corp.example.com", []string{"corp"})
			list := Check(t.Context(), cfg)
			if len(list) == 0 {
				t.Fatal("nothing found")
			}
			last := list[len(list)-1]
			if last.State != tt.state || !strings.Contains(last.Detail, tt.says) || (last.Fix == "") != (tt.state == ok) {
				t.Errorf("found %+v, want %s that says %q", last, tt.state, tt.says)
			}
			if strings.Contains(last.Detail, "secret bytes") {
				t.Errorf("the file's bytes are shown: %s", last.Detail)
			}
		})
	}
	if list := Check(t.Context(), Config{}); list != nil {
		t.Errorf("found %v where nothing is configured", list)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want []string
	}{
		{"nothing configured, nothing wrong", Config{}, nil},
		{"all that is needed", Config{KeytabFile: "k", Directory: "corp"}, nil},
		{"no keytab", Config{Networks: []string{"10.0.0.0/8"}, Directory: "corp"}, []string{"keytab_file"}},
		{"no such network", Config{KeytabFile: "k", Directory: "corp", Networks: []string{"10.0.0.0/8", "office", "10.0.0.0/99", "::1"}}, []string{"networks[1]", "networks[2]"}},
		{"several directories and none named", Config{KeytabFile: "k"}, []string{"directory"}},
		{"no such directory", Config{KeytabFile: "k", Directory: "lab", Realms: map[string]string{"A": "corp", "B": "lab"}}, []string{"directory", "realms.B"}},
		{"a service with a realm", Config{KeytabFile: "k", Directory: "corp", ServicePrincipal: "HTTP/a@B"}, []string{"service_principal"}},
		{"a service without a host", Config{KeytabFile: "k", Directory: "corp", ServicePrincipal: "HTTP"}, []string{"service_principal"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			directories := []string{"corp", "partners"}
			tt.cfg.SetDefaults("https://AWS.corp.example.com:8443", directories)
			var got []string
			for _, f := range tt.cfg.Validate(directories) {
				got = append(got, f.Key)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	c := Config{KeytabFile: "k"}
	c.SetDefaults("https://AWS.corp.example.com:8443", []string{"corp"})
	if c.ServicePrincipal != service || c.Directory != "corp" {
		t.Errorf("defaults %+v", c)
	}
}
