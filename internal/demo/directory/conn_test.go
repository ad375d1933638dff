package directory

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// raw opens a connection without a client library on it.
func raw(t testing.TB, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// request wraps an operation into a message of that id.
func request(id int64, op *ber.Packet) []byte { return envelope(id, op, nil).Bytes() }

func application(tag ber.Tag, children ...*ber.Packet) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	for _, c := range children {
		p.AppendChild(c)
	}
	return p
}

// startTLSRequest is the message that asks for TLS.
func startTLSRequest() []byte {
	return request(1, application(opExtended, ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oidStartTLS, "")))
}

// nested is an element with depth others around it.
func nested(depth int) []byte {
	b := []byte{0x30, 0}
	for range depth {
		head := []byte{0x30, 0x84, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(head[2:], uint32(len(b)))
		b = append(head, b...)
	}
	return b
}

func TestGarbageGetsNoticeAndHarmsNobodyElse(t *testing.T) {
	wide := append([]byte{0x30, 0x84, 0, 0x0f, 0, 0}, bytes.Repeat([]byte{4, 0}, 0x0f0000/2)...)
	tests := []struct {
		name  string
		bytes []byte
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n")},
		{"TLS on the plain port", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
		{"a message of 2 GB", []byte("\x30\x84\x7f\xff\xff\xff")},
		{"a message just over the limit", []byte("\x30\x83\x10\x00\x01")},
		{"a length of no end", []byte("\x30\x80\x02\x01\x01\x00\x00")},
		{"a length of nine bytes", []byte("\x30\x89\x01\x01\x01\x01\x01\x01\x01\x01\x01")},
		{"an empty message", []byte("\x30\x00")},
		{"a child longer than its parent", []byte("\x30\x05\x02\x01\x01\x42\x05")},
		{"message id zero", request(0, application(opUnbind))},
		{"a message id below zero", request(-1, application(opUnbind))},
		{"an unknown operation", request(1, application(30))},
		{"a response", request(1, application(opSearchDone))},
		{"an operation of another class", request(1, ber.NewSequence(""))},
		{"elements within elements", nested(10_000)},
		{"too many elements", wide},
	}
	s := start(t, Config{})
	bystander := bound(t, s, service)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := raw(t, s)
			if _, err := c.Write(tt.bytes); err != nil {
				t.Fatal(err)
			}
			if w, ok := c.(*net.TCPConn); ok {
				_ = w.CloseWrite()
			}
			answer, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			if p := ber.DecodePacket(answer); p == nil || !bytes.Contains(answer, []byte(oidDisconnection)) || p.Children[0].Value != int64(0) {
				t.Errorf("answer %q, want a notice of disconnection", answer)
			}
			if _, err := bystander.Search(ask("(uid=alice)")); err != nil {
				t.Errorf("another connection: %v", err)
			}
		})
	}
}

func TestMalformedOperationsAreProtocolErrors(t *testing.T) {
	for name, op := range map[string]*ber.Packet{
		"an empty bind":     application(opBind),
		"a bind of version": application(opBind, octetString("3"), octetString(""), octetString("")),
		"LDAPv2": application(opBind, enumerated(2), octetString(""),
			ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "", "")),
		"an empty search":       application(opSearch),
		"an empty extension":    application(opExtended),
		"a search of fragments": application(opSearch, enumerated(1), enumerated(1), enumerated(1), enumerated(1), enumerated(1), enumerated(1), enumerated(1), enumerated(1)),
	} {
		c := raw(t, start(t, Config{}))
		if _, err := c.Write(request(7, op)); err != nil {
			t.Fatal(err)
		}
		p, err := ber.ReadPacket(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if id, result := p.Children[0].Value, p.Children[1].Children[0].Value; id != int64(7) || result != int64(codeProtocolError) {
			t.Errorf("%s: message %v has result %v, want 7 and 2", name, id, result)
		}
	}
}

// What is sent in clear behind a StartTLS request must not count as if it had
// come over TLS: the class of CVE-2011-0411.
func TestNothingSlipsInBeforeTLS(t *testing.T) {
	s := start(t, Config{})
	c := raw(t, s)
	bind := application(opBind, ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 3, ""),
		octetString(service), ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, password, ""))
	if _, err := c.Write(append(startTLSRequest(), request(2, bind)...)); err != nil {
		t.Fatal(err)
	}
	if _, err := ber.ReadPacket(c); err != nil {
		t.Fatal(err)
	}
	if err := tls.Client(c, clientTLS(s)).Handshake(); err == nil {
		t.Error("the handshake succeeded behind a bind in clear")
	}
	if n := s.Binds(service); n != 0 {
		t.Errorf("%d binds were tried, want none", n)
	}
}

func TestAbandonHasNoAnswer(t *testing.T) {
	s := start(t, Config{})
	c := raw(t, s)
	abandon := ber.NewInteger(ber.ClassApplication, ber.TypePrimitive, opAbandon, 1, "")
	if _, err := c.Write(append(request(2, abandon), startTLSRequest()...)); err != nil {
		t.Fatal(err)
	}
	p, err := ber.ReadPacket(c)
	if err != nil || p.Children[0].Value != int64(1) {
		t.Errorf("first answer %v, %v; want that to message 1", p, err)
	}
}

