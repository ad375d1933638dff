package directory

import (
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// bind answers a bind request (RFC 4511 §4.2). Whatever comes of it, the
// connection forgets who it was before.
func (c *conn) bind(m message) outcome {
	c.who, c.mustChange, c.pages = identity{}, false, pages{}
	dn, password, refusal := parseBind(m.op)
	switch {
	case refusal != nil:
		return *refusal
	case dn == "" && password == "":
		return outcome{} // anonymous: good for the root DSE
	case dn == "":
		return outcome{code: codeInvalidCredentials}
	case password == "":
		// RFC 4513 §5.1.2: a client that passes on an empty password must
		// not be told that it was right.
		return outcome{code: codeUnwilling, text: "unauthenticated bind (DN with no password) disallowed"}
	case !c.secure && !c.s.cfg.AllowCleartext:
		return outcome{code: codeConfidentiality, text: "confidentiality required"}
	}
	key, err := c.s.bindKey(dn)
	if err != nil {
		return outcome{code: codeInvalidDN, text: "invalid DN"}
	}
	e, v := c.s.authenticate(key, password)
	if v.code == codeSuccess {
		c.who, c.mustChange = identity{dn: e.source.DN, key: key}, v.mustChange
	}
	return outcome{code: v.code, text: v.text, controls: m.policyControl(v.policy)}
}

// parseBind reads a BindRequest with simple authentication.
func parseBind(op *ber.Packet) (dn, password string, refusal *outcome) {
	malformed := &outcome{code: codeProtocolError, text: "malformed bind request"}
	if len(op.Children) != 3 {
		return "", "", malformed
	}
	version, okVersion := integer(op.Children[0])
	bindName, okName := octets(op.Children[1])
	auth := op.Children[2]
	switch {
	case !okVersion || !okName || auth.ClassType != ber.ClassContext:
		return "", "", malformed
	case version != 3:
		return "", "", &outcome{code: codeProtocolError, text: "only LDAPv3 is spoken here"}
	case auth.Tag != 0 || auth.TagType != ber.TypePrimitive:
		return "", "", &outcome{code: codeAuthMethodNotSupported, text: "only simple binds are supported"}
	}
	return string(bindName), auth.Data.String(), nil
}

// bindKey is the entry that a bind name means. Active Directory takes a
// userPrincipalName too (MS-ADTS 5.1.1.1.1); one that nobody has, or several
// have, is treated like the name of nobody.
func (s *Server) bindKey(bindName string) (string, error) {
	key, err := normalDN(bindName)
	if err == nil || !s.cfg.ActiveDirectory {
		return key, err
	}
	found := ""
	for _, e := range s.tree.snapshot().order {
		if e.holds(assertion{"userprincipalname", bindName}) {
			if found != "" {
				return "", nil
			}
			found = e.key
		}
	}
	return found, nil
}

// accounts counts what happened to each DN.
type accounts struct {
	mu     sync.Mutex
	binds  map[string]int
	wrongs map[string]int // in a row
}

func (a *accounts) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.wrongs, key)
}

func (a *accounts) attempts(key string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.binds[key]
}

// count takes note of an attempt and returns how many in a row were wrong.
func (a *accounts) count(key string, right bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.binds == nil {
		a.binds, a.wrongs = map[string]int{}, map[string]int{}
	}
	a.binds[key]++
	a.wrongs[key]++
	if right {
		a.wrongs[key] = 0
	}
	return a.wrongs[key]
}

// verdict is what became of a bind.
type verdict struct {
	code       int
	text       string
	policy     policyResponse
	mustChange bool // bound, but only to change the password
	spent      bool // one grace login was used up
	locked     bool // the account was locked before; this attempt changes nothing
}

// authenticate tries password on the entry key. One bind is decided at a
// time, so that two cannot spend the same grace login.
func (s *Server) authenticate(key, password string) (*entry, verdict) {
	s.deciding.Lock()
	defer s.deciding.Unlock()
	snap := s.tree.snapshot()
	e := snap.byKey[key]
	if e == nil {
		s.accounts.count(key, false)
		return nil, s.nobody()
	}
	right := e.hasPassword(password)
	v := judge(e, right, s.policyOf(snap, e), s.cfg.Now())
	wrongs := s.accounts.count(key, right || v.locked)
	switch {
	case v.spent:
		s.tree.change(key, map[string][]string{"pwdGraceRemaining": {strconv.FormatInt(v.policy.grace, 10)}})
	case s.cfg.LockoutThreshold > 0 && wrongs >= s.cfg.LockoutThreshold:
		s.lock(e)
	}
	return e, v
}

// nobody is the verdict on a name that does not exist: that of a wrong password.
func (s *Server) nobody() verdict {
	v := verdict{code: codeInvalidCredentials, policy: policyResponse{err: policyNone}}
	if s.cfg.ActiveDirectory {
		v.text = adRefusal("52e")
	}
	return v
}

// lock does to e what its kind of directory does after too many wrong passwords.
func (s *Server) lock(e *entry) {
	now := s.cfg.Now()
	if e.has("useraccountcontrol") {
		s.tree.change(e.key, map[string][]string{"lockoutTime": {formatFileTime(now)}})
		return
	}
	s.tree.change(e.key, map[string][]string{"pwdAccountLockedTime": {formatTime(now)}})
}

