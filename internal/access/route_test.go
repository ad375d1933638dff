package access

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
)

// forest is a directory among several: who it knows, and what it was asked.
type forest struct {
	*world
	name  string
	err   error // what it answers to Identify instead
	hangs bool

	mu        sync.Mutex
	asked     []string
	passwords []string
}

func (f *forest) Name() string { return f.name }

func (f *forest) Identify(ctx context.Context, username string) (gatehouse.User, error) {
	f.mu.Lock()
	f.asked = append(f.asked, username)
	f.mu.Unlock()
	if f.hangs {
		<-ctx.Done()
		return gatehouse.User{}, &gatehouse.Unavailable{What: "directory", Name: f.name, Err: ctx.Err()}
	}
	if f.err != nil {
		return gatehouse.User{}, f.err
	}
	return f.find(username)
}

func (f *forest) find(username string) (gatehouse.User, error) {
	u, ok := f.people[username]
	if !ok {
		return gatehouse.User{}, gatehouse.ErrUnknownPerson
	}
	u.Directory = f.name
	return u, nil
}

func (f *forest) Authenticate(_ context.Context, username string, password gatehouse.Secret, admit func(gatehouse.User) error) (gatehouse.User, error) {
	u, err := f.find(username)
	if err != nil {
		return gatehouse.User{}, err
	}
	if err := admit(u); err != nil {
		return gatehouse.User{}, err
	}
	f.passwords = append(f.passwords, string(password))
	if string(password) != "right at "+f.name {
		return gatehouse.User{}, gatehouse.ErrInvalidCredentials
	}
	return u, nil
}

// knowing is a forest that claims suffixes and knows names.
func knowing(name string, suffixes string, names ...string) (*forest, Source) {
	f := &forest{name: name, world: &world{people: map[string]gatehouse.User{}}}
	for _, n := range names {
		f.people[n] = gatehouse.User{ID: strings.ToLower(n), Username: n, DN: "CN=" + n}
	}
	return f, Source{Directory: f, MaxAge: time.Minute, Suffixes: strings.Fields(suffixes)}
}

// withForests is a Broker of two forests and an LDAP, each with a bob.
func withForests(t *testing.T) (*world, *Broker, []*forest) {
	t.Helper()
	w, b := newWorld(t)
	corp, corpSource := knowing("corp", "corp.example.com CORP", "bob", "bob@corp.example.com", `CORP\bob`, `corp\bob`, "carol", "bob@lab.example.net")
	lab, labSource := knowing("lab", "lab.example.net LAB .corp.example.com", "ann@emea.corp.example.com", "bob", "bob@lab.example.net", "bob@LAB.example.NET", `LAB\bob`, "dan@mail.example")
	plain, plainSource := knowing("plain", "", "erin", "ann@emea.corp.example.com", "dora@xcorp.example.com", "carol2", `EVIL\bob`)
	deps := b.d
	deps.Directories = []Source{corpSource, labSource, plainSource}
	return w, New(deps), []*forest{corp, lab, plain}
}

func TestWhoseNameItIs(t *testing.T) {
	tests := []struct {
		name, username string
		down           string // directories that do not answer
		home           string // whose password it is; empty: nobody's
		reason         string
	}{
		{"a suffix leads to the directory that claims it, and to no other that knows the whole name", "bob@lab.example.net", "", "lab", ""},
		{"in whatever letters", "bob@LAB.example.NET", "", "lab", ""},
		{"the old way of writing a domain, too", `CORP\bob`, "", "corp", ""},
		{"in whatever letters, too", `corp\bob`, "", "corp", ""},
		{"a claimed suffix that its directory does not know is nobody, whatever the others know", "carol2@corp.example.com", "", "", "unknown"},
		{"and is asked of nobody else when its directory is down", "bob@lab.example.net", "corp plain", "lab", ""},
		{"a domain below one that is claimed with all below it", "ann@emea.corp.example.com", "", "lab", ""},
		{"a domain that only ends alike is not below it", "dora@xcorp.example.com", "", "plain", ""},
		{"a suffix claimed as it is goes before one of all below", "bob@corp.example.com", "", "corp", ""},
		{"a bare name that one knows is that one's", "carol", "", "corp", ""},
		{"and the last one's, if it is", "erin", "", "plain", ""},
		{"a bare name that two know is nobody's", "bob", "", "", "ambiguous"},
		{"a bare name that nobody knows", "mallory", "", "", "unknown"},
		{"a suffix that nobody claims is part of the name", "dan@mail.example", "", "lab", ""},
		{"a domain that nobody claims, too", `EVIL\bob`, "", "plain", ""},
		{"one that does not answer cannot claim a name", "carol", "lab", "corp", ""},
		{"unless nobody else knows it", "mallory", "lab", "", "unavailable"},
	}
	for _, tt := range tests {
		for _, how := range []string{"refusing", "hanging"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, b, forests := withForests(t)
					for _, f := range forests {
						if slices.Contains(strings.Fields(tt.down), f.name) {
							f.err, f.hangs = &gatehouse.Unavailable{What: "directory", Name: f.name, Err: errors.New("down")}, how == "hanging"
						}
					}
					began := time.Now()
					s, err := b.SignIn(t.Context(), attempt(tt.username, "right at "+tt.home))
					if took := time.Since(began); took > askFor+time.Millisecond {
						t.Errorf("took %v", took)
					}
					if s.User.Directory != tt.home || (err == nil) != (tt.home != "") {
						t.Errorf("signed in to %q, %v; want %q", s.User.Directory, err, tt.home)
					}
					if got := w.events[0].Reason; got != tt.reason {
						t.Errorf("reason %q, want %q", got, tt.reason)
					}
					if unavailable := tt.reason == "unavailable"; tt.home == "" && errors.Is(err, gatehouse.ErrUnavailable) != unavailable || errors.Is(err, gatehouse.ErrInvalidCredentials) == unavailable && tt.home == "" {
						t.Errorf("error %v", err)
					}
					for _, f := range forests {
						if f.name != tt.home && len(f.passwords) > 0 {
							t.Errorf("%s was sent a password", f.name)
						}
					}
				})
			})
		}
	}
}

