package idp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/access"
	"gatehouse/saml"
	"gatehouse/web/inbound"
)

// maxBody is how large a posted form may be.
const maxBody = 256 << 10

// metadata serves our metadata document. Its bytes change with the keys
// alone, so that their hash is the ETag and caches may keep it for an hour.
func (d *Door) metadata(w http.ResponseWriter, r *http.Request) {
	document := d.idp.Metadata()
	sum := sha256.Sum256(document)
	h := w.Header()
	h.Set("Content-Type", "application/samlmetadata+xml")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(document))
}

// redirected answers a request that came by the HTTP-Redirect binding.
func (v *visitor) redirected(w http.ResponseWriter, r *http.Request) error {
	req, err := v.idp.ParseRedirect(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return v.begin(w, r, req)
}

// posted answers a request that came by the HTTP-POST binding.
func (v *visitor) posted(w http.ResponseWriter, r *http.Request) error {
	form, status := readForm(w, r)
	if status != http.StatusOK {
		return badForm(w, r, status)
	}
	req, err := v.idp.ParsePost(form)
	if err != nil {
		return err
	}
	return v.begin(w, r, req)
}

// badForm answers a form that readForm does not take: to a person with a page
// that says so, to a program with a line.
func badForm(w http.ResponseWriter, r *http.Request, status int) error {
	w.Header().Set("Connection", "close")
	if inbound.Person(r) {
		return fmt.Errorf("saml door: %w", badForms[status])
	}
	http.Error(w, "The form was not accepted: "+http.StatusText(status)+". Reference "+inbound.ID(r), status)
	return nil
}

// badForms are the failures of readForm.
var badForms = map[int]error{
	http.StatusLengthRequired: inbound.ErrLength, http.StatusUnsupportedMediaType: inbound.ErrType,
	http.StatusRequestEntityTooLarge: inbound.ErrTooLarge, http.StatusBadRequest: inbound.ErrForm,
}

// readForm reads the body of a form, as it was sent. A body that does not say
// how long it is is refused: lenient proxies and servers disagree on where a
// chunked one ends.
func readForm(w http.ResponseWriter, r *http.Request) (form string, status int) {
	if r.ContentLength < 0 {
		return "", http.StatusLengthRequired
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return "", http.StatusUnsupportedMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return "", http.StatusRequestEntityTooLarge
	case err != nil:
		return "", http.StatusBadRequest
	}
	return string(body), http.StatusOK
}

// launch sends a person who begins here to a provider. Links to it may stand
// on any page; it does no more than a request of that provider would.
func (v *visitor) launch(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["sp"]) != 1 || len(query["RelayState"]) > 1 {
		return invalid("launch without one sp", "sp", "The link does not say which application to open.")
	}
	req, err := v.idp.Unsolicited(query.Get("sp"), query.Get("RelayState"))
	if err != nil {
		return err
	}
	return v.begin(w, r, req)
}

// begin answers req at once where that can be done, and parks it otherwise.
// For AWS it leads to the roles, one of which has to be chosen first, or to
// the links (/go) where RelayState is the console page to open then.
func (v *visitor) begin(w http.ResponseWriter, r *http.Request, req saml.Request) error {
	if saml.IsAWS(req.Provider) {
		to := "/"
		if req.RelayState != "" {
			to = "/go?" + url.Values{"destination": {req.RelayState}}.Encode()
		}
		redirect(w, to)
		return nil
	}
	if r.Method != http.MethodGet {
		return v.park(w, r, req) // a cross-site POST has no session cookie, whoever is signed in
	}
	session, err := v.pages.Session(r)
	switch {
	case err == nil && !req.ForceAuthn && suits(session, req):
		post, err := v.grant(r, req, session)
		if err != nil {
			return err
		}
		return v.pages.Post(w, r, post)
	case err != nil && !errors.Is(err, gatehouse.ErrNoSession):
		return err
	}
	return v.park(w, r, req)
}

// grant has the Broker grant what req asks for. What only the provider can
// put right, and any refusal where nothing may be shown to the person, becomes
// a *saml.StatusError.
func (v *visitor) grant(r *http.Request, req saml.Request, session gatehouse.Session) (access.Post, error) {
	grant, err := v.broker.Grant(r.Context(), session, gatehouse.Ask{
		Provider:     req.Provider,
		Form:         gatehouse.FormPost,
		InResponseTo: req.ID,
		ACS:          req.ACS,
		RelayState:   req.RelayState,
		NameIDFormat: req.NameIDFormat,
		Subject:      req.Subject,
		Contexts:     req.Contexts,
		IP:           inbound.IP(r),
		RequestID:    inbound.ID(r),
		Once:         once(req),
	})
	if err == nil && (grant.Post == nil || grant.Post.URL != req.ACS) {
		err = errors.New("saml door: granted for another place than was asked for")
	}
	if err == nil {
		err = v.remember(r.Context(), session, grant.Participant)
	}
	if err != nil {
		return access.Post{}, tell(req, err)
	}
	return access.Post{URL: req.ACS, SAMLResponse: grant.Post.SAMLResponse, RelayState: req.RelayState}, nil
}

// tell turns a refusal into a status where the provider is the one to know.
func tell(req saml.Request, err error) error {
	detail := ""
	switch {
	case errors.Is(err, gatehouse.ErrAnotherPerson):
		detail = saml.StatusUnknownPrincipal
	case errors.Is(err, gatehouse.ErrAnotherProof):
		detail = saml.StatusNoAuthnContext
	case req.IsPassive:
		detail = saml.StatusNoPassive
	case req.ID != "" && (errors.Is(err, gatehouse.ErrNotEntitled) || errors.Is(err, gatehouse.ErrInvalid)):
		return &declined{req, err}
	default:
		return err
	}
	return &saml.StatusError{Request: req, Why: err.Error(), Status: saml.Status{Code: saml.StatusResponder, Detail: detail}}
}

// suits says whether the session's proof is of a class that req takes.
func suits(s gatehouse.Session, req saml.Request) bool {
	return len(req.Contexts) == 0 || slices.Contains(req.Contexts, access.AuthnContext(s))
}

// redirect sends the browser to a path of ours, as a GET.
func redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}
