package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
)

// Tables is where the current table comes from, and the way to ask for news.
type Tables interface {
	// Table returns the current table, or nil before the first.
	Table() *live.Table
	// Await waits for a read of the registry that began after the call.
	Await(ctx context.Context, name string) error
}

// Blobs is where bodies come from, verified.
type Blobs interface {
	Hot(ref blob.Ref) ([]byte, bool)
	Open(ctx context.Context, ref blob.Ref) (blob.Content, error)
}

// Options configure a Handler.
type Options struct {
	Logger *slog.Logger
	// Access is called after each answer, if set. It must not block.
	Access func(*http.Request, Access)
	// Node is the name that debug headers give; "" leaves debug headers out.
	Node string
	// Wait bounds how long a request waits for news of the registry (2 s), Fetch
	// how long it waits for a body that is not at hand (30 s), and Stall how long
	// a client may take for each piece of a large body (60 s).
	Wait, Fetch, Stall time.Duration
}

// Access is what an access log says of an answer.
type Access struct {
	Status   int
	Sent     int64 // bytes of the body
	Hot      bool  // the body was in memory
	App      string
	Release  string
	Duration time.Duration
}

// Handler answers over net/http what Decide decides.
type Handler struct {
	tables  Tables
	blobs   Blobs
	options Options
}

// NewHandler returns a handler.
func NewHandler(t Tables, b Blobs, o Options) *Handler {
	if o.Wait == 0 {
		o.Wait = 2 * time.Second
	}
	if o.Fetch == 0 {
		o.Fetch = 30 * time.Second
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	return &Handler{tables: t, blobs: b, options: o}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	var d Decision
	h.decide(r, &d)
	a := Access{Status: d.Status}
	h.answer(w, r, &d, &a)
	if h.options.Access == nil {
		return
	}
	if d.App != nil {
		a.App = d.App.Name.String()
	}
	if d.Release != nil {
		a.Release = d.Release.ID.String()
	}
	a.Duration = time.Since(start)
	h.options.Access(r, a)
}

func (h *Handler) decide(r *http.Request, d *Decision) {
	req := requestOf(r)
	Decide(h.tables.Table(), &req, d)
	if d.Wait == "" {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.options.Wait)
	defer cancel()
	if err := h.tables.Await(ctx, d.Wait); err != nil {
		c := decider{r: &req, d: d, a: d.App}
		c.unavailable("the registry does not say in time whether this exists")
		return
	}
	req.Waited = true
	Decide(h.tables.Table(), &req, d)
}

// requestOf takes from r what matters for the answer.
func requestOf(r *http.Request) Request {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		path, query = absoluteForm(r.URL, path)
	}
	h := r.Header
	return Request{
		Method: r.Method, Host: r.Host, Path: path, Query: query,
		HasBody:           r.ContentLength != 0 || len(r.TransferEncoding) > 0,
		Accept:            field(h, "Accept"),
		AcceptEncoding:    field(h, "Accept-Encoding"),
		DeploymentID:      field(h, "X-Deployment-Id"),
		FetchMode:         field(h, "Sec-Fetch-Mode"),
		IfMatch:           field(h, "If-Match"),
		IfModifiedSince:   field(h, "If-Modified-Since"),
		IfNoneMatch:       field(h, "If-None-Match"),
		IfRange:           field(h, "If-Range"),
		IfUnmodifiedSince: field(h, "If-Unmodified-Since"),
		Range:             field(h, "Range"),
	}
}

// absoluteForm returns path and query of a target that names scheme and host
// (RFC 9112, section 3.2.2); any other target that is no path stays as it is.
func absoluteForm(u *url.URL, target string) (path, query string) {
	if u.Host == "" {
		return target, u.RawQuery
	}
	if path = u.EscapedPath(); path == "" {
		path = "/"
	}
	return path, u.RawQuery
}

func field(h http.Header, name string) string {
	switch lines := h[name]; len(lines) {
	case 0:
		return ""
	case 1:
		return lines[0]
	default:
		return strings.Join(lines, ", ")
	}
}

