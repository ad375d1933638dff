package aws

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

func writeFile(t *testing.T, name, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// valid is a configuration without a fault.
func valid() Config {
	c := Config{Region: "eu-west-1", Accounts: map[string]AccountConfig{"111122223333": {Name: "Payments", Environment: "prod"}}}
	c.SetDefaults()
	return c
}

func TestDefaults(t *testing.T) {
	var c Config
	c.SetDefaults()
	if c.Provider != "Gatehouse" || c.Timeout != 4*time.Second {
		t.Errorf("defaults = %+v, want Gatehouse and 4s", c)
	}
	if faults := valid().Validate(); len(faults) > 0 {
		t.Errorf("Validate = %v, want no fault", faults)
	}
}

func TestFaultsOfTheConfiguration(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		key    string
		what   string
	}{
		{"plain http to STS", func(c *Config) { c.STSEndpoint = "http://sts.corp.example.com" }, "sts_endpoint", "use https"},
		{"plain http to the sign-in", func(c *Config) { c.SigninEndpoint = "http://10.0.0.1" }, "signin_endpoint", "use https"},
		{"a name that looks like loopback", func(c *Config) { c.STSEndpoint = "http://127.0.0.1.evil.example" }, "sts_endpoint", "use https"},
		{"an endpoint with a path", func(c *Config) { c.STSEndpoint = "https://a.example/b" }, "sts_endpoint", "has a path"},
		{"an endpoint with a password", func(c *Config) { c.STSEndpoint = "https://a:b@c.example" }, "sts_endpoint", "want https://host"},
		{"an endpoint with a query", func(c *Config) { c.SigninEndpoint = "https://c.example?x=y" }, "signin_endpoint", "want https://host"},
		{"no endpoint at all", func(c *Config) { c.STSEndpoint = "sts.corp.example.com" }, "sts_endpoint", "want https://host"},
		{"another scheme", func(c *Config) { c.STSEndpoint = "ftp://a.example" }, "sts_endpoint", "want https://host"},
		{"a region that is none", func(c *Config) { c.Region = "Ireland" }, "region", "example: eu-west-1"},
		{"a provider's name", func(c *Config) { c.Provider = "Gate house" }, "provider", "letters"},
		{"a timeout of nothing", func(c *Config) { c.Timeout = time.Millisecond }, "timeout", "500ms"},
		{"a timeout without end", func(c *Config) { c.Timeout = time.Hour }, "timeout", "1m"},
		{"no such CA file", func(c *Config) { c.CAFile = "/nonexistent.pem" }, "ca_file", "no such file"},
		{"no such accounts file", func(c *Config) { c.AccountsFile = "/nonexistent.csv" }, "accounts_file", "no such file"},
		{"eleven digits", func(c *Config) { c.Accounts["11112222333"] = AccountConfig{} }, "accounts.11112222333", "try 011112222333"},
		{"an account's region", func(c *Config) { c.Accounts["444455556666"] = AccountConfig{Region: "eu"} }, "accounts.444455556666.region", "no region"},
		{"an isolated region", func(c *Config) { c.Accounts["444455556666"] = AccountConfig{Region: "us-iso-east-1"} }, "accounts.444455556666.region", "no region"},
		{"no region anywhere", func(c *Config) { c.Region = "" }, "accounts.111122223333.region", "is missing"},
		{"a region of another partition", func(c *Config) { c.Accounts["444455556666"] = AccountConfig{Partition: "aws-cn"} }, "accounts.444455556666.partition", "has no region eu-west-1"},
		{"an account's provider", func(c *Config) { c.Accounts["444455556666"] = AccountConfig{Provider: "a/b"} }, "accounts.444455556666.provider", "letters"},
		{"a name with a line end", func(c *Config) { c.Accounts["444455556666"] = AccountConfig{Name: "a\nb"} }, "accounts.444455556666.name", "visible"},
		{"an endless owner", func(c *Config) { c.Accounts["444455556666"] = AccountConfig{Owner: strings.Repeat("x", 129)} }, "accounts.444455556666.owner", "128"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			got := c.Validate()
			if len(got) != 1 || got[0].Key != tt.key || !strings.Contains(got[0].What, tt.what) {
				t.Errorf("Validate = %v, want one fault at %s that says %q", got, tt.key, tt.what)
			}
		})
	}
}

func TestEndpointsThatWillDo(t *testing.T) {
	for _, e := range []string{"", "https://sts.corp.example.com", "https://sts.corp.example.com:8443/", "http://localhost:8081", "http://127.0.0.1:8081", "http://[::1]:8081", "http://127.9.9.9"} {
		if err := checkEndpoint(e); err != nil {
			t.Errorf("checkEndpoint(%q) = %v, want nil", e, err)
		}
	}
}

func TestNewRefusesWhatWouldLeak(t *testing.T) {
	for _, c := range []Config{{STSEndpoint: "http://sts.corp.example.com"}, {SigninEndpoint: "http://signin.corp.example.com"},
		{CAFile: "/nonexistent.pem"}, {CAFile: writeFile(t, "ca.pem", "not PEM")}} {
		if _, err := New(c, nil, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("New(%+v) = nil, want an error", c)
		}
	}
}