func TestAPersonWhomTheirDirectoryRefusesEndsTheMatter(t *testing.T) {
	w, b, forests := withForests(t)
	forests[0].err = &withheld{errors.New("their domain is not listed")}
	_, err := b.SignIn(t.Context(), attempt("erin", "right at plain"))
	if !errors.Is(err, gatehouse.ErrInvalidCredentials) {
		t.Errorf("error %v", err)
	}
	if got := w.events[0].Reason; got != "throttled" { // withheld's own word
		t.Errorf("reason %q", got)
	}
	for _, f := range forests {
		if len(f.passwords) > 0 {
			t.Errorf("%s was sent the password of somebody else's namesake", f.name)
		}
	}
}

func TestWhoIsAsked(t *testing.T) {
	t.Run("of a claimed suffix, nobody beforehand", func(t *testing.T) {
		_, b, forests := withForests(t)
		_, _ = b.SignIn(t.Context(), attempt("bob@lab.example.net", "x"))
		for _, f := range forests {
			if len(f.asked) > 0 {
				t.Errorf("%s was asked %q", f.name, f.asked)
			}
		}
	})
	t.Run("of a bare name, everybody, once", func(t *testing.T) {
		_, b, forests := withForests(t)
		_, _ = b.SignIn(t.Context(), attempt("carol", "x"))
		for _, f := range forests {
			if !slices.Equal(f.asked, []string{"carol"}) {
				t.Errorf("%s was asked %q", f.name, f.asked)
			}
		}
	})
	t.Run("while there is one directory, nobody beforehand, whatever the suffix", func(t *testing.T) {
		f, source := knowing("corp", "corp.example.com", "bob", "bob@elsewhere.example")
		_, b := newWorld(t)
		deps := b.d
		deps.Directories = []Source{source}
		for _, name := range []string{"bob", "bob@elsewhere.example"} {
			if _, err := New(deps).SignIn(t.Context(), attempt(name, "right at corp")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(f.asked) > 0 {
			t.Errorf("asked %q", f.asked)
		}
	})
	t.Run("a name that one directory knows twice over is nobody's", func(t *testing.T) {
		w, b, forests := withForests(t)
		forests[2].err = &ambiguous{}
		_, err := b.SignIn(t.Context(), attempt("carol", "right at corp"))
		if !errors.Is(err, gatehouse.ErrInvalidCredentials) || w.events[0].Reason != "ambiguous" || len(forests[0].passwords) > 0 {
			t.Errorf("%v, %q", err, w.kinds())
		}
	})
	t.Run("a directory that was down does not cost the name its allowance", func(t *testing.T) {
		_, b, forests := withForests(t)
		forests[1].err = &gatehouse.Unavailable{What: "directory", Name: "lab", Err: errors.New("down")}
		for range 10 {
			if _, err := b.SignIn(t.Context(), attempt("mallory", "x")); !errors.Is(err, gatehouse.ErrUnavailable) {
				t.Fatal(err)
			}
		}
	})
}

func TestSpelling(t *testing.T) {
	_, corp := knowing("corp", "corp.example.com CORP")
	_, lab := knowing("lab", "lab.example.net")
	both, one := []Source{corp, lab}, []Source{corp}
	tests := []struct {
		name string
		all  []Source
		a, b string
		same bool
	}{
		{"case", one, "bob", "BOB", true},
		{"space around", one, " bob ", "bob", true},
		{"every suffix of one directory", both, `CORP\bob`, "Bob@Corp.Example.Com", true},
		{"a bare name where there is one directory", one, "bob", "bob@corp.example.com", true},
		{"a bare name among several is not yet anybody's", both, "bob", "bob@corp.example.com", false},
		{"two directories", both, "bob@corp.example.com", "bob@lab.example.net", false},
		{"a mail address", one, "bob@mail.example", "bob", false},
		{"what a directory is called is no suffix", both, "bob@LAB", "bob@lab.example.net", false},
		{"letters with several small forms", one, "k", "\u212a", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := spelling(tt.a, claimants(tt.all, tt.a)), spelling(tt.b, claimants(tt.all, tt.b))
			if (a == b) != tt.same {
				t.Errorf("%q is %q, %q is %q; want the same: %v", tt.a, a, tt.b, b, tt.same)
			}
		})
	}
}
