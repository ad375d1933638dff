package kerberos

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"gatehouse"
)

// Config says whose tickets are accepted, and from where. Without a
// keytab_file there is no Windows sign-in.
type Config struct {
	// KeytabFile holds the keys of ServicePrincipal, as `ktpass` or
	// `samba-tool domain exportkeytab` write them. Every replica has the same.
	// It is read at the start and at a reload. AES keys only: what is
	// encrypted with RC4 or DES is refused.
	KeytabFile string `yaml:"keytab_file"`

	// ServicePrincipal is whom browsers ask a ticket for. Another one is
	// needed where the host of public_url is an alias in DNS (CNAME), which
	// Chromium resolves first. Default: HTTP/ and the host of public_url.
	ServicePrincipal string `yaml:"service_principal"`

	// Networks are the client networks (10.0.0.0/8) or addresses in which it
	// is tried: those of computers that have tickets. Elsewhere browsers would
	// only ask for passwords in a window of their own. Default: nowhere.
	Networks []string `yaml:"networks"`

	// Directory is the one that has the people of the keytab's realm. It may
	// be left out while there is one directory.
	Directory string `yaml:"directory"`

	// Realms are further realms whose people are let in, which a trust leads
	// to, and the directory of each. Default: none.
	Realms map[string]string `yaml:"realms"`
}

// SetDefaults fills in what the file left out. publicURL is where the pages
// are, directories are the names of those that are configured.
func (c *Config) SetDefaults(publicURL string, directories []string) {
	if !c.On() {
		return
	}
	if u, err := url.Parse(publicURL); err == nil && u.Hostname() != "" {
		c.ServicePrincipal = cmp.Or(c.ServicePrincipal, "HTTP/"+strings.ToLower(u.Hostname()))
	}
	if len(directories) == 1 {
		c.Directory = cmp.Or(c.Directory, directories[0])
	}
}

// On reports whether anything is configured at all.
func (c Config) On() bool {
	return c.KeytabFile != "" || c.ServicePrincipal != "" || c.Directory != "" || len(c.Networks) > 0 || len(c.Realms) > 0
}

// Validate reports every fault, by key. directories are the names of those
// that are configured.
func (c Config) Validate(directories []string) []gatehouse.Fault {
	if !c.On() {
		return nil
	}
	var faults []gatehouse.Fault
	add := func(key, format string, args ...any) {
		faults = append(faults, gatehouse.Fault{Key: key, What: fmt.Sprintf(format, args...)})
	}
	if c.KeytabFile == "" {
		add("keytab_file", "is missing: without the service's keys no ticket can be read")
	}
	if _, host, ok := strings.Cut(c.ServicePrincipal, "/"); !ok || host == "" || strings.ContainsAny(c.ServicePrincipal, "@ ") || strings.Contains(host, "/") {
		add("service_principal", "want SERVICE/HOST such as HTTP/aws.corp.example.com, without a realm, not %q", c.ServicePrincipal)
	}
	for i, n := range c.Networks {
		if _, err := parsePrefix(n); err != nil {
			add(fmt.Sprintf("networks[%d]", i), "want a network such as 10.0.0.0/8 or an address, not %q", n)
		}
	}
	known := func(key, name string) {
		switch {
		case name == "":
			add(key, "is missing: which of the directories (%s) has these people?", strings.Join(directories, ", "))
		case !slices.Contains(directories, name):
			add(key, "there is no directory %q", name)
		}
	}
	known("directory", c.Directory)
	for _, realm := range slices.Sorted(maps.Keys(c.Realms)) {
		known("realms."+realm, c.Realms[realm])
	}
	return faults
}

// Files says what is wrong with KeytabFile, of a Config that has its defaults.
func (c Config) Files() []gatehouse.Fault {
	if c.KeytabFile == "" {
		return nil
	}
	_, err := load(c.KeytabFile)
	if err == nil && strings.Contains(c.ServicePrincipal, "/") { // else Validate has said that it is none
		_, _, err = c.keys()
	}
	if err == nil {
		return nil
	}
	f := gatehouse.FaultOf("keytab_file", err)
	f.Fix = cure(c, err)
	return []gatehouse.Fault{f}
}

// Prefixes are Networks, read.
func (c Config) Prefixes() []netip.Prefix {
	var list []netip.Prefix
	for _, n := range c.Networks {
		if p, err := parsePrefix(n); err == nil { // Validate has refused any other
			list = append(list, p)
		}
	}
	return list
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
