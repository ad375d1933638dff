package ldap_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"
	"gatehouse/ldap"
)

// TestLimits: the strictest lock-out rule that the service account can see.
func TestLimits(t *testing.T) {
	check := func(t *testing.T, d *ldap.Directory, wantThreshold int, wantWindow time.Duration) {
		t.Helper()
		threshold, window, err := d.Limits(t.Context())
		if err != nil || threshold != wantThreshold || window != wantWindow {
			t.Errorf("%d within %v, %v; want %d within %v", threshold, window, err, wantThreshold, wantWindow)
		}
	}
	t.Run("slapd", func(t *testing.T) {
		// One of the policies counts for ever.
		s, ca := startSlapd(t, outside.SlapdConfig{})
		check(t, open(t, config([]string{s.LDAPS}, ca)), 3, 0)
		c := config([]string{s.LDAPS}, ca)
		c.BaseDN = "cn=strict,ou=policies," + suffix
		check(t, open(t, c), 3, 10*time.Minute)
		c.BaseDN = people
		check(t, open(t, c), 0, 0)
	})
	t.Run("samba", func(t *testing.T) {
		check(t, samba(t), adLockout, 30*time.Minute)
		// Fine-grained policies are for administrators to see.
		check(t, samba(t, func(c *ldap.Config) { c.BindDN, c.BindPassword = outside.SambaAdminDN, outside.SambaAdminPassword }), 3, time.Hour)
	})
}

// TestSambaCheck: what check says of a real domain.
func TestSambaCheck(t *testing.T) {
	has := func(t *testing.T, d *ldap.Directory, state gatehouse.FindingState, words string) {
		t.Helper()
		findings := d.Check(t.Context())
		for _, f := range findings {
			if f.State == state && strings.Contains(f.Detail, words) {
				return
			}
		}
		t.Errorf("no %s about %q in %+v", state, words, findings)
	}
	t.Run("as it should be", func(t *testing.T) {
		d := samba(t)
		for _, f := range d.Check(t.Context()) {
			if f.State != gatehouse.FindingOK && !strings.Contains(f.Detail, "certificate") {
				t.Errorf("%+v", f)
			}
		}
		has(t, d, gatehouse.FindingOK, "locked out after 5 wrong passwords within 30m")
		has(t, d, gatehouse.FindingOK, "its password does not expire")
	})
	t.Run("a service account that may do anything", func(t *testing.T) {
		d := samba(t, func(c *ldap.Config) { c.BindDN = "CN=powerful,OU=Service," + outside.SambaBaseDN })
		has(t, d, gatehouse.FindingWarning, "is in Domain Admins")
		has(t, d, gatehouse.FindingWarning, "is in Administrators")
		has(t, d, gatehouse.FindingOK, "its password expires on "+time.Now().Add(42*24*time.Hour).UTC().Format(time.DateOnly))
	})
	t.Run("a service account whose password expires soon", func(t *testing.T) {
		d := samba(t, func(c *ldap.Config) { c.BindDN = "CN=expiring,OU=Service," + outside.SambaBaseDN })
		has(t, d, gatehouse.FindingWarning, "expires on "+time.Now().Add(4*24*time.Hour).UTC().Format(time.DateOnly))
	})
}
