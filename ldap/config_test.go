package ldap_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gatehouse/ldap"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*ldap.Config)
		faults []string // keys
	}{
		{"what the tests use is good", func(*ldap.Config) {}, nil},
		{"a domain in place of URLs", func(c *ldap.Config) { c.URLs, c.Domain = nil, "corp.example.com" }, nil},
		{"neither", func(c *ldap.Config) { c.URLs = nil }, []string{"urls"}},
		{"both", func(c *ldap.Config) { c.Domain = "corp.example.com" }, []string{"urls"}},
		{"not a domain", func(c *ldap.Config) { c.URLs, c.Domain = nil, "corp example" }, []string{"domain"}},
		{"not LDAP", func(c *ldap.Config) { c.URLs = []string{"https://dc1", "ldapi:///x", "dc1:636"} }, []string{"urls[0]", "urls[1]", "urls[2]"}},
		{"more than a host in a URL", func(c *ldap.Config) {
			c.URLs = []string{"ldaps://dc1/dc=corp", "ldaps://u:p@dc1", "ldaps://dc1?x"}
		}, []string{"urls[0]", "urls[1]", "urls[2]"}},
		{"suffixes", func(c *ldap.Config) { c.Suffixes = []string{"corp.example.com", "CORP", "corp_2", "x"} }, nil},
		{"suffixes that are none, or there twice", func(c *ldap.Config) {
			c.Suffixes = []string{"", "@corp", `CORP\\`, "a b", "*", ".corp", "corp.", "a..b", "corp", "CORP"}
		}, []string{"suffixes[0]", "suffixes[1]", "suffixes[2]", "suffixes[3]", "suffixes[4]", "suffixes[5]", "suffixes[6]", "suffixes[7]", "suffixes[9]"}},
		{"a forest", forest(nil), nil},
		{"a forest and nothing more", forest(func(c *ldap.Config) { c.GlobalCatalog, c.Domains = nil, nil }), nil},
		{"a forest and URLs", forest(func(c *ldap.Config) { c.URLs = []string{"ldaps://dc1"} }), []string{"urls"}},
		{"a forest of another kind", forest(func(c *ldap.Config) { c.Type = ldap.OpenLDAP }), []string{"forest", "id_attribute", "bind_dn"}},
		{"a forest that is none", forest(func(c *ldap.Config) { c.Forest, c.Domains = "corp example", nil }), []string{"forest"}},
		{"a service account that other domains do not know", forest(func(c *ldap.Config) { c.BindDN = serviceDN }), []string{"bind_dn"}},
		{"what only a forest has", func(c *ldap.Config) {
			c.GlobalCatalog, c.Domains = []string{"ldaps://gc"}, map[string]ldap.ForestDomain{"a.example.com": {}}
		}, []string{"global_catalog", "domains"}},
		{"a site", func(c *ldap.Config) {
			c.Type, c.URLs, c.Domain, c.Site = ldap.ActiveDirectory, nil, "corp.example.com", "Bonn-1"
		}, nil},
		{"a site that is none", func(c *ldap.Config) {
			c.Type, c.URLs, c.Domain, c.Site = ldap.ActiveDirectory, nil, "corp.example.com", "a.b"
		}, []string{"site"}},
		{"a site without DNS", func(c *ldap.Config) { c.Type, c.Site = ldap.ActiveDirectory, "Bonn" }, []string{"site"}},
		{"domains that are none, or taken, or out of DNS's reach", forest(func(c *ldap.Config) {
			c.Domains = map[string]ldap.ForestDomain{"a": {}, "b.example.net": {}, "c.corp.example.com": {URLs: []string{"dc1"}, NetBIOS: "x.y"},
				"d.corp.example.com": {NetBIOS: "D"}, "e.corp.example.com": {NetBIOS: "d"}}
		}), []string{"domains.a", "domains.b.example.net", "domains.c.corp.example.com.urls[0]", "domains.c.corp.example.com.netbios", "domains.e.corp.example.com.netbios"}},
		{"no name", func(c *ldap.Config) { c.Name = "" }, []string{"name"}},
		{"a name that could be two identities", func(c *ldap.Config) { c.Name = "a/b" }, []string{"name"}},
		{"an unknown type", func(c *ldap.Config) {
			c.Type, c.UserFilter, c.GroupFilter = "ad", "(uid=%s)", "(member=%s)"
			c.IDAttribute, c.UsernameAttribute, c.GroupNameAttribute = "a", "b", "c"
		}, []string{"type"}},
		{"no base", func(c *ldap.Config) { c.BaseDN = "" }, []string{"base_dn"}},
		{"bases that are no DNs", func(c *ldap.Config) { c.BaseDN, c.GroupBaseDN = "corp", "groups" }, []string{"base_dn", "group_base_dn"}},
		{"a service account without a password would be anonymous", func(c *ldap.Config) { c.BindPassword = " " }, []string{"bind_password"}},
		{"a password with its line's end", func(c *ldap.Config) { c.BindPassword = "x\n" }, []string{"bind_password"}},
		{"a password for nobody", func(c *ldap.Config) { c.BindDN = "" }, []string{"bind_dn"}},
		{"anonymous searches", func(c *ldap.Config) { c.BindDN, c.BindPassword = "", "" }, nil},
		{"anonymous searches in Active Directory", func(c *ldap.Config) { c.Type, c.BindDN, c.BindPassword = ldap.ActiveDirectory, "", "" }, []string{"bind_dn"}},
		{"a filter that finds everybody", func(c *ldap.Config) { c.UserFilter = "(objectClass=person)" }, []string{"user_filter"}},
		{"a filter that is none", func(c *ldap.Config) { c.UserFilter, c.GroupFilter = "(uid=%s", "member=%s)" }, []string{"user_filter", "group_filter"}},
		{"attributes that would end a filter", func(c *ldap.Config) { c.IDAttribute, c.Attributes = "x)(y", []string{"mail", "*", "a b"} },
			[]string{"id_attribute", "attributes[1]", "attributes[2]"}},
		{"a rule that does not know *", func(c *ldap.Config) { c.UserFilter = "(uid:caseExactMatch:=%s)" }, []string{"user_filter"}},
		{"a password as an attribute", func(c *ldap.Config) { c.Attributes = []string{"userpassword"} }, []string{"attributes[0]"}},
		{"half a client certificate", func(c *ldap.Config) { c.CertFile = "c.pem" }, []string{"cert_file"}},
		{"no time at all", func(c *ldap.Config) { c.Timeout = time.Millisecond }, []string{"timeout"}},
		{"too many connections", func(c *ldap.Config) { c.Connections = 1000 }, []string{"connections"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config([]string{"ldaps://dc1.corp.example.com"}, "")
			tt.change(&c)
			c.SetDefaults()
			var got []string
			for _, f := range c.Validate() {
				if !slices.Contains(got, f.Key) {
					got = append(got, f.Key)
				}
			}
			if !slices.Equal(got, tt.faults) {
				t.Errorf("faults %q, want %q: %v", got, tt.faults, c.Validate())
			}
		})
	}
}

