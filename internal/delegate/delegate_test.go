package delegate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/internal/store"
)

var began = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

const (
	here  = "192.0.2.1"
	there = "198.51.100.7"
)

const mostHere = 20 // sign-ins of one person

// desk is a Keeper over a real store, with a clock that is moved by hand and
// a broker that writes down what it is told.
type desk struct {
	t      testing.TB
	k      *Keeper
	store  *store.Store
	mu     sync.Mutex
	now    time.Time
	events []string
	gone   bool  // the person is not welcome any more
	down   bool  // the directory does not answer
	denied error // nothing can be recorded

	watches bool // new places are written down too
	signed  []gatehouse.Event
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{t: t, now: began}
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + filepath.Join(t.TempDir(), "g.db")}, [][]byte{[]byte(strings.Repeat("s", 32))}, d.clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d.store = s
	d.k = New(Deps{Broker: d, Records: s, Counters: s, Events: d, Key: []byte(strings.Repeat("k", 32)), Lasts: 12 * time.Hour, Most: mostHere, Now: d.clock})
	return d
}

func (d *desk) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *desk) pass(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

func (d *desk) note(s string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.denied == nil {
		d.events = append(d.events, s)
	}
	return d.denied
}

func (d *desk) Delegate(_ context.Context, s gatehouse.Session, w access.Delegation) (gatehouse.Session, error) {
	s.ID, s.Client, s.IP, s.Door = "cli-"+s.ID, w.Client, w.ClientIP, gatehouse.DoorAPI
	return s, d.note("accepted " + w.Client)
}
func (d *desk) Decline(_ context.Context, _ gatehouse.Session, w access.Delegation) error {
	return d.note("declined " + w.Client)
}
func (d *desk) Reused(context.Context, gatehouse.Session, string, string) error {
	return d.note("reused")
}
func (d *desk) NewPlace(_ context.Context, _ gatehouse.Session, ip, _ string) error {
	if !d.watches {
		return nil
	}
	return d.note("place " + ip)
}
func (d *desk) SignOut(context.Context, gatehouse.Session) error { return d.note("signout") }
func (d *desk) Refresh(_ context.Context, s gatehouse.Session) (gatehouse.Session, error) {
	switch {
	case d.gone:
		return gatehouse.Session{}, gatehouse.ErrNoSession
	case d.down:
		return s, &gatehouse.Unavailable{What: "directory", Name: "corp", Err: errors.New("timeout")}
	}
	s.User.ReadAt = d.clock()
	return s, nil
}

// Events are where people have signed in before.
func (d *desk) Events(context.Context, gatehouse.EventQuery) ([]gatehouse.Event, error) {
	return d.signed, nil
}

func alice() gatehouse.Session {
	return gatehouse.Session{ID: "s", User: gatehouse.User{Directory: "corp", ID: "a", Username: "alice"}, ProvedAt: began, IP: here}
}

// client registers one.
func (d *desk) client() Client {
	d.t.Helper()
	reg, err := d.k.Register("botocore-client-gatehouse", []string{"http://127.0.0.1/oauth/callback"})
	if err != nil {
		d.t.Fatal(err)
	}
	c, err := d.k.Authenticate(reg.ClientID, reg.ClientSecret)
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// device begins a wait.
func (d *desk) device(c Client) Device {
	d.t.Helper()
	dev, err := d.k.BeginDevice(d.t.Context(), c, there)
	if err != nil {
		d.t.Fatal(err)
	}
	return dev
}

// signedIn goes all the way by device code.
func (d *desk) signedIn() (Client, Tokens) {
	d.t.Helper()
	c := d.client()
	dev := d.device(c)
	if _, err := d.k.Answer(d.t.Context(), alice(), dev.UserCode, true, here, "r"); err != nil {
		d.t.Fatal(err)
	}
	tokens, err := d.k.RedeemDevice(d.t.Context(), c, dev.DeviceCode)
	if err != nil {
		d.t.Fatal(err)
	}
	return c, tokens
}

func (d *desk) wantRefused(what string, err error, code string) {
	d.t.Helper()
	if Refused(err) != code {
		d.t.Errorf("%s: %v, want %s", what, err, code)
	}
}

func (d *desk) wantEvents(want ...string) {
	d.t.Helper()
	if !slices.Equal(d.events, want) {
		d.t.Errorf("on the record: %q, want %q", d.events, want)
	}
}

func TestWhatMayRegister(t *testing.T) {
	d := newDesk(t)
	tests := []struct {
		name, client string
		redirects    []string
		want         string
	}{
		{"no name", "", nil, "invalid_client_metadata"},
		{"a name that is too long", strings.Repeat("x", 129), nil, "invalid_client_metadata"},
		{"a name that rewrites the page", "aws\u202egpj.exe", nil, "invalid_client_metadata"},
		{"a name with a new line", "aws\nAgree now", nil, "invalid_client_metadata"},
		{"a name that is no text", "aws\xff", nil, "invalid_client_metadata"},
		{"a place off loopback", "aws", []string{"http://evil.example/cb"}, "invalid_redirect_uri"},
		{"https on another host", "aws", []string{"https://127.0.0.1.evil.example/cb"}, "invalid_redirect_uri"},
		{"a name before the host", "aws", []string{"http://127.0.0.1@evil.example/cb"}, "invalid_redirect_uri"},
		{"a host that only begins so", "aws", []string{"http://localhost.evil.example/"}, "invalid_redirect_uri"},
		{"a script", "aws", []string{"javascript:alert(1)"}, "invalid_redirect_uri"},
		{"another scheme", "aws", []string{"myapp://127.0.0.1/"}, "invalid_redirect_uri"},
		{"a fragment", "aws", []string{"http://127.0.0.1/#x"}, "invalid_redirect_uri"},
		{"a backslash", "aws", []string{`http://127.0.0.1\@evil.example/`}, "invalid_redirect_uri"},
		{"a bad one among good ones", "aws", []string{"http://127.0.0.1/", "http://192.0.2.1/"}, "invalid_redirect_uri"},
		{"too many", "aws", slices.Repeat([]string{"http://127.0.0.1/"}, 5), "invalid_redirect_uri"},
		{"the AWS CLI", "botocore-client-gatehouse", []string{"http://127.0.0.1/oauth/callback"}, ""},
		{"IPv6 and a name", "tool", []string{"http://[::1]/cb", "http://localhost:9/cb?a=b"}, ""},
		{"a name in any script", "Zoës Wërkzeug", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := d.k.Register(tt.client, tt.redirects); Refused(err) != tt.want {
				t.Errorf("Register(%q, %q): %v, want %q", tt.client, tt.redirects, err, tt.want)
			}
		})
	}
}

func TestARegistrationIsOnlyOurs(t *testing.T) {
	d := newDesk(t)
	reg, _ := d.k.Register("tool", nil)
	other, _ := d.k.Register("tool", nil)
	if _, err := d.k.Authenticate(reg.ClientID, reg.ClientSecret); err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]string{
		"another's secret": {reg.ClientID, other.ClientSecret}, "no secret": {reg.ClientID, ""},
		"a changed client": {"x" + reg.ClientID, reg.ClientSecret}, "nothing": {"", ""}, "no mark": {strings.Split(reg.ClientID, ".")[0], reg.ClientSecret},
	} {
		_, err := d.k.Authenticate(pair[0], pair[1])
		d.wantRefused(what, err, "invalid_client")
	}
	replica := New(d.k.d)
	if _, err := replica.Authenticate(reg.ClientID, reg.ClientSecret); err != nil {
		t.Errorf("another replica does not know the client: %v", err)
	}
	stranger := d.k.d
	stranger.Key = []byte("another key")
	_, err := New(stranger).Authenticate(reg.ClientID, reg.ClientSecret)
	d.wantRefused("another installation", err, "invalid_client")
	d.pass(registered)
	_, err = d.k.Authenticate(reg.ClientID, reg.ClientSecret)
	d.wantRefused("after its time", err, "invalid_client")
}

