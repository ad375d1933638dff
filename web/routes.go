package web

import (
	"net/http"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/static"
	"gatehouse/web/inbound"
)

// route is one path of the pages door. The method stands apart from the path
// so that every other method can be answered with 405 and what is allowed.
type route struct {
	method, path string
	page         page
}

// routes lists every page. GET grants nothing, but for /login/windows, where a
// ticket takes the place of a form.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/{$}", s.signedIn(s.portal)},
		{"GET", "/login", s.loginForm},
		{"POST", "/login", s.login},
		{"GET", "/login/windows", s.windows},
		{"POST", "/logout", s.logout},
		{"GET", "/me/session", s.sessionEnds},
		{"POST", "/me/session", s.staySignedIn},
		{"POST", "/me/favourites", s.signedIn(s.favourite)},
		{"GET", "/me/password", s.passwordForm},
		{"POST", "/me/password", s.password},
		{"GET", "/roles/{account}/{role}", s.signedIn(s.role)},
		{"POST", "/roles/{account}/{role}", s.signedIn(s.handOut)},
		{"GET", "/go", s.signedIn(s.followLink)},
		{"GET", "/go/{account}", s.signedIn(s.followLink)},
		{"GET", "/go/{account}/{role}", s.signedIn(s.followLink)},
		{"GET", "/why/{account}", s.signedIn(s.why)},
		{"GET", "/why/{account}/{role}", s.signedIn(s.why)},
		{"GET", "/several", s.signedIn(s.several)},
		{"POST", "/several", s.signedIn(s.takeSeveral)},
		{"POST", "/pickup", s.pickup},
		{"GET", "/me/history", s.signedIn(s.history)},
		{"GET", "/me/applications", s.signedIn(s.applicationsTold)},
		{"GET", "/me/sessions", s.signedIn(s.signInsPage)},
		{"POST", "/me/sessions", s.signedIn(s.endSignIn)},
		{"GET", "/logo", s.showLogo},
		{"GET", "/favicon.ico", s.favicon},
		{"GET", "/device", s.signedIn(s.ifPrograms(s.deviceForm))},
		{"POST", "/device", s.signedIn(s.ifPrograms(s.answerDevice))},
		{"GET", "/authorize", s.signedIn(s.ifPrograms(s.authorize))},
		{"POST", "/authorize", s.signedIn(s.ifPrograms(s.answerAuthorize))},
		{"GET", "/v1/authorize", s.signedIn(s.ifPrograms(s.roleLogin))},
		{"POST", "/v1/authorize", s.signedIn(s.ifPrograms(s.answerRoleLogin))},
		{"GET", "/me/aws-config", s.signedIn(s.ifPrograms(s.awsConfig))},
		{"GET", "/start", s.start},
		{"GET", "/start/{$}", s.start},
	}
}

// doors puts the doors side by side, each behind its own chain.
func (s *Server) doors() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.pagesDoor())
	mux.Handle("/saml/", s.protocolDoor())
	for _, path := range []string{"/oidc/", "/sso/", "/v1/token"} {
		mux.Handle(path, s.apiDoor(path))
	}
	mux.Handle("GET /static/{name}", s.plainDoor("/static/", static.Handler(s.serve(s.missing))))
	mux.Handle("GET /healthz", s.plainDoor("/healthz", http.HandlerFunc(s.alive)))
	mux.Handle("GET /readyz", s.plainDoor("/readyz", http.HandlerFunc(s.ready)))
	return mux
}

// pagesMux is the pages themselves, and an answer for every other path and method.
func (s *Server) pagesMux() http.Handler {
	mux := http.NewServeMux()
	allowed := map[string][]string{}
	for _, rt := range s.routes() {
		mux.Handle(rt.method+" "+rt.path, named(rt.path, s.serve(rt.page)))
		allowed[rt.path] = append(allowed[rt.path], rt.method)
	}
	for path, methods := range allowed {
		mux.Handle(path, named(path, s.serve(notAllowed(methods))))
	}
	mux.Handle("/", named("unknown", s.serve(s.missing)))
	return mux
}

// missing answers a path that is not there.
func (s *Server) missing(http.ResponseWriter, *http.Request) error { return gatehouse.ErrNotFound }

// notAllowed answers a method that a path does not have (RFC 9110 §15.5.6).
func notAllowed(methods []string) page {
	if slices.Contains(methods, http.MethodGet) {
		methods = append(slices.Clone(methods), http.MethodHead)
	}
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", allow)
		return inbound.ErrMethod
	}
}
