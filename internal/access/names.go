package access

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse"
	"gatehouse/saml"
)

// AWS's rules for what it lets through: IAM User Guide, "Configure SAML
// assertions for the authentication response" and "Passing session tags".
var (
	identity = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)
	tagText  = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	blank    = regexp.MustCompile(`\{([a-z]+)(?::([A-Za-z][A-Za-z0-9;-]*))?\}`)
)

const (
	maxTagKey   = 128
	maxTagValue = 256
)

// SessionName is the RoleSessionName of a person: their user name where AWS
// takes its letters, and always a part that only they can have, since two
// people never share one and a user name may be used again by another person.
func SessionName(u gatehouse.User) string {
	const suffix = 10 // characters of base32: 50 bits
	sum := sha256.Sum256([]byte(u.Key()))
	own := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:suffix])
	readable := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && identity.MatchString(string(r)+"xx") {
			return r
		}
		return '_'
	}, u.Username)
	const room = 64 - 1 - suffix
	if len(readable) > room {
		readable = readable[:room]
	}
	return readable + "-" + own
}

// checkTemplate reports what is wrong with a text of session_tags or source_identity.
func checkTemplate(text string) error {
	for _, m := range blank.FindAllStringSubmatch(text, -1) {
		known := slices.Contains([]string{"username", "mail", "name", "directory"}, m[1]) && m[2] == ""
		if !known && !(m[1] == "attribute" && m[2] != "") {
			return fmt.Errorf("%s is unknown; there are {username}, {mail}, {name}, {directory} and {attribute:NAME}", m[0])
		}
	}
	if strings.ContainsAny(blank.ReplaceAllString(text, ""), "{}") {
		return fmt.Errorf("%q has a brace that belongs to nothing", text)
	}
	return nil
}

// Attributes lists the directory attributes that the rules' texts refer to,
// so that they are asked for.
func (c Config) Attributes() []string {
	var names []string
	for _, r := range c.Access.Rules {
		texts := []string{r.SourceIdentity}
		for _, text := range r.SessionTags {
			texts = append(texts, text)
		}
		for _, text := range r.Attributes {
			texts = append(texts, text)
		}
		for _, text := range texts {
			for _, m := range blank.FindAllStringSubmatch(text, -1) {
				if m[1] == "attribute" {
					names = append(names, m[2])
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// fill puts the person's own values into a text. Several values of one
// attribute are joined with ":", sorted, since AWS takes one value for a tag.
func fill(text string, u gatehouse.User) string {
	return blank.ReplaceAllStringFunc(text, func(s string) string {
		m := blank.FindStringSubmatch(s)
		switch m[1] {
		case "username":
			return u.Username
		case "mail":
			return u.Mail
		case "name":
			return u.DisplayName
		case "directory":
			return u.Directory
		default:
			values := slices.Sorted(slices.Values(u.Attributes[strings.ToLower(m[2])]))
			return strings.Join(values, ":")
		}
	})
}

// allGroups is the text that stands for the names of a person's groups.
const allGroups = "{groups}"

// fillAll is fill for what may have several values.
func fillAll(text string, u gatehouse.User) []string {
	var values []string
	m := blank.FindStringSubmatch(text)
	switch {
	case text == allGroups:
		for _, g := range u.Groups {
			values = append(values, g.Name)
		}
	case m != nil && m[0] == text && m[1] == "attribute":
		values = slices.Clone(u.Attributes[strings.ToLower(m[2])])
	default:
		values = []string{fill(text, u)}
	}
	slices.Sort(values)
	return slices.DeleteFunc(slices.Compact(values), func(v string) bool { return v == "" })
}

// released is what r tells its service provider of a person.
func (r *rule) released(u gatehouse.User) []saml.Attribute {
	var list []saml.Attribute
	for _, name := range sortedKeys(r.Attributes) {
		values := fillAll(r.Attributes[name], u)
		if len(values) == 0 {
			continue
		}
		a := saml.Attribute{Name: name, Values: values}
		if !strings.Contains(name, ":") {
			a.Format = saml.FormatBasic // no URI, so that it does not call itself one (saml-core §8.2)
		}
		list = append(list, a)
	}
	return list
}

func badTagKey(key string) string {
	switch {
	case key == "" || utf8.RuneCountInString(key) > maxTagKey || !tagText.MatchString(key):
		return "is no tag key: AWS takes 1 to 128 letters, digits, spaces and _ . : / = + - @"
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return "begins with aws:, which AWS keeps for itself"
	}
	return ""
}

// terms resolves what a rule sends along with its roles for this person. Why
// is not empty when AWS would refuse it: nothing is altered to fit.
func (r *rule) terms(u gatehouse.User) (tags []gatehouse.Tag, source, why string) {
	for _, key := range r.tagKeys {
		value := fill(r.SessionTags[key], u)
		if value == "" {
			continue
		}
		if utf8.RuneCountInString(value) > maxTagValue || !tagText.MatchString(value) {
			why = fmt.Sprintf("Your directory entry gives the session tag “%s” a value that AWS does not accept.", key)
		}
		tags = append(tags, gatehouse.Tag{Key: key, Value: value})
	}
	source = fill(r.SourceIdentity, u)
	if r.SourceIdentity != "" && (!identity.MatchString(source) || strings.HasPrefix(source, "aws:")) {
		why = "Your directory entry gives a source identity that AWS does not accept."
	}
	return tags, source, why
}
