package gatehouse

import "net/netip"

// oneClient is how many bits of an IPv6 address stand for one client, who
// commands at least the /64 that they live in (RFC 6177 §2).
const oneClient = 64

// Network is what counts as one client wherever something is counted or
// bounded by address: an IPv4 address, also one written as IPv6; of an IPv6
// address its /64, without its zone. All text that is no address is one client.
func Network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "unknown"
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(oneClient) // of 128 bits
	return prefix.String()
}
