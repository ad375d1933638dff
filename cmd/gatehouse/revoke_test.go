package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"gatehouse"
)

// ask sends JSON, or nothing, to one replica by itself.
func (f *fleet) ask(t testing.TB, r *replica, method, path string, in map[string]any, headers ...string) told {
	t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "aws.corp.example.com"
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = []string{headers[i+1]}
	}
	return send(t, req)
}

// letIn signs a program of ann's in: asked for at one replica, agreed to
// wherever nginx leads, fetched at another.
func (f *fleet) letIn(t testing.TB, b *browser) (client, tokens told) {
	t.Helper()
	one, other := f.replicas[0], f.replicas[len(f.replicas)-1]
	client = f.ask(t, one, "POST", "/oidc/client/register", map[string]any{"clientName": "a tool", "clientType": "public"})
	device := f.ask(t, one, "POST", "/oidc/device_authorization", map[string]any{"clientId": client.text("clientId"), "clientSecret": client.text("clientSecret")})
	b.agree(device.text("userCode"))
	tokens = f.ask(t, other, "POST", "/oidc/token", map[string]any{"clientId": client.text("clientId"), "clientSecret": client.text("clientSecret"),
		"deviceCode": device.text("deviceCode"), "grantType": "urn:ietf:params:oauth:grant-type:device_code"})
	if tokens.status != 200 {
		t.Fatalf("token: %d %s", tokens.status, tokens.raw)
	}
	return client, tokens
}

// credentials asks a replica for ann's keys.
func (f *fleet) credentials(t testing.TB, r *replica, access string) told {
	t.Helper()
	return f.ask(t, r, "GET", "/sso/federation/credentials?account_id=111122223333&role_name=Developer", nil, "x-amz-sso_bearer_token", access)
}

func TestRevokeEndsEverythingAtEveryReplica(t *testing.T) {
	t.Parallel()
	f := muster(t, 2)
	b := f.signIn(t)
	client, tokens := f.letIn(t, b)
	for _, r := range f.replicas {
		if res := f.through(t, b, r, "GET", "/"); res.StatusCode != 200 {
			t.Fatalf("%s answers a session with %d", r.address, res.StatusCode)
		}
		if a := f.credentials(t, r, tokens.text("accessToken")); a.status != 200 {
			t.Fatalf("%s answers a token with %d %s", r.address, a.status, a.raw)
		}
	}

	var said bytes.Buffer
	if code := run(t.Context(), []string{"revoke", "--config", f.replicas[0].config, "ann", "--reason", "left the company"}, &said, &said); code != exitDone {
		t.Fatalf("revoke ended with %d: %s", code, &said)
	}
	if !strings.Contains(said.String(), "ended 1 in browsers and 1 of programs") {
		t.Errorf("it says %q", &said)
	}
	for _, r := range f.replicas {
		if res := f.through(t, b, r, "GET", "/"); res.StatusCode == 200 {
			t.Errorf("%s still knows the session", r.address)
		}
		f.credentials(t, r, tokens.text("accessToken")).want(t, 401, "UnauthorizedException", "")
		f.ask(t, r, "POST", "/oidc/token", map[string]any{"clientId": client.text("clientId"), "clientSecret": client.text("clientSecret"),
			"grantType": "refresh_token", "refreshToken": tokens.text("refreshToken")}).want(t, 400, "InvalidGrantException", "invalid_grant")
	}
	events, err := f.store(t).Events(t.Context(), gatehouse.EventQuery{Kind: gatehouse.EventRevoked})
	if err != nil || len(events) != 1 || events[0].Username != "ann" || events[0].Count != 2 || events[0].Reason != "left the company" || events[0].Person == "" {
		t.Errorf("on the record: %+v, %v", events, err)
	}
	f.signIn(t) // the directory still lets her in
}

func TestWhomRevokeMeans(t *testing.T) {
	t.Parallel()
	r := openKeyroom(t)
	store := r.house.store
	for _, e := range []gatehouse.Event{
		{Person: "corp/gone", Username: "gone"}, {Person: "corp/old", Username: "twice"}, {Person: "corp/new", Username: "twice"},
	} {
		e.Kind = gatehouse.EventSignInAccepted
		if err := r.house.audit.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, person string
		code         int
		says         string
	}{
		{"a login name is asked of the directory", "bob", exitDone, "bob (corp/"},
		{"whom the directory has no more, the record knows", "gone", exitDone, "gone (corp/gone)"},
		{"an identity is itself", "corp/old", exitDone, "twice (corp/old)"},
		{"two people of one name are told apart", "twice", exitFailed, `"twice" was the name of corp/`},
		{"nobody is nobody", "nobody-at-all", exitFailed, "no directory knows"},
		{"a person must be named", "", exitFailed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said bytes.Buffer
			code := run(t.Context(), []string{"revoke", "--config", r.file, tt.person}, &said, &said)
			if code != tt.code || !strings.Contains(said.String(), tt.says) {
				t.Errorf("revoke %q ended with %d and %q, want %d and %q", tt.person, code, &said, tt.code, tt.says)
			}
		})
	}
	if events, err := store.Events(t.Context(), gatehouse.EventQuery{Kind: gatehouse.EventRevoked}); err != nil || len(events) != 3 {
		t.Errorf("%d endings on the record, %v; want 3", len(events), err)
	}
}
