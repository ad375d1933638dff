package directory

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"
)

// syntax says how values of an attribute are compared (RFC 4517 §4).
type syntax int

const (
	caseIgnore syntax = iota // text, ignoring case and runs of spaces
	caseExact                // text, byte for byte but for spaces
	number                   // INTEGER
	truth                    // BOOLEAN
	timestamp                // GeneralizedTime
	name                     // DN
	bytesExact               // octet string
	sid                      // objectSid: octets, or written S-1-...
	category                 // objectCategory: a class, or the DN of one (MS-ADTS 3.1.1.3.1.3.5)
)

// syntaxes lists the attributes that a filter may name even where no entry
// has them; any attribute of an entry is known besides. The comparison of an
// attribute that is not listed is caseIgnore.
var syntaxes = func() map[string]syntax {
	m := map[string]syntax{}
	for s, names := range map[syntax]string{
		caseIgnore: `objectclass cn sn givenname displayname name uid mail o ou dc c l st title description
			employeenumber employeetype telephonenumber mobile department company memberuid samaccountname
			userprincipalname entryuuid userworkstations homedirectory loginshell gecos preferredlanguage
			structuralobjectclass postaladdress street postalcode initials labeleduri proxyaddresses`,
		number: `uidnumber gidnumber useraccountcontrol lockouttime accountexpires pwdlastset badpwdcount
			msds-userpasswordexpirytimecomputed msds-user-account-control-computed primarygroupid grouptype
			samaccounttype logoncount badpasswordtime lastlogon lastlogontimestamp admincount
			pwdgraceremaining pwdmaxage pwdexpirewarning pwdgraceauthnlimit pwdminlength pwdinhistory
			pwdmaxfailure pwdlockoutduration`,
		truth:     `pwdreset pwdexpired pwdlockout pwdmustchange hassubordinates`,
		timestamp: `createtimestamp modifytimestamp pwdchangedtime pwdaccountlockedtime whencreated whenchanged`,
		name: `member uniquemember memberof manager owner seealso entrydn distinguishedname creatorsname
			modifiersname pwdpolicysubentry managedby directreports secretary roleoccupant namingcontexts
			defaultnamingcontext rootdomainnamingcontext`,
		bytesExact: `jpegphoto thumbnailphoto usercertificate objectguid logonhours audio photo`,
		sid:        `objectsid tokengroups sidhistory`,
		category:   `objectcategory`,
	} {
		for _, n := range strings.Fields(names) {
			m[n] = s
		}
	}
	return m
}()

// operational attributes are returned only when asked for, by name or by +.
var operational = set(`entryuuid entrydn memberof createtimestamp modifytimestamp creatorsname modifiersname
	structuralobjectclass hassubordinates distinguishedname tokengroups msds-user-account-control-computed
	msds-userpasswordexpirytimecomputed pwdaccountlockedtime pwdreset pwdexpired pwdchangedtime
	pwdgraceremaining pwdgraceusetime pwdfailuretime pwdpolicysubentry`)

// secret attributes are never returned, and nobody may match against them.
var secret = set(`userpassword unicodepwd pwdhistory`)

func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

var errSyntax = errors.New("value does not fit the attribute's syntax")

// normalize is v in a form of which equal values have the same bytes.
func (s syntax) normalize(v string) (string, error) {
	switch s {
	case caseExact:
		return strings.Join(strings.FieldsFunc(v, isSpace), " "), nil
	case number:
		// RFC 4517 §3.3.16 has no leading zeros, and no plus.
		if n, err := strconv.ParseInt(v, 10, 64); err != nil || strconv.FormatInt(n, 10) != v {
			return "", errSyntax
		}
		return v, nil
	case truth:
		if v = strings.ToUpper(v); v != "TRUE" && v != "FALSE" {
			return "", errSyntax
		}
		return v, nil
	case timestamp:
		t, err := parseTime(v)
		if err != nil {
			return "", errSyntax
		}
		return t.Format("20060102150405.000000000"), nil
	case name:
		return normalDN(v)
	case bytesExact:
		return v, nil
	case sid:
		return normalizeSID(v)
	case category:
		return normalizeCategory(v)
	}
	return foldSpaces(v), nil
}

// isText reports whether the syntax has a substrings rule.
func (s syntax) isText() bool { return s == caseIgnore || s == caseExact }

// compare orders two normal values; ok is false where the syntax has no order.
func (s syntax) compare(a, b string) (order int, ok bool) {
	switch s {
	case number:
		x, errX := strconv.ParseInt(a, 10, 64)
		y, errY := strconv.ParseInt(b, 10, 64)
		if errX != nil || errY != nil {
			return 0, false
		}
		switch {
		case x < y:
			return -1, true
		case x > y:
			return 1, true
		}
		return 0, true
	case caseIgnore, caseExact, timestamp, bytesExact:
		return strings.Compare(a, b), true
	}
	return 0, false
}

// normalizeCategory makes CN=Person,CN=Schema,... and person the same.
func normalizeCategory(v string) (string, error) {
	if parsed, err := parseDN(v); err == nil && len(parsed) > 1 && parsed[0][0].attribute == "cn" {
		v = parsed[0][0].value
	}
	return foldSpaces(v), nil
}

// normalizeSID accepts the binary form of a SID and S-1-5-21-… (MS-DTYP
// 2.4.2): revision, count, six bytes of authority in big endian, and
// sub-authorities in little endian.
func normalizeSID(v string) (string, error) {
	fields := strings.Split(v, "-")
	if len(fields) < 3 || !strings.EqualFold(fields[0], "S") || fields[1] != "1" {
		return v, nil
	}
	authority, err := strconv.ParseUint(fields[2], 10, 48)
	if err != nil || len(fields) > 3+15 {
		return "", errSyntax
	}
	b := binary.BigEndian.AppendUint64(nil, authority)
	b[0], b[1] = 1, byte(len(fields)-3)
	for _, f := range fields[3:] {
		sub, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return "", errSyntax
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(sub))
	}
	return string(b), nil
}

// parseTime reads the GeneralizedTime forms that directories write: seconds,
// with or without a fraction, in UTC or a zone of whole hours.
func parseTime(v string) (time.Time, error) {
	t, err := time.Parse("20060102150405Z07", strings.Replace(v, ",", ".", 1))
	return t.UTC(), err
}

// formatTime writes a GeneralizedTime.
func formatTime(t time.Time) string { return t.UTC().Format("20060102150405Z") }

// fileTimeEpoch is 1601-01-01 in Unix seconds: Active Directory counts ticks
// of 100 ns from there.
const fileTimeEpoch = -11644473600

// fileTime reads such a count; ok is false for "never": zero, and the largest
// number there is.
func fileTime(ticks int64) (t time.Time, ok bool) {
	if ticks <= 0 || ticks == 1<<63-1 {
		return time.Time{}, false
	}
	return time.Unix(ticks/1e7+fileTimeEpoch, ticks%1e7*100), true
}

// formatFileTime is the count of ticks at t.
func formatFileTime(t time.Time) string {
	return strconv.FormatInt((t.Unix()-fileTimeEpoch)*1e7+int64(t.Nanosecond())/100, 10)
}
