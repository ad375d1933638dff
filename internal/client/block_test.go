package client

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/export"
)

var (
	config = export.AWSConfig{Portal: "https://aws.corp.example.com", Region: "eu-west-1"}
	roles  = []export.Place{
		{Account: "111122223333", Name: "Payments", Environment: "prod", Role: "Admin", Region: "eu-central-1"},
		{Account: "444455556666", Name: "Sandbox", Role: "PowerUser"},
	}
)

func merge(t testing.TB, old string, all []export.Place) string {
	t.Helper()
	merged, _, err := Merge(old, config, all)
	if err != nil {
		t.Fatal(err)
	}
	return merged
}

func TestWhatIsNotOursStays(t *testing.T) {
	for name, old := range map[string]string{
		"nothing": "", "a comment": "# mine", "a profile": "[default]\nregion = eu-west-1\n", "no end of line": "[profile a]\nregion = x",
		"Windows' lines": "[profile a]\r\nregion = x\r\n", "what nobody can read": "[[[\x00\n= =\n", "a block of another tool": "# BEGIN other\n[profile x]\n# END other\n",
	} {
		t.Run(name, func(t *testing.T) {
			first := merge(t, old, roles)
			if !strings.HasPrefix(first, old) {
				t.Errorf("it begins with something else:\n%q", first)
			}
			if again := merge(t, first, roles); again != first {
				t.Errorf("a second time changes it:\n%s", Diff(first, again))
			}
			after := first + "\n# after\n[profile last]\n"
			stale := merge(t, after, roles[:1])
			if !strings.HasPrefix(stale, old) || !strings.HasSuffix(stale, "\n# after\n[profile last]\n") {
				t.Errorf("what stands around it has changed:\n%s", Diff(after, stale))
			}
			if strings.Contains(stale, "sandbox-poweruser") || !strings.Contains(stale, "payments-admin") {
				t.Errorf("a role that is gone is still there:\n%s", stale)
			}
		})
	}
}

func TestWhatSomebodyMustMend(t *testing.T) {
	for name, old := range map[string]string{
		"a beginning without an end": blockBegin + "\n[profile a]\n", "an end without a beginning": "[profile a]\n" + blockEnd + "\n",
		"two blocks":               blockBegin + "\n" + blockEnd + "\n" + blockBegin + "\n" + blockEnd + "\n",
		"a session of that name":   "[sso-session gatehouse]\n",
		"endpoints of that name":   "[ services   gatehouse ]\n",
		"the end before the start": blockEnd + "\n" + blockBegin + "\n",
	} {
		if merged, _, err := Merge(old, config, roles); err == nil {
			t.Errorf("%s is taken:\n%s", name, merged)
		}
	}
}

func TestAProfileOfTheirOwnIsKept(t *testing.T) {
	merged, kept, err := Merge("[profile payments-admin]\nregion = mine\n", config, roles)
	if err != nil || !slices.Equal(kept, []string{"payments-admin"}) || strings.Count(merged, "[profile payments-admin]") != 1 {
		t.Errorf("kept %q, %v:\n%s", kept, err, merged)
	}
}

func TestTheFileIsReplacedWholeForNobodyElseToRead(t *testing.T) {
	l := &Laptop{Home: t.TempDir(), Getenv: func(string) string { return "" }}
	real := filepath.Join(t.TempDir(), "dotfiles", "config")
	if err := os.MkdirAll(filepath.Dir(real), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(real, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(l.ConfigFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, l.ConfigFile()); err != nil {
		t.Fatal(err)
	}
	if err := l.WriteConfig("new"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(l.ConfigFile())
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info.Mode(), err)
	}
	info, err = os.Stat(real)
	text, _ := os.ReadFile(real)
	if err != nil || info.Mode().Perm() != 0o600 || string(text) != "new" {
		t.Errorf("mode %v, text %q, %v", info.Mode(), text, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(real)); len(left) != 1 {
		t.Errorf("%d files are left behind", len(left))
	}
}

func TestDiff(t *testing.T) {
	tests := []struct{ old, new, want string }{
		{"a\nb\nc\n", "a\nx\nc\n", "-b\n+x\n"},
		{"", "a\n", "+a\n"},
		{"a\n", "", "-a\n"},
		{"a\nb\n", "a\nb\n", ""},
		{"a\nb\nc\nd\n", "a\nc\nd\ne\n", "-b\n+e\n"},
	}
	for _, tt := range tests {
		if got := Diff(tt.old, tt.new); got != tt.want {
			t.Errorf("Diff(%q, %q) = %q, want %q", tt.old, tt.new, got, tt.want)
		}
	}
	var long strings.Builder
	for i := range 5000 {
		fmt.Fprintln(&long, i)
	}
	if got := Diff(long.String(), strings.ReplaceAll(long.String(), "\n", "x\n")); strings.Count(got, "\n") != 10_000 {
		t.Errorf("a file that changes whole has %d lines of difference", strings.Count(got, "\n"))
	}
}

func TestPortal(t *testing.T) {
	l := &Laptop{Config: t.TempDir(), Getenv: func(string) string { return "" }}
	for in, want := range map[string]string{
		"https://aws.corp.example.com": "https://aws.corp.example.com", "https://aws.corp.example.com/": "https://aws.corp.example.com",
		"http://localhost:8080": "http://localhost:8080", "http://127.0.0.1:1": "http://127.0.0.1:1",
		"http://aws.corp.example.com": "", "http://localhost.evil.example": "", "aws.corp.example.com": "", "https://a@b": "", "https://a/b": "", "ftp://a": "", "https://": "",
	} {
		if got, err := l.Portal(in); got != want || (err == nil) != (want != "") {
			t.Errorf("Portal(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add("[default]\n" + blockBegin + "\n[profile a]\n" + blockEnd + "\n[profile b]\n")
	f.Add("# BEGIN gatehouse\n")
	f.Fuzz(func(t *testing.T, old string) {
		first, _, err := Merge(old, config, roles)
		if err != nil {
			return
		}
		again, _, err := Merge(first, config, roles)
		if err != nil || again != first {
			t.Errorf("a second time: %v\n%s", err, Diff(first, again))
		}
	})
}
