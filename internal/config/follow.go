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
	wrong := slices.Concat(d.faults, found)
	return slices.DeleteFunc(slices.Clone(found), func(f gatehouse.Fault) bool {
		_, given := d.lines[f.Key]
		return slices.ContainsFunc(among, func(dep dependence) bool {
			return (dep.given || !given) && pattern(dep.key).MatchString(f.Key) && dep.holds(f.Key, wrong)
		})
	})
}

// holds reports whether the key that this one is judged by, or a section that
// it is in, is among the wrong ones.
func (dep dependence) holds(key string, wrong []gatehouse.Fault) bool {
	by := dep.by
	if strings.HasPrefix(by, ".") {
		by = parent(key) + by
	}
	return slices.ContainsFunc(wrong, func(f gatehouse.Fault) bool {
		for up := by; up != ""; up = parent(up) {
			if f.Key != key && pattern(up).MatchString(f.Key) {
				return true
			}
		}
		return false
	})
}

// pattern matches the keys that a text with [] and {} stands for.
func pattern(text string) *regexp.Regexp {
	quoted := strings.NewReplacer(`\[\]`, `\[\d+\]`, `\{\}`, `[^.]+`).Replace(regexp.QuoteMeta(text))
	return regexp.MustCompile("^" + quoted + "$")
}
