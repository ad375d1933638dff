package main

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/config"
	"gatehouse/internal/outside"
	"gatehouse/internal/store"
	"gatehouse/saml"
)

// fleet is Gatehouse on several machines: real processes of `gatehouse serve`
// on one PostgreSQL, behind a real nginx with the site of deploy/nginx.conf.
type fleet struct {
	*outskirts
	replicas []*replica
	nginx    string // HOST:PORT
}

// replica is one process, and the next ones on its ports.
type replica struct {
	config, address, admin string
	program                string // the test's own gatehouse, unless a test says otherwise
	files                  int    // that it may have open; 0: as many as we

	log   *lines
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended
}

const wiki = `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://wiki.corp.example.com/sp">
<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><AssertionConsumerService index="0"
 Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://wiki.corp.example.com/acs"/></SPSSODescriptor></EntityDescriptor>`

// muster starts n replicas. Further edits are pairs for strings.NewReplacer,
// over the configuration.
func muster(t testing.TB, n int, edits ...string) *fleet {
	t.Helper()
	f := equip(t, n, edits...)
	for _, r := range f.replicas {
		r.start(t)
	}
	return f
}

// equip has all that n replicas need, and stops in the end those that run.
func equip(t testing.TB, n int, edits ...string) *fleet {
	t.Helper()
	f := &fleet{}
	edits = append([]string{"tls: {", "# tls: {", "drain_delay: 0s", "drain_delay: 300ms\ntrusted_proxies: [127.0.0.1]\nlimits: {sessions_per_person: 1000000} # everybody at work is Ann",
		"aws:\n", "saml: {service_providers: [{name: Wiki, metadata_file: wiki.xml}]}\naws:\n",
		"access:\n  rules:\n", "access:\n  rules:\n    - {groups: [\"cn=engineers,ou=groups," + suffix + "\"], service_provider: Wiki}\n"}, edits...)
	f.outskirts = reach(t, func() string { return f.browser(t).get("/saml/metadata").body }, outside.SlapdConfig{}, "", edits...)
	f.write(t, "wiki.xml", wiki)
	var servers []string
	for i := range n {
		r := &replica{program: "gatehouse", address: outside.Address(t), admin: outside.Address(t)}
		r.config = f.write(t, fmt.Sprintf("replica%d.yaml", i), strings.Replace(f.text(t), "listen: 127.0.0.1:0", "listen: "+r.address+"\nadmin_listen: "+r.admin, 1))
		f.replicas = append(f.replicas, r)
		servers = append(servers, "server "+r.address+" max_fails=0;")
	}
	f.nginx = outside.StartNginx(t, f.site(t, servers))
	t.Cleanup(func() {
		for _, r := range f.replicas {
			r.stop(t)
		}
	})
	return f
}

// site is the shipped site, for these replicas and the test's certificate.
func (f *fleet) site(t testing.TB, servers []string) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(f.config)
	site := strings.NewReplacer("server 127.0.0.1:8443 max_fails=0;", strings.Join(servers, "\n\t"), "listen 443 ssl", "listen LISTEN ssl",
		"/etc/nginx/tls/aws.corp.example.com.crt", dir+"/tls.crt", "/etc/nginx/tls/aws.corp.example.com.key", dir+"/tls.key").Replace(string(text))
	if !strings.Contains(site, servers[0]) || !strings.Contains(site, "LISTEN") {
		t.Fatalf("deploy/nginx.conf is not what this test edits:\n%s", site)
	}
	return site
}