func (e *entry) hasPassword(password string) bool {
	right := 0
	for _, v := range e.all("userpassword") {
		right |= subtle.ConstantTimeCompare([]byte(v.raw), []byte(password))
	}
	return right == 1
}

// policy is what passwords are subject to.
type policy struct{ maxAge, warning time.Duration }

// policyOf is the policy of e: that of the entry named by pwdPolicySubentry,
// or the configured one.
func (s *Server) policyOf(snap *snapshot, e *entry) policy {
	p := policy{maxAge: s.cfg.PasswordMaxAge, warning: s.cfg.PasswordWarning}
	for _, v := range e.all("pwdpolicysubentry") {
		if own := snap.byKey[v.normal]; own != nil && v.matches {
			p.maxAge = time.Duration(own.number("pwdmaxage")) * time.Second
			p.warning = time.Duration(own.number("pwdexpirewarning")) * time.Second
		}
	}
	return p
}

// number is an attribute's first value, or zero.
func (e *entry) number(base string) int64 {
	n, err := strconv.ParseInt(e.first(base), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// isTrue reports whether a boolean attribute is set.
func (e *entry) isTrue(base string) bool { return strings.EqualFold(e.first(base), "TRUE") }

// judge decides about a bind to e. These attributes put an account into a
// state, in the order in which they are looked at:
//
//	pwdAccountLockedTime (any value)        locked, whatever the password
//	userAccountControl 16, lockoutTime > 0  locked, whatever the password
//	userAccountControl 2                    disabled
//	accountExpires in the past              account expired
//	logonHours without this hour            not at this time
//	msDS-UserPasswordExpiryTimeComputed     password expired, if in the past
//	pwdLastSet 0                            password must be changed first
//	pwdReset TRUE                           bound, to change the password only
//	pwdGraceRemaining n                     expired, with n binds left
//	pwdExpired TRUE, pwdChangedTime         password expired
//
// All but the locks show only with the right password. An entry that has
// userAccountControl is refused in Active Directory's words, others in
// OpenLDAP's; pwd attributes add the password policy control in either case.
func judge(e *entry, right bool, p policy, now time.Time) verdict {
	if e.has("pwdaccountlockedtime") {
		v := e.refuse("775", policyLocked)
		v.locked = true
		return v
	}
	ad := e.has("useraccountcontrol")
	if ad && (e.number("useraccountcontrol")&16 != 0 || e.number("lockouttime") > 0) {
		v := e.refuse("775", policyNone)
		v.locked = true
		return v
	}
	if !right {
		return e.refuse("52e", policyNone)
	}
	if ad {
		if data := e.adState(now); data != "" {
			return e.refuse(data, policyNone)
		}
	}
	return e.policyState(p, now)
}

// refuse is a refused bind: data is what Active Directory calls the reason.
func (e *entry) refuse(data string, policyError int) verdict {
	v := verdict{code: codeInvalidCredentials, policy: policyResponse{err: policyError}}
	if e.has("useraccountcontrol") {
		v.text = adRefusal(data)
	}
	return v
}

func adRefusal(data string) string {
	return fmt.Sprintf("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data %s, v1db1", data)
}

// adState is the code of why Active Directory refuses a right password.
func (e *entry) adState(now time.Time) string {
	if e.number("useraccountcontrol")&2 != 0 {
		return "533"
	}
	if at, ok := fileTime(e.number("accountexpires")); ok && !now.Before(at) {
		return "701"
	}
	if !e.mayLogOn(now) {
		return "530"
	}
	if at, ok := fileTime(e.number("msds-userpasswordexpirytimecomputed")); ok && !now.Before(at) {
		return "532"
	}
	if e.has("pwdlastset") && e.number("pwdlastset") == 0 {
		return "773"
	}
	return ""
}

// mayLogOn looks up now in logonHours: a bit for each hour of the week in
// UTC, from Sunday on.
func (e *entry) mayLogOn(now time.Time) bool {
	hours := e.first("logonhours")
	if hours == "" {
		return true
	}
	now = now.UTC()
	hour := int(now.Weekday())*24 + now.Hour()
	return hour/8 < len(hours) && hours[hour/8]&(1<<(hour%8)) != 0
}

// policyState is how OpenLDAP's password policy answers a right password.
func (e *entry) policyState(p policy, now time.Time) verdict {
	ok := verdict{policy: policyResponse{err: policyNone}}
	if e.isTrue("pwdreset") {
		ok.mustChange, ok.policy.err = true, policyChangeAfterReset
		return ok
	}
	left, ages := e.passwordLeft(p, now)
	if e.isTrue("pwdexpired") || e.has("pwdgraceremaining") || ages && left <= 0 {
		grace := e.number("pwdgraceremaining")
		if grace <= 0 {
			return e.refuse("532", policyExpired)
		}
		ok.spent, ok.policy.hasGrace, ok.policy.grace = true, true, grace-1
		return ok
	}
	if ages && left <= p.warning {
		ok.policy.expire = int64(left / time.Second)
	}
	return ok
}

// passwordLeft is how long the password is still good, if it ages at all.
func (e *entry) passwordLeft(p policy, now time.Time) (left time.Duration, ages bool) {
	changed, err := parseTime(e.first("pwdchangedtime"))
	if err != nil || p.maxAge <= 0 {
		return 0, false
	}
	return changed.Add(p.maxAge).Sub(now), true
}
