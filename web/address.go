package web

import (
	"net"
	"net/netip"
	"strings"
)

// clientAddress is where a request really came from: the peer, unless the
// peer is a trusted proxy; then the right-most address of X-Forwarded-For
// that is not one itself. Everything to the left of that was written by the
// client and may be a lie. What cannot be read ends the walk, and the last
// proxy stands for whoever was behind it.
func clientAddress(peer string, forwardedFor []string, trusted []netip.Prefix) string {
	at, ok := parseAddress(peer)
	if !ok {
		return ""
	}
	hops := strings.Split(strings.Join(forwardedFor, ","), ",")
	for i := len(hops) - 1; i >= 0 && within(at, trusted); i-- {
		before, ok := parseAddress(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		at = before
	}
	return at.String()
}

// parseAddress reads an address with or without a port. An IPv4 address
// written as IPv6 is the IPv4 address: one client, one throttle.
func parseAddress(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	ip, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.Unmap().WithZone(""), true
}

func within(ip netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
