package gatehouse_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Libraries, as the table below calls them. What begins with one of these
// paths is that library; of the standard library only what has an owner is here.
var libraries = map[string][]string{
	"asn1-ber": {"github.com/go-asn1-ber/asn1-ber"},
	"aws-sdk":  {"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"},
	"chromedp": {"github.com/chromedp/chromedp", "github.com/chromedp/cdproto"},
	"cobra":    {"github.com/spf13/cobra"},
	"crewjam":  {"github.com/crewjam/saml"},
	"etree":    {"github.com/beevik/etree"},
	"go-ldap":  {"github.com/go-ldap/ldap"},
	"gokrb5":   {"github.com/jcmturner/gokrb5"},
	"prom":     {"github.com/prometheus/client_golang"},
	"sessions": {"github.com/gorilla/sessions"},
	"sql":      {"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"},
	"testing":  {"testing"},
	"xmldsig":  {"github.com/russellhaering/goxmldsig"},
	"yaml":     {"github.com/goccy/go-yaml"},
}

// Only tests import these.
var testLibraries = []string{
	"github.com/aws/aws-sdk-go-v2/config", "github.com/aws/aws-sdk-go-v2/credentials",
	"github.com/aws/aws-sdk-go-v2/service/sso", "github.com/aws/aws-sdk-go-v2/service/ssooidc", "github.com/google/go-cmp", "github.com/rogpeppe/go-internal",
}

// room says what the code of a package, its tests aside, may import: packages
// of ours, and libraries. docs/architecture.md has the reasons.
type room struct{ ours, libraries string }

// everyRoom is the import table. A package that is not in it fails the test.
var everyRoom = map[string]room{
	".":                       {},
	"cmd/gatehouse":           {". internal/access internal/audit internal/aws internal/client internal/config internal/delegate internal/demo internal/export internal/kerberos internal/store ldap saml web web/idp web/signinapi web/ssoapi", "cobra prom"},
	"internal/access":         {". internal/audit saml", ""},
	"internal/audit":          {".", ""},
	"internal/aws":            {".", "aws-sdk"},
	"internal/client":         {". internal/export", ""},
	"internal/config":         {". internal/access internal/audit internal/aws internal/kerberos internal/store ldap saml web", "yaml"},
	"internal/delegate":       {". internal/access", ""},
	"internal/demo":           {"internal/config internal/demo/cloud internal/demo/directory", ""},
	"internal/demo/cloud":     {"", "etree xmldsig"},
	"internal/demo/directory": {"", "asn1-ber"},
	"internal/export":         {".", ""},
	"internal/kerberos":       {".", "gokrb5"},
	"internal/outside":        {"", "chromedp sql testing"},
	"internal/outside/faults": {},
	"internal/outside/tally":  {},
	"internal/store":          {".", "sql"},
	"ldap":                    {".", "asn1-ber go-ldap"},
	"saml":                    {".", "crewjam etree xmldsig"},
	"static":                  {},
	"templates":               {},
	"web":                     {". internal/access internal/delegate internal/export static templates web/inbound", "sessions"},
	"web/idp":                 {". internal/access saml web/inbound", ""},
	"web/inbound":             {},
	"web/signinapi":           {". internal/access internal/delegate web/inbound", ""},
	"web/ssoapi":              {". internal/access internal/delegate web/inbound", ""},
}

func TestEveryPackageImportsOnlyWhatItsRowAllows(t *testing.T) {
	packages := imports(t)
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		row, listed := everyRoom[name]
		if !listed {
			t.Errorf("package %s is not in the import table: add a row here and in docs/architecture.md", name)
		}
		for _, imported := range packages[name] {
			if listed && !row.allows(imported) {
				t.Errorf("package %s imports %s, which its row does not allow", name, imported)
			}
		}
	}
	for name := range everyRoom {
		if packages[name] == nil {
			t.Errorf("the import table has a row for %s, which has no code: remove it", name)
		}
	}
}

func (r room) allows(imported string) bool {
	if imported == "gatehouse" || strings.HasPrefix(imported, "gatehouse/") {
		return slices.Contains(strings.Fields(r.ours), path.Clean("."+strings.TrimPrefix(imported, "gatehouse")))
	}
	library, known := libraryOf(imported)
	if !known {
		return !strings.Contains(strings.Split(imported, "/")[0], ".") // the standard library
	}
	return slices.Contains(strings.Fields(r.libraries), library)
}

func libraryOf(imported string) (name string, known bool) {
	for name, paths := range libraries {
		for _, p := range paths {
			if within(imported, p) {
				return name, true
			}
		}
	}
	return "", false
}

func within(imported, prefix string) bool {
	return imported == prefix || strings.HasPrefix(imported, prefix+"/")
}

// imports reads what each package's code imports, its tests aside and
// whatever the build tags.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	packages := map[string][]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || file == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(filepath.Dir(file))
		if packages[name] == nil {
			packages[name] = []string{} // it has code, even if that imports nothing
		}
		for _, spec := range source.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			packages[name] = append(packages[name], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func TestTheNounsNeedOnlyTheStandardLibrary(t *testing.T) {
	if row := everyRoom["."]; row != (room{}) {
		t.Errorf("the row of the root package allows %+v, want nothing: every other package imports it", row)
	}
}

func TestTheEmulatedAWSSharesNothingWithWhatItJudges(t *testing.T) {
	if ours := everyRoom["internal/demo/cloud"].ours; ours != "" {
		t.Errorf("internal/demo/cloud may import %q: a fault of ours would be mirrored by the code that judges it", ours)
	}
}

func TestCodeThatIsShippedKnowsNothingOfTests(t *testing.T) {
	for name, row := range everyRoom {
		if strings.Contains(row.ours, "internal/outside") {
			t.Errorf("the row of %s allows internal/outside, which is for tests", name)
		}
		if name != "internal/outside" && strings.Contains(row.libraries, "testing") {
			t.Errorf("the row of %s allows testing", name)
		}
	}
}

func TestEveryRequiredModuleHasAnOwner(t *testing.T) {
	for _, module := range required(t) {
		_, owned := libraryOf(module)
		if !owned && !slices.ContainsFunc(testLibraries, func(l string) bool { return within(module, l) }) {
			t.Errorf("go.mod requires %s, which no package owns: name its owner here and in docs/dependencies.md", module)
		}
	}
}

// required lists the modules that go.mod asks for itself.
func required(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var modules []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if strings.HasPrefix(line, "\t") && len(fields) == 2 && strings.HasPrefix(fields[1], "v") {
			modules = append(modules, fields[0])
		}
	}
	if len(modules) == 0 {
		t.Fatal("go.mod requires nothing that this test can read")
	}
	return modules
}

func TestTheTopLevelHoldsTheDocumentedFoldersOnly(t *testing.T) {
	documented := strings.Fields("cmd saml web ldap templates static deploy docs internal")
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// bin is what make build leaves behind.
		if e.IsDir() && e.Name() != "bin" && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(documented, e.Name()) {
			t.Errorf("folder %s is not in docs/architecture.md's tree; want only %q", e.Name(), documented)
		}
	}
	for _, name := range documented {
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			t.Errorf("folder %s is documented and missing: %v", name, err)
		}
	}
}
