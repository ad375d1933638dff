package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gatehouse/internal/export"
)

// awsConfigFor is how ~/.aws/config leads here.
func (s *Server) awsConfigFor(process bool) export.AWSConfig {
	return export.AWSConfig{Portal: s.public.String(), Region: s.deps.DefaultRegion, STSEndpoint: s.deps.STSEndpoint, Names: s.cfg.Portal.Profile, Process: process}
}

// awsConfig is everything that the person may use, as a file for ~/.aws/config:
// what `gatehouse config` writes. It holds no secret.
func (s *Server) awsConfig(w http.ResponseWriter, r *http.Request, v *visit) error {
	if _, err := s.refresh(w, r, v); err != nil {
		return err
	}
	var places []export.Place
	for _, e := range s.deps.Broker.Entitlements(v.Session) {
		if e.Blocked == "" {
			places = append(places, placeOf(e))
		}
	}
	slices.SortStableFunc(places, func(a, b export.Place) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.Account, b.Account))
	})
	text, err := s.awsConfigFor(r.URL.Query().Get("for") == "process").Render(places, nil)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	w.Header().Set("Content-Disposition", `attachment; filename="aws-config.txt"`)
	write(w, http.StatusOK, "text/plain; charset=utf-8", []byte(text))
	return nil
}
