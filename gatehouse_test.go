package gatehouse_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gatehouse"

	"github.com/google/go-cmp/cmp"
)

func TestRoleARNs(t *testing.T) {
	path := func(n int) string { return "/" + strings.Repeat("p", n-2) + "/" }
	for _, tc := range []struct {
		name, arn string
		want      gatehouse.Role
	}{
		{"a role", "arn:aws:iam::111122223333:role/Dev", gatehouse.Role{Partition: "aws", Account: "111122223333", Path: "/", Name: "Dev"}},
		{"a path is not part of the name", "arn:aws:iam::111122223333:role/a/b/Dev", gatehouse.Role{Partition: "aws", Account: "111122223333", Path: "/a/b/", Name: "Dev"}},
		{"another partition", "arn:aws-us-gov:iam::111122223333:role/Dev", gatehouse.Role{Partition: "aws-us-gov", Account: "111122223333", Path: "/", Name: "Dev"}},
		{"a path of 512", "arn:aws:iam::111122223333:role" + path(512) + "Dev", gatehouse.Role{Partition: "aws", Account: "111122223333", Path: path(512), Name: "Dev"}},
		{"a path of 513", "arn:aws:iam::111122223333:role" + path(513) + "Dev", gatehouse.Role{}},
		{"a name of 64", "arn:aws:iam::111122223333:role/" + strings.Repeat("n", 64), gatehouse.Role{Partition: "aws", Account: "111122223333", Path: "/", Name: strings.Repeat("n", 64)}},
		{"a name of 65", "arn:aws:iam::111122223333:role/" + strings.Repeat("n", 65), gatehouse.Role{}},
		{"nothing", "", gatehouse.Role{}},
		{"eleven digits", "arn:aws:iam::11112222333:role/Dev", gatehouse.Role{}},
		{"a user", "arn:aws:iam::111122223333:user/Dev", gatehouse.Role{}},
		{"an assumed role", "arn:aws:sts::111122223333:assumed-role/Dev/bob", gatehouse.Role{}},
		{"somebody else's partition", "arn:azure:iam::111122223333:role/Dev", gatehouse.Role{}},
		{"a space in the path", "arn:aws:iam::111122223333:role/a b/Dev", gatehouse.Role{}},
		{"a comma, which divides role from provider, in the name", "arn:aws:iam::111122223333:role/a,b", gatehouse.Role{Partition: "aws", Account: "111122223333", Path: "/", Name: "a,b"}},
		{"a second line", "arn:aws:iam::111122223333:role/Dev\narn:aws:iam::111122223333:role/Admin", gatehouse.Role{}},
		{"a line break at the end", "arn:aws:iam::111122223333:role/Dev\n", gatehouse.Role{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := gatehouse.ParseRoleARN(tc.arn)
			if (err == nil) != (tc.want != gatehouse.Role{}) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if err == nil && got.ARN() != tc.arn {
				t.Errorf("prints as %s", got.ARN())
			}
		})
	}
}

// What can be read prints as it was written.
func FuzzParseRoleARN(f *testing.F) {
	f.Add("arn:aws:iam::111122223333:role/a/b/Dev")
	f.Add("arn:aws-cn:iam::111122223333:role/Dev")
	f.Fuzz(func(t *testing.T, s string) {
		if role, err := gatehouse.ParseRoleARN(s); err == nil && role.ARN() != s {
			t.Errorf("%q prints as %q", s, role.ARN())
		}
	})
}

func TestWhatCountsAsOneClient(t *testing.T) {
	for _, tc := range []struct{ name, ip, want string }{
		{"an IPv4 address", "192.0.2.1", "192.0.2.1"},
		{"the same, written as IPv6", "::ffff:192.0.2.1", "192.0.2.1"},
		{"the network of an IPv6 address", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"its neighbour is the same client", "2001:db8:1:2::9", "2001:db8:1:2::/64"},
		{"the next network is another", "2001:db8:1:3::1", "2001:db8:1:3::/64"},
		{"a zone does not make another client", "fe80::1%eth0", "fe80::/64"},
		{"what is no address", "192.0.2.1:80", "unknown"},
		{"nothing", "", "unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := gatehouse.Network(tc.ip); got != tc.want {
				t.Errorf("Network(%q) = %q, want %q", tc.ip, got, tc.want)
			}
		})
	}
}

func TestSecretsAreNotSeen(t *testing.T) {
	for _, secret := range []any{gatehouse.Secret("hunter2"), gatehouse.Lent("hunter2")} {
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("a", "b", secret, "c", []any{secret})
		text, err := json.Marshal(map[string]any{"a": secret})
		if err != nil {
			t.Fatal(err)
		}
		seen := log.String() + string(text)
		for _, verb := range []string{"%v", "%s", "%q", "%x", "%d", "%+v", "%#v"} {
			seen += fmt.Sprintf(verb+verb, secret, struct{ In any }{secret})
		}
		for _, form := range []string{"hunter2", "68756e746572", "104 117", "aHVudGVy"} {
			if strings.Contains(seen, form) {
				t.Errorf("%T is seen as %s in %s", secret, form, seen)
			}
		}
	}
}
