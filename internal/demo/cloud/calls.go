package cloud

import (
	"slices"
	"sync"
	"time"
)

// Call is what one request asked for and how it ended. It holds no secret:
// no assertion, token, secret key or signature.
type Call struct {
	At        time.Time
	Action    string // AssumeRoleWithSAML, …, getSigninToken, login, logout, saml
	RequestID string
	Region    string // of the credential scope; empty for unsigned calls

	Role, Provider string        // ARNs as asked for
	Asked          time.Duration // DurationSeconds or SessionDuration; zero: not sent
	AssertionID    string        // of the assertion that was accepted
	SessionName    string
	SourceIdentity string
	Tags           []Tag
	Transitive     []string
	Lasts          time.Duration // what was granted
	Destination    string        // of Action=login

	Status int    // as sent
	Code   string // error code; empty: accepted
	Why    string // what AWS would not have said
}

// granted notes what the call gave.
func (c *Call) granted(i *identity, assertionID string) {
	c.Role, c.AssertionID = i.roleARN(), assertionID
	c.SessionName, c.SourceIdentity = i.SessionName, i.SourceIdentity
	c.Tags, c.Transitive, c.Lasts = i.Tags, i.Transitive, i.lasts()
}

// keptCalls bounds what Calls remembers.
const keptCalls = 1000

type calls struct {
	mu   sync.Mutex
	list []Call
}

// Calls are the last thousand requests to STS and to the sign-in endpoints,
// oldest first.
func (s *Server) Calls() []Call {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return slices.Clone(s.calls.list)
}

// record keeps a call and logs it, once.
func (s *Server) record(c *Call, no *refusal) {
	c.Status = 200
	if no != nil {
		c.Status, c.Code, c.Why = no.Status, no.Code, no.Why
	}
	s.calls.mu.Lock()
	if len(s.calls.list) >= keptCalls {
		s.calls.list = slices.Delete(s.calls.list, 0, keptCalls/10)
	}
	s.calls.list = append(s.calls.list, *c)
	s.calls.mu.Unlock()
	if no == nil {
		s.log.Info("emulated AWS answered", "action", c.Action, "role", c.Role, "request_id", c.RequestID, "status", c.Status)
		return
	}
	s.log.Info("emulated AWS refused", "action", c.Action, "role", c.Role, "request_id", c.RequestID,
		"status", c.Status, "code", c.Code, "why", c.Why)
}
