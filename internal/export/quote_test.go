package export

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gatehouse/internal/outside"
)

// no marks what a language must refuse.
const no = "\x00refused"

// hostile is what threats to a quoting function look like, and what each
// language makes of it.
var hostile = []struct {
	name, in                           string
	bash, fish, powerShell, cmd, plain string
}{
	{"a single quote", `a'b`, `'a'\''b'`, `'a\'b'`, `'a''b'`, `"N=a'b"`, no},
	{"only single quotes", `''`, `''\'''\'''`, `'\'\''`, `''''''`, `"N=''"`, no},
	{"a double quote", `a"b`, `'a"b'`, `'a"b'`, `'a"b'`, no, no},
	{"a dollar is no variable", `$HOME`, `'$HOME'`, `'$HOME'`, `'$HOME'`, `"N=$HOME"`, no},
	{"no substitution", "$(id)`id`", "'$(id)`id`'", "'$(id)`id`'", "'$(id)`id`'", "\"N=$(id)`id`\"", no},
	{"a percent sign", `%PATH%`, `'%PATH%'`, `'%PATH%'`, `'%PATH%'`, no, `%PATH%`},
	{"an exclamation mark", `a!!b`, `'a!!b'`, `'a!!b'`, `'a!!b'`, no, no},
	{"a quote before an exclamation mark", `'!ls`, `''\''!ls'`, `'\'!ls'`, `'''!ls'`, no, no},
	{"a backslash at the end", `a\`, `'a\'`, `'a\\'`, `'a\'`, `"N=a\"`, no},
	{"a backslash before a quote", `\'`, `'\'\'''`, `'\\\''`, `'\'''`, `"N=\'"`, no},
	{"operators", `a&b|c<d>e^f;g`, `'a&b|c<d>e^f;g'`, `'a&b|c<d>e^f;g'`, `'a&b|c<d>e^f;g'`, `"N=a&b|c<d>e^f;g"`, no},
	{"a blank at the end", `a `, `'a '`, `'a '`, `'a '`, `"N=a "`, no},
	{"a comment sign", `a #b`, `'a #b'`, `'a #b'`, `'a #b'`, `"N=a #b"`, no},
	{"a leading equals sign", `=cmd`, `'=cmd'`, `'=cmd'`, `'=cmd'`, `"N==cmd"`, `=cmd`},
	{"a leading plus", `+1`, `'+1'`, `'+1'`, `'+1'`, `"N=+1"`, `+1`},
	{"a leading at sign", `@x`, `'@x'`, `'@x'`, `'@x'`, `"N=@x"`, `@x`},
	{"a leading dash", `-x`, `'-x'`, `'-x'`, `'-x'`, `"N=-x"`, `-x`},
	{"letters beyond ASCII", `Zoë`, `'Zoë'`, `'Zoë'`, no, no, no},
	{"a typographic quote, which ends a string in PowerShell", "a\u2019b", "'a\u2019b'", "'a\u2019b'", no, no, no},
	{"a newline", "a\nid", no, no, no, no, no},
	{"a carriage return", "a\rid", no, no, no, no, no},
	{"NUL", "a\x00b", no, no, no, no, no},
	{"escape", "a\x1b[2Jb", no, no, no, no, no},
	{"end of file", "a\x04", no, no, no, no, no},
	{"U+2028", "a\u2028b", no, no, no, no, no},
	{"a no-break space", "a\u00a0b", no, no, no, no, no},
	{"a bidirectional override", "a\u202eb", no, no, no, no, no},
	{"a byte order mark", "\ufeffa", no, no, no, no, no},
	{"broken UTF-8", "a\xffb", no, no, no, no, no},
}

func TestQuoting(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			for _, l := range []struct {
				language string
				quote    func(string) (string, error)
				want     string
			}{
				{"bash", quoteBash, tt.bash},
				{"fish", quoteFish, tt.fish},
				{"PowerShell", quotePowerShell, tt.powerShell},
				{"cmd", func(s string) (string, error) { return quoteCmd("N", s) }, tt.cmd},
				{"env", quoteEnv, tt.plain},
				{"INI", quoteINI, tt.plain},
			} {
				got, err := l.quote(tt.in)
				if err != nil {
					got = no
				}
				if got != l.want {
					t.Errorf("%s: quote(%q) = %q (%v), want %q", l.language, tt.in, got, err, l.want)
				}
			}
		})
	}
}

// values are all hostile values that quote lets pass, and every printable
// ASCII character in a row, forwards and backwards.
func values(t *testing.T, quote func(string) (string, error)) []string {
	t.Helper()
	var ascii strings.Builder
	for r := ' '; r <= '~'; r++ {
		ascii.WriteRune(r)
	}
	var ok []string
	ok = append(ok, ascii.String(), reverse(ascii.String()))
	for _, tt := range hostile {
		if _, err := quote(tt.in); err == nil {
			ok = append(ok, tt.in)
		}
	}
	return ok
}

func reverse(s string) string {
	b := []byte(s)
	for i := range len(b) / 2 {
		b[i], b[len(b)-1-i] = b[len(b)-1-i], b[i]
	}
	return string(b)
}

