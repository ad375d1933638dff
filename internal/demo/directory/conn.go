package directory

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// How long a client may take, by the real clock.
const (
	idleTimeout      = 15 * time.Minute // between messages; Active Directory's MaxConnIdleTime
	messageTimeout   = 10 * time.Second // from a message's first byte to its last
	handshakeTimeout = 10 * time.Second
	writeTimeout     = 30 * time.Second // for one flush of answers that the client is slow to read
)

// identity is who a connection is bound as: empty while anonymous.
type identity struct{ dn, key string }

// conn is one client. Its requests are answered in order, by one goroutine.
type conn struct {
	s          *Server
	nc         net.Conn
	out        *bufio.Writer
	secure     bool     // TLS is on
	who        identity // set by a bind
	mustChange bool     // the password must be changed before anything else
	pages      pages    // searches of which the client has seen a part
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s}
	c.use(nc)
	return c
}

// use makes nc the stream of this connection.
func (c *conn) use(nc net.Conn) {
	c.nc = nc
	c.out = bufio.NewWriterSize(flushDeadline{nc}, 16<<10)
}

// flushDeadline gives each write its own deadline.
type flushDeadline struct{ net.Conn }

func (w flushDeadline) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}

// errUnbound ends a connection whose client said goodbye.
var errUnbound = errors.New("unbind")

// serve answers requests until the client leaves, misbehaves or is too slow.
// A panic costs this connection only.
func (c *conn) serve() {
	defer func() {
		if p := recover(); p != nil {
			c.s.cfg.Log.Error("directory connection panicked",
				slog.Any("err", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	if c.s.cfg.LDAPS {
		if err := c.startTLS(); err != nil {
			return
		}
	}
	for {
		err := c.next()
		if errors.Is(err, errMalformed) {
			_ = c.send(disconnection(codeProtocolError, err.Error()))
			c.hangUp()
		}
		if err != nil {
			return
		}
	}
}

// hangUp ends the sending side first, and reads a little of what the client
// still sends: closing with unread bytes would reset the connection, and the
// notice might never be seen.
func (c *conn) hangUp() {
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = io.CopyN(io.Discard, c.nc, maxMessage)
}

// next reads one request and answers it.
func (c *conn) next() error {
	if err := c.nc.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return err
	}
	frame, err := readFrame(c.nc, func() {
		_ = c.nc.SetReadDeadline(time.Now().Add(messageTimeout)) // the read that follows fails if this did
	})
	if err != nil {
		return err
	}
	m, err := parseMessage(frame)
	if err != nil {
		return err
	}
	return c.dispatch(m)
}

// responses pairs each operation with the tag of its answer.
var responses = map[ber.Tag]ber.Tag{
	opBind: opBindResponse, opSearch: opSearchDone, opModify: opModify + 1, opAdd: opAdd + 1,
	opDelete: opDelete + 1, opModifyDN: opModifyDN + 1, opCompare: opCompare + 1, opExtended: opExtendedResponse,
}

// dispatch answers m. Unbind and Abandon have no answer; since requests are
// answered in order, there is never anything left to abandon.
func (c *conn) dispatch(m message) error {
	switch m.op.Tag {
	case opUnbind:
		return errUnbound
	case opAbandon:
		return nil
	}
	tag, ok := responses[m.op.Tag]
	if !ok {
		return fmt.Errorf("%w: unknown operation %d", errMalformed, m.op.Tag)
	}
	if oid := unsupportedControl(m); oid != "" {
		return c.send(respond(m.id, tag, outcome{code: codeUnavailableCriticalExt, text: "control " + oid + " is not supported here"}))
	}
	if m.op.Tag == opExtended {
		return c.extended(m)
	}
	o, err := c.perform(m)
	if err != nil {
		return err
	}
	return c.send(respond(m.id, tag, o))
}

// perform runs an operation that has one result.
func (c *conn) perform(m message) (outcome, error) {
	if m.op.Tag == opBind {
		return c.bind(m), nil
	}
	if c.mustChange {
		return restricted(m), nil
	}
	switch m.op.Tag {
	case opSearch:
		return c.search(m)
	case opCompare:
		return c.compare(m), nil
	case opModify:
		return c.modify(m), nil
	}
	return outcome{code: codeUnwilling, text: "this directory is read-only"}, nil
}

// restricted is the answer to somebody who has to change their password
// first, in OpenLDAP's words.
func restricted(m message) outcome {
	return outcome{
		code:     codeInsufficientAccess,
		text:     "Operations are restricted to bind/unbind/abandon/StartTLS/modify password",
		controls: m.policyControl(policyResponse{err: policyChangeAfterReset}),
	}
}

// send writes one message and flushes it.
func (c *conn) send(p *ber.Packet) error {
	if _, err := c.out.Write(p.Bytes()); err != nil {
		return err
	}
	return c.out.Flush()
}

// startTLS performs the server's side of the handshake and goes on over TLS.
func (c *conn) startTLS() error {
	tc := tls.Server(c.nc, c.s.tls)
	if err := c.nc.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	if err := tc.Handshake(); err != nil {
		return err
	}
	if err := c.nc.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.use(tc)
	c.secure = true
	return nil
}
