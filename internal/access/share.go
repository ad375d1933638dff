package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"gatehouse"
)

// SDKs ask anew in every process that they run in, and a script may start
// hundreds. What one session was handed for one role, on the same terms, is
// handed to it again while it is good for leastShared: that costs AWS
// nothing. Whoever asks is still judged as if it were the first time; what the
// record has of it is in uses.go.
//
// Nothing of it is ever written down: it ends with the process.

// leastShared is how long credentials must still be good to be given again.
// botocore asks for others in the last fifteen minutes.
const leastShared = 15 * time.Minute

// mostShared bounds the memory; beyond it everybody gets their own.
const mostShared = 20_000

// handOuts are what may be given again, by who got it and on which terms.
type handOuts struct {
	mu   sync.Mutex
	held map[string]*handOut
}

// handOut is one of them; ready is closed once AWS has answered.
type handOut struct {
	ready chan struct{}
	grant Grant
	said  gatehouse.Event // what is on the record of it
	err   error
	uses  uses
}

// sharedKey tells hand-outs apart: by session, and by everything that AWS is told.
func sharedKey(s gatehouse.Session, g Grant, limits gatehouse.SessionPolicy) string {
	e := g.Entitlement
	return fmt.Sprintf("%q", []string{s.ID, e.Role.ARN(), g.Ask.Duration.String(), g.Ask.Region, e.SourceIdentity,
		fmt.Sprintf("%q", e.Tags), strings.Join(e.TransitiveTags, "\n"), e.Account.ProviderARN(), SessionName(s.User),
		g.Ask.Scope, limits.Document, strings.Join(limits.ARNs, "\n")})
}

// share hands out what the session was handed before, or what it is just
// being handed; if there is no such thing, it asks AWS.
func (b *Broker) share(ctx context.Context, s gatehouse.Session, grant Grant, limits gatehouse.SessionPolicy, event *gatehouse.Event) (Grant, *handOut, error) {
	h, first := b.shared.join(sharedKey(s, grant, limits), b.d.Now())
	if first {
		said := *event
		// Others wait for it: it must not end with the request that came first.
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.d.Timeout)
		go func() {
			defer cancel()
			defer close(h.ready)
			h.err = errors.New("asking AWS ended without an answer") // should it panic
			defer b.survive(ctx)
			h.err = b.handOut(own, s, &grant, limits, &said)
			h.grant, h.said = grant, said
		}()
	}
	select {
	case <-h.ready:
	case <-ctx.Done():
		return Grant{}, nil, ctx.Err()
	}
	event.SessionName, event.SourceIdentity, event.AssertionID = h.said.SessionName, h.said.SourceIdentity, h.said.AssertionID
	event.Duration, event.Expires = h.said.Duration, h.said.Expires
	event.AccessKeyID, event.AWSRequestID, event.Shared = h.said.AccessKeyID, h.said.AWSRequestID, !first && h.err == nil
	return h.grant, h, h.err
}

// survive keeps a panic from ending the process: no handler stands above.
func (b *Broker) survive(ctx context.Context) {
	if v := recover(); v != nil {
		b.d.Log.ErrorContext(ctx, "panic", slog.String("err", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
	}
}

// join is the hand-out under key, and whether the caller is the one to make it.
func (o *handOuts) join(key string, now time.Time) (h *handOut, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h = o.held[key]; h != nil && h.good(now) {
		return h, false
	}
	if len(o.held) >= mostShared {
		for k, old := range o.held {
			if !old.good(now) {
				delete(o.held, k)
			}
		}
	}
	if o.held == nil {
		o.held = map[string]*handOut{}
	}
	h = &handOut{ready: make(chan struct{})}
	if len(o.held) < mostShared {
		o.held[key] = h
	}
	return h, true
}

// good reports whether h may be given: it is being made, or it was and lasts.
func (h *handOut) good(now time.Time) bool {
	select {
	case <-h.ready:
		return h.err == nil && !h.grant.Credentials.Expires.Before(now.Add(leastShared))
	default:
		return true
	}
}
