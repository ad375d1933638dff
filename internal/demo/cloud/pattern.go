package cloud

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first asked. The
// package is linked into a program that mostly runs without it, and would pay
// for all of them at every start.
type pattern struct{ compiled func() *regexp.Regexp }

func lazily(text string) *pattern {
	return &pattern{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}
}

func (p *pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }

func (p *pattern) FindStringSubmatch(s string) []string { return p.compiled().FindStringSubmatch(s) }
