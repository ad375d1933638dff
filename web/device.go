package web

import (
	"net/http"

	"gatehouse/internal/access"
)

// The browser in which somebody signed in keeps a mark of that, in a cookie of
// its own that outlives their sessions: whoever guesses at their password
// elsewhere then cannot keep them out here. It signs nobody in; what it is
// worth is settled by access (device.go there). A sign-out leaves it, since
// the next sign-in is what it is for. A browser is marked for whoever signed
// in last.

func (s *Server) deviceCookie() string {
	if s.secure {
		return "__Host-gatehouse-device"
	}
	return "gatehouse-device"
}

// device is the browser's mark, as it came.
func (s *Server) device(r *http.Request) string {
	c, err := r.Cookie(s.deviceCookie())
	if err != nil {
		return ""
	}
	return c.Value
}

// markDevice gives the browser a new mark of the person. It is Strict, since
// only our own forms have a use for it.
func (s *Server) markDevice(w http.ResponseWriter, person string) {
	http.SetCookie(w, &http.Cookie{Name: s.deviceCookie(), Value: s.deps.Broker.Device(person), Path: "/",
		MaxAge: int(access.DeviceLife.Seconds()), Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}
