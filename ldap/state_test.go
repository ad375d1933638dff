package ldap_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/outside"
	"gatehouse/ldap"
)

// stateOf is what the directory says of somebody's account, in words.
func stateOf(t *testing.T, d *ldap.Directory, username string) string {
	t.Helper()
	s, err := d.State(t.Context(), username)
	if err != nil {
		t.Fatalf("%s: %v", username, err)
	}
	var words []string
	for _, bar := range s.Bars {
		words = append(words, bar.Error())
	}
	if s.Unseen != "" {
		words = append(words, "unseen: "+strings.Fields(s.Unseen)[0])
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// What keeps somebody out is read from a real Active Directory without a bind
// as them, and is what a bind with the right password is refused for.
func TestSambaTellsTheStateWithoutABind(t *testing.T) {
	d := samba(t)
	lockOut(t, d, "frank")
	for username, want := range map[string]error{
		"alice": nil, "never-expires": nil, "grace": gatehouse.ErrAccountDisabled, "erin": gatehouse.ErrPasswordExpired,
		"must-change-unasked": gatehouse.ErrPasswordMustChange, "gone": gatehouse.ErrAccountExpired,
		"nights": gatehouse.ErrAccountHours, "workstation": gatehouse.ErrAccountHours, "frank": gatehouse.ErrAccountLocked,
	} {
		says := ""
		if want != nil {
			says = want.Error()
		}
		if got := stateOf(t, d, username); got != says {
			t.Errorf("%s: %q, want %q", username, got, says)
		}
	}
	if got := stateOf(t, d, "smart-card"); got != "smart cards only" {
		t.Errorf("smart-card: %q", got)
	}
}

// The same of a real OpenLDAP. Where an entry does not show when its password
// was changed, or which policy applies, nothing is made up.
func TestSlapdTellsTheStateWithoutABind(t *testing.T) {
	t.Parallel()
	const policies = "ou=policies," + suffix
	es := append(company(),
		person(uidDN("fresh"), "fresh", "pwdPolicySubentry", "cn=default,"+policies, "pwdChangedTime", "20200101000000Z"),
		person(uidDN("graced"), "graced", "pwdPolicySubentry", "cn=graced,"+policies, "pwdChangedTime", "20200101000000Z"),
		person(uidDN("nowhere"), "nowhere", "pwdPolicySubentry", "cn=gone,"+policies, "pwdChangedTime", "20200101000000Z"),
		person(uidDN("undecided"), "undecided", "pwdChangedTime", "20200101000000Z"))
	s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(es)})
	d := open(t, config([]string{s.LDAPS}, ca))
	for username, want := range map[string]string{
		"fresh": "", "graced": "", "erin": "password expired",
		"frank": "account locked, unseen: pwdChangedTime", "reset": "password must be changed first, unseen: pwdChangedTime",
		"alice": "unseen: pwdChangedTime", "undecided": "unseen: the", "nowhere": "unseen: the",
	} {
		if got := stateOf(t, d, username); got != want {
			t.Errorf("%s: %q, want %q", username, got, want)
		}
	}
}
