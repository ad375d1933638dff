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
	serveHere(t, exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf")), address)
	return address
}

// StartCaddy starts a real Caddy that ends with the test, with a Caddyfile in
// which PORT is where it is to listen, on 127.0.0.1.
func StartCaddy(t testing.TB, caddyfile string) (address string) {
	t.Helper()
	caddy := Program(t, "caddy", "caddy")
	dir, address, file := proxyHome(t, "Caddyfile", caddyfile)
	cmd := exec.Command(caddy, "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	serveHere(t, cmd, address)
	return address
}

// StartHAProxy starts a real HAProxy that ends with the test, with a
// configuration in which ADDRESS is where it is to listen.
func StartHAProxy(t testing.TB, config string) (address string) {
	t.Helper()
	haproxy := Program(t, "haproxy", "haproxy")
	_, address, file := proxyHome(t, "haproxy.cfg", config)
	serveHere(t, exec.Command(haproxy, "-db", "-f", file), address)
	return address
}

// proxyHome is a folder with a proxy's configuration, and where it listens.
func proxyHome(t testing.TB, name, text string) (dir, address, file string) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, address = t.TempDir(), fmt.Sprintf("127.0.0.1:%d", port)
	file = filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(strings.NewReplacer("ADDRESS", address, "PORT", fmt.Sprint(port), "DIR", dir).Replace(text)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, address, file
}

// serveHere runs a server until the test ends, and waits until it listens.
func serveHere(t testing.TB, cmd *exec.Cmd, address string) {
	t.Helper()
	var output bytes.Buffer
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
			t.Logf("%s, in the end:\n%s", filepath.Base(cmd.Path), said[max(0, len(said)-10_000):])
		}
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", filepath.Base(cmd.Path), output.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen", filepath.Base(cmd.Path))
		}
	}
}
