package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"time"

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
	env    func(string) (string, bool)
}

// decode fills into from data.
func (d *decoder) decode(data []byte, into any) {
	d.lines = map[string]int{}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		d.syntax(err)
		return
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		d.fault("", "must be one YAML document that is not empty")
		return
	}
	d.value(file.Docs[0].Body, "", reflect.ValueOf(into).Elem())
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

func (d *decoder) fault(key, format string, args ...any) {
	d.faults = append(d.faults, gatehouse.Fault{Key: key, What: fmt.Sprintf(format, args...)})
}

var durationType = reflect.TypeFor[time.Duration]()

// value fills v from n, which stands at path.
func (d *decoder) value(n ast.Node, path string, v reflect.Value) {
	n = unwrap(n)
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
}

// unwrap looks through anchors and tags. Aliases stay: nothing here needs them.
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
	for name := range fields {
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
	if v.Kind() == reflect.String {
		if text, ok := d.text(n, path); ok {
			v.SetString(text)
		}
		return
	}
	if err := yaml.NodeToValue(n, v.Addr().Interface()); err != nil {
		d.fault(path, "must be %s", map[reflect.Kind]string{reflect.Bool: "true or false", reflect.Int: "a whole number"}[v.Kind()])
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
	for {
		if line, ok := d.lines[key]; ok {
			return line
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return max(d.lines[""], 1)
		}
		key = key[:cut]
	}
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
		text, err := ReadSecret(source.String())
		if err != nil {
			d.fault(at, "%v", err)
			continue
		}
		field.SetString(strings.TrimRight(string(text), "\r\n"))
	}
}

// ReadSecret reads a file that must not be everybody's to read.
func ReadSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s is open to everybody on the machine: chmod 600 it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return text, nil
}
