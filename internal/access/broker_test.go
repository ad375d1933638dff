package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/saml"
)

// world is a Broker's surroundings, each a few lines behind our own interfaces.
type world struct {
	mu       sync.Mutex
	now      time.Time
	people   map[string]gatehouse.User // by username
	password string
	dirErr   error // what the directory answers instead
	findErr  error // likewise, to Identify
	barred   error // what it answers to the right password
	lookups  int
	binds    int
	events   []gatehouse.Event
	auditErr error

	failsUnseen bool // nobody knows yet that the record fails
	counts      map[string]counter
	learnt      map[string]string
	asked       []time.Duration  // durations that STS was asked for
	lent        []gatehouse.Lent // assertions that it was given, in the memory that they were given in
	handed      []string         // what that memory held at the time
	limits      []gatehouse.SessionPolicy
	lasts       time.Duration // what STS grants at most; zero: anything
	stsErr      error
	wrong       bool // STS answers for another role
	said        []saml.Assertion
	takes       time.Duration // of the directory
	slow        chan struct{} // when set, the directory answers once it is closed
}

func (w *world) Name() string { return "corp" }

func (w *world) Authenticate(_ context.Context, username string, password gatehouse.Secret, admit func(gatehouse.User) error) (gatehouse.User, error) {
	if w.slow != nil {
		<-w.slow
	}
	time.Sleep(w.takes)
	u, ok := w.people[username]
	if w.dirErr != nil {
		return gatehouse.User{}, w.dirErr
	}
	if !ok {
		return gatehouse.User{}, gatehouse.ErrUnknownPerson
	}
	if err := admit(gatehouse.User{Directory: u.Directory, ID: u.ID, Username: u.Username, DN: u.DN}); err != nil {
		return gatehouse.User{}, err
	}
	w.mu.Lock()
	w.binds++
	w.mu.Unlock()
	if string(password) != w.password {
		return gatehouse.User{}, gatehouse.ErrInvalidCredentials
	}
	if w.barred != nil {
		return gatehouse.User{}, w.barred
	}
	u.ReadAt = w.now
	return u, nil
}

func (w *world) ChangePassword(ctx context.Context, username string, old, new gatehouse.Secret, admit func(gatehouse.User) error) error {
	if _, err := w.Authenticate(ctx, username, old, admit); err != nil {
		return err
	}
	if len(new) < 8 {
		return &gatehouse.PasswordRefused{Rule: "too_short", Why: "Choose at least 8 characters."}
	}
	w.password = string(new)
	return nil
}

func (w *world) Identify(_ context.Context, username string) (gatehouse.User, error) {
	if w.findErr != nil {
		return gatehouse.User{}, w.findErr
	}
	return w.people[username], nil
}

func (w *world) Lookup(_ context.Context, id string) (gatehouse.User, error) {
	w.lookups++
	if w.dirErr != nil {
		return gatehouse.User{}, w.dirErr
	}
	for _, u := range w.people {
		if u.ID == id {
			u.ReadAt = w.now
			return u, nil
		}
	}
	return gatehouse.User{}, gatehouse.ErrUnknownPerson
}

func (w *world) Failing() bool { return w.auditErr != nil && !w.failsUnseen }

func (w *world) Record(_ context.Context, e gatehouse.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.auditErr != nil {
		return w.auditErr
	}
	if e.Once.Key != "" && slices.ContainsFunc(w.events, func(o gatehouse.Event) bool { return o.Once == e.Once }) {
		return gatehouse.ErrTwice
	}
	w.events = append(w.events, e)
	return nil
}

// counter is a count and when it starts anew.
type counter struct {
	n     int
	until time.Time
}

func (w *world) Hit(_ context.Context, key string, d time.Duration) (int, time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := counter{w.count(key) + 1, w.now.Add(d)}
	w.counts[key] = c
	return c.n, c.until, nil
}

// count is what a counter stands at now; zero once its time is over.
func (w *world) count(key string) int {
	if c := w.counts[key]; c.until.After(w.now) {
		return c.n
	}
	return 0
}

