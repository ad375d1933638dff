package ldap_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// TestRanges: a server that gives a few values at a time is asked for all.
func TestRanges(t *testing.T) {
	entries := domain()
	crowd := adGroup("crowd", 9, security)
	for i := range 50 {
		crowd.Attributes["member"] = append(crowd.Attributes["member"], fmt.Sprintf("cn=somebody-%02d,%s", i, people))
	}
	crowd.Attributes["member"] = append(crowd.Attributes["member"], groupDN("dept"))
	talker := adPerson("talker", "tokenGroups", sid(1), "tokenGroups", sid(2), "tokenGroups", sid(3), "tokenGroups", sid(9), "tokenGroups", builtinUsers)
	talker.Attributes["otherTelephone"] = []string{"1", "2", "3", "4", "5", "6", "7"}
	s, ca := startDemo(t, directory.Config{Entries: append(entries, crowd, talker), ActiveDirectory: true, MaxValues: 2})
	c := config([]string{s.URL()}, ca)
	c.Type, c.Attributes = ldap.ActiveDirectory, []string{"otherTelephone"}
	d := open(t, c)
	t.Run("tokenGroups and attributes", func(t *testing.T) {
		u, err := signIn(t, d, "talker")
		if got := names(u.Groups); err != nil || !slices.Equal(got, []string{"Domain Staff", "crowd", "dept", "team"}) {
			t.Errorf("%q, %v", got, err)
		}
		if got := u.Attributes["othertelephone"]; !slices.Equal(got, []string{"1", "2", "3", "4", "5", "6", "7"}) {
			t.Errorf("%q", got)
		}
	})
	t.Run("the way through a group of many members", func(t *testing.T) {
		u, err := d.Find(t.Context(), "bob")
		if got := ways(u.Groups); err != nil || !slices.Equal(got, []string{"Domain Staff", "team", "team > dept", "team > dept > crowd"}) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestBadRanges: a part is not taken for the whole, nor asked for without end.
func TestBadRanges(t *testing.T) {
	ca := outside.NewAuthority(t)
	for name, tt := range map[string]struct {
		next answer // to being asked for the rest
		good bool
	}{
		"the rest":                  {answer{messages: []*ber.Packet{found(uidDN("alice"), "departmentNumber;range=1-*", "b"), done(0)}}, true},
		"the rest in another case":  {answer{messages: []*ber.Packet{found(uidDN("alice"), "DEPARTMENTNUMBER;Range=1-*", "b"), done(0)}}, true},
		"the same again":            {answer{messages: []*ber.Packet{found(uidDN("alice"), "departmentNumber;range=0-0", "a"), done(0)}}, false},
		"another attribute":         {answer{messages: []*ber.Packet{found(uidDN("alice"), "mail;range=1-*", "b"), done(0)}}, false},
		"no values":                 {answer{messages: []*ber.Packet{found(uidDN("alice")), done(0)}}, false},
		"no entry":                  {answer{messages: []*ber.Packet{done(0)}}, false},
		"an error":                  {answer{messages: []*ber.Packet{done(50)}}, false},
		"a range that is no number": {answer{messages: []*ber.Packet{found(uidDN("alice"), "departmentNumber;range=1-x", "b"), done(0)}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, ca, func(op ber.Tag, dn string) answer {
				switch {
				case op == goldap.ApplicationSearchRequest && dn == people:
					pairs := append(slices.Clone(alice), "departmentNumber;range=0-0", "a")
					return answer{messages: []*ber.Packet{found(uidDN("alice"), pairs...), done(0)}}
				case op == goldap.ApplicationSearchRequest && dn == uidDN("alice"):
					return tt.next
				}
				return wellBehaved(op, dn)
			})
			c := config([]string{s.url}, ca.File(t))
			c.Timeout = 2 * time.Second
			u, err := signIn(t, open(t, c), "alice")
			if tt.good && (err != nil || !slices.Equal(u.Attributes["departmentnumber"], []string{"a", "b"})) {
				t.Errorf("%+v, %v", u.Attributes, err)
			}
			if !tt.good && (!errors.Is(err, gatehouse.ErrUnavailable) || u.ID != "") {
				t.Errorf("%+v, %v; want ErrUnavailable", u, err)
			}
		})
	}
}
