package export

import (
	"fmt"
	"strings"

	"gatehouse"
)

// A shell is a language of one assignment per line.
type shell struct {
	comment [2]string                                // what is before one and behind it
	hint    string                                   // how to drop a profile that is set; empty: none
	assign  func(name, value string) (string, error) // one line without its end
	end     string                                   // of a line
}

var (
	// A zsh at a terminal takes # for the name of a command (zsh manual,
	// INTERACTIVE_COMMENTS); every POSIX shell has one that does nothing.
	bash       = shell{[2]string{": '", "'"}, "unset AWS_PROFILE", assignBash, "\n"}
	fish       = shell{[2]string{"# "}, "set -e AWS_PROFILE", assignFish, "\n"}
	powerShell = shell{[2]string{"# "}, "Remove-Item Env:AWS_PROFILE", assignPowerShell, "\n"}
	cmd        = shell{[2]string{"rem "}, "set AWS_PROFILE=", assignCmd, "\r\n"}
	dotenv     = shell{[2]string{"# "}, "", assignEnv, "\n"}
)

func (s shell) render(c gatehouse.Credentials, o Options) (string, error) {
	var b strings.Builder
	for _, line := range s.comments(c, o) {
		if err := checkComment(line); err != nil {
			return "", err
		}
		b.WriteString(s.comment[0] + line + s.comment[1] + s.end)
	}
	for _, v := range variables(c, o) {
		line, err := s.assign(v.name, v.value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", v.name, err)
		}
		b.WriteString(line + s.end)
	}
	return b.String(), nil
}

// comments lead the text. The hint stays a comment: keys in the environment
// win over AWS_PROFILE in all but a few tools, and dropping it unasked would
// surprise.
func (s shell) comments(c gatehouse.Credentials, o Options) []string {
	lines := []string{headline(c, o)}
	if s.hint != "" {
		lines = append(lines, "If a tool still uses another profile: "+s.hint)
	}
	return lines
}

func assignBash(name, value string) (string, error) {
	q, err := quoteBash(value)
	return "export " + name + "=" + q, err
}

func assignFish(name, value string) (string, error) {
	q, err := quoteFish(value)
	return "set -gx " + name + " " + q, err
}

func assignPowerShell(name, value string) (string, error) {
	q, err := quotePowerShell(value)
	return "$Env:" + name + "=" + q, err
}

func assignCmd(name, value string) (string, error) {
	q, err := quoteCmd(name, value)
	return "set " + q, err
}

func assignEnv(name, value string) (string, error) {
	q, err := quoteEnv(value)
	return name + "=" + q, err
}
