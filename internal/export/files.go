package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"gatehouse"
)

// ini writes a section of ~/.aws/credentials. The STS endpoint can only be
// named there in a comment: a profile's endpoint_url would turn every service
// to it, and a services section counts in ~/.aws/config alone.
func ini(c gatehouse.Credentials, o Options) (string, error) {
	if err := ProfileName(o.Profile); err != nil {
		return "", err
	}
	comments := []string{headline(c, o)}
	if o.STSEndpoint != "" {
		comments = append(comments, "With these set AWS_ENDPOINT_URL_STS="+o.STSEndpoint+" in the environment")
	}
	var b strings.Builder
	for _, line := range comments {
		if err := checkComment(line); err != nil {
			return "", err
		}
		b.WriteString("# " + line + "\n")
	}
	b.WriteString("[" + o.Profile + "]\n")
	for _, v := range iniKeys(c, o) {
		q, err := quoteINI(v.value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", v.name, err)
		}
		b.WriteString(v.name + " = " + q + "\n")
	}
	return b.String(), nil
}

func iniKeys(c gatehouse.Credentials, o Options) []variable {
	vs := []variable{
		{"aws_access_key_id", c.AccessKeyID},
		{"aws_secret_access_key", string(c.SecretAccessKey)},
		{"aws_session_token", string(c.SessionToken)},
	}
	if o.Region != "" {
		vs = append(vs, variable{"region", o.Region})
	}
	return vs
}

// processJSON writes what a credential_process answers (AWS SDKs and Tools
// Reference Guide, "Process credential provider"). Version is the number 1.
func processJSON(c gatehouse.Credentials, _ Options) (string, error) {
	for _, s := range []string{c.AccessKeyID, string(c.SecretAccessKey), string(c.SessionToken)} {
		// JSON could carry anything, but its encoder mends broken UTF-8, and
		// no key of AWS's is unprintable.
		if err := printable(s); err != nil {
			return "", err
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Version         int
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
		AccountID       string `json:"AccountId,omitempty"`
	}{1, c.AccessKeyID, string(c.SecretAccessKey), string(c.SessionToken), timestamp(c.Expires), accountOf(c.AssumedRoleARN)})
	return b.String(), err
}
