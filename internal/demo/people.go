package demo

import (
	"fmt"
	"strings"
	"time"

	"gatehouse/internal/demo/cloud"
	"gatehouse/internal/demo/directory"
)

// Suffix is where the sample company's directory begins.
const Suffix = "DC=corp,DC=example,DC=com"

// Password is everybody's password. The company is invented, its directory
// listens on loopback, and its AWS is an emulator.
const Password = "gatehouse"

// Person is somebody who can sign in to the demo, and what they are there to show.
type Person struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Shows    string `json:"shows"`

	cn     string // as an RDN value, escaped
	name   string // as it is displayed
	groups []string
	state  map[string][]string // attributes that decide what a bind answers
}

// people are the sample company's employees.
func people() []Person {
	staff := "CN=Staff," + groupsUnit
	return []Person{
		{Username: "alice", Shows: "administrator of a dozen accounts", name: "Alice Ng", groups: []string{staff, "CN=Cloud Administrators," + groupsUnit}},
		{Username: "bob", Shows: "developer with two roles, one of them through nested groups", name: "Bob Okafor", groups: []string{staff, "CN=Payments Developers," + groupsUnit, "CN=Sandbox Users," + groupsUnit}},
		{Username: "carol", Shows: "300 roles in 60 accounts", name: "Carol Lindqvist", groups: []string{staff, "CN=Operations," + groupsUnit}},
		{Username: "dan", Shows: "no roles, although a group elsewhere has the right name", name: "Dan Moreau", groups: []string{staff}},
		{Username: "erin", Shows: "an expired password", name: "Erin Walsh", groups: []string{staff}, state: map[string][]string{"pwdPolicySubentry": {"CN=aged," + policiesUnit}}},
		{Username: "frank", Shows: "a locked account: the page tells nobody, the record does", name: "Frank Adeyemi", groups: []string{staff}, state: map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}},
		{Username: "grace", Shows: "a disabled account", name: "Grace Tanaka", groups: []string{staff}, state: map[string][]string{"userAccountControl": {"514"}}},
		{Username: "heidi", Shows: "a password that must be changed first", name: "Heidi Sommer", groups: []string{staff, "CN=Sandbox Users," + groupsUnit}, state: map[string][]string{"pwdReset": {"TRUE"}}},
		{Username: "zoë", Shows: "a name with non-ASCII letters, commas and quotes", name: `Zoë "Zo" O'Brien, PhD`, cn: `Zoë \"Zo\" O'Brien\, PhD`, groups: []string{staff, "CN=Sandbox Users," + groupsUnit}},
	}
}

const (
	peopleUnit  = "OU=People," + Suffix
	groupsUnit  = "OU=Groups," + Suffix
	awsUnit     = "OU=AWS," + groupsUnit
	serviceUnit = "OU=Service," + Suffix
	serviceDN   = "CN=gatehouse," + serviceUnit

	policiesUnit = "OU=Policies," + Suffix
)

func (p Person) dn() string {
	cn := p.cn
	if cn == "" {
		cn = p.name
	}
	return "CN=" + cn + "," + peopleUnit
}

// account is one of the company's AWS accounts.
type account struct {
	id, name, environment, owner string
	roles                        []string
	staffed                      string // the group whose members hold all its roles
}

// accounts are the company's dozen and the sixty of its products.
func accounts() []account {
	admins, operations := "CN=Cloud Administrators,"+groupsUnit, "CN=Operations,"+groupsUnit
	both := []string{"ReadOnly", "Admin"}
	list := []account{
		{"111122223333", "Payments", "production", "pay-oncall@corp.example.com", both, admins},
		{"111122224444", "Payments staging", "staging", "pay-oncall@corp.example.com", both, admins},
		{"111122225555", "Payments development", "development", "pay-oncall@corp.example.com", []string{"ReadOnly", "Admin", "Developer"}, admins},
		{"222233334444", "Data lake", "production", "data-platform@corp.example.com", []string{"ReadOnly", "Analyst", "Admin"}, admins},
		{"222233335555", "Data lake staging", "staging", "data-platform@corp.example.com", both, admins},
		{"333344445555", "Identity", "production", "iam-team@corp.example.com", []string{"Auditor", "Admin"}, admins},
		{"444455556666", "Sandbox", "development", "developer-experience@corp.example.com", both, admins},
		{"555566667777", "Networking", "shared", "network@corp.example.com", []string{"ReadOnly", "Operator", "Admin"}, admins},
		{"666677778888", "Logs", "shared", "observability@corp.example.com", both, admins},
		{"777788889999", "Web shop", "production", "shop-oncall@corp.example.com", both, admins},
		{"888899990000", "Web shop staging", "staging", "shop-oncall@corp.example.com", both, admins},
		{"999900001111", "Backups", "production", "storage@corp.example.com", both, admins},
	}
	products := strings.Fields("Billing Booking Catalogue Chat Checkout Claims Forecast Fraud Invoices Loyalty Mail Maps Orders Partners Pricing Reports Returns Search Shipping Warehouse")
	for i, product := range products {
		for k, environment := range []string{"production", "staging", "development"} {
			list = append(list, account{
				id:   fmt.Sprintf("7%03d%08d", i+1, 40960000+1000*k+i),
				name: product + map[string]string{"production": "", "staging": " staging", "development": " development"}[environment], environment: environment,
				owner: strings.ToLower(product) + "@corp.example.com",
				roles: []string{"ReadOnly", "Support", "Operator", "Developer", "Admin"}, staffed: operations,
			})
		}
	}
	return list
}

