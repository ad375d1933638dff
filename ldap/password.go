package ldap

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gatehouse"

	goldap "github.com/go-ldap/ldap/v3"
)

// refusal is a person refused, with one fixed word for the audit record. Its
// error kind is what doors may act on; the word is for the record alone.
type refusal struct {
	kind error
	word string
	err  error // what the directory said; may be nil
}

func refuse(kind error, word string, err error) error { return &refusal{kind, word, err} }

func (r *refusal) Error() string {
	if r.err == nil {
		return fmt.Sprintf("%v (%s)", r.kind, r.word)
	}
	return fmt.Sprintf("%v (%s): %v", r.kind, r.word, r.err)
}

// Unwrap makes the refusal its kind, and nothing else: what the directory
// said may not change what a person is told.
func (r *refusal) Unwrap() error { return r.kind }

// Reason is the fixed word.
func (r *refusal) Reason() string { return r.word }

// maxPassword bounds what is sent to be hashed.
const maxPassword = 1024

// checkPassword refuses what servers take for something other than a
// password: a bind with a name and none is anonymous and succeeds (RFC 4513
// §5.1.2), and some cut off at NUL.
func checkPassword(password gatehouse.Secret) error {
	s := string(password)
	if strings.TrimSpace(s) == "" || strings.ContainsRune(s, 0) || len(s) > maxPassword {
		return refuse(gatehouse.ErrInvalidCredentials, "malformed_password", nil)
	}
	return nil
}

// prove binds as dn, once. It says when the password expires, where the
// server does.
func (d *Directory) prove(ctx context.Context, dn string, password gatehouse.Secret) (expires time.Time, err error) {
	var verdict error
	err = d.pool.prove(ctx, clean, func(c *conn) error {
		result, err := c.bind(ctx, dn, string(password))
		verdict = judge(result, err)
		expires = warnedExpiry(result, d.now())
		return err
	})
	if verdict == nil && err != nil {
		return time.Time{}, d.unavailable(fmt.Errorf("proving a password: %w", err))
	}
	return expires, verdict
}

// warnedExpiry is when the password policy control of an accepted bind says
// that the password expires (draft-behera-ldap-password-policy-11 §6.2). It
// speaks only shortly before, and of an expired one that is good a few times
// more, which is now.
func warnedExpiry(result *goldap.SimpleBindResult, now time.Time) time.Time {
	c := policyControl(result)
	switch {
	case c == nil:
		return time.Time{}
	case c.Grace >= 0:
		return now
	case c.Expire >= 0:
		return now.Add(time.Duration(c.Expire) * time.Second)
	}
	return time.Time{}
}

func policyControl(result *goldap.SimpleBindResult) *goldap.ControlBeheraPasswordPolicy {
	if result == nil {
		return nil
	}
	c, _ := goldap.FindControl(result.Controls, goldap.ControlTypeBeheraPasswordPolicy).(*goldap.ControlBeheraPasswordPolicy)
	return c
}

// judge turns the answer to a person's bind into one of gatehouse's kinds. It
// is nil where the password is good, and also where err says nothing about
// the password.
//
// A state that was reported without the password being right is an
// ErrInvalidCredentials: whoever guesses must not learn that the account
// exists. Active Directory says 775 and OpenLDAP accountLocked to anybody.
func judge(result *goldap.SimpleBindResult, err error) error {
	policy := policyError(result)
	if err == nil {
		return judgeSuccess(policy)
	}
	code, ok := resultCode(err)
	if !ok {
		return nil
	}
	switch code {
	case goldap.LDAPResultInvalidCredentials:
		return judgeInvalid(policy, err)
	case goldap.LDAPResultConstraintViolation:
		// 389 Directory Server: too many wrong passwords.
		return refuse(gatehouse.ErrInvalidCredentials, "locked_out", err)
	case goldap.LDAPResultUnwillingToPerform, goldap.LDAPResultNoSuchObject,
		goldap.LDAPResultInappropriateAuthentication, goldap.LDAPResultInsufficientAccessRights:
		// Inactivated, gone, without a password, not allowed to bind.
		return refuse(gatehouse.ErrInvalidCredentials, "bind_refused", err)
	}
	return nil
}

// What the password policy control says (draft-behera-ldap-password-policy-11 §6.2).
const (
	policyNone             = -1
	policyPasswordExpired  = 0
	policyAccountLocked    = 1
	policyChangeAfterReset = 2
)

// policyError is the error in the answer's password policy control.
func policyError(result *goldap.SimpleBindResult) int8 {
	if result == nil {
		return policyNone
	}
	if goldap.FindControl(result.Controls, goldap.ControlTypeVChuPasswordMustChange) != nil {
		return policyChangeAfterReset // 389 Directory Server's older control
	}
	if c := policyControl(result); c != nil {
		return c.Error
	}
	return policyNone
}

// judgeSuccess is for a bind that succeeded: OpenLDAP lets somebody whose
// password was reset bind, and says only in the control that they must change
// it before anything else.
func judgeSuccess(policy int8) error {
	switch policy {
	case policyNone:
		return nil
	case policyPasswordExpired:
		return refuse(gatehouse.ErrPasswordExpired, "password_expired", nil)
	case policyAccountLocked:
		return refuse(gatehouse.ErrAccountLocked, "locked", nil)
	}
	return refuse(gatehouse.ErrPasswordMustChange, "password_must_change", nil)
}

