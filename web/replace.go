package web

import (
	"crypto/tls"
	"net/http"
)

// Replace has next answer what comes in where s serves: pages, certificate
// and all, from the next request on. What is under way ends as it began.
func (s *Server) Replace(next *Server) { s.successor.Store(next) }

// acting is the Server that answers where s serves.
func (s *Server) acting() *Server {
	if next := s.successor.Load(); next != nil {
		return next
	}
	return s
}

// answering has the acting Server answer. One that is about to end, or has
// hardly room for more, asks for each connection to be closed after its
// answer: a proxy then has none left to send its next request on when we
// close it (RFC 9110 §7.6.1; HTTP/2 says GOAWAY).
func (s *Server) answering(c *crowd) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := s.acting()
		if a.draining.Load() || c.crowded() {
			w.Header().Set("Connection", "close")
		}
		a.handler.ServeHTTP(w, r)
	}
}

func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := s.acting().cert; cert != nil {
		return cert.get(hello)
	}
	return s.cert.get(hello) // TLS does not go away while the listener speaks it
}

// drain turns readiness off.
func (s *Server) drain() { s.acting().draining.Store(true) }
