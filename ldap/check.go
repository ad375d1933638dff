package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// expiresSoon is when a server's certificate, or the service account's
// password, becomes a warning.
const expiresSoon = 14 * 24 * time.Hour

// checkup gathers findings about one directory.
type checkup struct {
	subject  string
	findings []gatehouse.Finding
}

func (c *checkup) ok(format string, args ...any) {
	c.add(gatehouse.FindingOK, "", format, args...)
}

func (c *checkup) fail(fix, format string, args ...any) {
	c.add(gatehouse.FindingFailure, fix, format, args...)
}

func (c *checkup) add(state gatehouse.FindingState, fix, format string, args ...any) {
	c.findings = append(c.findings, gatehouse.Finding{Subject: c.subject, State: state, Detail: fmt.Sprintf(format, args...), Fix: fix})
}

// Check looks at each server (reachable, TLS, service account) and, through
// one that works, at what the service account can see. The service account is
// not bound again once it was refused.
func (d *Directory) Check(ctx context.Context) []gatehouse.Finding {
	c := &checkup{subject: "directory " + d.cfg.Name}
	list, err := d.pool.servers.all(ctx)
	if err != nil {
		c.fail("check the domain's name, and that this machine's DNS knows it; or list urls", "%v", err)
		return c.findings
	}
	d.checkSite(ctx, c)
	// Each server may take its time, and so may what comes after.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(list)+3*(1+len(d.domains())))*d.cfg.Timeout)
	defer cancel()
	works := false
	for _, s := range list {
		ok, refused := d.checkServer(ctx, c, s)
		works = works || ok
		if refused {
			return c.findings
		}
	}
	switch {
	case d.forest != nil:
		d.checkForest(ctx, c, works)
	case works && d.checkBases(ctx, c):
		d.checkContents(ctx, c)
	}
	return c.findings
}

// checkContents looks at what the service account sees, and may do.
func (d *Directory) checkContents(ctx context.Context, c *checkup) {
	d.checkLimits(ctx, c)
	d.checkIndexes(ctx, c)
	someone, ok := d.checkPeople(ctx, c)
	if !ok {
		return
	}
	d.checkGroups(ctx, c, someone)
	d.checkServiceAccount(ctx, c, someone)
	if d.cfg.Type == ActiveDirectory {
		d.checkTrusts(ctx, c)
	}
}

// checkSite says when DNS does not know the site that is to be asked first.
func (d *Directory) checkSite(ctx context.Context, c *checkup) {
	ss := d.pool.servers
	if d.cfg.Site == "" || len(ss.dns.names) < 2 {
		return
	}
	if err := ss.ask(ctx, ss.dns.names[0], 0, new(ranking)); err != nil {
		c.add(gatehouse.FindingWarning, "correct site, or see that the site has servers; all servers are used alike meanwhile", "site %s: %v", d.cfg.Site, err)
	}
}

// checkServer reports whether s works, and whether it refused the service account.
func (d *Directory) checkServer(ctx context.Context, c *checkup, s *server) (ok, refused bool) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	conn, err := d.pool.dial(ctx, s)
	if err != nil {
		c.fail(connectFix(err, s), "%s: %v", s.url, err)
		return false, false
	}
	defer conn.drop()
	leaf := conn.state.PeerCertificates[0]
	seen := fmt.Sprintf("%s: %s, certificate of %s until %s", s.url, tls.VersionName(conn.state.Version),
		leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly))
	if left := leaf.NotAfter.Sub(d.now()); left < expiresSoon {
		c.add(gatehouse.FindingWarning, "renew the server's certificate before then, or sign-in stops", "%s", seen)
	} else {
		c.ok("%s", seen)
	}
	if err := d.pool.service.bind(ctx, d.pool, conn); err != nil {
		c.fail(bindFix(err), "%s: %v", s.url, err)
		return false, errors.Is(err, errServiceRefused)
	}
	if d.cfg.BindDN == "" {
		c.ok("%s: searches are anonymous, without a service account", s.url)
	} else {
		c.ok("%s: service account %s accepted", s.url, d.cfg.BindDN)
	}
	return true, false
}