func TestTenThousandRegistrationsLeaveNothing(t *testing.T) {
	d := newDesk(t)
	for i := range 10_000 {
		if _, err := d.k.Register(fmt.Sprint("tool ", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	d.pass(24 * time.Hour)
	if n, err := d.store.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("the store kept %d rows, %v", n, err)
	}
}

func TestDeviceCode(t *testing.T) {
	t.Run("is pending until somebody agrees, and is good once", func(t *testing.T) {
		d := newDesk(t)
		c := d.client()
		dev := d.device(c)
		_, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode)
		d.wantRefused("before", err, "authorization_pending")
		if w, err := d.k.Waiting(t.Context(), alice(), strings.ToLower(dev.UserCode), here); err != nil || w.IP != there || w.Client != c.Name {
			t.Errorf("Waiting = %+v, %v", w, err)
		}
		if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, true, here, "r"); err != nil {
			t.Fatal(err)
		}
		var tokens int
		var all sync.WaitGroup
		var mu sync.Mutex
		for range 20 {
			all.Go(func() {
				_, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					tokens++
				} else {
					d.wantRefused("once more", err, "expired_token")
				}
			})
		}
		all.Wait()
		if tokens != 1 {
			t.Errorf("%d of 20 had tokens, want 1", tokens)
		}
		d.wantEvents("accepted botocore-client-gatehouse")
	})
	t.Run("of another client, changed or made up brings nothing", func(t *testing.T) {
		d := newDesk(t)
		c := d.client()
		dev := d.device(c)
		if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, true, here, "r"); err != nil {
			t.Fatal(err)
		}
		_, err := d.k.RedeemDevice(t.Context(), d.client(), dev.DeviceCode)
		d.wantRefused("another client", err, "invalid_grant")
		_, err = d.k.RedeemDevice(t.Context(), c, dev.DeviceCode+"X")
		d.wantRefused("changed", err, "invalid_grant")
		_, err = d.k.RedeemDevice(t.Context(), c, gatehouse.Secret(typed(dev.UserCode)+".AAAA"))
		d.wantRefused("made of the user code", err, "invalid_grant")
		for _, made := range []gatehouse.Secret{"", "x", ".", "BCDFGHJK", gatehouse.Secret(strings.Repeat("B", 1<<16))} {
			_, err = d.k.RedeemDevice(t.Context(), c, made)
			d.wantRefused("made up", err, "invalid_grant")
		}
		if _, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode); err != nil {
			t.Errorf("after the others had tried: %v", err)
		}
	})
	t.Run("that was declined says so, and is on the record", func(t *testing.T) {
		d := newDesk(t)
		c := d.client()
		dev := d.device(c)
		if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, false, here, "r"); err != nil {
			t.Fatal(err)
		}
		_, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode)
		d.wantRefused("declined", err, "access_denied")
		if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, true, here, "r"); !errors.Is(err, gatehouse.ErrInvalid) {
			t.Errorf("agreed after all: %v, want ErrInvalid", err)
		}
		d.wantEvents("declined botocore-client-gatehouse")
	})
	t.Run("is over after ten minutes", func(t *testing.T) {
		d := newDesk(t)
		c := d.client()
		dev := d.device(c)
		d.pass(deviceLasts)
		_, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode)
		d.wantRefused("too late", err, "expired_token")
		if _, err := d.k.Waiting(t.Context(), alice(), dev.UserCode, here); !errors.Is(err, gatehouse.ErrInvalid) {
			t.Errorf("Waiting: %v, want ErrInvalid", err)
		}
	})
	t.Run("that cannot be recorded brings nothing", func(t *testing.T) {
		d := newDesk(t)
		c := d.client()
		dev := d.device(c)
		d.denied = gatehouse.ErrNotRecorded
		if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, true, here, "r"); !errors.Is(err, gatehouse.ErrNotRecorded) {
			t.Errorf("Answer: %v", err)
		}
		_, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode)
		d.wantRefused("unrecorded", err, "authorization_pending")
	})
	t.Run("asked for all the time is slowed, after the two at once of the AWS CLI", func(t *testing.T) {
		d := newDesk(t)
		c := d.client()
		dev := d.device(c)
		for i, want := range []string{"authorization_pending", "authorization_pending", "slow_down"} {
			_, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode)
			d.wantRefused(fmt.Sprint("poll ", i), err, want)
		}
		d.pass(4 * time.Second)
		_, err := d.k.RedeemDevice(t.Context(), c, dev.DeviceCode)
		d.wantRefused("in time, with jitter", err, "authorization_pending")
	})
}

