package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"gatehouse"
)

// A click that arrives twice hands out once. Forms carry a name in `once`:
// our modules make one for every click, so that a reload of what came of it is
// known for an hour. Without script a page's form has one name for as long as
// it is open, and taking a role twice on purpose must remain possible, so that
// only the two clicks of a double click are told apart by it.
const (
	clickByPage   = "p-"
	clickByScript = "c-"

	doubleClick = 5 * time.Second
	reloaded    = time.Hour
)

// onceKind is what Records.Once keeps its keys under.
const onceKind = "once"

// errTwice: this very click was answered before.
var errTwice = errors.New("the same click twice")

var clickName = regexp.MustCompile(`^[pc]-[A-Za-z0-9]{16,64}$`)

// newClick names the clicks of a page without script.
func newClick() string { return clickByPage + rand.Text() }

// once lets a click of a person pass the first time, and errTwice from then
// on. What failed may be tried again: the caller calls undo.
func (s *Server) once(r *http.Request, who gatehouse.Session, what string) (undo func(), err error) {
	name := r.PostForm.Get("once")
	if !clickName.MatchString(name) {
		return func() {}, nil // not one of our pages, which nothing double-clicks
	}
	span := doubleClick
	if strings.HasPrefix(name, clickByScript) {
		span = reloaded
	}
	key := who.User.Key() + "\n" + name + "\n" + what
	first, err := s.deps.Records.Once(r.Context(), key, s.now().Add(span))
	switch {
	case err != nil:
		return nil, err
	case !first:
		return nil, errTwice
	}
	return func() {
		if err := s.deps.Records.Forget(r.Context(), onceKind, key); err != nil {
			s.note(r, "a failed click is not forgotten", err)
		}
	}, nil
}
