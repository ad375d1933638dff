package ldap

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// reading is one way to understand a name that somebody typed.
type reading struct {
	name string // what goes into user_filter
}

// readings are the ways to understand typed, in their order. A later one
// counts only where the ones before find nobody: one that finds two people
// ends the matter.
//
//   - SUFFIX\name is name.
//   - name@suffix is itself first: a userPrincipalName or a mail address that
//     somebody has (an explicit UPN, MS-ADTS §5.1.1.1.1). Only then is it name.
//   - Anything else, and any suffix that is not this directory's, is as typed.
func (c claims) readings(typed string) []reading {
	if suffix, name, ok := strings.Cut(typed, `\`); ok && c.has(suffix) {
		return []reading{{name: name}}
	}
	all := []reading{{name: typed}}
	name, suffix, ok := strings.Cut(typed, "@")
	if ok && c.has(suffix) && !strings.Contains(name, `\`) {
		all = append(all, reading{name: name})
	}
	return all
}

// claims are the suffixes that belong to a directory, in lower case.
type claims map[string]bool

func (c claims) has(suffix string) bool { return c[strings.ToLower(suffix)] }

// claims gathers the suffixes that c claims.
func (c Config) claims() claims {
	all := claims{}
	for _, s := range c.Suffixes {
		all[strings.ToLower(s)] = true
	}
	return all
}

// Claims are the suffixes that belong to this directory and so to no other,
// in lower case, sorted: suffixes. No two directories may claim the same.
func (c Config) Claims() []string { return slices.Sorted(maps.Keys(c.claims())) }

// Suffixes are the suffixes that belong to this directory, in lower case and
// sorted. A name of the form name@suffix or SUFFIX\name, in any case, whose
// suffix is one of them is to be asked of this directory and of no other.
//
// Within it SUFFIX\name finds whom user_filter selects by name. name@suffix
// finds whom it selects by the whole (their userPrincipalName or mail address)
// and, only where that is nobody, by name. Either way there must be exactly
// one of them.
func (d *Directory) Suffixes() []string { return d.cfg.Claims() }

// suffixName is a DNS name or a NetBIOS name, without the signs that mean
// something in a typed name, in a DN or in a filter.
var suffixName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$`)

func (c Config) validateSuffixes(f *faults) {
	seen := claims{}
	for i, s := range c.Suffixes {
		key := place("suffixes", i)
		switch {
		case !suffixName.MatchString(s) || strings.Contains(s, ".."):
			f.add(key, "%q is no suffix: want corp.example.com, as in name@corp.example.com, or CORP, as in CORP\\name", s)
		case seen.has(s):
			f.add(key, "%q is there twice", s)
		}
		seen[strings.ToLower(s)] = true
	}
}
