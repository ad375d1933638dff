package web

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"gatehouse"
	"gatehouse/static"
)

// mostLogo keeps the first page quick.
const mostLogo = 32 << 10

// logoTypes are the media types of what a logo may be. Neither can run
// anything: an image in a page runs no script, and by itself it is under the
// same policy as every page.
var logoTypes = map[string]string{".svg": "image/svg+xml", ".png": "image/png"}

// logo is the operator's picture, read once.
type logo struct {
	kind string
	body []byte
	path string // with a hash of its content
}

func readLogo(file string) (*logo, error) {
	if file == "" {
		return nil, nil
	}
	kind := logoTypes[strings.ToLower(filepath.Ext(file))]
	if kind == "" {
		return nil, fmt.Errorf("want a picture that ends in .svg or .png, not %s", filepath.Base(file))
	}
	body, err := gatehouse.ReadFile(file, 1<<20)
	if err != nil {
		return nil, err
	}
	if len(body) > mostLogo {
		return nil, fmt.Errorf("has %d bytes; %d are enough for a logo, and every page loads it", len(body), mostLogo)
	}
	sum := keyOf(body)
	return &logo{kind: kind, body: body, path: fmt.Sprintf("/logo?v=%x", sum[:6])}, nil
}

// showLogo answers with the operator's picture, to anybody.
func (s *Server) showLogo(w http.ResponseWriter, r *http.Request) error {
	if s.logo == nil {
		return s.missing(w, r)
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	write(w, http.StatusOK, s.logo.kind, s.logo.body)
	return nil
}

// favicon answers browsers that show a text of ours, which names no picture.
func (s *Server) favicon(w http.ResponseWriter, _ *http.Request) error {
	redirect(w, static.Path("mark.svg"))
	return nil
}
