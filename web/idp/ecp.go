package idp

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/saml"
	"gatehouse/web/inbound"
)

// Programs sign in here without a browser: the enhanced client or proxy of
// saml-profiles §4.2. They bring a request in an envelope and a name and a
// password (Basic) with each, and take the answer back to the provider. There
// is no cookie and no session that outlives the answer; the password is
// guessed against the same allowances as at the sign-in page.

//
// A program that asks in AWS's name (saml2aws, awscli-login) trades the answer
// at STS by itself. It cannot be asked which role it means, so that the address
// says it: /saml/ecp/{account}/{role}. What it gets is an assertion for that one
// role, as a browser would post it, and on the record as that.

const ecpPath = "/saml/ecp"

// envelopes are what a SOAP request may call itself. A form of another site
// cannot send any of them.
var envelopes = []string{"text/xml", "application/xml", "application/soap+xml", "application/vnd.paos+xml"}

// maxEnvelope is how large a SOAP request may be. It may be chunked: clients
// of this door are programs, and some send nothing else (saml2aws).
const maxEnvelope = 128 << 10

// ecp answers one program. What is said of a failure does not depend on who
// asked for what: 401 whenever the name and the password do not lead in.
func (v *visitor) ecp(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	username, password, ok := r.BasicAuth()
	if !ok {
		challenge(w)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || !slices.Contains(envelopes, kind) {
		v.fault(w, http.StatusUnsupportedMediaType)
		return
	}
	envelope, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEnvelope))
	if err != nil {
		v.fault(w, http.StatusRequestEntityTooLarge)
		return
	}
	answer, err := v.program(r, envelope, access.Password{Username: username, Password: gatehouse.Secret(password)})
	if err != nil {
		v.log.LogAttrs(r.Context(), slog.LevelInfo, "ecp refused", slog.Any("err", err), slog.String("request_id", inbound.ID(r)))
		v.refuseProgram(w, err)
		return
	}
	h.Set("Content-Type", "text/xml; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer)
}

// program reads the request, proves the person, has the Broker grant, and
// wraps the answer.
func (v *visitor) program(r *http.Request, envelope []byte, proof access.Password) ([]byte, error) {
	req, err := v.idp.ParseECP(envelope)
	var told *saml.StatusError
	if err != nil && !errors.As(err, &told) {
		return nil, err
	}
	session, err := v.prove(r, proof) // before anything of ours is told, be it a status
	if err != nil {
		return nil, err
	}
	if told == nil {
		post, err := v.grantProgram(r, req, session)
		if err == nil {
			return v.idp.Envelope(post.URL, post.SAMLResponse)
		}
		if told = unable(req, err); told == nil {
			return nil, err
		}
	}
	v.log.LogAttrs(r.Context(), slog.LevelInfo, "saml request refused", slog.Any("err", told), slog.String("request_id", inbound.ID(r)))
	response, err := v.idp.Refuse(r.Context(), told.Request, told.Status)
	if err != nil {
		return nil, err
	}
	return v.idp.Envelope(response.Destination, response.Encoded)
}

// grantProgram has the Broker grant what the request, or for AWS the address,
// asks for.
func (v *visitor) grantProgram(r *http.Request, req saml.Request, session gatehouse.Session) (access.Post, error) {
	account, role := r.PathValue("account"), r.PathValue("role")
	aws := saml.IsAWS(req.Provider)
	switch {
	case aws && role == "":
		return access.Post{}, invalid("a program asks AWS for no role", "role", "Say which role, in the address: "+ecpPath+"/111122223333/ReadOnly.")
	case !aws && role != "":
		return access.Post{}, invalid("a role for another provider than AWS", "Issuer", "A role is AWS's alone.")
	case !aws:
		return v.grant(r, req, session)
	}
	grant, err := v.broker.Grant(r.Context(), session, gatehouse.Ask{Account: account, Role: role, Form: gatehouse.FormPost, IP: inbound.IP(r), RequestID: inbound.ID(r), Once: once(req)})
	if err != nil {
		return access.Post{}, err
	}
	return *grant.Post, nil
}

func (v *visitor) prove(r *http.Request, proof access.Password) (gatehouse.Session, error) {
	leave, err := v.pages.Turn(r)
	if err != nil {
		return gatehouse.Session{}, err
	}
	defer leave()
	return v.broker.SignIn(r.Context(), access.Attempt{Proof: proof, Door: gatehouse.DoorECP, IP: inbound.IP(r), RequestID: inbound.ID(r)})
}

// unable is the status for a refusal that the provider may be told; nil for
// what is the program's to know. AWS is told nothing: it takes no refusals.
func unable(req saml.Request, err error) *saml.StatusError {
	var told *saml.StatusError
	switch {
	case saml.IsAWS(req.Provider):
		return nil
	case errors.As(err, &told):
		return told
	case errors.Is(err, gatehouse.ErrNotEntitled), errors.Is(err, gatehouse.ErrInvalid), errors.Is(err, gatehouse.ErrTwice):
		return &saml.StatusError{Request: req, Why: err.Error(), Status: saml.Status{Code: saml.StatusResponder, Detail: saml.StatusRequestDenied}}
	}
	return nil
}

func challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="Gatehouse", charset="UTF-8"`)
	http.Error(w, "Send a username and a password.", http.StatusUnauthorized)
}

// refuseProgram says why not, in the words of HTTP, as far as everybody may know.
func (v *visitor) refuseProgram(w http.ResponseWriter, err error) {
	var throttled *gatehouse.Throttled
	switch {
	case errors.As(err, &throttled):
		if wait := throttled.Until.Sub(v.now()); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		}
		http.Error(w, "Too many attempts. Try again later.", http.StatusTooManyRequests)
	case errors.Is(err, gatehouse.ErrUnavailable), errors.Is(err, gatehouse.ErrNotRecorded):
		w.Header().Set("Retry-After", "60")
		http.Error(w, "Something that is needed does not answer. Try again in a minute.", http.StatusServiceUnavailable)
	case errors.Is(err, gatehouse.ErrNotEntitled), errors.Is(err, gatehouse.ErrTooManyGroups):
		v.fault(w, http.StatusForbidden)
	case errors.Is(err, gatehouse.ErrInvalid), errors.Is(err, gatehouse.ErrTwice):
		v.fault(w, http.StatusBadRequest)
	case isRefusal(err):
		challenge(w)
	default:
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// isRefusal says whether the name and the password did not lead in.
func isRefusal(err error) bool {
	return slices.ContainsFunc([]error{
		gatehouse.ErrInvalidCredentials, gatehouse.ErrPasswordExpired, gatehouse.ErrPasswordMustChange, gatehouse.ErrAccountDisabled,
		gatehouse.ErrAccountExpired, gatehouse.ErrAccountLocked, gatehouse.ErrAccountHours, gatehouse.ErrNoSession,
	}, func(kind error) bool { return errors.Is(err, kind) })
}

func (v *visitor) fault(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(v.idp.Fault())
}