func TestGuessesOfCodesAreCounted(t *testing.T) {
	d := newDesk(t)
	dev := d.device(d.client())
	for range mostByPerson {
		if _, err := d.k.Waiting(t.Context(), alice(), "BBBB-BBBB", here); !errors.Is(err, gatehouse.ErrInvalid) {
			t.Fatal(err)
		}
	}
	if _, err := d.k.Waiting(t.Context(), alice(), dev.UserCode, here); !errors.Is(err, gatehouse.ErrThrottled) {
		t.Errorf("after %d wrong codes the right one: %v, want ErrThrottled", mostByPerson, err)
	}
	if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, true, here, "r"); !errors.Is(err, gatehouse.ErrThrottled) {
		t.Errorf("after %d wrong codes an answer: %v, want ErrThrottled", mostByPerson, err)
	}
	bob := alice()
	bob.User.ID = "b"
	if _, err := d.k.Waiting(t.Context(), bob, dev.UserCode, here); err != nil {
		t.Errorf("somebody else is held up: %v", err)
	}
	for i := range mostByAddress {
		bob.User.ID = fmt.Sprint("b", i)
		_, _ = d.k.Waiting(t.Context(), bob, "not a code", here)
	}
	if _, err := d.k.Waiting(t.Context(), bob, dev.UserCode, here); !errors.Is(err, gatehouse.ErrThrottled) {
		t.Errorf("many people from one address: %v, want ErrThrottled", err)
	}
	d.pass(guessWindow)
	fresh := d.device(d.client())
	if _, err := d.k.Waiting(t.Context(), alice(), fresh.UserCode, here); err != nil {
		t.Errorf("after the window: %v", err)
	}
}

