package aws

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

// kept answers every request, and keeps the forms.
type kept struct{ forms []string }

func (k *kept) RoundTrip(r *http.Request) (*http.Response, error) {
	form, err := io.ReadAll(r.Body)
	if err != nil || int64(len(form)) != r.ContentLength {
		return nil, fmt.Errorf("a body of %d bytes, announced as %d: %w", len(form), r.ContentLength, err)
	}
	k.forms = append(k.forms, string(form))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(grant().body)), Request: r}, nil
}

func TestTheFormIsByteForByteWhatTheSDKWouldSend(t *testing.T) {
	everyDigit := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=="
	for name, assertion := range map[string]string{
		"base64":              everyDigit,
		"one that is as long": strings.Repeat("PHNhbWw+", 12_500),
		"like another field":  "&SAMLAssertion=&Action=x",
		"escaped once before": "%2B%",
		"not ASCII":           "\x00\xffé-._~",
		"none":                "",
	} {
		t.Run(name, func(t *testing.T) {
			k := &kept{}
			c := newClient(t, Config{})
			c.http.Transport = k
			limits := gatehouse.SessionPolicy{Document: `{"SAMLAssertion":"&SAMLAssertion="}`, ARNs: []string{"arn:aws:iam::aws:policy/A"}}
			if _, err := c.assume(t.Context(), payments, developer, gatehouse.Lent(assertion), time.Hour, limits); err != nil {
				t.Fatal(err)
			}
			if err := theSDKAlone(t.Context(), c, assertion, limits); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(k.forms[1], k.forms[0]); diff != "" || len(k.forms[0]) <= len(assertion) {
				t.Errorf("(-the SDK alone +sent):\n%s", diff)
			}
		})
	}
}

// A transport may read a body when the call has returned, and the memory of
// the assertion is somebody else's by then.
func TestWhatIsSentIsNotTheMemoryThatWasLent(t *testing.T) {
	for _, lent := range []string{"PHNhbWw", "PHNhbWw+"} {
		memory := gatehouse.Lent(lent)
		form, err := carry([]byte("Action=x&SAMLAssertion=&Version=y"), memory)
		if err != nil {
			t.Fatal(err)
		}
		copy(memory, "another!")
		if want := "Action=x&SAMLAssertion=" + url.QueryEscape(lent) + "&Version=y"; string(form) != want {
			t.Errorf("read late, the form is %q, want %q", form, want)
		}
	}
}

func TestAFormWithoutRoomForTheAssertionIsNotSent(t *testing.T) {
	for _, form := range []string{"", "Action=x", "Action=x&SAMLAssertion=given&Version=y", "Action=SAMLAssertion="} {
		if got, err := carry([]byte(form), gatehouse.Lent("secret")); err == nil {
			t.Errorf("%q became %q", form, got)
		}
	}
}

// theSDKAlone makes the call as the SDK does by itself.
func theSDKAlone(ctx context.Context, c *Client, assertion string, limits gatehouse.SessionPolicy) error {
	in := input(payments, developer, time.Hour, limits)
	in.SAMLAssertion = &assertion
	_, err := c.region(payments.Region).AssumeRoleWithSAML(ctx, in)
	return err
}
