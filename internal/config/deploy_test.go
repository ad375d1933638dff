package config_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"gatehouse"
	"gatehouse/internal/config"
)

// deployed is the configuration file that the project ships, which promises to
// show every key, and to show defaults that are the defaults.
const deployed = "../../deploy/gatehouse.yaml"

// remark is a line that is commented out but is no prose: a key, the start of
// a list's item, or with two blanks more of what stands above it.
var remark = regexp.MustCompile(`^( *)#([a-z_]+:.*|- .*|  .*)$`)

// isExample is true of what is commented out and is no default.
func isExample(line string) bool {
	return remark.MatchString(line) && strings.Contains(line, "# example")
}

// block is what is commented out together: a key and all below it, or examples
// that stand without a word between them.
type block struct{ first, last int } // lines

func deployedLines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(deployed)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

func blocks(lines []string) []block {
	var all []block
	for i, line := range lines {
		m := remark.FindStringSubmatch(line)
		switch {
		case m == nil:
		case strings.HasPrefix(m[2], "  "), isExample(line) && isExample(lines[i-1]):
			all[len(all)-1].last = i
		default:
			all = append(all, block{i, i})
		}
	}
	return all
}

// uncomment puts blocks to work.
func uncomment(lines []string, blocks ...block) string {
	lines = slices.Clone(lines)
	for _, b := range blocks {
		for i := b.first; i <= b.last; i++ {
			lines[i] = remark.ReplaceAllString(lines[i], "$1$2")
		}
	}
	return strings.Join(lines, "\n")
}

// load loads text from a folder in which every file that it names exists.
func load(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PARTNERS_BIND_PASSWORD", "a password for the test")
	for name, content := range map[string]string{
		"secret.key": strings.Repeat("0123456789abcdef", 2), "bind.pw": "a password\n",
		"accounts.csv": "id,name\n777788889999,Logs\n", "proxy-ca.pem": certificate(t), "logo.svg": "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "gatehouse.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Read(file)
}

// certificate is some certificate, PEM.
func certificate(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

func TestTheDeployedFileLoads(t *testing.T) {
	cfg, err := load(t, uncomment(deployedLines(t)))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Directories) != 1 || len(cfg.Accounts) != 2 || len(cfg.Access.Access.Rules) != 2 {
		t.Errorf("%d directories, %d accounts, %d rules; want 1, 2, 2", len(cfg.Directories), len(cfg.Accounts), len(cfg.Access.Access.Rules))
	}
	if got := cfg.Store.URL; got != "sqlite:///var/lib/gatehouse/gatehouse.db" {
		t.Errorf("store = %q", got)
	}
}

func TestWhatIsCommentedOutInTheDeployedFileLoadsToo(t *testing.T) {
	lines := deployedLines(t)
	all := blocks(lines)
	if len(all) < 40 {
		t.Fatalf("only %d keys are commented out; is the pattern right?", len(all))
	}
	// One after the other from the top: what a rule gives is listed above it.
	for i := range all {
		if _, err := load(t, uncomment(lines, all[:i+1]...)); err != nil {
			t.Fatalf("with line %d uncommented as well: %v", all[i].first+1, err)
		}
	}
}

func TestDefaultsShownInTheDeployedFileAreTheDefaults(t *testing.T) {
	lines := deployedLines(t)
	want := facts(t, uncomment(lines))
	for _, b := range blocks(lines) {
		if isExample(lines[b.first]) {
			continue
		}
		got := facts(t, uncomment(lines, b))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("line %d, %q, is not the default (-without +with):\n%s", b.first+1, strings.TrimSpace(lines[b.first]), diff)
		}
	}
}

// facts is a loaded configuration as a list of key and value, without what
// depends on the folder. Accounts are compared as they are used: an account
// that repeats its default is the same account.
func facts(t *testing.T, text string) []string {
	t.Helper()
	cfg, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	accounts := cfg.Accounts
	cfg.AWS.Accounts = nil
	flatten(reflect.ValueOf(*cfg), "", &list)
	list = append(list, fmt.Sprintf("accounts = %v", accounts))
	slices.Sort(list)
	return list
}

