package ldap_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"
	"gatehouse/ldap"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
)

// TestTLSFaults: what is wrong with a real server's TLS is named, in the
// error of a sign-in and in what check says to do. See TestCertificates for
// what is wrong with certificates.
func TestTLSFaults(t *testing.T) {
	t.Parallel()
	only := func(version string) []string { return []string{"TLSCipherSuite NORMAL:-VERS-ALL:+VERS-TLS" + version} }
	tests := []struct {
		name   string
		server outside.SlapdConfig
		says   string
		fix    string
	}{
		{"TLS 1.0 alone", outside.SlapdConfig{Global: only("1.0")}, "nothing newer than TLS 1.1", "TLS 1.2 or 1.3"},
		{"TLS 1.1 alone", outside.SlapdConfig{Global: only("1.1")}, "nothing newer than TLS 1.1", "TLS 1.2 or 1.3"},
		{"StartTLS refused", outside.SlapdConfig{NoTLS: true}, "refuses StartTLS", "give the server a certificate"},
		{"a client certificate is wanted, in TLS 1.2", outside.SlapdConfig{ClientCertificates: true, Global: only("1.2")}, "asked for a client certificate", "set cert_file"},
		{"a client certificate is wanted, in TLS 1.3", outside.SlapdConfig{ClientCertificates: true}, "asked for a client certificate", "set cert_file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, ca := startSlapd(t, tt.server)
			for _, url := range []string{s.LDAP, s.LDAPS} {
				if url == "" {
					continue
				}
				d := open(t, config([]string{url}, ca))
				_, err := signIn(t, d, "alice")
				if !errors.Is(err, gatehouse.ErrUnavailable) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: %v; want it to say %q", url, err, tt.says)
				}
				findings := d.Check(t.Context())
				last := findings[len(findings)-1]
				if last.State != gatehouse.FindingFailure || !strings.Contains(last.Detail, tt.says) || !strings.Contains(last.Fix, tt.fix) {
					t.Errorf("check of %s: %+v; want %q and %q", url, last, tt.says, tt.fix)
				}
			}
		})
	}
}

// killer passes connections on to s, and kills s once so many bytes of its
// answers have passed on one connection.
func killer(t testing.TB, s *outside.Slapd, after int64) (url string) {
	l := listen(t)
	addr := strings.TrimPrefix(s.LDAPS, "ldaps://")
	serve(t, l, func(c net.Conn) {
		up, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer up.Close()
		go func() { io.Copy(up, c) }()
		if _, err := io.CopyN(c, up, after); err == nil {
			s.Stop() // by SIGKILL
			io.Copy(c, up)
		}
	})
	return "ldaps://" + l.Addr().String()
}

// TestKilledInMidSearch: a list of groups that its server did not live to
// finish is read anew from another server, whole; or there is none.
func TestKilledInMidSearch(t *testing.T) {
	t.Parallel()
	ca := outside.NewAuthority(t)
	good, caFile := startSlapd(t, outside.SlapdConfig{CA: ca})
	for _, tt := range []struct {
		name   string
		others []string
		groups int
		err    error
	}{
		{"and there is another", []string{good.LDAPS}, 700, nil},
		{"and there is no other", nil, 0, gatehouse.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dies, _ := startSlapd(t, outside.SlapdConfig{CA: ca})
			d := open(t, config(append([]string{killer(t, dies, 20_000)}, tt.others...), caFile))
			for i := range 2 {
				u, err := signIn(t, d, "carol")
				if !errors.Is(err, tt.err) || len(u.Groups) != tt.groups || (u.ID == "") != (tt.err != nil) {
					t.Errorf("sign-in %d: %d groups, %v; want %d, %v", i, len(u.Groups), err, tt.groups, tt.err)
				}
			}
			if c, err := net.Dial("tcp", strings.TrimPrefix(dies.LDAPS, "ldaps://")); err == nil {
				c.Close()
				t.Error("the server was to die, and lives")
			}
		})
	}
}

// admin is a connection to a real slapd as the service account.
func admin(t testing.TB, s *outside.Slapd) *goldap.Conn {
	t.Helper()
	return newBare(t, s.LDAPS, s.CA.File(t), serviceDN, serviceID, false).search
}