func TestWaitingProgramsAreBounded(t *testing.T) {
	d := newDesk(t)
	c := d.client()
	replicas := []*Keeper{d.k, New(d.k.d)} // which count together
	for i := range mostWaiting {
		if _, err := replicas[i%2].BeginDevice(t.Context(), c, there); err != nil {
			t.Fatalf("code %d: %v", i, err)
		}
	}
	if _, err := d.k.BeginDevice(t.Context(), c, there); !errors.Is(err, gatehouse.ErrThrottled) {
		t.Errorf("one more: %v, want ErrThrottled", err)
	}
	if _, err := d.k.BeginDevice(t.Context(), c, here); err != nil {
		t.Errorf("another address: %v", err)
	}
}

func TestAProgramIsSlowedWhicheverReplicaItAsks(t *testing.T) {
	d := newDesk(t)
	c := d.client()
	dev := d.device(c)
	replicas := []*Keeper{d.k, New(d.k.d), New(d.k.d)}
	for i, want := range []string{"authorization_pending", "authorization_pending", "slow_down"} {
		_, err := replicas[i].RedeemDevice(t.Context(), c, dev.DeviceCode)
		d.wantRefused(fmt.Sprint("poll ", i), err, want)
	}
	if _, err := d.k.Answer(t.Context(), alice(), dev.UserCode, true, here, "r"); err != nil {
		t.Fatal(err)
	}
	if _, err := replicas[1].RedeemDevice(t.Context(), c, dev.DeviceCode); err != nil {
		t.Errorf("agreed, and asked too soon: %v; want the tokens, since there is nothing left to wait for", err)
	}
}

