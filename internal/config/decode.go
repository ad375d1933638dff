package config

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"gatehouse"
)

// decoder fills structs from a YAML document by their yaml tags. Unlike the
// library's own decoder it does not stop at the first fault, and it remembers
// on which line each key stands.
type decoder struct {
	lines  map[string]int // key path -> line
	faults []gatehouse.Fault
	lost   map[string]bool // key paths whose value could not be had
	env    func(string) (string, bool)

	zeros []zero
}

// zero is a key that the file gives as 0, as 0s or as an empty text.
type zero struct {
	path string
	v    reflect.Value // where it went
}

// decode fills into from data. Where it returns false the file as a whole is
// unreadable, and there is nothing to say about its keys.
func (d *decoder) decode(data []byte, into any) bool {
	d.lines, d.lost = map[string]int{}, map[string]bool{}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // Windows editors begin files with it
	if line, what := illegible(data); what != "" {
		d.lines[""] = line
		d.fault("", "%s", what)
		return false
	}
	// Keys that are given twice are reported by structure, with all the other faults.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return false
	}
	bodies := slices.DeleteFunc(file.Docs, func(doc *ast.DocumentNode) bool { return doc.Body == nil || doc.Body.Type() == ast.NullType })
	switch {
	case len(bodies) == 0:
		d.fault("", "is empty; deploy/gatehouse.yaml shows every key")
		return false
	case len(bodies) > 1:
		d.lines[""] = bodies[1].Body.GetToken().Position.Line
		d.fault("", "begins a second YAML document here; keep one")
		return false
	}
	d.value(bodies[0].Body, "", reflect.ValueOf(into).Elem())
	return !d.lost[""]
}

// What is larger than these is not a configuration. The YAML parser takes
// quadratic time on nesting, which needs long lines or many brackets.
const (
	longestFile = 256 << 10
	longestLine = 16 << 10
	deepest     = 100
)

// illegible says on which line the file is no text that the parser should see.
func illegible(data []byte) (line int, what string) {
	if len(data) > longestFile {
		return 1, fmt.Sprintf("is larger than %d bytes; hundreds of accounts belong into aws.accounts_file", longestFile)
	}
	depth := 0
	for text := range bytes.Lines(data) {
		line++
		switch {
		case len(text) > longestLine:
			return line, fmt.Sprintf("has a line of more than %d bytes", longestLine)
		case !utf8.Valid(text):
			return line, "is not UTF-8"
		case bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) }):
			return line, "holds a control character"
		}
		if dashes(text) > deepest {
			return line, fmt.Sprintf("begins with more than %d dashes", deepest)
		}
		depth += bytes.Count(text, []byte("[")) + bytes.Count(text, []byte("{")) - bytes.Count(text, []byte("]")) - bytes.Count(text, []byte("}"))
		if depth > deepest {
			return line, fmt.Sprintf("opens more than %d brackets that it does not close", deepest)
		}
	}
	return 0, ""
}

// dashes counts the lists that a line opens one in another.
func dashes(line []byte) (n int) {
	for rest, ok := line, true; ok; n++ {
		rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, " "), []byte("- "))
	}
	return n - 1
}

var position = regexp.MustCompile(`\[(\d+):\d+\]\s*`)

// syntax reports what the parser could not read, in one line.
func (d *decoder) syntax(err error) {
	text := yaml.FormatError(err, false, false)
	if m := position.FindStringSubmatch(text); m != nil {
		var line int
		_, _ = fmt.Sscan(m[1], &line)
		d.lines[""] = line
	}
	first, _, _ := strings.Cut(position.ReplaceAllString(text, ""), "\n")
	d.fault("", "is not YAML: %s", first)
}

// fault reports that the value at key cannot be had.
func (d *decoder) fault(key, format string, args ...any) {
	d.lose(gatehouse.Fault{Key: key, What: fmt.Sprintf(format, args...)})
}

func (d *decoder) lose(f gatehouse.Fault) {
	d.faults = append(d.faults, f)
	d.lost[f.Key] = true
}

