package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"

	"gatehouse/internal/export"
)

// Login says how somebody signs in.
type Login struct {
	Portal    string
	Device    bool // by a code that is typed into a page, on any machine
	NoBrowser bool // show the address and open nothing
}

// patience is how long a sign-in waits for the person.
const patience = 10 * time.Minute

const callbackPath = "/oauth/callback"

// Login signs somebody in and keeps the token.
func (l *Laptop) Login(ctx context.Context, how Login) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := l.register(ctx, how.Portal)
	if err != nil {
		return err
	}
	if how.Device || l.remote() {
		c, err = l.byDevice(ctx, how, c)
	} else {
		c, err = l.byBrowser(ctx, how, c)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("nobody has agreed within ten minutes; try: gatehouse login")
	}
	if err != nil {
		return err
	}
	return errors.Join(l.writeToken(c), l.remember(how.Portal))
}

// remote: a browser on the person's machine could not reach a port of this one.
func (l *Laptop) remote() bool { return l.Getenv("SSH_CONNECTION") != "" || l.Getenv("SSH_TTY") != "" }

// register makes this program known. The portal keeps nothing of it.
func (l *Laptop) register(ctx context.Context, portal string) (cached, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = runtime.GOOS
	}
	in := map[string]any{"clientName": "gatehouse on " + host[:min(len(host), 64)], "clientType": "public",
		"redirectUris": []string{"http://127.0.0.1" + callbackPath}}
	var out struct {
		ClientID              string `json:"clientId"`
		ClientSecret          string `json:"clientSecret"`
		ClientSecretExpiresAt int64  `json:"clientSecretExpiresAt"`
	}
	if err := l.call(ctx, http.MethodPost, portal+"/oidc/client/register", in, &out, ""); err != nil {
		return cached{}, err
	}
	return cached{StartURL: export.StartURL, Region: "us-east-1", ClientID: out.ClientID, ClientSecret: out.ClientSecret,
		RegistrationExpiresAt: time.Unix(out.ClientSecretExpiresAt, 0)}, nil
}

// byDevice shows a code and asks until somebody has typed it (RFC 8628).
func (l *Laptop) byDevice(ctx context.Context, how Login, c cached) (cached, error) {
	var out struct {
		DeviceCode, UserCode                     string
		VerificationURI, VerificationURIComplete string
		ExpiresIn, Interval                      int
	}
	in := map[string]string{"clientId": c.ClientID, "clientSecret": c.ClientSecret, "startUrl": export.StartURL}
	if err := l.call(ctx, http.MethodPost, how.Portal+"/oidc/device_authorization", in, &out, ""); err != nil {
		return c, err
	}
	fmt.Fprintf(l.Say, "Open this page, on any machine:\n\n    %s\n\nand make sure that it shows this code:\n\n    %s\n\n", printable(out.VerificationURIComplete), printable(out.UserCode))
	if !how.NoBrowser && !l.remote() {
		_ = l.Open(out.VerificationURIComplete) // the address is there to be copied
	}
	pause := time.Duration(max(out.Interval, 1)) * time.Second
	for {
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(pause):
		}
		got, err := l.createToken(ctx, how.Portal, c, map[string]string{"grantType": "urn:ietf:params:oauth:grant-type:device_code", "deviceCode": out.DeviceCode})
		var no *refused
		switch {
		case errors.As(err, &no) && no.code == "authorization_pending":
		case errors.As(err, &no) && no.code == "slow_down":
			pause += 5 * time.Second
		default:
			return got, err
		}
	}
}

// byBrowser leads a browser on this machine to the portal, and takes the
// answer on a port of its own (RFC 8252 with RFC 7636).
func (l *Laptop) byBrowser(ctx context.Context, how Login, c cached) (cached, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return c, fmt.Errorf("%w; try: gatehouse login --device", err)
	}
	state, verifier := rand.Text(), rand.Text()+rand.Text()
	redirect := "http://" + listener.Addr().String() + callbackPath
	answers := make(chan url.Values, 1)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: callback(state, answers)}
	go func() { _ = server.Serve(listener) }()
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(ending)
	}()

	sum := sha256.Sum256([]byte(verifier))
	page := how.Portal + "/authorize?" + url.Values{"response_type": {"code"}, "client_id": {c.ClientID}, "redirect_uri": {redirect}, "state": {state},
		"code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}.Encode()
	if how.NoBrowser || l.Open(page) != nil {
		fmt.Fprintf(l.Say, "Open this page in a browser on this machine:\n\n    %s\n\n", page)
	} else {
		fmt.Fprintf(l.Say, "Your browser asks whether you agree. If it does not, open:\n\n    %s\n\n", page)
	}
	select {
	case <-ctx.Done():
		return c, ctx.Err()
	case answer := <-answers:
		if answer.Get("error") != "" {
			return c, errors.New("you did not agree; nothing was given")
		}
		return l.createToken(ctx, how.Portal, c, map[string]string{"grantType": "authorization_code", "code": answer.Get("code"), "redirectUri": redirect, "codeVerifier": verifier})
	}
}

// callback takes one answer with the right state; any page may knock here.
func callback(state string, answers chan<- url.Values) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+callbackPath, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("state") != state || (q.Get("code") == "") == (q.Get("error") == "") {
			http.Error(w, "This is not the answer that gatehouse login waits for.", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = fmt.Fprint(w, "<!doctype html><html lang=en><title>Back to the terminal</title><h1>Back to the terminal</h1><p>You can close this page.")
		select {
		case answers <- q:
		default:
		}
	})
	return mux
}