// connectFix is what to do about a failure to connect or to agree on TLS.
func connectFix(err error, s *server) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errOldTLS):
		return "let the server speak TLS 1.2 or 1.3: what is older is no protection"
	case errors.Is(err, errNoStartTLS):
		return "give the server a certificate, which StartTLS needs; or use ldaps:// if it has a port for that"
	case errors.Is(err, errClientCertificate):
		return certificateFix
	case errors.As(err, &authority):
		return "set ca_file to the certificate of the authority that signed this server's"
	case errors.As(err, &name):
		return "use in urls the name that the server's certificate is for, or give the server a certificate for " + s.host
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the server's certificate, and see that the clocks are right"
	case errors.As(err, &dns):
		return "check the host's name in urls, and this machine's DNS"
	case errors.As(err, &record):
		return "the port does not speak TLS: use ldap:// for StartTLS, or the port of LDAPS"
	case errors.Is(err, context.DeadlineExceeded):
		return "see that no firewall swallows the connection, and that the server answers; or raise timeout"
	}
	return "see that the server runs, listens on that port and offers TLS there"
}

const certificateFix = "set cert_file and key_file to a client certificate that this server takes: of its authority, and not expired"

// bindFix is what to do about a service account that cannot bind.
func bindFix(err error) string {
	code, _ := resultCode(err)
	switch {
	case errors.Is(err, errClientCertificate):
		return certificateFix
	case code == goldap.LDAPResultInvalidCredentials || errors.Is(err, errServiceRefused):
		return "check bind_dn and bind_password_file, and that the account is neither locked nor expired; other servers were not tried, so as not to lock it"
	case code == goldap.LDAPResultInappropriateAuthentication || code == goldap.LDAPResultStrongAuthRequired:
		return "the server wants another kind of bind: allow simple binds over TLS for the service account"
	}
	return "see the server's log for why it does not take the bind"
}

func (d *Directory) checkBases(ctx context.Context, c *checkup) bool {
	good := true
	looked := map[string]bool{}
	for _, b := range []struct{ key, dn string }{
		{"base_dn", d.cfg.BaseDN}, {"user_base_dn", d.cfg.UserBaseDN}, {"group_base_dn", d.cfg.GroupBaseDN},
	} {
		if looked[b.dn] || b.dn == "" { // nothing of a forest's domain counts there
			continue
		}
		looked[b.dn] = true
		if err := d.readable(ctx, b.dn); err != nil {
			good = false
			c.fail("correct "+b.key+", or let the service account read it", "%s %s cannot be read: %v", b.key, b.dn, err)
			continue
		}
		c.ok("%s %s exists", b.key, b.dn)
	}
	return good
}

// readable reads the entry dn as the service account.
func (d *Directory) readable(ctx context.Context, dn string) error {
	entries, err := d.search(ctx, query{base: dn, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"1.1"}, most: 1})
	if err == nil && len(entries) == 0 {
		return errors.New("no such entry, or none that the service account may see")
	}
	return err
}

// ping reads the entry below which people are.
func (d *Directory) ping(ctx context.Context) error {
	if err := d.readable(ctx, d.cfg.UserBaseDN); err != nil {
		return d.unavailable(err)
	}
	return nil
}