// text is the configuration that the replicas' are made of.
func (o *outskirts) text(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(o.config)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// write puts a file beside the configuration.
func (o *outskirts) write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(o.config), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs serve, and waits until it is ready.
func (r *replica) start(t testing.TB) {
	t.Helper()
	r.launch(t)
	r.awaitReady(t)
}

func (r *replica) launch(t testing.TB) {
	t.Helper()
	r.log, r.ended = &lines{}, make(chan struct{})
	r.cmd = exec.Command(r.program, "serve", "--config", r.config)
	if r.files > 0 {
		r.cmd = exec.Command("sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" serve --config "$1"`, r.files), r.program, r.config)
	}
	r.cmd.Stderr = r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.err = r.cmd.Wait(); close(r.ended) }()
}

func (f *fleet) isReady(r *replica) bool {
	res, err := http.Get("http://" + r.admin + "/readyz")
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (r *replica) awaitReady(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + r.admin + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-r.ended:
			t.Fatalf("the replica ended with %v:\n%s", r.err, r.log)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the replica is not ready: %v\n%s", err, r.log)
		}
	}
}

// stop is SIGTERM, and what must come of it.
func (r *replica) stop(t testing.TB) {
	t.Helper()
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(30 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.ended
		t.Errorf("the replica did not end within 30s of SIGTERM:\n%s", r.log)
	}
	if r.err != nil {
		t.Errorf("the replica ended with %v:\n%s", r.err, r.log)
	}
	if strings.Contains(r.log.String(), "panic") {
		t.Errorf("the replica panicked:\n%s", r.log)
	}
	r.cmd = nil
}

// kill is kill -9.
func (r *replica) kill() {
	_ = r.cmd.Process.Kill()
	<-r.ended
	r.cmd = nil
}

// browser goes by nginx, which chooses a replica for each request.
func (f *fleet) browser(t testing.TB) *browser {
	return newBrowser(t, "https://aws.corp.example.com", f.way(f.nginx))
}

// way leads the portal's name to an address.
func (f *fleet) way(address string) *http.Transport {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.roots}, MaxIdleConnsPerHost: 64}
	tr.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
		if strings.HasPrefix(to, "aws.corp.example.com:") {
			to = address
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	return tr
}

// through asks one replica by itself, as nginx does, with the browser's
// cookies.
func (f *fleet) through(t testing.TB, b *browser, r *replica, method, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "aws.corp.example.com"
	portal, _ := url.Parse("https://aws.corp.example.com" + path)
	for _, c := range b.client.Jar.Cookies(portal) {
		req.AddCookie(c)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	b.client.Jar.SetCookies(portal, res.Cookies())
	return res
}

func (f *fleet) store(t testing.TB) *store.Store {
	t.Helper()
	cfg, err := config.Load(f.replicas[0].config)
	if err != nil {
		t.Fatal(err)
	}
	return record(t, cfg, nil)
}

func (f *fleet) signIn(t testing.TB) *browser {
	t.Helper()
	b := f.browser(t)
	b.post("/login", "username", "ann", "password", "correct horse").want(t, 200, "Developer")
	return b
}

// authnRequest is a path of /saml/sso with a request of the wiki's.
func authnRequest(id string) string {
	text := fmt.Sprintf(`<AuthnRequest xmlns="urn:oasis:names:tc:SAML:2.0:protocol" ID=%q Version="2.0" IssueInstant=%q Destination="https://aws.corp.example.com/saml/sso">`+
		`<Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">https://wiki.corp.example.com/sp</Issuer></AuthnRequest>`, id, time.Now().UTC().Format(time.RFC3339))
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return "/saml/sso?" + url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(b.Bytes())}, "RelayState": {"page 7"}}.Encode()
}

func TestAnyRequestMayGoToAnyReplica(t *testing.T) {
	t.Parallel()
	f := muster(t, 3)
	b := f.signIn(t)

	// A session is everywhere; so is its end.
	for _, r := range f.replicas {
		if res := f.through(t, b, r, "GET", "/"); res.StatusCode != 200 {
			t.Errorf("%s answers a session with %d", r.address, res.StatusCode)
		}
	}
	var c process
	if err := json.Unmarshal([]byte(b.post(developerOfAnn, "as", "json").body), &c); err != nil || c.AccessKeyId == "" {
		t.Errorf("no credentials by way of nginx: %v", err)
	}

	// A request is parked at one replica, continued at the next, and answered
	// by the third after a sign-in wherever nginx leads.
	other := f.browser(t)
	parked := f.through(t, other, f.replicas[0], "GET", authnRequest("_one"))
	next := parked.Header.Get("Location")
	if !strings.HasPrefix(next, "/saml/continue?request=") {
		t.Fatalf("a request of the wiki's was answered %d %s", parked.StatusCode, next)
	}
	login := f.through(t, other, f.replicas[1], "GET", next)
	if !strings.HasPrefix(login.Header.Get("Location"), "/login?") {
		t.Fatalf("the parked request went on to %d %s", login.StatusCode, login.Header.Get("Location"))
	}
	p := other.post("/login", "username", "ann", "password", "correct horse", "next", next)
	if !strings.Contains(p.body, `name="SAMLResponse"`) || !strings.Contains(p.body, "https://wiki.corp.example.com/acs") {
		t.Errorf("after the sign-in, %d and no response:\n%s", p.status, p.text())
	}
	if res := f.through(t, other, f.replicas[2], "GET", next); res.StatusCode == 200 {
		t.Error("a parked request was answered twice")
	}
	for _, r := range f.replicas {
		if res := f.through(t, other, r, "GET", authnRequest("_one")); res.StatusCode != http.StatusConflict {
			t.Errorf("%s answers %d to a request that was answered", r.address, res.StatusCode)
		}
	}

	b.post("/logout").want(t, 200, "You are signed out.")
	// Wrong passwords are counted for all.
	for i := range 12 {
		f.browser(t).post("/login", "username", "ann", "password", fmt.Sprint("wrong", i))
	}
	f.replicas[0].stop(t) // a new process knows as well
	f.replicas[0].start(t)
	for _, r := range f.replicas {
		direct := newBrowser(t, "http://"+r.address, nil)
		direct.header.Set("Host", "aws.corp.example.com")
		direct.header.Set("Origin", "https://aws.corp.example.com")
		if got := direct.post("/login", "username", "ann", "password", "correct horse"); got.status != 429 {
			t.Errorf("%s answers %d after a dozen wrong passwords, want 429", r.address, got.status)
		}
	}

	if report, err := audit.Verify(t.Context(), f.store(t)); err != nil || !report.OK() || report.Chains < 3 {
		t.Errorf("verification: %+v, %v", report, err)
	}
}

func TestASessionThatEndsAtOneReplicaEndsAtAll(t *testing.T) {
	t.Parallel()
	f := muster(t, 2)
	b := f.signIn(t)
	portal, _ := url.Parse("https://aws.corp.example.com/")
	stolen := f.browser(t)
	stolen.client.Jar.SetCookies(portal, b.client.Jar.Cookies(portal))
	b.post("/logout").want(t, 200, "You are signed out.")
	for _, r := range f.replicas {
		if res := f.through(t, stolen, r, "GET", "/"); res.StatusCode == 200 {
			t.Errorf("%s still knows the session", r.address)
		}
	}
}

// load is people at work, by way of nginx, until it is ended.
type load struct {
	stop     context.CancelFunc
	done     sync.WaitGroup
	requests atomic.Int64
	mu       sync.Mutex
	wrong    []string
	keys     []string // the access keys that people got
}

// work signs n people in who look at their page, take credentials and open the
// console again and again, while others come and sign in.
func (f *fleet) work(t testing.TB, n int) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	for i := range n {
		b := f.browser(t)
		if i > 0 {
			b = f.signIn(t)
		}
		l.done.Go(func() {
			for ctx.Err() == nil {
				if i == 0 { // somebody new each time
					b = f.browser(t)
					l.judge(b, "POST", "/login", url.Values{"username": {"ann"}, "password": {"correct horse"}}, "Developer")
					continue
				}
				l.judge(b, "GET", "/", nil, "1 account, 1 role.")
				l.judge(b, "POST", developerOfAnn, url.Values{"as": {"json"}}, "ASIA")
				l.judge(b, "POST", developerOfAnn, url.Values{"as": {"console"}}, "Opening the AWS console")
			}
		})
	}
	return l
}

