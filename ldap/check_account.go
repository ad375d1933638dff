package ldap

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// powerful are the relative identifiers of groups that may do far more than
// read (MS-DTYP §2.4.2.4).
var powerful = map[uint32]string{
	512: "Domain Admins", 516: "Domain Controllers", 518: "Schema Admins", 519: "Enterprise Admins", 520: "Group Policy Creator Owners",
	526: "Key Admins", 527: "Enterprise Key Admins",
	544: "Administrators", 548: "Account Operators", 549: "Server Operators", 550: "Print Operators", 551: "Backup Operators",
}

// onlyReads is what to do about a service account that may do more.
const onlyReads = "take the right away: the account only has to read people and groups, and whoever learns its password can do what it can"

// checkServiceAccount looks at the account that searches: one that only reads
// loses nothing when it leaks, and one whose password expires ends all
// sign-ins. someone is a person to look at.
func (d *Directory) checkServiceAccount(ctx context.Context, c *checkup, someone gatehouse.User) {
	switch {
	case d.cfg.BindDN == "":
	case d.cfg.Type == ActiveDirectory:
		d.checkWindowsAccount(ctx, c)
		d.checkWindowsRights(ctx, c, someone)
	default:
		d.checkPasswordsHidden(ctx, c, someone)
		if d.cfg.Type == OpenLDAP {
			d.checkMayNotWrite(ctx, c, someone)
		}
		d.checkPolicyExpiry(ctx, c)
	}
}

// serviceEntry is the service account's own entry, or nil where it is not
// this domain's, or does not show.
func (d *Directory) serviceEntry(ctx context.Context, attributes ...string) *goldap.Entry {
	if name, domain, ok := strings.Cut(d.cfg.BindDN, "@"); ok {
		filter := "(userPrincipalName=" + goldap.EscapeFilter(d.cfg.BindDN) + ")"
		if own, ok := domainOf(d.cfg.BaseDN); ok && strings.EqualFold(own, domain) {
			filter = "(|" + filter + "(sAMAccountName=" + goldap.EscapeFilter(name) + "))"
		}
		found, err := d.search(ctx, query{base: d.cfg.BaseDN, scope: goldap.ScopeWholeSubtree, filter: filter, attributes: []string{"1.1"}, most: 2})
		if err != nil || len(found) != 1 {
			return nil
		}
		return d.entryAt(ctx, found[0].DN, attributes...)
	}
	return d.entryAt(ctx, d.cfg.BindDN, attributes...)
}

// entryAt is the entry dn, or nil where it does not show.
func (d *Directory) entryAt(ctx context.Context, dn string, attributes ...string) *goldap.Entry {
	if _, err := goldap.ParseDN(dn); err != nil {
		return nil
	}
	entries, err := d.search(ctx, query{base: dn, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: attributes, most: 1})
	if err != nil || len(entries) != 1 {
		return nil
	}
	return entries[0]
}

// checkWindowsAccount reads what Active Directory says of the account.
func (d *Directory) checkWindowsAccount(ctx context.Context, c *checkup) {
	e := d.serviceEntry(ctx, expiryAttribute, "tokenGroups", "adminCount")
	if e == nil {
		return // it may not be allowed to see itself, which harms nobody
	}
	listed := false
	for _, sid := range e.GetEqualFoldRawAttributeValues("tokenGroups") {
		if name, ok := powerful[relativeID(sid)]; ok {
			listed = true
			c.add(gatehouse.FindingWarning, "take it out of "+name+": it only has to read people and groups", "service account %s is in %s", d.cfg.BindDN, name)
		}
	}
	if e.GetEqualFoldAttributeValue("adminCount") == "1" && !listed {
		c.add(gatehouse.FindingWarning, "see which protected group it is or was in, take it out, and clear adminCount",
			"service account %s counts as an administrator (adminCount 1)", d.cfg.BindDN)
	}
	at, err := expiry(e)
	if err != nil {
		at = time.Time{}
	}
	d.reportExpiry(c, at)
}

// reportExpiry says when the account's password expires; zero is never.
func (d *Directory) reportExpiry(c *checkup, at time.Time) {
	switch {
	case at.IsZero():
		c.ok("service account %s: its password does not expire", d.cfg.BindDN)
	case at.Sub(d.now()) < expiresSoon:
		c.add(gatehouse.FindingWarning, "change its password before then and put the new one into bind_password_file, or sign-in stops",
			"the password of the service account %s expires on %s", d.cfg.BindDN, at.UTC().Format(time.DateOnly))
	default:
		c.ok("service account %s: its password expires on %s", d.cfg.BindDN, at.UTC().Format(time.DateOnly))
	}
}

