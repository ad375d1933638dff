package directory

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds one line of LDIF with its continuations: a photograph fits.
const maxLine = 1 << 20

// ParseLDIF reads content records (RFC 2849): plain and base64 values,
// continuation lines, comments and a version line. It refuses change records
// and values by URL, which would read other files, and says which line is
// wrong. The DNs are not looked at; Put does that.
func ParseLDIF(r io.Reader) ([]Entry, error) {
	p := &ldifParser{lines: bufio.NewScanner(r)}
	p.lines.Buffer(nil, maxLine)
	var entries []Entry
	var current *Entry
	for {
		line, err := p.line()
		if errors.Is(err, io.EOF) {
			return appendEntry(entries, current), nil
		}
		switch {
		case err != nil:
			return nil, err
		case line == "":
			entries, current = appendEntry(entries, current), nil
			continue
		}
		attr, val, err := parseLine(line)
		if err == nil {
			current, err = current.accept(attr, val, len(entries) == 0)
		}
		if err != nil {
			return nil, fmt.Errorf("LDIF line %d: %w", p.start, err)
		}
	}
}

func appendEntry(entries []Entry, e *Entry) []Entry {
	if e == nil {
		return entries
	}
	return append(entries, *e)
}

// accept adds one line to the record that is being read; nil is before its dn.
func (e *Entry) accept(attr, val string, first bool) (*Entry, error) {
	lower := strings.ToLower(attr)
	switch {
	case e == nil && lower == "dn":
		return &Entry{DN: val, Attributes: map[string][]string{}}, nil
	case e == nil && lower == "version" && first:
		if val != "1" {
			return nil, fmt.Errorf("version %q, only 1 is known", val)
		}
		return nil, nil
	case e == nil:
		return nil, errors.New("a record must start with dn: and a name")
	case lower == "dn":
		return nil, errors.New("a second dn: in one record; an empty line is missing")
	case lower == "changetype" || lower == "control":
		return nil, errors.New("change records are not supported")
	}
	for have := range e.Attributes {
		if strings.EqualFold(have, attr) {
			attr = have
		}
	}
	e.Attributes[attr] = append(e.Attributes[attr], val)
	return e, nil
}

// parseLine takes "name: value", "name:: base64" apart.
func parseLine(line string) (attr, val string, err error) {
	attr, val, ok := strings.Cut(line, ":")
	base, _, _ := strings.Cut(attr, ";")
	if !ok || !isAttributeType(base) || strings.ContainsAny(attr, " \t\x00") {
		return "", "", errors.New("want name: value")
	}
	switch {
	case strings.HasPrefix(val, "<"):
		return "", "", errors.New("values by URL are not supported")
	case strings.HasPrefix(val, ":"):
		b, err := base64.StdEncoding.DecodeString(strings.Trim(val[1:], " "))
		if err != nil {
			return "", "", fmt.Errorf("value of %s is not base64", attr)
		}
		return attr, string(b), nil
	}
	return attr, strings.TrimLeft(val, " "), nil
}

// ldifParser joins lines that belong together.
type ldifParser struct {
	lines  *bufio.Scanner
	ahead  *string // a line that was read, and is not used yet
	number int     // of the last physical line
	start  int     // where the line that was returned last begins
}

// line is the next logical line without comments; empty between records.
func (p *ldifParser) line() (string, error) {
	for {
		first, err := p.physical()
		if err != nil {
			return "", err
		}
		p.start = p.number
		if strings.HasPrefix(first, " ") {
			return "", fmt.Errorf("LDIF line %d: a continuation of nothing", p.number)
		}
		joined, err := p.join(first)
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(joined, "#") {
			return joined, nil
		}
	}
}

// join appends the lines that continue first: those that start with a space.
func (p *ldifParser) join(first string) (string, error) {
	if first == "" {
		return "", nil
	}
	var b strings.Builder
	b.WriteString(first)
	for {
		next, err := p.physical()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(next, " ") {
			p.ahead = &next
			p.number--
			return b.String(), nil
		}
		if b.WriteString(next[1:]); b.Len() > maxLine {
			return "", fmt.Errorf("LDIF line %d: longer than %d bytes", p.start, maxLine)
		}
	}
}

// physical is one line of the file.
func (p *ldifParser) physical() (string, error) {
	p.number++
	if p.ahead != nil {
		next := *p.ahead
		p.ahead = nil
		return next, nil
	}
	if p.lines.Scan() {
		return p.lines.Text(), nil // without the end of line, be it LF or CRLF
	}
	if err := p.lines.Err(); err != nil {
		return "", fmt.Errorf("LDIF line %d: %w", p.number, err)
	}
	return "", io.EOF
}