// answer gets the body first, so that a failure to get it can still be told.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, d *Decision, a *Access) {
	var hot []byte
	var body blob.Content
	if d.Length > 0 {
		if hot, a.Hot = h.blobs.Hot(d.Ref); !a.Hot {
			ctx, cancel := context.WithTimeout(r.Context(), h.options.Fetch)
			defer cancel()
			var err error
			if body, err = h.blobs.Open(ctx, d.Ref); err != nil {
				h.noBody(r, d, err)
				a.Status = d.Status
			} else {
				defer body.Close()
			}
		}
	}
	header := w.Header()
	writeHeader(header, d)
	h.debug(header, d, a)
	w.WriteHeader(d.Status)
	var n int64
	var err error
	switch {
	case hot != nil:
		n, err = h.sendBytes(w, hot[d.Off:d.Off+d.Length])
	case body != nil:
		n, err = h.sendStream(w, io.NewSectionReader(body, d.Off, d.Length))
	case d.Text != "":
		n, err = h.sendBytes(w, []byte(d.Text))
	}
	a.Sent = n
	if err != nil && r.Context().Err() == nil {
		h.options.Logger.Debug("answer cut short", "path", r.URL.Path, "sent", n, "error", err)
	}
}

// noBody turns d into the answer for a body that could not be had.
func (h *Handler) noBody(r *http.Request, d *Decision, err error) {
	if !errors.Is(err, context.Canceled) {
		h.options.Logger.Error("body not available", "path", r.URL.Path, "object", d.Ref.Name.String(), "error", err)
	}
	req := Request{Method: r.Method}
	c := decider{r: &req, d: d, a: d.App}
	d.Range, d.Length = Range{}, 0
	c.unavailable("the file is known, but its bytes cannot be had right now")
}

func writeHeader(header http.Header, d *Decision) {
	d.Entry.addTo(header)
	d.Class.addTo(header)
	if d.ContentLength >= 0 {
		header["Content-Length"] = []string{strconv.FormatInt(d.ContentLength, 10)}
	}
	if d.Range.Total > 0 || d.Status == http.StatusRequestedRangeNotSatisfiable {
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
}

// String returns the value of a Content-Range field (RFC 9110, section 14.4).
func (r Range) String() string {
	if r.End < 0 {
		return "bytes */" + strconv.FormatInt(r.Total, 10)
	}
	return "bytes " + strconv.FormatInt(r.Start, 10) + "-" + strconv.FormatInt(r.End, 10) + "/" + strconv.FormatInt(r.Total, 10)
}

// debug adds what tells an operator who answered, and from where.
func (h *Handler) debug(header http.Header, d *Decision, a *Access) {
	if h.options.Node == "" {
		return
	}
	status := h.options.Node // Cache-Status, RFC 9211, section 2
	switch {
	case d.Length > 0 && a.Hot:
		status += "; hit"
	case d.Length > 0:
		status += "; fwd=miss"
	}
	header.Set("Cache-Status", status)
	header.Set("X-Holdfast-Node", h.options.Node)
	if d.Release != nil {
		header.Set("X-Holdfast-Release", d.Release.ID.String())
	}
}

// pieceSize is how much of a body is sent under one deadline.
const pieceSize = 256 << 10

func (h *Handler) sendBytes(w http.ResponseWriter, b []byte) (int64, error) {
	if len(b) <= pieceSize {
		n, err := w.Write(b)
		return int64(n), err
	}
	control := http.NewResponseController(w)
	var sent int64
	for len(b) > 0 {
		if err := extend(control, h.options.Stall); err != nil {
			return sent, err
		}
		n, err := w.Write(b[:min(len(b), pieceSize)])
		sent += int64(n)
		if err != nil {
			return sent, err
		}
		b = b[n:]
	}
	return sent, nil
}

func (h *Handler) sendStream(w http.ResponseWriter, body io.Reader) (int64, error) {
	control := http.NewResponseController(w)
	var sent int64
	for {
		if err := extend(control, h.options.Stall); err != nil {
			return sent, err
		}
		n, err := io.CopyN(w, body, pieceSize)
		sent += n
		if err == io.EOF {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
	}
}

// extend gives the client more time for the next piece, where the connection
// can be told so.
func extend(control *http.ResponseController, by time.Duration) error {
	err := control.SetWriteDeadline(time.Now().Add(by))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
