package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// conn is one encrypted connection to one server, used by one call at a time.
//
// go-ldap knows no contexts, its own timeouts leave a blocked write and a TLS
// handshake unwatched, and its Close can wait behind such a write. So the
// socket is kept at hand here, and closing that is what ends a call in time.
type conn struct {
	*goldap.Conn
	socket net.Conn
	server *server
	opened time.Time
	used   time.Time
	state  tls.ConnectionState

	// doubted: the server asked for a client certificate, and has not yet
	// answered anything since.
	doubted bool
}

// dial opens a connection and encrypts it; nothing is sent in clear but the
// request to start TLS.
func (p *pool) dial(ctx context.Context, s *server) (*conn, error) {
	d := net.Dialer{KeepAlive: 30 * time.Second, Resolver: p.resolver}
	socket, err := d.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	conf, asked := p.tls.Clone(), false
	conf.ServerName, conf.GetClientCertificate = s.host, askedFor(&asked, conf.Certificates)
	encrypted, err := encrypt(ctx, socket, s, conf)
	if err != nil {
		socket.Close()
		return nil, handshakeFault(err, asked)
	}
	c := &conn{Conn: goldap.NewConn(encrypted, true), socket: socket, server: s, opened: p.now(), used: p.now(),
		state: encrypted.ConnectionState(), doubted: asked}
	c.Start()
	return c, nil
}

// encrypt starts TLS on socket. It is done here and not by go-ldap's StartTLS,
// which cannot be interrupted and drops the reason why a certificate was refused.
func encrypt(ctx context.Context, socket net.Conn, s *server, conf *tls.Config) (*tls.Conn, error) {
	if !s.tls {
		if err := during(ctx, socket, func() error { return startTLS(socket) }); err != nil {
			return nil, fmt.Errorf("StartTLS with %s: %w", s.host, err)
		}
	}
	encrypted := tls.Client(socket, conf)
	if err := during(ctx, socket, func() error { return encrypted.HandshakeContext(ctx) }); err != nil {
		return nil, fmt.Errorf("TLS with %s: %w", s.host, err)
	}
	return encrypted, nil
}

// startTLSRequest is an ExtendedRequest with message ID 1 and the name
// 1.3.6.1.4.1.1466.20037 (RFC 4511 §4.14.1), in BER.
var startTLSRequest = append([]byte{0x30, 0x1d, 0x02, 0x01, 0x01, 0x77, 0x18, 0x80, 0x16}, "1.3.6.1.4.1.1466.20037"...)

// startTLS asks the server to go on in TLS. It reads the answer and not a byte
// more, so that nothing sent in clear can be taken for something encrypted.
func startTLS(rw io.ReadWriter) error {
	if _, err := rw.Write(startTLSRequest); err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	answer, err := ber.ReadPacket(io.LimitReader(rw, 16<<10))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if len(answer.Children) < 2 || answer.Children[1].Tag != goldap.ApplicationExtendedResponse {
		return errors.New("the answer makes no sense")
	}
	if err := goldap.GetLDAPError(answer); err != nil {
		return fmt.Errorf("%w: %w", errNoStartTLS, err)
	}
	return nil
}

// silence is a deadline that passed without an answer. What the socket said
// when we closed it under the wait tells nothing more, and is left out.
type silence struct{ allowed time.Duration }

func (e *silence) Error() string { return fmt.Sprintf("no answer within %v", e.allowed) }

// Unwrap makes it what a context says whose deadline has passed.
func (e *silence) Unwrap() error { return context.DeadlineExceeded }

// during runs f, which talks over c, and closes the socket under it when ctx
// ends. After an error of the transport c must not be used again.
func (c *conn) during(ctx context.Context, f func() error) error { return during(ctx, c.socket, f) }

func during(ctx context.Context, socket io.Closer, f func() error) error {
	var allowed time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		allowed = time.Until(deadline).Round(100 * time.Millisecond)
	}
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	err := f()
	inTime := stop()
	_, answered := resultCode(err)
	switch {
	case inTime && (err == nil || ctx.Err() == nil), answered:
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &silence{allowed} // if f was done: too late, and the socket is gone under the next call
	}
	return ctx.Err()
}

// bind binds as dn. The result may be there when the error is, too: its
// controls say why (draft-behera-ldap-password-policy §6.2).
func (c *conn) bind(ctx context.Context, dn, password string) (result *goldap.SimpleBindResult, err error) {
	controls := []goldap.Control{goldap.NewControlBeheraPasswordPolicy()}
	err = c.during(ctx, func() (err error) {
		result, err = c.SimpleBind(goldap.NewSimpleBindRequest(dn, password, controls))
		return err
	})
	err = handshakeFault(err, c.doubted)
	c.doubted = c.doubted && err != nil
	return result, err
}

// close says good-bye; drop just hangs up, for a connection that may be stuck.
func (c *conn) close() {
	c.socket.SetDeadline(time.Now().Add(time.Second))
	c.Conn.Close()
}

func (c *conn) drop() { c.socket.Close() }

// broken reports whether err means that the connection, rather than the
// request, failed. go-ldap's own codes begin at 200; what is no *goldap.Error
// comes from the socket.
func broken(err error) bool {
	code, ok := resultCode(err)
	return err != nil && !ok && code != goldap.ErrorFilterCompile
}

// resultCode is the code that the server answered with; ok is false when err
// is not an answer of the server's.
func resultCode(err error) (code uint16, ok bool) {
	var e *goldap.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.ResultCode, e.ResultCode < goldap.ErrorNetwork
}

// troubled reports whether the server answered that it cannot serve at present.
func troubled(err error) bool {
	code, ok := resultCode(err)
	return ok && (code == goldap.LDAPResultBusy || code == goldap.LDAPResultUnavailable)
}
