package ldap

import (
	"context"
	"fmt"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// Limits says after how many wrong passwords the directory locks an account
// out, and within what time they must come; a window of zero means for ever,
// until a right one. A threshold of zero means never, or that the service
// account cannot see any such rule.
//
// In Active Directory it is the domain's own rule, and any stricter one of a
// fine-grained policy (msDS-PasswordSettings) that the service account may
// read: by default only administrators may. In a forest it is the strictest
// of the domains that are configured or have been met. Elsewhere it is the
// strictest pwdPolicy entry below base_dn.
//
// Errors: ErrUnavailable.
func (d *Directory) Limits(ctx context.Context) (threshold int, window time.Duration, err error) {
	if d.forest == nil {
		return d.limits(ctx)
	}
	for _, home := range d.domains() {
		n, over, err := home.limits(ctx)
		if err != nil {
			return 0, 0, err
		}
		threshold, window = stricter(threshold, window, n, over)
	}
	return threshold, window, nil
}

// limits is Limits of one domain.
func (d *Directory) limits(ctx context.Context) (threshold int, window time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	var entries []*goldap.Entry
	read := policyLimit
	if d.cfg.Type == ActiveDirectory {
		entries, err = d.domainPolicies(ctx)
		read = domainLimit
	} else {
		entries, err = d.search(ctx, query{base: d.cfg.BaseDN, scope: goldap.ScopeWholeSubtree, filter: "(objectClass=pwdPolicy)",
			attributes: []string{"pwdLockout", "pwdMaxFailure", "pwdFailureCountInterval"}, most: maxGroups})
	}
	if err != nil {
		return 0, 0, d.unavailable(fmt.Errorf("reading the lock-out rules: %w", err))
	}
	for _, e := range entries {
		n, over, err := read(e)
		if err != nil {
			return 0, 0, d.unavailable(err)
		}
		threshold, window = stricter(threshold, window, n, over)
	}
	return threshold, window, nil
}

// stricter is the lower threshold and the longer window of two rules: what
// keeps below both.
func stricter(n int, over time.Duration, m int, within time.Duration) (int, time.Duration) {
	switch {
	case m == 0:
		return n, over
	case n == 0:
		return m, within
	case over == 0 || within == 0:
		return min(n, m), 0
	}
	return min(n, m), max(over, within)
}

// domainPolicies are the domain's own entry and those of fine-grained
// policies.
func (d *Directory) domainPolicies(ctx context.Context) ([]*goldap.Entry, error) {
	domain, err := d.namingContext(ctx)
	if err != nil {
		return nil, err
	}
	attributes := []string{"lockoutThreshold", "lockOutObservationWindow", "msDS-LockoutThreshold", "msDS-LockoutObservationWindow"}
	entries, err := d.search(ctx, query{base: domain, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: attributes, most: 1})
	if err != nil {
		return nil, err
	}
	fine, err := d.search(ctx, query{base: "CN=Password Settings Container,CN=System," + domain, scope: goldap.ScopeSingleLevel,
		filter: "(objectClass=msDS-PasswordSettings)", attributes: attributes, most: maxGroups})
	if goldap.IsErrorAnyOf(err, goldap.LDAPResultNoSuchObject, goldap.LDAPResultInsufficientAccessRights) {
		return entries, nil
	}
	return append(entries, fine...), err
}

// namingContext is the DN of the domain whose controllers these are.
func (d *Directory) namingContext(ctx context.Context) (string, error) {
	root, err := d.search(ctx, query{scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"defaultNamingContext"}, most: 1})
	if err != nil || len(root) != 1 {
		return "", fmt.Errorf("reading the server's naming contexts: %w", err)
	}
	return root[0].GetEqualFoldAttributeValue("defaultNamingContext"), nil
}

// domainLimit reads a rule of Active Directory, whose times are negative
// counts of 100 ns (MS-ADTS §3.1.1.4.5.39).
func domainLimit(e *goldap.Entry) (threshold int, window time.Duration, err error) {
	prefix := ""
	if e.GetEqualFoldAttributeValue("msDS-LockoutThreshold") != "" {
		prefix = "msDS-"
	}
	n, err := number(e, prefix+"LockoutThreshold")
	if err != nil {
		return 0, 0, err
	}
	ticks, err := number(e, prefix+"LockoutObservationWindow")
	if err != nil {
		return 0, 0, err
	}
	if ticks < -1<<62/100 {
		ticks = 0 // beyond what a Duration holds, which means for ever
	}
	return int(n), time.Duration(-ticks) * 100, nil
}

// policyLimit reads a rule of OpenLDAP's (slapo-ppolicy(5)).
func policyLimit(e *goldap.Entry) (threshold int, window time.Duration, err error) {
	if !strings.EqualFold(e.GetEqualFoldAttributeValue("pwdLockout"), "TRUE") {
		return 0, 0, nil
	}
	n, err := number(e, "pwdMaxFailure")
	if err != nil {
		return 0, 0, err
	}
	seconds, err := number(e, "pwdFailureCountInterval")
	return int(n), time.Duration(seconds) * time.Second, err
}
