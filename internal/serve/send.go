package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-web/holdfast/internal/blob"
)

// payload is the body of an answer: bytes, or else n bytes of content from off.
type payload struct {
	bytes   []byte
	hot     bool // the bytes are those of a file, and were in memory
	content blob.Content
	off, n  int64
}

// open gets the body before anything is sent, so that a failure can still be told.
func (h *Handler) open(r *http.Request, d *Decision) (payload, error) {
	if d.Delta != nil && r.Method == http.MethodGet {
		return payload{bytes: d.Delta, hot: true, n: int64(len(d.Delta))}, nil
	}
	if d.Length == 0 {
		return textOf(d), nil
	}
	if b, ok := h.blobs.Hot(d.Ref); ok {
		return payload{bytes: b[d.Off : d.Off+d.Length], hot: true, n: d.Length}, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.options.Fetch)
	defer cancel()
	c, err := h.blobs.Open(ctx, d.Ref)
	if err != nil {
		return payload{}, err
	}
	return payload{content: c, off: d.Off, n: d.Length}, nil
}

func textOf(d *Decision) payload {
	return payload{bytes: []byte(d.Text), n: int64(len(d.Text))}
}

// write writes n bytes, the first of them at from.
func (p *payload) write(w io.Writer, from, n int64) (written int64, err error) {
	if p.content != nil {
		written, err = blob.WriteRange(w, p.content, p.off+from, n)
	} else {
		var k int
		k, err = w.Write(p.bytes[from : from+n])
		written = int64(k)
	}
	if err == nil && written < n {
		err = io.ErrUnexpectedEOF
	}
	return written, err
}

func (p *payload) close() {
	if p.content != nil {
		_ = p.content.Close() // was only read
	}
}

// noBody turns d into the answer for a body that could not be had.
func (h *Handler) noBody(r *http.Request, d *Decision, err error) {
	if !errors.Is(err, context.Canceled) {
		h.options.Logger.Error("body not available", "path", r.URL.Path, "object", d.Ref.Name.String(), "error", err)
	}
	d.Unavailable(&Request{Method: r.Method}, "the file is known, but its bytes cannot be had right now")
}

// pieceSize is how much of a body is sent under one deadline.
const pieceSize = 256 << 10

// send sends the body. What takes no time to get and fits one piece is left to
// the server's own deadline; anything else gets one for each piece. net/http
// drops it when the answer is complete.
func (h *Handler) send(w http.ResponseWriter, p *payload) (sent int64, err error) {
	if p.n <= pieceSize && p.content == nil {
		if p.n == 0 {
			return 0, nil
		}
		return p.write(w, 0, p.n)
	}
	control := http.NewResponseController(w)
	for sent < p.n {
		err := control.SetWriteDeadline(time.Now().Add(h.options.Stall))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return sent, err
		}
		n, err := p.write(w, sent, min(p.n-sent, pieceSize))
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (h *Handler) writeHeader(header http.Header, d *Decision, hot bool) {
	d.Entry.addTo(header)
	d.Class.addTo(header)
	d.Offer.addTo(header)
	if d.ContentLength >= 0 {
		header["Content-Length"] = []string{strconv.FormatInt(d.ContentLength, 10)}
	}
	if d.Range != (Range{}) {
		header["Content-Range"] = []string{d.Range.String()}
	}
	if d.Location != "" {
		header["Location"] = []string{d.Location}
	}
	if d.RetryAfter > 0 {
		header["Retry-After"] = []string{strconv.Itoa(d.RetryAfter)}
	}
	if d.Allow {
		header["Allow"] = []string{allowedMethods}
	}
	if d.Close {
		header["Connection"] = []string{"close"}
	}
	if h.options.Node != "" {
		h.debug(header, d, hot)
	}
	if h.options.Fresh {
		freshen(header)
	}
}

// String returns the value of a Content-Range field (RFC 9110, section 14.4).
func (r Range) String() string {
	if r.End < 0 {
		return "bytes */" + strconv.FormatInt(r.Total, 10)
	}
	return "bytes " + strconv.FormatInt(r.Start, 10) + "-" + strconv.FormatInt(r.End, 10) + "/" + strconv.FormatInt(r.Total, 10)
}

// debug adds what tells an operator who answered, and from where.
func (h *Handler) debug(header http.Header, d *Decision, hot bool) {
	status := quoted(h.options.Node) // Cache-Status, RFC 9211, section 2
	switch {
	case hot:
		status += "; hit"
	case d.Length > 0:
		status += "; fwd=miss"
	}
	header["Cache-Status"] = []string{status}
	header["X-Holdfast-Node"] = []string{h.options.Node}
	if d.Release != nil {
		header["X-Holdfast-Release"] = []string{d.Release.ID.String()}
	}
}

// quoted is a string of a structured field (RFC 9651, section 3.3.3).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
