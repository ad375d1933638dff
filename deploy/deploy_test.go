// Package deploy_test holds what is shipped for operators to what the code
// does. gatehouse.yaml is tested where it is read, in internal/config.
package deploy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/aws"
	"gatehouse/saml"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// optional runs a program's own check where the program happens to be; the
// rules that must hold everywhere are tested beside it.
func optional(t *testing.T, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path = "/usr/sbin/" + program
		if _, err := os.Stat(path); err != nil {
			t.Logf("%s is not here, so that its own check was left out", program)
			return
		}
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// write puts text into a file of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// directives reads KEY=VALUE lines of a unit, by section.
func directives(text string) map[string][]string {
	all, section := map[string][]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			all[section+"."+key] = append(all[section+"."+key], value)
		}
	}
	return all
}

func TestUnitConfinesTheService(t *testing.T) {
	unit := read(t, "gatehouse.service")
	got := directives(unit)
	for key, want := range map[string]string{
		"ExecStart":             "/usr/local/bin/gatehouse serve --config /etc/gatehouse/gatehouse.yaml",
		"ExecReload":            "/bin/kill -HUP $MAINPID",
		"User":                  "gatehouse",
		"StateDirectory":        "gatehouse",
		"StateDirectoryMode":    "0700",
		"LogsDirectory":         "gatehouse",
		"ProtectSystem":         "strict",
		"ProtectHome":           "yes",
		"PrivateTmp":            "yes",
		"NoNewPrivileges":       "yes",
		"CapabilityBoundingSet": "",
		"LimitCORE":             "0", // a core holds keys
	} {
		if !slices.Equal(got["Service."+key], []string{want}) {
			t.Errorf("%s = %q, want %q", key, got["Service."+key], want)
		}
	}
	// The server waits 24 seconds for requests and 5 for the record.
	if d, err := time.ParseDuration(strings.Join(got["Service.TimeoutStopSec"], " ")); err != nil || d <= 30*time.Second {
		t.Errorf("TimeoutStopSec = %v, %v; want more than the 30s that an orderly end may take", d, err)
	}
	path := write(t, "gatehouse.service", strings.Replace(unit, "ExecStart=/usr/local/bin/gatehouse", "ExecStart=/bin/true", 1))
	optional(t, "systemd-analyze", "verify", "--man=no", path)
	optional(t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", path)
}

func TestImageIsStaticAndRunsAsNobody(t *testing.T) {
	lines := strings.Split(read(t, "Dockerfile"), "\n")
	last := 0
	for i, line := range lines {
		if strings.HasPrefix(line, "FROM ") {
			last = i
		}
	}
	final := strings.Join(lines[last:], "\n")
	for what, pattern := range map[string]string{
		"an empty base":        `^FROM scratch\n`,
		"a user that is not 0": `(?m)^USER [1-9]\d*:[1-9]\d*$`,
		"certificates":         `(?m)^COPY .*ca-certificates\.crt`,
		"the binary":           `(?m)^ENTRYPOINT \["/gatehouse"\]$`,
		"serve":                `(?m)^CMD \["serve", "--config", "/etc/gatehouse/gatehouse\.yaml"\]$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(final) {
			t.Errorf("the last stage of the Dockerfile lacks %s (%s)", what, pattern)
		}
	}
	build := strings.Join(lines[:last], "\n")
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))[1]
	for _, want := range []string{"FROM golang:" + version + " ", "CGO_ENABLED=0", "./cmd/gatehouse", "-X main.version="} {
		if !strings.Contains(build, want) {
			t.Errorf("the build stage lacks %q", want)
		}
	}
}

// The configuration that is shipped names folders, and each way to run it has
// them, for the user that it runs as.
func TestTheFoldersThatTheConfigurationNamesAreThere(t *testing.T) {
	var shipped struct {
		Store string `yaml:"store"`
		Audit struct {
			File string `yaml:"file"`
		} `yaml:"audit"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "gatehouse.yaml")), &shipped); err != nil {
		t.Fatal(err)
	}
	image, unit, readme := read(t, "Dockerfile"), read(t, "gatehouse.service"), read(t, "../README.md")
	head, _, _ := strings.Cut(image, "\nFROM ")
	user := regexp.MustCompile(`(?m)^USER (\d+:\d+)$`).FindStringSubmatch(image)[1]
	for setting, file := range map[string]string{"StateDirectory": strings.TrimPrefix(shipped.Store, "sqlite://"), "LogsDirectory": shipped.Audit.File} {
		folder := filepath.Dir(file)
		if !strings.Contains(image, "COPY --from=build --chown="+user+" /root.d"+folder+" "+folder+"\n") || !strings.Contains(head, folder) {
			t.Errorf("the image lacks %s for user %s, or its head does not name it", folder, user)
		}
		if got := directives(unit)["Service."+setting]; !slices.Equal(got, []string{filepath.Base(folder)}) || !strings.Contains(unit, " "+folder+"\n") {
			t.Errorf("the unit has %s=%q, and must make %s", setting, got, folder)
		}
		if !strings.Contains(readme, " -o gatehouse "+folder) && !strings.Contains(readme, " -o gatehouse -g gatehouse "+folder) {
			t.Errorf("README does not make %s", folder)
		}
	}
}