// checkPeople looks for one person, whoever that is, and at what Gatehouse
// needs of them.
func (d *Directory) checkPeople(ctx context.Context, c *checkup) (someone gatehouse.User, ok bool) {
	entries, err := d.few(ctx, d.cfg.UserBaseDN, everybody(d.cfg.UserFilter), 1, d.personAttributes()...)
	switch {
	case tooMuchWork(err):
		c.add(gatehouse.FindingWarning, "raise the limits of the service account (size.unchecked), to have it looked at",
			"the server does not list people below %s, so that none was looked at: %v", d.cfg.UserBaseDN, err)
		return someone, false
	case err != nil:
		c.fail("correct user_filter, or let the service account search below user_base_dn", "searching people below %s: %v", d.cfg.UserBaseDN, err)
		return someone, false
	case len(entries) == 0 && d.catalog != nil:
		c.ok("nobody below %s, in this domain of the forest", d.cfg.UserBaseDN)
		return someone, false
	case len(entries) == 0:
		c.fail("correct user_base_dn and user_filter, or let the service account read people there",
			"nobody below %s whom %s selects is visible", d.cfg.UserBaseDN, d.cfg.UserFilter)
		return someone, false
	}
	someone, err = d.user(entries[0])
	if err != nil {
		c.fail("let the service account read "+d.cfg.IDAttribute+" and "+d.cfg.UsernameAttribute+", or correct id_attribute and username_attribute", "%v", err)
		return someone, false
	}
	c.ok("people below %s can be found and told apart by %s", d.cfg.UserBaseDN, d.cfg.IDAttribute)
	return someone, true
}

// sample is how many people are looked at for whether tokenGroups shows.
const sample = 20

// countHidden says of how many people, of a few, Active Directory hides
// tokenGroups from the service account.
func (d *Directory) countHidden(ctx context.Context) (hidden, looked int) {
	if computes, err := d.computesGroups(ctx); err != nil || !computes {
		return 0, 0
	}
	people, err := d.few(ctx, d.cfg.UserBaseDN, everybody(d.cfg.UserFilter), sample, "1.1")
	if err != nil {
		return 0, 0
	}
	for _, e := range people[:min(len(people), sample)] {
		if shown := d.entryAt(ctx, e.DN, "tokenGroups"); shown != nil {
			looked++
			if len(shown.GetEqualFoldRawAttributeValues("tokenGroups")) == 0 {
				hidden++
			}
		}
	}
	return hidden, looked
}

// few are some of the entries that filter selects; how many there are is of
// no interest, so that the search may be cut short.
func (d *Directory) few(ctx context.Context, base, filter string, most int, attributes ...string) (entries []*goldap.Entry, err error) {
	err = d.pool.search(ctx, func(conn *conn) error {
		result, err := conn.Search(goldap.NewSearchRequest(base, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, most, 0, false, filter, attributes, nil))
		if result != nil {
			entries = result.Entries
		}
		if goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) {
			return nil
		}
		return err
	})
	return entries, err
}

// checkGroups reads the groups of somebody.
func (d *Directory) checkGroups(ctx context.Context, c *checkup, someone gatehouse.User) {
	groups, err := d.groups(ctx, someone, false)
	if err != nil {
		c.fail("correct group_filter, or let the service account read groups below group_base_dn", "groups below %s: %v", d.cfg.GroupBaseDN, err)
		return
	}
	if hidden, looked := d.countHidden(ctx); hidden > 0 {
		c.add(gatehouse.FindingWarning, "make the service account a member of Windows Authorization Access Group, and let it read protected accounts (adminCount 1), which inherit no right",
			"tokenGroups is hidden from the service account, for %d of %d people looked at; their groups are all found, at the cost of more searches", hidden, looked)
		return
	}
	c.ok("groups below %s can be searched: somebody has %d", d.cfg.GroupBaseDN, len(groups))
}

// checkLimits reports the directory's lock-out rule, which the gateway's own
// throttle has to stay below.
func (d *Directory) checkLimits(ctx context.Context, c *checkup) {
	threshold, window, err := d.Limits(ctx)
	within := "until a right one"
	if window > 0 {
		within = "within " + window.String()
	}
	switch {
	case err != nil:
		c.add(gatehouse.FindingWarning, "let the service account read the lock-out rules", "%v", err)
	case threshold == 0:
		c.ok("no lock-out rule is set, or none that the service account may read")
	case threshold < fewest:
		c.add(gatehouse.FindingWarning, "raise the directory's threshold: a few slips of the keyboard lock people out",
			"accounts are locked out after %d wrong passwords %s", threshold, within)
	default:
		c.ok("accounts are locked out after %d wrong passwords %s", threshold, within)
	}
}

// fewest is the lowest threshold of lock-out that leaves room for mistakes.
const fewest = 3
