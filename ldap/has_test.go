package ldap_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"
)

// has fails the test unless d says of an entry what is wanted: nil, or a kind
// of error.
func has(t *testing.T, d *ldap.Directory, dn string, want error) {
	t.Helper()
	if err := d.Has(t.Context(), dn); !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("has %s: %v, want %v", dn, err, want)
	}
}

// TestHas: what rules name is there, or it is not, or nobody can say.
func TestHas(t *testing.T) {
	s, ca := startDemo(t, directory.Config{Entries: company()})
	d := open(t, config([]string{s.URL()}, ca))
	has(t, d, groupDN("team"), nil)
	has(t, d, strings.ToUpper(groupDN("team")), nil)
	has(t, d, groupDN("taem"), gatehouse.ErrNotFound)
	has(t, d, "ou=nowhere,dc=elsewhere,dc=example", gatehouse.ErrNotFound)
	s.Close()
	has(t, d, groupDN("team"), gatehouse.ErrUnavailable)

	f := startForest(t)
	forest := open(t, f.config())
	has(t, forest, "cn=everywhere,"+corpDN, nil)
	has(t, forest, "cn=local,"+emeaDN, nil)
	has(t, forest, "cn=nobody,"+emeaDN, gatehouse.ErrNotFound)
}

func TestSlapdHas(t *testing.T) {
	outside.Program(t, "slapd", "slapd")
	s, ca := startSlapd(t, outside.SlapdConfig{Access: []string{fmt.Sprintf("to dn.exact=%q by * none", groupDN("dept"))}})
	d := open(t, config([]string{s.LDAPS}, ca))
	has(t, d, groupDN("team"), nil)
	has(t, d, groupDN("taem"), gatehouse.ErrNotFound)
	has(t, d, "OU=AWZ,"+groups, gatehouse.ErrNotFound)
	has(t, d, "cn=a,dc=elsewhere,dc=example", gatehouse.ErrNotFound)
	has(t, d, groupDN("dept"), gatehouse.ErrNotFound) // slapd does not tell that it hides something
}

func TestSambaHas(t *testing.T) {
	d := samba(t)
	has(t, d, adGroups, nil)
	has(t, d, "CN=team,"+adGroups, nil)
	has(t, d, "CN=taem,"+adGroups, gatehouse.ErrNotFound)
	has(t, d, "OU=AWZ,"+adGroups, gatehouse.ErrNotFound)
	has(t, d, "CN=a,DC=elsewhere,DC=example", gatehouse.ErrNotFound)
}