func flatten(v reflect.Value, at string, into *[]string) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		flatten(v.Elem(), at, into)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			flatten(v.Index(i), fmt.Sprintf("%s[%d]", at, i), into)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if key, inline, ok := keyOf(v.Type().Field(i)); ok {
				flatten(v.Field(i), join(at, key, inline), into)
			}
		}
	default:
		if value := fmt.Sprint(v.Interface()); !strings.Contains(value, os.TempDir()) {
			*into = append(*into, at+" = "+value)
		}
	}
}

// keyOf is a field's key in the file; ok is false where it has none.
func keyOf(f reflect.StructField) (key string, inline, ok bool) {
	key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	inline = options == "inline"
	return key, inline, inline || key != "" && key != "-"
}

func join(at, key string, inline bool) string {
	if inline || at == "" {
		return at + key
	}
	return at + "." + key
}

func TestTheDeployedFileShowsEveryKey(t *testing.T) {
	lines := deployedLines(t)
	var document map[string]any
	if err := yaml.Unmarshal([]byte(uncomment(lines, blocks(lines)...)), &document); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	paths(document, "", shown)
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		if !shown[key] {
			t.Errorf("%s is a key of the configuration, but deploy/gatehouse.yaml does not show it", key)
		}
	}
}

// paths notes every key of a document; list items and entries of a mapping
// with names of the operator's own are not told apart: [] and {}.
func paths(v any, at string, into map[string]bool) {
	switch node := v.(type) {
	case map[string]any:
		for key, value := range node {
			for _, below := range []string{join(at, key, false), at + "{}"} {
				into[below] = true
				paths(value, below, into)
			}
		}
	case []any:
		for _, item := range node {
			paths(item, at+"[]", into)
		}
	}
}

// keys lists every key below a type, written as paths writes them.
func keys(t reflect.Type, at string) []string {
	switch t.Kind() {
	case reflect.Slice:
		return keys(t.Elem(), at+"[]")
	case reflect.Map:
		return keys(t.Elem(), at+"{}")
	case reflect.Pointer:
		return keys(t.Elem(), at)
	case reflect.Struct:
		var all []string
		for i := range t.NumField() {
			f := t.Field(i)
			if key, inline, ok := keyOf(f); ok {
				below := join(at, key, inline)
				if !inline {
					all = append(all, below)
				}
				all = append(all, keys(f.Type, below)...)
			}
		}
		return all
	}
	return nil
}

