package access

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// Several directories may each have a bob. Whose password is sent where is
// settled by the name alone:
//
//   - name@suffix and SUFFIX\name go to the directory that claims the suffix,
//     and to no other, whatever the others know.
//   - Any other name is looked for in all of them at once, without a password.
//     One that knows it decides. Where two do, nobody signs in: the password
//     of one would be tried on the other's account.
//   - One that knows the name and refuses it ends the matter: somebody there
//     is meant, who may not come in.
//   - One that does not answer knows nobody, as long as another does.
//
// While there is one directory, it decides, and nothing is looked for.

// askFor is how long directories have to say whether they know a name.
const askFor = time.Second

// suffixOf splits a typed name: its own part, and what claims it, which is
// empty for a bare one.
func suffixOf(username string) (own, suffix string) {
	if before, after, ok := strings.Cut(username, `\`); ok {
		return after, before
	}
	if i := strings.LastIndexByte(username, '@'); i >= 0 {
		return username[:i], username[i+1:]
	}
	return username, ""
}

// claims reports whether the source claims a suffix: as it is, or as one of
// all below a domain, which a suffix that begins with a dot stands for.
func (s Source) claims(suffix string, below bool) bool {
	return suffix != "" && slices.ContainsFunc(s.Suffixes, func(its string) bool {
		if !strings.HasPrefix(its, ".") {
			return !below && strings.EqualFold(its, suffix)
		}
		from := len(suffix) - len(its)
		return below && from > 0 && strings.EqualFold(its, suffix[from:])
	})
}

// claimants are the directories that a name may be in: those that claim its
// suffix, as it is before all below; every one, when none does.
func claimants(all []Source, username string) []Source {
	_, suffix := suffixOf(strings.TrimSpace(username))
	for _, below := range []bool{false, true} {
		var claiming []Source
		for _, s := range all {
			if s.claims(suffix, below) {
				claiming = append(claiming, s)
			}
		}
		if claiming != nil {
			return claiming
		}
	}
	return all
}

// spelling is one text for all spellings of a name that can be told to be one
// without asking: letters of either case, and every suffix of one directory.
func spelling(username string, among []Source) string {
	username = strings.TrimSpace(username)
	if len(among) != 1 {
		return fold(username)
	}
	if own, suffix := suffixOf(username); among[0].claims(suffix, false) {
		username = own // one of all below may be another domain's, with another of that name
	}
	return fold(username) + "\x00" + among[0].Name()
}

// Home is the one directory that a name belongs to.
//
// Errors: ErrUnknownPerson (nobody, or more than one), ErrInvalidCredentials
// (somebody whom their directory does not take), ErrUnavailable.
func Home(ctx context.Context, all []Source, username string) (Source, error) {
	return home(ctx, claimants(all, username), username)
}

func home(ctx context.Context, among []Source, username string) (Source, error) {
	if len(among) == 1 {
		return among[0], nil
	}
	var known []Source
	var down, unknown error
	for i, err := range whoKnows(ctx, among, username) {
		switch {
		case err == nil:
			known = append(known, among[i])
		case errors.Is(err, gatehouse.ErrUnavailable):
			down = err
		case !errors.Is(err, gatehouse.ErrUnknownPerson), reason(err) == "ambiguous": // it knows the name twice over
			return Source{}, err
		default:
			unknown = err
		}
	}
	switch {
	case len(known) == 1:
		return known[0], nil
	case len(known) > 1:
		return Source{}, &ambiguous{known}
	case down != nil:
		return Source{}, down
	}
	return Source{}, cmp.Or(unknown, gatehouse.ErrUnknownPerson)
}

// ambiguous is a name that several directories know.
type ambiguous struct{ known []Source }

func (e *ambiguous) Error() string {
	var names []string
	for _, s := range e.known {
		names = append(names, s.Name())
	}
	return "known to several directories: " + strings.Join(names, ", ")
}

// Unwrap makes it ErrUnknownPerson.
func (e *ambiguous) Unwrap() error { return gatehouse.ErrUnknownPerson }

// Reason is the word for the record.
func (e *ambiguous) Reason() string { return "ambiguous" }

// whoKnows has all directories say at once whether they know a name: nil from one
// that does. Whoever takes too long is unavailable.
func whoKnows(ctx context.Context, among []Source, username string) []error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	type answer struct {
		i   int
		err error
	}
	answers := make(chan answer, len(among))
	said := make([]error, len(among))
	for i, s := range among {
		said[i] = &gatehouse.Unavailable{What: "directory", Name: s.Name(), Err: context.DeadlineExceeded}
		go func() {
			_, err := s.Identify(ctx, username)
			answers <- answer{i, err}
		}()
	}
	for range among {
		select {
		case a := <-answers:
			said[a.i] = a.err
		case <-ctx.Done():
			return said
		}
	}
	return said
}
