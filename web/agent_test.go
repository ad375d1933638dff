package web

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// agents are what browsers and command-line clients send.
var agents = []struct{ name, header, want string }{
	{"Firefox", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Linux"},
	{"Chrome, which names Safari too", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36", "Chrome on Windows"},
	{"Edge, which names Chrome too", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0", "Edge on Windows"},
	{"Opera, likewise", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 OPR/122.0.0.0", "Opera on macOS"},
	{"Safari", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15", "Safari on macOS"},
	{"a phone, which says that it is like Mac OS X", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1", "Safari on iPhone"},
	{"Chrome on a phone of Apple's", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/141.0 Mobile/15E148 Safari/604.1", "Chrome on iPhone"},
	{"Android, which says that it is Linux", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36", "Chrome on Android"},
	{"a client for the command line", "saml2aws/2.36.19 (linux amd64) Versent", "saml2aws on Linux"},
	{"a browser that is not known, on a system that is", "Lynx/2.9 (X11; Linux)", "A browser on Linux"},
	{"a system that is not known", "Firefox/143.0 (Plan 9)", "Firefox"},
	{"what says nothing", "", "Another browser"},
	{"what is no text", "\x00\xff<script>alert(1)</script>", "Another browser"},
	{"what says it too late", strings.Repeat("x", 4096) + "Firefox/1 Linux", "Another browser"},
}

func TestWhatABrowserIsCalled(t *testing.T) {
	for _, tt := range agents {
		t.Run(tt.name, func(t *testing.T) {
			if got := browserName(agentOf(tt.header), false); got != tt.want {
				t.Errorf("%q is called %q, want %q", tt.header, got, tt.want)
			}
		})
	}
}

// Whatever is sent, only words of our own come of it.
func FuzzAgent(f *testing.F) {
	for _, tt := range agents {
		f.Add(tt.header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a := agentOf(header)
		named := func(name string) func(product) bool { return func(p product) bool { return p.name == name } }
		if a.Browser != "" && !slices.ContainsFunc(browsers, named(a.Browser)) || a.System != "" && !slices.ContainsFunc(systems, named(a.System)) {
			t.Errorf("%q is %+v", header, a)
		}
	})
}

func TestMySignInsAreToldApart(t *testing.T) {
	h := newHouse(t)
	from := func(header string) (cookie string) {
		r := request("POST", "/login", "", url.Values{"username": {"alice"}, "password": {"correct horse"}})
		r.Header.Set("User-Agent", header)
		return sessionCookie(t, h.do(r)).Value
	}
	here := from(agents[0].header)
	from(agents[4].header)
	old := from(agents[1].header)
	// As it was written before browsers had names.
	v, err := h.server.sessions.load(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"session": v.Session, "began": v.Began, "seen": v.Seen})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.records.Replace(t.Context(), recordKind, old, body); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, h.get("/", old), 200)

	page := wantStatus(t, h.get("/me/sessions", here), 200)
	wantContains(t, page, "This browser, Firefox on Linux<", ">Safari on macOS<", ">Another browser<")
	ids := map[string]string{}
	for _, m := range regexp.MustCompile(`id="([^"]+)"[^>]*>(.*)`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] != "" {
			t.Errorf("two elements are %s", m[1])
		}
		ids[m[1]] = m[2]
	}
	labels := regexp.MustCompile(`<button [^>]*name="end"[^>]*aria-labelledby="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(labels) != 3 {
		t.Fatalf("%d buttons have names of their own, want 3:\n%s", len(labels), page)
	}
	for _, label := range labels {
		parts := strings.Fields(label[1])
		if len(parts) != 3 || ids[parts[0]] == "" || !strings.Contains(ids[parts[1]], "rowser") && !strings.Contains(ids[parts[1]], " on ") || !strings.Contains(ids[parts[2]], "<time") {
			t.Errorf("a button is named by %q, want itself, the browser and the time", label[1])
		}
	}
}
