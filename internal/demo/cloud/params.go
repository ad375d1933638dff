package cloud

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxBody   = 512 << 10 // 100,000 characters of base64, each percent-encoded, and room
	maxParams = 500
)

// params are the parameters of one call. Each is there once.
type params map[string]string

// parseForm reads a query string or a form body. What is sent twice, is not
// UTF-8 or is not encoded properly is refused rather than guessed at.
func parseForm(raw string) (params, error) {
	p := params{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil {
			return nil, err
		}
		value, err = url.QueryUnescape(value)
		if err != nil {
			return nil, err
		}
		if strings.Contains(pair, ";") || !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, errors.New("not a form")
		}
		if _, twice := p[key]; twice {
			return nil, fmt.Errorf("parameter %.64q is there twice", key)
		}
		if p[key] = value; len(p) > maxParams {
			return nil, errors.New("too many parameters")
		}
	}
	return p, nil
}

// merge adds the parameters of other; none may be in both.
func (p params) merge(other params) error {
	for k, v := range other {
		if _, twice := p[k]; twice {
			return fmt.Errorf("parameter %.64q is there twice", k)
		}
		p[k] = v
	}
	return nil
}

// list are the values of PREFIX.member.1SUFFIX, .2SUFFIX and so on.
func (p params) list(prefix, suffix string) []string {
	var values []string
	for i := 1; ; i++ {
		v, ok := p[prefix+".member."+strconv.Itoa(i)+suffix]
		if !ok {
			return values
		}
		values = append(values, v)
	}
}

// complaints collects what is wrong with parameters, in AWS's words.
type complaints []string

func (c *complaints) add(value, field, constraint string) {
	*c = append(*c, fmt.Sprintf("Value %sat '%s' failed to satisfy constraint: %s", value, field, constraint))
}

func quoted(v string) string { return "'" + v + "' " }

// length is a required or optional string's length in characters. A secret
// value is not echoed.
func (c *complaints) length(p params, name string, required, secret bool, least, most int) {
	v, sent := p[name]
	field := strings.ToLower(name[:1]) + name[1:]
	shown := quoted(v)
	if secret {
		shown = ""
	}
	n := utf8.RuneCountInString(v)
	switch {
	case !sent && required:
		c.add("null ", field, "Member must not be null")
	case !sent:
	case n < least:
		c.add(shown, field, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	case n > most:
		c.add(shown, field, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
}

// duration is DurationSeconds; zero: not sent.
func (c *complaints) duration(p params) time.Duration {
	v, sent := p["DurationSeconds"]
	if !sent {
		return 0
	}
	n, err := strconv.Atoi(v)
	switch {
	case err != nil:
		c.add(quoted(v), "durationSeconds", "Member must be an integer")
	case n < 900:
		c.add(quoted(v), "durationSeconds", "Member must have value greater than or equal to 900")
	case n > 43200:
		c.add(quoted(v), "durationSeconds", "Member must have value less than or equal to 43200")
	}
	return time.Duration(n) * time.Second
}

// refusal is row 1, all complaints together, or nil.
func (c complaints) refusal() *refusal {
	switch len(c) {
	case 0:
		return nil
	case 1:
		return validationError("1 validation error detected: %s", c[0])
	}
	return validationError("%d validation errors detected: %s", len(c), strings.Join(c, "; "))
}
