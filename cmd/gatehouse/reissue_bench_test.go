package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/demo"
)

// asBrowser in the environment makes the test binary a browser that is signed
// in: the value is its cookie.
const asBrowser = "GATEHOUSE_TEST_BROWSER"

// cannedBrowser is that process: each line of its standard input is how many
// requests at once, of which application, and where to; it brings them there,
// and says on its standard output how many were answered well. What it costs
// is not the server's.
func cannedBrowser(cookie string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var many int
		var issuer, destination string
		_, _ = fmt.Sscan(in.Text(), &many, &issuer, &destination)
		var good atomic.Int64
		var all sync.WaitGroup
		for range many {
			all.Go(func() {
				if answered(client, cookie, destination+"?SAMLRequest="+freshRequest(issuer, destination)) {
					good.Add(1)
				}
			})
		}
		all.Wait()
		fmt.Println(good.Load())
	}
}

// answered says whether a page with a Response came back.
func answered(client *http.Client, cookie, address string) bool {
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	r.Header.Set("Cookie", cookie)
	res, err := client.Do(r)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return err == nil && res.StatusCode == http.StatusOK && bytes.Contains(body, []byte(`name="SAMLResponse"`))
}

// reissue is a browser in a process of its own that brings an application's
// requests, many at once, to a Gatehouse with a store of its own, where it is
// signed in, and takes the answers away.
func reissue(b *testing.B, many int) func() {
	const app = "https://app.example/sp"
	file := filepath.Join(b.TempDir(), "App.xml")
	if err := os.WriteFile(file, []byte(metadataOf(app, "")), 0o600); err != nil {
		b.Fatal(err)
	}
	rule := fmt.Sprintf("    - {directory: corp, groups: [\"CN=Sandbox Users,OU=Groups,%s\"], service_provider: App, attributes: {mail: \"{mail}\", groups: \"{groups}\"}}\n", demo.Suffix)
	g := openGate(b, "access:\n", fmt.Sprintf("saml:\n  service_providers: [{name: App, metadata_file: %q, sign: response}]\naccess:\n", file), "  rules:\n", "  rules:\n"+rule)
	browser := g.browser(b)
	browser.signIn("bob")
	at, err := url.Parse(g.url)
	if err != nil {
		b.Fatal(err)
	}
	var cookies []string
	for _, c := range browser.client.Jar.Cookies(at) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	ask := startBrowser(b, strings.Join(cookies, "; "))
	return func() {
		if good := ask(fmt.Sprintln(many, app, g.url+"/saml/sso")); good != fmt.Sprint(many) {
			b.Fatalf("%s of %d were answered\n%s", good, many, g.log)
		}
	}
}

func startBrowser(b *testing.B, cookie string) (ask func(line string) (said string)) {
	c := exec.Command(os.Args[0])
	c.Env, c.Stderr = append(os.Environ(), asBrowser+"="+cookie), os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _ = stdin.Close(), c.Wait() })
	answers := bufio.NewReader(stdout)
	return func(line string) string {
		if _, err := io.WriteString(stdin, line); err != nil {
			b.Fatal(err)
		}
		said, err := answers.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		return strings.TrimSpace(said)
	}
}

// freshRequest is an application's request, as it stands in a query.
func freshRequest(issuer, destination string) string {
	var deflated bytes.Buffer
	w, _ := flate.NewWriter(&deflated, flate.BestSpeed) // that level is one
	fmt.Fprintf(w, `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_%s" Version="2.0" IssueInstant="%s" Destination="%s">`+
		`<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">%s</saml:Issuer></samlp:AuthnRequest>`, rand.Text(), time.Now().UTC().Format(time.RFC3339), destination, issuer)
	_ = w.Close() // memory takes everything
	return url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
}

// BenchmarkReissue reports how many times a bare signature it costs to answer
// an application's request over HTTP for somebody who is signed in: request
// in, session, policy, one signature, record, page with the Response out. The
// wish is 1.6 in processor time of this process (x_rsa_cpu). By the clock
// (x_rsa) it also waits for the disk to have the record; those that come at
// once share that, and some of the processor time. It is measured as
// BenchmarkHandOut is.
func BenchmarkReissue(b *testing.B) {
	for name, many := range map[string]int{"alone": 1, "16 at once": 16} {
		b.Run(name, func(b *testing.B) { againstRSA(b, many, reissue(b, many)) })
	}
}
