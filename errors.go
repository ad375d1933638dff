package gatehouse

import (
	"errors"
	"fmt"
	"time"
)

// The kinds of failure that code decides by, with errors.Is. Operators read
// the chain around them; people read web/problem.go.
var (
	// ErrInvalidCredentials: name and password do not belong together, or
	// nobody of that name exists. One kind for both, on purpose.
	ErrInvalidCredentials = errors.New("invalid username or password")

	// ErrNoTicket: a browser that was asked for a Kerberos ticket sent
	// something else (NTLM). It comes together with ErrInvalidCredentials.
	ErrNoTicket = errors.New("no Kerberos ticket")

	// ErrUnknownPerson: the directory has nobody of that name or identifier.
	// It never reaches a person at sign-in, where it becomes ErrInvalidCredentials.
	ErrUnknownPerson = errors.New("no such person")

	// The password was right, but the account may not be used.
	ErrPasswordExpired    = errors.New("password expired")
	ErrPasswordMustChange = errors.New("password must be changed first")
	ErrAccountDisabled    = errors.New("account disabled")
	ErrAccountExpired     = errors.New("account expired")
	ErrAccountLocked      = errors.New("account locked")
	ErrAccountHours       = errors.New("sign-in not allowed at this time or place")

	// ErrTooManyGroups: the person is in more groups than are read, or groups
	// are nested deeper than they are followed. It stays so until the directory,
	// or what is asked of it, is changed.
	ErrTooManyGroups = errors.New("too many groups")

	// ErrPasswordRefused: the old password was right, and the new one breaks a
	// rule of the directory's; see PasswordRefused for which.
	ErrPasswordRefused = errors.New("new password refused")

	// ErrThrottled: too many attempts; see Throttled for when to try again.
	ErrThrottled = errors.New("too many attempts")

	// ErrUnavailable: something that was needed did not answer; see Unavailable for what.
	ErrUnavailable = errors.New("unavailable")

	// ErrNotEntitled: no rule gives this person what they ask for.
	ErrNotEntitled = errors.New("not entitled")

	// ErrNotAdmitted: no rule lets this person sign in to a service provider.
	// It comes together with ErrNotEntitled.
	ErrNotAdmitted = errors.New("not admitted to the service provider")

	// ErrAnotherPerson: a service provider asked for a certain person, and
	// somebody else is signed in.
	ErrAnotherPerson = errors.New("not the person that was asked for")

	// ErrAnotherProof: a service provider asked for a way of sign-in that is
	// not how this person proved who they are.
	ErrAnotherProof = errors.New("not proved in the way that was asked for")

	// ErrNoSession: nobody is signed in here, or not any more.
	ErrNoSession = errors.New("not signed in")

	// ErrNotFound: there is no such thing.
	ErrNotFound = errors.New("not found")

	// ErrInvalid: the request itself makes no sense; see Invalid for what.
	ErrInvalid = errors.New("invalid request")

	// ErrRefusedByAWS: AWS answered no; see Refusal for why.
	ErrRefusedByAWS = errors.New("refused by AWS")

	// ErrNotRecorded: the audit record could not be written, so nothing was given.
	ErrNotRecorded = errors.New("could not be recorded")

	// ErrTwice: what may happen once, among all replicas, has happened.
	ErrTwice = errors.New("happened before, and may happen once")

	// ErrConflict: somebody else changed it first.
	ErrConflict = errors.New("changed meanwhile")
)

// Unavailable says which dependency did not answer. It is an ErrUnavailable.
type Unavailable struct {
	What string // "directory", "store", "AWS STS", "AWS sign-in"; on the laptop "portal"
	Name string // which one: a directory's name, a host
	Err  error
}

func (e *Unavailable) Error() string {
	return fmt.Sprintf("%s %s: %v: %v", e.What, e.Name, ErrUnavailable, e.Err)
}

// Unwrap makes the failure an ErrUnavailable and keeps its cause.
func (e *Unavailable) Unwrap() []error { return []error{ErrUnavailable, e.Err} }

// PasswordRefused says which rule a new password breaks. It is an
// ErrPasswordRefused.
type PasswordRefused struct {
	Rule string // a fixed word for the record: "too_short", "too_simple", "used_before", "too_young", …
	Why  string // a sentence for the person: "Choose at least 12 characters."
	Err  error  // what the directory said; may be nil
}

func (e *PasswordRefused) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%v (%s)", ErrPasswordRefused, e.Rule)
	}
	return fmt.Sprintf("%v (%s): %v", ErrPasswordRefused, e.Rule, e.Err)
}

// Unwrap makes the failure an ErrPasswordRefused, and nothing else.
func (e *PasswordRefused) Unwrap() error { return ErrPasswordRefused }

// Reason is Rule.
func (e *PasswordRefused) Reason() string { return e.Rule }

// Throttled says when to try again. It is an ErrThrottled.
type Throttled struct {
	Until time.Time
	Why   string // for the record: "person", "address", "name"
}

func (e *Throttled) Error() string {
	return fmt.Sprintf("%v (%s) until %s", ErrThrottled, e.Why, e.Until.UTC().Format(time.RFC3339))
}

// Unwrap makes the failure an ErrThrottled.
func (e *Throttled) Unwrap() error { return ErrThrottled }

// Invalid says which part of a request makes no sense, in words for the
// person who sent it. It is an ErrInvalid.
type Invalid struct {
	Field string // "duration", "destination", …
	Why   string // a sentence: "Choose between 15 minutes and 4 hours."
}

func (e *Invalid) Error() string { return fmt.Sprintf("%v: %s: %s", ErrInvalid, e.Field, e.Why) }

// Unwrap makes the failure an ErrInvalid.
func (e *Invalid) Unwrap() error { return ErrInvalid }

// Refusal is what AWS said no with, turned into cause and cure. It is an
// ErrRefusedByAWS.
type Refusal struct {
	Service   string // "STS" or "sign-in"
	Code      string // AWS's error code, e.g. AccessDenied
	Message   string // AWS's own text: for the log, never for a page
	RequestID string // AWS's reference
	Cause     string // a sentence for the person
	Cure      string // a sentence for whoever runs Gatehouse or the account
}

func (e *Refusal) Error() string {
	return fmt.Sprintf("%v: %s %s: %s (request %s)", ErrRefusedByAWS, e.Service, e.Code, e.Message, e.RequestID)
}

// Unwrap makes the failure an ErrRefusedByAWS.
func (e *Refusal) Unwrap() error { return ErrRefusedByAWS }
