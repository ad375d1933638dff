package access

import (
	"context"
	"fmt"

	"gatehouse"
)

// Check says how many wrong passwords reach each directory for one person,
// and whether that stays below its lock-out.
func Check(ctx context.Context, t Throttle, directories []Source) []gatehouse.Finding {
	var list []gatehouse.Finding
	for _, s := range directories {
		list = append(list, t.check(ctx, s))
	}
	return list
}

func (t Throttle) check(ctx context.Context, s Source) gatehouse.Finding {
	var said lockout
	var err error
	if limiter, ok := s.Directory.(Limiter); ok {
		said.threshold, said.window, err = limiter.Limits(ctx)
	}
	a := t.allowance(said)
	f := gatehouse.Finding{Subject: "directory " + s.Name(), State: gatehouse.FindingOK}
	share := fmt.Sprintf("%d by strangers, %d kept for browsers in which they signed in before", a.each, a.all-a.each)
	if a.each == a.all {
		share = fmt.Sprintf("%d by anybody", a.all)
	}
	f.Detail = fmt.Sprintf("Gatehouse sends at most %d wrong passwords for one person within %s: %s", a.all, a.window, share)
	if a.all < t.Failures {
		f.Detail += fmt.Sprintf("; throttle.failures, %d, is lowered to stay below the lock-out", t.Failures)
	}
	switch {
	case err != nil:
		f.State, f.Fix = gatehouse.FindingWarning, "let the service account read the lock-out rules; until then keep throttle.failures at least two below them"
	case said.threshold == 1:
		f.Detail += "; the directory locks an account at the first"
		f.State, f.Fix = gatehouse.FindingWarning, "raise the directory's threshold: a single wrong password locks, here as anywhere"
	case said.threshold == 2:
		f.State, f.Fix = gatehouse.FindingWarning, "raise the directory's threshold to at least 3: there is nothing to keep for the person"
	case said.threshold > 0 && said.window == 0:
		f.Detail += "; the directory counts for ever, and Gatehouse for a week"
		f.State, f.Fix = gatehouse.FindingWarning, "set the time after which the directory forgets wrong passwords (OpenLDAP: pwdFailureCountInterval)"
	}
	return f
}
