package ldap_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/demo/directory"
	"gatehouse/internal/outside"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
)

// root is a connection to a real slapd that may do everything.
func root(t testing.TB, s *outside.Slapd) *goldap.Conn {
	t.Helper()
	return newBare(t, s.LDAPS, s.CA.File(t), s.RootDN, outside.SlapdRootPassword, false).search
}

// add writes an entry through the server, so that its overlays see it.
func add(t testing.TB, c *goldap.Conn, e directory.Entry) {
	t.Helper()
	r := goldap.NewAddRequest(e.DN, nil)
	for name, values := range e.Attributes {
		r.Attribute(name, values)
	}
	if err := c.Add(r); err != nil {
		t.Fatalf("adding %s: %v", e.DN, err)
	}
}

// take takes a value out of an attribute, or with nil all of them.
func take(t testing.TB, c *goldap.Conn, dn, attribute string, values []string) {
	t.Helper()
	m := goldap.NewModifyRequest(dn, nil)
	m.Delete(attribute, values)
	if err := c.Modify(m); err != nil {
		t.Fatalf("%s of %s: %v", attribute, dn, err)
	}
}

// policyOf is a person of a policy of their own.
func policyOf(name string, pairs ...string) []directory.Entry {
	dn := "cn=of-" + name + ",ou=policies," + suffix
	return []directory.Entry{
		entry(dn, append([]string{"objectClass", "device", "objectClass", "pwdPolicy", "cn", "of-" + name, "pwdAttribute", "userPassword"}, pairs...)...),
		person(uidDN(name), name, "pwdPolicySubentry", dn, "pwdChangedTime", "20200101000000Z"),
	}
}

// TestGraceIsUsedSparingly: with three sign-ins left after a password expired
// there are three, each uses one, and nothing else uses any.
func TestGraceIsUsedSparingly(t *testing.T) {
	t.Parallel()
	s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(append(company(), policyOf("grace-3", "pwdMaxAge", "86400", "pwdGraceAuthNLimit", "3")...))})
	d, c := open(t, config([]string{s.LDAPS}, ca)), root(t, s)
	used := func() int {
		r, err := c.Search(goldap.NewSearchRequest(uidDN("grace-3"), goldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{"pwdGraceUseTime"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Entries[0].GetAttributeValues("pwdGraceUseTime"))
	}
	for i := range 3 {
		u, err := signIn(t, d, "grace-3")
		if err != nil || time.Since(u.PasswordExpires).Abs() > time.Minute {
			t.Errorf("sign-in %d: %v, %v; want one whose password expires now", i+1, u.PasswordExpires, err)
		}
		if _, err := d.Lookup(t.Context(), u.ID); err != nil {
			t.Error(err)
		}
		if _, err := d.Authenticate(t.Context(), "grace-3", "wrong", admitAll); reason(err) != "wrong_password" {
			t.Error(err)
		}
		if n := used(); n != i+1 {
			t.Errorf("sign-in %d used %d", i+1, n)
		}
	}
	if _, err := signIn(t, d, "grace-3"); !errors.Is(err, gatehouse.ErrPasswordExpired) {
		t.Errorf("a fourth time: %v", err)
	}
}

// TestLockedByGuesses: wrong passwords lock people out as slapd was told to.
// Nobody who guesses is told; whoever is signed in is locked at the next
// hand-out; and a lock ends by itself or by an administrator.
func TestLockedByGuesses(t *testing.T) {
	t.Parallel()
	es := append(company(), policyOf("brief", "pwdLockout", "TRUE", "pwdMaxFailure", "2", "pwdLockoutDuration", "1")...)
	s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(es)})
	d, c := open(t, config([]string{s.LDAPS}, ca)), root(t, s)
	lock := func(name string, guesses int) gatehouse.User {
		t.Helper()
		u, err := signIn(t, d, name)
		if err != nil {
			t.Fatal(err)
		}
		for range guesses {
			if _, err := d.Authenticate(t.Context(), name, "wrong", admitAll); reason(err) != "wrong_password" {
				t.Fatal(err)
			}
		}
		for _, password := range []gatehouse.Secret{"wrong", secret} {
			if _, err := d.Authenticate(t.Context(), name, password, admitAll); !errors.Is(err, gatehouse.ErrInvalidCredentials) || reason(err) != "locked_out" {
				t.Errorf("%s is locked, and with %q: %v", name, password, err)
			}
		}
		if _, err := d.Lookup(t.Context(), u.ID); !errors.Is(err, gatehouse.ErrAccountLocked) {
			t.Errorf("%s is locked, and looked up: %v", name, err)
		}
		return u
	}
	u := lock("bob", 5)
	take(t, c, u.DN, "pwdAccountLockedTime", nil)
	if _, err := d.Lookup(t.Context(), u.ID); err != nil {
		t.Errorf("unlocked by an administrator: %v", err)
	}
	u = lock("brief", 2)
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := signIn(t, d, "brief")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still locked: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := d.Lookup(t.Context(), u.ID); err != nil {
		t.Errorf("after the lock ran out and a sign-in: %v", err)
	}
}

