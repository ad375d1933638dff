package saml

import (
	"context"
	"fmt"
	"time"

	"gatehouse"
)

// How long before a date runs out `gatehouse check` speaks of it.
const (
	warnBefore = 90 * 24 * time.Hour
	failBefore = 7 * 24 * time.Hour
)

const day = "2 January 2006"

// Check looks at the signing keys and at every service provider.
func (p *IdP) Check(context.Context) []gatehouse.Finding {
	now := p.now()
	var findings []gatehouse.Finding
	for _, k := range p.ring.Load().published {
		findings = append(findings, checkKey(k, now))
	}
	for _, sp := range p.all() {
		if !sp.AWS {
			findings = append(findings, checkProvider(sp, now))
		}
	}
	return findings
}

func checkKey(k published, now time.Time) gatehouse.Finding {
	use := "is published for later"
	if k.signs {
		use = "signs"
	}
	f := gatehouse.Finding{
		Subject: "signing key " + k.id,
		State:   gatehouse.FindingOK,
		Detail:  fmt.Sprintf("%s; its certificate is good until %s", use, k.cert.NotAfter.UTC().Format(day)),
	}
	if now.Before(k.cert.NotBefore) {
		f.State = gatehouse.FindingFailure
		f.Detail = fmt.Sprintf("%s; its certificate is not good before %s", use, k.cert.NotBefore.UTC().Format(time.RFC3339))
		f.Fix = "set this machine's clock, or wait"
		return f
	}
	if f.State = urgency(k.cert.NotAfter, now); f.State != gatehouse.FindingOK {
		f.Fix = "add the next key (gatehouse keys add), publish it to AWS and the service providers, then promote it"
	}
	return f
}

func checkProvider(sp Provider, now time.Time) gatehouse.Finding {
	f := gatehouse.Finding{
		Subject: "service provider " + sp.Name,
		State:   gatehouse.FindingOK,
		Detail:  fmt.Sprintf("%s; answers go to %s", sp.EntityID, sp.ACS),
	}
	if sp.recipient != nil {
		f.Detail += "; assertions are encrypted by " + string(sp.recipient.cipher.choice)
	}
	if sp.validUntil.IsZero() {
		return f
	}
	f.Detail += "; its metadata is good until " + sp.validUntil.UTC().Format(day)
	if f.State = urgency(sp.validUntil, now); f.State != gatehouse.FindingOK {
		f.Fix = "ask its owner for new metadata and put it in place of the old"
	}
	return f
}

// urgency grades a date that runs out.
func urgency(end, now time.Time) gatehouse.FindingState {
	switch left := end.Sub(now); {
	case left < failBefore:
		return gatehouse.FindingFailure
	case left < warnBefore:
		return gatehouse.FindingWarning
	}
	return gatehouse.FindingOK
}
