package ldap_test

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/outside"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// message is an LDAPMessage with the number id, which may not be the one
// that is waited for.
func message(id int, op *ber.Packet) []byte {
	p := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	return p.Bytes()
}

// paged is the control that says that more is to come, with a cookie (RFC 2696).
func paged(cookie string) *ber.Packet {
	value := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	value.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0, ""))
	value.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, cookie, ""))
	control := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
	control.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, goldap.ControlTypePaging, ""))
	control.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, string(value.Bytes()), ""))
	controls := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
	controls.AppendChild(control)
	return controls
}

// notice is the Notice of Disconnection (RFC 4511 §4.4.1).
func notice() []byte {
	p := result(goldap.ApplicationExtendedResponse, goldap.LDAPResultUnavailable, "going down")
	p.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, "1.3.6.1.4.1.1466.20036", ""))
	return message(0, p)
}

// entryOf is a SearchResultEntry of a DN and whatever is put after it.
func entryOf(dn *ber.Packet, rest ...*ber.Packet) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(dn)
	for _, r := range rest {
		p.AppendChild(r)
	}
	return p
}

// TestMalformedAnswers: to the search for groups, in the middle of a sign-in,
// a server answers what no server should. Nobody comes of it, nothing waits
// beyond its time, and what is asked next is answered.
func TestMalformedAnswers(t *testing.T) {
	t.Parallel()
	text := func(s string) *ber.Packet {
		return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
	}
	number := ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 7, "")
	team := func() *ber.Packet { return found(groupDN("team"), "cn", "team") }
	attributes := func(children ...*ber.Packet) *ber.Packet {
		p := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		for _, c := range children {
			p.AppendChild(c)
		}
		return p
	}
	tests := []struct {
		name string
		a    answer
	}{
		{"an answer to something else", answer{raw: append(message(999, team()), message(999, done(0))...)}},
		{"an answer to nothing", answer{raw: append(message(0, team()), message(0, done(0))...)}},
		{"an answer of a negative number", answer{raw: message(-1, done(0))}},
		{"a notice of disconnection amid the groups", answer{messages: []*ber.Packet{team()}, raw: notice(), hangUp: true}},
		{"a notice of disconnection, and silence", answer{messages: []*ber.Packet{team()}, raw: notice()}},
		{"the answer to a bind", answer{messages: []*ber.Packet{result(goldap.ApplicationBindResponse, 0, "")}}},
		{"a request", answer{messages: []*ber.Packet{result(goldap.ApplicationSearchRequest, 0, "")}}},
		{"an operation that does not exist", answer{messages: []*ber.Packet{result(30, 0, "")}}},
		{"an end without a code", answer{messages: []*ber.Packet{ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultDone, nil, "")}}},
		{"a group with a DN and no more", answer{messages: []*ber.Packet{entryOf(text(groupDN("team"))), done(0)}}},
		{"an end with a code beyond all", answer{messages: []*ber.Packet{team(), result(goldap.ApplicationSearchResultDone, 1<<40, "")}}},
		{"an end with a negative code", answer{messages: []*ber.Packet{team(), result(goldap.ApplicationSearchResultDone, -1, "")}}},
		{"a group whose DN is a number", answer{messages: []*ber.Packet{entryOf(number, attributes()), done(0)}}},
		{"a group whose attribute is a text", answer{messages: []*ber.Packet{entryOf(text(groupDN("team")), attributes(text("cn"))), done(0)}}},
		{"a group whose attribute has no values", answer{messages: []*ber.Packet{entryOf(text(groupDN("team")), attributes(attributes(text("cn")))), done(0)}}},
		{"pages without an end, empty", answer{messages: []*ber.Packet{done(0)}, controls: paged("more")}},
		{"pages without an end, of groups", answer{messages: []*ber.Packet{team(), done(0)}, controls: paged("more")}},
		{"a length of two gigabytes", answer{raw: []byte("\x30\x84\x7f\xff\xff\xff\x02\x01\x01")}},
		{"a length of eight bytes", answer{raw: []byte("\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff\x02\x01\x01")}},
		{"a length of 126 bytes", answer{raw: append([]byte("\x30\xfe"), bytes.Repeat([]byte{0xff}, 126)...)}},
		{"no length", answer{raw: []byte("\x30\x80\x02\x01\x03\x00\x00")}},
		{"nothing inside", answer{raw: []byte("\x30\x00")}},
		{"a number alone", answer{raw: []byte("\x30\x03\x02\x01\x03")}},
		{"sequences within sequences", answer{raw: bytes.Repeat([]byte("\x30\x80"), 50_000)}},
		{"zeros", answer{raw: make([]byte, 64<<10)}},
		{"an end of the stream", answer{hangUp: true}},
	}
	ca := outside.NewAuthority(t)
	caFile := ca.File(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mended atomic.Bool
			s := script(t, ca, func(op ber.Tag, dn string) answer {
				if !mended.Load() && op == goldap.ApplicationSearchRequest && dn == groups {
					return tt.a
				}
				return wellBehaved(op, dn)
			})
			c := config([]string{s.url}, caFile)
			c.Timeout = time.Second
			d := open(t, c)
			start := time.Now()
			u, err := signIn(t, d, "alice")
			// Groups without an end are either too many or too late.
			endless := strings.HasSuffix(tt.name, "of groups") && errors.Is(err, gatehouse.ErrTooManyGroups)
			if !endless && !errors.Is(err, gatehouse.ErrUnavailable) || u.ID != "" {
				t.Errorf("%+v, %v; want ErrUnavailable and nobody", u, err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("took %v of a second", took)
			}
			if n := s.bound(uidDN("alice")); n > 1 {
				t.Errorf("her password was sent %d times", n)
			}
			mended.Store(true)
			if u, err := signIn(t, d, "alice"); err != nil || u.Username != "alice" || len(u.Groups) != 0 {
				t.Errorf("afterwards: %+v, %v", u, err)
			}
		})
	}
}

// TestGroupWithoutName: what a group is called may be hidden or garbled. It
// is that group all the same, by its DN, and no name is made up for it.
func TestGroupWithoutName(t *testing.T) {
	t.Parallel()
	ca := outside.NewAuthority(t)
	dn := ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, groupDN("team"), "")
	for _, attributes := range []*ber.Packet{
		ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, ""),
		ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "cn", ""),
	} {
		s := script(t, ca, func(op ber.Tag, base string) answer {
			if op == goldap.ApplicationSearchRequest && base == groups {
				return answer{messages: []*ber.Packet{entryOf(dn, attributes), done(0)}}
			}
			return wellBehaved(op, base)
		})
		u, err := signIn(t, open(t, config([]string{s.url}, ca.File(t))), "alice")
		if err != nil || len(u.Groups) != 1 || u.Groups[0].DN != groupDN("team") || u.Groups[0].Name != "" {
			t.Errorf("%+v, %v", u, err)
		}
	}
}
