package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ownWords are the files that may hold what people read, and those whose
// words only operators see: on the command line, or in a configuration.
var ownWords = []string{"words.go", "problem.go", "config.go", "check.go", "listen.go", "probe.go"}

// unread are the calls whose texts no page shows: errors, logs, headers,
// expressions.
var unread = []string{"Errorf", "New", "note", "LogAttrs", "Set", "Get", "Add", "Del", "Values", "Header", "Warn", "MustCompile"}

// prose is a text of two words or more, a word with a capital, or the end of
// a sentence. A single small word passes: it may as well be a key.
var prose = regexp.MustCompile(`[A-Za-z]{2,} [A-Za-z]{2,}|^[A-Z][a-z]+|[a-z]\.$`)

// notProse looks like it: names of protocols and of browsers' keys.
var notProse = []string{"RelayState", "Negotiate", "no handle", "shutting down",
	"ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Enter", "Escape", "Home", "End", "Event", "Accept", "Windows"}

// What this sees are literals in the code of this package. It does not see a
// text that is put together from single small words, nor one that another room
// hands up as its reason.
func TestWhatPeopleReadStandsInOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files of code, %v", len(files), err)
	}
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, text := range proseOfGo(t, name) {
			if seen++; !slices.Contains(ownWords, name) {
				t.Errorf("%s says %q: put it into words.go", name, text)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d texts were seen", seen)
	}
}

// proseOfGo are the literals of a file that read like prose.
func proseOfGo(t *testing.T, name string) (found []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	silent := map[ast.Node]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			silent[n.Tag] = true
		case *ast.CallExpr:
			if slices.Contains(unread, called(n)) {
				for _, arg := range n.Args {
					silent[arg] = true
				}
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if err == nil && n.Kind == token.STRING && !silent[n] && reads(text) {
				found = append(found, text)
			}
		}
		return true
	})
	return found
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

func reads(text string) bool {
	return prose.MatchString(text) && !slices.Contains(notProse, text) && !strings.ContainsAny(text, "%")
}

var (
	jsComment = regexp.MustCompile(`(?m)(^|\s)//.*$`)
	jsText    = regexp.MustCompile("\"(?:[^\"\\\\\n]|\\\\.)*\"|`(?:[^`\\\\]|\\\\.)*`")
	jsCode    = regexp.MustCompile(`\$\{[^}]*\}`)
)

func TestScriptsHoldNoWordsOfTheirOwn(t *testing.T) {
	files, err := filepath.Glob("../static/*.js")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d modules, %v", len(files), err)
	}
	for _, name := range files {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range proseOfJS(string(code)) {
			t.Errorf("%s says %q: give the page a data-say-… of it", filepath.Base(name), text)
		}
	}
	for _, text := range []string{`say("Copied.")`, "x = `${n} ticked: ${m} too many`", `a ? "Hide" : "Show"`} {
		if len(proseOfJS(text)) == 0 {
			t.Errorf("%s would not be seen", text)
		}
	}
}

// proseOfJS are the texts of a module that read like prose; what holds
// brackets, dots or other signs of a selector is one.
func proseOfJS(code string) (found []string) {
	for _, literal := range jsText.FindAllString(jsComment.ReplaceAllString(code, ""), -1) {
		text := strings.TrimSpace(jsCode.ReplaceAllString(strings.Trim(literal, "\"`"), ""))
		if reads(text) && !strings.HasPrefix(text, ".") && !strings.ContainsAny(text, "[]#=<>") {
			found = append(found, text)
		}
	}
	return found
}

// TestEveryWordOfAScriptIsOnItsPage holds both sides of data-say together.
func TestEveryWordOfAScriptIsOnItsPage(t *testing.T) {
	asked := regexp.MustCompile(`\bsay[A-Z][A-Za-z]*\b`)
	given := regexp.MustCompile(`data-say-[a-z-]+`)
	for script, pages := range map[string][]string{"portal.js": {"portal.html"}, "role.js": {"role.html"}, "several.js": {"several.html"}, "rolelogin.js": {"rolelogin.html"},
		"problem.js": {"problem.html", "why.html", "carry.html"}, "page.js": {"parts.html"}} {
		code, err := os.ReadFile("../static/" + script)
		if err != nil {
			t.Fatal(err)
		}
		var wants []string
		for _, name := range asked.FindAllString(string(code), -1) {
			wants = append(wants, "data-say-"+strings.Trim(strings.ToLower(regexp.MustCompile(`[A-Z]`).ReplaceAllString(name[3:], "-$0")), "-"))
		}
		for _, page := range pages {
			text, err := os.ReadFile("../templates/" + page)
			if err != nil {
				t.Fatal(err)
			}
			has := given.FindAllString(string(text), -1)
			for _, want := range wants {
				if !slices.Contains(has, want) {
					t.Errorf("%s asks for %s, which %s lacks", script, want, page)
				}
			}
			for _, one := range has {
				if !slices.Contains(wants, one) {
					t.Errorf("%s has %s, which %s does not ask for", page, one, script)
				}
			}
		}
	}
}
