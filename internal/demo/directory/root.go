package directory

import (
	"cmp"
	"strconv"
	"strings"
)

// searchRoot reads the root DSE, the only entry that everybody may see
// (RFC 4512 §5.1). Like Active Directory, and unlike OpenLDAP, it gives all
// of it to clients that do not say what they want.
func (c *conn) searchRoot(id int64, q searchRequest) (outcome, error) {
	snap := c.s.tree.snapshot()
	root := c.s.root()
	if q.filter(newScan(snap), root) != isTrue {
		return outcome{}, nil
	}
	q.attributes.user = q.attributes.user || q.attributes.operational
	return outcome{}, c.sendEntries(id, q, snap, []*entry{root})
}

// root is the root DSE.
func (s *Server) root() *entry {
	e := &entry{}
	e.add("objectClass", "top")
	e.add("namingContexts", s.cfg.Suffix)
	e.add("supportedLDAPVersion", "3")
	e.add("supportedControl", supportedControls...)
	e.add("supportedExtension", oidStartTLS, oidWhoAmI, oidPasswordModify)
	e.add("supportedFeatures", oidAllOperational, oidTrueFalse)
	e.add("vendorName", "Gatehouse")
	e.add("vendorVersion", "demo directory")
	if s.cfg.ActiveDirectory {
		now := s.cfg.Now().UTC()
		e.add("defaultNamingContext", s.cfg.Suffix)
		e.add("rootDomainNamingContext", cmp.Or(s.cfg.RootDomain, s.cfg.Suffix))
		e.add("isGlobalCatalogReady", strings.ToUpper(strconv.FormatBool(s.cfg.GlobalCatalog)))
		// MS-ADTS 3.1.1.3.4.3: AD, LDAP integrity, Windows 2003 and 2008 R2.
		e.add("supportedCapabilities", "1.2.840.113556.1.4.800", "1.2.840.113556.1.4.1791",
			"1.2.840.113556.1.4.1670", "1.2.840.113556.1.4.2080")
		e.add("currentTime", now.Format("20060102150405.0Z"))
		e.add("isSynchronized", "TRUE")
	}
	return e
}