// judge runs program over script, which prints each value followed by NUL.
func judge(t *testing.T, want []string, script string, program string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, args...)
	c.Stdin = strings.NewReader(script)
	c.Env = []string{"LC_ALL=C.UTF-8", "HOME=" + t.TempDir()}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, stderr.String())
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(got) != len(want) {
		t.Fatalf("%s read %d values, want %d", program, len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s read %q, want %q", program, got[i], want[i])
		}
	}
}

func scriptOf(t *testing.T, before string, vs []string, quote func(string) (string, error)) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(before)
	for _, v := range vs {
		q, err := quote(v)
		if err != nil {
			t.Fatalf("quote(%q): %v", v, err)
		}
		b.WriteString(`printf '%s\0' ` + q + "\n")
	}
	return b.String()
}

func TestBashReadsWhatWasQuoted(t *testing.T) {
	sh := outside.Program(t, "bash", "bash")
	vs := values(t, quoteBash)
	judge(t, vs, scriptOf(t, "", vs, quoteBash), sh, "--norc")
}

func TestBashReadsWhatWasQuotedWithHistoryExpansion(t *testing.T) {
	sh := outside.Program(t, "bash", "bash")
	vs := values(t, quoteBash)
	judge(t, vs, scriptOf(t, "set -o history\nset -o histexpand\n", vs, quoteBash), sh, "--norc")
}

func TestFishReadsWhatWasQuoted(t *testing.T) {
	sh := outside.Program(t, "fish", "fish")
	vs := values(t, quoteFish)
	judge(t, vs, scriptOf(t, "", vs, quoteFish), sh, "--no-config")
}

// The small readers below are the grammars of the languages that cannot be
// run everywhere, written the other way round from the quoting functions:
// each reads one word and refuses whatever is more than that.

func readBash(q string) (string, bool) {
	var b strings.Builder
	for len(q) > 0 {
		switch {
		case q[0] == '\'':
			body, rest, ok := strings.Cut(q[1:], "'")
			if !ok {
				return "", false
			}
			b.WriteString(body)
			q = rest
		case strings.HasPrefix(q, `\'`):
			b.WriteByte('\'')
			q = q[2:]
		default:
			return "", false
		}
	}
	return b.String(), true
}

func readFish(q string) (string, bool) {
	if len(q) < 2 || q[0] != '\'' || q[len(q)-1] != '\'' {
		return "", false
	}
	q = q[1 : len(q)-1]
	var b strings.Builder
	for i := 0; i < len(q); i++ {
		if q[i] == '\'' {
			return "", false
		}
		if q[i] == '\\' && i+1 < len(q) && (q[i+1] == '\\' || q[i+1] == '\'') {
			i++
		} else if q[i] == '\\' && i+1 == len(q) {
			return "", false
		}
		b.WriteByte(q[i])
	}
	return b.String(), true
}

// readPowerShell reads a verbatim string of PowerShell: any of five quotes
// opens, closes and escapes it (about_Quoting_Rules; Language Specification
// 3.0, §2.3.5.2).
func readPowerShell(q string) (string, bool) {
	isQuote := func(r rune) bool { return r == '\'' || r >= 0x2018 && r <= 0x201b }
	rs := []rune(q)
	if len(rs) < 2 || !isQuote(rs[0]) || !isQuote(rs[len(rs)-1]) {
		return "", false
	}
	rs = rs[1 : len(rs)-1]
	var b strings.Builder
	for i := 0; i < len(rs); i++ {
		if isQuote(rs[i]) {
			i++
			if i == len(rs) || !isQuote(rs[i]) {
				return "", false
			}
		}
		b.WriteRune(rs[i])
	}
	return b.String(), true
}

func readCmd(q string) (string, bool) {
	body, ok := strings.CutPrefix(q, `"N=`)
	body, end := strings.CutSuffix(body, `"`)
	return body, ok && end && !strings.ContainsAny(body, "\"%!\r\n")
}

func fuzzQuoting(f *testing.F, quote func(string) (string, error), read func(string) (string, bool)) {
	for _, tt := range hostile {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := quote(s)
		if err != nil {
			if q != "" {
				t.Errorf("quote(%q) refuses, and yet gives %q", s, q)
			}
			return
		}
		if got, ok := read(q); !ok || got != s {
			t.Errorf("quote(%q) = %q, which reads %q, %v", s, q, got, ok)
		}
		if strings.ContainsFunc(q, unicode.IsControl) || !utf8.ValidString(q) {
			t.Errorf("quote(%q) = %q lets a control character pass", s, q)
		}
	})
}

func FuzzQuoteBash(f *testing.F)       { fuzzQuoting(f, quoteBash, readBash) }
func FuzzQuoteFish(f *testing.F)       { fuzzQuoting(f, quoteFish, readFish) }
func FuzzQuotePowerShell(f *testing.F) { fuzzQuoting(f, quotePowerShell, readPowerShell) }

func FuzzQuoteCmd(f *testing.F) {
	fuzzQuoting(f, func(s string) (string, error) { return quoteCmd("N", s) }, readCmd)
}

// Where there are no quotes, nothing may pass that is syntax to any reader.
func readBare(q string) (string, bool) {
	return q, q != "" && !strings.ContainsAny(q, " \t'\"`$#;\\!&|<>(){}*?~")
}

func FuzzQuoteEnv(f *testing.F) { fuzzQuoting(f, quoteEnv, readBare) }
func FuzzQuoteINI(f *testing.F) { fuzzQuoting(f, quoteINI, readBare) }
