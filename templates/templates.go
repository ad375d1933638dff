// Package templates embeds the pages. layout.html is the frame of every page
// and calls what each page file defines: title, main and, if it must, head.
// parts.html holds what repeats.
package templates

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"sync"
)

//go:embed *.html
var files embed.FS

// Set is every page. Each is parsed when it is first shown: together they are
// a third of what a Gatehouse at rest keeps in memory.
type Set map[string]func() (*template.Template, error)

// Parse reads the frame, and finds the pages. asset turns the name of a static
// file into its URL.
func Parse(asset func(name string) string) (Set, error) {
	base, err := template.New("layout.html").Funcs(template.FuncMap{"asset": asset}).
		Option("missingkey=error").ParseFS(files, "layout.html", "parts.html")
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	names, err := fs.Glob(files, "*.html")
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	set := Set{}
	for _, name := range names {
		if name == "layout.html" || name == "parts.html" {
			continue
		}
		set[path.Base(name)] = sync.OnceValues(func() (*template.Template, error) {
			return template.Must(base.Clone()).ParseFS(files, name)
		})
	}
	return set, nil
}

// Execute writes the page called name.
func (s Set) Execute(w io.Writer, name string, data any) error {
	return s.Part(w, name, "layout.html", data)
}

// Part writes what the page called name defines as part.
func (s Set) Part(w io.Writer, name, part string, data any) error {
	parse, ok := s[name]
	if !ok {
		return fmt.Errorf("templates: no page %s", name)
	}
	page, err := parse()
	if err != nil {
		return fmt.Errorf("templates: %w", err)
	}
	return page.ExecuteTemplate(w, part, data)
}