func TestBeyondTheMostTheSignInThatEndsSoonestEnds(t *testing.T) {
	d := newDesk(t)
	c, first := d.signedIn()
	for range mostHere {
		d.pass(time.Second)
		if _, err := d.redeem(c, d.agreed(c)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := d.k.List(t.Context(), alice().User.Key())
	if err != nil || len(list) != mostHere {
		t.Errorf("%d sign-ins are left, %v; want %d", len(list), err, mostHere)
	}
	_, err = d.k.Check(t.Context(), first.Access)
	d.wantRefused("the first of all", err, "invalid_token")
	if n := len(d.events); d.events[n-1] != "signout" {
		t.Errorf("the record: %q, want the end of the first on it", d.events)
	}
}

const proof = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

func (d *desk) authorization(c Client, change ...string) url.Values {
	q := url.Values{"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {"http://127.0.0.1:34567/oauth/callback"}, "state": {"st&te"},
		"code_challenge_method": {"S256"}, "scopes": {"sso:account:access"}, "code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}}
	for i := 0; i < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	return q
}

func TestAuthorizationRequestsThatAreRefused(t *testing.T) {
	d := newDesk(t)
	c := d.client()
	for name, change := range map[string][]string{
		"no client": {"client_id", ""}, "a made-up client": {"client_id", "e30.AAAA"}, "another path": {"redirect_uri", "http://127.0.0.1:1/evil"},
		"off loopback": {"redirect_uri", "http://evil.example/oauth/callback"}, "https": {"redirect_uri", "https://127.0.0.1/oauth/callback"},
		"another loopback name": {"redirect_uri", "http://localhost:1/oauth/callback"}, "no place": {"redirect_uri", ""}, "a token": {"response_type", "token"},
		"no PKCE": {"code_challenge", ""}, "plain PKCE": {"code_challenge_method", "plain"}, "a padded challenge": {"code_challenge", strings.Repeat("A", 43) + "="},
		"a state without end": {"state", strings.Repeat("x", longestState+1)},
	} {
		if _, err := d.k.ReadAuthorization(d.authorization(c, change...)); !errors.Is(err, gatehouse.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

// agreed is the code that an agreement brings, and its state.
func (d *desk) agreed(c Client) gatehouse.Secret {
	d.t.Helper()
	a, err := d.k.ReadAuthorization(d.authorization(c))
	if err != nil {
		d.t.Fatal(err)
	}
	back, err := d.k.Agree(d.t.Context(), alice(), a, here, "r")
	if err != nil {
		d.t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil || u.Host != "127.0.0.1:34567" || u.Path != "/oauth/callback" || u.Query().Get("state") != "st&te" {
		d.t.Fatalf("it leads back to %s, %v", back, err)
	}
	return gatehouse.Secret(u.Query().Get("code"))
}

func (d *desk) redeem(c Client, code gatehouse.Secret) (Tokens, error) {
	return d.k.RedeemCode(d.t.Context(), c, code, "http://127.0.0.1:34567/oauth/callback", proof, here, "r")
}

func TestAuthorizationCode(t *testing.T) {
	t.Run("brings tokens once; one that comes back ends what it brought", func(t *testing.T) {
		d := newDesk(t)
		c := d.client()
		code := d.agreed(c)
		tokens, err := d.redeem(c, code)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := d.k.Check(t.Context(), tokens.Access); err != nil || h.Session.User.Username != "alice" || h.Session.Client != c.Name {
			t.Fatalf("%+v, %v", h, err)
		}
		_, err = d.redeem(c, code)
		d.wantRefused("replayed", err, "invalid_grant")
		_, err = d.k.Check(t.Context(), tokens.Access)
		d.wantRefused("what it brought", err, "invalid_token")
		d.wantEvents("accepted botocore-client-gatehouse", "reused")
	})
	for name, with := range map[string]func(d *desk, c Client, code gatehouse.Secret) error{
		"another client": func(d *desk, _ Client, code gatehouse.Secret) error { _, err := d.redeem(d.client(), code); return err },
		"another place": func(d *desk, c Client, code gatehouse.Secret) error {
			_, err := d.k.RedeemCode(d.t.Context(), c, code, "http://127.0.0.1:1/oauth/callback", proof, here, "r")
			return err
		},
		"another verifier": func(d *desk, c Client, code gatehouse.Secret) error {
			_, err := d.k.RedeemCode(d.t.Context(), c, code, "http://127.0.0.1:34567/oauth/callback", strings.Repeat("x", 43), here, "r")
			return err
		},
		"too late": func(d *desk, c Client, code gatehouse.Secret) error {
			d.pass(codeLasts)
			_, err := d.redeem(c, code)
			return err
		},
		"a made-up code": func(d *desk, c Client, _ gatehouse.Secret) error { _, err := d.redeem(c, "x"); return err },
	} {
		t.Run("with "+name+" brings nothing", func(t *testing.T) {
			d := newDesk(t)
			c := d.client()
			d.wantRefused(name, with(d, c, d.agreed(c)), "invalid_grant")
		})
	}
	t.Run("that was declined is an error for the program", func(t *testing.T) {
		d := newDesk(t)
		a, err := d.k.ReadAuthorization(d.authorization(d.client()))
		if err != nil {
			t.Fatal(err)
		}
		back, err := d.k.Disagree(t.Context(), alice(), a, here, "r")
		if err != nil || !strings.Contains(back, "error=access_denied") || strings.Contains(back, "code=") {
			t.Errorf("it leads back to %s, %v", back, err)
		}
	})
}

func TestAccessTokens(t *testing.T) {
	d := newDesk(t)
	_, tokens := d.signedIn()
	made := string(tokens.Access)
	part := strings.Split(made, ".")
	for what, token := range map[string]string{
		"nothing": "", "a refresh token": string(tokens.Refresh), "a later end": strings.Join([]string{part[0], part[1], "99999999999", part[3]}, "."),
		"the refresh token's mark": strings.Replace(string(tokens.Refresh), refreshPrefix, accessPrefix, 1), "no mark": strings.Join(part[:3], "."), "64 KB": strings.Repeat("a.", 1<<15),
	} {
		_, err := d.k.Check(t.Context(), gatehouse.Secret(token))
		d.wantRefused(what, err, "invalid_token")
	}
	d.pass(accessLasts)
	_, err := d.k.Check(t.Context(), tokens.Access)
	d.wantRefused("after an hour", err, "invalid_token")
}

func TestRefreshTokens(t *testing.T) {
	t.Run("rotate; within the grace the old one brings the same", func(t *testing.T) {
		d := newDesk(t)
		c, first := d.signedIn()
		second, err := d.k.Refresh(t.Context(), c, first.Refresh, here, "r")
		if err != nil || second.Refresh == first.Refresh {
			t.Fatalf("%v; the same token again: %v", err, second.Refresh == first.Refresh)
		}
		d.pass(grace - time.Second)
		again, err := d.k.Refresh(t.Context(), c, first.Refresh, here, "r")
		if err != nil || again.Refresh != second.Refresh {
			t.Errorf("within the grace: %v; another token: %v", err, again.Refresh != second.Refresh)
		}
		if _, err := d.k.Check(t.Context(), first.Access); err != nil {
			t.Errorf("the first access token: %v", err)
		}
	})
	t.Run("used again after the grace end the sign-in, on the record", func(t *testing.T) {
		d := newDesk(t)
		c, first := d.signedIn()
		second, err := d.k.Refresh(t.Context(), c, first.Refresh, here, "r")
		if err != nil {
			t.Fatal(err)
		}
		d.pass(grace)
		_, err = d.k.Refresh(t.Context(), c, first.Refresh, there, "r")
		d.wantRefused("the copy", err, "invalid_grant")
		_, err = d.k.Refresh(t.Context(), c, second.Refresh, here, "r")
		d.wantRefused("the good one", err, "invalid_grant")
		_, err = d.k.Check(t.Context(), second.Access)
		d.wantRefused("its access token", err, "invalid_token")
		d.wantEvents("accepted botocore-client-gatehouse", "reused")
	})
	t.Run("asked for by many at once rotate once", func(t *testing.T) {
		d := newDesk(t)
		c, first := d.signedIn()
		replica := New(d.k.d)
		var mu sync.Mutex
		var all sync.WaitGroup
		got := map[gatehouse.Secret]int{}
		for i := range 30 {
			all.Go(func() {
				tokens, err := []*Keeper{d.k, replica}[i%2].Refresh(t.Context(), c, first.Refresh, here, "r")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got[tokens.Refresh]++
				mu.Unlock()
			})
		}
		all.Wait()
		if len(got) != 1 {
			t.Errorf("%d different refresh tokens, want 1", len(got))
		}
	})
	t.Run("of another client bring nothing and end nothing", func(t *testing.T) {
		d := newDesk(t)
		c, first := d.signedIn()
		_, err := d.k.Refresh(t.Context(), d.client(), first.Refresh, there, "r")
		d.wantRefused("another client", err, "invalid_grant")
		for _, made := range []gatehouse.Secret{"", "x", first.Access, first.Refresh + "x"} {
			_, err := d.k.Refresh(t.Context(), c, made, here, "r")
			d.wantRefused("made up", err, "invalid_grant")
		}
		if _, err := d.k.Refresh(t.Context(), c, first.Refresh, here, "r"); err != nil {
			t.Errorf("the owner's: %v", err)
		}
	})
	t.Run("of somebody who was barred meanwhile end the sign-in", func(t *testing.T) {
		d := newDesk(t)
		c, first := d.signedIn()
		d.gone = true
		_, err := d.k.Refresh(t.Context(), c, first.Refresh, here, "r")
		d.wantRefused("barred", err, "invalid_grant")
		d.gone = false
		_, err = d.k.Check(t.Context(), first.Access)
		d.wantRefused("their access token", err, "invalid_token")
		d.wantEvents("accepted botocore-client-gatehouse", "signout")
	})
	t.Run("go on while the directory is silent: keys need it, and are refused by the Broker", func(t *testing.T) {
		d := newDesk(t)
		c, first := d.signedIn()
		d.down = true
		if _, err := d.k.Refresh(t.Context(), c, first.Refresh, here, "r"); err != nil {
			t.Error(err)
		}
	})
	t.Run("do not outlive session.cli", func(t *testing.T) {
		d := newDesk(t)
		c, tokens := d.signedIn()
		for range 11 {
			d.pass(time.Hour)
			var err error
			if tokens, err = d.k.Refresh(t.Context(), c, tokens.Refresh, here, "r"); err != nil {
				t.Fatal(err)
			}
		}
		d.pass(30 * time.Minute)
		last, err := d.k.Refresh(t.Context(), c, tokens.Refresh, here, "r")
		if err != nil || last.Lasts != 30*time.Minute {
			t.Fatalf("in the last half hour: %v for %v", err, last.Lasts)
		}
		d.pass(30 * time.Minute)
		_, err = d.k.Refresh(t.Context(), c, last.Refresh, here, "r")
		d.wantRefused("after twelve hours", err, "invalid_grant")
	})
}

func TestPeopleSeeAndEndTheirPrograms(t *testing.T) {
	d := newDesk(t)
	_, tokens := d.signedIn()
	d.pass(5 * time.Minute)
	h, err := d.k.Check(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.k.Welcome(t.Context(), h, "203.0.113.9", "r"); err != nil {
		t.Fatal(err)
	}
	list, err := d.k.List(t.Context(), alice().User.Key())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	p := list[0]
	if p.Client != "botocore-client-gatehouse" || p.IP != there || p.UsedIP != "203.0.113.9" || !p.Began.Equal(began) || !p.Used.Equal(began.Add(5*time.Minute)) {
		t.Errorf("%+v", p)
	}
	if err := d.k.End(t.Context(), "corp/mallory", p.ID); !errors.Is(err, gatehouse.ErrNotFound) {
		t.Errorf("somebody else's: %v, want ErrNotFound", err)
	}
	if err := d.k.End(t.Context(), alice().User.Key(), p.ID); err != nil {
		t.Fatal(err)
	}
	_, err = d.k.Check(t.Context(), tokens.Access)
	d.wantRefused("after its end", err, "invalid_token")
	d.wantEvents("accepted botocore-client-gatehouse", "signout")
}

// Whatever is kept must not let a reader of the database act for anybody.
func TestNoTokenIsInTheDatabase(t *testing.T) {
	d := newDesk(t)
	_, tokens := d.signedIn()
	list, err := d.store.ListOwner(t.Context(), kindSignIn, alice().User.Key())
	if err != nil || len(list) != 1 {
		t.Fatalf("%d, %v", len(list), err)
	}
	for _, token := range []gatehouse.Secret{tokens.Access, tokens.Refresh} {
		part := strings.Split(string(token), ".")
		for _, secret := range []string{part[1], part[3]} {
			if strings.Contains(string(list[0].Body), secret) {
				t.Errorf("%s of a token is in the record", secret)
			}
		}
	}
}

func FuzzTokensAndCodes(f *testing.F) {
	d := newDesk(f)
	d.k.d.Key = []byte(rand.Text()) // of each process that fuzzes: the others' seeds are foreign to it
	c, tokens := d.signedIn()
	f.Add(string(tokens.Access))
	f.Add(string(tokens.Refresh))
	f.Add(c.id)
	f.Add("ABCD-EFGH")
	f.Fuzz(func(t *testing.T, s string) {
		if h, err := d.k.Check(t.Context(), gatehouse.Secret(s)); err == nil && s != string(tokens.Access) {
			t.Errorf("Check(%q) = %+v", s, h)
		}
		if got, err := d.k.Client(s); err == nil && s != c.id {
			t.Errorf("Client(%q) = %+v", s, got)
		}
		if code := typed(s); code != "" && typed(spoken(code)) != code {
			t.Errorf("typed(%q) = %q", s, code)
		}
	})
}
