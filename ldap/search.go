package ldap

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// query is one search. Its answer is whole or it is an error: a part of a
// list of groups must never be taken for the list.
type query struct {
	base       string
	scope      int
	filter     string
	attributes []string
	most       int // entries beyond these are errTooMany

	// partWillDo leaves it at that where an attribute has more values than
	// anybody reads.
	partWillDo bool
}

// pageSize keeps answers below the 1000 entries at which Active Directory and
// OpenLDAP cut them off.
const pageSize = 500

var errTooMany = errors.New("more entries than expected")

// search runs q on one of the directory's servers.
func (d *Directory) search(ctx context.Context, q query) (entries []*goldap.Entry, err error) {
	err = d.pool.search(ctx, func(c *conn) (err error) {
		if entries, err = c.pages(q); err != nil {
			return err
		}
		for _, e := range entries {
			if err := c.complete(e, q.partWillDo); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// pages runs q on c, page by page where q may find many.
//
// References to other servers are left alone: what they lead to would be
// asked with our service account's password (RFC 4511 §4.5.3).
func (c *conn) pages(q query) ([]*goldap.Entry, error) {
	var entries []*goldap.Entry
	cookie := []byte(nil)
	for {
		req := goldap.NewSearchRequest(q.base, q.scope, goldap.NeverDerefAliases, 0, 0, false, q.filter, q.attributes, nil)
		if q.most > pageSize {
			// No size limit here: slapd refuses one that is above its own.
			paging := goldap.NewControlPaging(pageSize)
			paging.SetCookie(cookie)
			req.Controls = []goldap.Control{paging}
		} else {
			// Samba does not mind the limit, so that we do, too.
			req.SizeLimit, req.EnforceSizeLimit = q.most, true
		}
		result, err := c.Search(req)
		if errors.Is(err, goldap.ErrSizeLimitExceeded) || q.most <= pageSize && goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) {
			return nil, errTooMany
		}
		if err != nil {
			return nil, err
		}
		if entries = append(entries, result.Entries...); len(entries) > q.most {
			return nil, errTooMany
		}
		page, ok := goldap.FindControl(result.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
		if !ok || len(page.Cookie) == 0 {
			return entries, nil
		}
		cookie = page.Cookie
	}
}

// userFilter puts username into a filter template. This is the one place
// where a name that somebody typed meets a filter, and where it is escaped.
func userFilter(template, username string) string {
	return strings.ReplaceAll(template, "%s", goldap.EscapeFilter(username))
}

// everybody is the filter of every person whom userFilter could select: a
// restriction that the template makes holds for look-ups by identifier, too.
func everybody(template string) string { return strings.ReplaceAll(template, "%s", "*") }

// checkUsername refuses what no directory has and some might misread.
func checkUsername(s string) error {
	switch {
	case s == "" || len(s) > 256 || !utf8.ValidString(s):
		return refuse(gatehouse.ErrUnknownPerson, "malformed_username", nil)
	case strings.ContainsFunc(s, unicode.IsControl) || strings.TrimSpace(s) != s:
		return refuse(gatehouse.ErrUnknownPerson, "malformed_username", nil)
	}
	return nil
}

// find is the one entry that username means, see readings, and the directory
// that it is at home in: d itself, or a domain of its forest.
func (d *Directory) find(ctx context.Context, username string) (home *Directory, e *goldap.Entry, err error) {
	if err := checkUsername(username); err != nil {
		return nil, nil, err
	}
	for _, r := range d.claims.readings(username) {
		if err = checkUsername(r.name); err == nil {
			home, e, err = d.one(ctx, r.domain, userFilter(d.cfg.UserFilter, r.name))
		}
		if reason(err) != "unknown" {
			break
		}
	}
	return home, e, err
}

// findID is the one entry with that immutable identifier, and the directory
// that it is at home in.
func (d *Directory) findID(ctx context.Context, id string) (*Directory, *goldap.Entry, error) {
	same, err := d.idFilter(id)
	if err != nil {
		return nil, nil, refuse(gatehouse.ErrUnknownPerson, "malformed_id", err)
	}
	home, e, err := d.one(ctx, "", "(&"+same+everybody(d.cfg.UserFilter)+")")
	if err != nil {
		return nil, nil, err
	}
	// An attribute that is matched loosely must not lead to somebody else.
	if got, err := d.id(e); err != nil || got != id {
		return nil, nil, refuse(gatehouse.ErrUnknownPerson, "unknown", fmt.Errorf("asked for %s, got %q", id, got))
	}
	return home, e, nil
}

// idFilter selects whoever has that identifier.
func (d *Directory) idFilter(id string) (string, error) {
	if !isGUID(d.cfg.IDAttribute) {
		return "(" + d.cfg.IDAttribute + "=" + goldap.EscapeFilter(id) + ")", nil
	}
	raw, err := guidBytes(id)
	if err != nil {
		return "", err
	}
	return "(" + d.cfg.IDAttribute + "=" + escapeBytes(raw) + ")", nil
}

// one is the person that filter selects, who must be the only one, and the
// directory that they are at home in. domain narrows the search in a forest.
func (d *Directory) one(ctx context.Context, domain, filter string) (*Directory, *goldap.Entry, error) {
	if d.forest != nil {
		return d.inForest(ctx, domain, filter)
	}
	e, err := d.oneBelow(ctx, d.cfg.UserBaseDN, filter)
	return d, e, err
}

// oneBelow is the person below base that filter selects, who must be the only one.
func (d *Directory) oneBelow(ctx context.Context, base, filter string) (*goldap.Entry, error) {
	return d.only(d.people(ctx, base, filter, 2))
}

func (d *Directory) people(ctx context.Context, base, filter string, most int) ([]*goldap.Entry, error) {
	return d.search(ctx, query{base: base, scope: goldap.ScopeWholeSubtree, filter: filter, attributes: d.personAttributes(), most: most})
}

// only is the one entry that a search for a person found.
func (d *Directory) only(entries []*goldap.Entry, err error) (*goldap.Entry, error) {
	switch {
	case errors.Is(err, errTooMany) || len(entries) > 1:
		return nil, refuse(gatehouse.ErrUnknownPerson, "ambiguous", nil)
	case err != nil:
		return nil, d.unavailable(fmt.Errorf("searching for a person: %w", err))
	case len(entries) == 0:
		return nil, refuse(gatehouse.ErrUnknownPerson, "unknown", nil)
	case entries[0].DN == "":
		// A bind with an empty name is anonymous, whatever the password.
		return nil, d.unavailable(errors.New("the directory returned an entry without a DN"))
	}
	return entries[0], nil
}

func (d *Directory) personAttributes() []string {
	names := []string{d.cfg.IDAttribute, d.cfg.UsernameAttribute, d.cfg.NameAttribute, "cn", d.cfg.MailAttribute}
	names = append(append(names, stateAttributes...), d.cfg.Attributes...)
	slices.Sort(names)
	return slices.Compact(names)
}

// id is the entry's immutable identifier.
func (d *Directory) id(e *goldap.Entry) (string, error) {
	values := e.GetEqualFoldRawAttributeValues(d.cfg.IDAttribute)
	if len(values) != 1 || len(values[0]) == 0 {
		return "", fmt.Errorf("%s has %d values of %s, want one that the service account may read", e.DN, len(values), d.cfg.IDAttribute)
	}
	if isGUID(d.cfg.IDAttribute) {
		return guidText(values[0])
	}
	if !utf8.Valid(values[0]) {
		return "", fmt.Errorf("%s of %s is not text", d.cfg.IDAttribute, e.DN)
	}
	return strings.ToLower(string(values[0])), nil
}

func isGUID(attribute string) bool { return strings.EqualFold(attribute, "objectGUID") }

// user turns an entry into a person, still without groups.
func (d *Directory) user(e *goldap.Entry) (gatehouse.User, error) {
	id, err := d.id(e)
	if err != nil {
		return gatehouse.User{}, d.unavailable(err)
	}
	names := e.GetEqualFoldAttributeValues(d.cfg.UsernameAttribute)
	if len(names) == 0 || slices.Min(names) == "" || !utf8.ValidString(slices.Min(names)) {
		return gatehouse.User{}, d.unavailable(fmt.Errorf("%s has no %s that the service account may read", e.DN, d.cfg.UsernameAttribute))
	}
	expires, err := expiry(e)
	if err != nil {
		return gatehouse.User{}, d.unavailable(err)
	}
	u := gatehouse.User{
		Directory: d.cfg.Name,
		ID:        id,
		// Several values come in any order, and a person has one name.
		Username:    slices.Min(names),
		DN:          e.DN,
		DisplayName: text(e, d.cfg.NameAttribute),
		Mail:        text(e, d.cfg.MailAttribute),
		Attributes:  map[string][]string{},
		ReadAt:      d.now(),

		PasswordExpires: expires,
	}
	if u.DisplayName == "" {
		u.DisplayName = text(e, "cn")
	}
	if u.DisplayName == "" {
		u.DisplayName = u.Username
	}
	for _, name := range d.cfg.Attributes {
		if values := texts(e.GetEqualFoldRawAttributeValues(name)); len(values) > 0 {
			u.Attributes[strings.ToLower(name)] = values
		}
	}
	return u, nil
}

// text is an attribute's first value, made fit to be shown.
func text(e *goldap.Entry, attribute string) string {
	return strings.ToValidUTF8(e.GetEqualFoldAttributeValue(attribute), "\uFFFD")
}

// texts are attribute values as text: base64 where they are not UTF-8, or hold
// what no text does, as bytes that are UTF-8 by chance nearly always do.
func texts(raw [][]byte) []string {
	var values []string
	for _, v := range raw {
		if utf8.Valid(v) && bytes.IndexFunc(v, notText) < 0 {
			values = append(values, string(v))
		} else {
			values = append(values, base64.StdEncoding.EncodeToString(v))
		}
	}
	return values
}

// notText reports whether r is a control character that texts do not have.
func notText(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) }
