// Package docs_test holds the documentation to the code.
package docs_test

import (
	"database/sql"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/config"
	"gatehouse/internal/outside"
	"gatehouse/internal/store"
)

const top = ".."

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages are the documents, seen from here.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("*.md")
	if err != nil || len(list) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	return append(list, filepath.Join(top, "README.md"))
}

// rows are the cells of the tables of a page whose first cell is in backticks.
func rows(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.ReplaceAll(strings.TrimSpace(line), `\|`, "\x00"), "|")
		cells = cells[1 : len(cells)-1]
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "\x00", "|")
		}
		all = append(all, cells)
	}
	return all
}

var code = regexp.MustCompile("`([^`]*)`")

// words are the texts in backticks.
func words(cell string) []string {
	var list []string
	for _, m := range code.FindAllStringSubmatch(cell, -1) {
		list = append(list, m[1])
	}
	return list
}

// key is what the code says of a key.
type key struct{ kind, fallback string }

// keys walks the configuration's structs and a loaded example of it.
func keys(v reflect.Value, at string, into map[string]key) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			keys(v.Field(i), at, into)
		}
		if name == "" || name == "-" {
			continue
		}
		path := strings.TrimPrefix(at+"."+name, ".")
		value := v.Field(i)
		into[path] = key{kindOf(f.Type), fallbackOf(value)}
		switch {
		case value.Kind() == reflect.Struct:
			keys(value, path, into)
		case value.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			keys(value.Index(0), path+"[]", into)
		case value.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.Struct:
			one := reflect.Zero(f.Type.Elem())
			if value.Len() > 0 {
				one = value.MapIndex(value.MapKeys()[0])
			}
			keys(one, path+"{}", into)
		}
	}
}

func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[gatehouse.Secret]():
		return "secret"
	case t.Kind() == reflect.Pointer:
		return kindOf(t.Elem())
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.String:
		return "map"
	}
	return map[reflect.Kind]string{reflect.String: "text", reflect.Int: "number", reflect.Bool: "true or false",
		reflect.Slice: "list", reflect.Struct: "section", reflect.Map: "section"}[t.Kind()]
}

func fallbackOf(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer:
		return fmt.Sprint(v.Elem().Interface())
	case v.IsZero() || !slices.Contains([]reflect.Kind{reflect.String, reflect.Int, reflect.Int64}, v.Kind()):
		return ""
	}
	return fmt.Sprint(v.Interface())
}

// least is a configuration that gives one of each list and nothing more than
// that needs, so that what else is in it are defaults.
const least = `
public_url: https://aws.corp.example.com
store: sqlite:///nowhere/gatehouse.db
secret_files: [secret.key]
directories: [{name: corp, urls: [ldaps://dc1.corp.example.com], base_dn: "dc=corp"}]
saml: {service_providers: [{name: Wiki, metadata_file: wiki.xml}]}
aws: {region: eu-west-1, accounts: {"111122223333": {}}}
access: {rules: [{groups: ["cn=a,dc=corp"], roles: ["arn:aws:iam::111122223333:role/A"]}], scopes: [{name: a, policy: '{"Statement": {"Effect": "Deny"}}'}]}
`

func inCode(t *testing.T) map[string]key {
	t.Helper()
	all := map[string]key{}
	keys(reflect.ValueOf(*loaded(t, least)), "", all)
	return all
}