// TestSlapdIdentity: a person is their entryUUID, whatever becomes of names.
func TestSlapdIdentity(t *testing.T) {
	t.Parallel()
	s, ca := startSlapd(t, outside.SlapdConfig{})
	d, c := open(t, config([]string{s.LDAPS}, ca)), root(t, s)
	before, err := signIn(t, d, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ModifyDN(goldap.NewModifyDNRequest(before.DN, "uid=alice.married", true, "")); err != nil {
		t.Fatal(err)
	}
	if after, err := d.Lookup(t.Context(), before.ID); err != nil || after.Username != "alice.married" || after.Key() != before.Key() {
		t.Errorf("a renamed person stays the same: %+v, %v", after, err)
	}
	add(t, c, person(uidDN("alice"), "alice"))
	if other, err := signIn(t, d, "alice"); err != nil || other.ID == before.ID || other.DN != before.DN {
		t.Errorf("a name used again is another person: %+v, %v", other, err)
	}
	if err := c.Del(goldap.NewDelRequest(uidDN("alice.married"), nil)); err != nil {
		t.Fatal(err)
	}
	if u, err := d.Lookup(t.Context(), before.ID); !errors.Is(err, gatehouse.ErrUnknownPerson) {
		t.Errorf("who is gone is not who has the name now: %+v, %v", u, err)
	}
}

// TestMemberOf: the overlay's memberOf can restrict who may sign in, and be
// an attribute like any other; who loses the group is gone at the next look.
func TestMemberOf(t *testing.T) {
	t.Parallel()
	s, ca := startSlapd(t, outside.SlapdConfig{})
	c := root(t, s)
	add(t, c, group("allowed", uidDN("alice"), uidDN("bob")))
	conf := config([]string{s.LDAPS}, ca)
	conf.UserFilter = "(&(objectClass=inetOrgPerson)(uid=%s)(memberOf=" + groupDN("allowed") + "))"
	conf.Attributes = []string{"memberOf"}
	d := open(t, conf)
	u, err := signIn(t, d, "alice")
	if err != nil || !slices.Equal(u.Attributes["memberof"], []string{groupDN("allowed")}) || !slices.Contains(names(u.Groups), "allowed") {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := signIn(t, d, "dan"); reason(err) != "unknown" {
		t.Errorf("not a member: %v", err)
	}
	take(t, c, groupDN("allowed"), "member", []string{u.DN})
	if _, err := d.Lookup(t.Context(), u.ID); !errors.Is(err, gatehouse.ErrUnknownPerson) {
		t.Errorf("a member no more: %v", err)
	}
	if _, err := signIn(t, d, "alice"); reason(err) != "unknown" {
		t.Errorf("a member no more: %v", err)
	}
}

// tangle is groups of every kind in each other.
func tangle() []directory.Entry {
	unique := func(cn string, members ...string) directory.Entry {
		e := entry(groupDN(cn), "objectClass", "groupOfUniqueNames", "cn", cn)
		e.Attributes["uniqueMember"] = members
		return e
	}
	posix := func(cn string, uids ...string) directory.Entry {
		e := entry(groupDN(cn), "objectClass", "posixGroup", "cn", cn, "gidNumber", "2000")
		e.Attributes["memberUid"] = uids
		return e
	}
	es := append(company(), person(uidDN("mixed"), "mixed"), person(uidDN("ten"), "ten"), person(uidDN("wide"), "wide"), person(uidDN("wider"), "wider"),
		person(`uid=st\2ar,`+people, "st*r"),
		group("own-member", uidDN("mixed"), groupDN("own-member")),
		unique("u1", groupDN("own-member"), groupDN("u3")), group("n2", groupDN("u1")), unique("u3", groupDN("n2")),
		posix("p4", "mixed"), unique("u5", groupDN("p4")),
		posix("starred", "st*r"), posix("not-starred", "star", "stxxr"),
		group("ten-0", uidDN("ten")))
	for i := range 9 {
		es = append(es, group(fmt.Sprintf("ten-%d", i+1), groupDN(fmt.Sprintf("ten-%d", i))))
	}
	for i := range 2000 {
		es = append(es, group(fmt.Sprintf("wide-%04d", i), uidDN("wide"), uidDN("wider")))
	}
	return append(es, group("one-too-many", uidDN("wider")))
}

// TestTangle: groups of every kind, in each other and in themselves, at the
// limits of depth and number and one beyond.
func TestTangle(t *testing.T) {
	t.Parallel()
	s, ca := startSlapd(t, outside.SlapdConfig{LDIF: ldif(tangle())})
	d := open(t, config([]string{s.LDAPS}, ca))
	for name, want := range map[string][]string{
		"mixed": {"own-member", "own-member > u1", "own-member > u1 > n2", "own-member > u1 > n2 > u3", "p4", "p4 > u5"},
		"st*r":  {"starred"},
	} {
		u, err := signIn(t, d, name)
		if diff := cmp.Diff(want, ways(u.Groups)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for name, want := range map[string]int{"ten": 10, "wide": 2000} {
		if u, err := signIn(t, d, name); err != nil || len(u.Groups) != want {
			t.Errorf("%s: %d groups, %v; want %d", name, len(u.Groups), err, want)
		}
	}
	for name, word := range map[string]string{"deep": "groups_too_deep", "wider": "too_many_groups"} {
		if u, err := signIn(t, d, name); !errors.Is(err, gatehouse.ErrTooManyGroups) || reason(err) != word || len(u.Groups) > 0 {
			t.Errorf("%s: %d groups, %v; want a refusal called %s", name, len(u.Groups), err, word)
		}
	}
}

// TestSlapdFreshTruth: what changed in the directory since a sign-in counts
// when somebody is looked up again.
func TestSlapdFreshTruth(t *testing.T) {
	t.Parallel()
	s, ca := startSlapd(t, outside.SlapdConfig{})
	d, c := open(t, config([]string{s.LDAPS}, ca)), root(t, s)
	u, err := signIn(t, d, "alice")
	if err != nil || len(u.Groups) != 3 {
		t.Fatal(len(u.Groups), err)
	}
	if err := c.Del(goldap.NewDelRequest(groupDN("org"), nil)); err != nil {
		t.Fatal(err)
	}
	if u, err = d.Lookup(t.Context(), u.ID); err != nil || !slices.Equal(names(u.Groups), []string{"dept", "team"}) {
		t.Errorf("without the group that her group's is in: %q, %v", names(u.Groups), err)
	}
	take(t, c, groupDN("team"), "member", []string{u.DN})
	if u, err = d.Lookup(t.Context(), u.ID); err != nil || len(u.Groups) != 0 {
		t.Errorf("out of the group that gave all: %q, %v", names(u.Groups), err)
	}
}
