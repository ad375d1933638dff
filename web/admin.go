package web

import (
	"net/http"
	"net/http/pprof"
	"runtime"
	"sync"
)

// samplingRate is how many bytes are allocated between two samples of the
// heap's profile, on average: what the runtime would choose by itself.
const samplingRate = 512 << 10

// AdminHandler answers profiles on the operator's own address. Whoever wires
// the server mounts /metrics beside it.
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/heap", sampling(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/allocs", sampling(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /healthz", s.alive)
	mux.HandleFunc("GET /readyz", s.readyInDetail)
	return mux
}

// sampling has allocations sampled from the first request on; main has
// turned that off. The runtime keeps a bucket for every stack that it ever
// sampled, in a table of 1.4 MB of which each new stack touches another page:
// over some thousand sign-ins that added up to more than all else that they
// leave, for profiles that are hardly ever asked for.
//
// The rate changes at most once, from nothing, so that all samples of a
// profile are of one rate, as its readers assume (runtime.MemProfileRate).
func sampling(profile http.HandlerFunc) http.HandlerFunc {
	begin := sync.OnceFunc(func() {
		if runtime.MemProfileRate == 0 {
			runtime.MemProfileRate = samplingRate
		}
	})
	return func(w http.ResponseWriter, r *http.Request) {
		begin()
		profile(w, r)
	}
}
