package outside

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that makes databases
)

// postgres is the one server of a test binary.
var postgres struct {
	sync.Mutex
	server *postgresServer
	main   bool // Main will end it
}

// Main runs a package's tests and then ends the servers that they may have
// started for all of them, PostgreSQL and Samba:
//
//	func TestMain(m *testing.M) { outside.Main(m) }
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a package that ends its process itself.
func Run(m interface{ Run() int }) int {
	postgres.main = true
	code := m.Run()
	if postgres.server != nil {
		postgres.server.stop()
	}
	if samba.dc != nil {
		samba.dc.stop()
	}
	return code
}

// Postgres is the URL of a fresh, empty database on a real PostgreSQL server,
// which listens on loopback and serves all tests of the binary. The package's
// TestMain must call Main. The server runs with fsync off: it is for
// behaviour, and its figures are not those of a durable one.
func Postgres(t testing.TB) string {
	t.Helper()
	server := runningPostgres(t)
	name := "t_" + strings.ToLower(rand.Text())
	server.admin(t, "create database "+name)
	t.Cleanup(func() { server.admin(t, "drop database if exists "+name+" with (force)") })
	return server.url(name)
}

func runningPostgres(t testing.TB) *postgresServer {
	t.Helper()
	postgres.Lock()
	defer postgres.Unlock()
	if !postgres.main {
		t.Fatal("outside.Postgres needs: func TestMain(m *testing.M) { outside.Main(m) }")
	}
	if postgres.server != nil {
		return postgres.server
	}
	initdb, program := Program(t, "initdb", "postgresql"), Program(t, "postgres", "postgresql")
	server, err := startPostgres(initdb, program)
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	postgres.server = server
	return server
}

type postgresServer struct {
	dir      string
	port     int
	password string
	cmd      *exec.Cmd
	output   bytes.Buffer
	ended    chan struct{}
}

func startPostgres(initdb, program string) (*postgresServer, error) {
	dir, err := os.MkdirTemp("", "gatehouse-postgres-")
	if err != nil {
		return nil, err
	}
	s := &postgresServer{dir: dir, password: rand.Text()}
	uid, gid, err := s.owner()
	if err == nil {
		err = s.create(initdb, uid, gid)
	}
	// The port was free a moment ago; somebody else may be quicker.
	for range 3 {
		if err != nil {
			break
		}
		if err = s.start(program, uid, gid); err == nil {
			return s, nil
		}
		err = fmt.Errorf("%w\n%s", err, s.output.String())
	}
	_ = os.RemoveAll(dir)
	return nil, err
}

// owner is the user that runs the server. PostgreSQL refuses to run as root.
func (s *postgresServer) owner() (uid, gid int, err error) {
	if os.Geteuid() != 0 {
		return os.Getuid(), os.Getgid(), nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, lookupErr := user.Lookup(name)
		if lookupErr != nil {
			err = lookupErr
			continue
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
		return uid, gid, os.Chown(s.dir, uid, gid)
	}
	return 0, 0, err
}

func (s *postgresServer) create(initdb string, uid, gid int) error {
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(s.password), 0o600); err != nil {
		return err
	}
	if err := os.Chown(secret, uid, gid); err != nil {
		return err
	}
	cmd := exec.Command(initdb, "--pgdata="+s.data(), "--username=gatehouse", "--pwfile="+secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	cmd.Dir = s.dir
	cmd.SysProcAttr = runAs(uid, gid)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *postgresServer) data() string { return filepath.Join(s.dir, "data") }

func (s *postgresServer) start(program string, uid, gid int) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	s.port = port
	s.output.Reset()
	s.cmd = exec.Command(program, "-D", s.data(), "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=32MB")
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = runAs(uid, gid)
	s.ended = make(chan struct{})
	if err := startHere(s.cmd); err != nil {
		return err
	}
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	if err := s.awaitReady(); err != nil {
		_ = s.cmd.Process.Kill()
		<-s.ended
		return err
	}
	return nil
}

// awaitReady asks until the server answers, or has ended.
func (s *postgresServer) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the server ended: %w", err)
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server at once; nobody needs its data.
func (s *postgresServer) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt) // fast shutdown
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	_ = os.RemoveAll(s.dir)
}

func (s *postgresServer) url(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("gatehouse", s.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

func (s *postgresServer) admin(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
