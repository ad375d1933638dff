package ldap

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// reading is one way to understand a name that somebody typed.
type reading struct {
	name   string // what goes into user_filter
	domain string // the one domain of a forest where it counts; empty: anywhere
}

// readings are the ways to understand typed, in their order. A later one
// counts only where the ones before find nobody: one that finds two people
// ends the matter.
//
//   - SUFFIX\name is name.
//   - name@suffix is itself first: a userPrincipalName or a mail address that
//     somebody has (an explicit UPN, MS-ADTS §5.1.1.1.1). Only then is it name.
//   - Anything else, and any suffix that is not this directory's, is as typed.
//
// A suffix that is a domain's of a forest leaves name to that domain.
func (c claims) readings(typed string) []reading {
	if suffix, name, ok := strings.Cut(typed, `\`); ok {
		if domain, ours := c.domain(suffix); ours {
			return []reading{{name, domain}}
		}
	}
	all := []reading{{name: typed}}
	name, suffix, ok := strings.Cut(typed, "@")
	if domain, ours := c.domain(suffix); ok && ours && !strings.Contains(name, `\`) {
		all = append(all, reading{name, domain})
	}
	return all
}

// claims are the suffixes that belong to a directory, in lower case, and the
// domain of a forest that each stands for, if any.
type claims struct {
	suffixes map[string]string
	forest   string // its domains need not be listed
}

// domain reports whether suffix is one of ours, and for which domain.
func (c claims) domain(suffix string) (domain string, ours bool) {
	suffix = strings.ToLower(suffix)
	domain, ours = c.suffixes[suffix]
	if !ours && within(suffix, c.forest) && domainName.MatchString(suffix) {
		return suffix, true
	}
	return domain, ours
}

// within reports whether domain is the forest's root or below it.
func within(domain, forest string) bool {
	return forest != "" && (domain == forest || strings.HasSuffix(domain, "."+forest))
}

// claims gathers the suffixes that c claims.
func (c Config) claims() claims {
	all := claims{map[string]string{}, strings.ToLower(c.Forest)}
	for _, s := range c.Suffixes {
		all.suffixes[strings.ToLower(s)] = ""
	}
	if all.forest != "" {
		all.suffixes[all.forest] = all.forest
	}
	for name, domain := range c.Domains {
		name = strings.ToLower(name)
		all.suffixes[name] = name
		if domain.NetBIOS != "" {
			all.suffixes[strings.ToLower(domain.NetBIOS)] = name
		}
	}
	return all
}

// Claims are the suffixes that belong to this directory and so to no other,
// in lower case, sorted: suffixes, the forest, and the names of its domains
// that are configured. No two directories may claim the same.
func (c Config) Claims() []string { return slices.Sorted(maps.Keys(c.claims().suffixes)) }

// Suffixes are the suffixes that belong to this directory, in lower case and
// sorted. A name of the form name@suffix or SUFFIX\name, in any case, whose
// suffix is one of them is to be asked of this directory and of no other.
//
// Within it SUFFIX\name finds whom user_filter selects by name. name@suffix
// finds whom it selects by the whole (their userPrincipalName or mail address)
// and, only where that is nobody, by name. Either way there must be exactly
// one of them. Where the suffix is the DNS or the NetBIOS name of a forest's
// domain, name alone counts in that domain only.
func (d *Directory) Suffixes() []string { return d.cfg.Claims() }

var (
	// suffixName is a DNS name or a NetBIOS name, without the signs that mean
	// something in a typed name, in a DN or in a filter.
	suffixName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$`)

	// netbiosName is one that Windows gives to domains today.
	netbiosName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,15}$`)
)

func (c Config) validateSuffixes(f *faults) {
	seen := map[string]bool{}
	for i, s := range c.Suffixes {
		key, lower := place("suffixes", i), strings.ToLower(s)
		switch {
		case !suffixName.MatchString(s) || strings.Contains(s, ".."):
			f.add(key, "%q is no suffix: want corp.example.com, as in name@corp.example.com, or CORP, as in CORP\\name", s)
		case seen[lower]:
			f.add(key, "%q is there twice", s)
		}
		seen[lower] = true
	}
}
