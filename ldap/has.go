package ldap

import (
	"context"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// Has is nil where the service account sees an entry of that DN. In a forest
// the catalogue is asked, which has all entries of all domains.
//
// Errors: ErrNotFound, also for an entry that the directory hides;
// ErrUnavailable; any other is what a server said against the question.
func (d *Directory) Has(ctx context.Context, dn string) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	entries, err := d.search(ctx, query{base: dn, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"1.1"}, most: 1})
	_, answered := resultCode(err)
	switch {
	case err == nil && len(entries) == 0, isNowhere(err):
		return gatehouse.ErrNotFound
	case err != nil && !answered:
		return d.unavailable(err)
	}
	return err
}
