package access

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/saml"
)

// Broker is the one place that proves people and hands things out. No
// assertion and no credential leaves Gatehouse except through Grant.
type Broker struct {
	d        Deps
	throttle throttle
	shared   handOuts
	counted  counted
	texts    sync.Pool // of *gatehouse.Lent, cleared: see assume
}

// Deps is what a Broker works with.
type Deps struct {
	Directories []Source // see Home for which decides
	Policy      *Policy
	Scopes      Scopes
	IdP         IdP
	AWS         AWS
	Audit       Audit
	Counters    Counters
	Learnt      Learnt
	Tickets     Tickets // nil: no ticket proves anything

	Throttle Throttle

	// Secret marks browsers and passwords that failed; all replicas have the
	// same. Default: a random one, which the next start does not know.
	Secret []byte

	// RolePage is the address of a role's page: where AWS leads back to when
	// a console session ends.
	RolePage func(account, role string) string

	// RefusalTime is how long every refused sign-in takes at least, so that
	// the time does not tell whether a name exists. Default: 400 ms.
	RefusalTime time.Duration

	// Timeout bounds a sign-in and a hand-out as a whole, so that a person
	// has an answer in time whatever hangs. Default: 4 s.
	Timeout time.Duration

	Now func() time.Time
	Log *slog.Logger
}

// Source is a directory, how old what it said may be at a hand-out, and which
// suffixes of names belong to it and to no other.
type Source struct {
	Directory
	MaxAge   time.Duration // 0: the directory is asked each time
	Suffixes []string      // of name@suffix and SUFFIX\name, in any case; .example.com is all below that
}

// New makes a Broker.
func New(d Deps) *Broker {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.RefusalTime == 0 {
		d.RefusalTime = 400 * time.Millisecond
	}
	if d.Timeout == 0 {
		d.Timeout = 4 * time.Second
	}
	if len(d.Secret) == 0 {
		d.Secret = []byte(rand.Text())
	}
	return &Broker{d: d, throttle: throttle{
		Throttle: d.Throttle, counters: d.Counters, learnt: d.Learnt, keyed: d.Secret,
		limits: &limits{said: map[string]lockout{}}, turns: &turns{lines: map[string]*line{}}, tallies: &tallies{counts: map[string]tallied{}}, now: d.Now, log: d.Log,
	}}
}

// skew is how far another clock of ours may be ahead before what it dated is
// not believed.
const skew = 2 * time.Minute

// SignIn proves an attempt and opens a session. The session is on the record
// before it is returned; so is every refusal.
//
// Errors: ErrInvalidCredentials, the ErrPassword… and ErrAccount… kinds,
// ErrThrottled, ErrUnavailable, ErrNotRecorded.
func (b *Broker) SignIn(ctx context.Context, a Attempt) (gatehouse.Session, error) {
	var session gatehouse.Session
	err := b.unhurried(ctx, func(ctx context.Context) (err error) {
		session, err = b.signIn(ctx, a)
		return err
	})
	return session, err
}

// unhurried runs act within the Timeout, and lets no failure of its out
// before RefusalTime.
func (b *Broker) unhurried(ctx context.Context, act func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, b.d.Timeout)
	defer cancel()
	notBefore := time.NewTimer(b.d.RefusalTime)
	defer notBefore.Stop()
	err := act(ctx)
	if err != nil {
		select {
		case <-notBefore.C:
		case <-ctx.Done():
		}
	}
	return err
}

func (b *Broker) signIn(ctx context.Context, a Attempt) (gatehouse.Session, error) {
	if a.Proof == nil {
		return gatehouse.Session{}, fmt.Errorf("no proof: %w", gatehouse.ErrInvalidCredentials)
	}
	event := gatehouse.Event{Kind: gatehouse.EventSignInRefused, Door: a.Door, IP: a.IP, RequestID: a.RequestID, Methods: []string{a.Proof.method()}}
	user, provedAt, err := b.judge(ctx, a, &event)
	if err != nil {
		return gatehouse.Session{}, b.refuse(ctx, event, err)
	}
	session := gatehouse.Session{ID: rand.Text(), User: user, Methods: event.Methods, ProvedAt: provedAt, Door: a.Door, IP: a.IP}
	event.Kind, event.Session, event.DN = gatehouse.EventSignInAccepted, session.ID, user.DN
	if err := b.record(ctx, event); err != nil {
		return gatehouse.Session{}, err
	}
	return session, nil
}

