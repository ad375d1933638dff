// Package client is the employee's side of Gatehouse: signing in from a
// terminal, the cached token, and what comes of it. It speaks the same API as
// the AWS CLI, and keeps the token where the AWS CLI and the SDKs keep theirs,
// so that either may begin and the other go on.
//
// Many processes may run at once: one of them refreshes the token, and the
// others wait for it. Nothing but tokens is written to disk, and keys never.
//
// On a laptop only this package reads the environment.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/export"
)

// ErrSignIn: there is no sign-in, or it is over.
var ErrSignIn = errors.New("not signed in, or not any more; try: gatehouse login")

// Laptop is the machine that somebody works on.
type Laptop struct {
	Home   string // the folder with .aws
	Config string // the folder for the portal's address
	Getenv func(string) string
	HTTP   *http.Client
	Now    func() time.Time
	Open   func(url string) error // shows a page in the person's browser
	Say    io.Writer              // what is said to the person, not to scripts
}

// Here is the machine that this process runs on.
func Here(say io.Writer) (*Laptop, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return nil, err
	}
	transport, err := transport(os.Getenv)
	if err != nil {
		return nil, err
	}
	return &Laptop{Home: home, Config: filepath.Join(config, "gatehouse"), Getenv: os.Getenv, Now: time.Now, Open: browse, Say: say,
		HTTP: &http.Client{Timeout: 30 * time.Second, Transport: transport}}, nil
}

// transport honours proxies, and the bundle of CA certificates that the AWS
// CLI and the SDKs are told by AWS_CA_BUNDLE, beside the system's own.
func transport(getenv func(string) string) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	file := getenv("AWS_CA_BUNDLE")
	if file == "" {
		return t, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %s holds no certificate", file)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// browse opens the person's browser and does not wait for it.
func browse(address string) error {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	c := exec.Command(name, args...)
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }()
	return nil
}

// remembered is the file with the portal's address.
func (l *Laptop) remembered() string { return filepath.Join(l.Config, "portal") }

// Portal is the portal's address: asked, else GATEHOUSE_URL, else the one of
// the last sign-in.
func (l *Laptop) Portal(asked string) (string, error) {
	if asked == "" {
		asked = l.Getenv("GATEHOUSE_URL")
	}
	if asked == "" {
		text, err := os.ReadFile(l.remembered())
		if err != nil {
			return "", errors.New("no portal is known yet; try: gatehouse login https://aws.corp.example.com")
		}
		asked = strings.TrimSpace(string(text))
	}
	u, err := url.Parse(asked)
	if err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("%q is no portal: want an address such as https://aws.corp.example.com", asked)
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return "", fmt.Errorf("%s: a portal has https; tokens would travel in the clear", asked)
	}
	return u.Scheme + "://" + u.Host, nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// remember keeps the portal's address for the commands to come.
func (l *Laptop) remember(portal string) error { return write(l.remembered(), []byte(portal+"\n")) }

// write replaces a file of the person's own, whole or not at all.
func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// refused is an answer of the API that is not 200.
type refused struct {
	status     int
	code, text string
}

func (e *refused) Error() string { return e.text }

// call speaks to the API. in is sent as JSON where it is not nil.
func (l *Laptop) call(ctx context.Context, method, address string, in, out any, token gatehouse.Secret) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	if token != "" {
		r.Header["x-amz-sso_bearer_token"] = []string{string(token)}
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := l.HTTP.Do(r)
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return &gatehouse.Unavailable{What: "portal", Name: r.URL.Host, Err: failed.Err}
	}
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return refusal(res.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s does not answer as a Gatehouse does", r.URL.Host)
	}
	return nil
}

func refusal(status int, text []byte) error {
	var said struct {
		Error       string
		Description string `json:"error_description"`
		Message     string
		Title       string // of a page's problem
	}
	e := &refused{status: status, text: fmt.Sprintf("the portal answered with status %d", status)}
	if json.Unmarshal(text, &said) != nil {
		return e
	}
	e.code = said.Error
	for _, s := range []string{said.Title, said.Description, said.Message} {
		if s != "" {
			e.text = printable(s)
		}
	}
	return e
}

