package web

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/export"
)

// Config says where the pages are and how long a sign-in lasts. Its keys are
// at the top level of the configuration file.
type Config struct {
	// PublicURL is what people, clients and service providers see: the origin
	// of cookies and links, nothing more than scheme, host and port. It is
	// https; http only on a loopback host, since any other browser drops the
	// cookie there (seen in Chromium). Example: https://aws.corp.example.com.
	PublicURL string `yaml:"public_url"`

	// Listen is the address of the three doors. Default: ":8443".
	Listen string `yaml:"listen"`

	// AdminListen is the address of metrics and profiles. Default: 127.0.0.1:9443.
	AdminListen string `yaml:"admin_listen"`

	// TLS holds the web certificate; empty behind a proxy that terminates TLS.
	TLS TLS `yaml:"tls"`

	// TrustedProxies are the addresses (10.1.2.3) or networks (10.0.0.0/8)
	// whose X-Forwarded-For is believed. Default: none.
	TrustedProxies []string `yaml:"trusted_proxies"`

	// DrainDelay is how long, at the end, everything is still answered while
	// readiness says no, so that load balancers look elsewhere first: longer
	// than it takes them to notice. 0s where nothing stands before Gatehouse.
	// Default: 5s.
	DrainDelay *time.Duration `yaml:"drain_delay"`

	// Limits bounds what waits or runs at a time.
	Limits Limits `yaml:"limits"`

	// Session limits how long a sign-in is good for.
	Session Session `yaml:"session"`

	// Portal is what the pages say about this installation.
	Portal Portal `yaml:"portal"`
}

// TLS names the web certificate's files, PEM. They are read again when they
// change. An ECDSA key is best: a new connection costs less than half.
type TLS struct {
	CertFile string `yaml:"cert_file"` // leaf first, then intermediates
	KeyFile  string `yaml:"key_file"`
}

// Limits bounds what waits or runs at a time, and with it memory. Nobody who
// is turned away loses anything: they get a page of status 503 that says when
// to come again.
type Limits struct {
	// Connections that are open at a time. At the limit the one that idled
	// longest is closed for each that comes; where none idles, new ones wait
	// in the kernel. A quarter of them may be one address's, trusted proxies
	// aside. Lowered by itself where the process may not have as many files
	// open. Default: 1024.
	Connections int `yaml:"connections"`

	// Requests that are under way at a time, of which HTTP/2 lets one
	// connection have several; more are refused at once. Assets and health are
	// not counted. Default: 1024.
	Requests int `yaml:"requests"`

	// SignIns that run at a time. A directory answers no faster when more of
	// them ask it, but when they are too many each waits for all the others,
	// until none is answered in time. Default: 32.
	SignIns int `yaml:"sign_ins"`

	// SignInsPerAddress is how many of them are one client address's, IPv6 by
	// /64. Default: 16.
	SignInsPerAddress int `yaml:"sign_ins_per_address"`

	// SignInsWaiting is how many wait for a turn, each up to five seconds; a
	// quarter of them may be one address's. More are refused at once.
	// Default: 512.
	SignInsWaiting int `yaml:"sign_ins_waiting"`

	// SessionsPerPerson is how many sessions of browsers one person has at a
	// time, and again how many sign-ins of command-line programs. With each
	// more, the one that idled longest ends, of programs the one that ends
	// soonest. Default: 500.
	SessionsPerPerson int `yaml:"sessions_per_person"`
}

func (l *Limits) setDefaults() {
	l.Connections = cmp.Or(l.Connections, 1024)
	l.Requests = cmp.Or(l.Requests, 1024)
	l.SignIns = cmp.Or(l.SignIns, 32)
	l.SignInsPerAddress = cmp.Or(l.SignInsPerAddress, 16)
	l.SignInsWaiting = cmp.Or(l.SignInsWaiting, 512)
	l.SessionsPerPerson = cmp.Or(l.SessionsPerPerson, 500)
}

// Session limits how long a sign-in is good for.
type Session struct {
	Idle time.Duration `yaml:"idle"` // without a request. Default: 1h
	Max  time.Duration `yaml:"max"`  // since the sign-in, whatever happens. Default: 12h
	CLI  time.Duration `yaml:"cli"`  // of command-line clients. Default: 12h
}

// Portal is what the pages say about this installation.
type Portal struct {
	// Name is the heading of every page. Default: Gatehouse.
	Name string `yaml:"name"`

	// Support is whom to ask: a mail address, an https URL, or plain words
	// ("the platform team, extension 4711"). Default: your platform team.
	Support string `yaml:"support"`

	// Notice is a line on the sign-in page and the portal. Default: none.
	Notice string `yaml:"notice"`

	// LogoFile is a picture in place of the mark: SVG or PNG, at most 32 KB,
	// best as wide as high. Default: none.
	LogoFile string `yaml:"logo_file"`

	// Profile is how profiles are named unless somebody names one: {account},
	// {role}, {environment} and {number} stand for the role's own, in small
	// letters. Default: "{account}-{role}".
	Profile string `yaml:"profile"`
	// PasswordNotice is how long before a password expires the portal says so,
	// where the directory tells; 0s never. Default: 336h, two weeks.
	PasswordNotice *time.Duration `yaml:"password_notice"`
}

