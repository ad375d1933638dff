package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"gatehouse"
)

// carrying puts the assertion into the form that the SDK has written without
// one. The SDK would want a text of its own, escape it into a second, join
// that into a third and copy it into a fourth, each longer than all the rest
// of a hand-out; here it is escaped once, to where it leaves from.
//
// That body is nobody else's: a transport may go on reading it when the call
// has long ended (net/http, RoundTripper). The assertion is read only here,
// by the goroutine that makes the call.
type carrying struct{ assertion gatehouse.Lent }

// add is an option of one call: behind the SDK's own serializer, in front of
// what measures and sends the body.
func (m carrying) add(o *sts.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Serialize.Insert(m, "OperationSerializer", middleware.After)
	})
}

// ID implements middleware.SerializeMiddleware.
func (carrying) ID() string { return "Assertion" }

// HandleSerialize implements middleware.SerializeMiddleware.
func (m carrying) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
	request, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("a request of type %T", in.Request)
	}
	form, err := io.ReadAll(request.GetStream())
	if err == nil {
		form, err = carry(form, m.assertion)
	}
	if err == nil {
		in.Request, err = request.SetStream(bytes.NewReader(form))
	}
	if err != nil {
		return middleware.SerializeOutput{}, middleware.Metadata{}, err
	}
	return next.HandleSerialize(ctx, in)
}

// carry is form with the value of its empty SAMLAssertion. No value can look
// like that field: an ampersand in one is escaped.
func carry(form []byte, assertion gatehouse.Lent) ([]byte, error) {
	field := []byte("&SAMLAssertion=")
	at := bytes.Index(form, append(field, '&'))
	if at < 0 {
		return nil, errors.New("a form without an empty SAMLAssertion")
	}
	at += len(field)
	escaped := 0
	for _, b := range assertion {
		if !unreserved(b) {
			escaped++
		}
	}
	body := make([]byte, 0, len(form)+len(assertion)+2*escaped)
	body = append(body, form[:at]...)
	for _, b := range assertion {
		if unreserved(b) {
			body = append(body, b)
		} else {
			body = append(body, '%', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return append(body, form[at:]...), nil
}

const hexDigits = "0123456789ABCDEF"

// unreserved are the characters that a form has as they are (RFC 3986 §2.3).
func unreserved(b byte) bool {
	return 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '.' || b == '_' || b == '~'
}
