package cloud

import (
	"encoding/xml"
	"fmt"
	"net/http"
)

// refusal is what AWS answers when it does not do what was asked.
type refusal struct {
	Status  int
	Code    string
	Message string
	Named   string // the exception that the message names in its own suffix; empty: no suffix
	Why     string // for the log only: AWS never says this
}

func (r *refusal) Error() string { return r.Code + ": " + r.Message }

// text is the message as it is sent. Some of STS's messages quote the answer
// of the service behind it.
func (r *refusal) text(requestID string) string {
	if r.Named == "" {
		return r.Message
	}
	return fmt.Sprintf("%s (Service: AWSOpenIdDiscoveryService; Status Code: 400; Error Code: %s; Request ID: %s; Proxy: null)",
		r.Message, r.Named, requestID)
}

func refuse(status int, code, message string) *refusal {
	return &refusal{Status: status, Code: code, Message: message}
}

func (r *refusal) because(why string, args ...any) *refusal {
	r.Why = fmt.Sprintf(why, args...)
	return r
}

// The codes of AssumeRoleWithSAML (STS API, service model 2011-06-15) and of
// every AWS query API.
func validationError(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...))
}

func invalidIdentityToken(message string) *refusal {
	return refuse(http.StatusBadRequest, "InvalidIdentityToken", message)
}

func accessDenied(message string) *refusal {
	return refuse(http.StatusForbidden, "AccessDenied", message)
}

func expiredToken(message string) *refusal {
	return refuse(http.StatusBadRequest, "ExpiredTokenException", message)
}

// notAuthorized is the one text of rows 20 and 21: AWS never says which.
func notAuthorized(why string, args ...any) *refusal {
	return accessDenied("Not authorized to perform sts:AssumeRoleWithSAML").because(why, args...)
}

const nsSTS = "https://sts.amazonaws.com/doc/2011-06-15/"

// errorAnswer is how the query protocol says no.
type errorAnswer struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func (r *refusal) answer(requestID string) errorAnswer {
	kind := "Sender"
	if r.Status >= 500 {
		kind = "Receiver"
	}
	return errorAnswer{Type: kind, Code: r.Code, Message: r.text(requestID), RequestID: requestID}
}
