package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gatehouse/internal/export"
)

// What stands between these two lines of ~/.aws/config is ours; what stands
// outside is never touched.
const (
	blockBegin = "# BEGIN gatehouse (written by `gatehouse config`; changes between these marks are lost)"
	blockEnd   = "# END gatehouse"
)

var (
	begins  = regexp.MustCompile(`^\s*#\s*BEGIN gatehouse\b`)
	ends    = regexp.MustCompile(`^\s*#\s*END gatehouse\b`)
	section = regexp.MustCompile(`^\s*\[\s*(.*?)\s*\]`)
)

// Merge is old with our block in it: in the place where it was, or at the
// end. Profiles of the person's own are left as they are; kept names those
// that ours would have been called like.
func Merge(old string, c export.AWSConfig, all []export.Place) (merged string, kept []string, err error) {
	before, after, err := split(old)
	if err != nil {
		return "", nil, err
	}
	own := sections(before + after)
	for _, name := range []string{"sso-session " + export.SessionName, "services " + export.SessionName} {
		if own[name] {
			return "", nil, fmt.Errorf("there is a [%s] outside our block already; rename or remove it first", name)
		}
	}
	names, err := export.ProfileNames(all, c.Names)
	if err != nil {
		return "", nil, err
	}
	skip := map[string]bool{}
	for _, name := range names {
		if own["profile "+name] {
			skip[name] = true
			kept = append(kept, name)
		}
	}
	block, err := c.Render(all, skip)
	if err != nil {
		return "", nil, err
	}
	if before != "" && !strings.HasSuffix(before, "\n") {
		before += "\n"
	}
	if before != "" && !strings.HasSuffix(before, "\n\n") {
		before += "\n"
	}
	return before + blockBegin + "\n" + block + blockEnd + "\n" + after, kept, nil
}

// split is what stands before and after our block. Half a block, or two, are
// somebody's to mend: what is in between may be theirs.
func split(text string) (before, after string, err error) {
	var b, a strings.Builder
	state := 0 // 0 before, 1 within, 2 after
	for line := range strings.Lines(text) {
		switch {
		case begins.MatchString(line):
			if state != 0 {
				return "", "", errors.New("the file has two marks # BEGIN gatehouse; remove one")
			}
			state = 1
		case ends.MatchString(line):
			if state != 1 {
				return "", "", errors.New("the file has a mark # END gatehouse without its beginning; remove it")
			}
			state = 2
		case state == 0:
			b.WriteString(line)
		case state == 2:
			a.WriteString(line)
		}
	}
	if state == 1 {
		return "", "", errors.New("the file has a mark # BEGIN gatehouse without its end; put # END gatehouse where our lines end")
	}
	return b.String(), a.String(), nil
}

// sections are the names in brackets.
func sections(text string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		if m := section.FindStringSubmatch(line); m != nil {
			found[strings.Join(strings.Fields(m[1]), " ")] = true
		}
	}
	return found
}

// ConfigFile is the person's AWS configuration: AWS_CONFIG_FILE, or ~/.aws/config.
func (l *Laptop) ConfigFile() string {
	if path := l.Getenv("AWS_CONFIG_FILE"); path != "" {
		return path
	}
	return filepath.Join(l.Home, ".aws", "config")
}

// ReadConfig is its text; none is empty.
func (l *Laptop) ReadConfig() (string, error) {
	text, err := os.ReadFile(l.ConfigFile())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// WriteConfig replaces it, whole or not at all, for nobody else to read.
// Where it is a link, what it leads to is replaced, and the link stays.
func (l *Laptop) WriteConfig(text string) error {
	path := l.ConfigFile()
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return write(path, []byte(text))
}

// mostCells bounds the memory of a comparison, to forty megabytes.
const mostCells = 10_000_000

func prefixed(mark string, lines []string) string {
	var b strings.Builder
	for _, s := range lines {
		if s != "" {
			b.WriteString(mark + strings.TrimSuffix(s, "\n") + "\n")
		}
	}
	return b.String()
}

// Diff is what changes from old to new, by lines: those that go with a minus,
// those that come with a plus.
func Diff(old, new string) string {
	a, b := strings.SplitAfter(old, "\n"), strings.SplitAfter(new, "\n")
	// The longest common subsequence; a configuration has a few thousand lines.
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a)*len(b) > mostCells {
		return prefixed("-", a) + prefixed("+", b)
	}
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out.WriteString(prefixed("-", a[i:i+1]))
			i++
		default:
			out.WriteString(prefixed("+", b[j:j+1]))
			j++
		}
	}
	return out.String()
}
