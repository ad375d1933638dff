package cloud

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

const apiVersion = "2011-06-15"

// request is one call of the query API on its way through.
type request struct {
	*http.Request
	id     string
	body   []byte
	params params
	now    time.Time
	caller *identity // who signed it; nil for unsigned operations
	region string    // of the credential scope; empty for unsigned operations
	call   *Call
}

// operation does one Action and returns what is to be written as XML.
type operation struct {
	signed bool
	do     func(*Server, *request) (any, *refusal)
}

var operations = map[string]operation{
	"AssumeRoleWithSAML": {false, (*Server).assumeRoleWithSAML},
	"GetCallerIdentity":  {true, (*Server).getCallerIdentity},
	"AssumeRole":         {true, (*Server).assumeRole},
	"GetSessionToken":    {true, (*Server).notWithSessionCredentials},
	"GetFederationToken": {true, (*Server).notWithSessionCredentials},
}

// serveSTS answers POST / and GET /?Action=….
func (s *Server) serveSTS(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, id: newRequestID(), now: s.now().UTC()}
	q.call = &Call{At: q.now, RequestID: q.id}
	w.Header().Set("x-amzn-RequestId", q.id)
	if s.faults.strike(DoorSTS, w, r, q.id) {
		return
	}
	result, no := s.answer(w, q)
	s.record(q.call, no)
	if no != nil {
		writeXML(w, no.Status, no.answer(q.id))
		return
	}
	writeXML(w, http.StatusOK, result)
}

func (s *Server) answer(w http.ResponseWriter, q *request) (any, *refusal) {
	if !s.sts.take() {
		return nil, throttled()
	}
	if no := q.read(w); no != nil {
		return nil, no
	}
	action := q.params["Action"]
	op, known := operations[action]
	switch {
	case action == "":
		return nil, refuse(http.StatusBadRequest, "MissingAction", "The request is missing an action or a required parameter.")
	case !known || q.params["Version"] != apiVersion:
		return nil, refuse(http.StatusBadRequest, "InvalidAction",
			fmt.Sprintf("Could not find operation %.128s for version %.32s", action, q.params["Version"]))
	}
	q.call.Action = action
	if op.signed {
		if no := s.authenticate(q); no != nil {
			return nil, no
		}
	}
	return op.do(s, q)
}

// read takes body and parameters in, once and whole: the signature is over
// the bytes as they came.
func (q *request) read(w http.ResponseWriter) *refusal {
	malformed := func(err error) *refusal {
		return refuse(http.StatusBadRequest, "MalformedInput", "The request could not be read as a form.").because("%v", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request body is too large.")
	}
	if err != nil {
		return malformed(err)
	}
	q.body = body
	if q.params, err = parseForm(q.URL.RawQuery); err != nil {
		return malformed(err)
	}
	if q.Method != http.MethodPost || len(body) == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return malformed(fmt.Errorf("content type %q", q.Header.Get("Content-Type")))
	}
	form, err := parseForm(string(body))
	if err == nil {
		err = q.params.merge(form)
	}
	if err != nil {
		return malformed(err)
	}
	return nil
}

func throttled() *refusal { return refuse(http.StatusBadRequest, "Throttling", "Rate exceeded") }

func writeXML(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	if err := xml.NewEncoder(&b).Encode(v); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// newRequestID is a UUID, as AWS's request IDs are.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// notWithSessionCredentials is GetSessionToken and GetFederationToken: they
// want an IAM user's long-term keys, and here are none.
func (s *Server) notWithSessionCredentials(q *request) (any, *refusal) {
	return nil, accessDenied("Cannot call " + q.params["Action"] + " with session credentials")
}

type callerIdentityAnswer struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

func (s *Server) getCallerIdentity(q *request) (any, *refusal) {
	q.call.Role, q.call.SessionName = q.caller.roleARN(), q.caller.SessionName
	return callerIdentityAnswer{ARN: q.caller.arn(), UserID: q.caller.userID(), Account: q.caller.Account, RequestID: q.id}, nil
}

// isBrowser says whether a GET / comes from somebody who wants to know what
// this is.
func isBrowser(r *http.Request) bool {
	return r.Method == http.MethodGet && !strings.Contains(r.URL.RawQuery, "Action=") &&
		!strings.Contains(r.URL.RawQuery, "X-Amz-") && strings.Contains(r.Header.Get("Accept"), "text/html")
}
