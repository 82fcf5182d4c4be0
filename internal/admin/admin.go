// Package admin answers on a node's admin listener, which is for operators and
// load balancers, not for browsers.
package admin

import (
	"encoding/json"
	"net/http"
	"time"
)

// Status is what /readyz says.
type Status struct {
	Ready    bool   `json:"ready"`
	Reason   string `json:"reason,omitempty"`   // why it is not ready
	Revision int64  `json:"revision,omitempty"` // of the table it serves
	Leader   bool   `json:"leader,omitempty"`   // it is elected for cluster work
	// Stale: the registry cannot be read, so that the table is as of Since, and
	// there may be changes since then. The node is ready all the same.
	Stale    bool      `json:"stale,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Registry string    `json:"registry,omitempty"` // why it cannot be read
}

// Handler answers /healthz (the process runs) and /readyz (200 when status says
// ready, else 503), both with one JSON object and never cached, and /metrics with
// metrics and /packs with packs, each of which may be nil.
func Handler(status func() Status, metrics, packs http.Handler) http.Handler {
	mux := http.NewServeMux()
	if packs != nil {
		mux.Handle("/packs", packs)
		mux.Handle("/packs/", packs)
	}
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, struct {
			OK bool `json:"ok"`
		}{true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := status()
		code := http.StatusOK
		if !s.Ready {
			code = http.StatusServiceUnavailable
		}
		answer(w, code, s)
	})
	return mux
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
