package web

import (
	"net/url"
	"strings"
	"testing"
)

func TestLocalPath(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"the portal", "/", "/"},
		{"a search in the portal", "/?q=pay", "/?q=pay"},
		{"a role's page", "/roles/111122223333/ReadOnly", "/roles/111122223333/ReadOnly"},
		{"with its query", "/roles/111122223333/Read.Only+x=1,@y?duration=3600&destination=https%3A%2F%2Fconsole.aws.amazon.com", "/roles/111122223333/Read.Only+x=1,@y?duration=3600&destination=https%3A%2F%2Fconsole.aws.amazon.com"},
		{"a shared link", "/go/111122223333/ReadOnly", "/go/111122223333/ReadOnly"},
		{"a shared link by the account's name", "/go/data-lake/ReadOnly?region=eu-west-1", "/go/data-lake/ReadOnly?region=eu-west-1"},
		{"a shared link without a role", "/go/payments", "/go/payments"},
		{"a console's address to be found", "/go?url=https%3A%2F%2Fconsole.aws.amazon.com%2F", "/go?url=https%3A%2F%2Fconsole.aws.amazon.com%2F"},
		{"why not", "/why/111122223333/Admin", "/why/111122223333/Admin"},
		{"a page of one's own", "/me/history", "/me/history"},
		{"a SAML request that waits", "/saml/continue?id=abc", "/saml/continue?id=abc"},
		{"a SAML request by its handle", "/saml/continue/AbC-_9", "/saml/continue/AbC-_9"},
		{"a fragment is dropped", "/roles/111122223333/ReadOnly#x", "/roles/111122223333/ReadOnly"},

		{"nothing", "", ""},
		{"another site", "https://evil.example/", ""},
		{"another site without a scheme", "//evil.example", ""},
		{"another site by three slashes", "///evil.example", ""},
		{"another site by a backslash", `/\evil.example`, ""},
		{"another site by backslashes", `\\evil.example`, ""},
		{"another site behind a tab that browsers drop", "/\t/evil.example", ""},
		{"another site behind a line end", "/\n/evil.example", ""},
		{"another site behind a blank", " //evil.example", ""},
		{"a header injection", "/\r\nSet-Cookie: a=b", ""},
		{"NUL", "/\x00", ""},
		{"a script", "javascript:alert(1)", ""},
		{"data", "data:text/html,x", ""},
		{"a path that is not on the list", "/login", ""},
		{"sign-out is no place to return to", "/logout", ""},
		{"an asset", "/static/gatehouse.css", ""},
		{"a path that only begins like one on the list", "/saml/continued", ""},
		{"another path of the protocol door", "/saml/sso?SAMLRequest=x", ""},
		{"deeper than a role", "/roles/111122223333/ReadOnly/x", ""},
		{"deeper than a shared link", "/go/payments/ReadOnly/x", ""},
		{"an account's name that is none", "/go/..", ""},
		{"a page of one's own that only answers forms", "/me/favourites", ""},
		{"a terminal's door", "/pickup", ""},
		{"an account that is none", "/roles/11112222333/ReadOnly", ""},
		{"a role that is none", "/roles/111122223333/Read Only", ""},
		{"an escaped slash", "/roles/111122223333/..%2f..%2flogout", ""},
		{"two slashes escaped", "/%2f/evil.example", ""},
		{"not UTF-8", "/?q=\xff", ""},
		{"too long", "/?q=" + strings.Repeat("a", 5000), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := localPath(tt.raw); got != tt.want {
				t.Errorf("localPath(%q) = %q, want %q", tt.raw, got, tt.want)
			}
		})
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "/roles/111122223333/ReadOnly?x=%2f", "//evil.example", `/\evil`, "/\t/e", "/saml/continue/abc", "/go/111122223333/a@b", "https:/x", "/%2e%2e//e", "/?//evil", "//", "//?x"} {
		f.Add(s)
	}
	origin, err := url.Parse(publicURL + "/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := localPath(raw)
		if got == "" {
			return
		}
		if got[0] != '/' || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t\x00 ") {
			t.Fatalf("localPath(%q) = %q, which a browser may read as another site", raw, got)
		}
		u, err := origin.Parse(got)
		if err != nil || u.Scheme+"://"+u.Host != publicURL || !returnable(u.Path) {
			t.Fatalf("localPath(%q) = %q leads to %v (%v)", raw, got, u, err)
		}
		if again := localPath(got); again != got {
			t.Fatalf("localPath(%q) = %q, and that again %q", raw, got, again)
		}
	})
}