func TestBuildContextHasEveryFolderWithCode(t *testing.T) {
	ignore := read(t, "Dockerfile.dockerignore")
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		shipped := e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains([]string{"bin", "deploy", "docs"}, e.Name())
		if shipped && !strings.Contains(ignore, "\n!"+e.Name()+"\n") {
			t.Errorf("folder %s does not reach the builder: add !%s to Dockerfile.dockerignore", e.Name(), e.Name())
		}
	}
}

// What each proxy must do, whatever its language: the address of the client
// is passed on, underscores and long headers survive, and readiness, which
// names the inside, stays inside.
func TestProxiesPassOnWhatIsNeeded(t *testing.T) {
	for file, wants := range map[string][]string{
		"nginx.conf": {
			"underscores_in_headers on;", "large_client_header_buffers 4 32k;", "proxy_set_header Host $http_host;",
			"proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", "proxy_request_buffering on;", "location = /readyz",
		},
		"Caddyfile":   {"max_header_size 64kb", "respond /readyz 404", "reverse_proxy 127.0.0.1:8443"},
		"haproxy.cfg": {"del-header X-Forwarded-For", "option forwardfor", "tune.bufsize 65536", "path /readyz", "httpchk GET /readyz"},
	} {
		text := read(t, file)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", file, want)
			}
		}
	}
}

