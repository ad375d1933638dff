package directory

import (
	"slices"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// testTree holds the entries of the tests, without a server around it.
func testTree(t testing.TB) *snapshot {
	t.Helper()
	tr, err := newTree(suffix, false, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := ParseLDIF(strings.NewReader(testEntries))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := tr.put(e); err != nil {
			t.Fatal(err)
		}
	}
	return tr.snapshot()
}

// compile makes go-ldap's reading of a filter into ours.
func compile(t testing.TB, text string) filter {
	t.Helper()
	p, err := goldap.CompileFilter(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	p, err = decode(p.Bytes())
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	f, err := parseFilter(p)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

func TestFiltersHaveThreeValues(t *testing.T) {
	const (
		yes   = "(uid=alice)"
		no    = "(uid=bob)"
		maybe = "(nosuchattribute=x)"
	)
	tests := []struct {
		name   string
		filter string
		want   verity
	}{
		{"an unknown attribute is undefined", maybe, isUndefined},
		{"so is its negation", "(!" + maybe + ")", isUndefined},
		{"false and undefined is false", "(&" + no + maybe + ")", isFalse},
		{"undefined and false is false", "(&" + maybe + no + ")", isFalse},
		{"true and undefined is undefined", "(&" + yes + maybe + ")", isUndefined},
		{"true or undefined is true", "(|" + yes + maybe + ")", isTrue},
		{"undefined or true is true", "(|" + maybe + yes + ")", isTrue},
		{"false or undefined is undefined", "(|" + no + maybe + ")", isUndefined},
		{"not of a false and is true", "(!(&" + no + maybe + "))", isTrue},
		{"not of an undefined or is undefined", "(!(|" + no + maybe + "))", isUndefined},
		{"an empty and is true", "(&)", isTrue},
		{"an empty or is false", "(|)", isFalse},
		{"a known attribute that is absent is false", "(telephoneNumber=1)", isFalse},
		{"and its negation true", "(!(telephoneNumber=1))", isTrue},
		{"presence of an unknown attribute is false, not undefined", "(nosuchattribute=*)", isFalse},
		{"a value that is no DN is undefined for member", "(member=alice)", isUndefined},
		{"a value that is no number is undefined for uidNumber", "(uidNumber=x)", isUndefined},
		{"a value that is no time is undefined", "(createTimestamp>=yesterday)", isUndefined},
		{"substrings of a DN are undefined", "(manager=cn=alice*)", isUndefined},
		{"substrings of a number are undefined", "(uidNumber=10*)", isUndefined},
		{"order of DNs is undefined", "(member>=cn=a)", isUndefined},
		{"an unknown rule is undefined", "(uid:1.2.3.4:=alice)", isUndefined},
		{"in-chain without an attribute that holds DNs is undefined", "(uid:1.2.840.113556.1.4.1941:=cn=a)", isUndefined},
		{"bits of something that is no number are undefined", "(uid:1.2.840.113556.1.4.803:=x)", isUndefined},
		{"a password is undefined, right", "(userPassword=correct horse)", isUndefined},
		{"or wrong", "(userPassword=x)", isUndefined},
		{"or negated", "(!(userPassword=x))", isUndefined},
		{"or by its OID", "(2.5.4.35=correct horse)", isUndefined},
		{"its presence too", "(userPassword=*)", isUndefined},
		{"and by substrings", "(userPassword=c*)", isUndefined},
		{"and by rule", "(userPassword:caseExactMatch:=correct horse)", isUndefined},
		{"and by a rule without an attribute", "(:caseExactMatch:=correct horse)", isFalse},
	}
	snap := testTree(t)
	alice := snap.byKey["cn=alice,ou=people,dc=corp,dc=example,dc=com"]
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := compile(t, tt.filter)(newScan(snap), alice); got != tt.want {
				t.Errorf("%s on Alice is %d, want %d (false, undefined, true)", tt.filter, got, tt.want)
			}
		})
	}
}

