package directory

import (
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
)

// ask is a search of everything for a filter.
func ask(filter string, attributes ...string) *goldap.SearchRequest {
	return goldap.NewSearchRequest(suffix, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
}

// dns are the DNs of a result without the suffix.
func dns(r *goldap.SearchResult) []string {
	var out []string
	for _, e := range r.Entries {
		out = append(out, strings.TrimSuffix(e.DN, ","+suffix))
	}
	return out
}

func TestSearchBeforeBindIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		want uint16
	}{
		"OpenLDAP's way": {Config{}, goldap.LDAPResultInsufficientAccessRights},
		"AD's way":       {Config{ActiveDirectory: true}, goldap.LDAPResultOperationsError},
	} {
		s := start(t, tt.cfg)
		c := dial(t, s)
		for _, anonymous := range []bool{false, true} {
			if anonymous {
				if err := c.UnauthenticatedBind(""); err != nil {
					t.Errorf("%s: anonymous bind: %v", name, err)
				}
			}
			if r, err := c.Search(ask("(objectClass=*)")); code(err) != tt.want || len(r.Entries) > 0 {
				t.Errorf("%s, anonymous %v: search: %v, want %d", name, anonymous, err, tt.want)
			}
			if _, err := c.Compare(service, "cn", "svc"); code(err) != tt.want {
				t.Errorf("%s, anonymous %v: compare: %v, want %d", name, anonymous, err, tt.want)
			}
		}
	}
}

func TestRootDSEIsForEverybody(t *testing.T) {
	s := start(t, Config{ActiveDirectory: true})
	r, err := dial(t, s).Search(goldap.NewSearchRequest("", goldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	root := r.Entries[0]
	for attr, want := range map[string]string{
		"namingContexts": suffix, "defaultNamingContext": suffix, "supportedLDAPVersion": "3", "vendorName": "Gatehouse",
		"supportedControl": oidPasswordPolicy, "supportedExtension": oidStartTLS, "supportedCapabilities": "1.2.840.113556.1.4.800",
	} {
		if got := root.GetAttributeValues(attr); !slices.Contains(got, want) {
			t.Errorf("%s = %q, want %q among them", attr, got, want)
		}
	}
}

func TestScopesAndBases(t *testing.T) {
	const people = "OU=People," + suffix
	tests := []struct {
		name  string
		base  string
		scope int
		want  []string
		code  uint16
		match string
	}{
		{"base is the entry alone", "cn=ALICE," + people, goldap.ScopeBaseObject, []string{"CN=Alice,OU=People"}, 0, ""},
		{"one is what is directly below", people, goldap.ScopeSingleLevel, []string{"CN=Alice,OU=People", `CN=Doe\, John,OU=People`, "CN=Zoë+UID=zoe,OU=People"}, 0, ""},
		{"one does not reach further", suffix, goldap.ScopeSingleLevel, nil, 0, ""},
		{"sub includes the base", "CN=Alice," + people, goldap.ScopeWholeSubtree, []string{"CN=Alice,OU=People"}, 0, ""},
		{"children does not", "CN=Alice," + people, goldap.ScopeChildren, nil, 0, ""},
		{"a parent that was never put is no entry", people, goldap.ScopeBaseObject, nil, 0, ""},
		{"a base that does not exist", "CN=x,CN=Alice," + people, goldap.ScopeWholeSubtree, nil, 32, "CN=Alice," + people},
		{"a base that only ends alike", "OU=People,DC=com", goldap.ScopeWholeSubtree, nil, 32, ""},
		{"the empty base is nothing but the root DSE", "", goldap.ScopeWholeSubtree, nil, 32, ""},
		{"a base that is no DN", "people", goldap.ScopeWholeSubtree, nil, 34, ""},
	}
	c := bound(t, start(t, Config{}), service)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := c.Search(goldap.NewSearchRequest(tt.base, tt.scope, 0, 0, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
			if code(err) != tt.code {
				t.Fatalf("code %d (%v), want %d", code(err), err, tt.code)
			}
			if diff := cmp.Diff(tt.want, dns(r)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if err != nil && err.(*goldap.Error).MatchedDN != tt.match {
				t.Errorf("matchedDN %q, want %q", err.(*goldap.Error).MatchedDN, tt.match)
			}
		})
	}
}

func TestAttributesAreThoseAskedFor(t *testing.T) {
	const user = "objectClass cn cn;lang-de employeeNumber mail sn uid uidNumber"
	const virtual = "createTimestamp entryDN entryUUID memberOf"
	tests := []struct {
		name string
		ask  []string
		want string
	}{
		{"nothing named: user attributes", nil, user},
		{"a star: the same", []string{"*"}, user},
		{"a plus: operational ones", []string{"+"}, virtual},
		{"both", []string{"*", "+"}, user + " " + virtual},
		{"1.1: none", []string{"1.1"}, ""},
		{"names ignore case", []string{"MAIL", "memberof"}, "mail memberOf"},
		{"an option narrows", []string{"cn;lang-de"}, "cn;lang-de"},
		{"a name covers its options", []string{"cn"}, "cn cn;lang-de"},
		{"a password is never shown", []string{"userPassword", "sn"}, "sn"},
		{"unknown names are ignored", []string{"nosuch", "sn"}, "sn"},
		{"another name of an attribute", []string{"surname"}, "sn"},
	}
	c := bound(t, start(t, Config{}), service)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, typesOnly := range []bool{false, true} {
				q := ask("(uid=alice)", tt.ask...)
				q.TypesOnly = typesOnly
				r, err := c.Search(q)
				if err != nil || len(r.Entries) != 1 {
					t.Fatalf("search: %d entries, %v", len(r.Entries), err)
				}
				var got []string
				for _, a := range r.Entries[0].Attributes {
					got = append(got, a.Name)
					if (len(a.Values) == 0) != typesOnly {
						t.Errorf("typesOnly is %v, and %s has %q", typesOnly, a.Name, a.Values)
					}
				}
				want := strings.Fields(tt.want)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("typesOnly %v: attributes %q, want %q", typesOnly, got, want)
				}
			}
		})
	}
}

