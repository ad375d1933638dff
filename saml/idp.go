package saml

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

// Endpoints says where the world reaches this identity provider, and where
// AWS takes responses. All are whole URLs.
type Endpoints struct {
	Metadata string   // where the metadata document is; the entity ID unless one is configured
	SSO      string   // where requests arrive, by redirect and by POST
	SLO      string   // where logout messages do; empty: nowhere
	ECP      string   // where programs send requests by SOAP; empty: nowhere
	AWS      []string // assertion consumer services of AWS's sign-in, the default first
}

// IdP is the identity provider. It may be used by many goroutines at once.
type IdP struct {
	entityID  string
	endpoints Endpoints
	cfg       Config
	nameIDKey []byte
	now       func() time.Time

	providers atomic.Pointer[registry]
	ring      atomic.Pointer[keyring]
	slots     chan struct{} // as many as may sign at once
	memory    sync.Pool     // of *scratch
	texts     sync.Pool     // of *gatehouse.Lent, cleared
}

// New makes an identity provider that signs with the active one of keys.
// nameIDKey makes the opaque names of people; it must never change, or every
// provider takes everybody for somebody new. nil for now means time.Now.
//
// It reads the metadata of every service provider in cfg; a file that cannot
// be used is an error that names it.
func New(cfg Config, endpoints Endpoints, keys []gatehouse.SigningKey, nameIDKey []byte, now func() time.Time) (*IdP, error) {
	if endpoints.SSO == "" || cmp.Or(cfg.EntityID, endpoints.Metadata) == "" {
		return nil, errors.New("saml: no entity ID or no SSO location")
	}
	if len(nameIDKey) < 16 {
		return nil, fmt.Errorf("saml: key for name identifiers of %d bytes: want at least 16", len(nameIDKey))
	}
	if now == nil {
		now = time.Now
	}
	cfg.SetDefaults()
	p := &IdP{
		entityID:  cmp.Or(cfg.EntityID, endpoints.Metadata),
		endpoints: endpoints,
		cfg:       cfg,
		nameIDKey: nameIDKey,
		now:       now,
		slots:     make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	p.memory.New = func() any { return &scratch{hash: sha256.New()} }
	p.texts.New = func() any { return new(gatehouse.Lent) }
	if _, err := p.Refresh(); err != nil {
		return nil, err
	}
	return p, p.SetKeys(keys)
}

// EntityID is the name by which service providers and IAM know this identity
// provider.
func (p *IdP) EntityID() string { return p.entityID }

// SetKeys puts other signing keys in place, all at once: an answer is signed
// either with the old or with the new active key, and the metadata changes
// with it. Exactly one RSA key must be active, and one ECDSA key where a provider
// opts in. On an error nothing changes.
func (p *IdP) SetKeys(keys []gatehouse.SigningKey) error {
	ring, err := newKeyring(keys)
	if err != nil {
		return fmt.Errorf("saml: %w", err)
	}
	if !p.cfg.EncryptedNames {
		ring.opens = nil
	}
	if i := slices.IndexFunc(p.cfg.ServiceProviders, func(sp ServiceProvider) bool { return sp.Signature == SignatureECDSA }); i >= 0 && ring.ecdsa == nil {
		return fmt.Errorf("saml: service provider %s: its signature is ecdsa-sha256, and no ECDSA key signs; make one (gatehouse keys add --ecdsa), and promote it", p.cfg.ServiceProviders[i].Name)
	}
	if ring.metadata, err = p.describe(ring.published, &ring.signer); err != nil {
		return fmt.Errorf("saml: metadata: %w", err)
	}
	p.ring.Store(ring)
	return nil
}

// Metadata is the document that tells IAM and service providers about this
// identity provider. Its bytes stay the same until the keys change; the
// caller must not change them.
func (p *IdP) Metadata() []byte { return p.ring.Load().metadata }

// NameID is a person's name at one service provider: opaque, stable, of that
// provider alone, and lower-case so that none differs from another by case
// alone. person is gatehouse.User.Key.
func (p *IdP) NameID(person, serviceProvider string) string {
	mac := hmac.New(sha256.New, p.nameIDKey)
	// A length in front keeps ("a", "bc") and ("ab", "c") apart.
	fmt.Fprintf(mac, "name-id\x00%d\x00%s\x00%s", len(person), person, serviceProvider)
	return "_" + hex.EncodeToString(mac.Sum(nil))
}

// Respond makes one signed Response that says a, in a text of its own. It does
// not decide whether a may be said: that is the Broker's business.
//
// Errors: a lacks something or has a value that XML or AWS cannot take; the
// Response for AWS is longer than STS accepts (gatehouse.ErrInvalid); ctx
// ended while waiting for a turn to sign.
func (p *IdP) Respond(ctx context.Context, a Assertion) (Response, error) {
	return p.own(func(dst gatehouse.Lent) (gatehouse.Lent, Response, error) { return p.AppendResponse(ctx, dst, a) })
}

// AppendResponse is Respond into memory of the caller's: it appends the
// Response to dst, in base64, and leaves Encoded empty. What it appended is a
// bearer token for as long as it may be redeemed. So whoever uses the memory
// again must know that nobody reads it any more, which for what was given to
// an HTTP client or to a page is hard to know; and clears it. On an error
// there is nothing in it.
func (p *IdP) AppendResponse(ctx context.Context, dst gatehouse.Lent, a Assertion) (gatehouse.Lent, Response, error) {
	if err := settle(&a); err != nil {
		return dst, Response{}, fmt.Errorf("saml: %w", err)
	}
	m := message{Assertion: a, issuer: p.entityID}
	if sp := p.providers.Load().all[a.Audience]; sp != nil {
		m.signature = sp.Signature
		m.to = sp.recipient // whoever asks for the Response: nobody can forget it
	}
	var session string
	m.responseID, m.assertionID, session = newIDs()
	m.SessionIndex = cmp.Or(m.SessionIndex, session)
	return p.emit(ctx, dst, &m, m.assertionID)
}

// own makes a Response with a text of its own out of one that is appended.
func (p *IdP) own(appended func(dst gatehouse.Lent) (gatehouse.Lent, Response, error)) (Response, error) {
	memory := p.texts.Get().(*gatehouse.Lent)
	text, r, err := appended((*memory)[:0])
	if err != nil {
		return Response{}, err
	}
	r.Encoded = gatehouse.Secret(text)
	if clear(text); cap(text) <= keptText {
		*memory = text
		p.texts.Put(memory)
	}
	return r, nil
}

// emit writes and signs m when it is its turn, and appends it to dst.
func (p *IdP) emit(ctx context.Context, dst gatehouse.Lent, m *message, id string) (gatehouse.Lent, Response, error) {
	if err := p.enter(ctx); err != nil {
		return dst, Response{}, fmt.Errorf("saml: wait to sign: %w", err)
	}
	defer p.leave()
	s := p.memory.Get().(*scratch)
	defer p.keep(s)
	m.now = p.now().UTC().Truncate(time.Second)
	if err := s.respond(m, p.ring.Load().by(m.signature)); err != nil {
		return dst, Response{}, fmt.Errorf("saml: %w", err)
	}
	if n := base64.StdEncoding.EncodedLen(len(s.xml.buf)); m.AWS != nil && n > maxAWS {
		return dst, Response{}, tooLong(len(m.AWS.Roles), n)
	}
	dst = base64.StdEncoding.AppendEncode(dst, s.xml.buf)
	return dst, Response{ID: id, Destination: m.Recipient, IssuedAt: m.now}, nil
}

func tooLong(roles, characters int) error {
	return fmt.Errorf("saml: response of %d characters for AWS: %w", characters, &gatehouse.Invalid{
		Field: "role",
		Why:   fmt.Sprintf("AWS takes at most 100,000 characters, too few for %d roles at once. Choose one role.", roles),
	})
}

// enter waits for a turn to sign. More signatures at once than processors
// would only make each of them later, sign-ins too.
func (p *IdP) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *IdP) leave() { <-p.slots }

