package ldap

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// The values of Config.Type.
const (
	ActiveDirectory = "active_directory"
	OpenLDAP        = "openldap"
	Custom          = "custom"
)

// Config says where a directory is and how to find people in it. Connections
// are always encrypted and the server's certificate is always verified: there
// is no key to turn that off.
type Config struct {
	// Name is what the rest of the configuration and the audit record call
	// this directory. It is part of every person's identity: do not change it.
	// Lower-case letters, digits, "-" and "_".
	Name string `yaml:"name"`

	// Type is active_directory, openldap or custom. It sets the defaults of
	// the keys below. Default: custom.
	Type string `yaml:"type"`

	// URLs are the servers, tried in order: ldaps://HOST[:636], or
	// ldap://HOST[:389], which is upgraded with StartTLS before anything else
	// is sent.
	URLs []string `yaml:"urls"`

	// Domain is asked of DNS in place of URLs: SRV _ldap._tcp.dc._msdcs.DOMAIN
	// in Active Directory, and _ldap._tcp.DOMAIN where that leads nowhere, and
	// elsewhere. The hosts must lie within the domain, and are spoken to over
	// LDAPS on port 636. DNS is asked again every five minutes; while it does
	// not answer, its last answer is used.
	Domain string `yaml:"domain"`

	// Site is the site of Active Directory whose servers are asked first, where
	// DNS names them; the others only while none of those answers. Default: all
	// are alike.
	// Example: Frankfurt.
	Site string `yaml:"site"`

	// Forest is the DNS name of the root domain of an Active Directory forest,
	// in place of URLs and Domain: people of all its domains sign in. They are
	// found in the global catalogue, below user_base_dn, and then proved and
	// read in their own domain, which their DN spells. base_dn may be left out
	// then, for the whole forest; bind_dn must be name@domain, which all
	// domains take. All their servers' certificates must lead to ca_file.
	Forest string `yaml:"forest"`

	// GlobalCatalog are the forest's catalogue servers: ldaps://HOST[:3269] or
	// ldap://HOST[:3268]. Default: DNS is asked (SRV _gc._tcp.FOREST), those of
	// Site first.
	GlobalCatalog []string `yaml:"global_catalog"`

	// Domains says more of the forest's domains, by their DNS names. Those
	// below Forest need not be here: DNS is asked for their servers when
	// somebody of theirs signs in. Domains of other trees must have URLs.
	Domains map[string]ForestDomain `yaml:"domains"`

	// Suffixes are what the names of this directory's people may end or begin
	// with: the part after "@" of a userPrincipalName, and the NetBIOS name
	// before "\\". A name with one of them is asked of this directory alone,
	// and also understood without it; see Directory.Suffixes. Two directories
	// cannot have the same. Example: [corp.example.com, CORP]. Default: none.
	Suffixes []string `yaml:"suffixes"`

	// CAFile holds the PEM certificates that the servers' certificates must
	// lead to. Default: those that the system trusts.
	CAFile string `yaml:"ca_file"`

	// CertFile and KeyFile are a client certificate, for servers that ask for one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`

	// BaseDN is where people and groups are below. DC=corp,DC=example,DC=com.
	BaseDN string `yaml:"base_dn"`

	// BindDN and BindPassword are the service account that searches. Without
	// them searches are anonymous, which Active Directory does not allow.
	BindDN           string           `yaml:"bind_dn"`
	BindPassword     gatehouse.Secret `yaml:"bind_password"`
	BindPasswordFile string           `yaml:"bind_password_file"`

	// UserBaseDN is where people are. Default: base_dn.
	UserBaseDN string `yaml:"user_base_dn"`

	// UserFilter selects a person; %s becomes the escaped username.
	// Default: by sAMAccountName or userPrincipalName in Active Directory, by
	// uid or mail elsewhere.
	UserFilter string `yaml:"user_filter"`

	// GroupBaseDN is where groups are. Keep it narrow. Default: base_dn.
	GroupBaseDN string `yaml:"group_base_dn"`

	// GroupFilter selects the groups that something is a direct member of: %s
	// becomes the escaped DN of the member, %u the escaped username of the
	// person (and nothing at all for a group in a group). Default: security
	// groups by member in Active Directory; groupOfNames, groupOfUniqueNames
	// and posixGroup elsewhere. In Active Directory nested groups come from
	// tokenGroups, unless a filter is set here: then from walking with it.
	GroupFilter string `yaml:"group_filter"`

	// IDAttribute never changes, is never used again, and is compared ignoring
	// case. Default: objectGUID in Active Directory, entryUUID elsewhere. Do
	// not change it later: people would be other people.
	IDAttribute string `yaml:"id_attribute"`

	// UsernameAttribute is the login name. Default: sAMAccountName, or uid.
	UsernameAttribute string `yaml:"username_attribute"`

	// NameAttribute is what to call somebody. Default: displayName; where an
	// entry has none, its cn.
	NameAttribute string `yaml:"name_attribute"`

	// MailAttribute is their address. Default: mail.
	MailAttribute string `yaml:"mail_attribute"`

	// GroupNameAttribute is what group patterns are matched with. Default:
	// sAMAccountName, or cn.
	GroupNameAttribute string `yaml:"group_name_attribute"`

	// Attributes are further attributes that access rules and session tags
	// refer to. Example: [department, employeeNumber].
	Attributes []string `yaml:"attributes"`

	// Nested says whether the groups of groups count. Default: true.
	Nested *bool `yaml:"nested"`

	// MaxAge is how old a person's groups may be when something is handed
	// out; 0s asks each time. Default: 60s.
	MaxAge *time.Duration `yaml:"max_age"`

	// Timeout is how long one call may take altogether: finding servers,
	// connecting, searching, binding. Default: 5s.
	Timeout time.Duration `yaml:"timeout"`

	// Connections is how many connections may be open for searching, and how
	// many for proving passwords. Default: 4.
	Connections int `yaml:"connections"`
}