// judge settles whom an attempt proves, and when they proved it.
func (b *Broker) judge(ctx context.Context, a Attempt, event *gatehouse.Event) (gatehouse.User, time.Time, error) {
	switch proof := a.Proof.(type) {
	case Password:
		user, err := b.byPassword(ctx, proof, a, event)
		return user, b.d.Now(), err
	case Ticket:
		return b.byTicket(ctx, proof, a.IP, event)
	}
	return gatehouse.User{}, time.Time{}, fmt.Errorf("proof %T: %w", a.Proof, gatehouse.ErrInvalidCredentials)
}

// byPassword proves a password.
func (b *Broker) byPassword(ctx context.Context, proof Password, a Attempt, event *gatehouse.Event) (gatehouse.User, error) {
	var user gatehouse.User
	c := claim{username: proof.Username, password: proof.Password, ip: a.IP, device: a.Device}
	err := b.guarded(ctx, c, event, func(dir Directory, admit func(gatehouse.User) error) (err error) {
		user, err = dir.Authenticate(ctx, proof.Username, proof.Password, admit)
		return err
	})
	if err != nil {
		return gatehouse.User{}, err
	}
	return user, nil
}

// Refresh reads the session's person again when the directory's word about
// them is older than its max_age.
//
// Errors: ErrNoSession when the person is gone or may not sign in any more;
// ErrUnavailable, and then the session is as it was.
func (b *Broker) Refresh(ctx context.Context, s gatehouse.Session) (gatehouse.Session, error) {
	source, ok := b.source(s.User.Directory)
	if !ok {
		return gatehouse.Session{}, fmt.Errorf("directory %s is not configured any more: %w", s.User.Directory, gatehouse.ErrNoSession)
	}
	if age := b.d.Now().Sub(s.User.ReadAt); source.MaxAge > 0 && age <= source.MaxAge && age > -skew {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, b.d.Timeout)
	defer cancel()
	user, err := source.Lookup(ctx, s.User.ID)
	if err != nil {
		if errors.Is(err, gatehouse.ErrUnavailable) {
			return s, err
		}
		return gatehouse.Session{}, fmt.Errorf("%s is not welcome any more: %w: %w", s.User.Key(), gatehouse.ErrNoSession, err)
	}
	if user.PasswordExpires.IsZero() {
		user.PasswordExpires = s.User.PasswordExpires // some directories say it at a bind only
	}
	s.User = user
	return s, nil
}

func (b *Broker) source(name string) (Source, bool) {
	for _, d := range b.d.Directories {
		if d.Name() == name {
			return d, true
		}
	}
	return Source{}, false
}

// Entitlements lists what the session's person may have, by what is known of
// them now. It grants nothing.
func (b *Broker) Entitlements(s gatehouse.Session) []gatehouse.Entitlement {
	return b.d.Policy.Entitlements(s.User)
}

// Applications lists the service providers besides AWS that the session's
// person may sign in to, by name. It grants nothing.
func (b *Broker) Applications(s gatehouse.Session) []gatehouse.Application {
	var list []gatehouse.Application
	for _, r := range b.Releases(s) {
		list = append(list, gatehouse.Application{Name: r.Provider.Name, EntityID: r.Provider.EntityID})
	}
	return list
}

// Scopes lists the limits that somebody at an address may take a role with.
func (b *Broker) Scopes(ip string) []Offer { return b.d.Scopes.offers(ip) }