// keptText is the longest memory of one Response that is kept for the next.
const keptText = 256 << 10

// keep gives the memory to the next one, unless a giant made it huge.
func (p *IdP) keep(s *scratch) {
	if cap(s.xml.buf) <= keptText && cap(s.plain.buf) <= keptText {
		p.memory.Put(s)
	}
}

// Provider is the service provider of that entity ID; false when none is
// registered, or its metadata has run out.
func (p *IdP) Provider(entityID string) (Provider, bool) {
	sp := p.providers.Load().all[entityID]
	if sp == nil || sp.expired(p.now()) {
		return Provider{}, false
	}
	return *sp, true
}

// Providers lists every service provider whose metadata is good, by name.
func (p *IdP) Providers() []Provider {
	return slices.DeleteFunc(p.all(), func(sp Provider) bool { return sp.expired(p.now()) })
}

// all lists every service provider, by name.
func (p *IdP) all() []Provider {
	var list []Provider
	for _, sp := range p.providers.Load().all {
		list = append(list, *sp)
	}
	sortProviders(list)
	return list
}

// Registered says whether acs is, byte for byte, one of the provider's
// registered assertion consumer services: of those that take a POST or, for
// ECP, of those with the PAOS binding. An answer goes nowhere else.
func (p *IdP) Registered(entityID, acs string, ecp bool) bool {
	sp, ok := p.Provider(entityID)
	return ok && slices.ContainsFunc(sp.services(ecp), func(e endpoint) bool { return e.location == acs })
}

// IsAWS says whether entityID is one of AWS's own (IAM User Guide, "Configure SAML assertions").
func IsAWS(entityID string) bool {
	return entityID == awsAudience || strings.HasPrefix(entityID, awsAudience+":")
}

const awsAudience = "urn:amazon:webservices"