func TestAccountsComeFromBothPlacesSortedByName(t *testing.T) {
	c := valid()
	c.Accounts["444455556666"] = AccountConfig{Name: "beijing", Region: "cn-north-1", Provider: "Cn"}
	c.AccountsFile = writeFile(t, "accounts.csv", "\ufeffID, Name ,owner,environment\r\n777788889999,Älpha,\"o, p\",dev\r\n000000000001,,,\r\n,,,\r\n")
	got, err := c.AccountList()
	if err != nil {
		t.Fatal(err)
	}
	want := []gatehouse.Account{
		{ID: "000000000001", Name: "000000000001", Provider: "Gatehouse", Region: "eu-west-1", Partition: "aws"},
		{ID: "444455556666", Name: "beijing", Provider: "Cn", Region: "cn-north-1", Partition: "aws-cn"},
		{ID: "111122223333", Name: "Payments", Environment: "prod", Provider: "Gatehouse", Region: "eu-west-1", Partition: "aws"},
		{ID: "777788889999", Name: "Älpha", Environment: "dev", Owner: "o, p", Provider: "Gatehouse", Region: "eu-west-1", Partition: "aws"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
}

func TestSpreadsheetsWithSemicolons(t *testing.T) {
	c := Config{Region: "eu-west-1", AccountsFile: writeFile(t, "a.csv", "id;name;owner\n111122223333;Payments;a,b\n")}
	got, err := c.AccountList()
	if err != nil || len(got) != 1 || got[0].Owner != "a,b" {
		t.Errorf("AccountList = %v, %v", got, err)
	}
}

func TestFaultsOfTheAccountsFile(t *testing.T) {
	tests := []struct {
		name, body string
		want       []string // each is part of one fault, in order
	}{
		{"all faults at once, each with its line", "id,name,region\n11112222333,A,eu-west-1\n444455556666,B,Ireland\n\"555566667777\",\"C\nD\",\n1.11E+11,E,\n",
			[]string{"line 2: \"11112222333\"", "line 3: region \"Ireland\"", "line 4: name \"C\\nD\"", "line 6: \"1.11E+11\" is no account: want twelve digits; a spreadsheet"}},
		{"twice in the file", "id\n444455556666\n444455556666\n", []string{"line 3: account 444455556666 is listed twice"}},
		{"twice, here and inline", "id\n111122223333\n", []string{"line 2: account 111122223333 is listed twice"}},
		{"grouped digits", "id\n4444-5555-6666\n", []string{"line 2: \"4444-5555-6666\""}},
		{"no header", "444455556666,A\n", []string{"unknown column \"444455556666\"", "unknown column \"A\"", "no column id"}},
		{"an empty file", "", []string{"line 1: no header"}},
		{"an unknown column", "id,flavour\n", []string{"unknown column \"flavour\""}},
		{"a column twice", "id,id\n", []string{"column \"id\" comes twice"}},
		{"too many fields", "id\n444455556666,x\n", []string{"line 2: 2 fields under 1 columns"}},
		{"a quote gone astray, after other faults", "id,name\n1,A\n444455556666,\"B\n", []string{"line 3: ", "line 2: \"1\""}},
		{"UTF-16", "\xff\xfei\x00d\x00", []string{"not UTF-8"}},
		{"too large", "id\n" + strings.Repeat("\n", maxAccountsFile), []string{"8 MiB"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			c.AccountsFile = writeFile(t, "accounts.csv", tt.body)
			faults := c.Validate()
			for i, f := range faults {
				if f.Key != "accounts_file" || !strings.HasPrefix(f.What, "accounts.csv line ") {
					t.Errorf("fault %d = %v, want it under accounts_file with its line", i, f)
				}
				if i < len(tt.want) && !strings.Contains(f.What, tt.want[i]) {
					t.Errorf("fault %d = %q, want it to say %q", i, f.What, tt.want[i])
				}
			}
			if len(faults) != len(tt.want) {
				t.Errorf("%d faults %v, want %d", len(faults), faults, len(tt.want))
			}
			if list, err := c.AccountList(); err == nil || list != nil {
				t.Errorf("AccountList = %v, %v; want nothing but an error", list, err)
			}
		})
	}
}

// A file that is accepted gives accounts that AWS could have.
func FuzzReadAccounts(f *testing.F) {
	for _, s := range []string{"id,name,environment,owner,provider,region\n111122223333,Payments,prod,pay-oncall@corp.example.com,,eu-west-1\n",
		"\ufeffid;name\r\n111122223333;A\r\n", "id\n\"", "id\n\"a\"b\n", "id,id", "", "\xff\xfe", "id\n#\n"} {
		f.Add([]byte(s))
	}
	c := Config{Region: "eu-west-1"}
	c.SetDefaults()
	f.Fuzz(func(t *testing.T, body []byte) {
		all, faults := readAccounts("f.csv", body)
		for _, fault := range faults {
			if !strings.HasPrefix(fault.What, "f.csv line ") {
				t.Errorf("fault without its line: %v", fault)
			}
		}
		for _, l := range all {
			a, wrong := c.account(l)
			if len(wrong) > 0 {
				continue
			}
			if _, ok := partitionOf(a.Region); !ok || !gatehouse.AccountID.MatchString(a.ID) || strings.ContainsAny(a.Name+a.Owner+a.Environment+a.Provider, "\r\n\x00") {
				t.Errorf("%q gives %+v", body, a)
			}
		}
	})
}

// Whoever writes an accounts file reads one of these.
func TestTheColumnsOfTheAccountsFileAreToldEverywhere(t *testing.T) {
	shipped, err := os.ReadFile("../../deploy/gatehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	comment := regexp.MustCompile(`(?s)# A CSV file: (.*?)\. For hundreds`).FindStringSubmatch(string(shipped))
	if comment == nil {
		t.Fatal("deploy/gatehouse.yaml says nothing of the columns")
	}
	said := regexp.MustCompile(`[a-z]+`).FindAllString(columnNames, -1)
	if len(said) != len(columns) {
		t.Errorf("columns = %q, and there are %d", said, len(columns))
	}
	for name := range columns {
		if !slices.Contains(said, name) || !regexp.MustCompile(`\b`+name+`\b`).MatchString(comment[1]) {
			t.Errorf("column %s is not told of: %q, %q", name, said, comment[1])
		}
	}
}