// printable keeps what a server says from moving the cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// Roles is everything that the person may use.
type Roles struct {
	Roles       []export.Place `json:"roles"`
	Region      string         `json:"region"`
	STSEndpoint string         `json:"stsEndpoint"`
	Profiles    string         `json:"profiles"` // how the portal names them
}

// Roles asks for everything that the person may use.
func (l *Laptop) Roles(ctx context.Context, portal string) (Roles, error) {
	var all Roles
	err := l.authorized(ctx, portal, "/sso/gatehouse/roles", &all)
	return all, err
}

// Keys asks for credentials for a role: ACCOUNT/ROLE, the account by its
// number or its name.
func (l *Laptop) Keys(ctx context.Context, portal, role string) (gatehouse.Credentials, error) {
	account, name, ok := cutLast(role, "/")
	if !ok {
		return gatehouse.Credentials{}, fmt.Errorf("%q is no role: want ACCOUNT/ROLE, for example 111122223333/ReadOnly", role)
	}
	if !gatehouse.AccountID.MatchString(account) {
		place, _, err := l.Place(ctx, portal, role)
		if err != nil {
			return gatehouse.Credentials{}, err
		}
		account = place.Account
	}
	var out struct {
		RoleCredentials struct {
			AccessKeyID     string `json:"accessKeyId"`
			SecretAccessKey string `json:"secretAccessKey"`
			SessionToken    string `json:"sessionToken"`
			Expiration      int64  `json:"expiration"`
		} `json:"roleCredentials"`
	}
	query := url.Values{"account_id": {account}, "role_name": {name}}.Encode()
	if err := l.authorized(ctx, portal, "/sso/federation/credentials?"+query, &out); err != nil {
		return gatehouse.Credentials{}, err
	}
	c := out.RoleCredentials
	expires := time.UnixMilli(c.Expiration)
	return gatehouse.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: gatehouse.Secret(c.SecretAccessKey), SessionToken: gatehouse.Secret(c.SessionToken),
		Expires: expires, Lasts: expires.Sub(l.Now()), AssumedRoleARN: gatehouse.Role{Account: account, Name: name}.ARN()}, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i <= 0 || i == len(s)-1 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// Place is what is known of a role: for its region, and for where STS is.
func (l *Laptop) Place(ctx context.Context, portal, role string) (export.Place, export.Options, error) {
	all, err := l.Roles(ctx, portal)
	if err != nil {
		return export.Place{}, export.Options{}, err
	}
	account, name, _ := cutLast(role, "/")
	var found []export.Place
	for _, p := range all.Roles {
		if strings.EqualFold(p.Role, name) && (p.Account == account || strings.EqualFold(p.Name, account)) {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		return export.Place{}, export.Options{}, fmt.Errorf("%d roles of yours are called %q; see: gatehouse config", len(found), role)
	}
	p := found[0]
	names, err := export.ProfileNames(found, all.Profiles)
	if err != nil {
		return p, export.Options{}, err
	}
	return p, export.Options{Profile: names[0], Region: cmp.Or(p.Region, all.Region), STSEndpoint: all.STSEndpoint}, nil
}

// Environ is this process's environment with c in the place of any other
// credentials.
func (l *Laptop) Environ(c gatehouse.Credentials, o export.Options) ([]string, error) {
	ours, err := export.Environment(c, o)
	if err != nil {
		return nil, err
	}
	others := []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=", "AWS_SECURITY_TOKEN=", "AWS_CREDENTIAL_EXPIRATION=",
		"AWS_PROFILE=", "AWS_DEFAULT_PROFILE="}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return slices.ContainsFunc(others, func(name string) bool { return strings.HasPrefix(strings.ToUpper(v), name) })
	})
	return append(env, ours...), nil
}
