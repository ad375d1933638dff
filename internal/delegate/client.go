package delegate

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// registered is how long a registration is good for. IAM Identity Center's
// last as long; the AWS CLI registers anew when this one's end is near.
const registered = 90 * 24 * time.Hour

// Bounds of a registration: its identifier travels in addresses.
const (
	longestName     = 128
	longestRedirect = 256
	mostRedirects   = 4
)

// Client is a program that has registered. Nobody vouches for its name.
type Client struct {
	Name      string   `json:"n"`
	Redirects []string `json:"r,omitempty"` // where an answer may lead; the port does not count
	Until     int64    `json:"u"`           // Unix seconds
	Nonce     string   `json:"x"`

	id string
}

// Registration is what a program gets for its registration.
type Registration struct {
	ClientID, ClientSecret string
	Issued, Until          time.Time
}

// Register registers a program. Nothing is kept.
// Errors: a Refusal with invalid_client_metadata or invalid_redirect_uri.
func (k *Keeper) Register(name string, redirects []string) (Registration, error) {
	if name == "" || len(name) > longestName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return Registration{}, refuse("invalid_client_metadata", fmt.Sprintf("clientName: want 1 to %d printable characters", longestName))
	}
	if len(redirects) > mostRedirects {
		return Registration{}, refuse("invalid_redirect_uri", fmt.Sprintf("at most %d redirect URIs", mostRedirects))
	}
	for _, r := range redirects {
		if _, err := loopback(r); err != nil {
			return Registration{}, err
		}
	}
	now := k.d.Now()
	until := now.Add(registered)
	body, err := json.Marshal(Client{Name: name, Redirects: redirects, Until: until.Unix(), Nonce: rand.Text()[:12]})
	if err != nil {
		return Registration{}, err
	}
	id := text.EncodeToString(body)
	id += "." + k.mark("client", id)
	return Registration{ClientID: id, ClientSecret: k.mark("client secret", id), Issued: now, Until: until}, nil
}

// Client is the program that was registered as id.
// Errors: a Refusal with invalid_client.
func (k *Keeper) Client(id string) (Client, error) {
	body, mark, ok := strings.Cut(id, ".")
	if !ok || !k.marked(mark, "client", body) {
		return Client{}, refuse("invalid_client", "this client is not registered here")
	}
	raw, err := text.DecodeString(body)
	var c Client
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return Client{}, fmt.Errorf("a client that was marked: %w", err)
	}
	if k.d.Now().Unix() >= c.Until {
		return Client{}, refuse("invalid_client", "this registration has expired; register again")
	}
	c.id = id
	return c, nil
}

// Authenticate is Client for whoever also knows its secret.
func (k *Keeper) Authenticate(id, secret string) (Client, error) {
	c, err := k.Client(id)
	if err == nil && !k.marked(secret, "client secret", id) {
		err = refuse("invalid_client", "the client secret is wrong")
	}
	if err != nil {
		return Client{}, err
	}
	return c, nil
}

// loopback reads a redirect URI: plain http on this machine, nothing else. The
// program listens there for one answer (RFC 8252 §7.3).
func loopback(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > longestRedirect || u.Scheme != "http" || u.User != nil || u.Fragment != "" || u.Opaque != "" || !local(u.Hostname()) ||
		strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return nil, refuse("invalid_redirect_uri", "want http on 127.0.0.1, [::1] or localhost")
	}
	return u, nil
}

func local(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() && ip.Zone() == ""
}

// mayLeadTo reports whether an answer for c may lead to raw: one that it has
// registered, on any port (RFC 8252 §7.3).
func (c Client) mayLeadTo(raw string) bool {
	asked, err := loopback(raw)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(c.Redirects, func(r string) bool {
		own, err := loopback(r)
		return err == nil && own.Hostname() == asked.Hostname() && own.EscapedPath() == asked.EscapedPath() && own.RawQuery == asked.RawQuery
	})
}