// replaced reports the keys whose zero has become a default by now: what the
// file says is either done or refused. Where zero has a meaning the field is
// a pointer, which tells it from nothing.
func (d *decoder) replaced() {
	for _, z := range d.zeros {
		switch {
		case z.v.IsZero():
		case z.v.Kind() == reflect.String:
			d.fault(z.path, "must not be empty; leave it out for its default, %v", z.v)
		default:
			d.fault(z.path, "must not be %v; leave it out for its default, %v", reflect.Zero(z.v.Type()), z.v)
		}
	}
}

// judge adds what the rooms found, but for what only follows from a value
// that could not be had: "is missing", where the line has a mistake.
func (d *decoder) judge(found []gatehouse.Fault) {
	for _, f := range found {
		if !d.follows(f.Key) {
			d.faults = append(d.faults, f)
		}
	}
}

// follows reports whether key's value, or a part of it, was lost.
func (d *decoder) follows(key string) bool {
	for up := key; up != ""; up = parent(up) {
		if d.lost[up] {
			return true
		}
	}
	for lost := range d.lost {
		if key != "" && len(lost) > len(key) && strings.HasPrefix(lost, key) && strings.ContainsRune(".[", rune(lost[len(key)])) {
			return true
		}
	}
	return false
}

// parent is the key around key; empty for a top-level one.
func parent(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

var durationType = reflect.TypeFor[time.Duration]()

// value fills v from n, which stands at path.
func (d *decoder) value(n ast.Node, path string, v reflect.Value) {
	n = unwrap(n)
	if alias, ok := n.(*ast.AliasNode); ok {
		d.lines[path] = alias.GetToken().Position.Line
		d.fault(path, "is an alias (%s), which is not read here: write the value out", alias.String())
		return
	}
	if _, seen := d.lines[path]; !seen {
		d.lines[path] = n.GetToken().Position.Line
	}
	if n.Type() == ast.NullType {
		return // as if it were left out
	}
	switch {
	case v.Type() == durationType:
		d.duration(n, path, v)
	case v.Kind() == reflect.Struct:
		d.structure(n, path, v)
	case v.Kind() == reflect.Slice:
		d.sequence(n, path, v)
	case v.Kind() == reflect.Map:
		d.mapping(n, path, v)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, path, v.Elem())
	default:
		d.scalar(n, path, v)
	}
	if scalar := v.Kind() == reflect.String || v.CanInt(); scalar && v.IsZero() && v.Type() != secretType && !d.lost[path] {
		d.zeros = append(d.zeros, zero{path, v})
	}
}

// unwrap looks through anchors and tags.
func unwrap(n ast.Node) ast.Node {
	for {
		switch w := n.(type) {
		case *ast.AnchorNode:
			n = w.Value
		case *ast.TagNode:
			n = w.Value
		default:
			return n
		}
	}
}

// pairs lists the entries of a mapping.
func (d *decoder) pairs(n ast.Node, path string) []*ast.MappingValueNode {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}
	}
	d.fault(path, "must be a mapping of keys to values")
	return nil
}

func (d *decoder) structure(n ast.Node, path string, v reflect.Value) {
	fields := map[string]reflect.Value{}
	collect(v, fields)
	seen := map[string]bool{}
	for _, p := range d.pairs(n, path) {
		key := keyText(p.Key)
		at := join(path, key)
		d.lines[at] = p.Key.GetToken().Position.Line
		field, known := fields[key]
		switch {
		case seen[key]:
			d.fault(at, "is given twice")
		case p.Key.IsMergeKey():
			d.fault(at, "merges another mapping, which is not done here: write the keys out")
		case !known:
			d.fault(at, "is not a key of Gatehouse's%s", suggestion(key, fields))
		default:
			d.value(p.Value, at, field)
		}
		seen[key] = true
	}
}

func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	return k.GetToken().Value
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// collect gathers v's fields by their keys, those of inlined structs too.
func collect(v reflect.Value, into map[string]reflect.Value) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case options == "inline":
			collect(v.Field(i), into)
		case name != "" && name != "-":
			into[name] = v.Field(i)
		}
	}
}

// suggestion names a key that the mistaken one was probably meant to be.
func suggestion(key string, fields map[string]reflect.Value) string {
	flat := func(s string) string {
		return strings.TrimSuffix(strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)), "s")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if flat(name) == flat(key) {
			return fmt.Sprintf("; did you mean %s?", name)
		}
	}
	return ""
}