// checkWindowsRights asks Active Directory what the account may do to a person
// and to a group: it computes that for whoever asks (MS-ADTS §3.1.1.4.5.20,
// §3.1.1.4.5.21). Rights over others, and to reset passwords, do not show.
func (d *Directory) checkWindowsRights(ctx context.Context, c *checkup, someone gatehouse.User) {
	looked := 0
	for _, dn := range []string{someone.DN, d.anyGroup(ctx)} {
		e := d.entryAt(ctx, dn, "allowedAttributesEffective", "sDRightsEffective")
		if dn == "" || e == nil {
			continue
		}
		looked++
		rights, err := number(e, "sDRightsEffective")
		if writable := e.GetEqualFoldAttributeValues("allowedAttributesEffective"); len(writable) > 0 || err == nil && rights != 0 {
			c.add(gatehouse.FindingWarning, onlyReads, "service account %s may change %s (%s)", d.cfg.BindDN, dn, some(writable, "its permissions"))
			return
		}
	}
	if looked > 0 {
		c.ok("service account %s may change neither a person nor a group that was looked at", d.cfg.BindDN)
	}
}

// some names the first few of a list.
func some(list []string, none string) string {
	list = slices.Sorted(slices.Values(list))
	switch {
	case len(list) == 0:
		return none
	case len(list) > 3:
		return fmt.Sprintf("%s and %d more", strings.Join(list[:3], ", "), len(list)-3)
	}
	return strings.Join(list, ", ")
}

// anyGroup is the DN of some group that counts, or nothing.
func (d *Directory) anyGroup(ctx context.Context) string {
	if d.cfg.GroupBaseDN == "" {
		return ""
	}
	entries, err := d.few(ctx, d.cfg.GroupBaseDN, "(objectCategory=group)", 1, "1.1")
	if err != nil || len(entries) == 0 {
		return ""
	}
	return entries[0].DN
}

// checkPasswordsHidden asks for the type of somebody's userPassword, not for
// its value, which never leaves the server then.
func (d *Directory) checkPasswordsHidden(ctx context.Context, c *checkup, someone gatehouse.User) {
	var shown bool
	err := d.pool.search(ctx, func(conn *conn) error {
		result, err := conn.Search(goldap.NewSearchRequest(someone.DN, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 1, 0, true,
			"(objectClass=*)", []string{"userPassword"}, nil))
		shown = err == nil && len(result.Entries) == 1 && len(result.Entries[0].Attributes) > 0
		return err
	})
	switch {
	case err != nil:
	case shown:
		c.add(gatehouse.FindingWarning, "let nobody read userPassword: access to attrs=userPassword by self =xw by anonymous auth by * none, and do not bind as the rootdn",
			"service account %s can read people's passwords (userPassword of %s)", d.cfg.BindDN, someone.DN)
	default:
		c.ok("service account %s does not see userPassword of %s", d.cfg.BindDN, someone.DN)
	}
}

// checkMayNotWrite asks OpenLDAP to take away a mail address that nobody has.
// It looks at rights before values, so that the answer tells whether the
// account might; nothing changes either way.
func (d *Directory) checkMayNotWrite(ctx context.Context, c *checkup, someone gatehouse.User) {
	request := goldap.NewModifyRequest(someone.DN, nil)
	request.Delete(d.cfg.MailAttribute, []string{rand.Text() + "@gatehouse.invalid"})
	err := d.pool.once(ctx, func(conn *conn) error { return conn.Modify(request) })
	switch code, answered := resultCode(err); {
	case answered && code == goldap.LDAPResultNoSuchAttribute, err == nil:
		c.add(gatehouse.FindingWarning, onlyReads, "service account %s may change people (%s of %s)", d.cfg.BindDN, d.cfg.MailAttribute, someone.DN)
	case answered && code == goldap.LDAPResultInsufficientAccessRights:
		c.ok("service account %s may not change %s of %s", d.cfg.BindDN, d.cfg.MailAttribute, someone.DN)
	default:
		c.ok("whether service account %s may change people cannot be told: %v", d.cfg.BindDN, err)
	}
}

// checkPolicyExpiry says when a password policy lets the account's password
// expire: as the server warned at the last bind, or by the policy that the
// entry names (draft-behera-ldap-password-policy-11 §5.2.3, §5.3). A policy
// that counts by default is named nowhere that can be read: only the warning
// tells of that one.
func (d *Directory) checkPolicyExpiry(ctx context.Context, c *checkup) {
	if at := d.pool.service.expiry(ctx); !at.IsZero() {
		d.reportExpiry(c, at)
		return
	}
	e := d.serviceEntry(ctx, "pwdChangedTime", "pwdPolicySubentry")
	if e == nil || e.GetEqualFoldAttributeValue("pwdPolicySubentry") == "" {
		c.ok("service account %s: the server has not warned that its password expires", d.cfg.BindDN)
		return
	}
	changed, err := time.Parse("20060102150405Z", e.GetEqualFoldAttributeValue("pwdChangedTime"))
	policy := d.entryAt(ctx, e.GetEqualFoldAttributeValue("pwdPolicySubentry"), "pwdMaxAge")
	if err != nil || policy == nil {
		c.ok("service account %s: when its password expires cannot be read", d.cfg.BindDN)
		return
	}
	seconds, err := number(policy, "pwdMaxAge")
	if err != nil || seconds <= 0 {
		d.reportExpiry(c, time.Time{})
		return
	}
	d.reportExpiry(c, changed.Add(time.Duration(seconds)*time.Second))
}