func TestVirtualAttributes(t *testing.T) {
	s := start(t, Config{Now: func() time.Time { return noon }})
	c := bound(t, s, service)
	read := func(filter string) *goldap.Entry {
		t.Helper()
		r, err := c.Search(ask(filter, "+"))
		if err != nil || len(r.Entries) != 1 {
			t.Fatalf("%s: %v", filter, err)
		}
		return r.Entries[0]
	}
	john := read("(uid=jdoe)")
	if got := john.GetAttributeValue("createTimestamp"); got != "20260115120000Z" {
		t.Errorf("createTimestamp = %q", got)
	}
	id := john.GetAttributeValue("entryUUID")
	if len(id) != 36 || id[14] != '5' {
		t.Errorf("entryUUID = %q, want one of version 5", id)
	}
	put(t, s, `cn=DOE\2c john , OU=People,`+suffix, map[string]string{"uid": "jdoe", "memberOf": "CN=admins," + suffix})
	again := read("(uid=jdoe)")
	if got := again.GetAttributeValue("entryUUID"); got != id {
		t.Errorf("the same DN in other letters has entryUUID %q, want %q", got, id)
	}
	if diff := cmp.Diff([]string{"CN=dev,OU=Groups," + suffix}, again.GetAttributeValues("memberOf")); diff != "" {
		t.Errorf("memberOf is what the groups say, not the entry (-want +got):\n%s", diff)
	}
	if err := s.Delete("CN=dev,OU=Groups," + suffix); err != nil {
		t.Fatal(err)
	}
	if got := read("(uid=jdoe)").GetAttributeValues("memberOf"); len(got) > 0 {
		t.Errorf("memberOf = %q after the group is gone", got)
	}
	if err := s.Delete("CN=dev,OU=Groups," + suffix); err == nil {
		t.Error("deleting what does not exist is no error")
	}
}

