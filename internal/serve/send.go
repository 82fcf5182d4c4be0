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

// Payload is the body of an answer: bytes, or else n bytes of content from off.
type Payload struct {
	bytes   []byte
	hot     bool // the bytes are those of a file, and were in memory
	content blob.Content
	off, n  int64
}

// body returns the body of the answer d, before anything is sent, so that a failure can
// still be reported: then d becomes the failure.
func (h *Handler) body(ctx context.Context, req *Request, d *Decision) Payload {
	h.upgrade(req, d)
	p, err := h.open(ctx, req, d)
	if err == nil {
		return p
	}
	if !errors.Is(err, context.Canceled) {
		h.options.Logger.Error("body not available", "path", req.Path, "object", d.Ref.Name.String(), "error", err)
	}
	d.Unavailable(req, "the file is known, but its bytes cannot be had right now")
	return TextOf(d)
}

func (h *Handler) open(ctx context.Context, req *Request, d *Decision) (Payload, error) {
	if p, ok := h.atHand(req, d); ok {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.options.Fetch)
	defer cancel()
	c, err := h.blobs.Open(ctx, d.Ref)
	if err != nil {
		return Payload{}, err
	}
	return Payload{content: c, off: d.Off, n: d.Length}, nil
}

// atHand returns the body if it is in memory.
func (h *Handler) atHand(req *Request, d *Decision) (Payload, bool) {
	if d.Delta != nil && req.Method == http.MethodGet {
		return Payload{bytes: d.Delta, hot: true, n: int64(len(d.Delta))}, true
	}
	if d.Length == 0 {
		return TextOf(d), true
	}
	b, ok := h.blobs.Hot(d.Ref)
	if !ok {
		return Payload{}, false
	}
	return Payload{bytes: b[d.Off : d.Off+d.Length], hot: true, n: d.Length}, true
}

// TextOf is the body of an answer that has no file.
func TextOf(d *Decision) Payload {
	return Payload{bytes: []byte(d.Text), n: int64(len(d.Text))}
}

// Len returns the size of the body in bytes.
func (p *Payload) Len() int64 { return p.n }

// Bytes returns the body if it is in memory, else nil. The caller must not change it.
func (p *Payload) Bytes() []byte { return p.bytes }

// WriteRange writes n bytes, the first of them at from. Those of a file go through
// w's io.ReaderFrom, which for a network connection is sendfile(2).
func (p *Payload) WriteRange(w io.Writer, from, n int64) (written int64, err error) {
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

// Close gives the body back. It must be called.
func (p *Payload) Close() {
	if p.content != nil {
		_ = p.content.Close() // was only read
	}
}

// pieceSize is how much of a body is sent under one deadline.
const pieceSize = 256 << 10

// send sends the body. If it is at hand and fits one piece, the server's own deadline
// applies; otherwise each piece gets one. net/http drops it when the answer is complete.
func (h *Handler) send(w http.ResponseWriter, p *Payload) (sent int64, err error) {
	if p.n <= pieceSize && p.content == nil {
		if p.n == 0 {
			return 0, nil
		}
		return p.WriteRange(w, 0, p.n)
	}
	control := http.NewResponseController(w)
	for sent < p.n {
		err := control.SetWriteDeadline(time.Now().Add(h.options.Stall))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return sent, err
		}
		n, err := p.WriteRange(w, sent, min(p.n-sent, pieceSize))
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
	h.eachOther(d, hot, func(name, value string) { header[name] = []string{value} })
	if h.options.Fresh {
		freshen(header)
	}
}

// eachOther yields the fields of an answer that are in none of its blocks; their names
// are in canonical form.
func (h *Handler) eachOther(d *Decision, hot bool, yield func(name, value string)) {
	if d.ContentLength >= 0 {
		yield("Content-Length", strconv.FormatInt(d.ContentLength, 10))
	}
	if d.Range != (Range{}) {
		yield("Content-Range", d.Range.String())
	}
	if d.Location != "" {
		yield("Location", d.Location)
	}
	if d.RetryAfter > 0 {
		yield("Retry-After", strconv.Itoa(d.RetryAfter))
	}
	if d.Allow {
		yield("Allow", allowedMethods)
	}
	if d.Close {
		yield("Connection", "close")
	}
	if h.options.Node != "" {
		h.debug(d, hot, yield)
	}
}

// String returns the value of a Content-Range field (RFC 9110, section 14.4).
func (r Range) String() string {
	if r.End < 0 {
		return "bytes */" + strconv.FormatInt(r.Total, 10)
	}
	return "bytes " + strconv.FormatInt(r.Start, 10) + "-" + strconv.FormatInt(r.End, 10) + "/" + strconv.FormatInt(r.Total, 10)
}

// debug yields fields that tell an operator which node answered, and the origin of the
// bytes.
func (h *Handler) debug(d *Decision, hot bool, yield func(name, value string)) {
	status := quoted(h.options.Node) // Cache-Status, RFC 9211, section 2
	switch {
	case hot:
		status += "; hit"
	case d.Length > 0:
		status += "; fwd=miss"
	}
	yield("Cache-Status", status)
	yield("X-Holdfast-Node", h.options.Node)
	if d.Release != nil {
		yield("X-Holdfast-Release", d.Release.ID.String())
	}
}

// quoted is a string of a structured field (RFC 9651, section 3.3.3).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
