// Package access decides who may have what, and then gives it.
//
// Policy is the decision: it turns a person's groups into entitlements, and
// denies whatever no rule grants. Broker is the act: it is the only way by
// which an assertion or a credential leaves Gatehouse. Every way in (pages,
// SAML messages, programs) ends in the same few verbs of the Broker, so every
// way in makes the same checks.
//
// The package speaks to the directory, the store, the identity provider and
// AWS through the small interfaces declared here. It knows nothing of HTTP,
// LDAP or SQL.
package access

import (
	"context"
	"time"

	"gatehouse"
	"gatehouse/saml"
)

// Directory is where people are found and proved.
type Directory interface {
	// Name is the directory's name in the configuration.
	Name() string

	// Authenticate finds the person that username means and proves the
	// password. Once exactly one person is found, and before their password
	// is sent anywhere, admit is called with who they are (without groups);
	// the error it returns ends the attempt and is returned as it is.
	//
	// Errors: ErrUnknownPerson (nobody, or more than one), ErrInvalidCredentials,
	// the ErrPassword… and ErrAccount… kinds (only when the directory has
	// confirmed the password), ErrTooManyGroups, ErrUnavailable.
	Authenticate(ctx context.Context, username string, password gatehouse.Secret, admit func(found gatehouse.User) error) (gatehouse.User, error)

	// ChangePassword gives the person that username means a new password, if
	// old is theirs. admit is asked as by Authenticate, and old is sent once.
	//
	// Errors: as Authenticate's, and ErrPasswordRefused where old was right.
	ChangePassword(ctx context.Context, username string, old, new gatehouse.Secret, admit func(found gatehouse.User) error) error

	// Identify reads the person that username means, without a proof, without
	// groups and whatever the state of their account.
	// Errors: ErrUnknownPerson, ErrUnavailable.
	Identify(ctx context.Context, username string) (gatehouse.User, error)

	// Lookup reads a person again by their immutable identifier.
	// Errors: ErrUnknownPerson, ErrAccountDisabled, ErrAccountLocked,
	// ErrAccountExpired, ErrTooManyGroups, ErrUnavailable.
	Lookup(ctx context.Context, id string) (gatehouse.User, error)
}

// IdP makes signed SAML Responses.
type IdP interface {
	Respond(ctx context.Context, a saml.Assertion) (saml.Response, error)

	// AppendResponse is Respond into the caller's memory, and has no Encoded.
	AppendResponse(ctx context.Context, dst gatehouse.Lent, a saml.Assertion) (gatehouse.Lent, saml.Response, error)

	// NameID is the person's opaque, stable name at one service provider.
	NameID(person, serviceProvider string) string

	// Provider is a registered service provider whose metadata is good.
	Provider(entityID string) (saml.Provider, bool)

	// Providers lists all that are registered and good, by name.
	Providers() []saml.Provider

	// Registered says whether acs is, byte for byte, one of the provider's own:
	// of those that a program takes an answer to, or a browser.
	Registered(entityID, acs string, ecp bool) bool

	// Subject is what a provider is to call the session's person, in that
	// format or its usual one.
	Subject(s gatehouse.Session, sp saml.Provider, format string) (saml.NameID, error)
}

// AWS trades assertions for credentials, and credentials for a console.
type AWS interface {
	// AssumeRole calls AssumeRoleWithSAML in the account's region. When the
	// role's own maximum is lower than d it tries once more with an hour, and
	// says so in Credentials.Lasts. limits narrow what the session may do. It
	// has done with the assertion when it returns, whatever it returns.
	AssumeRole(ctx context.Context, account gatehouse.Account, role gatehouse.Role, assertion gatehouse.Lent, d time.Duration, limits gatehouse.SessionPolicy) (gatehouse.Credentials, error)

	// ConsoleURL trades credentials for a URL that signs a browser in to the
	// console at destination; when that session ends, AWS leads back to issuer.
	ConsoleURL(ctx context.Context, account gatehouse.Account, c gatehouse.Credentials, d time.Duration, issuer, destination string) (gatehouse.Secret, error)

	// Destination settles which console page to open: the wish, when it is a
	// page of the account's own console, else ErrInvalid; the home page of
	// region when there is no wish.
	Destination(account gatehouse.Account, region, wish string) (string, error)

	// Audience and Recipient are the entity ID and the ACS URL of the AWS
	// partition that the account is in.
	Audience(account gatehouse.Account) string
	Recipient(account gatehouse.Account) string
}

