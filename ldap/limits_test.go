package ldap_test

import (
	"testing"
	"time"

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
