package ldap_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"
)

// A forest of the demo directory's: corp.example.com with the child domain
// emea, a catalogue of both, and partner.com, which is in the catalogue and
// nowhere else.
const (
	corpDN = suffix
	emeaDN = "dc=emea," + suffix

	universalGroup = "-2147483640"
	localGroup     = "-2147483644"
)

// inDomain is a person or a group of one of the domains, whose SIDs differ in
// the part before the last.
func inDomain(dn, name string, rid byte, pairs ...string) directory.Entry {
	domain, _, _ := strings.Cut(strings.TrimPrefix(dn, "dc="), ",")
	objectSID := "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00" + (domain + "____________")[:12] + string([]byte{rid, 0x04, 0, 0})
	return entry("cn="+name+","+dn, append([]string{"cn", name, "sAMAccountName", name, "objectSid", objectSID}, pairs...)...)
}

func forestPerson(dn, name, upn string, pairs ...string) directory.Entry {
	return inDomain(dn, name, 100, append([]string{"objectClass", "user", "objectCategory", "person", "userPrincipalName", upn,
		"userPassword", secret, "userAccountControl", "512", "primaryGroupID", "1025", "department", "of " + dn}, pairs...)...)
}

func forestGroup(dn, name string, rid byte, kind string, members ...string) directory.Entry {
	e := inDomain(dn, name, rid, "objectClass", "group", "objectCategory", "group", "groupType", kind)
	e.Attributes["member"] = members
	return e
}

// tokens are the SIDs of groups.
func tokens(groups ...directory.Entry) []string {
	var pairs []string
	for _, g := range groups {
		pairs = append(pairs, "tokenGroups", g.Attributes["objectSid"][0])
	}
	return pairs
}

// demoForest is a running forest.
type demoForest struct {
	catalog, corp, emea *directory.Server
	ca                  string
}

func (f demoForest) config() ldap.Config {
	return ldap.Config{
		Name: "corp", Type: ldap.ActiveDirectory, Forest: "corp.example.com", GlobalCatalog: []string{f.catalog.URL()}, CAFile: f.ca,
		Domains: map[string]ldap.ForestDomain{
			"corp.example.com":      {URLs: []string{f.corp.URL()}, NetBIOS: "CORP"},
			"Emea.corp.example.com": {URLs: []string{f.emea.URL()}, NetBIOS: "EMEA"},
		},
		BindDN: "gatehouse@corp.example.com", BindPassword: serviceID, Attributes: []string{"department"}, Timeout: 10 * time.Second,
	}
}

