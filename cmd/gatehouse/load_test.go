package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/outside"
	"gatehouse/internal/outside/faults"
)

// What memory may cost (VmRSS, VmHWM of proc(5)), in kB.
const (
	busyMemory  = 64 << 10  // 256 sign-ins at a time
	crowdMemory = 128 << 10 // 10,000 at a time: what Limits let in, and their connections
	growth      = 2 << 10   // over 10,000 sign-ins, live sessions aside
)

// stand is one replica with SQLite, as most have it, for people enough: no two
// sign-ins at a time are one person's, and none comes from another's address.
type stand struct {
	*outskirts
	*replica
	client *http.Client
	n      atomic.Int64
}

const peopleAtStand = 1200

func takeStand(t testing.TB, program string, files int) *stand {
	t.Helper()
	var people strings.Builder
	for i := range peopleAtStand {
		fmt.Fprintf(&people, "\ndn: uid=p%04d,ou=people,%s\nobjectClass: inetOrgPerson\nuid: p%04[1]d\ncn: Person %[1]d\nsn: %[1]d\nuserPassword: correct horse\n", i, suffix)
	}
	s := &stand{replica: &replica{program: program, address: outside.Address(t), admin: outside.Address(t), files: files}}
	edits := []string{"tls: {", "# tls: {", "listen: 127.0.0.1:0", "listen: " + s.address + "\nadmin_listen: " + s.admin + "\ntrusted_proxies: [127.0.0.1]",
		"store: \"", "store: \"sqlite://" + t.TempDir() + "/gatehouse.db\" #"}
	s.outskirts = reach(t, func() string { return "" }, outside.SlapdConfig{LDIF: people.String()}, "", edits...)
	s.replica.config = s.outskirts.config
	s.client = &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// request is the sign-in of the next person, from the next address.
func (s *stand) request() (*http.Request, error) {
	n := s.n.Add(1)
	form := url.Values{"username": {fmt.Sprintf("p%04d", n%peopleAtStand)}, "password": {"correct horse"}}
	req, err := http.NewRequest("POST", "http://"+s.address+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Host = "aws.corp.example.com"
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	return req, nil
}

// signIn is one sign-in.
func (s *stand) signIn() (status int, retry string, err error) {
	req, err := s.request()
	if err != nil {
		return 0, "", err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header.Get("Retry-After"), res.Body.Close()
}

// get asks an address for what it says.
func (s *stand) get(t testing.TB, url string) (status int, text string) {
	t.Helper()
	res, err := s.client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// signIns makes n sign-ins, so many at a time, and counts the answers.
func (s *stand) signIns(t testing.TB, n, at int) map[int]int {
	var mu sync.Mutex
	answers := map[int]int{}
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range at {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				status, retry, err := s.signIn()
				if err != nil {
					t.Logf("a sign-in was not answered: %v", err)
				}
				if status == http.StatusServiceUnavailable && retry == "" {
					t.Error("turned away without Retry-After")
				}
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return answers
}

// hasty asks with a connection for each request, which says what it wants as
// soon as it is made, as browsers do. Of 10,000 goroutines each would have to
// wait between the two until the others had their turn: no more than its
// capacity are in between.
type hasty chan struct{}

func (h hasty) RoundTrip(r *http.Request) (*http.Response, error) {
	conn, err := h.ask(r)
	if err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	body := res.Body
	res.Body = struct {
		io.Reader
		io.Closer
	}{body, conn}
	return res, nil
}

func (h hasty) ask(r *http.Request) (net.Conn, error) {
	h <- struct{}{}
	defer func() { <-h }()
	conn, err := net.Dial("tcp", r.URL.Host)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn, r.Write(conn)
}

func (s *stand) memory(t testing.TB) (now, peak int) {
	t.Helper()
	return proc(t, s.cmd.Process.Pid, "VmRSS:"), proc(t, s.cmd.Process.Pid, "VmHWM:")
}

// rested is VmRSS once the process has rested, for which it is left alone.
func (s *stand) rested(t testing.TB) int {
	t.Helper()
	busy := proc(t, s.cmd.Process.Pid, "VmRSS:")
	for end := time.Now().Add(time.Minute); ; {
		if now := atRest(t, s.cmd.Process.Pid); now < busy*3/4 {
			return atRest(t, s.cmd.Process.Pid) // all of it is given back by now
		}
		if time.Now().After(end) {
			t.Fatalf("left alone for a minute, it still holds %d kB", busy)
		}
	}
}

func linuxOnly(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		outside.Missing(t, "/proc, to see what memory is used (Linux)")
	}
}

// 256 at a time are what the Monday of 50,000 people brings at worst.
func TestMemoryOf256SignInsAtATimeIsBounded(t *testing.T) {
	linuxOnly(t)
	s := takeStand(t, build(t), 0)
	s.directory.Set(faults.Fault{Kind: faults.Delay, By: 5 * time.Millisecond}) // so that they are there together
	answers := s.signIns(t, 512, 256)
	now, peak := s.memory(t)
	t.Logf("512 sign-ins, 256 at a time: %v; %d kB, at most %d kB", answers, now, peak)
	if peak > busyMemory {
		t.Errorf("at most %d kB were used, want %d", peak, busyMemory)
	}
	if answers[http.StatusSeeOther] < 256 {
		t.Errorf("only %d of 512 got in: %v", answers[http.StatusSeeOther], answers)
	}
}

// The first thousand fill pools and caches; what comes after them must not
// add up: neither while it works, nor when it rests, which is when an operator
// looks. GATEHOUSE_TEST_SOAK=10m makes it 10,000, for which the limit is.
func TestSignInsLeaveNothingBehind(t *testing.T) {
	linuxOnly(t)
	n := 2000
	if os.Getenv("GATEHOUSE_TEST_SOAK") != "" { // see TestSoak
		n = 10_000
	}
	s := takeStand(t, build(t), 0)
	s.signIns(t, 1000, 16)
	restedBefore := s.rested(t)
	s.signIns(t, 1000, 16) // for which comes back what work needs
	before := proc(t, s.cmd.Process.Pid, "VmRSS:")
	answers := s.signIns(t, n, 16)
	after, restedAfter := proc(t, s.cmd.Process.Pid, "VmRSS:"), s.rested(t)
	t.Logf("%d more sign-ins: %v; from %d kB to %d kB, and at rest from %d kB to %d kB", n, answers, before, after, restedBefore, restedAfter)
	if answers[http.StatusSeeOther] != n {
		t.Errorf("answers %v, want everybody to get in", answers)
	}
	if after-before > growth {
		t.Errorf("%d sign-ins left %d kB behind, want at most %d", n, after-before, growth)
	}
	if restedAfter-restedBefore > growth {
		t.Errorf("%d sign-ins left %d kB behind at rest, want at most %d", n, restedAfter-restedBefore, growth)
	}
}

// What samples would cost is told at sampling (web/admin.go).
func TestAllocationsAreSampledFromTheFirstProfileOn(t *testing.T) {
	s := takeStand(t, "gatehouse", 0)
	profile := func() string {
		status, text := s.get(t, "http://"+s.admin+"/debug/pprof/heap?debug=1&gc=1")
		if status != http.StatusOK {
			t.Fatalf("the profile is answered %d: %s", status, text)
		}
		return text
	}
	if first := profile(); strings.Contains(first, ".openHouse+") {
		t.Errorf("sampled before anybody asked:\n%s", first)
	}
	s.signIns(t, 100, 4) // tens of MB
	if second := profile(); !strings.Contains(second, "net/http.(*conn).serve") {
		t.Errorf("not sampled although somebody has asked:\n%s", second)
	}
}

func TestACrowdOfTenThousandIsShedInBoundedMemoryAndItHeals(t *testing.T) {
	linuxOnly(t)
	if files := mostOpenFiles(t); files < 11_000 {
		outside.Missing(t, fmt.Sprintf("11,000 open files for 10,000 connections; %d are allowed (ulimit -n)", files))
	}
	s := takeStand(t, build(t), 0)
	s.directory.Set(faults.Fault{Kind: faults.Hang})
	s.client.Transport = make(hasty, 64) // they are 10,000 browsers
	began := time.Now()
	answers := s.signIns(t, 10_000, 10_000)
	now, peak := s.memory(t)
	t.Logf("10,000 at once, with a directory that hangs, in %v: %v; %d kB, at most %d kB", time.Since(began).Round(time.Millisecond), answers, now, peak)
	// A connection on which nothing comes for two seconds may make room, which
	// happens to a few where the clients themselves can hardly keep up.
	if shed, closed := answers[http.StatusServiceUnavailable], answers[0]; shed+closed != 10_000 || closed > 100 {
		t.Errorf("answers %v, want 503 for each, a hundred aside", answers)
	}
	if peak > crowdMemory {
		t.Errorf("at most %d kB were used, want %d", peak, crowdMemory)
	}
	s.directory.Set(faults.Fault{})
	healed(t, func() bool { status, _, _ := s.signIn(); return status == http.StatusSeeOther })
}

// A process that may open few files keeps some for the store, the directory
// and AWS, whatever comes in, and goes on when the crowd has left.
func TestOutOfFileDescriptorsPeopleStillSignIn(t *testing.T) {
	t.Parallel()
	for _, files := range []int{200, 160} {
		t.Run(fmt.Sprint(files, " files"), func(t *testing.T) {
			t.Parallel()
			s := takeStand(t, "gatehouse", files)
			var crowd []net.Conn
			for range 200 { // connect and say nothing
				c, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Fatal(err)
				}
				crowd = append(crowd, c)
			}
			began := time.Now()
			healed(t, func() bool {
				status, _, err := s.signIn()
				return err == nil && status == http.StatusSeeOther
			})
			t.Logf("behind 200 silent connections a sign-in took %v", time.Since(began).Round(time.Millisecond))
			for _, c := range crowd {
				_ = c.Close()
			}
			for range 5 {
				if status, _, err := s.signIn(); err != nil || status != http.StatusSeeOther {
					t.Errorf("afterwards a sign-in is answered %d, %v", status, err)
				}
			}
			if text := s.log.String(); !strings.Contains(text, "fewer connections than limits.connections") || strings.Contains(text, `"level":"ERROR"`) {
				t.Errorf("the log:\n%s", text)
			}
		})
	}
}

func mostOpenFiles(t *testing.T) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return int(min(l.Cur, 1<<30))
}