// Longest is how long a hand-out of e may last, and whether it is AWS that
// was seen to allow no more, and not the rule.
func (b *Broker) Longest(ctx context.Context, e gatehouse.Entitlement) (most time.Duration, byRole bool) {
	if e.MaxSession <= leastMaximum {
		return e.MaxSession, false
	}
	if known := b.roleMaximum(ctx, e.Role); known < e.MaxSession {
		return known, true
	}
	return e.MaxSession, false
}

// Opens reports whether a console of the account can be opened at the page
// that is wished for, as Grant judges it.
func (b *Broker) Opens(account gatehouse.Account, region, wish string) bool {
	_, err := b.d.AWS.Destination(account, cmp.Or(region, account.Region), wish)
	var invalid *gatehouse.Invalid
	return !errors.As(err, &invalid) || invalid.Field != "destination"
}

// Explain says why the session's person has a role of an account, or why not
// and what would give it. An empty role is every one that they have there.
func (b *Broker) Explain(s gatehouse.Session, account, role string) Explanation {
	for _, e := range b.d.Policy.Entitlements(s.User) {
		if e.Role.Account == account && strings.EqualFold(e.Role.Name, role) {
			role = e.Role.Name // IAM's names are unique whatever their case
		}
	}
	return b.d.Policy.Explain(s.User, account, role)
}

// Accounts lists every account that the configuration names. It is for finding
// the number that a name stands for, not for showing.
func (b *Broker) Accounts() []gatehouse.Account { return b.d.Policy.Accounts() }

// SignOut puts the end of a session on the record.
func (b *Broker) SignOut(ctx context.Context, s gatehouse.Session) error {
	e := personal(s)
	e.Kind = gatehouse.EventSignOut
	return b.record(ctx, e)
}

// Grant hands out what is asked for, if the person may have it now. It is the
// only way by which an assertion or a credential leaves Gatehouse: the person
// is read again, the policy is asked here, and the hand-out is on the record
// before the caller sees any of it.
//
// Errors: ErrNoSession, ErrNotEntitled, ErrInvalid, ErrRefusedByAWS, ErrTwice,
// ErrUnavailable, ErrNotRecorded. Refusals are on the record too.
func (b *Broker) Grant(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, b.d.Timeout)
	defer cancel()
	event := personal(s)
	event.Kind, event.IP, event.RequestID = gatehouse.EventGranted, ask.IP, ask.RequestID
	event.Account, event.Provider, event.Form, event.Reason = ask.Account, ask.Provider, ask.Form, ask.Reason
	event.Once = ask.Once
	if scopeName.MatchString(ask.Scope) {
		event.Scope = ask.Scope
	}
	if gatehouse.AccountID.MatchString(ask.Account) && gatehouse.RoleName.MatchString(ask.Role) {
		// What was asked for, as far as it can be known before it is found.
		event.Role = gatehouse.Role{Account: ask.Account, Name: ask.Role}.ARN()
	}

	grant, from, err := b.grant(ctx, s, ask, &event)
	if err != nil {
		event.Kind = gatehouse.EventRefused
		return Grant{}, b.refuse(ctx, event, err)
	}
	if grant.ID, err = b.granted(ctx, from, event); errors.Is(err, gatehouse.ErrTwice) {
		event.Kind, event.AssertionID, event.Once = gatehouse.EventRefused, "", gatehouse.Once{}
		return Grant{}, b.refuse(ctx, event, err)
	}
	if err != nil {
		return Grant{}, err
	}
	return grant, nil
}

// granted puts a hand-out on the record and returns its event's ID.
func (b *Broker) granted(ctx context.Context, from *handOut, event gatehouse.Event) (string, error) {
	if from != nil {
		return b.delivered(ctx, from, event)
	}
	event.ID = rand.Text()
	return event.ID, b.record(ctx, event)
}

