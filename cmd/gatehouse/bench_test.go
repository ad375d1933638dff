package main

import (
	"bufio"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/audit"
	"gatehouse/internal/aws"
	"gatehouse/internal/config"
	"gatehouse/internal/store"
	"gatehouse/saml"
)

// bareRSA is what nobody can avoid for one assertion: a signature with
// RSA-2048 over a SHA-256 hash.
func bareRSA(tb testing.TB) func() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	hash := sha256.Sum256([]byte("a signed assertion"))
	return func() {
		if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:]); err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkRSA2048(b *testing.B) {
	sign := bareRSA(b)
	b.ReportAllocs()
	for b.Loop() {
		sign()
	}
}

// asSTS in the environment makes the test binary an STS for a role of the
// account that it names.
const asSTS = "GATEHOUSE_TEST_STS"

// startSTS answers every AssumeRoleWithSAML at once, so that the figure is
// ours and not the emulator's, and from a process of its own, as AWS does.
func startSTS(tb testing.TB, role gatehouse.Role) (endpoint string) {
	c := exec.Command(os.Args[0])
	c.Env, c.Stderr = append(os.Environ(), asSTS+"="+role.Account+"/"+role.Name), os.Stderr
	stdin, err := c.StdinPipe() // held open for as long as it is wanted
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = stdin.Close(), c.Wait() })
	if endpoint, err = bufio.NewReader(stdout).ReadString('\n'); err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSpace(endpoint)
}

// cannedSTS is that process. It ends with its standard input.
func cannedSTS(of string) {
	account, role, _ := strings.Cut(of, "/")
	answer := fmt.Sprintf(`<AssumeRoleWithSAMLResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithSAMLResult>`+
		`<AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:bob</AssumedRoleId><Arn>arn:aws:sts::%s:assumed-role/%s/bob</Arn></AssumedRoleUser>`+
		`<Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY</SecretAccessKey>`+
		`<SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithSAMLResult>`+
		`<ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata></AssumeRoleWithSAMLResponse>`,
		account, role, strings.Repeat("t", 800), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, answer)
	}))
	defer s.Close()
	fmt.Println(s.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

const benchConfig = `public_url: http://localhost:8080
store: "sqlite://%s/gatehouse.db"
secret_files: [secret.key]
directories:
  - {name: corp, type: openldap, urls: ["ldaps://127.0.0.1:1"], base_dn: "DC=corp", bind_dn: "CN=gatehouse,DC=corp", bind_password: x, max_age: 1h}
aws: {region: eu-west-1, sts_endpoint: "%s", accounts: {"111122223333": {name: Payments}}}
access: {rules: [{directory: corp, under: "OU=AWS,DC=corp", group_pattern: '^AWS-(?P<account>\d{12})-(?P<role>[\w+=,.@-]+)$'}]}
`

// nobody is a directory that is never asked: the session is young enough.
type nobody struct{ access.Directory }

func (nobody) Name() string { return "corp" }

// handOut is a whole hand-out for somebody in 60 groups: policy, assertion,
// STS, record.
func handOut(tb testing.TB) func() {
	_, broker, session, ask := counter(tb)
	return func() {
		if _, err := broker.Grant(tb.Context(), session, ask); err != nil {
			tb.Fatal(err)
		}
	}
}

// counter is what a hand-out needs, with somebody in 60 groups who asks.
func counter(tb testing.TB) (*store.Store, *access.Broker, gatehouse.Session, gatehouse.Ask) {
	role := gatehouse.Role{Partition: "aws", Account: "111122223333", Path: "/", Name: "Developer"}
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret.key"), []byte(strings.Repeat("s", 32)), 0o600); err != nil {
		tb.Fatal(err)
	}
	cfg, err := config.Parse(filepath.Join(dir, "gatehouse.yaml"), fmt.Appendf(nil, benchConfig, dir, startSTS(tb, role)))
	if err != nil {
		tb.Fatal(err)
	}
	s, broker := wire(tb, cfg)
	session := gatehouse.Session{ID: "s", Methods: []string{"password"}, ProvedAt: time.Now(), Door: gatehouse.DoorPages, IP: "192.0.2.1",
		User: gatehouse.User{Directory: "corp", ID: "1", Username: "bob", DN: "CN=Bob,DC=corp", DisplayName: "Bob", ReadAt: time.Now()}}
	for i := range 60 {
		name := fmt.Sprintf("AWS-%012d-Developer", i)
		if i == 30 {
			name = "AWS-111122223333-Developer"
		}
		session.User.Groups = append(session.User.Groups, gatehouse.Group{Name: name, DN: "CN=" + name + ",OU=AWS,DC=corp"})
	}
	ask := gatehouse.Ask{Account: role.Account, Role: role.Name, Form: gatehouse.FormJSON, Duration: time.Hour, IP: "192.0.2.1", RequestID: "r"}
	return s, broker, session, ask
}