// judgeInvalid is for result 49.
func judgeInvalid(policy int8, err error) error {
	switch policy {
	case policyPasswordExpired: // slapd says so only once the password was right
		return refuse(gatehouse.ErrPasswordExpired, "password_expired", err)
	case policyAccountLocked: // and this to anybody
		return refuse(gatehouse.ErrInvalidCredentials, "locked_out", err)
	}
	data := diagnosticData(err.Error())
	if v, ok := activeDirectoryData[data]; ok {
		return refuse(v.kind, v.word, err)
	}
	if data != "" {
		return refuse(gatehouse.ErrInvalidCredentials, "bind_refused", err)
	}
	return refuse(gatehouse.ErrInvalidCredentials, "wrong_password", err)
}

// activeDirectoryData is what the word after "data" means, in a refused
// bind's diagnostic text. All but 775 are said only when the password was right.
var activeDirectoryData = map[string]struct {
	kind error
	word string
}{
	"525": {gatehouse.ErrInvalidCredentials, "unknown"},
	"52e": {gatehouse.ErrInvalidCredentials, "wrong_password"},
	"530": {gatehouse.ErrAccountHours, "logon_hours"},
	"531": {gatehouse.ErrAccountHours, "workstation"},
	"532": {gatehouse.ErrPasswordExpired, "password_expired"},
	"533": {gatehouse.ErrAccountDisabled, "disabled"},
	"701": {gatehouse.ErrAccountExpired, "account_expired"},
	"773": {gatehouse.ErrPasswordMustChange, "password_must_change"},
	"775": {gatehouse.ErrInvalidCredentials, "locked_out"},
}

// diagnosticText is "80090308: LdapErr: DSID-0C0903A9, comment:
// AcceptSecurityContext error, data 52e, v1db1"; all around the word varies.
var diagnosticText = regexp.MustCompile(`(?i)AcceptSecurityContext error, data ([0-9a-f]{1,8})\b`)

// diagnosticData is Active Directory's word for why a bind was refused, in
// lower case, or nothing.
func diagnosticData(text string) string {
	m := diagnosticText.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return strings.ToLower(m[1])
}

// stateAttributes say whether an account may be used at all.
var stateAttributes = []string{
	"userAccountControl", "msDS-User-Account-Control-Computed", "lockoutTime", "accountExpires", // Active Directory
	expiryAttribute,        // Active Directory
	"pwdAccountLockedTime", // ppolicy
	"nsAccountLock",        // 389 Directory Server, FreeIPA
}

// expiryAttribute is when Active Directory lets the password expire: computed
// from whichever policy applies (MS-ADTS §3.1.1.4.5.36).
const expiryAttribute = "msDS-UserPasswordExpiryTimeComputed"

const (
	accountDisable = 0x2  // userAccountControl (MS-ADTS §2.2.16)
	lockout        = 0x10 // msDS-User-Account-Control-Computed (MS-ADTS §3.1.1.4.5.17)
)

// usable refuses an account that is disabled or expired.
func usable(e *goldap.Entry, now time.Time) error {
	flags, err := number(e, "userAccountControl")
	if err != nil {
		return err
	}
	if flags&accountDisable != 0 || strings.EqualFold(e.GetEqualFoldAttributeValue("nsAccountLock"), "TRUE") {
		return refuse(gatehouse.ErrAccountDisabled, "disabled", nil)
	}
	ticks, err := number(e, "accountExpires")
	if err != nil {
		return err
	}
	if ticks > 0 && ticks < 1<<63-1 && !now.Before(windowsTime(ticks)) {
		return refuse(gatehouse.ErrAccountExpired, "account_expired", nil)
	}
	return nil
}

// expiry is when e's password expires, as Active Directory says: zero for
// never, for an unknown time, and for one that must be changed at once.
func expiry(e *goldap.Entry) (time.Time, error) {
	ticks, err := number(e, expiryAttribute)
	if err != nil || ticks <= 0 || ticks == 1<<63-1 {
		return time.Time{}, err
	}
	return windowsTime(ticks), nil
}

// unlocked refuses an account that is locked out. An old lock may have run
// out without anybody having signed in since; it counts until somebody does,
// which is why it is not asked after a bind that went well.
func unlocked(e *goldap.Entry) error {
	computed, err := number(e, "msDS-User-Account-Control-Computed")
	if err != nil {
		return err
	}
	locked := computed&lockout != 0
	if e.GetEqualFoldAttributeValue("msDS-User-Account-Control-Computed") == "" {
		since, err := number(e, "lockoutTime")
		if err != nil {
			return err
		}
		locked = since != 0
	}
	if locked || e.GetEqualFoldAttributeValue("pwdAccountLockedTime") != "" {
		return refuse(gatehouse.ErrAccountLocked, "locked", nil)
	}
	return nil
}

var errNotNumber = errors.New("is not a number")

// number is the value of an attribute that the entry may lack: then it is zero.
func number(e *goldap.Entry, attribute string) (int64, error) {
	s := e.GetEqualFoldAttributeValue(attribute)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %q %w", attribute, e.DN, s, errNotNumber)
	}
	return n, nil
}

// windowsTime reads a count of 100 ns since 1601 (MS-DTYP §2.3.3). Far
// futures are kept far, where time.Duration would overflow.
func windowsTime(ticks int64) time.Time {
	const epoch = 11644473600 // seconds from 1601 to 1970
	return time.Unix(ticks/1e7-epoch, ticks%1e7*100)
}
