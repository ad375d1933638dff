package directory

import (
	"slices"
	"testing"
	"testing/quick"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// TestPartial: what a global catalogue has of an entry.
func TestPartial(t *testing.T) {
	group := func(kind string) Entry {
		return Entry{DN: "CN=g,DC=x", Attributes: map[string][]string{"groupType": {kind}, "MEMBER": {"CN=a,DC=x"}, "description": {"d"}, "sAMAccountName": {"g"}}}
	}
	for name, tt := range map[string]struct {
		entry Entry
		want  []string
	}{
		"members of a universal group":      {group("-2147483640"), []string{"MEMBER", "groupType", "sAMAccountName"}},
		"not of a global one":               {group("-2147483646"), []string{"groupType", "sAMAccountName"}},
		"nor of a local one":                {group("-2147483644"), []string{"groupType", "sAMAccountName"}},
		"nor of one without a kind":         {group("x"), []string{"groupType", "sAMAccountName"}},
		"no tokenGroups, nor what is local": {Entry{DN: "CN=a,DC=x", Attributes: map[string][]string{"cn": {"a"}, "tokenGroups": {"x"}, "department": {"y"}}}, []string{"cn"}},
	} {
		var got []string
		for a := range partial(tt.entry).Attributes {
			got = append(got, a)
		}
		if slices.Sort(got); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestRanges: asking for one range after the other brings every value once.
func TestRanges(t *testing.T) {
	a := &attribute{description: "member", base: "member"}
	for i := range 10 {
		a.values = append(a.values, value{raw: string(rune('a' + i))})
	}
	ask := func(most int, description string) (string, int) {
		list := ber.NewSequence("")
		list.AppendChild(octetString(description))
		s, ok := parseSelection(list)
		if !ok || !s.takes(a) {
			t.Fatalf("%s does not take member", description)
		}
		name, values := searchRequest{attributes: s, maxValues: most}.window(a)
		return name, len(values)
	}
	for _, tt := range []struct {
		most       int
		asked, got string
		values     int
	}{
		{0, "member", "member", 10}, {10, "member", "member", 10}, {4, "member", "member;range=0-3", 4},
		{4, "member;range=4-*", "member;range=4-7", 4}, {4, "Member;Range=8-*", "member;range=8-*", 2},
		{4, "member;range=10-*", "member;range=10-*", 0}, {4, "member;range=99-*", "member;range=99-*", 0},
	} {
		if name, n := ask(tt.most, tt.asked); name != tt.got || n != tt.values {
			t.Errorf("%s at %d: %s of %d, want %s of %d", tt.asked, tt.most, name, n, tt.got, tt.values)
		}
	}
	whatever := func(option string, most uint8) bool {
		d := description{base: "member", options: []string{option}}
		d.takeRange()
		_, values := searchRequest{attributes: selection{named: []description{d}}, maxValues: int(most)}.window(a)
		return len(values) <= 10 && (most == 0 || len(values) <= int(most))
	}
	for _, option := range []string{"range=", "range=-1-*", "range=99999999999999999999-*", "range=3", "binary", "range=9223372036854775807-*"} {
		if !whatever(option, 3) || !whatever(option, 0) {
			t.Errorf("%q", option)
		}
	}
	if err := quick.Check(whatever, nil); err != nil {
		t.Error(err)
	}
}
