// Package inbound is how the server tells the doors what it has settled of a
// request: its reference, and where it came from. Both replace whatever the
// client wrote. It also holds what can be wrong with a request at any door.
package inbound

import (
	"errors"
	"net"
	"net/http"
	"strings"
)

// What can be wrong with a request before anybody looks at what it wants.
var (
	ErrMethod   = errors.New("method not allowed")
	ErrLength   = errors.New("body without a length")
	ErrTooLarge = errors.New("body too large")
	ErrForm     = errors.New("unreadable form")
	ErrType     = errors.New("body is no form")
)

// Person says whether a person waits for the answer to r: browsers take HTML
// and say so, programs do not.
func Person(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// IDHeader carries the reference of a request: on to the door, and back to
// the client.
const IDHeader = "X-Request-Id"

// Settle writes into r what ID and IP read.
func Settle(r *http.Request, id, ip string) {
	r.Header.Set(IDHeader, id)
	r.RemoteAddr = net.JoinHostPort(ip, "0")
}

// ID is the reference of r, for logs and the record.
func ID(r *http.Request) string { return r.Header.Get(IDHeader) }

// IP is the address where r came from.
func IP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
