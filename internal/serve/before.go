package serve

import (
	"net/http"
	"time"

	"github.com/holdfast-web/holdfast/internal/live"
)

// Before returns a handler that answers for files, and for all URLs of our own forms
// whether or not they lead to a file, and leaves the rest to next: paths without a file,
// and documents under their plain paths, which next makes itself.
func (h *Handler) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		var d Decision
		if req, ours := h.claims(r, &d); ours {
			h.answer(w, r, &req, &d, start)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// claims reports whether a request is for h to answer, and if so decides it. The URL
// alone matters, not the method.
func (h *Handler) claims(r *http.Request, d *Decision) (req Request, ours bool) {
	req = h.requestOf(r)
	probe := req
	if probe.Method != "HEAD" {
		probe.Method = "GET"
	}
	probe.HasBody = false
	Decide(h.tables.Table(), &probe, d)
	if !d.ours(req.Path) && d.Wait != "" && !d.Guess && looksLikeFile(d.App, req.Path) {
		h.await(r.Context(), &probe, d) // only a name that a release may have is worth it
	}
	if !d.ours(req.Path) {
		return req, false
	}
	req.Waited = probe.Waited
	if req.Method != probe.Method || req.HasBody || d.Wait != "" {
		h.decide(r.Context(), &req, d)
	}
	return req, true
}

// ours reports whether next must not see the request for a path. That includes a possible
// file that cannot be resolved right now: next could only answer that it does not exist.
func (d *Decision) ours(path string) bool {
	return d.Form || d.File != nil && !d.File.Document || d.Status == http.StatusServiceUnavailable && looksLikeFile(d.App, path)
}

// looksLikeFile reports whether a path ends as that of some file of the app does
// that is no document.
func looksLikeFile(a *live.App, path string) bool {
	return !mayBePage(path) && a != nil && a.HasExtension(extension(path))
}
