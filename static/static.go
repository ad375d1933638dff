// Package static embeds what pages load: one style sheet, small ES modules
// and the mark. Each is served under a name that holds a hash of its content,
// so that browsers may keep it for ever and never see an old one. Modules do
// not import one another: names would have to be rewritten.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed *.css *.js *.svg
var files embed.FS

// types are the media types of what is embedded; those of the machine's own
// table differ from machine to machine.
var types = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// asset is one file as it is served.
type asset struct {
	name string // with its hash
	kind string
	body []byte
	gzip func() []byte // body, compressed when it is first asked for: most starts serve few
}

var byName, byHashed = load()

// load reads every file once, when the program starts: the files are part of it.
func load() (byName, byHashed map[string]asset) {
	byName, byHashed = map[string]asset{}, map[string]asset{}
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("static: " + err.Error()) // unreachable: the tree is in the binary
	}
	for _, e := range entries {
		body, err := files.ReadFile(e.Name())
		if err != nil {
			panic("static: " + err.Error())
		}
		ext := path.Ext(e.Name())
		sum := sha256.Sum256(body)
		a := asset{strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext, types[ext], body, sync.OnceValue(func() []byte { return compressed(body) })}
		byName[e.Name()], byHashed[a.name] = a, a
	}
	return byName, byHashed
}

// press compresses one file after the other: each writer would cost close to a
// megabyte.
var press struct {
	sync.Mutex
	w *gzip.Writer
}

func compressed(body []byte) []byte {
	press.Lock()
	defer press.Unlock()
	var b bytes.Buffer
	if press.w == nil {
		press.w, _ = gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is good
	}
	press.w.Reset(&b)
	_, _ = press.w.Write(body) // a buffer takes everything
	_ = press.w.Close()
	return b.Bytes()
}

// Path is where the file called name is served: /static/name.HASH.ext. It
// panics when there is no such file, which a template's test finds.
func Path(name string) string {
	a, ok := byName[name]
	if !ok {
		panic("static: no file " + name)
	}
	return "/static/" + a.name
}

// TakesGzip reports whether an answer may be gzipped. It is deliberately
// simple: browsers say gzip plainly, and whoever says anything else about it
// (RFC 9110 §12.5.3) gets the answer as it is.
func TakesGzip(r *http.Request) bool {
	for _, coding := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		if strings.TrimSpace(coding) == "gzip" {
			return true
		}
	}
	return false
}

// Handler serves /static/{name}, and leaves what is not there to missing.
func Handler(missing http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := byHashed[path.Base(r.URL.Path)]
		if !ok {
			missing.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Content-Type", a.kind)
		h.Add("Vary", "Accept-Encoding")
		body := a.body
		if TakesGzip(r) {
			h.Set("Content-Encoding", "gzip")
			body = a.gzip()
		}
		h.Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(body) // the client went away: nobody to tell
		}
	})
}
