package ldap

import (
	"errors"
	"io"
	"testing"

	"gatehouse"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

func TestJudgeWindowsChange(t *testing.T) {
	refused := func(code uint16, text string) error { return goldap.NewError(code, errors.New(text)) }
	tests := []struct {
		name   string
		err    error
		kind   error // nil: changed, or not about the change
		reason string
	}{
		{"changed", nil, nil, ""},
		{"Windows: wrong old password", refused(19, "00000056: AtrErr: DSID-03191083, #1:\n\t0: 00000056: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n\x00"), gatehouse.ErrInvalidCredentials, "wrong_password"},
		{"Windows: a rule, whichever", refused(19, "0000052D: AtrErr: DSID-03191083, #1:\n\t0: 0000052D: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)\n\x00"), gatehouse.ErrPasswordRefused, "policy"},
		{"Windows: a rule, as another result", refused(53, "0000052D: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0\n\x00"), gatehouse.ErrPasswordRefused, "policy"},
		{"Windows: small letters", refused(53, "0000052d: SvcErr: DSID-031A12D2"), gatehouse.ErrPasswordRefused, "policy"},
		{"locked out meanwhile", refused(53, "00000775: SvcErr: DSID-031A124C"), gatehouse.ErrInvalidCredentials, "locked_out"},
		{"Samba: too short", refused(19, "0000052D: Constraint violation - check_password_restrictions: the password is too short. It should be equal or longer than 7 characters!"), gatehouse.ErrPasswordRefused, "too_short"},
		{"Samba: too simple", refused(19, "0000052D: Constraint violation - check_password_restrictions: the password does not meet the complexity criteria!"), gatehouse.ErrPasswordRefused, "too_simple"},
		{"Samba: used before", refused(19, "0000052D: Constraint violation - check_password_restrictions: the password was already used (in history)!"), gatehouse.ErrPasswordRefused, "used_before"},
		{"a rule's code elsewhere in the text means nothing", refused(19, "Constraint violation 0000052D: x"), gatehouse.ErrInvalidCredentials, "change_refused"},
		{"a constraint that says nothing tells nobody anything", refused(19, ""), gatehouse.ErrInvalidCredentials, "change_refused"},
		{"not allowed, which is said before the old password is looked at", refused(50, "00000005: SecErr: DSID-03152E29"), gatehouse.ErrInvalidCredentials, "change_denied"},
		{"gone", refused(32, ""), gatehouse.ErrInvalidCredentials, "change_refused"},
		{"busy", refused(51, ""), nil, ""},
		{"a lost connection", io.ErrUnexpectedEOF, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := judgeWindowsChange(tt.err)
			var r interface{ Reason() string }
			if !errors.Is(err, tt.kind) || (err == nil) != (tt.kind == nil) || err != nil && (!errors.As(err, &r) || r.Reason() != tt.reason) {
				t.Errorf("%v, want %v (%s)", err, tt.kind, tt.reason)
			}
		})
	}
}

func TestEveryRuleHasASentence(t *testing.T) {
	rules := []string{"policy"}
	for _, rule := range policyRules {
		rules = append(rules, rule)
	}
	for _, text := range []string{"too short", "complexity", "history", "too young"} {
		rules = append(rules, ruleInText(text))
	}
	for _, rule := range rules {
		if ruleSentences[rule] == "" {
			t.Errorf("%s is not explained to the person", rule)
		}
	}
}

func TestTheFewestCharactersAreTold(t *testing.T) {
	r := (*gatehouse.PasswordRefused)(nil)
	err := judgeWindowsChange(goldap.NewError(19, errors.New("0000052D: the password is too short. It should be equal or longer than 12 characters!")))
	if want := "The new password is too short. Choose at least 12 characters."; !errors.As(err, &r) || r.Why != want {
		t.Errorf("%v says %q, want %q", err, r.Why, want)
	}
}

// FuzzChangeAnswer: whatever a server answers to a change of password, it
// counts as done only with the code of success, and as refused by a rule only
// with words of its own for the person.
func FuzzChangeAnswer(f *testing.F) {
	f.Add([]byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x13\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x38\x02\x01\x01\x78\x07\x0a\x01\x13\x04\x00\x04\x00\xa0\x2a\x30\x28\x04\x191.3.6.1.4.1.42.2.27.8.5.1\x04\x0b\x30\x03\x81\x01\x06"))
	f.Add([]byte("\x30\x1d\x02\x01\x01\x67\x18\x0a\x01\x13\x04\x00\x04\x110000052D: too sho"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		packet, err := ber.DecodePacketErr(answer)
		if err != nil {
			return
		}
		answered := goldap.GetLDAPError(packet)
		for _, verdict := range []error{judgeChange(answered), judgeWindowsChange(answered)} {
			if answered == nil && verdict != nil {
				t.Errorf("a success became %v", verdict)
			}
			if r := (*gatehouse.PasswordRefused)(nil); errors.As(verdict, &r) && r.Why == "" {
				t.Errorf("%v says nothing to the person", verdict)
			}
		}
	})
}