func (w *world) Hits(_ context.Context, key string) (int, time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count(key), w.counts[key].until, nil
}

func (w *world) Clear(_ context.Context, key string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.counts, key)
	return nil
}

func (w *world) Learn(_ context.Context, key, value string, _ time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.learnt[key] = value
	return nil
}

func (w *world) Learnt(_ context.Context, key string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v, ok := w.learnt[key]; ok {
		return v, nil
	}
	return "", gatehouse.ErrNotFound
}

func (w *world) Respond(_ context.Context, a saml.Assertion) (saml.Response, error) {
	w.said = append(w.said, a)
	return saml.Response{ID: "_assertion", Encoded: "response", Destination: a.Recipient}, nil
}

func (w *world) AppendResponse(_ context.Context, dst gatehouse.Lent, a saml.Assertion) (gatehouse.Lent, saml.Response, error) {
	w.said = append(w.said, a)
	return append(dst, "response"...), saml.Response{ID: "_assertion", Destination: a.Recipient}, nil
}

func (w *world) NameID(person, sp string) string { return "_" + person + "@" + sp }

func (w *world) Provider(entityID string) (saml.Provider, bool) {
	return saml.Provider{EntityID: entityID, Name: "Wiki", ACS: "https://wiki/acs", Sign: saml.SignBoth}, entityID == "wiki"
}

func (w *world) Providers() []saml.Provider {
	return []saml.Provider{{EntityID: "urn:amazon:webservices", Name: "AWS", AWS: true}, {EntityID: "blog", Name: "Blog"}, {EntityID: "wiki", Name: "Wiki"}}
}

func (w *world) Registered(entityID, acs string, _ bool) bool {
	return entityID == "wiki" && strings.HasPrefix(acs, "https://wiki/acs")
}

func (w *world) Subject(s gatehouse.Session, sp saml.Provider, format string) (saml.NameID, error) {
	return saml.NameID{Format: format, Value: w.NameID(s.User.Key(), sp.EntityID)}, nil
}

func (w *world) AssumeRole(_ context.Context, a gatehouse.Account, r gatehouse.Role, assertion gatehouse.Lent, d time.Duration, limits gatehouse.SessionPolicy) (gatehouse.Credentials, error) {
	w.asked, w.lent = append(w.asked, d), append(w.lent, assertion)
	w.handed = append(w.handed, string(assertion))
	w.limits = append(w.limits, limits)
	if w.stsErr != nil {
		return gatehouse.Credentials{}, w.stsErr
	}
	if w.lasts != 0 {
		d = min(d, w.lasts)
	}
	name := r.Name
	if w.wrong {
		name = "Other"
	}
	return gatehouse.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "s", SessionToken: "t", Lasts: d, Expires: w.now.Add(d),
		AssumedRoleARN: fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/alice", a.ID, name), RequestID: "req"}, nil
}

func (w *world) ConsoleURL(_ context.Context, _ gatehouse.Account, c gatehouse.Credentials, d time.Duration, issuer, destination string) (gatehouse.Secret, error) {
	return gatehouse.Secret("https://signin/?issuer=" + issuer + "&destination=" + destination), nil
}

func (w *world) Destination(_ gatehouse.Account, region, wish string) (string, error) {
	if strings.HasPrefix(wish, "https://evil") {
		return "", &gatehouse.Invalid{Field: "destination"}
	}
	return "https://console/" + region + wish, nil
}

func TestAPageOpensWhereAGrantWouldOpenIt(t *testing.T) {
	_, b := newWorld(t)
	account := gatehouse.Account{ID: payments, Region: "eu-west-1"}
	for wish, want := range map[string]bool{"https://evil.example/": false, "/s3": true} {
		if got := b.Opens(account, "", wish); got != want {
			t.Errorf("%s opens: %v, want %v", wish, got, want)
		}
	}
}

func (w *world) Audience(gatehouse.Account) string  { return "urn:amazon:webservices" }
func (w *world) Recipient(gatehouse.Account) string { return "https://signin/saml" }