// loaded is a configuration, whose certificates and documents need not be there.
func loaded(t *testing.T, text string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"secret.key": strings.Repeat("s", 32), "gatehouse.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Read(filepath.Join(dir, "gatehouse.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestConfigurationListsEveryKeyAsItIs(t *testing.T) {
	have := inCode(t)
	seen := map[string]bool{}
	for _, row := range rows(read(t, "configuration.md")) {
		name := words(row[0])[0]
		k, ok := have[name]
		if !ok {
			t.Errorf("%s is documented and is no key", name)
			continue
		}
		if seen[name] = true; row[1] != k.kind {
			t.Errorf("%s is documented as %s, and is a %s", name, row[1], k.kind)
		}
		if said := row[2]; strings.HasPrefix(said, "`") {
			if !same(words(said)[0], k) {
				t.Errorf("the default of %s is documented as %s, and is %q", name, said, k.fallback)
			}
		} else if said == "–" && k.fallback != "" && !strings.Contains(least, last(name)+":") {
			t.Errorf("%s is documented to have no default, and has %q", name, k.fallback)
		}
	}
	for name := range have {
		if !seen[name] {
			t.Errorf("%s is a key that configuration.md does not list", name)
		}
	}
}

func last(name string) string { return name[strings.LastIndex(name, ".")+1:] }

// same compares durations as durations: 60s is 1m0s.
func same(said string, k key) bool {
	if k.kind == "duration" {
		a, errA := time.ParseDuration(said)
		b, errB := time.ParseDuration(k.fallback)
		return errA == nil && errB == nil && a == b
	}
	return said == k.fallback
}

func TestConfigurationSaysWhatWaitsForARestart(t *testing.T) {
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^\t\t"([a-z_.]+)":\s.*\bcfg\.`).FindAllStringSubmatch(read(t, top+"/cmd/gatehouse/house.go"), -1) {
		want = append(want, m[1])
	}
	for _, row := range rows(read(t, "configuration.md")) {
		if row[len(row)-1] == "restart" {
			got = append(got, words(row[0])[0])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys that wait for a restart (-cmd/gatehouse/house.go +configuration.md):\n%s", diff)
	}
}

func TestDirectoriesListsTheDefaultsByType(t *testing.T) {
	types := []string{"active_directory", "openldap", "custom"}
	for _, row := range rows(read(t, "directories.md")) {
		for i, kind := range types {
			text := strings.Replace(least, "name: corp,", "name: corp, bind_dn: cn=g, bind_password: p, type: "+kind+",", 1)
			all := map[string]key{}
			keys(reflect.ValueOf(loaded(t, text).Directories[0]), "", all)
			if name := words(row[0])[0]; words(row[i+1])[0] != all[name].fallback {
				t.Errorf("%s of %s is documented as %s, and is %q", name, kind, row[i+1], all[name].fallback)
			}
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading; it has %q", page, m[1], path, anchors(read(t, target)))
			}
		}
	}
}

// anchors are the names that headings get.
func anchors(text string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		list = append(list, strings.ReplaceAll(regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return list
}

// commandLine finds the command wherever it is written as code, up to what
// ends it for a shell.
var commandLine = regexp.MustCompile("(?:^|[\\s`(])(?:-u gatehouse )?(?:gatehouse|go run \\./cmd/gatehouse) ([a-z][^`#|;&<\\n]*)")

func TestCommandLinesAreOnesThatTheProgramTakes(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "gatehouse")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, top+"/cmd/gatehouse").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	found := map[string]string{}
	shipped, err := filepath.Glob(top + "/deploy/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(pages(t), shipped...) {
		if info, err := os.Stat(file); err != nil || info.IsDir() || strings.HasSuffix(file, ".go") {
			continue
		}
		for _, snippet := range snippets(read(t, file), file) {
			for _, m := range commandLine.FindAllStringSubmatch(snippet, -1) {
				found[strings.TrimSpace(m[1])] = file
			}
		}
	}
	if len(found) < 5 {
		t.Fatalf("found only %q; is the pattern right?", found)
	}
	for line, file := range found {
		args := strings.Fields(line)
		out, err := exec.CommandContext(t.Context(), binary, append(args, "--help")...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "gatehouse "+args[0]) {
			t.Errorf("%s has `gatehouse %s`, which the program does not take: %v\n%s", file, line, err, out)
		}
	}
}

// snippets are the parts of a file that are code: of a page the fenced blocks
// for shells and what is in backticks, of another file all of it.
func snippets(text, file string) []string {
	if !strings.HasSuffix(file, ".md") {
		return regexp.MustCompile("`[^`]*`|ExecStart=.*").FindAllString(strings.ReplaceAll(text, "/usr/local/bin/", " "), -1)
	}
	var list []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	text = regexp.MustCompile("(?s)```.*?```").ReplaceAllString(text, "")
	return append(list, words(text)...)
}

func TestThePolicyShownIsThePolicyShipped(t *testing.T) {
	block := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(read(t, "operations.md"))
	if block == nil {
		t.Fatal("operations.md shows no policy")
	}
	if diff := cmp.Diff(strings.Fields(read(t, top+"/deploy/aws/trust-policy.json")), strings.Fields(block[1])); diff != "" {
		t.Errorf("the policy (-deploy/aws/trust-policy.json +operations.md):\n%s", diff)
	}
}

func TestAChainIsVerifiedByHandAsDocumented(t *testing.T) {
	sh := outside.Program(t, "sh", "dash")
	outside.Program(t, "sha256sum", "coreutils")
	script := regexp.MustCompile("(?s)```sh\n(# verify:.*?)```").FindStringSubmatch(read(t, "operations.md"))
	if script == nil {
		t.Fatal("operations.md has no script that verifies a chain")
	}
	lines := chained("one", "two, with \\\",\\\"chain\\\":\\\" in it", "three")
	tests := []struct{ name, lines, want string }{
		{"a whole chain passes in silence", strings.Join(lines, ""), ""},
		{"a changed event is named", strings.Replace(strings.Join(lines, ""), "two", "six", 1), "was changed"},
		{"a missing event is named", lines[0] + lines[2], "does not follow"},
		{"another chain begins anew", strings.Join(lines, "") + strings.Join(chained("four"), ""), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), sh, "-c", script[1])
			cmd.Stdin = strings.NewReader(tt.lines)
			out, err := cmd.CombinedOutput()
			if err != nil || tt.want == "" && len(out) > 0 || !strings.Contains(string(out), tt.want) {
				t.Errorf("script: %v, %q, want %q", err, out, tt.want)
			}
		})
	}
}

