package directory

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/outside"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
)

// slapdEntries obey the schemas of OpenLDAP. slapadd does not compute
// memberOf, so it is written out; this package ignores it and computes it.
const slapdEntries = `dn: DC=corp,DC=example,DC=com
objectClass: domain
dc: corp

dn: OU=People,DC=corp,DC=example,DC=com
objectClass: organizationalUnit
ou: People

dn: OU=Groups,DC=corp,DC=example,DC=com
objectClass: organizationalUnit
ou: Groups

dn: CN=policy,DC=corp,DC=example,DC=com
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdMaxAge: 86400

dn: CN=default,DC=corp,DC=example,DC=com
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMustChange: TRUE
pwdSafeModify: TRUE
pwdMinLength: 8
pwdCheckQuality: 2
pwdInHistory: 5

dn: uid=alice,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
uid: alice
cn: Alice Archer
cn;lang-de: Alissa
sn: Archer
mail: alice@corp.example.com
mail: a.archer@corp.example.com
employeeNumber: 1001
userPassword: correct horse
memberOf: CN=dev,OU=Groups,DC=corp,DC=example,DC=com

dn: uid=w\,comma,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
objectClass: posixAccount
uid: w,comma
cn: Doe,  John
sn: Doe
uidNumber: 20
gidNumber: 20
homeDirectory: /home/j
manager: uid=alice,OU=People,DC=corp,DC=example,DC=com
userPassword: correct horse
memberOf: CN=dev,OU=Groups,DC=corp,DC=example,DC=com

dn: CN=Zoë+UID=zoe,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
objectClass: posixAccount
uid: zoe
cn: Zoë
sn: Ångström
uidNumber: 1002
gidNumber: 20
homeDirectory: /home/z
userPassword: correct horse

dn: uid=locked,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
uid: locked
cn: locked
sn: locked
userPassword: correct horse
pwdAccountLockedTime: 000001010000Z

dn: uid=reset,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
uid: reset
cn: reset
sn: reset
userPassword: correct horse
pwdReset: TRUE

dn: uid=expired,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
uid: expired
cn: expired
sn: expired
userPassword: correct horse
pwdChangedTime: 20200101000000Z
pwdPolicySubentry: CN=policy,DC=corp,DC=example,DC=com

dn: uid=nopassword,OU=People,DC=corp,DC=example,DC=com
objectClass: inetOrgPerson
uid: nopassword
cn: nopassword
sn: nopassword

dn: CN=dev,OU=Groups,DC=corp,DC=example,DC=com
objectClass: groupOfNames
cn: dev
member: uid=alice,OU=People,DC=corp,DC=example,DC=com
member: uid=w\2Ccomma,OU=People,DC=corp,DC=example,DC=com
memberOf: CN=staff,OU=Groups,DC=corp,DC=example,DC=com

dn: CN=staff,OU=Groups,DC=corp,DC=example,DC=com
objectClass: groupOfNames
cn: staff
member: CN=dev,OU=Groups,DC=corp,DC=example,DC=com
`

