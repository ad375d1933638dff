package directory

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLDIF(t *testing.T) {
	type attributes = map[string][]string
	tests := []struct {
		name string
		in   string
		want []Entry
	}{
		{"nothing", "", nil},
		{"a version and no record", "version: 1\n", nil},
		{"values in order", "dn: CN=a\nmail: 1\nmail: 2\n", []Entry{{"CN=a", attributes{"mail": {"1", "2"}}}}},
		{"one attribute in two spellings", "dn: CN=a\nMail: 1\nmail: 2\n", []Entry{{"CN=a", attributes{"Mail": {"1", "2"}}}}},
		{"two records", "dn: CN=a\n\n\n\ndn: CN=b\n", []Entry{{"CN=a", attributes{}}, {"CN=b", attributes{}}}},
		{"lines that go on", "dn: CN=a\n b\n  c\nsn: x\n", []Entry{{"CN=ab c", attributes{"sn": {"x"}}}}},
		{"comments that go on", "# one\n two\ndn: CN=a\n# three\nsn: x\n", []Entry{{"CN=a", attributes{"sn": {"x"}}}}},
		{"base64", "dn:: Q049Wm/Dqw==\njpegPhoto:: AP8=\n", []Entry{{"CN=Zoë", attributes{"jpegPhoto": {"\x00\xff"}}}}},
		{"base64 that goes on", "dn: CN=a\nsn:: QUJD\n REVG\n", []Entry{{"CN=a", attributes{"sn": {"ABCDEF"}}}}},
		{"empty values", "dn:\nsn:\n", []Entry{{"", attributes{"sn": {""}}}}},
		{"options and OIDs", "dn: CN=a\ncn;lang-de: b\n2.5.4.4: c\n", []Entry{{"CN=a", attributes{"cn;lang-de": {"b"}, "2.5.4.4": {"c"}}}}},
		{"colons and trailing spaces in values", "dn: CN=a\nsn: b: c \n", []Entry{{"CN=a", attributes{"sn": {"b: c "}}}}},
		{"lines of Windows", "dn: CN=a\r\nsn: b\r\n\r\ndn: CN=b\r\n", []Entry{{"CN=a", attributes{"sn": {"b"}}}, {"CN=b", attributes{}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseLDIF(strings.NewReader(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadLDIFNamesItsLine(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"a value by URL would read a file", "dn: CN=a\nsn:< file:///etc/passwd\n", "line 2: values by URL"},
		{"change records", "dn: CN=a\nchangetype: delete\n", "line 2: change records"},
		{"a record without dn", "dn: CN=a\n\nsn: b\n", "line 3: a record must start with dn:"},
		{"a second dn", "dn: CN=a\nsn: b\ndn: CN=b\n", "line 3: a second dn:"},
		{"a line that is none", "dn: CN=a\n b\nsn\n", "line 3: want name: value"},
		{"a name with a space", "dn: CN=a\ns n: b\n", "line 2: want name: value"},
		{"base64 that is none", "dn: CN=a\nsn:: ***\n", "line 2: value of sn is not base64"},
		{"a continuation of nothing", " a\n", "line 1: a continuation of nothing"},
		{"a continuation after an empty line", "dn: CN=a\n\n b\n", "line 3: a continuation of nothing"},
		{"another version", "version: 2\n", "line 1: version"},
		{"a version later on", "dn: CN=a\n\nversion: 1\n", "line 3: a record must start with dn:"},
		{"a line without end", "dn: " + strings.Repeat("a", maxLine), "line 1: "},
		{"a line that goes on without end", "dn: CN=a\nsn: " + strings.Repeat("b\n ", maxLine), "line 2: longer"},
	}
	for _, tt := range tests {
		if _, err := ParseLDIF(strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q in it", tt.name, err, tt.want)
		}
	}
}

// writeLDIF writes entries so that ParseLDIF reads the same.
func writeLDIF(entries []Entry) string {
	var b strings.Builder
	line := func(name, v string) {
		fmt.Fprintf(&b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(v)))
	}
	for _, e := range entries {
		line("dn", e.DN)
		for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
			for _, v := range e.Attributes[name] {
				line(name, v)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// FuzzLDIF holds that what was read can be written and read again.
func FuzzLDIF(f *testing.F) {
	f.Add(testEntries)
	f.Add("version: 1\ndn:: Q049Wm/Dqw==\n# c\n  x\ncn;lang-de: a\n b\n")
	f.Add("dn: a\r\nsn:: \r\n")
	f.Fuzz(func(t *testing.T, in string) {
		first, err := ParseLDIF(strings.NewReader(in))
		if err != nil {
			return
		}
		again, err := ParseLDIF(strings.NewReader(writeLDIF(first)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("read, written, read (-first +again):\n%s", diff)
		}
	})
}