// forest is a change to a forest, and one more.
func forest(change func(*ldap.Config)) func(*ldap.Config) {
	return func(c *ldap.Config) {
		c.Type, c.URLs, c.BaseDN, c.UserBaseDN, c.BindDN = ldap.ActiveDirectory, nil, "", "", "gatehouse@corp.example.com"
		c.Forest, c.GlobalCatalog = "corp.example.com", []string{"ldaps://gc1.corp.example.com", "ldap://gc2.corp.example.com"}
		c.Domains = map[string]ldap.ForestDomain{"emea.corp.example.com": {NetBIOS: "EMEA"}, "corp.example.net": {URLs: []string{"ldaps://dc1.corp.example.net"}}}
		if change != nil {
			change(c)
		}
	}
}

// TestDefaults: every type's own defaults are without fault.
func TestDefaults(t *testing.T) {
	for _, kind := range []string{ldap.ActiveDirectory, ldap.OpenLDAP, ldap.Custom, ""} {
		c := ldap.Config{Name: "corp", Type: kind, URLs: []string{"ldap://dc1"}, BaseDN: suffix, BindDN: serviceDN, BindPassword: "x"}
		c.SetDefaults()
		if faults := c.Validate(); len(faults) > 0 {
			t.Errorf("%s: %v", kind, faults)
		}
		if c.UserBaseDN != suffix || *c.MaxAge != time.Minute || c.Timeout != 5*time.Second || c.Connections != 4 || !*c.Nested {
			t.Errorf("%s: %+v", kind, c)
		}
	}
}

func TestFiles(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]ldap.Config{
		"a missing authority":          config([]string{"ldaps://dc1"}, empty+".missing"),
		"an authority that is none":    config([]string{"ldaps://dc1"}, empty),
		"a client certificate of none": {URLs: []string{"ldaps://dc1"}, CertFile: empty, KeyFile: empty},
	} {
		if _, err := ldap.New(c, nil, nil); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
