package web

import (
	"net/netip"
	"testing"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.7/32")}

func TestClientAddress(t *testing.T) {
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"a stranger's header is not believed", "203.0.113.5:4000", []string{"1.1.1.1"}, "203.0.113.5"},
		{"a proxy's is", "10.0.0.1:4000", []string{"203.0.113.5"}, "203.0.113.5"},
		{"the right-most wins: what is left of it the client wrote", "10.0.0.1:4000", []string{"1.1.1.1, 203.0.113.5"}, "203.0.113.5"},
		{"proxies in a row are walked", "10.0.0.1:4000", []string{"1.1.1.1, 203.0.113.5, 10.3.3.3, 192.0.2.7"}, "203.0.113.5"},
		{"several headers are one list", "10.0.0.1:4000", []string{"1.1.1.1", "203.0.113.5, 10.3.3.3"}, "203.0.113.5"},
		{"nothing but proxies: the farthest", "10.0.0.1:4000", []string{"10.9.9.9, 10.3.3.3"}, "10.9.9.9"},
		{"no header: the proxy itself", "10.0.0.1:4000", nil, "10.0.0.1"},
		{"nonsense ends the walk", "10.0.0.1:4000", []string{"1.1.1.1, unknown"}, "10.0.0.1"},
		{"nonsense behind a proxy ends at the proxy", "10.0.0.1:4000", []string{"1.1.1.1, <script>, 10.3.3.3"}, "10.3.3.3"},
		{"an empty element is nonsense", "10.0.0.1:4000", []string{"1.1.1.1,"}, "10.0.0.1"},
		{"ports are dropped", "10.0.0.1:4000", []string{"203.0.113.5:1234"}, "203.0.113.5"},
		{"IPv6 in brackets", "[fd00::1]:4000", []string{"[2001:db8::5]:1234"}, "2001:db8::5"},
		{"IPv6 bare", "[fd00::1]:4000", []string{"2001:db8::5"}, "2001:db8::5"},
		{"IPv4 in IPv6 is IPv4: one client, one throttle", "[::ffff:10.0.0.1]:4000", []string{"::ffff:203.0.113.5"}, "203.0.113.5"},
		{"zones are dropped", "[fe80::1%eth0]:4000", nil, "fe80::1"},
		{"a peer that is no address", "@", []string{"1.1.1.1"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := clientAddress(tt.peer, tt.forwarded, proxies); got != tt.want {
				t.Errorf("clientAddress(%q, %q) = %q, want %q", tt.peer, tt.forwarded, got, tt.want)
			}
		})
	}
}

func FuzzClientAddress(f *testing.F) {
	for _, s := range []string{"", "1.1.1.1", "1.1.1.1, 203.0.113.5, 10.3.3.3", "[::1]:80,fd00::2%x", "unknown, _hidden", ",,,", "10.0.0.1:99999"} {
		f.Add("10.0.0.1:4000", s)
		f.Add("203.0.113.5:4000", s)
	}
	f.Fuzz(func(t *testing.T, peer, header string) {
		got := clientAddress(peer, []string{header}, proxies)
		if got == "" {
			return
		}
		ip, err := netip.ParseAddr(got)
		if err != nil || ip.Zone() != "" || ip.Is4In6() {
			t.Fatalf("clientAddress(%q, %q) = %q, which is no plain address", peer, header, got)
		}
		if p, ok := parseAddress(peer); ok && !within(p, proxies) && got != p.String() {
			t.Fatalf("a stranger %q moved the address to %q by %q", peer, got, header)
		}
		// Whatever a client writes before the address that our proxy appended
		// changes nothing.
		if a := clientAddress("10.0.0.1:1", []string{header + ", 203.0.113.77"}, proxies); a != "203.0.113.77" {
			t.Fatalf("a client's own header %q moved its address to %q", header, a)
		}
	})
}