// recorded is a SQLite store with one event in it, and its chain closed.
func recorded(t *testing.T, e gatehouse.Event) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "gatehouse.db")
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + path}, [][]byte{[]byte(strings.Repeat("s", 32))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(t.Context(), audit.Config{}, s, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.Record(t.Context(), e), log.Close(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheStoreAnswersTheQueriesShown(t *testing.T) {
	path := recorded(t, gatehouse.Event{Kind: gatehouse.EventGranted, AccessKeyID: "ASIA…"})
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	text := read(t, "operations.md")
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(queries) != 2 {
		t.Fatalf("operations.md shows %d queries, want 2", len(queries))
	}
	for _, q := range queries {
		rows, err := db.QueryContext(t.Context(), q[1])
		if err != nil {
			t.Errorf("%s: %v", q[1], err)
			continue
		}
		if !rows.Next() {
			t.Errorf("%s finds nothing: %v", q[1], rows.Err())
		}
		rows.Close()
	}
	backup := regexp.MustCompile(`sqlite3 \S+ "(vacuum into '[^']+')"`).FindStringSubmatch(text)
	if backup == nil {
		t.Fatal("operations.md shows no backup")
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if _, err := db.ExecContext(t.Context(), strings.Replace(backup[1], "/backup/gatehouse.db", copied, 1)); err != nil {
		t.Fatal(err)
	}
	restored, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + copied}, [][]byte{[]byte(strings.Repeat("s", 32))}, nil)
	if err != nil {
		t.Fatalf("the copy does not open: %v", err)
	}
	defer restored.Close()
	report, err := audit.Verify(t.Context(), restored)
	if err != nil || !report.OK() || report.Events != 2 {
		t.Errorf("the record in the copy: %+v, %v; want the start and one event", report, err)
	}
}

// chained makes lines of a chain as the audit file has them, one for each reason.
func chained(reasons ...string) []string {
	var lines []string
	prev := ""
	for i, reason := range reasons {
		body := `{"id":"` + strconv.Itoa(i) + `","reason":"` + reason + `"}`
		hash := audit.Hash(prev, []byte(body))
		lines = append(lines, fmt.Sprintf("%s,\"chain\":\"C\",\"seq\":%d,\"prev\":%q,\"hash\":%q}\n", body[:len(body)-1], i+1, prev, hash))
		prev = hash
	}
	return lines
}

// importTable reads arch_test.go: for each package, what it may import.
func importTable(t *testing.T) map[string][2]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), top+"/arch_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	table := map[string][2]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "everyRoom" {
			return true
		}
		for _, e := range spec.Values[0].(*ast.CompositeLit).Elts {
			row := e.(*ast.KeyValueExpr)
			var texts [2]string
			for i, v := range row.Value.(*ast.CompositeLit).Elts {
				texts[i] = unquote(t, v)
			}
			table[unquote(t, row.Key)] = texts
		}
		return false
	})
	return table
}