func TestFiltersFindWhatTheySay(t *testing.T) {
	const in = ":1.2.840.113556.1.4.1941:="
	const alice, people, groups = "CN=Alice,OU=People," + suffix, ",OU=People," + suffix, ",OU=Groups," + suffix
	tests := []struct {
		name   string
		filter string
		want   string // first RDNs
	}{
		{"a wildcard that was escaped is a star", `(uid=\2a)`, ""},
		{"a DN value of another level does not match", "(member=CN=Alice," + suffix + ")", ""},
		{"text ignores case", "(UID=ALICE)", "CN=Alice"},
		{"text ignores runs of spaces", "(cn=doe,   john)", `CN=Doe\, John`},
		{"text ignores case beyond ASCII", "(sn=ÅNGSTRÖM)", "CN=Zoë+UID=zoe"},
		{"a value of many is enough", "(mail=A.Archer@corp.example.com)", "CN=Alice"},
		{"an attribute by another name", "(surname=doe)", `CN=Doe\, John`},
		{"an attribute by its OID", "(2.5.4.4=doe)", `CN=Doe\, John`},
		{"options are not asked for, so they do not matter", "(cn=alissa)", "CN=Alice"},
		{"options asked for must be there", "(cn;lang-de=alice)", ""},
		{"and are found", "(cn;lang-de=ALISSA)", "CN=Alice"},
		{"presence", "(uidNumber=*)", `CN=Alice CN=Doe\, John`},
		{"initial", "(uid=al*)", "CN=Alice"},
		{"final", "(uid=*OE)", `CN=Doe\, John CN=Zoë+UID=zoe`},
		{"middle", "(mail=*archer*)", "CN=Alice"},
		{"pieces in order", "(mail=a*c*corp*com)", "CN=Alice"},
		{"pieces out of order", "(mail=a*com*corp*)", ""},
		{"pieces do not overlap", "(uid=ali*ice)", ""},
		{"a space at the edge of a piece counts", "(cn=doe, *)", `CN=Doe\, John`},
		{"approximately", "(sn~=DOE)", `CN=Doe\, John`},
		{"numbers are ordered as numbers", "(uidNumber>=100)", "CN=Alice"},
		{"at most includes the value itself", "(uidNumber<=20)", `CN=Doe\, John`},
		{"leading zeros make no number", "(|(uidNumber=0020)(!(uidNumber=0020)))", ""},
		{"text is ordered as text", "(&(uid>=jdoe)(sn=*))", `CN=Doe\, John CN=Zoë+UID=zoe`},
		{"times are ordered in time", "(pwdChangedTime<=20260101000001Z)", "CN=Zoë+UID=zoe"},
		{"times compare across zones", "(pwdChangedTime=20260101010000+01)", "CN=Zoë+UID=zoe"},
		{"not", "(&(objectClass=inetOrgPerson)(!(uid=alice)))", `CN=Doe\, John CN=Zoë+UID=zoe`},
		{"DNs with an escaped comma", `(member=cn=doe\5c, john` + people + ")", "CN=dev"},
		{"DNs with a hex escape and spaces", `(member=CN=Doe\5c2cJohn` + people + ")", ""},
		{"DNs with several parts to an RDN", "(uniqueMember=cn=zoë+uid=zoe" + people + ")", "CN=ring"},
		{"managers are DNs", "(manager=" + alice + ")", `CN=Doe\, John`},
		{"memberOf is computed", "(memberOf=CN=dev" + groups + ")", `CN=Alice CN=Doe\, John`},
		{"and for uniqueMember", "(memberOf=CN=ring" + groups + ")", "CN=Zoë+UID=zoe CN=staff"},
		{"groups in a chain and a circle", "(member" + in + alice + ")", "CN=dev CN=staff CN=ring"},
		{"a circle leads back to itself", "(member" + in + "CN=ring" + groups + ")", "CN=staff CN=ring"},
		{"nobody's chain is empty", "(member" + in + "CN=nobody" + people + ")", ""},
		{"a chain the other way", "(&(uid=*)(memberOf" + in + "CN=staff" + groups + "))", `CN=Alice CN=Doe\, John CN=Zoë+UID=zoe`},
		{"all bits of a negative number", "(groupType:1.2.840.113556.1.4.803:=2147483650)", "CN=ring"},
		{"one bit too many", "(groupType:1.2.840.113556.1.4.803:=2147483654)", ""},
		{"any bit", "(groupType:1.2.840.113556.1.4.804:=6)", "CN=ring"},
		{"an exact rule minds case", "(uid:caseExactMatch:=ALICE)", ""},
		{"a rule by OID", "(uid:2.5.13.5:=alice)", "CN=Alice"},
		{"a rule by name, in any case", "(uid:CASEIGNOREMATCH:=ALICE)", "CN=Alice"},
		{"a rule for all attributes", "(:caseIgnoreMatch:=archer)", "CN=Alice"},
		{"the DN counts when asked", "(&(objectClass=inetOrgPerson)(ou:dn:=people)(uid=alice))", "CN=Alice"},
		{"and only then", "(ou:caseIgnoreMatch:=people)", ""},
		{"operational attributes", "(entryUUID=11111111-2222-3333-4444-555555555555)", "CN=Alice"},
		{"the entry's own DN", "(entryDN=cn=alice,  ou=people," + suffix + ")", "CN=Alice"},
	}
	snap := testTree(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, run := compile(t, tt.filter), newScan(snap)
			var got []string
			for _, e := range snap.order {
				if f(run, e) == isTrue {
					got = append(got, strings.TrimSuffix(strings.TrimSuffix(e.source.DN, people), groups))
				}
			}
			if joined := strings.Join(got, " "); joined != tt.want {
				t.Errorf("%s found %q, want %q", tt.filter, joined, tt.want)
			}
		})
	}
}