// grant is Grant but for the record. from is what may be given again; nil where
// nothing may.
func (b *Broker) grant(ctx context.Context, s gatehouse.Session, ask gatehouse.Ask, event *gatehouse.Event) (grant Grant, from *handOut, err error) {
	s, err = b.Refresh(ctx, s)
	if err != nil {
		return Grant{}, nil, err
	}
	if ask.Provider != "" {
		grant, err = b.grantProvider(ctx, s, ask, event)
		return grant, nil, err
	}
	e, err := b.d.Policy.Entitlement(s.User, ask.Account, ask.Role)
	if err != nil {
		return Grant{}, nil, err
	}
	event.Role = e.Role.ARN()
	for _, v := range e.Via {
		event.Rules, event.Groups = append(event.Rules, v.Rule), append(event.Groups, v.Group.DN)
	}
	if e.Blocked != "" {
		return Grant{}, nil, &gatehouse.Invalid{Field: "role", Why: e.Blocked}
	}
	limits, err := b.limits(ask, e)
	if err != nil {
		return Grant{}, nil, err
	}
	wanted := ask.Duration
	if ask, err = b.settle(ctx, ask, e); err != nil {
		return Grant{}, nil, err
	}
	grant = Grant{Entitlement: e, Ask: ask, Scope: b.d.Scopes.title(ask.Scope)}
	if ask.Shared && ask.Form == gatehouse.FormJSON {
		grant, from, err = b.share(ctx, s, grant, limits, event)
	} else {
		err = b.handOut(ctx, s, &grant, limits, event)
	}
	if err != nil {
		return Grant{}, nil, err
	}
	if wanted > grant.Ask.Duration {
		grant.LoweredFrom = wanted
	}
	return grant, from, nil
}

// limits is what the asked scope comes to.
func (b *Broker) limits(ask gatehouse.Ask, e gatehouse.Entitlement) (gatehouse.SessionPolicy, error) {
	if ask.Scope != "" && ask.Form == gatehouse.FormPost {
		// The browser spends the assertion itself, and AWS's sign-in takes no policy with it.
		return gatehouse.SessionPolicy{}, &gatehouse.Invalid{Field: "scope", Why: "This way to the console takes the whole role only. Open the console the usual way, or choose everything that the role may do."}
	}
	return b.d.Scopes.policy(ask.Scope, ask.IP, e.Account)
}

// settle fills in what the person left open, and refuses what makes no sense.
func (b *Broker) settle(ctx context.Context, ask gatehouse.Ask, e gatehouse.Entitlement) (gatehouse.Ask, error) {
	if ask.Duration != 0 && (ask.Duration < MinDuration || ask.Duration > MaxDuration) {
		return ask, &gatehouse.Invalid{Field: "duration", Why: "Choose between 15 minutes and 12 hours."}
	}
	if ask.Duration == 0 || ask.Duration > e.MaxSession {
		ask.Duration = e.MaxSession
	}
	if ask.Duration > leastMaximum {
		ask.Duration = min(ask.Duration, b.roleMaximum(ctx, e.Role))
	}
	ask.Duration = ask.Duration.Truncate(time.Second)
	if ask.Region == "" {
		ask.Region = e.Account.Region
	}
	destination, err := b.d.AWS.Destination(e.Account, ask.Region, ask.Destination)
	if err != nil {
		return ask, err
	}
	ask.Destination = destination
	return ask, nil
}

// handOut makes the assertion and, unless the browser is to spend it, trades
// it for credentials and a console address.
func (b *Broker) handOut(ctx context.Context, s gatehouse.Session, g *Grant, limits gatehouse.SessionPolicy, event *gatehouse.Event) error {
	account, role := g.Entitlement.Account, g.Entitlement.Role
	assertion := b.assertion(s, *g)
	event.SessionName, event.SourceIdentity = assertion.AWS.RoleSessionName, assertion.AWS.SourceIdentity
	if g.Ask.Form == gatehouse.FormPost {
		return b.post(ctx, g, assertion, event)
	}
	c, err := b.assume(ctx, g, assertion, limits, event)
	if err != nil {
		return err
	}
	event.AccessKeyID, event.AWSRequestID, event.Expires = c.AccessKeyID, c.RequestID, c.Expires
	if !isFor(c, role) {
		return &gatehouse.Unavailable{What: "AWS STS", Name: account.Region, Err: fmt.Errorf("answered for %q when asked for %s", c.AssumedRoleARN, role)}
	}
	if c.Lasts > 0 && c.Lasts < g.Ask.Duration {
		b.learnMaximum(ctx, role, c.Lasts)
		g.Ask.Duration = c.Lasts
	}
	event.Duration = g.Ask.Duration
	g.Credentials = c
	if g.Ask.Form != gatehouse.FormConsole {
		return nil
	}
	page := b.d.RolePage(account.ID, role.Name)
	g.ConsoleURL, err = b.d.AWS.ConsoleURL(ctx, account, c, g.Ask.Duration, page, g.Ask.Destination)
	return err
}