func startForest(t *testing.T) demoForest {
	t.Helper()
	service := entry(serviceDN, "objectClass", "user", "cn", "gatehouse", "userPassword", serviceID, "userPrincipalName", "gatehouse@corp.example.com")
	emea := func(name string) string { return "cn=" + name + "," + emeaDN }
	staff := forestGroup(emeaDN, "staff", 1, security)
	team := forestGroup(emeaDN, "team", 2, security, emea("bob"), emea("dora"))
	everywhere := forestGroup(corpDN, "everywhere", 3, universalGroup, emea("team"))
	local := forestGroup(emeaDN, "local", 4, localGroup, "cn=everywhere,"+corpDN)
	elsewhere := forestGroup(corpDN, "elsewhere", 5, localGroup, "cn=everywhere,"+corpDN)
	corpStaff := forestGroup(corpDN, "corp-staff", 1, security)
	inCorp := []directory.Entry{
		entry(corpDN, "objectClass", "domainDNS", "dc", "corp"), service, corpStaff, everywhere, elsewhere,
		forestPerson(corpDN, "alice", "alice@corp.example.com", tokens(corpStaff)...),
		forestPerson(corpDN, "mallory", "bob@emea.corp.example.com", tokens(corpStaff)...),
	}
	inEmea := []directory.Entry{
		entry(emeaDN, "objectClass", "domainDNS", "dc", "emea"), staff, team, local,
		forestPerson(emeaDN, "alice", "alice@emea.corp.example.com", tokens(staff)...),
		forestPerson(emeaDN, "bob", "robert@group.example.com", tokens(staff, team, everywhere, local)...),
		forestPerson(emeaDN, "dora", "dora@emea.corp.example.com"),
		forestPerson(emeaDN, "mover", "mover@emea.corp.example.com", append(tokens(staff), "entryUUID", "0f1e2d3c-4b5a-4978-8a6b-5c4d3e2f1a0b")...),
	}
	ghost := forestPerson(emeaDN, "ghost", "ghost@emea.corp.example.com")
	islander := forestPerson("dc=apac,"+corpDN, "islander", "islander@apac.corp.example.com")
	stranger := forestPerson("dc=partner,dc=com", "stranger", "stranger@partner.com")
	serviceInEmea := service
	serviceInEmea.DN = "cn=gatehouse," + emeaDN // as if its own domain answered for it

	ca := outside.NewAuthority(t)
	cert := ca.IssuePair(t, time.Now().Add(30*24*time.Hour), "127.0.0.1")
	start := func(c directory.Config) *directory.Server {
		c.Certificate, c.ActiveDirectory, c.RootDomain = &cert, true, corpDN
		s, err := directory.Start(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	return demoForest{
		catalog: start(directory.Config{Suffix: "dc=com", GlobalCatalog: true, Entries: slices.Concat(inCorp, inEmea, []directory.Entry{ghost, islander, stranger})}),
		corp:    start(directory.Config{Suffix: corpDN, Entries: inCorp}),
		emea:    start(directory.Config{Suffix: emeaDN, Entries: append(inEmea, serviceInEmea)}),
		ca:      ca.File(t),
	}
}

// TestForestNames: a name means one person of the whole forest, or of the
// domain that it says, or nobody.
func TestForestNames(t *testing.T) {
	f := startForest(t)
	d := open(t, f.config())
	if got := d.Suffixes(); !slices.Equal(got, []string{"corp", "corp.example.com", "emea", "emea.corp.example.com"}) {
		t.Errorf("suffixes %q", got)
	}
	testNames(t, d, secret, []nameCase{
		{"two domains have one of that name", "alice", "ambiguous"},
		{"a NetBIOS name says which", `EMEA\alice`, "alice"},
		{"so does the domain", "alice@emea.corp.example.com", "alice"},
		{"a name that one domain has", "bob", "bob"},
		{"not of that domain", `CORP\bob`, "unknown"},
		{"nor of the root", "bob@corp.example.com", "unknown"},
		{"an explicit UPN beats an implicit one, of another domain too", "bob@emea.corp.example.com", "mallory"},
		{"whose name is still theirs in the other form", `emea\bob`, "bob"},
		{"a UPN suffix that is no domain", "robert@group.example.com", "bob"},
		{"a domain that is none", "bob@nowhere.corp.example.com", "unknown"},
		{"one whom the catalogue still has, and their domain has not", "ghost", "unknown"},
	})
	for typed, want := range map[string]string{`EMEA\alice`: emeaDN, `CORP\alice`: corpDN, "alice@corp.example.com": corpDN, "bob": emeaDN} {
		u, err := signIn(t, d, typed)
		if err != nil || !strings.HasSuffix(u.DN, ","+want) || !slices.Equal(u.Attributes["department"], []string{"of " + want}) {
			t.Errorf("%s: %+v, %v; want somebody of %s, read there", typed, u, err, want)
		}
	}
}

// TestForestHome: everything but finding somebody happens in their own domain.
func TestForestHome(t *testing.T) {
	f := startForest(t)
	d := open(t, f.config())
	bob, err := signIn(t, d, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if n := []int{f.catalog.Binds(bob.DN), f.corp.Binds(bob.DN), f.emea.Binds(bob.DN)}; !slices.Equal(n, []int{0, 0, 1}) {
		t.Errorf("his password was tried %v times on the catalogue, the root and his domain; want his domain alone, once", n)
	}
	t.Run("groups of his domain and universal ones; not what only holds elsewhere", func(t *testing.T) {
		if got := ways(bob.Groups); !slices.Equal(got, []string{"everywhere", "local", "staff", "team"}) {
			t.Errorf("%q", got)
		}
	})
	t.Run("the same where tokenGroups is hidden, by walking in both", func(t *testing.T) {
		dora, err := signIn(t, d, "dora")
		want := []string{"everywhere", "local", "staff", "team"}
		if got := names(dora.Groups); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	})
	t.Run("Find explains a way that leads through another domain", func(t *testing.T) {
		u, err := d.Find(t.Context(), "bob")
		i := slices.IndexFunc(u.Groups, func(g gatehouse.Group) bool { return g.Name == "local" })
		if err != nil || i < 0 || !slices.Equal(u.Groups[i].Via, []string{"cn=team," + emeaDN, "cn=everywhere," + corpDN}) {
			t.Errorf("%+v, %v", u.Groups, err)
		}
	})
	t.Run("only groups below group_base_dn count, wherever the way leads", func(t *testing.T) {
		for base, want := range map[string][]string{
			"cn=everywhere," + corpDN: {"everywhere"}, emeaDN: {"local", "staff", "team"}, "cn=local," + emeaDN: {"local"}, "cn=elsewhere," + corpDN: nil,
		} {
			c := f.config()
			c.GroupBaseDN = base
			for _, name := range []string{"bob", "dora"} {
				u, err := signIn(t, open(t, c), name)
				if got := names(u.Groups); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s below %s: %q, %v; want %q", name, base, got, err, want)
				}
			}
		}
	})
	t.Run("Lookup finds him by his identifier, and his domain's word counts", func(t *testing.T) {
		u, err := d.Lookup(t.Context(), bob.ID)
		if err != nil || u.DN != bob.DN || len(u.Groups) != 4 {
			t.Errorf("%+v, %v", u, err)
		}
		e := forestPerson(emeaDN, "bob", "robert@group.example.com", "userAccountControl", "514")
		e.Attributes["userAccountControl"] = []string{"514"}
		if err := f.emea.Put(e); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Lookup(t.Context(), bob.ID); !errors.Is(err, gatehouse.ErrAccountDisabled) {
			t.Errorf("disabled at home, and the catalogue does not know yet: %v", err)
		}
	})
	t.Run("whoever moves to another domain stays the same", func(t *testing.T) {
		before, err := signIn(t, d, "mover")
		if err != nil {
			t.Fatal(err)
		}
		moved := forestPerson(corpDN, "mover", "mover@corp.example.com", "entryUUID", before.ID)
		for _, s := range []*directory.Server{f.catalog, f.emea} {
			if err := s.Delete(before.DN); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []*directory.Server{f.catalog, f.corp} {
			if err := s.Put(moved); err != nil {
				t.Fatal(err)
			}
		}
		after, err := d.Lookup(t.Context(), before.ID)
		if err != nil || after.ID != before.ID || after.DN != moved.DN {
			t.Errorf("%+v, %v", after, err)
		}
	})
}

// TestForestRefuses: whose domain cannot be asked does not come in.
func TestForestRefuses(t *testing.T) {
	f := startForest(t)
	t.Run("a domain that is not configured", func(t *testing.T) {
		d := open(t, f.config())
		u, err := signIn(t, d, "stranger")
		if !errors.Is(err, gatehouse.ErrInvalidCredentials) || reason(err) != "home_unknown" || u.ID != "" || !strings.Contains(err.Error(), "listed under domains") {
			t.Errorf("%+v, %v", u, err)
		}
		if n := f.catalog.Binds("cn=stranger,dc=partner,dc=com"); n != 0 {
			t.Errorf("the password was tried %d times on the catalogue", n)
		}
	})
	t.Run("a domain that nobody listed, and DNS does not know", func(t *testing.T) {
		c := f.config()
		c.SetDefaults()
		deaf := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no DNS here") }}
		d, err := ldap.NewWithResolver(c, deaf, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		u, err := signIn(t, d, "islander")
		if !errors.Is(err, gatehouse.ErrUnavailable) || u.ID != "" || !strings.Contains(err.Error(), "_ldap._tcp.apac.corp.example.com") {
			t.Errorf("%+v, %v", u, err)
		}
		if _, err := signIn(t, d, "mallory"); err != nil {
			t.Errorf("people of the listed domains: %v", err)
		}
	})
	t.Run("people outside user_base_dn", func(t *testing.T) {
		c := f.config()
		c.UserBaseDN = emeaDN
		testNames(t, open(t, c), secret, []nameCase{{"of another domain", "mallory", "unknown"}, {"in the NetBIOS form", `CORP\alice`, "unknown"}, {"within", "alice", "alice"}})
	})
	t.Run("a domain that is down", func(t *testing.T) {
		f.emea.Close()
		d := open(t, f.config())
		if u, err := signIn(t, d, "bob"); !errors.Is(err, gatehouse.ErrUnavailable) {
			t.Errorf("%+v, %v", u, err)
		}
		if _, err := signIn(t, d, "mallory"); err != nil {
			t.Errorf("people of the other domain: %v", err)
		}
	})
	t.Run("a catalogue that is down", func(t *testing.T) {
		f.catalog.Close()
		if u, err := signIn(t, open(t, f.config()), "mallory"); !errors.Is(err, gatehouse.ErrUnavailable) {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

// TestSambaForest: a real catalogue, on its own port, and a real domain.
func TestSambaForest(t *testing.T) {
	s := outside.Samba(t)
	listed := func(c *ldap.Config) {
		c.URLs, c.Domain, c.BaseDN, c.Forest = nil, "", "", "corp.example.com"
		c.BindDN = "gatehouse@corp.example.com"
		c.GlobalCatalog, c.Timeout = []string{"ldaps://" + s.Address}, time.Minute
		c.Domains = map[string]ldap.ForestDomain{"corp.example.com": {URLs: []string{s.LDAPS}, NetBIOS: outside.SambaDomain}}
	}
	for name, d := range map[string]*ldap.Directory{
		"servers that are listed": samba(t, listed),
		"StartTLS": samba(t, listed, func(c *ldap.Config) {
			c.GlobalCatalog = []string{"ldap://" + s.Address}
			c.Domains = map[string]ldap.ForestDomain{"corp.example.com": {URLs: []string{s.LDAP}, NetBIOS: outside.SambaDomain}}
		}),
		"servers that DNS names": discovered(t, func(c *ldap.Config) {
			listed(c)
			c.GlobalCatalog, c.Domains, c.Site = nil, map[string]ldap.ForestDomain{"corp.example.com": {NetBIOS: outside.SambaDomain}}, "Default-First-Site-Name"
		}),
	} {
		t.Run(name, func(t *testing.T) { sambaForest(t, d) })
	}
	t.Run("nothing but its name, and a domain that DNS leads to", func(t *testing.T) {
		d := discovered(t, func(c *ldap.Config) { listed(c); c.GlobalCatalog, c.Domains = nil, nil })
		if u, err := d.Authenticate(t.Context(), "alice@corp.example.com", adSecret, admitAll); err != nil || len(u.Groups) != 3 {
			t.Errorf("%+v, %v", u, err)
		}
	})
}

func sambaForest(t *testing.T, d *ldap.Directory) {
	testNames(t, d, adSecret, []nameCase{
		{"an account name", "alice", "alice"},
		{"a NetBIOS name", `CORP\alice`, "alice"},
		{"an explicit UPN beats an implicit one", "victim@corp.example.com", "impostor"},
		{"an implicit one", "upn-differs@corp.example.com", "upn-differs"},
		{"one's UPN is another's account name", "short", "ambiguous"},
		{"a domain that is none", "alice@emea.corp.example.com", "unknown"},
	})
	for name, want := range map[string]int{"alice": 3, "bob": 2, "carol": 300, "zoë": 2, "dan": 0, "deep": 15} {
		if u, err := d.Authenticate(t.Context(), name, adSecret, admitAll); err != nil || len(u.Groups) != want {
			t.Errorf("%s: %d groups, %v; want %d", name, len(u.Groups), err, want)
		}
	}
	if _, err := d.Authenticate(t.Context(), "erin", adSecret, admitAll); !errors.Is(err, gatehouse.ErrPasswordExpired) {
		t.Error(err)
	}
	u, err := d.Find(t.Context(), "alice")
	if err != nil || !slices.Equal(adWays(u.Groups), []string{"team", "team > dept", "team > dept > org"}) {
		t.Errorf("%q, %v", adWays(u.Groups), err)
	}
	if again, err := d.Lookup(t.Context(), u.ID); err != nil || again.DN != u.DN || len(again.Groups) != 3 {
		t.Errorf("%+v, %v", again, err)
	}
	if err := d.ChangePassword(t.Context(), "must-change", adWrong, fresh, admitAll); reason(err) != "wrong_password" {
		t.Errorf("a change at home: %v", err)
	}
	if threshold, window, err := d.Limits(t.Context()); err != nil || threshold != adLockout || window != 30*time.Minute {
		t.Errorf("%d within %v, %v", threshold, window, err)
	}
	if f := d.Ready(t.Context()); f.State != gatehouse.FindingOK {
		t.Errorf("%+v", f)
	}
}