// wire is house.furnish without doors.
func wire(tb testing.TB, cfg *config.Config) (*store.Store, *access.Broker) {
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(tb.Context(), cfg.Store, cfg.Secrets, nil)
	check(err)
	tb.Cleanup(func() { _ = s.Close() })
	record, err := audit.Open(tb.Context(), cfg.Audit, s, nil, log)
	check(err)
	h := &house{store: s, audit: record, log: log}
	check(h.openKeys(tb.Context(), cfg.SAML.EntityID))
	client, err := aws.New(cfg.AWS, nil, log)
	check(err)
	idp, err := saml.New(cfg.SAML, endpoints(cfg, client), h.keys, h.nameIDKey, nil)
	check(err)
	return s, access.New(access.Deps{
		Directories: []access.Source{{Directory: nobody{}, MaxAge: time.Hour}}, Policy: cfg.Policy, IdP: idp, AWS: client, Audit: record,
		Counters: s, Learnt: s, Throttle: cfg.Access.Throttle, RolePage: rolePage(cfg), Log: log,
	})
}

// BenchmarkHandOut reports how many times a bare signature a whole hand-out
// costs; the limit is 1.8. x_rsa is that cost by the clock, which also waits
// for the disk to have the record (one fdatasync) and for AWS's answer;
// x_rsa_cpu is the same in processor time of this process. Rounds of hand-outs
// and rounds of as many signatures take turns, so that a busy machine slows
// both, and the figure is the median of the rounds, which a neighbour's bursts
// do not move. ns/op is a hand-out.
func BenchmarkHandOut(b *testing.B) { againstRSA(b, 1, handOut(b)) }

// againstRSA reports what each of the many things that once does costs in bare
// signatures: by the clock, and in processor time of this process.
func againstRSA(b *testing.B, many int, once func()) {
	round := max(1, 25/many)
	sign := bareRSA(b)
	once() // dials
	var byClock, byProcessor []float64
	b.ReportAllocs()
	ours := begin(b)
	for n := 1; b.Loop(); n++ {
		once()
		if n%round != 0 {
			continue
		}
		clock, processor := ours.spent(b)
		b.StopTimer()
		bare := begin(b)
		for range round * many {
			sign()
		}
		bareClock, bareProcessor := bare.spent(b)
		byClock = append(byClock, float64(clock)/float64(bareClock))
		byProcessor = append(byProcessor, float64(processor)/float64(bareProcessor))
		b.StartTimer()
		ours = begin(b)
	}
	if len(byClock) == 0 {
		return // too few for a figure
	}
	b.ReportMetric(median(byClock), "x_rsa")
	b.ReportMetric(median(byProcessor), "x_rsa_cpu")
}

// stopwatch is when something began, by the clock and in processor time.
type stopwatch struct {
	clock     time.Time
	processor time.Duration
}

func begin(tb testing.TB) stopwatch { return stopwatch{time.Now(), processorTime(tb)} }

func (w stopwatch) spent(tb testing.TB) (clock, processor time.Duration) {
	return time.Since(w.clock), processorTime(tb) - w.processor
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// processorTime is what this process has used so far.
func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
