package web

import (
	"net/http"

	"gatehouse"
)

// health is what the probes answer.
type health struct {
	OK      bool     `json:"ok"`
	Reasons []reason `json:"reasons,omitempty"`
}

// reason is a Finding for a probe. The Fix is for `gatehouse check`.
type reason struct {
	Subject string                 `json:"subject"`
	State   gatehouse.FindingState `json:"state"`
	Detail  string                 `json:"detail,omitempty"` // on the operator's address only: it names hosts
}

// alive answers as long as the process serves at all; nothing outside it counts.
func (s *Server) alive(w http.ResponseWriter, _ *http.Request) {
	_ = writeJSON(w, http.StatusOK, health{OK: true}) // one boolean: cannot fail
}

// ready is the answer for the network: what is wrong, without the details.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) { s.writeReady(w, r, false) }

// readyInDetail is the answer on the operator's address.
func (s *Server) readyInDetail(w http.ResponseWriter, r *http.Request) { s.writeReady(w, r, true) }

// writeReady answers 503 while this replica should get no new traffic: what
// sign-in needs is missing, or it is about to end.
func (s *Server) writeReady(w http.ResponseWriter, r *http.Request, detailed bool) {
	s = s.acting() // the operator's address was made with the first configuration
	h := health{OK: true}
	if s.draining.Load() {
		h.OK = false
		h.Reasons = append(h.Reasons, reason{"server", gatehouse.FindingFailure, "shutting down"})
	} else if s.deps.Ready != nil {
		for _, f := range s.deps.Ready(r.Context()) {
			h.OK = h.OK && f.State != gatehouse.FindingFailure
			if !detailed {
				f.Detail = ""
			}
			h.Reasons = append(h.Reasons, reason{f.Subject, f.State, f.Detail})
		}
	}
	status := http.StatusOK
	if !h.OK {
		status = http.StatusServiceUnavailable
	}
	_ = writeJSON(w, status, h) // strings only: cannot fail
}
