// Package export writes temporary AWS credentials as text that a shell, a
// tool or a file takes: pure functions, no I/O.
//
// What is written may be pasted into a terminal, so every value passes the one
// quoting function of its language (quote.go). A value that a language cannot
// hold exactly is refused; nothing is ever altered to make it fit.
package export

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"gatehouse"
)

// Options say what goes with the credentials.
type Options struct {
	// Profile is the section's name in an INI file; other forms ignore it.
	Profile string

	// Region, when set, becomes AWS_REGION and AWS_DEFAULT_REGION.
	Region string

	// Scope, when set, names the limits that the credentials have beside the
	// role's own. It is said where there are comments.
	Scope string

	// STSEndpoint, when set, becomes AWS_ENDPOINT_URL_STS: credentials from a
	// private or test endpoint are unknown to the public one.
	STSEndpoint string
}

// Text is credentials in one form, ready to be copied or downloaded.
type Text struct {
	Body        string // ends with a line end
	ContentType string
	Filename    string // fixed per form, and safe in a Content-Disposition
}

type writer func(gatehouse.Credentials, Options) (string, error)

type language struct {
	write       writer
	contentType string
	filename    string
}

const plain = "text/plain; charset=utf-8"

var languages = map[gatehouse.Form]language{
	gatehouse.FormBash:       {bash.render, plain, "aws-credentials.sh"},
	gatehouse.FormFish:       {fish.render, plain, "aws-credentials.fish"},
	gatehouse.FormPowerShell: {powerShell.render, plain, "aws-credentials.ps1"},
	gatehouse.FormCmd:        {cmd.render, plain, "aws-credentials.cmd"},
	gatehouse.FormINI:        {ini, plain, "credentials.ini"},
	gatehouse.FormEnv:        {dotenv.render, plain, "aws-credentials.env"},
	gatehouse.FormJSON:       {processJSON, "application/json", "aws-credentials.json"},
}

// Render writes c in the form f: bash, fish, powershell, cmd, ini, env or
// json. Times are RFC 3339 in UTC, to the second.
//
// Errors: gatehouse.ErrInvalid for a form that is no text and for a profile's
// name; any other error means that the credentials are incomplete or hold
// something that the form cannot carry.
func Render(f gatehouse.Form, c gatehouse.Credentials, o Options) (Text, error) {
	l, ok := languages[f]
	if !ok {
		return Text{}, &gatehouse.Invalid{Field: "as", Why: "Choose one of bash, fish, powershell, cmd, ini, env and json."}
	}
	if err := complete(c); err != nil {
		return Text{}, err
	}
	body, err := l.write(c, o)
	if err != nil {
		return Text{}, fmt.Errorf("export as %s: %w", f, err)
	}
	return Text{Body: body, ContentType: l.contentType, Filename: l.filename}, nil
}

// complete refuses half credentials. Without an expiry SDKs would take the
// keys for permanent ones and never ask again.
func complete(c gatehouse.Credentials) error {
	switch {
	case c.AccessKeyID == "", c.SecretAccessKey == "", c.SessionToken == "":
		return errors.New("export: credentials lack a key or the session token")
	case c.Expires.IsZero():
		return errors.New("export: credentials lack their expiry")
	}
	return nil
}

var profileName = regexp.MustCompile(`^[A-Za-z0-9_][\w.@+=,-]{0,63}$`)

// ProfileName says whether s may name a profile: what stays one word in an
// INI section, in AWS_PROFILE and after --profile. It returns a
// *gatehouse.Invalid otherwise.
func ProfileName(s string) error {
	if profileName.MatchString(s) {
		return nil
	}
	return &gatehouse.Invalid{Field: "profile",
		Why: "Use 1 to 64 letters, digits and . _ @ + = , - for a profile's name, and begin with a letter or a digit."}
}

// A variable is one line of an environment.
type variable struct{ name, value string }

// variables are the names that the AWS CLI and the SDKs read (AWS SDKs and
// Tools Reference Guide, "Environment variables"). Both names of the region
// are there because some SDKs read only one of them.
func variables(c gatehouse.Credentials, o Options) []variable {
	vs := []variable{
		{"AWS_ACCESS_KEY_ID", c.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", string(c.SecretAccessKey)},
		{"AWS_SESSION_TOKEN", string(c.SessionToken)},
		{"AWS_CREDENTIAL_EXPIRATION", timestamp(c.Expires)},
	}
	if o.Region != "" {
		vs = append(vs, variable{"AWS_REGION", o.Region}, variable{"AWS_DEFAULT_REGION", o.Region})
	}
	if o.STSEndpoint != "" {
		vs = append(vs, variable{"AWS_ENDPOINT_URL_STS", o.STSEndpoint})
	}
	return vs
}

// Environment is c as NAME=value, for a process that is started with it.
func Environment(c gatehouse.Credentials, o Options) ([]string, error) {
	if err := complete(c); err != nil {
		return nil, err
	}
	var env []string
	for _, v := range variables(c, o) {
		env = append(env, v.name+"="+v.value)
	}
	return env, nil
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// headline says what follows and how long it is good.
func headline(c gatehouse.Credentials, o Options) string {
	what := cmp.Or(c.AssumedRoleARN, "temporary AWS credentials")
	if o.Scope != "" {
		what += ", limited to " + o.Scope + ","
	}
	return "Gatehouse: " + what + " until " + timestamp(c.Expires)
}

// A comment is part of a script: it holds nothing that any of the languages
// reads as more than text: no quote, nor what a shell at a terminal acts upon.
var comment = regexp.MustCompile(`^[A-Za-z0-9 _+=,.@:/\[\]-]*$`)

func checkComment(s string) error {
	if !comment.MatchString(s) {
		return fmt.Errorf("%q cannot stand in a comment", s)
	}
	return nil
}

// accountOf is the account in an assumed role's ARN, or nothing.
func accountOf(assumedRoleARN string) string {
	parts := strings.Split(assumedRoleARN, ":")
	if len(parts) < 6 || parts[0] != "arn" || !gatehouse.AccountID.MatchString(parts[4]) {
		return ""
	}
	return parts[4]
}