// SetDefaults fills in what was left out.
func (c *Config) SetDefaults() {
	c.Listen = cmp.Or(c.Listen, ":8443")
	c.AdminListen = cmp.Or(c.AdminListen, "127.0.0.1:9443")
	if c.DrainDelay == nil {
		c.DrainDelay = new(5 * time.Second)
	}
	c.Limits.setDefaults()
	c.Session.Idle = cmp.Or(c.Session.Idle, time.Hour)
	c.Session.Max = cmp.Or(c.Session.Max, 12*time.Hour)
	c.Session.CLI = cmp.Or(c.Session.CLI, 12*time.Hour)
	c.Portal.Name = cmp.Or(c.Portal.Name, "Gatehouse")
	c.Portal.Profile = cmp.Or(c.Portal.Profile, "{account}-{role}")
	if c.Portal.PasswordNotice == nil {
		c.Portal.PasswordNotice = new(14 * 24 * time.Hour)
	}
	c.Portal.Support = cmp.Or(c.Portal.Support, whomToAsk)
}

// Validate reports everything that is wrong, by key.
func (c Config) Validate() []gatehouse.Fault {
	var faults []gatehouse.Fault
	add := func(key, what string) {
		if what != "" {
			faults = append(faults, gatehouse.Fault{Key: key, What: what})
		}
	}
	add("public_url", faultInPublicURL(c.PublicURL))
	add("listen", faultInAddress(c.Listen))
	add("admin_listen", faultInAddress(c.AdminListen))
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		add("tls", "cert_file and key_file belong together: give both or neither")
	}
	for i, p := range c.TrustedProxies {
		if _, err := parsePrefix(p); err != nil {
			add("trusted_proxies["+strconv.Itoa(i)+"]", "want an address or a network such as 10.0.0.0/8, not "+strconv.Quote(p))
		}
	}
	if _, err := readLogo(c.Portal.LogoFile); err != nil {
		faults = append(faults, gatehouse.FaultOf("portal.logo_file", err))
	}
	add("portal.profile", faultInProfile(c.Portal.Profile))
	if d := c.DrainDelay; d != nil && (*d < 0 || *d > longestDelay) {
		add("drain_delay", "want between 0s and "+longestDelay.String())
	}
	for key, n := range map[string]int{"connections": c.Limits.Connections, "requests": c.Limits.Requests, "sign_ins": c.Limits.SignIns,
		"sign_ins_per_address": c.Limits.SignInsPerAddress, "sign_ins_waiting": c.Limits.SignInsWaiting, "sessions_per_person": c.Limits.SessionsPerPerson} {
		if n < 4 || n > 1<<20 {
			add("limits."+key, "want between 4 and 1048576")
		}
	}
	add("session.idle", faultInLimit(c.Session.Idle, 24*time.Hour))
	add("session.max", faultInLimit(c.Session.Max, 7*24*time.Hour))
	add("session.cli", faultInLimit(c.Session.CLI, 90*24*time.Hour))
	if d := c.Portal.PasswordNotice; d != nil && *d != 0 {
		add("portal.password_notice", faultInLimit(*d, 90*24*time.Hour))
	}
	if c.Session.Idle > c.Session.Max {
		add("session.idle", "is longer than session.max: nobody could ever be idle that long")
	}
	return faults
}

// Files reports what is wrong with the web certificate's files, by key.
func (c Config) Files() []gatehouse.Fault {
	var faults []gatehouse.Fault
	if c.TLS.CertFile != "" && c.TLS.KeyFile != "" {
		for _, f := range gatehouse.KeyPairFaults(c.TLS.CertFile, c.TLS.KeyFile) {
			f.Key = "tls." + f.Key
			faults = append(faults, f)
		}
	}
	return faults
}

// faultInPublicURL says what is wrong with public_url, or nothing.
func faultInPublicURL(raw string) string {
	if raw == "" {
		return "is missing: the address people type, for example https://aws.corp.example.com"
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "want a whole address such as https://aws.corp.example.com"
	case u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "want only scheme, host and port: no name, path, query or fragment"
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return ""
	case u.Scheme == "http":
		return "want https: browsers drop secure cookies on plain http except on localhost and 127.0.0.1"
	}
	return "want https://, not " + strconv.Quote(u.Scheme)
}

// faultInProfile wants a template that gives each role a name of its own.
func faultInProfile(template string) string {
	plain := strings.NewReplacer("{account}", "a", "{role}", "r", "{number}", "1", "{environment}", "e").Replace(template)
	switch {
	case template == "":
		return "" // its default is good
	case export.ProfileName(plain) != nil:
		return "want letters, digits and . _ @ + = , - around {account}, {number}, {role} and {environment}"
	case !strings.Contains(template, "{role}") || !strings.Contains(template, "{account}") && !strings.Contains(template, "{number}"):
		return "must hold {role} and one of {account} and {number}, or two roles would have one name"
	}
	return ""
}

func faultInAddress(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "want HOST:PORT or :PORT, for example 127.0.0.1:8443"
	}
	return ""
}

func faultInLimit(d, most time.Duration) string {
	if d < time.Minute || d > most {
		return "want between 1m and " + strconv.Itoa(int(most.Hours())) + "h"
	}
	return ""
}

// isLoopback reports whether host names this machine only.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// parsePrefix reads an address or a network.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	ip = ip.Unmap().WithZone("")
	return netip.PrefixFrom(ip, ip.BitLen()), nil
}
