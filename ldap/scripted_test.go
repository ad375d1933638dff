package ldap_test

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/outside"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// scripted is a server that misbehaves as a test says. It speaks LDAPS.
type scripted struct {
	url string

	mu         sync.Mutex
	binds      map[string]int // by DN
	open, peak int            // connections
	total      int            // connections ever
}

// answer is what a scripted server does with one request: it writes these
// messages, and hangs up afterwards if told so.
type answer struct {
	messages []*ber.Packet
	controls *ber.Packet // of the last message
	raw      []byte
	hangUp   bool
}

// connected counts a connection in (1) or out (-1).
func (s *scripted) connected(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += n
	s.total += max(n, 0)
	s.peak = max(s.peak, s.open)
}

// most is how many connections were open at once.
func (s *scripted) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// connections is how many were ever opened.
func (s *scripted) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

func (s *scripted) bound(dn string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.binds[dn]
}

// script starts a server that answers each request with what reply returns
// for it. dn is the name in a bind, and the base of a search.
func script(t testing.TB, ca *outside.Authority, reply func(op ber.Tag, dn string) answer) *scripted {
	t.Helper()
	cert := ca.IssuePair(t, time.Now().Add(time.Hour), "127.0.0.1")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{url: "ldaps://" + l.Addr().String(), binds: map[string]int{}}
	serve(t, l, func(c net.Conn) {
		s.connected(1)
		defer s.connected(-1)
		for {
			request, err := ber.ReadPacket(c)
			if err != nil || len(request.Children) < 2 {
				return
			}
			if !s.answer(c, request, reply) {
				return
			}
		}
	})
	return s
}

func (s *scripted) answer(c net.Conn, request *ber.Packet, reply func(ber.Tag, string) answer) bool {
	op := request.Children[1]
	dn := ""
	switch op.Tag {
	case goldap.ApplicationBindRequest:
		dn, _ = op.Children[1].Value.(string)
		s.mu.Lock()
		s.binds[dn]++
		s.mu.Unlock()
	case goldap.ApplicationSearchRequest:
		dn, _ = op.Children[0].Value.(string)
	}
	a := reply(op.Tag, dn)
	for i, m := range a.messages {
		envelope := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		envelope.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, request.Children[0].Value, ""))
		envelope.AppendChild(m)
		if a.controls != nil && i == len(a.messages)-1 {
			envelope.AppendChild(a.controls)
		}
		if _, err := c.Write(envelope.Bytes()); err != nil {
			return false
		}
	}
	if _, err := c.Write(a.raw); err != nil {
		return false
	}
	return !a.hangUp
}

// serve accepts connections until the test ends, and ends them with it.
func serve(t testing.TB, l net.Listener, handle func(net.Conn)) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() { defer c.Close(); handle(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// blackHole accepts connections and never says a word.
func blackHole(t testing.TB) (addr string) {
	l := listen(t)
	serve(t, l, func(c net.Conn) { io.Copy(io.Discard, c) })
	return l.Addr().String()
}

// cutter passes connections on to addr, and ends each after so many bytes
// from there.
func cutter(t testing.TB, addr string, after int64) (at string) {
	l := listen(t)
	serve(t, l, func(c net.Conn) {
		up, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer up.Close()
		go func() { io.Copy(up, c); up.Close() }()
		io.CopyN(c, up, after)
	})
	return l.Addr().String()
}

// result is an LDAPResult as the operation op.
func result(op ber.Tag, code int, text string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, op, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	p.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	p.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, text, ""))
	return p
}

// found is a SearchResultEntry.
func found(dn string, pairs ...string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, dn, ""))
	attributes := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	for i := 0; i < len(pairs); i += 2 {
		a := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		a.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, pairs[i], ""))
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		values.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, pairs[i+1], ""))
		a.AppendChild(values)
		attributes.AppendChild(a)
	}
	p.AppendChild(attributes)
	return p
}

func done(code int) *ber.Packet { return result(goldap.ApplicationSearchResultDone, code, "") }

func bindAnswer(code int, text string) answer {
	return answer{messages: []*ber.Packet{result(goldap.ApplicationBindResponse, code, text)}}
}

var alice = []string{"entryUUID", "0f1e2d3c-4b5a-4978-8a6b-5c4d3e2f1a0b", "uid", "alice"}

// wellBehaved is a server that has alice, whose password is anything, and no groups.
func wellBehaved(op ber.Tag, dn string) answer {
	switch {
	case op == goldap.ApplicationBindRequest:
		return bindAnswer(0, "")
	case op == goldap.ApplicationSearchRequest && dn == people:
		return answer{messages: []*ber.Packet{found(uidDN("alice"), alice...), done(0)}}
	case op == goldap.ApplicationSearchRequest:
		return answer{messages: []*ber.Packet{done(0)}}
	}
	return answer{hangUp: true}
}
