package cloud

import (
	"io"
	"net/http"
	"sync"
)

// Door is one of the emulator's two services, as faults name them.
type Door string

// The doors.
const (
	DoorSTS    Door = "sts"
	DoorSignIn Door = "signin" // /federation, /saml, /oauth
)

// FaultKind is a way in which AWS, or what stands before it, fails.
type FaultKind string

// The ways.
const (
	FaultThrottle    FaultKind = "throttle"    // 400 Throttling, Rate exceeded
	FaultServerError FaultKind = "error"       // 500 with the protocol's own error
	FaultUnavailable FaultKind = "unavailable" // 503, empty
	FaultCaptive     FaultKind = "captive"     // 200 and a proxy's or a hotel's HTML page
	FaultHang        FaultKind = "hang"        // no answer until the client gives up or the server closes
	FaultMalformed   FaultKind = "malformed"   // 200 and XML or JSON that breaks off
)

// Fault makes the next requests to a door fail.
type Fault struct {
	Door  Door
	Kind  FaultKind
	Times int // how many requests; 0: one; negative: all, until another Fault for this door
}

type faults struct {
	mu   sync.Mutex
	next map[Door]Fault
}

// Fault sets what happens to the next requests to a door, in place of any
// fault before it. A Fault without a Kind ends them.
func (s *Server) Fault(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if s.faults.next == nil {
		s.faults.next = map[Door]Fault{}
	}
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults.next[f.Door] = f
}

func (f *faults) take(door Door) FaultKind {
	f.mu.Lock()
	defer f.mu.Unlock()
	next, ok := f.next[door]
	if !ok || next.Times == 0 {
		return ""
	}
	if next.Times > 0 {
		next.Times--
		f.next[door] = next
	}
	return next.Kind
}

// strike answers in place of the door, if a fault is due.
func (f *faults) strike(door Door, w http.ResponseWriter, r *http.Request, requestID string) bool {
	switch f.take(door) {
	case FaultThrottle:
		writeXML(w, http.StatusBadRequest, throttled().answer(requestID))
	case FaultServerError:
		writeXML(w, http.StatusInternalServerError,
			refuse(http.StatusInternalServerError, "InternalFailure", "The request processing has failed because of an unknown error.").answer(requestID))
	case FaultUnavailable:
		w.WriteHeader(http.StatusServiceUnavailable)
	case FaultCaptive:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Guest network</title><h1>Welcome! Please accept our terms.</h1>")
	case FaultHang:
		// The body has to be read, or the server does not notice that the client has gone.
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
		<-r.Context().Done()
	case FaultMalformed:
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, `<AssumeRoleWithSAMLResponse xmlns="`+nsSTS+`"><AssumeRoleWithSAMLResult><Credentials><AccessKeyId>ASIA`)
	default:
		return false
	}
	return true
}