func TestPacketsThatAreNoFilterAreRefused(t *testing.T) {
	ctx := func(kind ber.Type, tag ber.Tag, children ...*ber.Packet) *ber.Packet {
		p := ber.Encode(ber.ClassContext, kind, tag, nil, "")
		for _, c := range children {
			p.AppendChild(c)
		}
		return p
	}
	piece := func(tag ber.Tag) *ber.Packet {
		return ber.NewString(ber.ClassContext, ber.TypePrimitive, tag, "a", "")
	}
	sequence := func(children ...*ber.Packet) *ber.Packet {
		p := ber.NewSequence("")
		for _, c := range children {
			p.AppendChild(c)
		}
		return p
	}
	group := ber.TypeConstructed
	tests := []struct {
		name   string
		packet *ber.Packet
	}{
		{"an unknown choice", ctx(group, 10)},
		{"a universal tag", octetString("a")},
		{"presence as a group", ctx(group, filterPresent)},
		{"and without a group", ctx(ber.TypePrimitive, filterAnd)},
		{"not of nothing", ctx(group, filterNot)},
		{"not of two", ctx(group, filterNot, ctx(group, filterAnd), ctx(group, filterAnd))},
		{"equality without a value", ctx(group, filterEquality, octetString("a"))},
		{"equality of a group", ctx(group, filterEquality, octetString("a"), sequence())},
		{"substrings without a piece", ctx(group, filterSubstrings, octetString("a"), sequence())},
		{"an initial piece in the middle", ctx(group, filterSubstrings, octetString("a"), sequence(piece(1), piece(0)))},
		{"a final piece in the middle", ctx(group, filterSubstrings, octetString("a"), sequence(piece(2), piece(1)))},
		{"an unknown piece", ctx(group, filterSubstrings, octetString("a"), sequence(piece(3)))},
		{"a rule without a value", ctx(group, filterExtensible, piece(1), piece(2))},
		{"neither rule nor attribute", ctx(group, filterExtensible, piece(3))},
		{"a fault deep inside", ctx(group, filterAnd, ctx(group, filterOr, ctx(group, filterNot)))},
	}
	for _, tt := range tests {
		p, err := decode(tt.packet.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if _, err := parseFilter(p); err == nil {
			t.Errorf("%s was accepted", tt.name)
		}
	}
}

// FuzzFilter holds that no filter makes the server panic, whatever it says,
// and that its negation is its opposite.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		"(&(objectClass=*)(|(uid=a*b*c)(!(cn~=x))))", "(member:1.2.840.113556.1.4.1941:=CN=dev,OU=Groups," + suffix + ")",
		"(groupType:1.2.840.113556.1.4.803:=2)", "(:dn:caseIgnoreMatch:=x)", "(uidNumber>=3)", "(createTimestamp<=20260101000000Z)",
	} {
		p, err := goldap.CompileFilter(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Bytes())
	}
	snap := testTree(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decode(data)
		if err != nil {
			return
		}
		match, err := parseFilter(p)
		if err != nil {
			return
		}
		not := ber.Encode(ber.ClassContext, ber.TypeConstructed, filterNot, nil, "")
		not.AppendChild(p)
		opposite, err := parseFilter(not)
		if err != nil {
			t.Fatal(err)
		}
		run := newScan(snap)
		if i := slices.IndexFunc(snap.order, func(e *entry) bool { return match(run, e)+opposite(run, e) != isTrue }); i >= 0 {
			t.Fatalf("on %s the filter and its negation agree", snap.order[i].source.DN)
		}
	})
}