const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile %[1]s/pid
disallow bind_anon
access to attrs=userPassword by anonymous auth by self =wx by * none
access to * by users read by anonymous auth
database mdb
suffix "DC=corp,DC=example,DC=com"
directory %[1]s/db
maxsize 16777216
overlay memberof
overlay ppolicy
ppolicy_default "CN=default,DC=corp,DC=example,DC=com"
ppolicy_use_lockout
`

// startSlapd runs OpenLDAP on a socket in a new directory and returns its URL.
func startSlapd(t *testing.T) string {
	t.Helper()
	slapd, slapadd := outside.Program(t, "slapd", "slapd"), outside.Program(t, "slapadd", "slapd")
	dir, err := os.MkdirTemp("", "slapd") // shorter than t.TempDir: socket paths have 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	conf, data := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "data.ldif")
	ldif := writeLDIFAsIs(t)
	for path, text := range map[string]string{conf: fmt.Sprintf(slapdConf, dir), data: ldif} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), slapadd, "-q", "-f", conf, "-l", data).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v\n%s", err, out)
	}
	socket := filepath.Join(dir, "socket")
	cmd := exec.Command(slapd, "-d", "0", "-f", conf, "-h", "ldapi://"+url.PathEscape(socket)) // -d keeps it in the foreground
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := goldap.DialURL("ldapi://" + socket)
		if err == nil {
			_ = c.Close()
			return "ldapi://" + socket
		}
		if time.Now().After(deadline) {
			t.Fatalf("slapd is not up: %v", err)
		}
	}
}

// writeLDIFAsIs is slapdEntries with what is not ASCII in base64, as RFC 2849
// wants it and slapadd insists.
func writeLDIFAsIs(t *testing.T) string {
	t.Helper()
	entries, err := ParseLDIF(strings.NewReader(slapdEntries))
	if err != nil {
		t.Fatal(err)
	}
	return writeLDIF(entries)
}

// both are connections to slapd and to this package's server with the same
// entries, each for binds as nobody yet.
func both(t *testing.T) (connect map[string]func() *goldap.Conn) {
	t.Helper()
	slapdURL := startSlapd(t)
	entries, err := ParseLDIF(strings.NewReader(slapdEntries))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{Entries: entries})
	return map[string]func() *goldap.Conn{
		"ours": func() *goldap.Conn { return dial(t, s) },
		"slapd": func() *goldap.Conn {
			c, err := goldap.DialURL(slapdURL)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c
		},
	}
}

const slapdAlice = "uid=alice,OU=People," + suffix

func TestFiltersFindWhatSlapdFinds(t *testing.T) {
	filters := []string{
		"(objectClass=*)", "(uid=ALICE)", "(surname=doe)", "(2.5.4.4=DOE)", "(cn=doe, john)", "(cn=doe,    john)", "(cn=doe, *)",
		"(sn=ÅNGSTRÖM)", "(sn=ång*)", "(cn=alissa)", "(cn;lang-de=*)", "(cn;lang-de=alice archer)", "(mail=*archer*)", "(mail=a*c*corp*com)",
		"(mail=a*com*corp*)", "(uid=*e)", `(uid=\2a)`, "(uid=w,comma)", "(uidNumber>=100)", "(uidNumber<=20)", "(uidNumber=0020)",
		"(uidNumber=x)", "(!(uidNumber=x))", "(uidNumber=*)", "(!(uidNumber=20))", "(nosuch=x)", "(!(nosuch=x))", "(|(nosuch=x)(uid=alice))",
		"(&(nosuch=x)(uid=alice))", "(!(&(nosuch=x)(uid=alice)))", "(!(|(nosuch=x)(uid=alice)))", "(!(telephoneNumber=1))",
		"(&)", "(|)", "(!(&))", "(manager=" + slapdAlice + ")", "(manager=UID=alice , ou=people,dc=corp,dc=example,dc=com)", "(manager=alice)",
		"(!(manager=alice))", "(manager=uid=*)", `(member=uid=w\5c,comma,OU=People,` + suffix + ")", `(member=uid=w\5c2ccomma,OU=People,` + suffix + ")",
		"(memberOf=CN=dev,OU=Groups," + suffix + ")", "(memberOf=*)", "(!(memberOf=*))", "(uid:caseExactMatch:=ALICE)", "(uid:caseExactMatch:=alice)",
		"(:caseIgnoreMatch:=archer)", "(ou:dn:=people)", "(uid:1.2.3.4:=alice)", "(!(uid:1.2.3.4:=alice))", "(userPassword=*)", "(!(userPassword=*))",
		"(userPassword=correct horse)", "(!(userPassword=x))", "(entryDN=" + slapdAlice + ")", "(entryDN=UID=ALICE,ou=people," + suffix + ")",
		"(pwdReset=TRUE)", "(pwdChangedTime<=20210101000000Z)", "(uid~=alice)", "(uid:1.2.840.113556.1.4.803:=1)",
		"(uidNumber:1.2.840.113556.1.4.803:=20)", "(uidNumber:1.2.840.113556.1.4.803:=22)", "(objectClass=inetOrgPerson)",
	}
	results := map[string]map[string][]string{}
	for name, connect := range both(t) {
		c := connect()
		if err := c.Bind(slapdAlice, password); err != nil {
			t.Fatalf("%s: bind: %v", name, err)
		}
		results[name] = map[string][]string{}
		for _, filter := range filters {
			r, err := c.Search(ask(filter, "1.1"))
			if err != nil {
				t.Errorf("%s: %s: %v", name, filter, err)
				continue
			}
			var keys []string
			for _, e := range r.Entries {
				key, err := normalDN(e.DN)
				if err != nil {
					t.Errorf("%s: %q: %v", name, e.DN, err)
				}
				keys = append(keys, strings.TrimSuffix(key, ",dc=corp,dc=example,dc=com"))
			}
			slices.Sort(keys)
			results[name][filter] = keys
		}
	}
	for _, filter := range filters {
		if diff := cmp.Diff(results["slapd"][filter], results["ours"][filter]); diff != "" {
			t.Errorf("%s (-slapd +ours):\n%s", filter, diff)
		}
	}
}

func TestBindsEndAsWithSlapd(t *testing.T) {
	results := map[string]map[string]answer{}
	for name, connect := range both(t) {
		results[name] = map[string]answer{}
		for _, uid := range []string{"alice", "locked", "reset", "expired", "nopassword", "nobody"} {
			for _, pw := range []string{"wrong", password} {
				results[name][uid+" with "+pw] = try(t, connect(), "uid="+uid+",OU=People,"+suffix, pw)
			}
		}
		results[name]["no DN"] = try(t, connect(), "alice", password)
		results[name]["nobody at all"] = try(t, connect(), "", password)
		results[name]["an empty password"] = answer{Code: code(connect().UnauthenticatedBind(slapdAlice))}
		results[name]["SASL"] = answer{Code: code(connect().NTLMBind("corp", "alice", password))}
	}
	delete(results["slapd"], "SASL")
	delete(results["ours"], "SASL")
	if diff := cmp.Diff(results["slapd"], results["ours"]); diff != "" {
		t.Errorf("binds (-slapd +ours):\n%s", diff)
	}
}

func TestRefusalsAreThoseOfSlapd(t *testing.T) {
	const nobody = "uid=nobody,OU=People," + suffix
	results := map[string]map[string]uint16{}
	for name, connect := range both(t) {
		c := connect()
		if err := c.Bind(slapdAlice, password); err != nil {
			t.Fatalf("%s: bind: %v", name, err)
		}
		at := func(base string, limit int, controls ...goldap.Control) uint16 {
			_, err := c.Search(goldap.NewSearchRequest(base, 2, 0, limit, 0, false, "(objectClass=*)", nil, controls))
			return code(err)
		}
		compare := func(dn, attr, v string) uint16 {
			ok, err := c.Compare(dn, attr, v)
			if ok {
				return codeCompareTrue
			}
			return code(err)
		}
		r := map[string]uint16{
			"no such base":            at(nobody, 0),
			"a base that is no DN":    at("alice", 0),
			"size limit":              at(suffix, 2),
			"an empty base":           at("", 0),
			"a critical control":      at(suffix, 0, goldap.NewControlString("1.2.3.4", true, "")),
			"compare: true":           compare(slapdAlice, "mail", "ALICE@corp.example.com"),
			"compare: false":          compare(slapdAlice, "mail", "x"),
			"compare: no attribute":   compare(slapdAlice, "telephoneNumber", "1"),
			"compare: undefined":      compare(slapdAlice, "nosuch", "1"),
			"compare: nobody":         compare(nobody, "uid", "1"),
			"compare: no DN":          compare("alice", "uid", "1"),
			"password: wrong old":     change(c, "", "wrong", "battery staple"),
			"password: no old":        change(c, "", "", "battery staple"),
			"password: short":         change(c, "", password, "short"),
			"password: the same":      change(c, "", password, password),
			"an unknown extension":    extension(c, "1.2.3.4"),
			"password: changed":       change(c, "", password, "battery staple"),
			"the old password, after": try(t, connect(), slapdAlice, password).Code,
			"the new password, after": try(t, connect(), slapdAlice, "battery staple").Code,
		}
		reset := connect()
		if err := reset.Bind("uid=reset,OU=People,"+suffix, password); err != nil {
			t.Fatal(err)
		}
		_, err := reset.Search(ask("(uid=*)"))
		r["a search as reset person"] = code(err)
		_, err = reset.WhoAmI(nil)
		r["who am I as reset person"] = code(err)
		r["password: changed when reset"] = change(reset, "", password, "battery staple")
		_, err = reset.Search(ask("(uid=*)"))
		r["a search after that"] = code(err)
		results[name] = r
	}
	if diff := cmp.Diff(results["slapd"], results["ours"]); diff != "" {
		t.Errorf("result codes (-slapd +ours):\n%s", diff)
	}
}

func extension(c *goldap.Conn, oid string) uint16 {
	_, err := c.Extended(goldap.NewExtendedRequest(oid, nil))
	return code(err)
}
