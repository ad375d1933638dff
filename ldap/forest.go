package ldap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// forest knows the domains of an Active Directory forest, each as a Directory
// of its own. The Directory that has a forest is its global catalogue: there
// people are found, since it has an entry for each of them, and nothing else,
// since it has a few of their attributes and a part of their groups only
// (MS-ADTS §3.1.1.1.10). Whatever is proved or read happens at home.
type forest struct {
	cfg      Config
	resolver *net.Resolver
	now      func() time.Time
	log      *slog.Logger

	mu     sync.Mutex
	homes  map[string]*Directory // by DNS name, lower case
	missed map[string]bool       // domains that were reported as not configured
}

// newForest has the domains that are configured, and makes others when
// somebody of theirs is found.
func newForest(catalog *Directory, resolver *net.Resolver) (*forest, error) {
	f := &forest{cfg: catalog.cfg, resolver: resolver, now: catalog.now, log: catalog.log,
		homes: map[string]*Directory{}, missed: map[string]bool{}}
	for _, domain := range f.cfg.domains() {
		if _, err := f.open(domain, catalog); err != nil {
			return nil, fmt.Errorf("domain %s: %w", domain, err)
		}
	}
	return f, nil
}

// domains are the names of the forest's domains that are configured, in lower
// case: its root is one of them.
func (c Config) domains() []string {
	names := map[string]bool{strings.ToLower(c.Forest): true}
	for name := range c.Domains {
		names[strings.ToLower(name)] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// home is the configuration of one of the forest's domains. It reports
// whether the domain is one of those that people may be at home in.
func (c Config) home(domain string) (Config, bool) {
	var own ForestDomain
	listed := false
	for name, d := range c.Domains {
		if strings.EqualFold(name, domain) {
			own, listed = d, true
		}
	}
	if !listed && !within(domain, strings.ToLower(c.Forest)) {
		return Config{}, false
	}
	h := c
	h.Forest, h.GlobalCatalog, h.Domains, h.Suffixes = "", nil, nil, nil
	if h.URLs = own.URLs; len(h.URLs) == 0 {
		h.Domain = domain
	}
	h.BaseDN = domainDN(domain)
	return h, true
}

var errNoHome = errors.New("is in a domain that is neither within forest nor listed under domains")

// home is the domain that the entry dn is in.
func (f *forest) home(ctx context.Context, dn string, catalog *Directory) (*Directory, error) {
	domain, ok := domainOf(dn)
	if ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		d, err := f.open(domain, catalog)
		if !errors.Is(err, errNoHome) {
			return d, err
		}
		if !f.missed[domain] {
			f.missed[domain] = true
			f.log.LogAttrs(ctx, slog.LevelWarn, "people of a domain cannot sign in: it is neither within forest nor listed under domains",
				slog.String("directory", f.cfg.Name), slog.String("domain", domain))
		}
	}
	// The name is known, and so no other directory is to be asked for it.
	return nil, refuse(gatehouse.ErrInvalidCredentials, "home_unknown", fmt.Errorf("%s %w", dn, errNoHome))
}

// open is the domain, made where it is not known yet. The forest is locked,
// or new.
func (f *forest) open(domain string, catalog *Directory) (*Directory, error) {
	if d := f.homes[domain]; d != nil {
		return d, nil
	}
	cfg, ok := f.cfg.home(domain)
	if !ok {
		return nil, errNoHome
	}
	d, err := newDirectory(cfg, f.resolver, f.now, f.log)
	if err != nil {
		return nil, err
	}
	d.catalog = catalog
	// What is not within the domain is nowhere, and has no default.
	d.cfg.UserBaseDN, d.cfg.GroupBaseDN = narrower(f.cfg.UserBaseDN, cfg.BaseDN), narrower(f.cfg.GroupBaseDN, cfg.BaseDN)
	f.homes[domain] = d
	return d, nil
}

// known are the domains that are configured or have been met, by name.
func (f *forest) known() []*Directory {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*Directory
	for _, name := range slices.Sorted(maps.Keys(f.homes)) {
		all = append(all, f.homes[name])
	}
	return all
}

// inForest is the one person whom filter selects, as their own domain has
// them, and that domain. The catalogue may lag behind: who is found there must
// be found by the same filter at home.
func (d *Directory) inForest(ctx context.Context, domain, filter string) (*Directory, *goldap.Entry, error) {
	found, err := d.catalogued(ctx, domain, filter)
	if err != nil {
		return nil, nil, err
	}
	home, err := d.forest.home(ctx, found.DN, d)
	if err != nil {
		return nil, nil, d.refused(err)
	}
	id, err := d.id(found)
	if err != nil {
		return nil, nil, d.unavailable(err)
	}
	same, err := d.idFilter(id)
	if err != nil {
		return nil, nil, d.unavailable(err)
	}
	e, err := home.oneBelow(ctx, home.cfg.UserBaseDN, "(&"+same+filter+")")
	return home, e, err
}

// catalogued is the one person in the whole forest whom filter selects, or in
// one domain of it.
func (d *Directory) catalogued(ctx context.Context, domain, filter string) (*goldap.Entry, error) {
	if domain == "" {
		return d.oneBelow(ctx, d.cfg.UserBaseDN, filter)
	}
	base := narrower(d.cfg.UserBaseDN, domainDN(domain))
	if base == "" {
		return nil, refuse(gatehouse.ErrUnknownPerson, "unknown", nil)
	}
	entries, err := d.people(ctx, base, filter, maxNamesakes)
	if isNowhere(err) {
		return nil, refuse(gatehouse.ErrUnknownPerson, "unknown", err) // a suffix that only looks like a domain
	}
	// Child domains are below their parent, and are others.
	entries = slices.DeleteFunc(entries, func(e *goldap.Entry) bool {
		of, ok := domainOf(e.DN)
		return !ok || of != domain
	})
	return d.only(entries, err)
}

// maxNamesakes is how many people of one name a domain and those below it may
// have.
const maxNamesakes = 400

// isNowhere reports whether a search had a base that does not exist, or that
// the server knows to be elsewhere.
func isNowhere(err error) bool {
	code, ok := resultCode(err)
	return ok && (code == goldap.LDAPResultNoSuchObject || code == goldap.LDAPResultReferral)
}

// domainOf is the DNS name, in lower case, of the domain that an entry is in:
// the DC components at the end of its DN (RFC 2247 §3).
func domainOf(dn string) (domain string, ok bool) {
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return "", false
	}
	var labels []string
	for _, rdn := range slices.Backward(parsed.RDNs) {
		if len(rdn.Attributes) != 1 || !strings.EqualFold(rdn.Attributes[0].Type, "DC") {
			break
		}
		label := strings.ToLower(rdn.Attributes[0].Value)
		if strings.Contains(label, ".") {
			return "", false // it would look like two
		}
		labels = append([]string{label}, labels...)
	}
	domain = strings.Join(labels, ".")
	// The library reads more than RFC 4514 has: "=DC=corp" is one of its
	// spellings of DC=corp. So the answer must hold the other way round too.
	return domain, len(domain) <= 253 && domainName.MatchString(domain) && under(dn, domainDN(domain))
}