func TestAPanicEndsItsConnectionOnly(t *testing.T) {
	var bomb atomic.Bool
	s := start(t, Config{Now: func() time.Time {
		if bomb.Load() {
			panic("boom")
		}
		return noon
	}})
	victim, bystander := bound(t, s, service), bound(t, s, service)
	bomb.Store(true)
	if _, err := victim.Search(ask("(uid=alice)")); err == nil {
		t.Error("a search that panicked was answered")
	}
	bomb.Store(false)
	if _, err := bystander.Search(ask("(uid=alice)")); err != nil {
		t.Errorf("another connection: %v", err)
	}
	if _, err := bound(t, s, service).Search(ask("(uid=alice)")); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

func TestTooManyConnectionsAreTurnedAway(t *testing.T) {
	s := start(t, Config{})
	s.mu.Lock()
	for range maxConnections {
		s.conns[&net.TCPConn{}] = true
	}
	s.mu.Unlock()
	answer, err := io.ReadAll(raw(t, s))
	if err != nil || !bytes.Contains(answer, []byte("too many connections")) {
		t.Errorf("one more than the limit: %q, %v; want a notice", answer, err)
	}
	s.mu.Lock()
	clear(s.conns)
	s.mu.Unlock()
	bound(t, s, service)
}

func TestCloseEndsEverybody(t *testing.T) {
	s := start(t, Config{})
	idle, silent := bound(t, s, service), raw(t, s)
	if _, err := silent.Write([]byte{0x30}); err != nil {
		t.Fatal(err)
	}
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	if _, err := idle.Search(ask("(uid=alice)")); err == nil {
		t.Error("a search after Close was answered")
	}
	if _, err := net.Dial("tcp", s.listener.Addr().String()); err == nil {
		t.Error("a connection after Close was accepted")
	}
}

func TestClientsAtOnceSeeWhatIsPut(t *testing.T) {
	s := start(t, Config{})
	var clients sync.WaitGroup
	for i := range 4 {
		c := bound(t, s, service)
		clients.Go(func() {
			for range 50 {
				if i == 0 {
					put(t, s, "CN=new,"+suffix, map[string]string{"uid": "new"})
				}
				if r, err := c.Search(ask("(|(uid=alice)(memberOf=CN=dev,OU=Groups," + suffix + "))")); err != nil || len(r.Entries) != 2 {
					t.Errorf("search: %d entries, %v", len(r.Entries), err)
				}
			}
		})
	}
	clients.Wait()
	if r, err := bound(t, s, service).Search(ask("(uid=new)")); err != nil || len(r.Entries) != 1 {
		t.Errorf("the new entry: %v", err)
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0", "example.com:0", "127.0.0.1"} {
		if s, err := Start(Config{Suffix: suffix, Listen: address}); err == nil {
			_ = s.Close()
			t.Errorf("%q was listened on", address)
		}
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if s, err := Serve(l, Config{Suffix: suffix}); err == nil {
		_ = s.Close()
		t.Error("a listener on all addresses was served")
	}
}

func TestABadConfigIsRefused(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no suffix":                   {},
		"a suffix that is no DN":      {Suffix: "corp"},
		"an entry elsewhere":          {Suffix: suffix, Entries: []Entry{{DN: "CN=a,DC=notcorp,DC=example,DC=com"}}},
		"an entry that is no DN":      {Suffix: suffix, Entries: []Entry{{DN: "alice"}}},
		"an entry of no name":         {Suffix: suffix, Entries: []Entry{{DN: ""}}},
		"a certificate without bytes": {Suffix: suffix, Certificate: &tls.Certificate{}},
	} {
		if s, err := Start(cfg); err == nil {
			_ = s.Close()
			t.Errorf("%s was accepted", name)
		}
	}
}

// FuzzMessage holds that no bytes make the server panic, neither while it
// reads them nor when it acts on them, and that what the bounds let through
// is what the library reads.
func FuzzMessage(f *testing.F) {
	f.Add(startTLSRequest())
	f.Add(nested(50))
	for _, filter := range []string{"(&(uid=a*)(!(cn=x)))", "(member:1.2.840.113556.1.4.1941:=CN=a)"} {
		p, err := goldap.CompileFilter(filter)
		if err != nil {
			f.Fatal(err)
		}
		attrs := ber.NewSequence("")
		attrs.AppendChild(octetString("*"))
		op := application(opSearch, octetString(suffix), enumerated(2), enumerated(0), enumerated(0), enumerated(0),
			ber.NewLDAPBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""), p, attrs)
		f.Add(envelope(3, op, []*ber.Packet{responseControl(oidPaging, ber.NewSequence(""))}).Bytes())
	}
	for _, op := range []*ber.Packet{
		application(opCompare, octetString(alice), ber.NewSequence("")), application(opModify, octetString(alice), ber.NewSequence("")),
		application(opBind, enumerated(3), octetString(alice), ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, password, "")),
		application(opExtended, ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oidPasswordModify, ""),
			ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, "\x30\x03\x82\x01x", "")),
	} {
		f.Add(request(9, op))
	}
	entries, err := ParseLDIF(strings.NewReader(testEntries))
	if err != nil {
		f.Fatal(err)
	}
	s := &Server{cfg: Config{Suffix: suffix, Entries: entries, Now: time.Now, AllowCleartext: true}}
	if err := s.fill(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := readFrame(bytes.NewReader(data), func() {})
		if err != nil {
			return
		}
		m, err := parseMessage(frame)
		if err != nil {
			return
		}
		client, server := net.Pipe()
		_ = client.Close() // answers go nowhere
		c := newConn(s, server)
		c.who = identity{dn: alice, key: "cn=alice,ou=people,dc=corp,dc=example,dc=com"}
		if err := c.dispatch(m); err == nil && m.op.Tag != opAbandon {
			t.Error("an answer was sent to a closed connection")
		} else if errors.Is(err, io.EOF) {
			t.Errorf("dispatch: %v", err)
		}
	})
}
