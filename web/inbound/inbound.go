// Package inbound is how the server tells the doors what it has settled of a
// request: its reference, and where it came from. Both replace whatever the
// client wrote.
package inbound

import (
	"net"
	"net/http"
)

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