func TestProxiesTakeTheirConfiguration(t *testing.T) {
	dir := t.TempDir()
	pair := filepath.Join(dir, "pair.pem")
	if err := os.WriteFile(pair, []byte(throwaway(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	site := regexp.MustCompile(`/etc/nginx/tls/\S+(crt|key)`).ReplaceAllString(read(t, "nginx.conf"), pair)
	sitePath := write(t, "site.conf", site)
	around := "pid DIR/pid; events {} http { access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b; " +
		"fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e; include " + sitePath + "; }"
	optional(t, "nginx", "-t", "-q", "-p", dir, "-e", filepath.Join(dir, "error.log"),
		"-c", write(t, "nginx.conf", strings.ReplaceAll(around, "DIR", dir)))
	optional(t, "caddy", "validate", "--adapter", "caddyfile", "--config", "Caddyfile")
	optional(t, "haproxy", "-c", "-q", "-f", write(t, "haproxy.cfg", strings.ReplaceAll(read(t, "haproxy.cfg"), "/etc/haproxy/aws.corp.example.com.pem", pair)))
}

// statement is a trust policy's, as far as it must be right.
type statement struct {
	Action    []string
	Condition map[string]map[string]string
}

type policy struct{ Statement []statement }

func trustPolicy(t *testing.T) policy {
	t.Helper()
	var p policy
	if err := json.Unmarshal([]byte(read(t, "aws/trust-policy.json")), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTrustPolicyAllowsWhatIsSent(t *testing.T) {
	client, err := aws.New(aws.Config{Region: "eu-west-1"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := policy{[]statement{{
		// The last two are for session_tags and source_identity.
		Action: []string{"sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"},
		Condition: map[string]map[string]string{"StringEquals": {
			"SAML:aud":      client.Recipient(gatehouse.Account{Region: "eu-west-1"}),
			"SAML:sub_type": strings.TrimPrefix(saml.NameIDPersistent, "urn:oasis:names:tc:SAML:2.0:nameid-format:"),
		}},
	}}}
	if diff := cmp.Diff(want, trustPolicy(t)); diff != "" {
		t.Errorf("aws/trust-policy.json (-what Gatehouse sends +what it allows):\n%s", diff)
	}
}

func TestTemplatesCarryTheTrustPolicy(t *testing.T) {
	var template struct {
		Resources map[string]struct {
			Type       string         `yaml:"Type"`
			Properties map[string]any `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "aws/cloudformation.yaml")), &template); err != nil {
		t.Fatal(err)
	}
	role := template.Resources["ReadOnly"]
	if role.Type != "AWS::IAM::Role" || template.Resources["Provider"].Type != "AWS::IAM::SAMLProvider" {
		t.Fatalf("resources are a %q and a %q", role.Type, template.Resources["Provider"].Type)
	}
	document, err := json.Marshal(role.Properties["AssumeRolePolicyDocument"])
	if err != nil {
		t.Fatal(err)
	}
	var got policy
	if err := json.Unmarshal(document, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(trustPolicy(t), got); diff != "" {
		t.Errorf("cloudformation.yaml differs from trust-policy.json (-policy +template):\n%s", diff)
	}
	// The provider's ARN, in quotes: what main.tf replaces must be there to be replaced.
	arn := regexp.MustCompile(`"(arn:aws:iam::\d{12}:saml-provider/\w+)"`).FindStringSubmatch(read(t, "aws/trust-policy.json"))
	if arn == nil || !strings.Contains(read(t, "aws/main.tf"), arn[0]) {
		t.Errorf("main.tf does not replace the provider %q of trust-policy.json", arn)
	}
	optional(t, "terraform", "fmt", "-check", "-diff", "aws")
}

// balancer is what load-balancer.yaml says, as far as it must be right.
type balancer struct {
	Resources map[string]struct {
		Type       string
		Properties struct {
			LoadBalancerAttributes, TargetGroupAttributes []struct{ Key, Value string }
			HealthCheckPath, Protocol                     string
			Port                                          int
			Conditions                                    []struct{ PathPatternConfig struct{ Values []string } }
			Actions                                       []struct{ FixedResponseConfig struct{ StatusCode string } }
		}
	}
}

// The load balancer cannot be run here: it is held to what AWS's reference
// calls each thing ("Load balancer attributes", ELBv2) and to what it needs.
func TestTheLoadBalancerPassesOnWhatIsNeeded(t *testing.T) {
	var template map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "aws/load-balancer.yaml")), &template); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	var b balancer
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]string{"Balancer": "LoadBalancer", "Listener": "Listener", "Readiness": "ListenerRule", "Replicas": "TargetGroup"} {
		if got := b.Resources[name].Type; got != "AWS::ElasticLoadBalancingV2::"+kind {
			t.Errorf("%s is a %q", name, got)
		}
	}
	attributes := map[string]string{}
	front, replicas := b.Resources["Balancer"].Properties, b.Resources["Replicas"].Properties
	for _, a := range append(front.LoadBalancerAttributes, replicas.TargetGroupAttributes...) {
		attributes[a.Key] = a.Value
	}
	want := map[string]string{
		"routing.http.drop_invalid_header_fields.enabled": "false", "routing.http.preserve_host_header.enabled": "true",
		"routing.http.xff_header_processing.mode": "append", "idle_timeout.timeout_seconds": "65",
		"deregistration_delay.timeout_seconds": "30", "stickiness.enabled": "false",
	}
	if diff := cmp.Diff(want, attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if replicas.HealthCheckPath != "/readyz" || replicas.Port != 8443 || replicas.Protocol != "HTTP" || b.Resources["Listener"].Properties.Protocol != "HTTPS" {
		t.Errorf("the replicas are asked %+v", replicas)
	}
	rule := b.Resources["Readiness"].Properties
	if len(rule.Conditions) != 1 || !slices.Equal(rule.Conditions[0].PathPatternConfig.Values, []string{"/readyz"}) ||
		len(rule.Actions) != 1 || rule.Actions[0].FixedResponseConfig.StatusCode != "404" {
		t.Errorf("readiness is shown to the world: %+v", rule)
	}
}

func TestRotationReopensTheFileThatIsConfigured(t *testing.T) {
	file := regexp.MustCompile(`(?m)^  file: (\S+audit\S+)$`).FindStringSubmatch(read(t, "gatehouse.yaml"))
	if file == nil {
		t.Fatal("gatehouse.yaml names no audit file")
	}
	text := read(t, "logrotate")
	if !strings.Contains(text, file[1]+" {") || !strings.Contains(text, "systemctl reload gatehouse") {
		t.Errorf("logrotate does not rotate %s and reload:\n%s", file[1], text)
	}
}

// throwaway is a certificate with its key, PEM, for programs that want to see one.
func throwaway(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"aws.corp.example.com"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}
