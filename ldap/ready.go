package ldap

import (
	"context"
	"time"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// Ready says whether people of this directory can be found just now, within
// two seconds. It takes a connection of the pool and reads one entry.
func (d *Directory) Ready(ctx context.Context) gatehouse.Finding {
	f := gatehouse.Finding{Subject: "directory " + d.Name(), State: gatehouse.FindingOK}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	base := query{base: d.cfg.BaseDN, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"1.1"}, most: 1}
	if _, err := d.search(ctx, base); err != nil {
		f.State, f.Detail = gatehouse.FindingFailure, err.Error()
		f.Fix = "run gatehouse check"
	}
	return f
}