// judge makes one request, and notes when what comes is not what should.
func (l *load) judge(b *browser, method, path string, form url.Values, want string) {
	l.requests.Add(1)
	text, err := b.attempt(method, path, form)
	l.mu.Lock()
	defer l.mu.Unlock()
	var c process
	if json.Unmarshal([]byte(text), &c) == nil && c.AccessKeyId != "" {
		l.keys = append(l.keys, c.AccessKeyId)
	}
	if err == nil && strings.Contains(text, want) {
		return
	}
	l.wrong = append(l.wrong, fmt.Sprintf("%s %s %s: %v %s", time.Now().Format(time.StampMilli), method, path, err, page{body: text}.text()))
}

// attempt is one request, whose failure ends no test.
func (b *browser) attempt(method, path string, form url.Values) (string, error) {
	req, err := http.NewRequest(method, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", res.StatusCode)
	}
	return text.String(), err
}

// end ends the work and returns what went wrong.
func (l *load) end() []string {
	l.stop()
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong
}

func TestARollingRestartUnderLoadLosesNoRequestAndNoSession(t *testing.T) {
	t.Parallel()
	f := muster(t, 2)
	before := f.signIn(t)
	work := f.work(t, 5)
	for range 2 {
		for _, r := range f.replicas {
			r.stop(t)
			r.start(t)
		}
	}
	wrong := work.end()
	for _, w := range wrong[:min(len(wrong), 10)] {
		t.Error(w)
	}
	t.Logf("%d requests, %d went wrong", work.requests.Load(), len(wrong))
	if n := work.requests.Load(); n < 100 {
		t.Errorf("only %d requests were made: that is no load", n)
	}
	f.nothingIsLost(t, before, work)
}

// nothingIsLost fails the test unless who was signed in still is, every key
// that anybody got is on the record, and the record is whole.
func (f *fleet) nothingIsLost(t *testing.T, before *browser, work *load) {
	t.Helper()
	before.get("/").want(t, 200, "1 account, 1 role.")
	report, err := audit.Verify(t.Context(), f.store(t))
	if err != nil || !report.OK() {
		t.Errorf("verification: %+v, %v", report, err)
	}
	cfg, err := config.Load(f.replicas[0].config)
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	query(t, cfg.Store.URL, func(db *sql.DB) error {
		rows, err := db.Query(`select access_key_id from events where kind = 'granted' and access_key_id is not null`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key string
			if err := rows.Scan(&key); err != nil {
				return err
			}
			recorded[key] = true
		}
		return rows.Err()
	})
	if len(work.keys) == 0 {
		t.Error("nobody got a key")
	}
	for _, key := range work.keys {
		if !recorded[key] {
			t.Errorf("somebody got %s, and the record has nothing of it", key)
		}
	}
}

