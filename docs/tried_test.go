package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declared is what a package's tests declare at top level, by name: what it
// refers to, and the texts in it. Methods of one name are one.
type declared struct {
	refers map[string]bool // names, and package.Name
	texts  []string
}

// testsOf reads the tests of a package.
func testsOf(t *testing.T, folder string) map[string]*declared {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(top, folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", folder, err)
	}
	all := map[string]*declared{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				note(all, d.Name.Name, d.Body)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok {
						note(all, v.Names[0].Name, v)
					}
				}
			}
		}
	}
	return all
}

// note adds what n refers to, and its texts, to what name declares.
func note(all map[string]*declared, name string, n ast.Node) {
	d := all[name]
	if d == nil {
		d = &declared{refers: map[string]bool{}}
		all[name] = d
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if of, ok := n.X.(*ast.Ident); ok {
				d.refers[of.Name+"."+n.Sel.Name] = true
			}
			d.refers[n.Sel.Name] = true
		case *ast.Ident:
			d.refers[n.Name] = true
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				d.texts = append(d.texts, text)
			}
		}
		return true
	})
}

// reached is everything that a test comes to: what it refers to, what that
// refers to, and so on; and all the texts on the way.
func reached(all map[string]*declared, test string) declared {
	sum := declared{refers: map[string]bool{}}
	for next := []string{test}; len(next) > 0; {
		name := next[0]
		next = next[1:]
		d := all[name]
		if d == nil {
			continue
		}
		sum.texts = append(sum.texts, d.texts...)
		for r := range d.refers {
			if !sum.refers[r] {
				sum.refers[r] = true
				next = append(next, r)
			}
		}
	}
	return sum
}

// proof is what the tests of a row come to, together.
func proof(t *testing.T, packages []map[string]*declared, tests []string) declared {
	t.Helper()
	sum := declared{refers: map[string]bool{}}
	for _, test := range tests {
		found := false
		for _, all := range packages {
			if !strings.HasPrefix(test, "Test") || all[test] == nil {
				continue
			}
			found = true
			r := reached(all, test)
			maps.Copy(sum.refers, r.refers)
			sum.texts = append(sum.texts, r.texts...)
		}
		if !found {
			t.Errorf("%s is no test", test)
		}
	}
	return sum
}

// tried is a row of the table: a case, the servers it was tried on, what a
// person sees, and the tests that prove it.
type tried struct {
	what    string
	servers map[string]bool // by what starts them in a test
	sees    string
	tests   []string
}

func allTried(t *testing.T) []tried {
	t.Helper()
	_, section, _ := strings.Cut(read(t, "directories.md"), "## What was tried")
	section, _, _ = strings.Cut(section, "\n## ")
	var list []tried
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if len(cells) != 5 || !strings.Contains(cells[4], "`") {
			continue
		}
		list = append(list, tried{cells[0], map[string]bool{"outside.Samba": cells[1] == "✓", "outside.StartSlapd": cells[2] == "✓"}, cells[3], words(cells[4])})
	}
	if len(list) < 40 {
		t.Fatalf("found %d rows; is the pattern right?", len(list))
	}
	return list
}

// whatPagesSay is every text that people may read in this matter.
func whatPagesSay(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"web/problem.go", "web/words.go", "templates/*.html"} {
		files, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, f := range files {
			all.WriteString(read(t, f))
		}
	}
	return strings.ReplaceAll(all.String(), "Your password expires {{.}}", "Your password expires today")
}

// TestWhatWasTriedIsProved: each row of the table names tests that exist, that
// start the servers which the row says, and no others; what it says that a
// person sees is what the pages say, and what one of these tests looks for.
func TestWhatWasTriedIsProved(t *testing.T) {
	packages := []map[string]*declared{testsOf(t, "ldap"), testsOf(t, "cmd/gatehouse")}
	pages := whatPagesSay(t)
	for _, row := range allTried(t) {
		t.Run(row.what, func(t *testing.T) {
			p := proof(t, packages, row.tests)
			for server, said := range row.servers {
				if said != p.refers[server] {
					t.Errorf("the table says %v of %s, and for its tests that is %v", said, server, p.refers[server])
				}
			}
			if row.sees == "signed in" {
				return
			}
			if !strings.Contains(pages, row.sees) {
				t.Errorf("no page says %q", row.sees)
			}
			if !slices.ContainsFunc(p.texts, func(text string) bool { return strings.HasPrefix(text, row.sees) }) {
				t.Errorf("%q do not look for %q", row.tests, row.sees)
			}
		})
	}
}