// Audit keeps the record.
type Audit interface {
	// Record returns only once the event is stored. ErrTwice when it has
	// something that may happen once, and has.
	Record(ctx context.Context, e gatehouse.Event) error

	// Failing reports whether the last event could not be stored.
	Failing() bool
}

// Counters count attempts, for all replicas.
type Counters interface {
	// Hit adds one to the counter and returns the new count and when it
	// starts anew: a window after the last Hit.
	Hit(ctx context.Context, key string, window time.Duration) (count int, until time.Time, err error)

	// Hits reads the counter: zero when nothing counts.
	Hits(ctx context.Context, key string) (count int, until time.Time, err error)

	// Clear sets the counter to nothing.
	Clear(ctx context.Context, key string) error
}

// Learnt remembers what AWS taught us, for a while.
type Learnt interface {
	Learn(ctx context.Context, key, value string, until time.Time) error
	Learnt(ctx context.Context, key string) (value string, err error) // ErrNotFound
}

// Tickets proves Kerberos tickets.
type Tickets interface {
	// Accept proves one SPNEGO token, once among all replicas, and says whom
	// the realm vouches for.
	// Errors: ErrInvalidCredentials, together with ErrNoTicket when it was no
	// ticket; ErrUnavailable.
	Accept(ctx context.Context, token []byte) (gatehouse.Principal, error)
}

// Attempt is somebody's claim to be a person.
type Attempt struct {
	Proof     Proof
	Door      gatehouse.Door
	IP        string // the client's address, as the door understood it
	Device    string // the mark that Broker.Device made for this browser, if it has one; programs have none
	RequestID string
}

// Proof is what an Attempt rests on: a Password or a Ticket.
type Proof interface{ method() string }

// Password is a name and a password, byte for byte as they were typed.
type Password struct {
	Username string
	Password gatehouse.Secret
}

func (Password) method() string { return "password" }

// Ticket is a Kerberos ticket as a browser sends it.
type Ticket struct {
	Token []byte // SPNEGO, decoded from the header
}

func (Ticket) method() string { return "kerberos" }

// Grant is what a person is handed. Exactly one of Credentials, ConsoleURL
// and Post is meant for them, as Ask.Form says.
type Grant struct {
	ID          string                // of its audit event, or of the one that it is counted with
	Entitlement gatehouse.Entitlement // what it rests on
	Ask         gatehouse.Ask         // as settled: duration, region and destination filled in
	Credentials gatehouse.Credentials // for every form but post
	ConsoleURL  gatehouse.Secret      // for FormConsole
	Post        *Post                 // for FormPost and for service providers
	Scope       string                // what the limits of Ask.Scope are called; empty: none
	LoweredFrom time.Duration         // not zero: this was asked for, and the role allows less

	// Participant is what a service provider was told, so that a sign-out can
	// be told to it.
	Participant saml.Participant
}

// Dispatch is a signed message of ours that the person's browser must carry
// to a service provider.
type Dispatch struct {
	To         string           // the provider's name
	URL        string           // from registered metadata; where Field is empty, with the message in its query
	Field      string           // SAMLRequest or SAMLResponse, when it is to be posted
	Message    gatehouse.Secret // then its base64
	RelayState string           // then what goes with it
	Skip       string           // a path of ours that goes on without it; empty: it is the last
}

// Post is a form that the person's browser must send to a service provider.
type Post struct {
	URL          string // from registered metadata or configuration, never from a request
	SAMLResponse gatehouse.Secret
	RelayState   string
}