// post makes the assertion for a page, in a text of its own: when a page has
// been read for the last time is not known here.
func (b *Broker) post(ctx context.Context, g *Grant, a saml.Assertion, event *gatehouse.Event) error {
	response, err := b.d.IdP.Respond(ctx, a)
	if err != nil {
		return fmt.Errorf("making the assertion: %w", err)
	}
	event.AssertionID, event.Duration = response.ID, g.Ask.Duration
	g.Post = &Post{URL: response.Destination, SAMLResponse: response.Encoded, RelayState: g.Ask.Destination}
	return nil
}

// assume makes the assertion and trades it for credentials. Nobody has its
// text after that, so the memory is cleared and used again by the next.
func (b *Broker) assume(ctx context.Context, g *Grant, a saml.Assertion, limits gatehouse.SessionPolicy, event *gatehouse.Event) (gatehouse.Credentials, error) {
	memory, ok := b.texts.Get().(*gatehouse.Lent)
	if !ok {
		memory = new(gatehouse.Lent)
	}
	defer b.texts.Put(memory)
	text, response, err := b.d.IdP.AppendResponse(ctx, (*memory)[:0], a)
	if err != nil {
		return gatehouse.Credentials{}, fmt.Errorf("making the assertion: %w", err)
	}
	*memory = text
	defer clear(text)
	event.AssertionID, event.Duration = response.ID, g.Ask.Duration
	return b.d.AWS.AssumeRole(ctx, g.Entitlement.Account, g.Entitlement.Role, text, g.Ask.Duration, limits)
}

// assertion says what AWS is to be told: who, and exactly the one chosen role.
func (b *Broker) assertion(s gatehouse.Session, g Grant) saml.Assertion {
	e := g.Entitlement
	audience := b.d.AWS.Audience(e.Account)
	a := saml.Assertion{
		Recipient:    b.d.AWS.Recipient(e.Account),
		Audience:     audience,
		NameID:       saml.NameID{Value: b.d.IdP.NameID(s.User.Key(), audience)},
		AuthnInstant: s.ProvedAt,
		AuthnContext: AuthnContext(s),
		SessionIndex: b.d.IdP.NameID(s.ID, audience),
		AWS: &saml.AWS{
			Roles:             []saml.RolePair{{RoleARN: e.Role.ARN(), ProviderARN: e.Account.ProviderARN()}},
			RoleSessionName:   SessionName(s.User),
			SessionDuration:   g.Ask.Duration,
			SourceIdentity:    e.SourceIdentity,
			Tags:              e.Tags,
			TransitiveTagKeys: e.TransitiveTags,
		},
		Sign: saml.SignAssertion,
	}
	if g.Ask.Form == gatehouse.FormPost {
		a.Sign = saml.SignBoth // another party spends it
		a.ECP = s.Door == gatehouse.DoorECP
	}
	return a
}

// isFor reports whether credentials are for the role that was asked for.
func isFor(c gatehouse.Credentials, role gatehouse.Role) bool {
	return strings.Contains(c.AssumedRoleARN, ":"+role.Account+":assumed-role/"+role.Name+"/")
}

