package saml

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	crewjam "github.com/crewjam/saml"

	"gatehouse"
)

// maxMetadata is larger than any one provider's metadata.
const maxMetadata = 1 << 20

// Provider is a service provider that may be answered.
type Provider struct {
	EntityID       string
	Name           string    // as access rules call it
	ACS            string    // where answers go that no request steers
	NameIDFormat   string    // of the names that it is given; persistent unless its metadata asks for another
	Sign           Sign      // what is signed for it
	Signature      Signature // by which algorithm
	SignedRequests bool      // its metadata says that it signs all its requests
	AWS            bool      // a role must be chosen; the rest does not apply

	endpoints  []endpoint          // that take a POST
	paos       []endpoint          // that take what a program brings
	logout     []logoutService     // in the order of its metadata
	keys       []*x509.Certificate // that its requests may be signed with
	recipient  *recipient          // whom assertions are encrypted to; nil: they are not
	takesMail  bool                // its metadata lists names that are mail addresses
	validUntil time.Time           // zero: for ever
	source     string              // the file that its metadata was read from
	vouched    bool                // that has a good signature of whom the operator named
}

// endpoint is an assertion consumer service.
type endpoint struct {
	location  string
	index     int
	isDefault *bool
}

func (sp *Provider) expired(now time.Time) bool {
	return !sp.validUntil.IsZero() && !now.Before(sp.validUntil)
}

// mayHave says whether the provider may be given names in that format. Mail
// addresses are people's own, so only a provider whose metadata lists the
// format gets them.
func (sp *Provider) mayHave(format string) bool {
	switch format {
	case NameIDPersistent, NameIDTransient:
		return true
	case NameIDEmail:
		return sp.takesMail
	}
	return false
}

// Subject is what the provider sp is to call the person of session s, in that
// format; empty: the one that its metadata asks for. A transient name lasts
// as long as the session, so that a logout request finds it again.
//
// It fails with ErrInvalid when sp wants a mail address and the directory has
// none, or a format that it may not have.
func (p *IdP) Subject(s gatehouse.Session, sp Provider, format string) (NameID, error) {
	u := s.User
	format = cmp.Or(format, sp.NameIDFormat)
	switch {
	case !sp.mayHave(format):
		return NameID{}, fmt.Errorf("saml: name %s for %s as %q: %w", u.Key(), sp.EntityID, format, gatehouse.ErrInvalid)
	case format == NameIDEmail && u.Mail == "":
		return NameID{}, fmt.Errorf("saml: name %s for %s: %w", u.Key(), sp.EntityID, &gatehouse.Invalid{
			Field: "mail", Why: sp.Name + " needs your mail address, and the directory has none for you."})
	case format == NameIDEmail:
		return NameID{Format: format, Value: u.Mail}, nil
	case format == NameIDTransient:
		return NameID{Format: format, Value: p.NameID("session "+s.ID, sp.EntityID)}, nil
	}
	return NameID{Format: NameIDPersistent, Value: p.NameID(u.Key(), sp.EntityID)}, nil
}

// loadProviders reads all metadata, and adds AWS. All files are read before
// it complains, so that one start shows every fault.
func loadProviders(cfg Config, self string, aws []string, now time.Time) (map[string]*Provider, error) {
	files, err := cfg.providerFiles()
	if err != nil {
		return nil, fmt.Errorf("saml: metadata_dir: %w", err)
	}
	all := awsProviders(aws)
	var faults []error
	for _, f := range files {
		sp, err := loadProvider(f, now)
		if err == nil {
			err = admit(all, sp, self)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("saml: service provider %s: %s: %w", f.Name, f.MetadataFile, err))
		}
	}
	return all, errors.Join(faults...)
}

// providerFiles lists the providers that have a file, those of MetadataDir too.
func (c Config) providerFiles() ([]ServiceProvider, error) {
	files := slices.Clone(c.ServiceProviders)
	if c.MetadataDir == "" {
		return files, nil
	}
	found, err := filepath.Glob(filepath.Join(escapeGlob(c.MetadataDir), "*.xml"))
	if err == nil {
		_, err = os.ReadDir(c.MetadataDir)
	}
	for _, file := range found {
		name := strings.TrimSuffix(filepath.Base(file), ".xml")
		files = append(files, ServiceProvider{Name: name, MetadataFile: file, MetadataCertFile: c.MetadataDirCertFile, Sign: SignBoth})
	}
	return files, err
}