func TestLimits(t *testing.T) {
	at := noon
	s := start(t, Config{MaxEntries: 6, Now: func() time.Time { at = at.Add(100 * time.Millisecond); return at }})
	c := bound(t, s, service)
	tests := []struct {
		name       string
		size, time int
		filter     string
		entries    int
		code       uint16
	}{
		{"a size limit that is passed", 2, 0, "(objectClass=*)", 2, goldap.LDAPResultSizeLimitExceeded},
		{"a size limit that is met", 3, 0, "(objectClass=inetOrgPerson)", 3, 0},
		{"the server's own", 0, 0, "(objectClass=*)", 6, goldap.LDAPResultSizeLimitExceeded},
		{"asking for more than the server's own", 100, 0, "(objectClass=*)", 6, goldap.LDAPResultSizeLimitExceeded},
		{"in time", 0, 10, "(uid=alice)", 1, 0},
	}
	for _, tt := range tests {
		r, err := c.Search(goldap.NewSearchRequest(suffix, 2, 0, tt.size, tt.time, false, tt.filter, nil, nil))
		if code(err) != tt.code || len(r.Entries) != tt.entries {
			t.Errorf("%s: %d entries, %v; want %d, code %d", tt.name, len(r.Entries), err, tt.entries, tt.code)
		}
	}
}

func TestTimeLimitEndsASearch(t *testing.T) {
	at := noon
	s := start(t, Config{Now: func() time.Time { at = at.Add(400 * time.Millisecond); return at }})
	c := bound(t, s, service)
	r, err := c.Search(goldap.NewSearchRequest(suffix, 2, 0, 0, 1, false, "(objectClass=*)", nil, nil))
	if code(err) != goldap.LDAPResultTimeLimitExceeded || len(r.Entries) == 0 || len(r.Entries) >= 7 {
		t.Errorf("%d entries, %v; want some, and code 3", len(r.Entries), err)
	}
}

func TestPagesCoverEverythingOnce(t *testing.T) {
	s := start(t, Config{MaxEntries: 3})
	c := bound(t, s, service)
	for size := uint32(1); size <= 8; size++ {
		r, err := c.SearchWithPaging(ask("(objectClass=*)", "1.1"), size)
		if err != nil || len(r.Entries) != 7 {
			t.Fatalf("pages of %d: %d entries, %v; want 7", size, len(r.Entries), err)
		}
		seen := dns(r)
		slices.Sort(seen)
		if len(slices.Compact(seen)) != 7 {
			t.Errorf("pages of %d: an entry came twice: %q", size, seen)
		}
	}
}

func TestAPageIsNoLongerThanTheServerAllows(t *testing.T) {
	c := bound(t, start(t, Config{MaxEntries: 3}), service)
	if n, cookie, err := page(c, "(objectClass=*)", 100, nil, 0); n != 3 || len(cookie) == 0 || err != nil {
		t.Errorf("a page of 100: %d entries, cookie %q, %v; want 3 and a cookie", n, cookie, err)
	}
}

// page asks for one page and returns its cookie.
func page(c *goldap.Conn, filter string, size uint32, cookie []byte, sizeLimit int) (n int, next []byte, err error) {
	q := ask(filter)
	q.SizeLimit = sizeLimit
	q.Controls = []goldap.Control{&goldap.ControlPaging{PagingSize: size, Cookie: cookie}}
	r, err := c.Search(q)
	if p, ok := goldap.FindControl(r.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging); ok {
		next = p.Cookie
	}
	return len(r.Entries), next, err
}