// ForestDomain is one domain of a forest.
type ForestDomain struct {
	// URLs are its servers, as in Config. Default: DNS is asked.
	URLs []string `yaml:"urls"`

	// NetBIOS is the domain's short name: EMEA, for names typed EMEA\name.
	NetBIOS string `yaml:"netbios"`
}

// presets are the defaults that a type sets.
var presets = map[string]Config{
	ActiveDirectory: {
		UserFilter:         "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName=%s)(userPrincipalName=%s)))",
		GroupFilter:        "(&(objectCategory=group)" + securityGroup + "(member=%s))",
		IDAttribute:        "objectGUID",
		UsernameAttribute:  "sAMAccountName",
		GroupNameAttribute: "sAMAccountName",
	},
	OpenLDAP: {
		UserFilter: "(&(objectClass=inetOrgPerson)(|(uid=%s)(mail=%s)))",
		GroupFilter: "(|(&(objectClass=groupOfNames)(member=%s))" +
			"(&(objectClass=groupOfUniqueNames)(uniqueMember=%s))(&(objectClass=posixGroup)(memberUid=%u)))",
		IDAttribute:        "entryUUID",
		UsernameAttribute:  "uid",
		GroupNameAttribute: "cn",
	},
	Custom: {
		UserFilter:         "(&(objectClass=person)(uid=%s))",
		GroupFilter:        "(|(&(objectClass=groupOfNames)(member=%s))(&(objectClass=groupOfUniqueNames)(uniqueMember=%s)))",
		IDAttribute:        "entryUUID",
		UsernameAttribute:  "uid",
		GroupNameAttribute: "cn",
	},
}