// ProviderNames lists the names of all service providers, those of files in
// MetadataDir too, as access rules call them.
func (c Config) ProviderNames() []string {
	files, _ := c.providerFiles() // a folder that cannot be read is New's to complain about
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

// registry is the providers as their files were once.
type registry struct {
	files string               // which, how large, and when they were changed
	all   map[string]*Provider // by entity ID
}

// Refresh reads the metadata of the service providers again where a file has
// changed, has come or has gone. When one of them cannot be used, all stay as
// they are, and the error names it.
func (p *IdP) Refresh() (changed bool, err error) {
	files := p.cfg.fingerprint()
	old := p.providers.Load()
	if old != nil && old.files == files {
		return false, nil
	}
	all, err := loadProviders(p.cfg, p.entityID, p.endpoints.AWS, p.now())
	if err == nil {
		p.providers.Store(&registry{files, all})
		return true, nil
	}
	if old != nil { // said once, not until somebody has mended it
		p.providers.Store(&registry{files, old.all})
	}
	return false, err
}

// fingerprint changes when a file of metadata does.
func (c Config) fingerprint() string {
	files, _ := c.providerFiles()
	var b strings.Builder
	for _, f := range files {
		fingerprint(&b, f.MetadataFile)
		if f.MetadataCertFile != "" {
			fingerprint(&b, f.MetadataCertFile)
		}
	}
	return b.String()
}

func fingerprint(b *strings.Builder, file string) {
	info, err := os.Stat(file)
	if err != nil {
		fmt.Fprintf(b, "%s: %v\n", file, err)
		return
	}
	fmt.Fprintf(b, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
}

// escapeGlob keeps a folder's name from being read as a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// admit adds sp, unless its name or entity ID is somebody's already.
func admit(all map[string]*Provider, sp *Provider, self string) error {
	if sp.EntityID == self {
		return errors.New("it is our own metadata, not a service provider's")
	}
	if IsAWS(sp.EntityID) {
		return errors.New("AWS is built in; leave this file out")
	}
	for _, other := range all {
		if other.EntityID == sp.EntityID || other.Name == sp.Name {
			return fmt.Errorf("another provider has the same name or the entity ID %s", sp.EntityID)
		}
	}
	all[sp.EntityID] = sp
	return nil
}

// awsProviders is AWS under each entity ID that its partitions have.
func awsProviders(acs []string) map[string]*Provider {
	all := map[string]*Provider{}
	for suffix, name := range map[string]string{"": "AWS", ":govcloud": "AWS GovCloud (US)", ":cn-north-1": "AWS China"} {
		sp := &Provider{EntityID: awsAudience + suffix, Name: name, AWS: true, NameIDFormat: NameIDPersistent, Sign: SignAssertion}
		for i, location := range acs {
			sp.endpoints = append(sp.endpoints, endpoint{location: location, index: i})
		}
		if len(acs) > 0 {
			sp.ACS = acs[0]
		}
		all[sp.EntityID] = sp
	}
	return all
}

func loadProvider(f ServiceProvider, now time.Time) (*Provider, error) {
	file, err := os.Open(f.MetadataFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var read bytes.Buffer
	if _, err := read.ReadFrom(&limited{file, maxMetadata}); err != nil {
		return nil, err
	}
	document := read.Bytes()
	if f.MetadataCertFile != "" {
		if document, err = vouched(document, f.MetadataCertFile); err != nil {
			return nil, err
		}
	}
	sp, err := parseMetadata(document, now, f.Encrypt)
	if err != nil {
		return nil, err
	}
	sp.Name, sp.Sign = f.Name, cmp.Or(f.Sign, SignBoth)
	sp.Signature = cmp.Or(f.Signature, SignatureRSA)
	sp.source, sp.vouched = f.MetadataFile, f.MetadataCertFile != ""
	return sp, nil
}

// parseMetadata reads the metadata of one service provider: an
// EntityDescriptor, or an EntitiesDescriptor with one of them.
func parseMetadata(document []byte, now time.Time, encrypt Encrypt) (*Provider, error) {
	var seen glance
	err := scan(document, strictness{comments: true, element: seen.element})
	if err != nil {
		return nil, err
	}
	var all crewjam.EntitiesDescriptor
	if seen.root == (xml.Name{Space: namespaces[nsMD].uri, Local: "EntitiesDescriptor"}) {
		err = xml.Unmarshal(document, &all)
	} else {
		all.EntityDescriptors = make([]crewjam.EntityDescriptor, 1)
		err = xml.Unmarshal(document, &all.EntityDescriptors[0])
	}
	if err != nil {
		return nil, fmt.Errorf("not metadata: %w", err)
	}
	sp, err := soleProvider(&all, now, encrypt)
	if err != nil {
		return nil, err
	}
	return sp, sp.addPAOS(seen.paos)
}

// glance is what is read of metadata besides crewjam's types, which forget
// the locations of the PAOS binding.
type glance struct {
	root  xml.Name
	saml2 bool // within a role that speaks SAML 2.0
	paos  []crewjam.IndexedEndpoint
}

func (g *glance) element(path []xml.Name, e xml.StartElement) error {
	if len(path) == 1 {
		g.root = e.Name
	}
	attribute := func(name string) string {
		for _, a := range e.Attr {
			if a.Name == (xml.Name{Local: name}) {
				return a.Value
			}
		}
		return ""
	}
	switch e.Name {
	case inMD("SPSSODescriptor"):
		g.saml2 = slices.Contains(strings.Fields(attribute("protocolSupportEnumeration")), protocolSAML2)
	case inMD("AssertionConsumerService"):
		if !g.saml2 || attribute("Binding") != bindingPAOS {
			return nil
		}
		service := crewjam.IndexedEndpoint{Location: attribute("Location")}
		var err error
		if service.Index, err = strconv.Atoi(attribute("index")); err != nil {
			return errors.New("a PAOS service has no index")
		}
		if is, err := strconv.ParseBool(attribute("isDefault")); err == nil {
			service.IsDefault = &is
		}
		g.paos = append(g.paos, service)
	}
	return nil
}

func inMD(local string) xml.Name { return xml.Name{Space: namespaces[nsMD].uri, Local: local} }

// addPAOS keeps the services that take what an enhanced client brings.
func (sp *Provider) addPAOS(services []crewjam.IndexedEndpoint) error {
	for _, s := range services {
		if err := checkLocation("assertion consumer service", s.Location); err != nil {
			return err
		}
		sp.paos = append(sp.paos, endpoint{s.Location, s.Index, s.IsDefault})
	}
	return nil
}

func soleProvider(all *crewjam.EntitiesDescriptor, now time.Time, encrypt Encrypt) (*Provider, error) {
	var found *Provider
	for i := range all.EntityDescriptors {
		entity := &all.EntityDescriptors[i]
		for j := range entity.SPSSODescriptors {
			role := &entity.SPSSODescriptors[j]
			if !slices.Contains(strings.Fields(role.ProtocolSupportEnumeration), protocolSAML2) {
				continue
			}
			if found != nil {
				return nil, errors.New("it describes more than one service provider; give each a file")
			}
			sp, err := newProvider(entity, role, encrypt)
			if err != nil {
				return nil, err
			}
			sp.validUntil = earliest(sp.validUntil, all.ValidUntil)
			found = sp
		}
	}
	if found == nil {
		return nil, errors.New("it describes no SAML 2.0 service provider")
	}
	if found.expired(now) {
		return nil, fmt.Errorf("it was valid until %s; ask its owner for a new one", found.validUntil.Format(time.RFC3339))
	}
	return found, nil
}

func newProvider(entity *crewjam.EntityDescriptor, role *crewjam.SPSSODescriptor, encrypt Encrypt) (*Provider, error) {
	if !isEntityID(entity.EntityID) {
		return nil, fmt.Errorf("entity ID %q: want an absolute URI of at most 256 characters", entity.EntityID)
	}
	sp := &Provider{
		EntityID:       entity.EntityID,
		NameIDFormat:   NameIDPersistent,
		SignedRequests: role.AuthnRequestsSigned != nil && *role.AuthnRequestsSigned,
		validUntil:     earliest(entity.ValidUntil, role.ValidUntil),
	}
	chosen := false
	for _, f := range role.NameIDFormats {
		v := strings.TrimSpace(string(f))
		sp.takesMail = sp.takesMail || v == NameIDEmail
		if !chosen && slices.Contains(nameIDFormats, v) {
			sp.NameIDFormat, chosen = v, true
		}
	}
	if err := sp.addKeys(role.KeyDescriptors); err != nil {
		return nil, err
	}
	if err := sp.addRecipient(role.KeyDescriptors, encrypt); err != nil {
		return nil, err
	}
	if sp.SignedRequests && len(sp.keys) == 0 {
		return nil, errors.New("it says AuthnRequestsSigned and has no key to verify them with")
	}
	if err := sp.addLogoutServices(role.SingleLogoutServices); err != nil {
		return nil, err
	}
	return sp, sp.addEndpoints(role.AssertionConsumerServices)
}

func earliest(t time.Time, u *time.Time) time.Time {
	if u == nil || u.IsZero() || (!t.IsZero() && t.Before(*u)) {
		return t
	}
	return *u
}

// addKeys keeps every key that may have signed a request: those for signing
// and those without a use. The dates of their certificates do not count
// (Metadata Interoperability Profile §2.6.1).
func (sp *Provider) addKeys(descriptors []crewjam.KeyDescriptor) error {
	for _, d := range descriptors {
		if d.Use != "signing" && d.Use != "" {
			continue
		}
		for _, c := range d.KeyInfo.X509Data.X509Certificates {
			cert, err := readCertificate(c.Data)
			if err != nil {
				return err
			}
			sp.keys = append(sp.keys, cert)
		}
	}
	return nil
}

// addEndpoints keeps the assertion consumer services that take a POST, and
// chooses the default (saml-metadata §2.2.3): the first with
// isDefault="true", else the first that does not say "false", else the first.
func (sp *Provider) addEndpoints(services []crewjam.IndexedEndpoint) error {
	for _, s := range services {
		if s.Binding != bindingPost {
			continue
		}
		if err := checkLocation("assertion consumer service", s.Location); err != nil {
			return err
		}
		sp.endpoints = append(sp.endpoints, endpoint{s.Location, s.Index, s.IsDefault})
	}
	if len(sp.endpoints) == 0 {
		return errors.New("it has no assertion consumer service with the HTTP-POST binding")
	}
	sp.ACS = defaultACS(sp.endpoints)
	return nil
}

// services are the assertion consumer services for ECP, or for a POST.
func (sp *Provider) services(ecp bool) []endpoint {
	if ecp {
		return sp.paos
	}
	return sp.endpoints
}

func defaultACS(services []endpoint) string {
	for _, e := range services {
		if e.isDefault != nil && *e.isDefault {
			return e.location
		}
	}
	for _, e := range services {
		if e.isDefault == nil {
			return e.location
		}
	}
	if len(services) == 0 {
		return ""
	}
	return services[0].location
}

// chooseACS finds where the answer to a request goes (saml-core §3.4.1), among
// the services with the right binding. A URL must be a registered one byte for
// byte; an index must exist. What is not registered is never answered at another place instead.
func chooseACS(services []endpoint, location, index string) (string, error) {
	if location != "" && index != "" {
		return "", errors.New("it names an assertion consumer service both by URL and by index")
	}
	if location == "" && index == "" {
		if acs := defaultACS(services); acs != "" {
			return acs, nil
		}
		return "", errors.New("the provider has no assertion consumer service")
	}
	for _, e := range services {
		if (location != "" && e.location == location) || (index != "" && strconv.Itoa(e.index) == index) {
			return e.location, nil
		}
	}
	return "", errors.New("the assertion consumer service that it names is not registered")
}

// checkLocation holds the location of a service to https, or to http on this very machine: what
// is posted there is a bearer token. It becomes the action of a form, so that
// anything else could be a script (CVE-2023-45683).
func checkLocation(service, location string) error {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsAny(location, " \t\r\n\\\"'<>") {
		return fmt.Errorf("%s %q is no plain URL", service, location)
	}
	if u.Scheme == "https" || (u.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil
	}
	return fmt.Errorf("%s %q: want https (http only on a loopback address)", service, location)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func sortProviders(list []Provider) {
	slices.SortFunc(list, func(a, b Provider) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.EntityID, b.EntityID))
	})
}

// withoutSpace is text in one piece, as base64 must be.
func withoutSpace(text string) string { return strings.Join(strings.Fields(text), "") }
