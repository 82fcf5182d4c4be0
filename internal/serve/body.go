package serve

import (
	"net/http"
	"time"
)

// BodyTimeout is how long the content of a request may take to arrive.
const BodyTimeout = 10 * time.Second

// BoundBody gives the content of a request, if it has any, BodyTimeout to arrive, and
// reports whether it has any. Otherwise net/http waits for it without bound, even after
// the answer, to reuse the connection.
func BoundBody(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength == 0 && len(r.TransferEncoding) == 0 {
		return false
	}
	// A writer without deadlines, such as a test recorder, waits for no client.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(BodyTimeout))
	return true
}
