package export

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// quoteBash writes s as one word of a POSIX shell (POSIX.1-2024, Shell Command
// Language, 2.2.2): within single quotes nothing is special but their end.
func quoteBash(s string) (string, error) {
	if err := printable(s); err != nil {
		return "", err
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'", nil
}

var fishEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// quoteFish writes s as one word of fish, whose single quotes know two escapes
// (fish documentation, "Quotes").
func quoteFish(s string) (string, error) {
	if err := printable(s); err != nil {
		return "", err
	}
	return "'" + fishEscapes.Replace(s) + "'", nil
}

// quotePowerShell writes s as a verbatim string (PowerShell, "about Quoting
// Rules"): only the quote itself is special, and is doubled.
//
// PowerShell also takes U+2018 to U+201B for single quotes, and Windows
// PowerShell reads a script without a byte order mark in the machine's code
// page, where the bytes of harmless letters turn into such quotes. So only
// ASCII passes.
func quotePowerShell(s string) (string, error) {
	if err := printableASCII(s); err != nil {
		return "", err
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'", nil
}

// quoteCmd writes NAME=value as the quoted operand of cmd.exe's set. There is
// no escape for % on a command line, for ! under delayed expansion, or for a
// quote, so they are refused; & | < > ^ are plain text between quotes. Text
// outside ASCII would change with the code page.
func quoteCmd(name, value string) (string, error) {
	if err := printableASCII(value); err != nil {
		return "", err
	}
	if strings.ContainsAny(value, `"%!`) {
		return "", errors.New(`in cmd.exe there is no way to quote any of " % ! here`)
	}
	return `"` + name + "=" + value + `"`, nil
}

// bare is what needs no quoting in any reader of KEY=value lines: docker takes
// everything after = as it is, others take quotes, $, # and blanks for syntax.
var bare = regexp.MustCompile(`^[A-Za-z0-9_/+=.:,@%\[\]-]+$`)

// quoteEnv passes a value that needs no quotes, and refuses any other.
func quoteEnv(s string) (string, error) {
	if !bare.MatchString(s) {
		return "", errors.New("it would need quotes, which readers of .env files do not agree on")
	}
	return s, nil
}

// quoteINI passes a value that every reader of ~/.aws/credentials takes as it
// is. The format has no quotes; ; and # begin comments for some readers.
func quoteINI(s string) (string, error) {
	if !bare.MatchString(s) {
		return "", errors.New("an INI file has no quotes for it")
	}
	return s, nil
}

// printable refuses what a terminal acts upon while text is pasted (controls,
// line ends) and what is not seen by who pastes it (bidirectional controls,
// U+2028, blanks other than the space).
func printable(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("it is not UTF-8")
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("it holds the unprintable %U", r)
		}
	}
	return nil
}

func printableASCII(s string) error {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return fmt.Errorf("it holds %U, which is not printable ASCII", r)
		}
	}
	return nil
}
