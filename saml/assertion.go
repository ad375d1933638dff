package saml

import (
	"time"

	"gatehouse"
)

// Assertion is what one signed Response is to say.
type Assertion struct {
	Recipient    string        // ACS URL: SubjectConfirmationData/@Recipient and Response/@Destination
	Audience     string        // the service provider's entity ID
	InResponseTo string        // the request's ID; empty for an unsolicited Response
	NameID       NameID        // who it is about
	AuthnInstant time.Time     // when the person really proved who they are
	AuthnContext string        // class reference; empty: PasswordProtectedTransport
	SessionIndex string        // opaque, per sign-in and provider
	Lifetime     time.Duration // how long it may be redeemed; zero: five minutes, STS's own limit
	AWS          *AWS          // the attributes of AWS; nil for any other provider
	Attributes   []Attribute   // for other providers
	Sign         Sign          // what is signed
	ECP          bool          // a program takes it: some know our elements by the prefixes saml2p and saml2 alone
}

// NameID is the subject's name at one service provider (saml-core §2.2.3). An
// empty Format means persistent.
type NameID = gatehouse.Name

// AWS is what IAM reads from an assertion (IAM User Guide, "Configure SAML
// assertions for the authentication response").
type AWS struct {
	Roles             []RolePair
	RoleSessionName   string
	SessionDuration   time.Duration // whole seconds; zero: not sent
	SourceIdentity    string        // empty: not sent
	Tags              []gatehouse.Tag
	TransitiveTagKeys []string
}

// RolePair is one value of the Role attribute: roleARN,providerARN.
type RolePair struct{ RoleARN, ProviderARN string }

// Attribute is one attribute of an assertion for a provider other than AWS.
type Attribute struct {
	Name   string
	Format string // NameFormat; empty: uri
	Values []string
}

// Sign says which elements of a Response carry a signature.
type Sign string

// What can be signed. AWS's metadata asks for the assertion; both costs two
// private-key operations.
const (
	SignAssertion Sign = "assertion"
	SignResponse  Sign = "response"
	SignBoth      Sign = "both"
)

// Signature says which algorithm signs.
type Signature string

// What can sign: the algorithm that every provider takes, and one whose
// signatures cost a fraction of it.
const (
	SignatureRSA   Signature = "rsa-sha256"
	SignatureECDSA Signature = "ecdsa-sha256"
)

// Response is a signed SAML Response, ready to be posted.
type Response struct {
	ID          string           // of the assertion within
	Encoded     gatehouse.Secret // base64 of the Response: a bearer token for as long as it may be redeemed; empty where it was appended to the caller's memory
	Destination string           // where it is to be posted
	IssuedAt    time.Time
}