func unquote(t *testing.T, e ast.Expr) string {
	t.Helper()
	s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestArchitectureShowsTheImportTable(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "architecture.md"), "## Who may import whom")
	section, _, _ = strings.Cut(section, "\n## ")
	got := map[string][2]string{}
	for _, row := range rows(section) {
		got[words(row[0])[0]] = [2]string{strings.Join(words(row[1]), " "), row[2]}
	}
	if diff := cmp.Diff(importTable(t), got); diff != "" {
		t.Errorf("import table (-arch_test.go +architecture.md):\n%s", diff)
	}
}

// sources are the Go files of the project, by path.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") {
			all[path] = read(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatIsNamedExists(t *testing.T) {
	everything := strings.Join(slices.Collect(maps.Values(sources(t))), "\n")
	for _, page := range pages(t) {
		for _, word := range words(read(t, page)) {
			file := regexp.MustCompile(`^[\w./-]+\.(go|yaml|json)$`).MatchString(word) && strings.Contains(word, "/") && !strings.HasPrefix(word, "/")
			if _, err := os.Stat(filepath.Join(top, word)); file && err != nil {
				t.Errorf("%s names the file %s: %v", page, word, err)
			}
			if strings.HasPrefix(word, "Test") && !strings.Contains(everything, "func "+word+"(") {
				t.Errorf("%s names the test %s, which is nowhere", page, word)
			}
		}
	}
	life := regexp.MustCompile("(?s)## The life of.*?```\n(.*?)```").FindStringSubmatch(read(t, "architecture.md"))
	if life == nil {
		t.Fatal("architecture.md shows no life of a sign-in")
	}
	for _, m := range regexp.MustCompile(`\b(Server|Broker|Directory|Policy|IdP|Client|keeper|throttle)\.(\w+)`).FindAllStringSubmatch(life[1], -1) {
		if !regexp.MustCompile(`func \(\w+ \*` + m[1] + `\) ` + m[2] + `\(`).MatchString(everything) {
			t.Errorf("architecture.md has %s, which is no method", m[0])
		}
	}
}

func TestWhatPeopleSeeIsWhatThePagesSay(t *testing.T) {
	said := read(t, top+"/web/problem.go")
	var quoted []string
	_, states, _ := strings.Cut(read(t, "directories.md"), "## What a person sees")
	for _, m := range regexp.MustCompile(`(?m)[|*] ?([A-Z][^|*]*\.)`).FindAllStringSubmatch(states, -1) {
		quoted = append(quoted, m[1])
	}
	_, failures, _ := strings.Cut(read(t, "operations.md"), "| What people see |")
	failures, _, _ = strings.Cut(failures, "\n\n")
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Z][^|]*?\.)`).FindAllStringSubmatch(failures, -1) {
		quoted = append(quoted, m[1])
	}
	if len(quoted) < 20 {
		t.Fatalf("found only %q; are the patterns right?", quoted)
	}
	for _, sentence := range quoted {
		if !strings.Contains(said, strconv.Quote(sentence)) {
			t.Errorf("the documents quote %q, which web/problem.go does not say", sentence)
		}
	}
}

func TestReasonsOfTheRecordAreOnesThatAreGiven(t *testing.T) {
	given := read(t, top+"/internal/access/broker.go") + read(t, top+"/internal/access/again.go") + read(t, top+"/ldap/password.go") + read(t, top+"/ldap/search.go") + read(t, top+"/ldap/groups.go")
	for _, row := range rows(read(t, "operations.md")) {
		if words(row[0])[0] != "reason" {
			continue
		}
		for _, word := range words(row[1]) {
			if !strings.Contains(given, strconv.Quote(word)) {
				t.Errorf("operations.md has the reason %s, which nothing gives", word)
			}
		}
	}
}

func TestDependenciesListsWhatIsRequired(t *testing.T) {
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read(t, top+"/go.mod"), -1) {
		want = append(want, m[1])
	}
	for _, row := range rows(read(t, "dependencies.md")) {
		got = append(got, words(row[0])[0])
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("libraries (-go.mod +dependencies.md):\n%s", diff)
	}
}

// Each rule of the conformance table says where it stands, and has a test
// (TestWhatIsNamedExists looks for that).
func TestEveryRuleOfSAMLHasASectionAndATest(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "saml.md"), "## Rules, and the test of each")
	table, _, _ = strings.Cut(table, "\n## ")
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|*]+) \| ([^|]*) \| ([^|]*) \|$`).FindAllStringSubmatch(table, -1) {
		if m[1] == "Rule" || m[1] == "---" {
			continue
		}
		n++
		if strings.TrimSpace(m[2]) == "" || !strings.HasPrefix(m[3], "`Test") {
			t.Errorf("the rule %q has section %q and test %q", m[1], m[2], m[3])
		}
	}
	if n < 40 {
		t.Errorf("%d rules were read, want the whole table", n)
	}
}