func TestCookiesAreForOneSearchOnOneConnection(t *testing.T) {
	const all = "(objectClass=*)"
	s := start(t, Config{})
	c, other := bound(t, s, service), bound(t, s, service)
	refused := func(name string, c *goldap.Conn, filter string, cookie []byte) {
		t.Helper()
		if n, _, err := page(c, filter, 2, cookie, 0); code(err) != goldap.LDAPResultUnwillingToPerform || n > 0 {
			t.Errorf("%s: %d entries, %v; want 53", name, n, err)
		}
	}
	_, cookie, err := page(c, all, 2, nil, 0)
	if err != nil || len(cookie) == 0 {
		t.Fatalf("first page: cookie %q, %v", cookie, err)
	}
	refused("on another connection", other, all, cookie)
	refused("with another filter", c, "(uid=*)", cookie)
	refused("one that was made up", c, all, []byte("cookie"))
	n, next, err := page(c, all, 3, cookie, 0)
	if n != 3 || err != nil || len(next) == 0 {
		t.Fatalf("second page: %d entries, cookie %q, %v", n, next, err)
	}
	refused("used again", c, all, cookie)
	if n, left, err := page(c, all, 0, next, 0); n != 0 || err != nil || len(left) != 0 {
		t.Errorf("giving up: %d entries, cookie %q, %v", n, left, err)
	}
	refused("after giving up", c, all, next)
	_, cookie, _ = page(c, all, 2, nil, 0)
	if err := c.Bind(service, password); err != nil {
		t.Fatal(err)
	}
	refused("after another bind", c, all, cookie)
}

func TestSizeLimitCountsAllPages(t *testing.T) {
	c := bound(t, start(t, Config{}), service)
	n, cookie, err := page(c, "(objectClass=*)", 2, nil, 3)
	if n != 2 || err != nil {
		t.Fatalf("first page: %d entries, %v", n, err)
	}
	if n, cookie, err = page(c, "(objectClass=*)", 2, cookie, 3); n != 1 || len(cookie) > 0 || code(err) != goldap.LDAPResultSizeLimitExceeded {
		t.Errorf("second page: %d entries, cookie %q, %v; want 1 and code 4", n, cookie, err)
	}
}