func newWorld(t testing.TB) (*world, *Broker) {
	t.Helper()
	alice := person("CN=AWS-"+payments+"-Admin,"+awsOU, devsDN)
	w := &world{now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), password: "right", people: map[string]gatehouse.User{"alice": alice},
		counts: map[string]counter{}, learnt: map[string]string{}}
	b := New(Deps{
		Directories: []Source{{Directory: w, MaxAge: time.Minute}}, Policy: testPolicy(t), IdP: w, AWS: w, Audit: w, Counters: w, Learnt: w,
		Throttle:    Throttle{Failures: 4, FailuresPerAddress: 20, Window: time.Hour},
		RolePage:    func(account, role string) string { return "https://gw/roles/" + account + "/" + role },
		RefusalTime: time.Nanosecond, Now: func() time.Time { return w.now },
	})
	return w, b
}

func (w *world) session() gatehouse.Session {
	u := w.people["alice"]
	u.ReadAt = w.now
	return gatehouse.Session{ID: "S", User: u, Methods: []string{"password"}, ProvedAt: w.now, Door: gatehouse.DoorPages}
}

func attempt(username, password string) Attempt {
	return Attempt{Proof: Password{username, gatehouse.Secret(password)}, Door: gatehouse.DoorPages, IP: "192.0.2.7", RequestID: "R"}
}

func (w *world) kinds() []string {
	var kinds []string
	for _, e := range w.events {
		kinds = append(kinds, strings.TrimSuffix(string(e.Kind)+" "+e.Reason, " "))
	}
	return kinds
}

