package saml

import (
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	crewjam "github.com/crewjam/saml"

	"gatehouse"
)

// logoutLifetime is how long our LogoutRequests are good: as long as somebody
// waits for what they do.
const logoutLifetime = 5 * time.Minute

// logoutService is where a provider takes logout messages.
type logoutService struct {
	post     bool
	location string
	response string // where answers go
}

// Dispatch is a signed message that the person's browser must carry to a
// provider.
type Dispatch struct {
	URL        string           // from registered metadata; where Field is empty, with the message in its query
	Field      string           // SAMLRequest or SAMLResponse, when it is to be posted
	Message    gatehouse.Secret // then its base64
	RelayState string           // then what goes with it
}

// addLogoutServices keeps the single logout services that a browser can
// reach. Their locations are held to what those of assertions are: a browser
// is sent there.
func (sp *Provider) addLogoutServices(services []crewjam.Endpoint) error {
	for _, s := range services {
		if s.Binding != bindingPost && s.Binding != bindingRedirect {
			continue
		}
		service := logoutService{post: s.Binding == bindingPost, location: s.Location, response: cmp.Or(s.ResponseLocation, s.Location)}
		for _, location := range []string{service.location, service.response} {
			if err := checkLocation("single logout service", location); err != nil {
				return err
			}
		}
		sp.logout = append(sp.logout, service)
	}
	return nil
}

// LogsOut says whether the provider can be asked to end a session.
func (sp *Provider) LogsOut() bool { return len(sp.logout) > 0 }

// logoutBy is the provider's service with that binding, or its first.
func (sp *Provider) logoutBy(post bool) (logoutService, bool) {
	for _, s := range sp.logout {
		if s.post == post {
			return s, true
		}
	}
	if len(sp.logout) == 0 {
		return logoutService{}, false
	}
	return sp.logout[0], true
}

// AskToLogOut makes a LogoutRequest, under that ID, for a provider that
// somebody signed in to. It fails with ErrNotFound when the provider takes none.
func (p *IdP) AskToLogOut(ctx context.Context, to Participant, id string) (Dispatch, error) {
	sp, ok := p.Provider(to.Provider)
	service, takes := sp.logoutBy(false)
	if !ok || !takes {
		return Dispatch{}, fmt.Errorf("saml: %s takes no logout requests: %w", to.Provider, gatehouse.ErrNotFound)
	}
	if !isNCName(id) {
		return Dispatch{}, fmt.Errorf("saml: logout request %q: that is no ID", id)
	}
	now := p.now().UTC().Truncate(time.Second)
	return p.dispatch(ctx, sp.Signature, service.post, samlRequest, service.location, "", func(w *canonical, k *signer) hole {
		w.open(samlpLogoutRequest,
			attribute{name: "Destination", value: service.location},
			attribute{name: "ID", value: id},
			attribute{name: "IssueInstant", at: now},
			attribute{name: "NotOnOrAfter", at: now.Add(logoutLifetime)},
			attribute{name: "Version", value: "2.0"})
		w.leaf(samlIssuer, p.entityID)
		h := w.signatureIf(service.post, id, k)
		w.leaf(samlNameID, to.NameID.Value, attribute{name: "Format", value: to.NameID.Format})
		w.leaf(samlpSessionIndex, to.SessionIndex)
		w.close()
		return h
	})
}

// AnswerLogout makes the LogoutResponse to r. It fails with ErrNotFound when
// the provider has no place for it.
func (p *IdP) AnswerLogout(ctx context.Context, r LogoutRequest, st Status) (Dispatch, error) {
	sp, ok := p.Provider(r.Provider)
	service, takes := sp.logoutBy(r.Post)
	if !ok || !takes {
		return Dispatch{}, fmt.Errorf("saml: %s takes no logout responses: %w", r.Provider, gatehouse.ErrNotFound)
	}
	id, _, _ := newIDs()
	now := p.now().UTC().Truncate(time.Second)
	return p.dispatch(ctx, sp.Signature, service.post, samlResponse, service.response, r.RelayState, func(w *canonical, k *signer) hole {
		w.open(samlpLogoutResponse,
			attribute{name: "Destination", value: service.response},
			attribute{name: "ID", value: id},
			attribute{name: "InResponseTo", value: r.ID},
			attribute{name: "IssueInstant", at: now},
			attribute{name: "Version", value: "2.0"})
		w.leaf(samlIssuer, p.entityID)
		h := w.signatureIf(service.post, id, k)
		w.status(st)
		w.close()
		return h
	})
}

var (
	samlpLogoutRequest  = element{nsSAMLP, "LogoutRequest"}
	samlpLogoutResponse = element{nsSAMLP, "LogoutResponse"}
	samlpSessionIndex   = element{nsSAMLP, "SessionIndex"}
)

// signatureIf writes a Signature where the binding wants it in the message.
func (w *canonical) signatureIf(wanted bool, id string, k *signer) hole {
	if !wanted {
		return hole{}
	}
	return w.signature(id, k)
}

// dispatch has write make a message when it is its turn, signs it as its
// binding wants, and says how it travels.
func (p *IdP) dispatch(ctx context.Context, by Signature, post bool, field, location, relayState string, write func(*canonical, *signer) hole) (Dispatch, error) {
	if err := p.enter(ctx); err != nil {
		return Dispatch{}, fmt.Errorf("saml: wait to sign: %w", err)
	}
	defer p.leave()
	s := p.memory.Get().(*scratch)
	defer p.keep(s)
	k := p.ring.Load().by(by)
	s.xml.reset()
	h := write(&s.xml, k)
	if s.xml.err != nil {
		return Dispatch{}, fmt.Errorf("saml: %w", s.xml.err)
	}
	if !post {
		u, err := s.redirect(field, location, relayState, k)
		return Dispatch{URL: u}, err
	}
	if err := s.sign(&s.xml, h, 0, len(s.xml.buf), k); err != nil {
		return Dispatch{}, fmt.Errorf("saml: %w", err)
	}
	message := base64.StdEncoding.EncodeToString(s.xml.buf)
	return Dispatch{URL: location, Field: field, Message: gatehouse.Secret(message), RelayState: relayState}, nil
}

// redirect is location with the message in its query, deflated, and signed
// over the octets as they stand there (saml-bindings §3.4.4.1).
func (s *scratch) redirect(field, location, relayState string, k *signer) (string, error) {
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestCompression)
	if err == nil {
		_, err = w.Write(s.xml.buf)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		return "", fmt.Errorf("saml: deflate: %w", err)
	}
	octets := field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if relayState != "" {
		octets += "&RelayState=" + url.QueryEscape(relayState)
	}
	octets += "&SigAlg=" + url.QueryEscape(k.algorithm)
	s.hash.Reset()
	s.hash.Write([]byte(octets))
	signature, err := k.sign(s.hash.Sum(s.digest[:0]))
	if err != nil {
		return "", fmt.Errorf("saml: sign: %w", err)
	}
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	return location + separator + octets + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature)), nil
}