// leastMaximum is what every role allows: MaxSessionDuration is between one
// and twelve hours (IAM API Reference, CreateRole).
const leastMaximum = time.Hour

// How long it is remembered that a role allows less than its rule.
const learntFor = 12 * time.Hour

// roleMaximum is the longest session the role is known to allow.
func (b *Broker) roleMaximum(ctx context.Context, role gatehouse.Role) time.Duration {
	text, err := b.d.Learnt.Learnt(ctx, "maximum:"+role.ARN())
	if err != nil {
		return MaxDuration // not known, or not to be had: AWS says it again
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < leastMaximum {
		return MaxDuration
	}
	return d
}

func (b *Broker) learnMaximum(ctx context.Context, role gatehouse.Role, d time.Duration) {
	if err := b.d.Learnt.Learn(ctx, "maximum:"+role.ARN(), d.String(), b.d.Now().Add(learntFor)); err != nil {
		b.d.Log.WarnContext(ctx, "role maximum not remembered", slog.String("role", role.ARN()), slog.Any("err", err))
	}
}

// personal is an event about the session's person.
func personal(s gatehouse.Session) gatehouse.Event {
	u := s.User
	return gatehouse.Event{
		Person: u.Key(), Username: u.Username, Directory: u.Directory, DN: u.DN,
		Door: s.Door, IP: s.IP, Session: s.ID, Methods: s.Methods, Client: s.Client,
	}
}

// refusalTimeout is what the record of a refusal may take. With the Timeout
// before it, whoever waits has an answer within five seconds.
const refusalTimeout = 500 * time.Millisecond

// refuse puts a refusal on the record, if it is not one of many (see due), and
// returns its cause. A refusal that cannot be recorded is still a refusal.
func (b *Broker) refuse(ctx context.Context, e gatehouse.Event, cause error) error {
	e.Reason = reason(cause)
	// What ended the request (its own deadline, often) must not keep it off the record.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalTimeout)
	defer cancel()
	var due bool
	if e.Count, due = b.throttle.due(cause); !due {
		return cause
	}
	if err := b.record(ctx, e); err != nil && !errors.Is(cause, gatehouse.ErrUnavailable) {
		return errors.Join(err, cause)
	}
	return cause
}

// record stores an event; whoever calls it gives nothing when it fails.
func (b *Broker) record(ctx context.Context, e gatehouse.Event) error {
	err := b.d.Audit.Record(ctx, e)
	if errors.Is(err, gatehouse.ErrTwice) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", e.Kind, gatehouse.ErrNotRecorded, err)
	}
	return nil
}

// reasons are the fixed words that the record uses for a refusal, in the
// order in which they are looked for.
var reasons = []struct {
	err  error
	word string
}{
	{gatehouse.ErrThrottled, "throttled"},
	{gatehouse.ErrPasswordRefused, "password_refused"},
	{gatehouse.ErrPasswordExpired, "password_expired"},
	{gatehouse.ErrPasswordMustChange, "password_must_change"},
	{gatehouse.ErrAccountDisabled, "disabled"},
	{gatehouse.ErrAccountExpired, "account_expired"},
	{gatehouse.ErrAccountLocked, "locked"},
	{gatehouse.ErrAccountHours, "account_hours"},
	{gatehouse.ErrTooManyGroups, "too_many_groups"},
	{gatehouse.ErrInvalidCredentials, "invalid_credentials"},
	{gatehouse.ErrNoSession, "no_session"},
	{gatehouse.ErrNotEntitled, "not_entitled"},
	{gatehouse.ErrTwice, "answered_before"},
	{gatehouse.ErrInvalid, "invalid"},
	{gatehouse.ErrRefusedByAWS, "refused_by_aws"},
	{gatehouse.ErrUnavailable, "unavailable"},
	{context.DeadlineExceeded, "unavailable"},
}

// reason is the word for err: the directory's own, where it has one.
func reason(err error) string {
	var own interface{ Reason() string }
	if errors.As(err, &own) {
		return own.Reason()
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return "failed"
}