func (d *decoder) sequence(n ast.Node, path string, v reflect.Value) {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(path, "must be a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
	for i, item := range list.Values {
		d.value(item, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

func (d *decoder) mapping(n ast.Node, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range d.pairs(n, path) {
		key := reflect.ValueOf(keyText(p.Key)).Convert(v.Type().Key())
		at := join(path, key.String())
		d.lines[at] = p.Key.GetToken().Position.Line
		if v.MapIndex(key).IsValid() {
			d.fault(at, "is given twice")
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(p.Value, at, item)
		v.SetMapIndex(key, item)
	}
}

func (d *decoder) duration(n ast.Node, path string, v reflect.Value) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	span, err := time.ParseDuration(text)
	if err != nil || span < 0 {
		d.fault(path, "%q is not a duration such as 90s, 15m or 4h", text)
		return
	}
	v.SetInt(int64(span))
}

func (d *decoder) scalar(n ast.Node, path string, v reflect.Value) {
	text, ok := d.text(n, path)
	if !ok {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			d.fault(path, "must be true or false")
		}
		v.SetBool(text == "true")
	case reflect.Int:
		number, err := strconv.Atoi(text)
		if err != nil {
			d.fault(path, "must be a whole number")
		}
		v.SetInt(int64(number))
	default:
		panic("config: " + path + " is of a kind that no file can fill: " + v.Type().String())
	}
}

var environment = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// text reads a scalar as it was written, so that an account's number keeps
// its zeros, and puts the environment's values in the place of ${NAME}.
func (d *decoder) text(n ast.Node, path string) (string, bool) {
	var s string
	switch scalar := n.(type) {
	case *ast.StringNode:
		s = scalar.Value
	case *ast.LiteralNode:
		s = scalar.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		s = n.GetToken().Value
	default:
		d.fault(path, "must be a text")
		return "", false
	}
	return environment.ReplaceAllStringFunc(s, func(ref string) string {
		name := ref[2 : len(ref)-1]
		value, ok := d.env(name)
		if !ok {
			d.fault(path, "needs the environment variable %s, which is not set", name)
		}
		return value
	}), true
}

// line finds where a key stands; a key that was left out stands where the
// nearest one around it does.
func (d *decoder) line(key string) int {
	for ; key != ""; key = parent(key) {
		if line, ok := d.lines[key]; ok {
			return line
		}
	}
	return max(d.lines[""], 1)
}

// files makes the paths in v absolute, seen from dir, and reads secrets from
// the files that are named for them: x_file beside a Secret x.
func (d *decoder) files(v reflect.Value, path, dir string) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			d.files(v.Index(i), fmt.Sprintf("%s[%d]", path, i), dir)
		}
	case reflect.Struct:
		fields := map[string]reflect.Value{}
		collect(v, fields)
		for name, field := range fields {
			at := join(path, name)
			if isPath.MatchString(name) {
				absolute(field, dir)
			}
			if field.Kind() == reflect.Struct || field.Kind() == reflect.Slice {
				d.files(field, at, dir)
			}
		}
		d.secrets(fields, path)
	}
}

var (
	isPath     = regexp.MustCompile(`(^|_)(file|files|dir)$`)
	secretType = reflect.TypeFor[gatehouse.Secret]()
)

func absolute(v reflect.Value, dir string) {
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); s != "" {
			v.SetString(within(dir, s))
		}
	case reflect.Slice:
		for i := range v.Len() {
			absolute(v.Index(i), dir)
		}
	}
}

// longestSecret is larger than any password or sealing secret.
const longestSecret = 64 << 10

func (d *decoder) secrets(fields map[string]reflect.Value, path string) {
	for name, field := range fields {
		source, ok := fields[name+"_file"]
		if field.Type() != secretType || !ok || source.String() == "" {
			continue
		}
		at := join(path, name+"_file")
		if field.String() != "" {
			d.fault(at, "and %s are both given: keep one", name)
			continue
		}
		text, err := gatehouse.ReadSecret(source.String(), longestSecret)
		if err != nil {
			d.lose(gatehouse.FaultOf(at, err))
			d.lost[join(path, name)] = true
			continue
		}
		field.SetString(strings.TrimRight(string(text), "\r\n"))
	}
}
