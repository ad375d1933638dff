package cloud

import (
	"net/http"
	"runtime/debug"
)

// Handler serves everything, for a server of one's own.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", s.root)
	mux.HandleFunc("/federation", only(s.serveFederation))
	mux.HandleFunc("/saml", only(s.serveSAML))
	mux.HandleFunc("/oauth", only(s.serveLogout))
	mux.HandleFunc("GET /console", s.serveConsole)
	mux.HandleFunc("GET /console/{rest...}", s.serveConsole)
	mux.HandleFunc("GET /sessions/{id}", s.serveSwitch)
	mux.HandleFunc("POST /sessions", s.serveSeveral)
	return s.recovering(secured(mux))
}

// root is STS, and for a browser a page that says what this is.
func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	if isBrowser(r) {
		s.serveHome(w)
		return
	}
	only(s.serveSTS)(w, r)
}

// only lets GET and POST through: AWS's endpoints take both.
func only(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost && r.Method != http.MethodGet {
			w.Header().Set("Allow", "GET, POST")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		next(w, r)
	}
}

// secured keeps addresses, which may carry sign-in tokens, from travelling on.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
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
