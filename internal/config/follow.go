package config

import (
	"regexp"
	"slices"
	"strings"

	"gatehouse"
)

// dependence says that what is wrong with one key may only follow from what
// is wrong with another, of which its default is made or by which it is
// judged. [] is any item of a list, {} any name; by, where it begins with a
// dot, is a key beside the other.
type dependence struct {
	key, by string
	given   bool // also where the key itself is in the file
}

// ofRooms are the dependences within what rooms say of their own keys.
var ofRooms = []dependence{
	{"directories[].user_filter", ".type", false},
	{"directories[].group_filter", ".type", false},
	{"directories[].id_attribute", ".type", false},
	{"directories[].username_attribute", ".type", false},
	{"directories[].group_name_attribute", ".type", false},
	{"directories[].bind_dn", ".type", false},
	{"directories[].site", ".type", true},
	{"directories[].forest", ".type", true},
	{"directories[].user_base_dn", ".base_dn", false},
	{"directories[].group_base_dn", ".base_dn", false},
	{"directories[].base_dn", ".forest", false},
	{"directories[].urls", ".domain", true},
	{"directories[].urls", ".forest", true},
	{"directories[].site", ".domain", true},
	{"directories[].site", ".forest", true},
	{"directories[].domains", ".forest", true},
	{"directories[].global_catalog", ".forest", true},
	{"saml.entity_id", "public_url", false},
	{"windows.service_principal", "public_url", false},
	{"windows.directory", "directories[].name", true},
	{"windows.directory", "directories", true},
	{"windows.realms.{}", "directories[].name", true},
	{"windows.realms.{}", "directories", true},
	{"session.idle", "session.max", true},
	{"aws.accounts.{}.region", "aws.region", false},
}

// ofPolicy are those of what the rules are looked up in.
var ofPolicy = []dependence{
	{"access.rules[].directory", "directories[].name", true},
	{"access.rules[].directory", "directories", true},
	{"access.rules[].roles[]", "aws.accounts", true},
	{"access.rules[].service_provider", "saml.service_providers", true},
	{"access.rules[].service_provider", "saml.service_providers[].name", true},
	{"access.rules[].service_provider", "saml.metadata_dir", true},
}

// independent are the faults that do not follow from others.
func (d *decoder) independent(found []gatehouse.Fault, among []dependence) []gatehouse.Fault {
	wrong := map[string]bool{} // keys, and the same of any item
	for _, f := range slices.Concat(d.faults, found) {
		wrong[f.Key], wrong[anyItem(f.Key)] = true, true
	}
	return slices.DeleteFunc(slices.Clone(found), func(f gatehouse.Fault) bool {
		_, given := d.lines[f.Key]
		of := anyItem(f.Key)
		return slices.ContainsFunc(among, func(dep dependence) bool {
			return (dep.given || !given) && dep.of(of) && dep.holds(f.Key, wrong)
		})
	})
}

var item = regexp.MustCompile(`\[\d+\]`)

// anyItem is a key without the places in lists.
func anyItem(key string) string { return item.ReplaceAllString(key, "[]") }

// of reports whether it is a dependence of that key. Names of one's own may
// have dots in them.
func (dep dependence) of(key string) bool {
	before, after, names := strings.Cut(dep.key, "{}")
	return key == dep.key || names && strings.HasPrefix(key, before) && strings.HasSuffix(key, after)
}

// holds reports whether the key that this one is judged by, or a section that
// it is in, is among the wrong ones.
func (dep dependence) holds(key string, wrong map[string]bool) bool {
	by := dep.by
	if strings.HasPrefix(by, ".") {
		by = parent(key) + by
	}
	for ; by != ""; by = parent(by) {
		if wrong[by] {
			return true
		}
	}
	return false
}
