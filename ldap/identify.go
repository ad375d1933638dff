package ldap

import (
	"context"

	"gatehouse"
)

// Identify reads who username means, without a proof, without groups and
// whatever the state of their account: one search. It is for whom something
// else has proved; Lookup then says whether they may come in.
//
// Errors: ErrUnknownPerson (nobody, or more than one), ErrUnavailable.
func (d *Directory) Identify(ctx context.Context, username string) (gatehouse.User, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	home, entry, err := d.find(ctx, username)
	if err != nil {
		return gatehouse.User{}, err
	}
	return home.user(entry)
}
