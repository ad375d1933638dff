package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// least is a file that is good and says as little as it may.
const least = `public_url: http://localhost:8080
store: sqlite:///tmp/gatehouse.db
secret_files: [secret.key]
directories:
  - {name: corp, type: openldap, urls: ["ldaps://dc1.example.com"], base_dn: "DC=corp", bind_dn: "CN=gatehouse,DC=corp", bind_password_file: bind.pw}
`

// folder is a folder with the files that configurations of these tests name.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := pair(t)
	another, _ := pair(t)
	for name, file := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"secret.key": {strings.Repeat("s", 32), 0o600}, "bind.pw": {"correct horse\n", 0o640}, "good.pw": {"x", 0o600},
		"open.key": {strings.Repeat("s", 32), 0o644}, "empty.key": {"\n", 0o600},
		"accounts.csv": {"id,name\n777788889999,Web shop\n", 0o644}, "wiki.xml": {metadata, 0o644},
		"tls.crt": {cert, 0o644}, "tls.key": {key, 0o640}, "open.tls.key": {key, 0o644}, "other.crt": {another, 0o644}, "corp-ca.pem": {cert, 0o644},
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(file.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// metadata is a service provider's.
const metadata = `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://wiki.example.com/sp">
<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<AssertionConsumerService index="0" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://wiki.example.com/acs"/>
</SPSSODescriptor></EntityDescriptor>`

// pair is a certificate and its key, PEM.
func pair(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"aws.corp.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// parse reads text as dir's gatehouse.yaml.
func parse(dir, text string) (*Config, error) {
	return Parse(filepath.Join(dir, "gatehouse.yaml"), []byte(text))
}

// faultsIn are the lines of the error, without the file's name.
func faultsIn(t testing.TB, err error) []string {
	t.Helper()
	var f *Faults
	if !errors.As(err, &f) {
		t.Fatalf("error = %v (%T), want *Faults", err, err)
	}
	var lines []string
	for _, fault := range f.Faults {
		lines = append(lines, fmt.Sprintf("%d: %s %s", fault.Line, fault.Key, fault.What))
	}
	return lines
}

func TestALotOfFaultsAreReportedAtOnceInTheOrderOfTheFile(t *testing.T) {
	dir := folder(t)
	text, err := os.ReadFile("testdata/faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = parse(dir, string(text))
	if err == nil {
		t.Fatal("a file full of faults was accepted")
	}
	got := strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
	const golden = "testdata/faults.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestFaultsAreTheSameEveryTime(t *testing.T) {
	dir := folder(t)
	text, err := os.ReadFile("testdata/faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, first := parse(dir, string(text))
	for range 20 {
		if _, again := parse(dir, string(text)); again.Error() != first.Error() {
			t.Fatalf("two readings differ:\n%s", cmp.Diff(first.Error(), again.Error()))
		}
	}
}

func TestOneFault(t *testing.T) {
	t.Setenv("GATEHOUSE_TEST_EMPTY", "")
	tests := []struct {
		name string
		add  string // to a file that is good
		want []string
	}{
		{"an unknown key is refused", "colour: blue\n", []string{"6: colour is not a key of Gatehouse's"}},
		{"a key with another spelling is named", "trustedProxies: []\n", []string{"6: trustedProxies is not a key of Gatehouse's; did you mean trusted_proxies?"}},
		{"a key given twice is one fault, not the end", "listen: ':1'\nlisten: ':2'\n", []string{"7: listen is given twice"}},
		{"a key given twice in flow style", "portal: {name: A, name: B}\n", []string{"6: portal.name is given twice"}},
		{"an account given twice", "aws:\n  accounts:\n    \"111122223333\": {name: A}\n    111122223333: {name: B}\n", []string{"9: aws.accounts.111122223333 is given twice"}},
		{"a list where a text belongs", "listen: [':1']\n", []string{"6: listen must be a text"}},
		{"a text where a list belongs", "trusted_proxies: 10.0.0.0/8\n", []string{"6: trusted_proxies must be a list"}},
		{"a text where a mapping belongs", "session: 1h\n", []string{"6: session must be a mapping of keys to values"}},
		{"a word where a number belongs", "throttle: {failures: four}\n", []string{"6: throttle.failures must be a whole number"}},
		{"a fraction where a whole number belongs", "throttle: {failures: 4.5}\n", []string{"6: throttle.failures must be a whole number"}},
		{"a number that is too large", "throttle: {failures: 99999999999999999999}\n", []string{"6: throttle.failures must be a whole number"}},
		{"a number alone is no duration", "session:\n  idle: 90\n", []string{`7: session.idle "90" is not a duration such as 90s, 15m or 4h`}},
		{"a duration in days", "session: {max: 1d}\n", []string{`6: session.max "1d" is not a duration such as 90s, 15m or 4h`}},
		{"zero, where it has no meaning", "throttle: {failures: 0, window: 0s}\n", []string{"6: throttle.failures must not be 0; leave it out for its default, 4", "6: throttle.window must not be 0s; leave it out for its default, 30m0s"}},
		{"no text, where there has to be one", "portal: {name: ''}\n", []string{"6: portal.name must not be empty; leave it out for its default, Gatehouse"}},
		{"zero, where it has a meaning", "portal: {password_notice: 0s}\ndrain_delay: 0s\n", nil},
		{"a negative duration", "session: {max: -1h}\n", []string{`6: session.max "-1h" is not a duration such as 90s, 15m or 4h`}},
		{"an alias", "portal: &files {name: A}\nsession: *files\n", []string{"7: session is an alias (*files), which is not read here: write the value out"}},
		{"a merge key", "portal:\n  <<: {name: Other}\n", []string{"7: portal.<< merges another mapping, which is not done here: write the keys out"}},
		{"an environment variable that is not set", "portal: {name: '${GATEHOUSE_TEST_UNSET}'}\n", []string{"6: portal.name needs the environment variable GATEHOUSE_TEST_UNSET, which is not set"}},
		{"what follows from a lost value is not reported too", "access: {rules: [{groups: [CN=Staff], roles: 'arn:aws:iam::111122223333:role/Dev'}]}\n", []string{"6: access.rules[0].roles must be a list"}},
		{"an environment variable that is empty is a value", "portal: {notice: '${GATEHOUSE_TEST_EMPTY}'}\n", nil},
		{"an application that there is not", "access: {rules: [{groups: ['CN=Staff,DC=corp'], service_provider: Wiki}]}\n", []string{`6: access.rules[0].service_provider "Wiki" is not among saml.service_providers`}},
		{"an application whose metadata may yet come", "saml: {metadata_dir: .}\naccess: {rules: [{groups: ['CN=Staff,DC=corp'], service_provider: Wiki}]}\n", nil},
		{"an application that no file of the folder can describe", "saml: {metadata_dir: .}\naccess: {rules: [{groups: ['CN=Staff,DC=corp'], service_provider: ../Wiki}]}\n", []string{`7: access.rules[0].service_provider "../Wiki" is not among saml.service_providers`}},
		{"a null is as if left out", "portal: {name: ~}\nlisten:\n", nil},
		{"an anchor that nobody uses", "portal: &p {name: A}\n", nil},
	}
	dir := folder(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(dir, least+tt.add)
			if tt.want == nil {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, faultsIn(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFileThatCannotBeReadIsOneFault(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", "0:  is empty; deploy/gatehouse.yaml shows every key"},
		{"only a comment", "# later\n", "0:  is empty; deploy/gatehouse.yaml shows every key"},
		{"only a separator", "---\n", "0:  is empty; deploy/gatehouse.yaml shows every key"},
		{"a null", "~\n", "0:  is empty; deploy/gatehouse.yaml shows every key"},
		{"a word", "hello\n", "1:  must be a mapping of keys to values"},
		{"two documents", least + "---\nlisten: ':1'\n", "7:  begins a second YAML document here; keep one"},
		{"a tab", "session:\n\tidle: 1h\n", "2:  is not YAML: found character '\t' that cannot start any token"},
		{"a bracket left open", "session: {idle: 1h\nlisten: x\n", "2:  is not YAML: ',' or '}' must be specified"},
		{"Latin-1", "portal:\n  name: Z\xfcrich\n", "2:  is not UTF-8"},
		{"UTF-16", "l\x00i\x00s\x00", "1:  holds a control character"},
		{"a NUL", "a: 1\nlisten: a\x00b\n", "2:  holds a control character"},
		{"a line of brackets", strings.Repeat("[", 1<<17), "1:  has a line of more than 16384 bytes"},
		{"brackets on many lines", strings.Repeat("[\n", 1<<16), "101:  opens more than 100 brackets that it does not close"},
		{"a quarter of a megabyte of dashes", strings.Repeat(strings.Repeat("- ", 500)+"\n", 250), "1:  begins with more than 100 dashes"},
		{"more than a quarter of a megabyte", "#" + strings.Repeat("\n", 1<<18), "1:  is larger than 262144 bytes; hundreds of accounts belong into aws.accounts_file"},
	}
	dir := folder(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(dir, tt.text)
			if diff := cmp.Diff([]string{tt.want}, faultsIn(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGarbageIsOneFault(t *testing.T) {
	garbage := make([]byte, 1<<17)
	seed := uint32(1)
	for i := range garbage {
		seed = seed*1664525 + 1013904223
		garbage[i] = byte(seed >> 24)
	}
	if _, err := parse(t.TempDir(), string(garbage)); len(faultsIn(t, err)) != 1 {
		t.Errorf("faults = %v, want one", err)
	}
}

func TestSecretsComeFromFilesThatAreNotEverybodys(t *testing.T) {
	dir := folder(t)
	with := func(from, to string) string { return strings.Replace(least, from, to, 1) }
	tests := []struct{ name, text, want string }{
		{"missing", with("bind.pw", "no.pw"), "5: directories[0].bind_password_file cannot be read: stat DIR/no.pw: no such file or directory"},
		{"empty", with("bind.pw", "empty.key"), "5: directories[0].bind_password_file DIR/empty.key is empty"},
		{"world-readable", with("bind.pw", "open.key"), "5: directories[0].bind_password_file DIR/open.key is open to everybody on the machine"},
		{"a folder", with("bind.pw", "."), "5: directories[0].bind_password_file DIR is not a file"},
		{"a device without an end", with("bind.pw", "/dev/zero"), "5: directories[0].bind_password_file /dev/zero is not a file"},
		{"both ways", with("bind_password_file", "bind_password: x, bind_password_file"), "5: directories[0].bind_password_file and bind_password are both given: keep one"},
		{"a sealing secret is missing", with("secret.key", "no.key"), "3: secret_files[0] cannot be read: stat DIR/no.key: no such file or directory"},
		{"a sealing secret is everybody's", with("secret.key", "open.key"), "3: secret_files[0] DIR/open.key is open to everybody on the machine"},
		{"there is no sealing secret", with("secret_files: [secret.key]", "secret_files: []"),
			"3: secret_files is missing; name a file of at least 32 random bytes (head -c 32 /dev/urandom > secret.key)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(dir, tt.text)
			got := faultsIn(t, err)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], dir, "DIR")
			}
			if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOneWrongValueIsOneFault(t *testing.T) {
	dir := folder(t)
	swap := func(from, to string) string { return strings.Replace(least, from, to, 1) }
	rule := "aws: {region: eu-west-1, accounts: {\"111122223333\": {name: A}}}\naccess: {rules: [{directory: corp, groups: ['CN=Staff,DC=corp'], roles: ['arn:aws:iam::111122223333:role/Dev']}]}\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"a type that there is not", swap("type: openldap", "type: foo"), []string{"5: directories[0].type"}},
		{"a base that is no DN", swap("base_dn: \"DC=corp\"", "base_dn: xyz"), []string{"5: directories[0].base_dn"}},
		{"both", strings.Replace(swap("type: openldap", "type: foo"), "base_dn: \"DC=corp\"", "base_dn: xyz", 1), []string{"5: directories[0].base_dn", "5: directories[0].type"}},
		{"a type and a filter of one's own, each with its fault", swap("type: openldap", "type: foo, user_filter: (uid=jdoe)"), []string{"5: directories[0].type", "5: directories[0].user_filter"}},
		{"a base and a place for people, each with its fault", swap("base_dn: \"DC=corp\"", "base_dn: xyz, user_base_dn: abc"), []string{"5: directories[0].base_dn", "5: directories[0].user_base_dn"}},
		{"a type that is a list, and a site", swap("type: openldap, urls: [\"ldaps://dc1.example.com\"]", "type: [active_directory], domain: corp.example.com, site: Frankfurt"), []string{"5: directories[0].type"}},
		{"a domain that is a list", swap("urls: [\"ldaps://dc1.example.com\"]", "domain: [corp.example.com]"), []string{"5: directories[0].domain"}},
		{"an address that is none", swap("http://localhost:8080", "aws.corp.example.com") + "windows: {networks: [10.0.0.0/8]}\n", []string{"1: public_url", "6: windows.keytab_file"}},
		{"an address with a blank", swap("http://localhost:8080", "https://aws corp"), []string{"1: public_url"}},
		{"a directory without a name that can be one", swap("name: corp", "name: [corp]") + rule, []string{"5: directories[0].name"}},
		{"directories that are none", "public_url: http://localhost:8080\nstore: sqlite:///tmp/gatehouse.db\nsecret_files: [secret.key]\ndirectories: corp\n" + rule, []string{"4: directories"}},
		{"accounts that are a list", least + strings.Replace(rule, "{\"111122223333\": {name: A}}", "[\"111122223333\"]", 1), []string{"6: aws.accounts"}},
		{"a region that is a list", least + strings.Replace(rule, "eu-west-1", "[eu-west-1]", 1), []string{"6: aws.region"}},
		{"applications that are none", least + strings.Replace(rule, "roles: ['arn:aws:iam::111122223333:role/Dev']", "service_provider: Wiki", 1) + "saml: {service_providers: Wiki}\n", []string{"8: saml.service_providers"}},
		{"a longest session in days", least + "session: {max: 2d, idle: 20h}\n", []string{"6: session.max"}},
		{"a rule of another directory, another account and another application", least + strings.NewReplacer("directory: corp", "directory: lab", "role/Dev']", "role/Dev', 'arn:aws:iam::444455556666:role/Dev']").Replace(rule), []string{"7: access.rules[0].directory", "7: access.rules[0].roles[1]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(dir, tt.text)
			got := faultsIn(t, err)
			for i, line := range got {
				got[i] = strings.Join(strings.Fields(line)[:2], " ")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

func TestFilesThatAreNamedAreLookedAtWithTheRest(t *testing.T) {
	dir := folder(t)
	for name, text := range map[string]string{"sp/broken.xml": "<a/>", "twice/wiki.xml": metadata, "twice/other.xml": metadata, "garbage.keytab": "garbage"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	directory := func(keys string) string { return strings.Replace(least, "bind.pw}", "bind.pw, "+keys+"}", 1) }
	const missing = ": no such file or directory; put it there, or correct the path"
	tests := []struct {
		name, text string
		want       []string // file:line: key what; fix
	}{
		{"all are well", directory("ca_file: corp-ca.pem, cert_file: tls.crt, key_file: tls.key") + "tls: {cert_file: tls.crt, key_file: tls.key}\nsaml: {metadata_dir: sp2, service_providers: [{name: Wiki, metadata_file: wiki.xml}]}\naudit: {file: audit.jsonl}\n", nil},
		{"the web certificate", least + "tls:\n  cert_file: no.crt\n  key_file: no.key\n", []string{"7: tls.cert_file cannot be read: stat DIR/no.crt" + missing, "8: tls.key_file cannot be read: stat DIR/no.key" + missing}},
		{"a certificate that is none", least + "tls: {cert_file: bind.pw, key_file: tls.key}\n", []string{"6: tls.cert_file DIR/bind.pw holds no PEM certificate; put one there: it begins with -----BEGIN CERTIFICATE-----"}},
		{"the key of another certificate", least + "tls: {cert_file: other.crt, key_file: tls.key}\n", []string{"6: tls.key_file DIR/tls.key is no key for cert_file: tls: private key does not match public key; put a PEM certificate and its own key there, the leaf first"}},
		{"a key that is everybody's", least + "tls: {cert_file: tls.crt, key_file: open.tls.key}\n", []string{"6: tls.key_file DIR/open.tls.key is open to everybody on the machine; chmod o-rwx DIR/open.tls.key"}},
		{"a directory's authorities", directory("ca_file: no.pem"), []string{"5: directories[0].ca_file cannot be read: stat DIR/no.pem" + missing}},
		{"a device without an end", directory("ca_file: /dev/zero"), []string{"5: directories[0].ca_file /dev/zero is not a file; correct the path"}},
		{"a directory's client certificate", directory("cert_file: no.crt, key_file: open.tls.key"), []string{"5: directories[0].cert_file cannot be read: stat DIR/no.crt" + missing,
			"5: directories[0].key_file DIR/open.tls.key is open to everybody on the machine; chmod o-rwx DIR/open.tls.key"}},
		{"AWS's authorities and accounts", least + "aws: {region: eu-west-1, ca_file: no.pem, accounts_file: no.csv}\n", []string{"6: aws.accounts_file cannot be read: stat DIR/no.csv" + missing, "6: aws.ca_file cannot be read: stat DIR/no.pem" + missing}},
		{"a logo", least + "portal: {logo_file: no.svg}\n", []string{"6: portal.logo_file cannot be read: stat DIR/no.svg" + missing}},
		{"an application's metadata", least + "saml:\n  service_providers:\n    - name: Wiki\n      metadata_file: no.xml\n", []string{"9: saml.service_providers[0].metadata_file cannot be read: stat DIR/no.xml" + missing}},
		{"whom it must be signed by", least + "saml: {service_providers: [{name: Wiki, metadata_file: wiki.xml, metadata_cert_file: no.pem}]}\n", []string{"6: saml.service_providers[0].metadata_cert_file cannot be read: stat DIR/no.pem" + missing}},
		{"metadata that nobody has signed", least + "saml: {service_providers: [{name: Wiki, metadata_file: wiki.xml, metadata_cert_file: tls.crt}]}\n",
			[]string{"6: saml.service_providers[0].metadata_file DIR/wiki.xml cannot be used: it is not signed, and DIR/tls.crt says that it must be; ask whoever runs the application for its metadata, or take it out"}},
		{"a folder of metadata that is not there", least + "saml: {metadata_dir: no}\n", []string{"6: saml.metadata_dir cannot be read: open DIR/no" + missing}},
		{"a document of the folder", least + "saml: {metadata_dir: sp}\n",
			[]string{"6: saml.metadata_dir DIR/sp/broken.xml cannot be used: not metadata: expected element type <EntityDescriptor> but have <a>; ask whoever runs the application for its metadata, or take it out"}},
		{"an application that is there twice", least + "saml: {metadata_dir: twice}\n",
			[]string{"6: saml.metadata_dir DIR/twice/wiki.xml cannot be used: another provider has the same name or the entity ID https://wiki.example.com/sp; ask whoever runs the application for its metadata, or take it out"}},
		{"a keytab", least + "windows: {keytab_file: no.keytab, networks: [10.0.0.0/8]}\n", []string{"6: windows.keytab_file cannot be read: stat DIR/no.keytab: no such file or directory; put a keytab there that Gatehouse, and nobody else, may read"}},
		{"a keytab that is none", least + "windows: {keytab_file: garbage.keytab, networks: [10.0.0.0/8]}\n", []string{"6: windows.keytab_file DIR/garbage.keytab is not a keytab; put a keytab there that Gatehouse, and nobody else, may read"}},
		{"the audit file's folder", least + "audit:\n  file: no/audit.jsonl\n", []string{"7: audit.file cannot be written: DIR/no: no such file or directory; make the folder: install -d -m 0750 -o gatehouse DIR/no; or leave the key out, since the store has the record"}},
		{"an audit file that is a folder", least + "audit: {file: .}\n", []string{"6: audit.file cannot be written: DIR is a folder; name a file, a FIFO or a device that can be written"}},
	}
	if err := os.Mkdir(filepath.Join(dir, "sp2"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(dir, tt.text)
			var got []string
			if err != nil {
				got = strings.Split(strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir+"/gatehouse.yaml:", ""), dir, "DIR"), "\n")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "audit.jsonl")); err == nil {
		t.Error("to look at the configuration has made the audit file")
	}
}

// What takes somebody's sign-ins away must work while an application's
// metadata has expired.
func TestReadLeavesOthersFilesAlone(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "gatehouse.yaml")
	for text, good := range map[string]bool{"saml: {metadata_dir: no}\n": true, "session: {idle: 1d}\n": false} {
		if err := os.WriteFile(file, []byte(least+text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestValuesArriveAsTheyWereMeant(t *testing.T) {
	dir := folder(t)
	t.Setenv("GATEHOUSE_TEST_PASSWORD", "pass: word #1")
	c, err := parse(dir, `public_url: https://aws.corp.example.com
store: sqlite:///tmp/gatehouse.db
secret_files: [secret.key]
directories:
  - {name: corp, type: openldap, urls: ["ldaps://a"], base_dn: DC=a, bind_dn: CN=g, bind_password_file: bind.pw, ca_file: ./corp-ca.pem}
  - {name: lab, type: openldap, urls: ["ldaps://b"], base_dn: DC=b, bind_dn: CN=g, bind_password: "${GATEHOUSE_TEST_PASSWORD}", ca_file: `+dir+`/tls.crt}
aws:
  region: eu-west-1
  accounts:
    012345678901: {name: A decimal with a zero}
    000000000017: {name: 0123}
    "111122223333": {name: Quoted, owner: no}
session: {idle: 1h30m, max: 2h}
audit: {file: audit.jsonl}
`)
	if err != nil {
		t.Fatal(err)
	}
	var accounts []string
	for _, a := range c.Accounts {
		accounts = append(accounts, a.ID+" "+a.Name+" "+a.Owner)
	}
	slices.Sort(accounts)
	for _, check := range []struct{ what, got, want string }{
		{"account numbers", strings.Join(accounts, "|"), "000000000017 0123 |012345678901 A decimal with a zero |111122223333 Quoted no"},
		{"a password without the line's end", string(c.Directories[0].BindPassword), "correct horse"},
		{"a password from the environment", string(c.Directories[1].BindPassword), "pass: word #1"},
		{"a relative path", c.Directories[0].CAFile, filepath.Join(dir, "corp-ca.pem")},
		{"an absolute path", c.Directories[1].CAFile, filepath.Join(dir, "tls.crt")},
		{"a path in a list", c.Store.SecretFiles[0], filepath.Join(dir, "secret.key")},
		{"a path named file alone", c.Audit.File, filepath.Join(dir, "audit.jsonl")},
		{"the sealing secret", string(c.Secrets[0]), strings.Repeat("s", 32)},
		{"a duration", c.Web.Session.Idle.String(), "1h30m0s"},
		{"the entity ID by default", c.SAML.EntityID, "https://aws.corp.example.com/saml/metadata"},
	} {
		if check.got != check.want {
			t.Errorf("%s = %q, want %q", check.what, check.got, check.want)
		}
	}
}

// A file written on Windows has other line ends and may begin with a mark.
func TestLineEndsAndByteOrderMarksDoNotMatter(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(least, "\n", "\r\n")
	if _, err := parse(folder(t), text); err != nil {
		t.Error(err)
	}
}

func TestTheSampleOfTheContractLoads(t *testing.T) {
	text, err := os.ReadFile("testdata/product.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	c, err := parse(dir, strings.ReplaceAll(strings.ReplaceAll(string(text), "/var/log/gatehouse", dir), "sp/wiki.xml", "wiki.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Accounts) != 3 || c.Policy == nil || len(c.Access.Access.Rules) != 3 {
		t.Errorf("accounts %v, %d rules, policy %v", c.Accounts, len(c.Access.Access.Rules), c.Policy)
	}
	if !slices.Contains(c.Directories[0].Attributes, "department") {
		t.Errorf("attributes asked of the directory = %q, want those that rules refer to", c.Directories[0].Attributes)
	}
}

func TestLoadNamesAFileThatIsNotThere(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "no.yaml"))
	if got := faultsIn(t, err); len(got) != 1 || !strings.Contains(got[0], "cannot be read: open") {
		t.Errorf("faults = %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"testdata/product.yaml", "testdata/faults.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(least))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? [a]\n: !!binary x\n<<: *b\n"))
	dir := folder(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		hung := time.AfterFunc(10*time.Second, func() { panic(fmt.Sprintf("no end of %q", text)) })
		defer hung.Stop()
		c, err := parse(dir, string(text))
		var faults *Faults
		switch {
		case err == nil && (c == nil || c.Policy == nil):
			t.Fatal("accepted, without a policy")
		case err != nil && (c != nil || !errors.As(err, &faults) || len(faults.Faults) == 0 || err.Error() == ""):
			t.Fatalf("refused with %v (%T)", err, err)
		}
	})
}