func TestOpenPagesAreFew(t *testing.T) {
	c := bound(t, start(t, Config{}), service)
	_, first, err := page(c, "(objectClass=*)", 2, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range maxPages {
		if _, _, err := page(c, "(objectClass=*)", 2, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := page(c, "(objectClass=*)", 2, first, 0); code(err) != goldap.LDAPResultUnwillingToPerform {
		t.Errorf("the oldest of %d searches: %v, want 53", maxPages+1, err)
	}
}

func TestCriticalControls(t *testing.T) {
	c := bound(t, start(t, Config{}), service)
	for _, tt := range []struct {
		name string
		ctl  goldap.Control
		want uint16
	}{
		{"an unknown one refuses the search", goldap.NewControlString("1.2.3.4", true, ""), goldap.LDAPResultUnavailableCriticalExtension},
		{"unless it is not critical", goldap.NewControlString("1.2.3.4", false, ""), 0},
		{"manageDsaIT is fine", goldap.NewControlManageDsaIT(true), 0},
		{"domain scope is fine", goldap.NewControlString(oidDomainScope, true, ""), 0},
		{"a paging control that says nothing is malformed", goldap.NewControlString(oidPaging, true, "x"), goldap.LDAPResultProtocolError},
	} {
		q := ask("(uid=alice)")
		q.Controls = []goldap.Control{tt.ctl}
		if _, err := c.Search(q); code(err) != tt.want {
			t.Errorf("%s: %v, want code %d", tt.name, err, tt.want)
		}
	}
	paging := goldap.NewControlString(oidPaging, true, "")
	if _, err := c.SimpleBind(goldap.NewSimpleBindRequest(service, password, []goldap.Control{paging})); code(err) != goldap.LDAPResultUnavailableCriticalExtension {
		t.Errorf("critical paging of a bind: %v, want 12", err)
	}
}

func TestCompare(t *testing.T) {
	const alice = "cn=alice,ou=people," + suffix
	c := bound(t, start(t, Config{}), service)
	tests := []struct {
		name            string
		dn, attr, value string
		want            bool
		code            uint16
	}{
		{"a value it has, in other letters", alice, "MAIL", "ALICE@corp.example.com", true, 0},
		{"a value it has not", alice, "mail", "bob@corp.example.com", false, 0},
		{"a group it is in", alice, "memberOf", "CN=DEV, OU=Groups," + suffix, true, 0},
		{"an attribute it has not", alice, "telephoneNumber", "1", false, goldap.LDAPResultNoSuchAttribute},
		{"an attribute that nobody has", alice, "nosuch", "1", false, goldap.LDAPResultUndefinedAttributeType},
		{"a value that cannot be", alice, "uidNumber", "x", false, goldap.LDAPResultInvalidAttributeSyntax},
		{"its password", alice, "userPassword", password, false, goldap.LDAPResultInsufficientAccessRights},
		{"an entry that is not there", "CN=nobody," + suffix, "cn", "x", false, goldap.LDAPResultNoSuchObject},
		{"a name that is no DN", "alice", "cn", "x", false, goldap.LDAPResultInvalidDNSyntax},
	}
	for _, tt := range tests {
		got, err := c.Compare(tt.dn, tt.attr, tt.value)
		if got != tt.want || code(err) != tt.code {
			t.Errorf("%s: %v, %v; want %v, code %d", tt.name, got, err, tt.want, tt.code)
		}
	}
}

func TestTheDirectoryIsReadOnly(t *testing.T) {
	const alice = "CN=Alice,OU=People," + suffix
	c := bound(t, start(t, Config{}), alice)
	if err := c.Modify(goldap.NewModifyRequest(alice, nil)); err != nil {
		t.Errorf("a change of nothing: %v", err)
	}
	if err := c.Modify(goldap.NewModifyRequest("CN=nobody,"+suffix, nil)); code(err) != goldap.LDAPResultNoSuchObject {
		t.Errorf("a change of nobody: %v, want 32", err)
	}
	change := goldap.NewModifyRequest(alice, nil)
	change.Replace("mail", []string{"x"})
	for name, err := range map[string]error{
		"modify": c.Modify(change),
		"add":    c.Add(goldap.NewAddRequest("CN=new,"+suffix, nil)),
		"delete": c.Del(goldap.NewDelRequest(alice, nil)),
		"rename": c.ModifyDN(goldap.NewModifyDNRequest(alice, "CN=Al", true, "")),
	} {
		if code(err) != goldap.LDAPResultUnwillingToPerform {
			t.Errorf("%s: %v, want 53", name, err)
		}
	}
}

func TestActiveDirectoryAttributes(t *testing.T) {
	s := start(t, Config{ActiveDirectory: true})
	put(t, s, "CN=Ann,OU=People,"+suffix, map[string]string{
		"entryUUID": "00112233-4455-6677-8899-aabbccddeeff", "objectSid": "S-1-5-21-1-2-3-1105",
		"objectCategory": "CN=Person,CN=Schema,CN=Configuration," + suffix,
	})
	c := bound(t, s, service)
	guid := "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	for _, filter := range []string{
		"(objectGUID=" + goldap.EscapeFilter(guid) + ")", "(objectCategory=person)", "(objectSid=S-1-5-21-1-2-3-1105)",
		`(objectSid=\01\05\00\00\00\00\00\05\15\00\00\00\01\00\00\00\02\00\00\00\03\00\00\00\51\04\00\00)`,
		"(distinguishedName=cn=ann,ou=people," + suffix + ")",
	} {
		r, err := c.Search(ask(filter, "objectGUID"))
		if err != nil || len(r.Entries) != 1 {
			t.Errorf("%s: %d entries, %v", filter, len(r.Entries), err)
			continue
		}
		if got := string(r.Entries[0].GetRawAttributeValue("objectGUID")); got != guid {
			t.Errorf("objectGUID = %x, want %x", got, guid)
		}
	}
}