func TestKeysAreFoundByReflection(t *testing.T) {
	type inner struct {
		A string                   `yaml:"a"`
		B map[string]struct{}      `yaml:"-"`
		C []struct{ D time.Time }  `yaml:"c"`
		E gatehouse.Secret         `yaml:"e"`
		F map[string]gatehouse.Tag `yaml:"f"`
	}
	type outer struct {
		In  inner `yaml:",inline"`
		Sub inner `yaml:"sub"`
	}
	got := keys(reflect.TypeFor[outer](), "")
	want := []string{"a", "c", "e", "f", "sub", "sub.a", "sub.c", "sub.e", "sub.f"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// leaf is a text, a number or a duration of a configuration.
type leaf struct {
	key   string // as faults name it
	steps []any  // to it: keys and places in lists
	kind  reflect.Type
}

// leaves lists those of v that a file can give.
func leaves(v reflect.Value, key string, steps []any) (all []leaf) {
	below := func(v reflect.Value, key string, step any) {
		all = append(all, leaves(v, key, append(slices.Clone(steps), step))...)
	}
	switch kind := v.Kind(); {
	case kind == reflect.Pointer:
		return leaves(reflect.Zero(v.Type().Elem()), key, steps)
	case kind == reflect.String, v.CanInt():
		return []leaf{{key, steps, v.Type()}}
	case kind == reflect.Slice:
		for i := range v.Len() {
			below(v.Index(i), fmt.Sprintf("%s[%d]", key, i), i)
		}
	case kind == reflect.Map:
		for _, k := range v.MapKeys() {
			below(v.MapIndex(k), key+"."+k.String(), k.String())
		}
	case kind == reflect.Struct:
		for i := range v.NumField() {
			name, inline, ok := keyOf(v.Type().Field(i))
			switch {
			case inline:
				all = append(all, leaves(v.Field(i), key, steps)...)
			case ok:
				below(v.Field(i), join(key, name, false), name)
			}
		}
	}
	return all
}

// at follows steps to a value of the document or of the configuration.
func at(v reflect.Value, steps []any) reflect.Value {
	for _, step := range steps {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		name, _ := step.(string)
		switch v.Kind() {
		case reflect.Slice:
			v = v.Index(step.(int))
		case reflect.Map:
			v = v.MapIndex(reflect.ValueOf(name))
		case reflect.Struct:
			v = field(v, name)
		}
		if !v.IsValid() {
			return v
		}
	}
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

// field is v's field of that key, also in structs that are inlined.
func field(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		key, inline, ok := keyOf(v.Type().Field(i))
		if inline {
			if found := field(v.Field(i), name); found.IsValid() {
				return found
			}
		} else if ok && key == name {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// emptied is the document with the zero of its kind at a leaf that it has, and
// whether it has it.
func emptied(t *testing.T, text string, l leaf) (string, bool) {
	t.Helper()
	var document map[string]any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	if !at(reflect.ValueOf(document), l.steps).IsValid() {
		return "", false
	}
	zero := reflect.ValueOf("")
	switch {
	case l.kind == reflect.TypeFor[time.Duration]():
		zero = reflect.ValueOf("0s")
	case l.kind.Kind() == reflect.Int:
		zero = reflect.ValueOf(0)
	}
	around := at(reflect.ValueOf(document), l.steps[:len(l.steps)-1])
	switch last := l.steps[len(l.steps)-1].(type) {
	case int:
		around.Index(last).Set(zero)
	case string:
		around.SetMapIndex(reflect.ValueOf(last), zero)
	}
	changed, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(changed), true
}

// A zero that the file gives is taken, or refused with its key: it never turns
// into the default in silence. So it is for every key that there is.
func TestAZeroInTheFileNeverBecomesTheDefaultInSilence(t *testing.T) {
	lines := deployedLines(t)
	text := uncomment(lines, blocks(lines)...)
	whole, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	taken, refused := map[string]bool{}, map[string]bool{}
	for _, l := range leaves(reflect.ValueOf(*whole), "", nil) {
		changed, given := emptied(t, text, l)
		if !given {
			continue
		}
		cfg, err := load(t, changed)
		if err == nil {
			taken[l.key] = true
			if value := at(reflect.ValueOf(*cfg), l.steps); !value.IsZero() {
				t.Errorf("%s: zero was given, and it is %v", l.key, value)
			}
			continue
		}
		var faults *config.Faults
		section := l.key[:max(0, strings.LastIndexAny(l.key, ".["))] // what one key lacks may be said of another: urls, domain and forest
		if !errors.As(err, &faults) || !slices.ContainsFunc(faults.Faults, func(f config.Fault) bool { return f.Line > 0 && strings.HasPrefix(f.Key, section) }) {
			t.Errorf("%s: zero was given, and the faults do not name it: %v", l.key, err)
			continue
		}
		refused[l.key] = slices.ContainsFunc(faults.Faults, func(f config.Fault) bool { return f.Key == l.key })
	}
	if len(taken)+len(refused) < 120 {
		t.Errorf("only %d keys were tried", len(taken)+len(refused))
	}
	for _, key := range []string{"directories[0].max_age", "portal.password_notice", "drain_delay"} {
		if !taken[key] {
			t.Errorf("%s: 0s has a meaning, and is refused", key)
		}
	}
	for _, key := range []string{"directories[0].timeout", "directories[0].connections", "throttle.failures", "throttle.window", "session.idle", "portal.name", "access.rules[0].max_session", "limits.sign_ins", "aws.timeout"} {
		if !refused[key] {
			t.Errorf("%s: zero is taken", key)
		}
	}
}
