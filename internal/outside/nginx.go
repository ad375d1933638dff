package outside

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nginxConf is what stands around a site: everything that nginx writes stays
// in DIR.
const nginxConf = `daemon off;
worker_processes 1;
pid DIR/pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
	include DIR/site.conf;
}
`

// StartNginx starts a real nginx that ends with the test, before a site as a
// file of conf.d has it. The site says `listen LISTEN`, which becomes a free
// port of loopback: the address that is returned.
func StartNginx(t testing.TB, site string) (address string) {
	t.Helper()
	nginx := Program(t, "nginx", "nginx")
	dir := t.TempDir()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address = fmt.Sprintf("127.0.0.1:%d", port)
	conf := strings.ReplaceAll(nginxConf, "DIR", dir)
	if os.Geteuid() == 0 {
		conf = "user root;\n" + conf // the test's folder is nobody else's
	}
	for name, text := range map[string]string{"nginx.conf": conf, "site.conf": strings.ReplaceAll(site, "LISTEN", address)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var output bytes.Buffer
	cmd := exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"))
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = runAs(os.Getuid(), os.Getgid())
	if err := startHere(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // fast shutdown, workers included
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			said := output.String()
			t.Logf("nginx, in the end:\n%s", said[max(0, len(said)-10_000):])
		}
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return address
		}
		select {
		case <-ended:
			t.Fatalf("nginx ended:\n%s", output.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatal("nginx does not listen")
		}
	}
}
