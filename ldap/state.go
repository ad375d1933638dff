package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// State is what a directory says about whether somebody's account lets them
// in, as far as the service account may see.
type State struct {
	// Bars are why a right password would not do: gatehouse's kinds, and what
	// has no kind, since no page tells it.
	Bars []error

	// Unseen is what the service account would have to read to be sure that
	// there is no bar, or none but these; empty when it does.
	Unseen string
}

var errSmartCard = errors.New("smart cards only")

// State reads, without a bind as them, what bars the person whom username
// means. Whether a password is right, or was guessed at elsewhere, it does not
// tell.
//
// Errors: ErrUnknownPerson, ErrUnavailable.
func (d *Directory) State(ctx context.Context, username string) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	home, found, err := d.find(ctx, username)
	if err != nil {
		return State{}, err
	}
	entries, err := home.search(ctx, query{base: found.DN, scope: goldap.ScopeBaseObject, filter: "(objectClass=*)", most: 1,
		attributes: append(slices.Clone(stateAttributes), "pwdLastSet", "logonHours", "userWorkstations", "pwdReset", "pwdChangedTime", "pwdPolicySubentry", "pwdGraceUseTime")})
	if err == nil && len(entries) != 1 {
		err = fmt.Errorf("%s cannot be read any more", found.DN)
	}
	if err != nil {
		return State{}, d.unavailable(fmt.Errorf("reading the state of an account: %w", err))
	}
	e := entries[0]
	var s State
	for _, err := range []error{usable(e, d.now()), unlocked(e)} {
		var r *refusal
		switch {
		case errors.As(err, &r):
			s.Bars = append(s.Bars, r.kind)
		case err != nil:
			return State{}, d.unavailable(err)
		}
	}
	if d.cfg.Type == ActiveDirectory {
		return windowsState(s, e, d.now()), nil
	}
	return home.policyState(ctx, s, e)
}

// More of userAccountControl and of msDS-User-Account-Control-Computed
// (MS-ADTS §2.2.16, §3.1.1.4.5.17).
const (
	smartCardRequired = 0x40000
	passwordExpired   = 0x800000
)

// windowsState adds what Active Directory says only at a bind. A time that is
// no number was refused before.
func windowsState(s State, e *goldap.Entry, now time.Time) State {
	flags, _ := number(e, "userAccountControl")
	computed, _ := number(e, "msDS-User-Account-Control-Computed")
	ends, _ := expiry(e)
	lastSet := e.GetEqualFoldAttributeValue("pwdLastSet")
	switch {
	case lastSet == "0" && (computed&passwordExpired != 0 || e.GetEqualFoldAttributeValue("msDS-User-Account-Control-Computed") == ""):
		s.Bars = append(s.Bars, gatehouse.ErrPasswordMustChange)
	case computed&passwordExpired != 0, !ends.IsZero() && !now.Before(ends):
		s.Bars = append(s.Bars, gatehouse.ErrPasswordExpired)
	}
	if !inHours(e.GetEqualFoldRawAttributeValue("logonHours"), now) || e.GetEqualFoldAttributeValue("userWorkstations") != "" {
		s.Bars = append(s.Bars, gatehouse.ErrAccountHours)
	}
	if flags&smartCardRequired != 0 {
		s.Bars = append(s.Bars, errSmartCard)
	}
	for _, name := range []string{"userAccountControl", "msDS-User-Account-Control-Computed"} {
		if e.GetEqualFoldAttributeValue(name) == "" {
			s.Unseen = name
		}
	}
	return s
}

// inHours reports whether logonHours, a bit for each hour of the week in UTC
// from Sunday on (MS-ADA1 §2.376), has this one. Without any, all hours count.
func inHours(hours []byte, now time.Time) bool {
	if len(hours) != 21 {
		return true
	}
	now = now.UTC()
	hour := int(now.Weekday())*24 + now.Hour()
	return hours[hour/8]&(1<<(hour%8)) != 0
}

// policyState adds what a password policy says only at a bind
// (draft-behera-ldap-password-policy-11 §5.3). An entry with a password and
// without pwdChangedTime is under no policy, or hides it.
func (d *Directory) policyState(ctx context.Context, s State, e *goldap.Entry) (State, error) {
	if strings.EqualFold(e.GetEqualFoldAttributeValue("pwdReset"), "TRUE") {
		s.Bars = append(s.Bars, gatehouse.ErrPasswordMustChange)
	}
	changed, err := time.Parse("20060102150405Z0700", e.GetEqualFoldAttributeValue("pwdChangedTime"))
	if err != nil {
		s.Unseen = "pwdChangedTime"
		return s, nil
	}
	policies, err := d.policiesFor(ctx, e)
	if err != nil {
		return State{}, d.unavailable(fmt.Errorf("reading password policies: %w", err))
	}
	expired := 0
	for _, p := range policies {
		age, _ := number(p, "pwdMaxAge")
		grace, _ := number(p, "pwdGraceAuthNLimit")
		if age > 0 && d.now().Sub(changed) >= time.Duration(age)*time.Second && int64(len(e.GetEqualFoldAttributeValues("pwdGraceUseTime"))) >= grace {
			expired++
		}
	}
	switch {
	case len(policies) == 0 || expired > 0 && expired < len(policies):
		s.Unseen = "the password policy that applies (pwdPolicySubentry, or the server's default)"
	case expired > 0:
		s.Bars = append(s.Bars, gatehouse.ErrPasswordExpired)
	}
	return s, nil
}

// policiesFor are the policy that e names, or else all below the base, of
// which one may be the server's default: that stands in its configuration.
func (d *Directory) policiesFor(ctx context.Context, e *goldap.Entry) ([]*goldap.Entry, error) {
	q := query{base: d.cfg.BaseDN, scope: goldap.ScopeWholeSubtree, filter: "(objectClass=pwdPolicy)", attributes: []string{"pwdMaxAge", "pwdGraceAuthNLimit"}, most: maxGroups}
	if own := e.GetEqualFoldAttributeValue("pwdPolicySubentry"); own != "" {
		q.base, q.scope, q.most = own, goldap.ScopeBaseObject, 1
	}
	policies, err := d.search(ctx, q)
	if goldap.IsErrorAnyOf(err, goldap.LDAPResultNoSuchObject, goldap.LDAPResultInsufficientAccessRights) {
		return nil, nil
	}
	return policies, err
}
