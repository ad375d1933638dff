package aws

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"time"

	"gatehouse"
)

// Config says which AWS accounts there are and how AWS is reached.
type Config struct {
	// Region is where an account's STS endpoint and console are unless the
	// account says otherwise. Example: eu-west-1. One near Gatehouse answers
	// soonest; STS must be active there in the account.
	Region string `yaml:"region"`

	// Provider is the name of the IAM SAML provider in each account, unless
	// the account says otherwise. Default: Gatehouse.
	Provider string `yaml:"provider"`

	// AccountsFile is a CSV file of accounts, with a header: id, and any of
	// name, environment, owner, colour, provider, region, partition.
	AccountsFile string `yaml:"accounts_file"`

	// Accounts lists accounts here, by their twelve digits, in quotes.
	Accounts map[string]AccountConfig `yaml:"accounts"`

	// STSEndpoint is a private or test endpoint in place of each region's
	// own: https, or http on loopback. Default: none.
	STSEndpoint string `yaml:"sts_endpoint"`

	// SigninEndpoint takes the place of AWS's sign-in for federation and as
	// the recipient of assertions: https, or http on loopback. Default: none.
	SigninEndpoint string `yaml:"signin_endpoint"`

	// CAFile holds the PEM certificates that the two endpoints above, or a
	// proxy that looks into TLS, are trusted by, besides the system's.
	CAFile string `yaml:"ca_file"`

	// Timeout bounds each call to AWS, all its attempts together.
	// Default: 4s, so that a person has an answer within five.
	Timeout time.Duration `yaml:"timeout"`
}

// AccountConfig describes one account. Empty fields take the defaults above.
type AccountConfig struct {
	Name        string `yaml:"name"`        // what people call it; default: its digits
	Environment string `yaml:"environment"` // a word of yours: prod, staging, dev
	Owner       string `yaml:"owner"`       // whom to ask about it
	Colour      string `yaml:"colour"`      // red, orange, amber, olive, green, teal, cyan, blue, indigo, violet, pink or gray; default: its environment's
	Provider    string `yaml:"provider"`    // name of its IAM SAML provider
	Region      string `yaml:"region"`      // whose STS serves it, and where its console opens
	Partition   string `yaml:"partition"`   // aws, aws-us-gov, aws-cn; default: the region's
}

// SetDefaults fills in what the file left out.
func (c *Config) SetDefaults() {
	c.Provider = cmp.Or(c.Provider, "Gatehouse")
	c.Timeout = cmp.Or(c.Timeout, 4*time.Second)
}

// Validate lists everything that is wrong, the accounts file included.
func (c Config) Validate() []gatehouse.Fault {
	_, faults := c.accounts()
	if _, ok := partitionOf(c.Region); c.Region != "" && !ok {
		faults = append(faults, gatehouse.Fault{Key: "region", What: notARegion(c.Region)})
	}
	if !providerName.MatchString(c.Provider) {
		faults = append(faults, gatehouse.Fault{Key: "provider", What: notAProvider(c.Provider)})
	}
	if err := checkEndpoint(c.STSEndpoint); err != nil {
		faults = append(faults, gatehouse.Fault{Key: "sts_endpoint", What: err.Error()})
	}
	if err := checkEndpoint(c.SigninEndpoint); err != nil {
		faults = append(faults, gatehouse.Fault{Key: "signin_endpoint", What: err.Error()})
	}
	if _, err := c.roots(); err != nil {
		faults = append(faults, gatehouse.FaultOf("ca_file", err))
	}
	if c.Timeout < 500*time.Millisecond || c.Timeout > time.Minute {
		faults = append(faults, gatehouse.Fault{Key: "timeout", What: "must be between 500ms and 1m"})
	}
	return faults
}

// checkEndpoint accepts nothing, or https://host[:port], or http on loopback.
// An assertion and fresh keys travel to it, so plain text never leaves the machine.
func checkEndpoint(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return fmt.Errorf("%q is not an endpoint: want https://host", s)
	case u.Path != "" && u.Path != "/":
		return fmt.Errorf("%q has a path: want https://host alone", s)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("%q is not encrypted: http is for loopback addresses only; use https", s)
	}
	return fmt.Errorf("%q is not an endpoint: want https://host", s)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// roots is whom TLS trusts: nil is the system's own list.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := gatehouse.ReadCertificates(c.CAFile)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificates: %w", err)
	}
	pool.AppendCertsFromPEM(pem)
	return pool, nil
}
