package saml

import (
	"fmt"
	"net/url"
	"slices"

	"gatehouse"
)

// Config says who we are and which service providers may be answered.
type Config struct {
	// EntityID is our name in SAML. Default: public_url + /saml/metadata. IAM
	// providers and service providers hold it, so it must not change.
	EntityID string `yaml:"entity_id"`

	// ServiceProviders may be answered, besides AWS.
	ServiceProviders []ServiceProvider `yaml:"service_providers"`

	// MetadataDir holds metadata of further providers, one each in *.xml; a
	// provider's name is its file's, without the ending.
	MetadataDir string `yaml:"metadata_dir"`

	// MetadataDirCertFile is MetadataCertFile for all documents of MetadataDir.
	MetadataDirCertFile string `yaml:"metadata_dir_cert_file"`

	// SignMetadata has our own metadata carry a signature of the signing key,
	// for whoever holds its certificate and fetches the document. Default: false.
	SignMetadata bool `yaml:"sign_metadata"`

	// Organization and Contact stand in our metadata; all or nothing of each.
	Organization Organization `yaml:"organization"`
	Contact      Contact      `yaml:"contact"`
}

// ServiceProvider is one provider by its metadata.
type ServiceProvider struct {
	Name         string `yaml:"name"`          // as access rules and pages call it
	MetadataFile string `yaml:"metadata_file"` // its metadata document

	// MetadataCertFile holds certificates, as PEM, with the key of one of which
	// the document must be signed; their dates do not count. Default: none,
	// and then a signature in it is not looked at.
	MetadataCertFile string `yaml:"metadata_cert_file"`

	Sign Sign `yaml:"sign"` // assertion, response or both; default: both

	// Signature is the algorithm of what we sign for it: rsa-sha256 or
	// ecdsa-sha256, which not every provider can verify, and for which a key of
	// that kind must sign. Default: rsa-sha256.
	Signature Signature `yaml:"signature"`

	// Encrypt is how assertions are encrypted: never, aes128-gcm, aes256-gcm,
	// aes128-cbc or aes256-cbc. Default: by the metadata, where that has a key
	// for it, and then by GCM.
	Encrypt Encrypt `yaml:"encrypt"`
}

// Organization is who runs this identity provider (saml-metadata §2.3.2.1).
type Organization struct {
	Name        string `yaml:"name"`
	DisplayName string `yaml:"display_name"` // default: Name
	URL         string `yaml:"url"`
}

// Contact is whom other organizations write to (saml-metadata §2.3.2.2).
type Contact struct {
	Name  string `yaml:"name"`
	Email string `yaml:"email"`
}

// SetDefaults fills in what was left out.
func (c *Config) SetDefaults() {
	for i := range c.ServiceProviders {
		if c.ServiceProviders[i].Sign == "" {
			c.ServiceProviders[i].Sign = SignBoth
		}
		if c.ServiceProviders[i].Signature == "" {
			c.ServiceProviders[i].Signature = SignatureRSA
		}
	}
	if c.Organization.DisplayName == "" {
		c.Organization.DisplayName = c.Organization.Name
	}
}

// WantsECDSA says whether anything is to be signed by an ECDSA key.
func (c Config) WantsECDSA() bool {
	return slices.ContainsFunc(c.ServiceProviders, func(sp ServiceProvider) bool { return sp.Signature == SignatureECDSA })
}

// Validate lists what is wrong with c, without reading a file.
func (c Config) Validate() []gatehouse.Fault {
	var faults []gatehouse.Fault
	fault := func(key, format string, args ...any) {
		faults = append(faults, gatehouse.Fault{Key: key, What: fmt.Sprintf(format, args...)})
	}
	if c.EntityID != "" && !isEntityID(c.EntityID) {
		fault("entity_id", "%q is no entity ID: want an absolute URI of at most 256 characters", c.EntityID)
	}
	names := map[string]int{}
	for i, sp := range c.ServiceProviders {
		key := fmt.Sprintf("service_providers[%d]", i)
		if sp.Name == "" {
			fault(key+".name", "is missing")
		} else if first, again := names[sp.Name]; again {
			fault(key+".name", "%q is the name of service_providers[%d] too", sp.Name, first)
		}
		names[sp.Name] = i
		if sp.MetadataFile == "" {
			fault(key+".metadata_file", "is missing")
		}
		if sp.Sign != "" && sp.Sign != SignAssertion && sp.Sign != SignResponse && sp.Sign != SignBoth {
			fault(key+".sign", "%q: want assertion, response or both", sp.Sign)
		}
		if sp.Signature != "" && sp.Signature != SignatureRSA && sp.Signature != SignatureECDSA {
			fault(key+".signature", "%q: want rsa-sha256 or ecdsa-sha256", sp.Signature)
		}
		if !sp.Encrypt.known() {
			fault(key+".encrypt", "%q: want never, aes128-gcm, aes256-gcm, aes128-cbc or aes256-cbc", sp.Encrypt)
		}
	}
	if c.MetadataDirCertFile != "" && c.MetadataDir == "" {
		fault("metadata_dir_cert_file", "is for the documents of metadata_dir, and there is none")
	}
	if o := c.Organization; o != (Organization{}) && (o.Name == "" || !isWebURL(o.URL)) {
		fault("organization", "wants a name and an http or https url")
	}
	if c.Contact != (Contact{}) && c.Contact.Email == "" {
		fault("contact.email", "is missing")
	}
	return faults
}

// isEntityID holds s to saml-metadata §2.2.1, and to the 256 characters that
// the deployment profiles allow.
func isEntityID(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && len(s) <= 256
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
