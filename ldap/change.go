package ldap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"gatehouse"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// ChangePassword gives the person that username means a new password, if old
// is theirs. It is under the same rules as Authenticate: admit is asked about
// the person found, before anything is sent, and its error ends the attempt as
// it is; old is sent once, to one server, whatever comes back, since a wrong
// one counts towards lock-out. It works for those who must change an expired
// or a reset password, too; with OpenLDAP not once a password has expired and
// no grace is left, which nobody but an administrator mends there.
//
// After a lost connection the change may have been made all the same.
//
// Errors: as Authenticate's, and ErrPasswordRefused (a *gatehouse.PasswordRefused)
// where old was right and the directory does not take new.
func (d *Directory) ChangePassword(ctx context.Context, username string, old, new gatehouse.Secret, admit func(found gatehouse.User) error) error {
	if err := checkPassword(old); err != nil {
		return err
	}
	if err := checkNewPassword(old, new); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	home, entry, err := d.find(ctx, username)
	if err != nil {
		return err
	}
	user, err := home.user(entry)
	if err != nil {
		return err
	}
	if err := admit(user); err != nil {
		return err
	}
	if d.cfg.Type == ActiveDirectory {
		return home.changeInWindows(ctx, entry, old, new)
	}
	return home.changeAsThemselves(ctx, user, old, new)
}

// checkNewPassword refuses what is no password, before anything is asked.
func checkNewPassword(old, new gatehouse.Secret) error {
	switch {
	case checkPassword(new) != nil || !utf8.ValidString(string(new)):
		return &gatehouse.PasswordRefused{Rule: "malformed", Why: "The new password is empty, or holds something that cannot be in a password."}
	case old == new:
		return refusedBy("used_before", nil)
	}
	return nil
}

// refusedBy is a new password refused by a rule.
func refusedBy(rule string, err error) error {
	why := ruleSentences[rule]
	if m := fewestCharacters.FindStringSubmatch(diagnostic(err)); m != nil && rule == "too_short" {
		why = "The new password is too short. Choose at least " + m[1] + " characters."
	}
	return &gatehouse.PasswordRefused{Rule: rule, Why: why, Err: err}
}

// fewestCharacters finds how long a password has to be, which Samba tells.
var fewestCharacters = regexp.MustCompile(`\b([0-9]{1,3}) characters`)

// ruleSentences tell a person which rule it was. Numbers differ by person, and
// most servers keep them to themselves.
var ruleSentences = map[string]string{
	"too_short":   "The new password is too short.",
	"too_simple":  "The new password is too simple. Mix small and capital letters, digits and other characters, and leave out your name.",
	"used_before": "You have used this password before. Choose another one.",
	"too_young":   "Your password was changed a short while ago, and may not be changed again yet.",
	"not_allowed": "Your company does not let you change this password here.",
	"policy":      "The new password does not follow your company's rules: it may be too short, too simple or one that you have used before, or your password was changed a short while ago.",
}

// changeInWindows replaces the password as Active Directory wants it: one
// modification that takes the old value out and puts the new one in (MS-ADTS
// §3.1.1.3.1.5). The old value is the proof, so that the service account may
// send it without any right of its own, for those who cannot bind, too.
func (d *Directory) changeInWindows(ctx context.Context, e *goldap.Entry, old, new gatehouse.Secret) error {
	if err := d.changeable(e); err != nil {
		return err
	}
	request := goldap.NewModifyRequest(e.DN, nil)
	request.Delete("unicodePwd", []string{windowsPassword(old)})
	request.Add("unicodePwd", []string{windowsPassword(new)})
	err := d.pool.once(ctx, func(c *conn) error { return c.Modify(request) })
	verdict := judgeWindowsChange(err)
	if reason(verdict) == "change_denied" {
		d.log.LogAttrs(ctx, slog.LevelWarn, "directory does not let people change their passwords",
			slog.String("directory", d.cfg.Name), slog.Any("err", err))
	}
	if verdict == nil && err != nil {
		return d.unavailable(fmt.Errorf("changing a password: %w", err))
	}
	return verdict
}

// changeable refuses those who could not sign in with a new password either.
// Nothing has proved their old one yet, so that nobody is told which it is.
func (d *Directory) changeable(e *goldap.Entry) error {
	err := usable(e, d.now())
	if err == nil {
		err = unlocked(e)
	}
	switch word := reason(err); {
	case err == nil:
		return nil
	case errors.Is(err, gatehouse.ErrAccountLocked):
		return refuse(gatehouse.ErrInvalidCredentials, "locked_out", nil)
	case word != "":
		return refuse(gatehouse.ErrInvalidCredentials, word, nil)
	}
	return d.unavailable(err)
}

// reason is the word of a refusal, or nothing.
func reason(err error) string {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r.word
	}
	return ""
}

