package serve

import (
	"net/http"
	"time"
)

// BodyTimeout is how long the content of a request may take to arrive.
const BodyTimeout = 10 * time.Second

// BoundBody gives the content of a request, if it has any, BodyTimeout to arrive, and
// reports whether it has. Without, net/http waits for it without bound: also after the
// answer, when nobody wants it, to use the connection again.
func BoundBody(w http.ResponseWriter, r *http.Request) bool {
	if r.ContentLength == 0 && len(r.TransferEncoding) == 0 {
		return false
	}
	// What has no deadlines, such as a recorder of tests, waits for no client.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(BodyTimeout))
	return true
}
