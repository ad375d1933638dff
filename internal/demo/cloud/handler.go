package cloud

import (
	"net/http"
	"runtime/debug"
)

// Handler serves everything, for a server of one's own.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", s.root)
	return s.recovering(mux)
}

// root is STS, and for a browser a page that says what this is.
func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	switch {
	case isBrowser(r):
		w.WriteHeader(200)
	case r.Method != http.MethodPost && r.Method != http.MethodGet:
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
	default:
		s.serveSTS(w, r)
	}
}

// recovering answers a panic with a 500 and logs it without the request.
func (s *Server) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				s.log.Error("emulated AWS panicked", "panic", p, "stack", string(debug.Stack()))
				http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