// sandboxRole is given by a whole DN, with session tags, not by a group's name.
const (
	sandboxAccount = "444455556666"
	sandboxRole    = "PowerUser"
)

// entries are the company's directory.
func entries(servicePassword string) []directory.Entry {
	list := []directory.Entry{
		entry(Suffix, "dc", "corp", "domain", "top"),
		entry(peopleUnit, "ou", "People", "organizationalUnit"),
		entry(groupsUnit, "ou", "Groups", "organizationalUnit"),
		entry(awsUnit, "ou", "AWS", "organizationalUnit"),
		entry("OU=Projects,"+Suffix, "ou", "Projects", "organizationalUnit"),
		entry(serviceUnit, "ou", "Service", "organizationalUnit"),
		entry(policiesUnit, "ou", "Policies", "organizationalUnit"),
	}
	for cn, days := range map[string]int{"lasting": 0, "aged": 1} {
		p := entry("CN="+cn+","+policiesUnit, "cn", cn, "pwdPolicy", "device")
		p.Attributes["pwdAttribute"], p.Attributes["pwdMaxAge"] = []string{"userPassword"}, []string{fmt.Sprint(days * 86400)}
		list = append(list, p)
	}
	service := entry(serviceDN, "cn", "gatehouse", "applicationProcess", "simpleSecurityObject")
	service.Attributes["userPassword"] = []string{servicePassword}
	list = append(list, service)
	members := map[string][]string{}
	for i, p := range people() {
		list = append(list, p.entry(i))
		for _, g := range p.groups {
			members[g] = append(members[g], p.dn())
		}
	}
	for _, a := range accounts() {
		for _, role := range a.roles {
			g := fmt.Sprintf("CN=AWS-%s-%s,%s", a.id, role, awsUnit)
			members[g] = append(members[g], a.staffed)
		}
	}
	// Bob's way to his role in Payments development leads through a group in a group.
	team := "CN=Payments Engineers," + groupsUnit
	members[team] = []string{"CN=Payments Developers," + groupsUnit}
	developer := "CN=AWS-111122225555-Developer," + awsUnit
	members[developer] = []string{team}
	// The right name in the wrong place: whoever runs Projects must not be able to hand out AWS roles.
	members["CN=AWS-111122223333-Admin,OU=Projects,"+Suffix] = []string{"CN=Dan Moreau," + peopleUnit}
	members["CN=Auditors,"+groupsUnit] = []string{"CN=Carol Lindqvist," + peopleUnit}
	for dn, who := range members {
		cn, _, _ := strings.Cut(strings.TrimPrefix(dn, "CN="), ",")
		g := entry(dn, "cn", cn, "groupOfNames")
		g.Attributes["member"] = who
		list = append(list, g)
	}
	return list
}

func entry(dn, attribute, value string, classes ...string) directory.Entry {
	return directory.Entry{DN: dn, Attributes: map[string][]string{"objectClass": append(classes, "top"), attribute: {value}}}
}

func (p Person) entry(n int) directory.Entry {
	given, family, _ := strings.Cut(p.name, " ")
	e := entry(p.dn(), "cn", p.name, "inetOrgPerson", "organizationalPerson", "person")
	for name, values := range map[string][]string{
		"uid": {p.Username}, "displayName": {p.name}, "givenName": {given}, "sn": {family},
		"mail":       {fmt.Sprintf("%s@corp.example.com", strings.ReplaceAll(p.Username, "ë", "e"))},
		"department": {"Engineering"}, "employeeNumber": {fmt.Sprint(1000 + n)}, "userPassword": {Password},
		"pwdChangedTime": {"20260101000000Z"}, "pwdPolicySubentry": {"CN=lasting," + policiesUnit},
	} {
		e.Attributes[name] = values
	}
	for name, values := range p.state {
		e.Attributes[name] = values
	}
	return e
}

// estate is the company's side of AWS. Roles allow four hours, those of
// administrators one, so that a longer wish shows what happens.
func estate(recipient string) []cloud.Account {
	var list []cloud.Account
	for _, a := range accounts() {
		ca := cloud.Account{ID: a.id, Name: a.name, Providers: []string{providerName}}
		for _, role := range a.roles {
			ca.Roles = append(ca.Roles, trusting(role, recipient))
		}
		if a.id == sandboxAccount {
			ca.Roles = append(ca.Roles, trusting(sandboxRole, recipient))
		}
		list = append(list, ca)
	}
	return list
}

func trusting(name, recipient string) cloud.Role {
	longest := 4 * time.Hour
	if name == "Admin" {
		longest = time.Hour
	}
	return cloud.Role{Name: name, Path: "/", MaxSession: longest, Trust: cloud.Trust{
		Providers: []string{providerName}, Audiences: []string{recipient}, TagSession: true, SetSourceIdentity: true, SubType: "persistent",
	}}
}