func TestSignIn(t *testing.T) {
	t.Run("is on the record, with the directory's name for the person", func(t *testing.T) {
		w, b := newWorld(t)
		s, err := b.SignIn(t.Context(), attempt("alice", "right"))
		if err != nil {
			t.Fatal(err)
		}
		e := w.events[0]
		if e.Kind != gatehouse.EventSignInAccepted || e.Person != s.User.Key() || e.Username != "alice" || e.Session != s.ID || e.IP != "192.0.2.7" || e.RequestID != "R" {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("that cannot be recorded opens no session", func(t *testing.T) {
		w, b := newWorld(t)
		w.auditErr = errors.New("disk full")
		s, err := b.SignIn(t.Context(), attempt("alice", "right"))
		if !errors.Is(err, gatehouse.ErrNotRecorded) || s.ID != "" {
			t.Errorf("session %+v, error %v", s, err)
		}
	})
	t.Run("of an unknown name looks like a wrong password, and what was typed is not on the record", func(t *testing.T) {
		w, b := newWorld(t)
		_, err := b.SignIn(t.Context(), attempt("hunter2", "right"))
		if !errors.Is(err, gatehouse.ErrInvalidCredentials) || errors.Is(err, gatehouse.ErrUnknownPerson) {
			t.Errorf("error %v", err)
		}
		if e := w.events[0]; e.Username != "" || strings.Contains(fmt.Sprintf("%+v", e), "hunter2") {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("with a wrong password names the person on the record", func(t *testing.T) {
		w, b := newWorld(t)
		_, err := b.SignIn(t.Context(), attempt("alice", "wrong"))
		if !errors.Is(err, gatehouse.ErrInvalidCredentials) || w.events[0].Username != "alice" || w.events[0].Reason != "invalid_credentials" {
			t.Errorf("error %v, event %+v", err, w.events[0])
		}
	})
	t.Run("against a directory that is down is no wrong password, and costs no allowance", func(t *testing.T) {
		w, b := newWorld(t)
		w.dirErr = &gatehouse.Unavailable{What: "directory", Name: "corp", Err: errors.New("timeout")}
		for range 30 {
			if _, err := b.SignIn(t.Context(), attempt("alice", "right")); !errors.Is(err, gatehouse.ErrUnavailable) || errors.Is(err, gatehouse.ErrInvalidCredentials) {
				t.Fatalf("error %v", err)
			}
		}
		if len(w.counts) > 0 {
			t.Errorf("counted %v", w.counts)
		}
	})
	t.Run("when refused takes its least time, known or unknown", func(t *testing.T) {
		for _, name := range []string{"alice", "nobody"} {
			synctest.Test(t, func(t *testing.T) {
				_, b := newWorld(t)
				b.d.RefusalTime = 400 * time.Millisecond
				start := time.Now()
				if _, err := b.SignIn(t.Context(), attempt(name, "wrong")); err == nil {
					t.Error("signed in")
				}
				if took := time.Since(start); took != 400*time.Millisecond {
					t.Errorf("%s: refused after %v", name, took)
				}
			})
		}
	})
}

func ask(form gatehouse.Form) gatehouse.Ask {
	return gatehouse.Ask{Account: payments, Role: "Admin", Form: form, IP: "192.0.2.7", RequestID: "R"}
}

func TestGrant(t *testing.T) {
	t.Run("hands out exactly the chosen role, after it is on the record", func(t *testing.T) {
		w, b := newWorld(t)
		g, err := b.Grant(t.Context(), w.session(), ask(gatehouse.FormConsole))
		if err != nil {
			t.Fatal(err)
		}
		a := w.said[0]
		pair := saml.RolePair{RoleARN: "arn:aws:iam::" + payments + ":role/Admin", ProviderARN: "arn:aws:iam::" + payments + ":saml-provider/Gatehouse"}
		if diff := cmp.Diff([]saml.RolePair{pair}, a.AWS.Roles); diff != "" {
			t.Errorf("roles (-want +got):\n%s", diff)
		}
		if a.Sign != saml.SignAssertion || a.AWS.SessionDuration != 2*time.Hour || a.AWS.RoleSessionName != SessionName(w.people["alice"]) {
			t.Errorf("assertion %+v", a.AWS)
		}
		want := "https://signin/?issuer=https://gw/roles/" + payments + "/Admin&destination=https://console/eu-west-1"
		if string(g.ConsoleURL) != want {
			t.Errorf("console %q, want %q", string(g.ConsoleURL), want)
		}
		e := w.events[0]
		if e.Kind != gatehouse.EventGranted || e.ID != g.ID || e.Role != pair.RoleARN || e.AssertionID != "_assertion" || e.AccessKeyID != "ASIAEXAMPLE" || e.AWSRequestID != "req" ||
			e.Duration != 2*time.Hour || e.Form != gatehouse.FormConsole || e.SessionName == "" || e.Rules[0] != 1 || len(e.Groups) != 1 || e.Session != "S" {
			t.Errorf("event %+v", e)
		}
	})
	t.Run("that cannot be recorded gives nothing", func(t *testing.T) {
		w, b := newWorld(t)
		w.auditErr = errors.New("disk full")
		for _, form := range gatehouse.Forms {
			g, err := b.Grant(t.Context(), w.session(), ask(form))
			if diff := cmp.Diff(Grant{}, g); !errors.Is(err, gatehouse.ErrNotRecorded) || diff != "" {
				t.Errorf("%s: error %v, grant %s", form, err, diff)
			}
		}
	})
	t.Run("of a role that nobody gave is refused and recorded", func(t *testing.T) {
		w, b := newWorld(t)
		for _, a := range []gatehouse.Ask{{Account: payments, Role: "Root"}, {Account: "999999999999", Role: "Admin"}, {Account: payments, Role: "admin"}, {}} {
			g, err := b.Grant(t.Context(), w.session(), a)
			if !errors.Is(err, gatehouse.ErrNotEntitled) || g.ID != "" {
				t.Errorf("%+v: %v", a, err)
			}
		}
		if got, want := w.events[0].Role, "arn:aws:iam::"+payments+":role/Root"; got != want {
			t.Errorf("the record says %q was asked for, want %q", got, want)
		}
		if len(w.said) > 0 || w.kinds()[0] != "refused not_entitled" {
			t.Errorf("assertions %d, events %q", len(w.said), w.kinds())
		}
	})
	t.Run("reads the person again once the directory's word is old", func(t *testing.T) {
		w, b := newWorld(t)
		s := w.session()
		if _, err := b.Grant(t.Context(), s, ask(gatehouse.FormBash)); err != nil || w.lookups != 0 {
			t.Fatalf("%v after %d look-ups", err, w.lookups)
		}
		w.now = w.now.Add(61 * time.Second)
		left := w.people["alice"]
		left.Groups = nil
		w.people["alice"] = left
		if _, err := b.Grant(t.Context(), s, ask(gatehouse.FormBash)); !errors.Is(err, gatehouse.ErrNotEntitled) || w.lookups != 1 {
			t.Errorf("%v after %d look-ups", err, w.lookups)
		}
		delete(w.people, "alice")
		if _, err := b.Grant(t.Context(), s, ask(gatehouse.FormBash)); !errors.Is(err, gatehouse.ErrNoSession) {
			t.Errorf("somebody gone: %v", err)
		}
		w.dirErr = &gatehouse.Unavailable{What: "directory", Err: errors.New("down")}
		if _, err := b.Grant(t.Context(), s, ask(gatehouse.FormBash)); !errors.Is(err, gatehouse.ErrUnavailable) {
			t.Errorf("directory down: %v", err)
		}
	})
	t.Run("does not believe a person read in the future", func(t *testing.T) {
		w, b := newWorld(t)
		s := w.session()
		s.User.ReadAt = w.now.Add(time.Hour)
		_, _ = b.Grant(t.Context(), s, ask(gatehouse.FormBash))
		if w.lookups != 1 {
			t.Errorf("%d look-ups", w.lookups)
		}
	})
	t.Run("of a duration out of range is refused", func(t *testing.T) {
		w, b := newWorld(t)
		for _, d := range []time.Duration{-time.Hour, time.Second, 15*time.Minute - 1, 12*time.Hour + 1} {
			a := ask(gatehouse.FormBash)
			a.Duration = d
			if _, err := b.Grant(t.Context(), w.session(), a); !errors.Is(err, gatehouse.ErrInvalid) {
				t.Errorf("%v: %v", d, err)
			}
		}
		if len(w.asked) > 0 {
			t.Errorf("STS was asked: %v", w.asked)
		}
	})
	t.Run("leaves no assertion in the memory that the next one gets", func(t *testing.T) {
		w, b := newWorld(t)
		for _, err := range []error{nil, errors.New("AWS says no")} {
			w.stsErr = err
			_, _ = b.Grant(t.Context(), w.session(), ask(gatehouse.FormBash))
		}
		for i, memory := range w.lent {
			if w.handed[i] != "response" || strings.Trim(string(memory), "\x00") != "" {
				t.Errorf("AWS was given %q, and %q stays in its memory", w.handed[i], string(memory))
			}
		}
		if len(w.lent) != 2 {
			t.Errorf("AWS was asked %d times", len(w.lent))
		}
	})
	t.Run("lasts the least of the wish, the rule and the role, and says so", func(t *testing.T) {
		w, b := newWorld(t)
		w.lasts = time.Hour
		a := ask(gatehouse.FormBash)
		a.Duration = 4 * time.Hour
		g, err := b.Grant(t.Context(), w.session(), a)
		if err != nil || w.asked[0] != 2*time.Hour || g.Ask.Duration != time.Hour || g.LoweredFrom != 4*time.Hour || w.events[0].Duration != time.Hour {
			t.Errorf("%v, asked %v, lasts %v, lowered from %v", err, w.asked, g.Ask.Duration, g.LoweredFrom)
		}
		if _, err := b.Grant(t.Context(), w.session(), a); err != nil || w.asked[1] != time.Hour {
			t.Errorf("the role's maximum was not remembered: %v, asked %v", err, w.asked)
		}
	})
	t.Run("refuses a foreign destination before anything is signed", func(t *testing.T) {
		w, b := newWorld(t)
		a := ask(gatehouse.FormConsole)
		a.Destination = "https://evil.example"
		if _, err := b.Grant(t.Context(), w.session(), a); !errors.Is(err, gatehouse.ErrInvalid) || len(w.said) > 0 {
			t.Errorf("%v, %d assertions", err, len(w.said))
		}
	})
	t.Run("gives nothing when STS answers for another role", func(t *testing.T) {
		w, b := newWorld(t)
		w.wrong = true
		if g, err := b.Grant(t.Context(), w.session(), ask(gatehouse.FormBash)); !errors.Is(err, gatehouse.ErrUnavailable) || g.Credentials.AccessKeyID != "" {
			t.Errorf("%v, %+v", err, g)
		}
	})
	t.Run("passes AWS's refusal on, recorded", func(t *testing.T) {
		w, b := newWorld(t)
		w.stsErr = &gatehouse.Refusal{Service: "STS", Code: "AccessDenied"}
		if _, err := b.Grant(t.Context(), w.session(), ask(gatehouse.FormBash)); !errors.Is(err, gatehouse.ErrRefusedByAWS) || w.kinds()[0] != "refused refused_by_aws" {
			t.Errorf("%v, %q", err, w.kinds())
		}
	})
	t.Run("for the browser to spend makes a form and calls nobody", func(t *testing.T) {
		w, b := newWorld(t)
		g, err := b.Grant(t.Context(), w.session(), ask(gatehouse.FormPost))
		if err != nil || len(w.asked) > 0 || w.said[0].Sign != saml.SignBoth {
			t.Fatalf("%v, STS asked %v", err, w.asked)
		}
		if diff := cmp.Diff(&Post{URL: "https://signin/saml", SAMLResponse: "response", RelayState: "https://console/eu-west-1"}, g.Post); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestApplicationsAreThoseThatARuleAdmitsTo(t *testing.T) {
	w, b := newWorld(t)
	if got, want := b.Applications(w.session()), []gatehouse.Application{{Name: "Wiki", EntityID: "wiki"}}; !slices.Equal(got, want) {
		t.Errorf("applications %v, want %v", got, want)
	}
	s := w.session()
	s.User.Groups = nil
	if got := b.Applications(s); len(got) > 0 {
		t.Errorf("somebody in no group may open %v", got)
	}
}

func TestGrantToServiceProvider(t *testing.T) {
	wiki := gatehouse.Ask{Provider: "wiki", InResponseTo: "_req", ACS: "https://wiki/acs/2", RelayState: "state"}
	t.Run("answers where the request may be answered", func(t *testing.T) {
		w, b := newWorld(t)
		g, err := b.Grant(t.Context(), w.session(), wiki)
		if err != nil || g.Post.URL != wiki.ACS || g.Post.RelayState != "state" || w.said[0].InResponseTo != "_req" || w.said[0].AWS != nil || w.events[0].Provider != "wiki" {
			t.Errorf("%v, %+v", err, g.Post)
		}
	})
	refused := map[string]func(*gatehouse.Ask, *world){
		"an address of somebody else's": func(a *gatehouse.Ask, _ *world) { a.ACS = "https://evil/acs" },
		"an unknown provider":           func(a *gatehouse.Ask, _ *world) { a.Provider = "blog" },
		"somebody no rule admits": func(_ *gatehouse.Ask, w *world) {
			u := w.people["alice"]
			u.Groups = nil
			w.people["alice"] = u
		},
	}
	for name, tt := range map[string]struct {
		subject gatehouse.Name
		want    error
	}{
		"by the name that it was given":       {gatehouse.Name{Format: saml.NameIDPersistent, Value: "_corp/guid-alice@wiki"}, nil},
		"by user name":                        {gatehouse.Name{Format: saml.NameIDUnspecified, Value: "ALICE"}, nil},
		"by another's user name":              {gatehouse.Name{Format: saml.NameIDUnspecified, Value: "bob"}, gatehouse.ErrAnotherPerson},
		"by another's name":                   {gatehouse.Name{Format: saml.NameIDPersistent, Value: "_corp/2@wiki"}, gatehouse.ErrAnotherPerson},
		"by the same value as a mail address": {gatehouse.Name{Format: saml.NameIDEmail, Value: "_corp/guid-alice@wiki"}, gatehouse.ErrAnotherPerson},
	} {
		t.Run("is about the person who was asked for, "+name, func(t *testing.T) {
			w, b := newWorld(t)
			a := wiki
			a.NameIDFormat, a.Subject = saml.NameIDPersistent, tt.subject
			if a.Subject.Value == "_corp/guid-alice@wiki" {
				a.Subject.Value = w.NameID(w.people["alice"].Key(), "wiki")
			}
			if g, err := b.Grant(t.Context(), w.session(), a); !errors.Is(err, tt.want) || (err != nil) != (len(w.said) == 0) {
				t.Errorf("%v, %+v", err, g)
			}
		})
	}
	t.Run("refuses a request that was answered, on the record", func(t *testing.T) {
		w, b := newWorld(t)
		a := wiki
		a.Once = gatehouse.Once{Key: "_req", Until: w.now.Add(time.Minute)}
		if _, err := b.Grant(t.Context(), w.session(), a); err != nil || w.events[0].Once != a.Once {
			t.Fatalf("%v, %+v", err, w.events)
		}
		g, err := b.Grant(t.Context(), w.session(), a)
		if !errors.Is(err, gatehouse.ErrTwice) || errors.Is(err, gatehouse.ErrNotRecorded) || g.Post != nil || g.ID != "" || len(w.events) != 2 {
			t.Fatalf("%+v, %v, %+v", g, err, w.events)
		}
		if e := w.events[1]; e.Kind != gatehouse.EventRefused || e.Reason != "answered_before" || e.AssertionID != "" || e.Provider != "wiki" {
			t.Errorf("on the record: %+v", e)
		}
	})
	t.Run("refuses a proof of another class", func(t *testing.T) {
		w, b := newWorld(t)
		a := wiki
		a.Contexts = []string{saml.Kerberos}
		if g, err := b.Grant(t.Context(), w.session(), a); !errors.Is(err, gatehouse.ErrAnotherProof) || g.Post != nil || len(w.said) > 0 {
			t.Errorf("%v, %+v", err, g)
		}
	})
	for name, change := range refused {
		t.Run("refuses "+name, func(t *testing.T) {
			w, b := newWorld(t)
			a := wiki
			change(&a, w)
			g, err := b.Grant(t.Context(), w.session(), a)
			if name == "somebody no rule admits" && !errors.Is(err, gatehouse.ErrNotAdmitted) {
				t.Errorf("error %v, want ErrNotAdmitted", err)
			}
			if err == nil || g.Post != nil || len(w.said) > 0 {
				t.Errorf("%v, %+v", err, g)
			}
		})
	}
}

func TestAWordOfTheDirectoryIsGoodForMaxAgeAndWithZeroNeverAgain(t *testing.T) {
	for _, tt := range []struct {
		name        string
		maxAge, age time.Duration
		fresh       bool
	}{
		{"younger", time.Minute, 59 * time.Second, true},
		{"older", time.Minute, 61 * time.Second, false},
		{"of this very moment", time.Minute, 0, true},
		{"of this very moment, where each time is asked for", 0, 0, false},
		{"by a clock that is ahead, where each time is asked for", 0, -time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, b := newWorld(t)
			b.d.Directories[0].MaxAge = tt.maxAge
			s := w.session()
			s.User.ReadAt = w.now.Add(-tt.age)
			s.User.DisplayName = "as it was"
			got, err := b.Refresh(t.Context(), s)
			if err != nil || (got.User.DisplayName == "as it was") != tt.fresh {
				t.Errorf("%q, %v; want the session's own: %t", got.User.DisplayName, err, tt.fresh)
			}
		})
	}
}

// Whose groups cannot be read any more is not served from an old list: that
// would never be set right. The next sign-in says what is the matter.
func TestASessionEndsOnceItsPersonIsInTooManyGroups(t *testing.T) {
	w, b := newWorld(t)
	b.d.Directories[0].MaxAge = 0
	w.dirErr = gatehouse.ErrTooManyGroups
	if _, err := b.Refresh(t.Context(), w.session()); !errors.Is(err, gatehouse.ErrNoSession) || !errors.Is(err, gatehouse.ErrTooManyGroups) || errors.Is(err, gatehouse.ErrUnavailable) {
		t.Errorf("%v, want ErrNoSession for the reason", err)
	}
}