// A promise about a fault is worth what proves it.
func TestEveryFaultInTheTableNamesTheTestThatProvesIt(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "operations.md"), "| Proved by |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	lines := strings.Split(table, "\n")[1:]
	if len(lines) < 20 {
		t.Fatalf("found %d rows; is the table where it was?", len(lines))
	}
	for _, line := range lines {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 3 || !slices.ContainsFunc(words(cells[2]), func(w string) bool { return strings.HasPrefix(w, "Test") }) {
			t.Errorf("this row names no test: %s", line)
		}
	}
}

// Whoever follows the README to its end asks for the metadata at public_url.
// Where that means another port than the one that is listened on, it has to be
// said before they find out.
func TestTheReadMeSaysThatThePortsDiffer(t *testing.T) {
	shipped := read(t, top+"/deploy/gatehouse.yaml")
	if !strings.Contains(shipped, "\npublic_url: https://aws.corp.example.com\n") || !strings.Contains(shipped, "\n#listen: \":8443\"\n") {
		t.Fatal("deploy/gatehouse.yaml has other ports now: write this test anew")
	}
	for _, page := range []string{top + "/README.md", "operations.md"} {
		if text := read(t, page); !strings.Contains(text, "8443") || !strings.Contains(text, "means 443") {
			t.Errorf("%s does not say that public_url means port 443, and that Gatehouse listens on 8443", page)
		}
	}
	unit := read(t, top+"/deploy/gatehouse.service")
	if strings.Contains(unit, "\nPrivateUsers=yes\n") && !strings.Contains(unit, "no\n# PrivateUsers") {
		t.Error("gatehouse.service does not say that CAP_NET_BIND_SERVICE is nothing with PrivateUsers")
	}
}
