// Package static embeds what pages load: one style sheet, small ES modules
// and the mark. Each is served under a name that holds a hash of its content,
// so that browsers may keep it for ever and never see an old one. Modules do
// not import one another: names would have to be rewritten.
package static

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
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
		a := asset{strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext, types[ext], body}
		byName[e.Name()], byHashed[a.name] = a, a
	}
	return byName, byHashed
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
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(a.body) // the client went away: nobody to tell
		}
	})
}
