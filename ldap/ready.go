package ldap

import (
	"context"
	"time"

	"gatehouse"
)

// Ready says whether people of this directory can be found just now, within
// two seconds. It takes a connection of the pool and reads one entry.
func (d *Directory) Ready(ctx context.Context) gatehouse.Finding {
	f := gatehouse.Finding{Subject: "directory " + d.Name(), State: gatehouse.FindingOK}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := d.ping(ctx); err != nil {
		f.State, f.Detail = gatehouse.FindingFailure, err.Error()
		f.Fix = "run gatehouse check"
	}
	return f
}