// failures is how many wrong passwords slapd itself has counted for uid.
func failures(t testing.TB, s *outside.Slapd, uid string) int {
	t.Helper()
	r, err := admin(t, s).Search(goldap.NewSearchRequest(uidDN(uid), goldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{"pwdFailureTime"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	return len(r.Entries[0].GetAttributeValues("pwdFailureTime"))
}

// TestRefusedOnce: of a password that one server refuses the others hear
// nothing, or one mistake would count as many towards a lock-out.
func TestRefusedOnce(t *testing.T) {
	t.Parallel()
	ca := outside.NewAuthority(t)
	one, caFile := startSlapd(t, outside.SlapdConfig{CA: ca})
	two, _ := startSlapd(t, outside.SlapdConfig{CA: ca})
	d := open(t, config([]string{one.LDAPS, two.LDAPS, one.LDAP, two.LDAP}, caFile))
	for i := 1; i <= 5; i++ {
		if _, err := d.Authenticate(t.Context(), "bob", "wrong", admitAll); reason(err) != "wrong_password" {
			t.Fatalf("guess %d: %v", i, err)
		}
		if a, b := failures(t, one, "bob"), failures(t, two, "bob"); a+b != i || a*b != 0 {
			t.Fatalf("after %d wrong passwords the servers counted %d and %d", i, a, b)
		}
	}
	// He is locked there, and there only: the right password is not tried
	// where it would still do.
	if _, err := signIn(t, d, "bob"); reason(err) != "locked_out" {
		t.Errorf("%v; want locked_out", err)
	}
	if n := failures(t, two, "bob"); n != 0 {
		t.Errorf("the other server has heard of %d", n)
	}
	if err := d.ChangePassword(t.Context(), "alice", "wrong", fresh, admitAll); reason(err) != "wrong_password" {
		t.Error(err)
	}
	if a, b := failures(t, one, "alice"), failures(t, two, "alice"); a+b != 1 {
		t.Errorf("changing a password with a wrong one counted %d and %d", a, b)
	}
}

// TestReferrals: where a real server says "look elsewhere" nobody looks, and
// what it has itself is whole; where that is all it says there is no answer.
func TestReferrals(t *testing.T) {
	t.Parallel()
	l := listen(t)
	asked := make(chan struct{}, 100)
	serve(t, l, func(net.Conn) { asked <- struct{}{} })
	away := func(parent string) directory.Entry {
		return entry("ou=away,"+parent, "objectClass", "referral", "objectClass", "extensibleObject", "ou", "away", "ref", "ldap://"+l.Addr().String()+"/"+parent)
	}
	s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(append(company(), away(people), away(groups)))})
	d := open(t, config([]string{s.LDAPS}, ca))
	if u, err := signIn(t, d, "alice"); err != nil || len(u.Groups) != 3 {
		t.Errorf("beside a continuation reference: %+v, %v", u, err)
	}
	if u, err := signIn(t, d, "carol"); err != nil || len(u.Groups) != 700 {
		t.Errorf("beside a continuation reference, in pages: %d groups, %v", len(u.Groups), err)
	}
	for _, change := range []func(*ldap.Config){
		func(c *ldap.Config) { c.UserBaseDN = "ou=away," + people },
		func(c *ldap.Config) { c.GroupBaseDN = "ou=away," + groups },
	} {
		c := config([]string{s.LDAPS}, ca)
		change(&c)
		if u, err := signIn(t, open(t, c), "alice"); !errors.Is(err, gatehouse.ErrUnavailable) || u.ID != "" {
			t.Errorf("a base that is a referral: %+v, %v", u, err)
		}
		findings := open(t, c).Check(t.Context())
		if !slices.ContainsFunc(findings, func(f gatehouse.Finding) bool {
			return f.State == gatehouse.FindingFailure && strings.Contains(f.Detail, "Referral")
		}) {
			t.Errorf("check: %+v", findings)
		}
	}
	if len(asked) > 0 {
		t.Errorf("%d connections to where the references lead", len(asked))
	}
}

// TestSambaReferrals: a domain's root always refers to its other partitions.
func TestSambaReferrals(t *testing.T) {
	d := samba(t, func(c *ldap.Config) { c.GroupBaseDN = c.BaseDN })
	u, err := d.Authenticate(t.Context(), "alice", adSecret, admitAll)
	if got := names(u.Groups); err != nil || !slices.Contains(got, "org") || !slices.Contains(got, "Domain Users") {
		t.Errorf("%q, %v", got, err)
	}
}

// awkward are names that groups can have. The DN of each is what the server
// makes of it.
var awkward = []string{
	`a,b`, `a+b`, `"quoted"`, `back\slash`, `#hash`, ` both ends `, `a;b<c>d=e`, `Ünïcode 漢字 🙂`, `(*)`, `{attribute:x}`, `%s %u`, "tab\tand\nline",
}

// TestAwkwardGroups: whatever a group is called, its name arrives as it is,
// and groups of such groups are found.
func TestAwkwardGroups(t *testing.T) {
	t.Parallel()
	es := company()
	below := uidDN("dan")
	var want []string
	for _, name := range awkward {
		g := group("x", below)
		g.DN = "cn=" + goldap.EscapeDN(name) + "," + groups
		g.Attributes["cn"] = []string{name}
		es, want = append(es, g), append(want, name)
		if len(want)%8 == 0 {
			below = uidDN("dan")
		} else {
			below = g.DN
		}
	}
	slices.Sort(want)
	s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(es)})
	u, err := signIn(t, open(t, config([]string{s.LDAPS}, ca)), "dan")
	if diff := cmp.Diff(want, names(u.Groups)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestSambaAwkwardGroups(t *testing.T) {
	c := administrator(t)
	member := adDN("dan-of-groups")
	add := func(dn string, values map[string][]string) {
		t.Helper()
		r := goldap.NewAddRequest(dn, nil)
		for name, v := range values {
			r.Attribute(name, v)
		}
		if err := c.Add(r); err != nil {
			t.Fatalf("%s: %v", dn, err)
		}
	}
	add(member, map[string][]string{"objectClass": {"user"}, "sAMAccountName": {"dan-of-groups"}})
	below := member
	var want []string
	for i, name := range awkward {
		if strings.ContainsAny(name, "\t\n") {
			continue // Active Directory takes no such CN
		}
		// Samba takes no plain "=" in a value.
		dn := "CN=" + strings.ReplaceAll(goldap.EscapeDN(name), "=", `\3d`) + "," + adGroups
		add(dn, map[string][]string{"objectClass": {"group"}, "sAMAccountName": {fmt.Sprintf("awkward-%d", i)}, "groupType": {security}, "member": {below}})
		if below, want = dn, append(want, name); len(want)%8 == 0 {
			below = member
		}
	}
	slices.Sort(want)
	d := samba(t, func(c *ldap.Config) { c.GroupNameAttribute = "cn" })
	u, err := d.Find(t.Context(), "dan-of-groups")
	if diff := cmp.Diff(want, names(u.Groups)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestHugeNames: 64 KB where a name belongs is nobody, and costs no search;
// 64 KB that the directory itself has arrive whole.
func TestHugeNames(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("é", 32<<10)
	es := append(company(), person(uidDN("huge"), "huge", "displayName", huge, "departmentNumber", huge))
	g := group("huge", uidDN("huge"))
	g.Attributes["cn"] = []string{"huge"}
	g.Attributes["ou"] = []string{huge}
	s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(append(es, g))})
	tapped := newTap(t, s.CA, s.LDAPS)
	c := config([]string{tapped.url}, ca)
	c.GroupNameAttribute = "ou"
	d := open(t, c)
	u, err := signIn(t, d, "huge")
	if err != nil || u.DisplayName != huge || u.Attributes["departmentnumber"][0] != huge || len(u.Groups) != 1 || u.Groups[0].Name != huge {
		t.Errorf("%d bytes of name, %d groups, %v", len(u.DisplayName), len(u.Groups), err)
	}
	nobodyHuge(t, d, tapped, huge)
}

func TestSambaHugeNames(t *testing.T) {
	s := outside.Samba(t)
	tapped := newTap(t, s.CA, s.LDAPS)
	nobodyHuge(t, samba(t, func(c *ldap.Config) { c.URLs = []string{tapped.url} }), tapped, strings.Repeat("é", 32<<10))
}

func nobodyHuge(t *testing.T, d *ldap.Directory, tapped *tap, huge string) {
	t.Helper()
	asked := func() int {
		return tapped.count(goldap.ApplicationSearchRequest) + tapped.count(goldap.ApplicationBindRequest) + tapped.count(goldap.ApplicationModifyRequest)
	}
	asked()
	for what, f := range map[string]func() error{
		"signing in":  func() error { _, err := d.Authenticate(t.Context(), huge, secret, admitAll); return err },
		"identifying": func() error { _, err := d.Identify(t.Context(), huge); return err },
		"finding":     func() error { _, err := d.Find(t.Context(), huge); return err },
		"changing":    func() error { return d.ChangePassword(t.Context(), huge, secret, fresh, admitAll) },
		"a password": func() error {
			_, err := d.Authenticate(t.Context(), "alice", gatehouse.Secret(huge), admitAll)
			return err
		},
		"a password to set": func() error { return d.ChangePassword(t.Context(), "alice", secret, gatehouse.Secret(huge), admitAll) },
	} {
		if err := f(); !errors.Is(err, gatehouse.ErrUnknownPerson) && !errors.Is(err, gatehouse.ErrInvalidCredentials) && !errors.Is(err, gatehouse.ErrPasswordRefused) {
			t.Errorf("%s: %.200v", what, err)
		}
	}
	if n := asked(); n > 0 {
		t.Errorf("the server was asked %d times", n)
	}
	if u, err := d.Lookup(t.Context(), huge); !errors.Is(err, gatehouse.ErrUnknownPerson) {
		t.Errorf("looking up an identifier: %+v, %.200v", u, err)
	}
}
