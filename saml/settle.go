package saml

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse"
)

// settle fills in the defaults of a and says what is missing or impossible.
func settle(a *Assertion) error {
	a.NameID.Format = cmp.Or(a.NameID.Format, NameIDPersistent)
	a.AuthnContext = cmp.Or(a.AuthnContext, PasswordProtectedTransport)
	a.Lifetime = cmp.Or(a.Lifetime, defaultLifetime)
	a.Sign = cmp.Or(a.Sign, SignAssertion)
	switch {
	case a.Recipient == "":
		return errors.New("assertion without a recipient")
	case a.Audience == "":
		return errors.New("assertion without an audience")
	case a.NameID.Value == "":
		return errors.New("assertion without a subject")
	case a.AuthnInstant.IsZero():
		return errors.New("assertion without the time of the sign-in")
	case a.Lifetime < 0:
		return errors.New("assertion that is never good")
	case a.InResponseTo != "" && !isID(a.InResponseTo):
		return fmt.Errorf("assertion in response to %q, which is no ID", a.InResponseTo)
	case a.Sign != SignAssertion && a.Sign != SignResponse && a.Sign != SignBoth:
		return fmt.Errorf("sign %q: want assertion, response or both", a.Sign)
	case a.AWS != nil && len(a.Attributes) > 0:
		return errors.New("assertion with attributes of AWS and of another provider")
	}
	if a.AWS != nil {
		return a.AWS.check()
	}
	return checkAttributes(a.Attributes)
}

func checkAttributes(list []Attribute) error {
	for i, a := range list {
		if a.Name == "" {
			return errors.New("attribute without a name")
		}
		for _, b := range list[:i] {
			if a.Name == b.Name {
				return fmt.Errorf("attribute %q twice", a.Name)
			}
		}
	}
	return nil
}

// check holds a to the limits of IAM and STS: a value that AWS would refuse
// is refused here, where the reason can be said.
func (a *AWS) check() error {
	if len(a.Roles) == 0 {
		return errors.New("assertion for AWS without a role")
	}
	for _, r := range a.Roles {
		if r.RoleARN == "" || r.ProviderARN == "" {
			return fmt.Errorf("role %q of provider %q is no pair", r.RoleARN, r.ProviderARN)
		}
	}
	if !isSessionName(a.RoleSessionName) {
		return fmt.Errorf("role session name %q: want 2 to 64 of A-Z a-z 0-9 _+=,.@-", a.RoleSessionName)
	}
	if a.SourceIdentity != "" && !isSessionName(a.SourceIdentity) { // "aws:" has a colon
		return fmt.Errorf("source identity %q: want 2 to 64 of A-Z a-z 0-9 _+=,.@-", a.SourceIdentity)
	}
	if d := a.SessionDuration; d != 0 && (d < 15*time.Minute || d > 12*time.Hour || d%time.Second != 0) {
		return fmt.Errorf("session duration %v: want whole seconds from 15m to 12h", d)
	}
	return a.checkTags()
}

// checkTags holds session tags to IAM's limits (IAM User Guide, "Pass session
// tags in AWS STS").
func (a *AWS) checkTags() error {
	if len(a.Tags) > 50 {
		return fmt.Errorf("%d session tags: AWS takes 50", len(a.Tags))
	}
	for i, t := range a.Tags {
		if n := utf8.RuneCountInString(t.Key); n < 1 || n > 128 || utf8.RuneCountInString(t.Value) > 256 {
			return fmt.Errorf("session tag %q: AWS takes 128 characters of key and 256 of value", t.Key)
		}
		if len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:") {
			return fmt.Errorf("session tag %q: aws: is AWS's own", t.Key)
		}
		if hasTag(a.Tags[:i], t.Key) {
			return fmt.Errorf("session tag %q twice", t.Key)
		}
	}
	for _, key := range a.TransitiveTagKeys {
		if !hasTag(a.Tags, key) {
			return fmt.Errorf("transitive tag %q is not among the tags", key)
		}
	}
	return nil
}

// hasTag compares as IAM does, ignoring case.
func hasTag(tags []gatehouse.Tag, key string) bool {
	for i := range tags {
		if strings.EqualFold(tags[i].Key, key) {
			return true
		}
	}
	return false
}

// isSessionName says whether s is 2 to 64 of [A-Za-z0-9_+=,.@-].
func isSessionName(s string) bool {
	if len(s) < 2 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("_+=,.@-", c) < 0 {
			return false
		}
	}
	return true
}

// isID says whether s can be answered as the ID of a request. It should be an
// xs:ID, and real clients send bare UUIDs that begin with a digit (saml2aws).
func isID(s string) bool { return isNCName("_"+s) && s != "" }

// isNCName says whether s can be an xs:ID. Names beyond ASCII are legal and
// not seen in the field; they are refused.
func isNCName(s string) bool {
	if s == "" || len(s) > 256 || !(isLetter(s[0]) || s[0] == '_') {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isAlphanumeric(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' }