// windowsPassword is a value of unicodePwd: in double quotes, UTF-16, little-endian.
func windowsPassword(password gatehouse.Secret) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(`"` + string(password) + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// windowsCode is the Windows error in front of the text: the rest varies.
var windowsCode = regexp.MustCompile(`^([0-9A-Fa-f]{8}):`)

// judgeWindowsChange turns the answer to changeInWindows into a kind. It is
// nil where the password was changed, and where err tells nothing about it.
func judgeWindowsChange(err error) error {
	code, ok := resultCode(err)
	if err == nil || !ok {
		return nil
	}
	word := ""
	if m := windowsCode.FindStringSubmatch(diagnostic(err)); m != nil {
		word = strings.ToUpper(m[1])
	}
	switch {
	case code == goldap.LDAPResultInsufficientAccessRights:
		// Said before the old password is looked at.
		return refuse(gatehouse.ErrInvalidCredentials, "change_denied", err)
	case word == "00000056": // ERROR_INVALID_PASSWORD
		return refuse(gatehouse.ErrInvalidCredentials, "wrong_password", err)
	case word == "00000775": // ERROR_ACCOUNT_LOCKED_OUT
		return refuse(gatehouse.ErrInvalidCredentials, "locked_out", err)
	case word == "0000052D": // ERROR_PASSWORD_RESTRICTION
		return refusedBy(ruleInText(diagnostic(err)), err)
	case code == goldap.LDAPResultConstraintViolation, code == goldap.LDAPResultUnwillingToPerform,
		code == goldap.LDAPResultNoSuchObject, code == goldap.LDAPResultNoSuchAttribute, code == goldap.LDAPResultInvalidCredentials:
		return refuse(gatehouse.ErrInvalidCredentials, "change_refused", err)
	}
	return nil
}

// diagnostic is what the server said, without go-ldap's words before it.
func diagnostic(err error) string {
	var e *goldap.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err.Error()
	}
	return ""
}

// ruleInText finds a rule in a diagnostic text: Samba and OpenLDAP say which,
// Windows does not.
func ruleInText(text string) string {
	text = strings.ToLower(text)
	for _, r := range []struct{ words, rule string }{
		{"too short", "too_short"}, {"complexity", "too_simple"}, {"quality", "too_simple"},
		{"already used", "used_before"}, {"history", "used_before"}, {"not being changed", "used_before"},
		{"too young", "too_young"}, {"too recently", "too_young"}, {"minimum password age", "too_young"}, {"until", "too_young"},
	} {
		if strings.Contains(text, r.words) {
			return r.rule
		}
	}
	return "policy"
}

// changeAsThemselves binds as the person and changes the password there
// (RFC 3062), which those whose password was reset may do as well, and
// nothing else.
func (d *Directory) changeAsThemselves(ctx context.Context, u gatehouse.User, old, new gatehouse.Secret) error {
	var verdict error
	err := d.pool.prove(ctx, neverKeep, func(c *conn) error {
		result, err := c.bind(ctx, u.DN, string(old))
		verdict = judge(result, err)
		if err != nil || verdict != nil && !errors.Is(verdict, gatehouse.ErrPasswordMustChange) {
			return err
		}
		err = c.during(ctx, func() error { _, err := c.Extended(passwordModify(old, new)); return err })
		verdict = judgeChange(err)
		return err
	})
	if verdict == nil && err != nil {
		return d.unavailable(fmt.Errorf("changing a password: %w", err))
	}
	return verdict
}

// passwordModify asks for the password of whoever is bound to be changed.
// go-ldap's own request has no room for the control that says why not.
func passwordModify(old, new gatehouse.Secret) *goldap.ExtendedRequest {
	value := ber.NewSequence("PasswdModifyRequestValue")
	value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, string(old), "oldPasswd"))
	value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 2, string(new), "newPasswd"))
	request := goldap.NewExtendedRequest("1.3.6.1.4.1.4203.1.11.1", value)
	request.Controls = []goldap.Control{goldap.NewControlBeheraPasswordPolicy()}
	return request
}

// policyRules are the errors of the password policy control that concern a
// new password (draft-behera-ldap-password-policy-11 §6.2).
var policyRules = map[int8]string{3: "not_allowed", 5: "too_simple", 6: "too_short", 7: "too_young", 8: "used_before"}

// judgeChange turns the answer to passwordModify, whose bind went well, into
// a kind, like judgeWindowsChange.
func judgeChange(err error) error {
	code, ok := resultCode(err)
	if err == nil || !ok {
		return nil
	}
	if rule, known := policyRules[errorControl(err)]; known {
		return refusedBy(rule, err)
	}
	switch code {
	case goldap.LDAPResultConstraintViolation:
		return refusedBy(ruleInText(diagnostic(err)), err)
	case goldap.LDAPResultInsufficientAccessRights, goldap.LDAPResultUnwillingToPerform, goldap.LDAPResultProtocolError:
		return refusedBy("not_allowed", err)
	}
	return nil
}

// errorControl is the password policy error that came with a refusal.
func errorControl(err error) int8 {
	var e *goldap.Error
	if !errors.As(err, &e) || e.Packet == nil || len(e.Packet.Children) < 3 {
		return policyNone
	}
	for _, child := range e.Packet.Children[2].Children {
		control, err := goldap.DecodeControl(child)
		if c, ok := control.(*goldap.ControlBeheraPasswordPolicy); ok && err == nil {
			return c.Error
		}
	}
	return policyNone
}