// SetDefaults fills in what was left out.
func (c *Config) SetDefaults() {
	setDefault(&c.Type, Custom)
	preset := presets[c.Type]
	setDefault(&c.UserBaseDN, c.BaseDN)
	setDefault(&c.GroupBaseDN, c.BaseDN)
	setDefault(&c.UserFilter, preset.UserFilter)
	setDefault(&c.GroupFilter, preset.GroupFilter)
	setDefault(&c.IDAttribute, preset.IDAttribute)
	setDefault(&c.UsernameAttribute, preset.UsernameAttribute)
	setDefault(&c.GroupNameAttribute, preset.GroupNameAttribute)
	setDefault(&c.NameAttribute, "displayName")
	setDefault(&c.MailAttribute, "mail")
	setDefault(&c.MaxAge, new(time.Minute))
	setDefault(&c.Timeout, 5*time.Second)
	setDefault(&c.Connections, 4)
	if c.Nested == nil {
		yes := true
		c.Nested = &yes
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// faults gathers what is wrong with a Config.
type faults []gatehouse.Fault

func (f *faults) add(key, format string, args ...any) {
	*f = append(*f, gatehouse.Fault{Key: key, What: fmt.Sprintf(format, args...)})
}

// place is the key of one element of a list.
func place(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// Validate reports everything that is wrong with c, once SetDefaults has run.
// It reads no file and asks no network.
func (c Config) Validate() []gatehouse.Fault {
	var f faults
	if !directoryName.MatchString(c.Name) {
		f.add("name", `give the directory a name of lower-case letters, digits, "-" and "_", such as corp`)
	}
	if _, ok := presets[c.Type]; !ok {
		f.add("type", "%q is not a type; choose %s, %s or %s", c.Type, ActiveDirectory, OpenLDAP, Custom)
	}
	c.validateServers(&f)
	c.validateForest(&f)
	c.validateSuffixes(&f)
	c.validateServiceAccount(&f)
	c.validateSearches(&f)
	c.validateAttributes(&f)
	if c.MaxAge != nil && *c.MaxAge < 0 {
		f.add("max_age", "is negative")
	}
	if c.Timeout < 100*time.Millisecond || c.Timeout > time.Minute {
		f.add("timeout", "choose between 100ms and 1m")
	}
	if c.Connections < 1 || c.Connections > 100 {
		f.add("connections", "choose between 1 and 100")
	}
	return f
}

var (
	directoryName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	domainName    = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}$`)

	// siteName is one label of a DNS name.
	siteName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

	// attributeName keeps attribute names out of the ways of filters, which
	// escape values only (RFC 4512 §2.5).
	attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9;-]*$`)
)

func (c Config) validateServers(f *faults) {
	ways := 0
	for _, given := range []bool{len(c.URLs) > 0, c.Domain != "", c.Forest != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		f.add("urls", "set one of urls, domain and forest: [ldaps://dc1.corp.example.com], or corp.example.com")
	}
	for i, u := range c.URLs {
		if _, err := parseURL(u, ports); err != nil {
			f.add(place("urls", i), "%v", err)
		}
	}
	for _, k := range []struct{ key, name string }{{"domain", c.Domain}, {"forest", c.Forest}} {
		if k.name != "" && !domainName.MatchString(k.name) {
			f.add(k.key, "%q is not a DNS domain", k.name)
		}
	}
	switch {
	case c.Site == "":
	case !siteName.MatchString(c.Site):
		f.add("site", "%q is not the name of a site", c.Site)
	case c.Domain == "" && c.Forest == "" || c.Type != ActiveDirectory:
		f.add("site", "is of use where DNS is asked for the servers of Active Directory: set domain or forest")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		f.add("cert_file", "a client certificate needs both cert_file and key_file")
	}
}

func (c Config) validateServiceAccount(f *faults) {
	switch {
	case c.BindDN == "" && c.BindPassword != "":
		f.add("bind_dn", "missing, though there is a bind_password")
	case c.BindDN == "" && c.Type == ActiveDirectory:
		f.add("bind_dn", "missing: Active Directory answers no search without a service account")
	case c.BindDN != "" && strings.TrimSpace(string(c.BindPassword)) == "":
		// A bind with a name and no password is anonymous (RFC 4513 §5.1.2).
		f.add("bind_password", "missing: set bind_password_file, or take bind_dn out for anonymous searches")
	case strings.ContainsAny(string(c.BindPassword), "\r\n\x00"):
		f.add("bind_password", "contains a line break or a NUL")
	}
}

func (c Config) validateSearches(f *faults) {
	if c.BaseDN == "" && c.Forest == "" {
		f.add("base_dn", "missing: the DN that people and groups are below, such as DC=corp,DC=example,DC=com")
	}
	for _, k := range []struct{ key, dn string }{
		{"base_dn", c.BaseDN}, {"user_base_dn", c.UserBaseDN}, {"group_base_dn", c.GroupBaseDN}, {"bind_dn", c.BindDN},
	} {
		if _, err := goldap.ParseDN(k.dn); err != nil && !(k.key == "bind_dn" && c.Type != OpenLDAP) {
			// Active Directory also takes user@domain as a service account.
			f.add(k.key, "%q is not a DN", k.dn)
		}
	}
	if !strings.Contains(c.UserFilter, "%s") {
		f.add("user_filter", "has no %%s, where the username goes")
	}
	if extensibleName.MatchString(c.UserFilter) {
		f.add("user_filter", "matches %%s by a rule of its own (:=), which cannot be asked of everybody as look-ups do with * for %%s")
	}
	if _, err := goldap.CompileFilter(userFilter(c.UserFilter, "somebody")); err != nil {
		f.add("user_filter", "is not an LDAP filter: %v", err)
	}
	if !strings.Contains(c.GroupFilter, "%s") && !strings.Contains(c.GroupFilter, "%u") {
		f.add("group_filter", "has neither %%s, where the member's DN goes, nor %%u, where the username goes")
	}
	if _, err := goldap.CompileFilter(groupFilter(c.GroupFilter, "cn=somebody", "somebody")); err != nil {
		f.add("group_filter", "is not an LDAP filter: %v", err)
	}
}

func (c Config) validateAttributes(f *faults) {
	for _, k := range []struct{ key, name string }{
		{"id_attribute", c.IDAttribute}, {"username_attribute", c.UsernameAttribute}, {"name_attribute", c.NameAttribute},
		{"mail_attribute", c.MailAttribute}, {"group_name_attribute", c.GroupNameAttribute},
	} {
		if !attributeName.MatchString(k.name) {
			f.add(k.key, "%q is not the name of an attribute", k.name)
		}
	}
	for i, name := range c.Attributes {
		if !attributeName.MatchString(name) {
			f.add(place("attributes", i), "%q is not the name of an attribute", name)
		}
		if strings.EqualFold(name, "userPassword") || strings.EqualFold(name, "unicodePwd") {
			f.add(place("attributes", i), "%s holds passwords, and must stay where it is", name)
		}
	}
}

// extensibleName finds a username that is compared by a named rule.
var extensibleName = regexp.MustCompile(`:=[^()]*%s`)

// endpoint is one server's address.
type endpoint struct {
	url  string // as configured, for people
	host string // what the certificate must be for
	addr string // host:port to dial
	tls  bool   // from the first byte; otherwise StartTLS
}

// Ports where there is none in a URL: of servers, and of global catalogues
// (MS-ADTS §3.1.1.3).
var (
	ports        = map[string]string{"ldap": "389", "ldaps": "636"}
	catalogPorts = map[string]string{"ldap": "3268", "ldaps": "3269"}
)

// endpoints are the servers that the configuration lists, the preferred first.
func (c Config) endpoints() ([]endpoint, error) {
	key, urls, ports := "urls", c.URLs, ports
	if c.Forest != "" {
		key, urls, ports = "global_catalog", c.GlobalCatalog, catalogPorts
	}
	var list []endpoint
	for _, u := range urls {
		e, err := parseURL(u, ports)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		list = append(list, e)
	}
	return list, nil
}

// parseURL reads ldap://HOST[:PORT] or ldaps://HOST[:PORT], and nothing more:
// a base or a filter in the URL (RFC 4516) would silently mean nothing here.
func parseURL(s string, ports map[string]string) (endpoint, error) {
	u, err := url.Parse(s)
	if err != nil {
		return endpoint{}, errors.New("is not a URL: want ldaps://HOST or ldap://HOST")
	}
	port, ok := ports[u.Scheme]
	switch {
	case !ok || u.Hostname() == "":
		return endpoint{}, fmt.Errorf("%q: want ldaps://HOST or ldap://HOST", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return endpoint{}, fmt.Errorf("%q: only a host and a port belong here; see base_dn and bind_dn", u.Redacted())
	}
	if p := u.Port(); p != "" {
		port = p
	}
	return endpoint{url: s, host: u.Hostname(), addr: net.JoinHostPort(u.Hostname(), port), tls: u.Scheme == "ldaps"}, nil
}

// clientTLS builds what every connection starts from.
func (c Config) clientTLS() (*tls.Config, error) {
	conf := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no PEM certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}