// domainDN is the reverse, for what domainName matches.
func domainDN(domain string) string { return "DC=" + strings.ReplaceAll(domain, ".", ",DC=") }

// narrower is whichever of two places is within the other, or nothing where
// neither is. An empty limit is everywhere.
func narrower(limit, base string) string {
	switch {
	case limit == "" || under(base, limit):
		return base
	case under(limit, base):
		return limit
	}
	return ""
}

// under reports whether dn is base, or below it.
func under(dn, base string) bool {
	dn, base = dnKey(dn), dnKey(base)
	return base == "" || dn == base || strings.HasSuffix(dn, ","+base)
}

// splitSIDs tells the groups of the account's own domain, and those that
// every domain has (S-1-5-32), from those of other domains.
func splitSIDs(account []byte, sids [][]byte) (own, others [][]byte) {
	for _, sid := range sids {
		same := len(sid) == len(account) && len(sid) > 4 && bytes.Equal(sid[:len(sid)-4], account[:len(sid)-4])
		if same || bytes.HasPrefix(sid, builtinDomain) {
			own = append(own, sid)
		} else {
			others = append(others, sid)
		}
	}
	return own, others
}

// builtinDomain begins the SIDs of BUILTIN groups (MS-DTYP §2.4.2.4).
var builtinDomain = []byte{1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0}

func (c Config) validateForest(f *faults) {
	if c.Forest == "" {
		if len(c.GlobalCatalog) > 0 {
			f.add("global_catalog", "is a forest's: set forest to the DNS name of its root domain")
		}
		if len(c.Domains) > 0 {
			f.add("domains", "are a forest's: set forest to the DNS name of its root domain")
		}
		return
	}
	if c.Type != ActiveDirectory {
		f.add("forest", "is of Active Directory only: set type")
	}
	if !isGUID(c.IDAttribute) {
		f.add("id_attribute", "must be objectGUID in a forest: the global catalogue has it")
	}
	if c.BindDN != "" && !strings.Contains(c.BindDN, "@") {
		f.add("bind_dn", "must be name@domain in a forest: a domain knows no DN of another")
	}
	for i, u := range c.GlobalCatalog {
		if _, err := parseURL(u, catalogPorts); err != nil {
			f.add(place("global_catalog", i), "%v", err)
		}
	}
	c.validateDomains(f)
}

func (c Config) validateDomains(f *faults) {
	taken := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Domains)) {
		key, domain := "domains."+name, c.Domains[name]
		switch lower := strings.ToLower(name); {
		case !domainName.MatchString(name):
			f.add(key, "%q is not a DNS domain", name)
		case taken[lower]:
			f.add(key, "is there twice")
		case len(domain.URLs) == 0 && !within(lower, strings.ToLower(c.Forest)):
			f.add(key, "is not below the forest's root, and so needs urls")
		default:
			taken[lower] = true
		}
		for i, u := range domain.URLs {
			if _, err := parseURL(u, ports); err != nil {
				f.add(place(key+".urls", i), "%v", err)
			}
		}
		switch short := strings.ToLower(domain.NetBIOS); {
		case short == "":
		case !netbiosName.MatchString(short):
			f.add(key+".netbios", "%q is not a NetBIOS name: want EMEA", domain.NetBIOS)
		case taken[short]:
			f.add(key+".netbios", "%q is there twice", domain.NetBIOS)
		default:
			taken[short] = true
		}
	}
}
