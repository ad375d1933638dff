package access

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// Holder is a Directory that can say whether it has an entry.
type Holder interface {
	// Has is nil where the directory shows an entry of that DN.
	// Errors: ErrNotFound, ErrUnavailable; any other is the directory's answer.
	Has(ctx context.Context, dn string) error
}

// rulesTime is how long CheckRules may ask the directories altogether.
const rulesTime = 15 * time.Second

// CheckRules asks the directories for every entry that a rule names by its
// DN: a rule with a slip in it is good to look at and gives nothing to
// anybody. where says where a key of the configuration stands. A directory
// that does not answer is left out, since its own check says so.
func CheckRules(ctx context.Context, rules []Rule, directories []Source, where func(key string) string) []gatehouse.Finding {
	ctx, cancel := context.WithTimeout(ctx, rulesTime)
	defer cancel()
	var list []gatehouse.Finding
	asked, there := 0, 0
	down := map[string]bool{}
	all := named(rules)
	for _, n := range all {
		s, ok := n.in(directories)
		if !ok || down[s.Name()] {
			continue
		}
		err := s.Directory.(Holder).Has(ctx, n.dn)
		switch {
		case ctx.Err() != nil:
			return append(list, gatehouse.Finding{Subject: "rules", State: gatehouse.FindingWarning,
				Detail: fmt.Sprintf("of %d entries that rules name, %d were looked for within %s", len(all), asked, rulesTime), Fix: "see why the directories answer slowly, and check again"})
		case errors.Is(err, gatehouse.ErrUnavailable):
			down[s.Name()] = true
			continue
		case err == nil:
			there++
		default:
			list = append(list, n.missing(s.Name(), err, where))
		}
		asked++
	}
	if there > 0 {
		list = append(list, gatehouse.Finding{Subject: "rules", State: gatehouse.FindingOK, Detail: fmt.Sprintf("%d of the %d entries that they name are in their directories", there, len(all))})
	}
	return list
}

// entryNamed is an entry that a rule names by its DN.
type entryNamed struct {
	rule          int // the first is 1
	key, what, dn string
	directory     string
}

func named(rules []Rule) []entryNamed {
	var all []entryNamed
	for i, r := range rules {
		add := func(key, what, dn string) {
			if _, err := parseDN(dn); err == nil {
				all = append(all, entryNamed{i + 1, fmt.Sprintf("access.rules[%d].%s", i, key), what, dn, r.Directory})
			}
		}
		add("under", "under", r.Under)
		for k, g := range r.Groups {
			add(fmt.Sprintf("groups[%d]", k), "group", g) // bare names are no DNs
		}
	}
	return all
}

// in is the directory that has to have the entry, if that can be asked.
func (n entryNamed) in(directories []Source) (Source, bool) {
	for _, s := range directories {
		if _, ok := s.Directory.(Holder); ok && n.directory == s.Name() {
			return s, true
		}
	}
	return Source{}, false
}

func (n entryNamed) missing(directory string, err error, where func(key string) string) gatehouse.Finding {
	f := gatehouse.Finding{Subject: fmt.Sprintf("rule %d", n.rule), State: gatehouse.FindingFailure,
		Detail: fmt.Sprintf("%s %s: directory %s has no such entry, or hides it from the service account", n.what, n.dn, directory)}
	if !errors.Is(err, gatehouse.ErrNotFound) {
		f.Detail = fmt.Sprintf("%s %s: directory %s does not let the service account read it: %v", n.what, n.dn, directory, err)
	}
	f.Detail += "; nobody has anything by it"
	f.Fix = "correct " + where(n.key) + "; if the DN is right, let the service account read it"
	return f
}
