package ldap

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// guidText writes Active Directory's 16 bytes of an objectGUID as text. The
// first three fields are stored little-endian (MS-DTYP §2.3.4.2), so the text
// is not the bytes in order.
func guidText(b []byte) (string, error) {
	if len(b) != 16 {
		return "", fmt.Errorf("a GUID of %d bytes, want 16", len(b))
	}
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x",
		[]byte{b[3], b[2], b[1], b[0]}, []byte{b[5], b[4]}, []byte{b[7], b[6]}, b[8:10], b[10:]), nil
}

var errGUID = errors.New("not a GUID in text form")

// guidBytes is the reverse of guidText.
func guidBytes(s string) ([]byte, error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return nil, errGUID
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 {
		return nil, errGUID
	}
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5] = b[5], b[4]
	b[6], b[7] = b[7], b[6]
	return b, nil
}

// escapeBytes writes b as the value of a filter, every byte escaped (RFC 4515 §3).
func escapeBytes(b []byte) string {
	const digits = "0123456789abcdef"
	s := make([]byte, 0, 3*len(b))
	for _, c := range b {
		s = append(s, '\\', digits[c>>4], digits[c&15])
	}
	return string(s)
}

// primaryGroupSID puts a relative identifier in place of the last one of an
// account's SID, which gives the SID of a group of the same domain (MS-DTYP
// §2.4.2.2: revision, count, authority, then count little-endian words).
func primaryGroupSID(account []byte, rid uint32) ([]byte, error) {
	if len(account) < 12 || len(account) != 8+4*int(account[1]) {
		return nil, fmt.Errorf("a SID of %d bytes makes no sense", len(account))
	}
	sid := append([]byte(nil), account...)
	last := sid[len(sid)-4:]
	last[0], last[1], last[2], last[3] = byte(rid), byte(rid>>8), byte(rid>>16), byte(rid>>24)
	return sid, nil
}

// relativeID is the last part of a SID, or zero.
func relativeID(sid []byte) uint32 {
	if len(sid) < 12 {
		return 0
	}
	return binary.LittleEndian.Uint32(sid[len(sid)-4:])
}
