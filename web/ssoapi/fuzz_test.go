package ssoapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/delegate"
	"gatehouse/internal/store"
)

// nobody is a broker that grants nothing to anybody.
type nobody struct{ delegate.Broker }

func (nobody) Entitlements(gatehouse.Session) []gatehouse.Entitlement { return nil }
func (nobody) Grant(context.Context, gatehouse.Session, gatehouse.Ask) (access.Grant, error) {
	return access.Grant{}, gatehouse.ErrNotEntitled
}

func door(tb testing.TB) *Door {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Config{URL: "sqlite://" + filepath.Join(tb.TempDir(), "g.db")}, [][]byte{[]byte(strings.Repeat("s", 32))}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	keeper := delegate.New(delegate.Deps{Broker: nobody{}, Records: s, Counters: s, Key: []byte("key"), Lasts: time.Hour, Most: 100})
	return New(Config{PublicURL: "https://gw"}, keeper, nobody{}, slog.New(slog.DiscardHandler), nil)
}

// Whatever a stranger sends, the answer is JSON, and a refusal has its type
// where clients look for it.
func FuzzStrangers(f *testing.F) {
	paths := []string{"/oidc/client/register", "/oidc/device_authorization", "/oidc/token", "/sso/assignment/accounts", "/sso/assignment/roles", "/sso/federation/credentials", "/sso/logout", "/oidc/", "/sso/"}
	f.Add(uint8(0), `{"clientName":"x","clientType":"public","scopes":["a"],"redirectUris":["http://127.0.0.1/oauth/callback"]}`, "")
	f.Add(uint8(2), `{"grantType":"refresh_token","clientId":"a.b","clientSecret":"c","refreshToken":"ghrt.a.1.b"}`, "")
	f.Add(uint8(5), "", "ghat.AAAA.1.b")
	f.Add(uint8(1), `{"clientId":null,"clientSecret":[]}`, "\x00")
	handler := door(f).Handler()
	f.Fuzz(func(t *testing.T, which uint8, body, token string) {
		path := paths[int(which)%len(paths)]
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
			r.Header["X-Amz-Sso_bearer_token"] = []string{token}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) || (w.Code != 200) != strings.HasSuffix(w.Header().Get("x-amzn-ErrorType"), "Exception") {
				t.Errorf("%s %s: %d %q %s", method, path, w.Code, w.Header().Get("x-amzn-ErrorType"), w.Body)
			}
			if w.Code == 200 && path != "/oidc/client/register" {
				t.Errorf("%s %s gives a stranger %s", method, path, w.Body)
			}
		}
	})
}

// SDKs tell what to do by these alone.
func TestErrorsOfThePortalAPI(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		kind   string
	}{
		{"a token that is over signs in anew", &delegate.Refusal{Code: "invalid_token"}, 401, "Unauthorized"},
		{"so does a person who left", gatehouse.ErrNoSession, 401, "Unauthorized"},
		{"a role that is not theirs must not: clients would sign them in for ever", gatehouse.ErrNotEntitled, 403, "Forbidden"},
		{"AWS's refusal is not tried again", &gatehouse.Refusal{Service: "STS", Code: "AccessDenied"}, 400, "InvalidRequest"},
		{"nonsense", &gatehouse.Invalid{Field: "role_name"}, 400, "InvalidRequest"},
		{"too many", &gatehouse.Throttled{}, 429, "TooManyRequests"},
		{"a silent directory is tried again", &gatehouse.Unavailable{What: "directory"}, 503, "ServiceUnavailable"},
		{"so is a record that cannot be written", gatehouse.ErrNotRecorded, 503, "ServiceUnavailable"},
		{"so is what took too long", context.DeadlineExceeded, 503, "ServiceUnavailable"},
		{"whatever else", errors.New("x"), 500, "InternalServer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if f := portal(tt.err); f.status != tt.status || f.kind != tt.kind {
				t.Errorf("%d %s, want %d %s", f.status, f.kind, tt.status, tt.kind)
			}
		})
	}
}

func TestPagesOfALongList(t *testing.T) {
	list := make([]int, 250)
	tests := []struct {
		query string
		size  int
		next  string
		bad   bool
	}{
		{"", 100, "100", false}, {"max_result=1000", 100, "100", false}, {"max_result=20&next_token=240", 10, "", false}, {"next_token=250", 0, "", false},
		{"next_token=99999", 0, "", false}, {"max_result=0", 0, "", true}, {"max_result=x", 0, "", true}, {"next_token=-1", 0, "", true}, {"next_token=abc", 0, "", true},
	}
	for _, tt := range tests {
		part, next, err := page(httptest.NewRequestWithContext(t.Context(), "GET", "/?"+tt.query, nil), list)
		got := ""
		if next != nil {
			got = *next
		}
		if (err != nil) != tt.bad || len(part) != tt.size || got != tt.next {
			t.Errorf("%s: %d, next %q, %v; want %d, %q", tt.query, len(part), got, err, tt.size, tt.next)
		}
	}
}