func TestAReplicaThatIsKilledLosesNoSessionAndNoRecord(t *testing.T) {
	t.Parallel()
	f := muster(t, 2)
	before := f.signIn(t)
	work := f.work(t, 4)
	for range 3 {
		f.replicas[0].kill() // in the midst of whatever it does
		for range 10 {       // the other goes on: whoever asks by way of nginx gets there
			before.get("/").want(t, 200, "1 account, 1 role.")
			f.signIn(t).post(developerOfAnn, "as", "json").want(t, 200, "ASIA")
		}
		f.replicas[0].start(t)
	}
	for _, w := range work.end() {
		if !strings.Contains(w, "502 Bad Gateway") { // who was just being answered
			t.Error(w)
		}
	}
	f.nothingIsLost(t, before, work)
}

// Secrets change file by file, with replicas that lag.
func TestSecretsRotateUnderLoadWithoutABreak(t *testing.T) {
	t.Parallel()
	f := muster(t, 2)
	f.write(t, "second.key", strings.Repeat("fedcba9876543210", 2))
	work := f.work(t, 3)
	for _, step := range []string{"[secret.key, second.key]", "[second.key, secret.key]", "[second.key]"} {
		for _, r := range f.replicas {
			text, err := os.ReadFile(r.config)
			if err != nil {
				t.Fatal(err)
			}
			n := strings.Count(r.log.String(), `"configuration reloaded"`)
			f.write(t, filepath.Base(r.config), regexp.MustCompile(`secret_files: .*`).ReplaceAllString(string(text), "secret_files: "+step))
			_ = r.cmd.Process.Signal(syscall.SIGHUP)
			healed(t, func() bool { return strings.Count(r.log.String(), `"configuration reloaded"`) > n })
		}
	}
	if wrong := work.end(); len(wrong) > 0 {
		t.Errorf("%d of %d requests went wrong: %s", len(wrong), work.requests.Load(), wrong[0])
	}
	for _, r := range f.replicas { // the first secret is needed nowhere any more
		r.stop(t)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(f.config), "secret.key")); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.replicas {
		r.start(t)
	}
	f.signIn(t)
}

// A key that somebody promotes at the store signs at every replica within
// seconds, and is in their metadata.
func TestSigningKeysReachEveryReplica(t *testing.T) {
	t.Parallel()
	f := muster(t, 2)
	before := f.browser(t).get("/saml/metadata").body
	key := f.addKey(t)
	for _, r := range f.replicas {
		healed(t, func() bool {
			res, err := http.DefaultClient.Do(&http.Request{Method: "GET", Host: "aws.corp.example.com", URL: &url.URL{Scheme: "http", Host: r.address, Path: "/saml/metadata"}})
			if err != nil {
				return false
			}
			defer res.Body.Close()
			var b bytes.Buffer
			_, _ = b.ReadFrom(res.Body)
			return b.String() != before && strings.Contains(b.String(), base64.StdEncoding.EncodeToString(key.Certificate))
		})
	}
	b := f.signIn(t)
	b.post(developerOfAnn, "as", "json").want(t, 200)
}

// addKey puts a further signing key into the database, as a next one. It is
// made in an empty database that has the same secret.
func (f *fleet) addKey(t *testing.T) gatehouse.SigningKey {
	t.Helper()
	cfg, err := config.Load(f.replicas[0].config)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := cfg.Store.URL, outside.Postgres(t)
	cfg.Store.URL = ours
	keys, err := record(t, cfg, nil).FirstSigningKey(t.Context(), func() (gatehouse.SigningKey, error) {
		return saml.NewSigningKey(time.Now(), "https://aws.corp.example.com/saml/metadata")
	})
	if err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	query(t, ours, func(db *sql.DB) error {
		return db.QueryRow(`select private_key from signing_keys`).Scan(&sealed)
	})
	query(t, theirs, func(db *sql.DB) error {
		_, err := db.Exec(`insert into signing_keys (id, state, private_key, certificate, created_at) values ($1, $2, $3, $4, $5)`,
			keys[0].ID, string(gatehouse.KeyNext), sealed, keys[0].Certificate, time.Now().UnixMilli())
		return err
	})
	return keys[0]
}

// query asks a PostgreSQL by hand.
func query(t testing.TB, url string, do func(db *sql.DB) error) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := do(db); err != nil {
		t.Fatal(err)
	}
}
