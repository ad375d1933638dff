package web

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

func TestConfigFaults(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   []string // keys
	}{
		{"the defaults and a public URL are enough", func(*Config) {}, nil},
		{"http on localhost", func(c *Config) { c.PublicURL = "http://localhost:8080" }, nil},
		{"http on 127.0.0.1", func(c *Config) { c.PublicURL = "http://127.0.0.1:8080" }, nil},
		{"http on ::1", func(c *Config) { c.PublicURL = "http://[::1]:8080" }, nil},
		{"a slash at the end does no harm", func(c *Config) { c.PublicURL = "https://aws.corp.example.com/" }, nil},
		{"no public URL", func(c *Config) { c.PublicURL = "" }, []string{"public_url"}},
		{"a name without a scheme", func(c *Config) { c.PublicURL = "aws.corp.example.com" }, []string{"public_url"}},
		{"plain http elsewhere", func(c *Config) { c.PublicURL = "http://aws.corp.example.com" }, []string{"public_url"}},
		{"localhost as a prefix", func(c *Config) { c.PublicURL = "http://localhost.evil.example" }, []string{"public_url"}},
		{"a path", func(c *Config) { c.PublicURL = "https://corp.example.com/aws" }, []string{"public_url"}},
		{"a query", func(c *Config) { c.PublicURL = "https://corp.example.com?x" }, []string{"public_url"}},
		{"a fragment", func(c *Config) { c.PublicURL = "https://corp.example.com#x" }, []string{"public_url"}},
		{"a user", func(c *Config) { c.PublicURL = "https://a:b@corp.example.com" }, []string{"public_url"}},
		{"another scheme", func(c *Config) { c.PublicURL = "ftp://corp.example.com" }, []string{"public_url"}},
		{"half a certificate", func(c *Config) { c.TLS.CertFile = "x" }, []string{"tls"}},
		{"addresses", func(c *Config) { c.Listen, c.AdminListen = "8443", "host:http" }, []string{"listen", "admin_listen"}},
		{"proxies", func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/8", "proxy.corp", "::1", "10.0.0.0/33"} }, []string{"trusted_proxies[1]", "trusted_proxies[3]"}},
		{"limits", func(c *Config) { c.Session = Session{Idle: time.Second, Max: 200 * time.Hour, CLI: time.Hour} }, []string{"session.idle", "session.max"}},
		{"profiles without a role", func(c *Config) { c.Portal.Profile = "{account}" }, []string{"portal.profile"}},
		{"profiles without an account", func(c *Config) { c.Portal.Profile = "{role}" }, []string{"portal.profile"}},
		{"profiles that are no words", func(c *Config) { c.Portal.Profile = "{account} {role}" }, []string{"portal.profile"}},
		{"profiles by a word that is not known", func(c *Config) { c.Portal.Profile = "{account}-{role}-{owner}" }, []string{"portal.profile"}},
		{"profiles in another order", func(c *Config) { c.Portal.Profile = "{environment}.{role}@{number}" }, nil},
		{"a logo that is not there", func(c *Config) { c.Portal.LogoFile = "nowhere.svg" }, []string{"portal.logo_file"}},
		{"a logo that is no picture", func(c *Config) { c.Portal.LogoFile = "config_test.go" }, []string{"portal.logo_file"}},
		{"idle longer than all", func(c *Config) { c.Session = Session{Idle: 2 * time.Hour, Max: time.Hour, CLI: time.Hour} }, []string{"session.idle"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{PublicURL: publicURL}
			c.SetDefaults()
			tt.change(&c)
			var got []string
			for _, f := range c.Validate() {
				got = append(got, f.Key)
				if f.What == "" || strings.ToLower(f.What[:1]) != f.What[:1] {
					t.Errorf("%s: %q", f.Key, f.What)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults in %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNewRefusesWhatValidateRefuses(t *testing.T) {
	if _, err := New(Config{}, Deps{}); err == nil || !strings.Contains(err.Error(), "public_url") {
		t.Errorf("New without public_url: %v", err)
	}
	if _, err := New(Config{PublicURL: publicURL}, Deps{}); err == nil {
		t.Error("New without a broker")
	}
	if _, err := New(Config{PublicURL: publicURL, TLS: TLS{"/nowhere.crt", "/nowhere.key"}}, Deps{Broker: &fakeBroker{}, Records: &fakeRecords{}}); err == nil {
		t.Error("New without a certificate")
	}
}

func TestTheOperatorsLogo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "logo.svg")
	const picture = `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`
	if err := os.WriteFile(file, []byte(picture), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, func(c *Config, _ *Deps) { c.Portal.LogoFile = file })
	page := wantStatus(t, h.get("/login", ""), 200)
	at := regexp.MustCompile(`<img class="mark" src="(/logo\?v=[0-9a-f]+)" alt=""`).FindStringSubmatch(page)
	if at == nil {
		t.Fatalf("no logo in %s", page)
	}
	res := h.get(at[1], "")
	if got := wantStatus(t, res, 200); got != picture || res.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("it is %q, %v", got, res.Header)
	}
	wantContains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'", "script-src 'self'") // what it holds runs nowhere
	wantStatus(t, newHouse(t).get("/logo", ""), 404)
	if err := os.WriteFile(file, make([]byte, mostLogo+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, why := readLogo(file); why == nil || !strings.Contains(why.Error(), "bytes") {
		t.Errorf("a large one: %q", why)
	}
}

func TestAnAccountsOwnColour(t *testing.T) {
	if got := viewOf(gatehouse.Account{Environment: "prod", Colour: "teal"}).Colour; got != "teal" {
		t.Errorf("it is %s", got)
	}
	css, err := os.ReadFile("../static/gatehouse.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range gatehouse.Colours {
		if strings.Count(string(css), "."+name+" { --ink") != 2 {
			t.Errorf("the style sheet does not have %s in both themes", name)
		}
	}
}

// Every ink stands on its tint with the contrast that WCAG 2.2 asks of text
// (1.4.3), in both themes.
func TestTheColoursOfAccountsCanBeRead(t *testing.T) {
	css, err := os.ReadFile("../static/gatehouse.css")
	if err != nil {
		t.Fatal(err)
	}
	pairs := regexp.MustCompile(`\.([a-z]+) \{ --ink: (#[0-9a-f]{6}); --tint: (#[0-9a-f]{6}) \}`).FindAllStringSubmatch(string(css), -1)
	if len(pairs) != 2*len(gatehouse.Colours) {
		t.Fatalf("%d pairs for %d colours", len(pairs), len(gatehouse.Colours))
	}
	for _, p := range pairs {
		a, b := luminance(t, p[2]), luminance(t, p[3])
		if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
			t.Errorf("%s: %s on %s has %.2f to 1", p[1], p[2], p[3], ratio)
		}
	}
}

// luminance is WCAG's relative luminance of #rrggbb.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(hex[1:], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, share := range []float64{0.0722, 0.7152, 0.2126} {
		v := float64(n>>(8*i)&0xff) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += share * v
	}
	return sum
}
