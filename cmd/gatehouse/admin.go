package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminHandler is what the operator's own address answers: profiles, and the
// process's metrics.
func (h *house) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.Handler())
	mux.Handle("/", h.current.Load().server.AdminHandler())
	return mux
}
