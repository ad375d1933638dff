// Package gatehouse holds the nouns that every room shares: a person, their
// groups, AWS accounts and roles, what a person may have, what they ask for
// and what they are given.
//
// It imports only the standard library, does no I/O, declares no interface,
// and has no function that can fail except those that parse a name.
package gatehouse

import (
	"cmp"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// User is a person as their directory describes them. A person is the pair
// (Directory, ID): names change and are used again, the identifier does not.
type User struct {
	Directory   string              // name of the directory in the configuration
	ID          string              // objectGUID or entryUUID, lower-case text
	Username    string              // login name as the directory stores it, never as it was typed
	DN          string              // byte for byte as the directory returned it
	DisplayName string              // what to call them; never empty once read
	Mail        string              // may be empty
	Groups      []Group             // direct and nested
	Attributes  map[string][]string // what access rules and session tags may refer to; keys lower-case
	ReadAt      time.Time           // when the directory said all this

	// PasswordExpires is when their password does; zero when it never does, or
	// the directory does not say. It may be in the past: somebody who may sign
	// in with an expired password a few times more.
	PasswordExpires time.Time
}

// Key is the person's identity as one string: the owner of their sessions,
// the name of their throttle, the subject of their audit trail.
func (u User) Key() string { return u.Directory + "/" + u.ID }

// Principal is who a Kerberos ticket is about. It is a name until the
// directory has found the person of that name.
type Principal struct {
	Name      string    // without the realm, as the ticket has it
	Realm     string    // whose key distribution centre vouches for the name
	Directory string    // which directory that realm's people are in
	ProvedAt  time.Time // when the person proved themselves to the realm; a ticket may be hours younger
}

// String is the principal's whole name.
func (p Principal) String() string { return p.Name + "@" + p.Realm }

// Group is a group that a person belongs to.
type Group struct {
	DN   string   // as the directory returned it
	Name string   // the attribute that group patterns are matched with (cn, sAMAccountName)
	Via  []string // DNs of the groups between person and this group, the person's own group first; empty when direct
}

// Account is an AWS account that the configuration lists.
type Account struct {
	ID          string // twelve digits
	Name        string
	Environment string // a word of the operator's: prod, staging, dev, shared
	Owner       string
	Colour      string // one of Colours; empty: its environment's
	Provider    string // name of the IAM SAML provider in this account
	Region      string // region whose STS endpoint serves it, and where its console opens
	Partition   string // aws, aws-us-gov, aws-cn
}

// Colours are the names that an account's colour may have.
var Colours = []string{"red", "orange", "amber", "olive", "green", "teal", "cyan", "blue", "indigo", "violet", "pink", "gray"}

// ProviderARN is the ARN of the account's IAM SAML provider.
func (a Account) ProviderARN() string {
	return "arn:" + cmp.Or(a.Partition, "aws") + ":iam::" + a.ID + ":saml-provider/" + a.Provider
}

// Role names an IAM role.
type Role struct {
	Partition string // aws, aws-us-gov, aws-cn
	Account   string // twelve digits
	Path      string // "/" or "/team/sub/"; it is part of the ARN, not of the name
	Name      string // unique within its account, ignoring case
}

// ARN is the role's Amazon Resource Name.
func (r Role) ARN() string {
	return "arn:" + cmp.Or(r.Partition, "aws") + ":iam::" + r.Account + ":role" + cmp.Or(r.Path, "/") + r.Name
}

// String is the ARN.
func (r Role) String() string { return r.ARN() }

// The shape of a role's ARN and the limits of its parts: IAM User Guide,
// "IAM identifiers" and "IAM and AWS STS quotas".
var roleARN = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d{12}):role(/|/[\x21-\x7e]+/)([\w+=,.@-]{1,64})$`)

// longestPath is of a role's path. Said in the pattern, it would cost half a
// megabyte and a millisecond of every start.
const longestPath = 512

// RoleName is what IAM accepts as a role's name.
var RoleName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// AccountID is what AWS accepts as an account's number.
var AccountID = regexp.MustCompile(`^\d{12}$`)

// ParseRoleARN reads arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME.
func ParseRoleARN(s string) (Role, error) {
	m := roleARN.FindStringSubmatch(s)
	if m == nil || len(m[3]) > longestPath {
		return Role{}, fmt.Errorf("%q is not a role ARN: want arn:aws:iam::123456789012:role/Name", s)
	}
	return Role{Partition: m[1], Account: m[2], Path: m[3], Name: m[4]}, nil
}

// Entitlement is one role that a person may have now, and on which terms.
type Entitlement struct {
	Account Account
	Role    Role
	Via     []Via // every rule and group that gives it, in the order of the rules; never empty

	// The terms are those of the first rule that gives the role.
	MaxSession     time.Duration // the longest hand-out
	Tags           []Tag         // session tags, resolved for this person, sorted by key
	TransitiveTags []string      // keys among Tags that survive role chaining
	SourceIdentity string        // empty: not sent
	Confirm        bool          // pages ask for one click more before they hand it out
	Until          time.Time     // zero: as long as the groups last
	Blocked        string        // not empty: why it cannot be handed out although a rule gives it, for the person
}

// Application is a service provider other than AWS that a person may sign in to.
type Application struct {
	Name     string // of the configuration
	EntityID string
}

// Via says which rule gives an entitlement, and by which group.
type Via struct {
	Rule  int // number of the rule in access.rules, from 1
	Group Group
}

// Tag is an STS session tag.
type Tag struct{ Key, Value string }

// Door is the way by which somebody came in.
type Door string

// The doors that lead to a sign-in.
const (
	DoorPages Door = "pages" // the sign-in page
	DoorECP   Door = "ecp"   // SAML ECP, Basic credentials
	DoorAPI   Door = "api"   // bearer tokens of command-line clients
)

// Session is a proof of who somebody is that is still good: who, how proved,
// when, by which door. How long it lasts is its keeper's business.
type Session struct {
	ID       string    // public reference of the session, for the record; not the secret in the cookie
	User     User      // as last read
	Methods  []string  // how they proved it: password, …
	ProvedAt time.Time // when they last did
	Door     Door
	IP       string // from where
	Client   string `json:",omitempty"` // the program that acts for them, as it calls itself; empty: they do
}

// Form is the shape in which somebody wants a hand-out.
type Form string

// The forms that a role's page offers.
const (
	FormConsole    Form = "console"    // a sign-in URL made by us
	FormPost       Form = "post"       // a SAML response that the browser posts to AWS itself
	FormBash       Form = "bash"       // export lines for bash and zsh
	FormFish       Form = "fish"       // set -gx lines
	FormPowerShell Form = "powershell" // $Env: lines
	FormCmd        Form = "cmd"        // set lines for Windows' cmd.exe
	FormINI        Form = "ini"        // a profile for ~/.aws/credentials
	FormEnv        Form = "env"        // KEY=value lines for .env files
	FormJSON       Form = "json"       // the output of a credential_process
)

// Forms lists every Form, in the order in which pages show them.
var Forms = []Form{FormConsole, FormPost, FormBash, FormFish, FormPowerShell, FormCmd, FormINI, FormEnv, FormJSON}

// Ask is what a person wants to be handed.
type Ask struct {
	Account     string        // twelve digits
	Role        string        // the role's name within the account
	Provider    string        // or a service provider's entity ID; then Account and Role are empty
	Form        Form          // how
	Duration    time.Duration // zero: the longest that rule and role allow
	Region      string        // region for console and exports; empty: the account's
	Destination string        // console page to open; empty: its home
	Scope       string        // name of the limits that the hand-out gets beside the role's own; empty: none
	Reason      string        // the person's own words, for the record
	IP          string        // where the request came from
	RequestID   string        // reference on logs and error pages
	Shared      bool          // give what the same session was given before, while it is good for long enough
	Once        Once          // what is answered by this, and must not be answered again; empty: nothing

	// What a service provider's request said, once it was found good. Empty
	// where the person began here.
	InResponseTo string   // the request's ID; with it the answer is bound to that request
	ACS          string   // where the answer goes, as chosen among the provider's own; empty: its default
	RelayState   string   // given back byte for byte
	NameIDFormat string   // in which the person must be named; empty: the provider's usual one
	Subject      Name     // whom it must be about; empty: whoever is signed in
	Contexts     []string // classes of sign-in of which theirs must be one; empty: any will do
}

// Name is what a service provider calls a person: a value in a format of SAML.
type Name struct {
	Format string `json:"format,omitempty"`
	Value  string `json:"value,omitempty"`
}

// Credentials are temporary AWS credentials.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey Secret
	SessionToken    Secret
	Expires         time.Time
	Lasts           time.Duration // what AWS granted, which may be less than was asked
	AssumedRoleARN  string        // arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION
	RequestID       string        // AWS's reference of the call
}

// SessionPolicy limits a session further than its role does: it may do what
// both allow (IAM User Guide, "Session policies"). Empty: no limit.
type SessionPolicy struct {
	Document string   // inline, JSON
	ARNs     []string // of managed policies
}

// Event is one entry of the audit record. Fields that do not apply are empty.
type Event struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Kind      EventKind `json:"kind"`
	Person    string    `json:"person,omitempty"` // User.Key; empty when nobody of that name is known
	Username  string    `json:"username,omitempty"`
	Directory string    `json:"directory,omitempty"`
	DN        string    `json:"dn,omitempty"`
	Door      Door      `json:"door,omitempty"`
	IP        string    `json:"ip,omitempty"`
	Session   string    `json:"session,omitempty"`    // Session.ID
	Methods   []string  `json:"methods,omitempty"`    // how they proved who they are
	RequestID string    `json:"request_id,omitempty"` // ours
	Reason    string    `json:"reason,omitempty"`     // why refused, as a fixed word; or the person's own words
	Client    string    `json:"client,omitempty"`     // the program that acts for the person, as it calls itself
	Shared    bool      `json:"shared,omitempty"`     // credentials that were handed out before, to the same session
	Count     int       `json:"count,omitempty"`      // how many refusals, deliveries of the same keys, or endings it stands for; none: itself

	Account        string        `json:"account,omitempty"`
	Role           string        `json:"role,omitempty"`     // ARN
	Provider       string        `json:"provider,omitempty"` // entity ID of a service provider
	Form           Form          `json:"form,omitempty"`
	Scope          string        `json:"scope,omitempty"`    // name of the limits that it has beside the role's own
	Duration       time.Duration `json:"duration,omitempty"` // nanoseconds
	Expires        time.Time     `json:"expires,omitzero"`
	Rules          []int         `json:"rules,omitempty"`  // numbers of the access.rules that gave the role, from 1
	Groups         []string      `json:"groups,omitempty"` // DNs that gave the role
	SessionName    string        `json:"session_name,omitempty"`
	SourceIdentity string        `json:"source_identity,omitempty"`
	AssertionID    string        `json:"assertion_id,omitempty"`
	AccessKeyID    string        `json:"access_key_id,omitempty"`
	AWSRequestID   string        `json:"aws_request_id,omitempty"`

	Once Once `json:"-"` // noted together with the event, or neither is
}

// Once is what may happen once, among all replicas, until a time.
type Once struct {
	Key   string // of 128 random bits or more; empty: nothing of the kind
	Until time.Time
}

// EventKind says what an Event records.
type EventKind string

// What is recorded so far.
const (
	EventSignInAccepted  EventKind = "signin.accepted"
	EventSignInRefused   EventKind = "signin.refused"
	EventSignOut         EventKind = "signout"
	EventRevoked         EventKind = "revoked"      // an operator ended all that a person was signed in to: Count of them
	EventTokenReused     EventKind = "token.reused" // somebody has a copy of a program's token: its sign-in was ended
	EventNewPlace        EventKind = "place.new"    // a program is approved or used at an address whose network its person has not used
	EventGranted         EventKind = "granted"
	EventRefused         EventKind = "refused" // a hand-out that was asked for and not given
	EventPasswordChanged EventKind = "password.changed"
	EventPasswordRefused EventKind = "password.refused" // a change that was asked for and not made
	EventKeyCreated      EventKind = "key.created"      // a signing key; Reason names it
	EventKeyImported     EventKind = "key.imported"
	EventKeyPromoted     EventKind = "key.promoted" // it signs now
	EventKeyRetired      EventKind = "key.retired"
	EventStarted         EventKind = "replica.start" // a replica began its chain
)

// Link is an event's place in its replica's chain.
type Link struct {
	Chain string // name of the chain; one per replica and start
	Seq   int64  // from 1
	Prev  string // hex SHA-256 of the event before; empty for the first
	Hash  string // hex SHA-256 over Prev and Body
	Body  []byte // the event as it was hashed: one JSON object
}

// Chain is one replica's part of the record: every event links to the one
// before, and the chain says how many there must be and how they end.
type Chain struct {
	Name     string
	Number   int64     // chains are numbered from 1 without a gap, in the order they were opened; 0: events name a chain that was never opened
	Head     string    // hash of the last event; empty while there is none
	Count    int64     // how many events it has
	OpenedAt time.Time // when the replica started
	ClosedAt time.Time // when it ended orderly; zero while it runs, and after a crash
	Lost     bool      // the chain must exist and does not: only its number, or its events, tell
}

// EventQuery selects events from the record. What is empty does not select.
type EventQuery struct {
	Person      string // User.Key
	Username    string // in any case
	Role        string // ARN
	Account     string
	AccessKeyID string
	SessionName string
	Address     string
	Kind        EventKind
	Since       time.Time // not before
	Until       time.Time // before
	Limit       int       // at most this many, newest first; 0 means 100, more than 1000 means 1000
}

// Record is something that expires, as its keeper lists it: a session, a
// token. ID is public: the hash of the bearer secret, which itself is not kept.
type Record struct {
	ID      string // hex
	Body    []byte
	Created time.Time
	Expires time.Time
}

// SigningKey is a key that signs assertions, as the store keeps it.
type SigningKey struct {
	ID          string
	State       KeyState
	PrivateKey  []byte // PKCS #8, DER; sealed at rest
	Certificate []byte // X.509, DER
	CreatedAt   time.Time
}

// KeyState says what a signing key is used for.
type KeyState string

// The life of a key: published first, then signing, then only published, then gone.
const (
	KeyNext    KeyState = "next"    // published, does not sign yet
	KeyActive  KeyState = "active"  // published, signs
	KeyRetired KeyState = "retired" // neither
)

// Finding is one line of `gatehouse check`.
type Finding struct {
	Subject string // what was looked at: "directory corp", "store"
	State   FindingState
	Detail  string // what was seen
	Fix     string // what to do about it; empty when all is well
}

// FindingState grades a Finding.
type FindingState string

// How a check may end.
const (
	FindingOK      FindingState = "ok"
	FindingWarning FindingState = "warning"
	FindingFailure FindingState = "failure"
)

// Fault is one thing wrong with a configuration.
type Fault struct {
	Key  string // path of the key below the struct that was checked: "urls[0]", "session.idle"
	What string // what is wrong and what would be right, lower case
	Fix  string // what to do about it, where that is not to correct the line
}

// Secret is a text that must not be seen: it prints as [redacted] in fmt,
// slog and JSON. Where it has to be emitted it is converted by hand, so that
// those places can be searched for.
type Secret string

const redacted = "[redacted]"

// Format implements fmt.Formatter: a mere String method would leak under %d or %x.
func (Secret) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML honour.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Lent is a Secret in memory that its owner uses again as soon as the call that
// it was given to has returned: whoever wants it for longer makes a copy.
type Lent []byte

// Format implements fmt.Formatter, as Secret's does.
func (Lent) Format(s fmt.State, verb rune) { Secret("").Format(s, verb) }

// LogValue implements slog.LogValuer.
func (Lent) LogValue() slog.Value { return Secret("").LogValue() }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML honour.
func (Lent) MarshalText() ([]byte, error) { return Secret("").MarshalText() }

// GroupDigits writes an account's number as people read it: 1111 2222 3333.
func GroupDigits(account string) string {
	if !AccountID.MatchString(account) {
		return account
	}
	return strings.Join([]string{account[:4], account[4:8], account[8:]}, " ")
}
