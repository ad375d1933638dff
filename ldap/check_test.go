package ldap_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/ldap"
)

// TestCheck: each thing that an operator may have got wrong is named, with
// what to do about it.
func TestCheck(t *testing.T) {
	s, ca := startDemo(t, directory.Config{Entries: company()})
	domainServer, domainCA := startDemo(t, directory.Config{Entries: domain(), ActiveDirectory: true})
	tests := []struct {
		name   string
		change func(*ldap.Config)
		state  gatehouse.FindingState
		fix    string
	}{
		{"a base that does not exist", func(c *ldap.Config) { c.GroupBaseDN = "ou=nowhere," + suffix }, gatehouse.FindingFailure, "correct group_base_dn"},
		{"nobody below the base", func(c *ldap.Config) { c.UserBaseDN = groups }, gatehouse.FindingFailure, "correct user_base_dn"},
		{"people without an identifier", func(c *ldap.Config) { c.IDAttribute = "employeeNumber" }, gatehouse.FindingFailure, "id_attribute"},
		{"people without a name to sign in with", func(c *ldap.Config) { c.UsernameAttribute = "employeeNumber" }, gatehouse.FindingFailure, "username_attribute"},
		{"a refused service account", func(c *ldap.Config) { c.BindPassword = "wrong" }, gatehouse.FindingFailure, "bind_password_file"},
		{"a host that is none", func(c *ldap.Config) { c.URLs = []string{"ldaps://directory.invalid"} }, gatehouse.FindingFailure, "DNS"},
		{"LDAPS spoken to the port of StartTLS", func(c *ldap.Config) { c.URLs[0] = strings.Replace(c.URLs[0], "ldap:", "ldaps:", 1) }, gatehouse.FindingFailure, "use ldap:// for StartTLS"},
		{"no service account, and none that is accepted", func(c *ldap.Config) { c.BindDN, c.BindPassword = "", "" }, gatehouse.FindingOK, ""},
		{"hidden tokenGroups", func(c *ldap.Config) {
			c.URLs, c.CAFile, c.Type = []string{domainServer.URL()}, domainCA, ldap.ActiveDirectory
			c.UserFilter = "(&(objectCategory=person)(sAMAccountName=%s)(sAMAccountName=bob))"
		}, gatehouse.FindingWarning, "Windows Authorization Access Group"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config([]string{s.URL()}, ca)
			tt.change(&c)
			findings := open(t, c).Check(t.Context())
			if !slices.ContainsFunc(findings, func(f gatehouse.Finding) bool {
				return f.Subject == "directory corp" && f.State == tt.state && strings.Contains(f.Fix, tt.fix)
			}) {
				t.Errorf("%+v, want a %s whose fix says %q", findings, tt.state, tt.fix)
			}
			if slices.ContainsFunc(findings, func(f gatehouse.Finding) bool { return strings.Contains(f.Detail, "  ") }) {
				t.Errorf("%+v: a name is missing in it", findings)
			}
		})
	}
}
