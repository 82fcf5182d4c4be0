package serve

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
)

// Tables is where the current table comes from, and the way to ask for news.
type Tables interface {
	// Table returns the current table, or nil before the first.
	Table() *live.Table
	// Await waits for a read of the registry that began after the call. A guess is a name
	// without supporting evidence: when many wait, it is rejected first.
	Await(ctx context.Context, name string, guess bool) error
}

// Blobs is where bodies come from, verified; *blob.Source is one.
type Blobs interface {
	// Hot returns the bytes if they are in memory.
	Hot(ref blob.Ref) ([]byte, bool)
	// Open waits for the bytes until ctx ends. The content outlives ctx.
	Open(ctx context.Context, ref blob.Ref) (blob.Content, error)
}

// Deltas is where deltas between files come from (RFC 9842); *delta.Maker is one.
type Deltas interface {
	// Find returns the delta in coding c, and its digest; none if none is worth sending.
	// It does no I/O: a missing one may be made for later requests.
	Find(c holdfast.Coding, u live.Upgrade) (delta []byte, digest holdfast.Digest, known bool)
}

// Meter counts answers; *metrics.Metrics is one. It must not block, and keeps no part of
// d.
type Meter interface {
	// Observe is called with an answer, the bytes of its body that were sent, and the
	// time since the request was read.
	Observe(d *Decision, sent int64, took time.Duration)
}

// Options configure a Handler. The zero values mean the defaults named.
type Options struct {
	Logger *slog.Logger // nil discards
	// Access is called after each answer, if set. It must not block.
	Access func(*http.Request, Access)
	// Meter counts answers; nil for none.
	Meter Meter
	// Node is the name that debug headers give; "" leaves debug headers out.
	Node string
	// Wait bounds how long a request waits for news of the registry (2 s), Fetch
	// how long it waits for a body that is not at hand (30 s), and Stall how long
	// a client may take for each piece of a large body (60 s).
	Wait, Fetch, Stall time.Duration
	// Deltas are sent to browsers that have an earlier version of a file; nil for none.
	Deltas Deltas
	// Fresh is for development: conditions of requests are ignored, and every answer says
	// that it must not be stored, and has no validators.
	Fresh bool
}

// Access is an access log's record of an answer.
type Access struct {
	Status   int
	Sent     int64 // bytes of the body
	Hot      bool  // the body was in memory
	Delta    bool  // it was a delta
	App      string
	Release  string
	Duration time.Duration
}

// Handler answers over net/http with the decisions of Decide.
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{tables: t, blobs: b, options: o}
}

// ServeHTTP implements http.Handler. An answer that cannot be completed ends in
// http.ErrAbortHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	BoundBody(w, r) // refused, or ignored
	req := h.requestOf(r)
	var d Decision
	h.decide(r.Context(), &req, &d)
	h.answer(w, r, &req, &d, start)
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, req *Request, d *Decision, start time.Time) {
	if !r.ProtoAtLeast(1, 1) {
		d.Close = true // net/http drops Transfer-Encoding there: the following bytes may not be a request
	}
	body := h.body(r.Context(), req, d)
	defer body.Close()
	h.writeHeader(w.Header(), d, body.hot)
	w.WriteHeader(d.Status)
	d.count()
	sent, err := h.send(w, &body)
	h.Report(d, &body, sent, time.Since(start), func() *http.Request { return r })
	if err != nil {
		h.options.Logger.Debug("answer cut short", "path", r.URL.Path, "sent", sent, "error", err)
		panic(http.ErrAbortHandler) // so that the client also sees it
	}
}

// count records a request for a release.
func (d *Decision) count() {
	if asked := cmp.Or(d.Asked, d.Release); asked != nil && asked.Asked != nil {
		asked.Asked.Add()
	}
}

// decide decides, and again after waiting for the registry if necessary.
func (h *Handler) decide(ctx context.Context, req *Request, d *Decision) {
	Decide(h.tables.Table(), req, d)
	if d.Wait != "" {
		h.await(ctx, req, d)
	}
}

func (h *Handler) await(ctx context.Context, req *Request, d *Decision) {
	ctx, cancel := context.WithTimeout(ctx, h.options.Wait)
	defer cancel()
	if err := h.tables.Await(ctx, d.Wait, d.Guess); err != nil {
		if d.Status >= http.StatusBadRequest && !d.Guess {
			d.Unavailable(req, "the registry does not say in time whether this exists")
		}
		return
	}
	req.Waited = true
	Decide(h.tables.Table(), req, d)
}

// requestOf extracts from r the parts that matter for the answer.
func (h *Handler) requestOf(r *http.Request) Request {
	target := r.RequestURI
	if target == "" { // made by a program, which calls the handler itself
		target = r.URL.RequestURI()
	}
	path, query := targetOf(target)
	header := r.Header
	req := Request{
		Now: time.Now().Unix(), Method: r.Method, Host: r.Host, Path: path, Query: query,
		HasBody:             r.ContentLength != 0 || len(r.TransferEncoding) > 0,
		Accept:              field(header, "Accept"),
		AcceptEncoding:      field(header, "Accept-Encoding"),
		AvailableDictionary: field(header, "Available-Dictionary"),
		DeploymentID:        field(header, "X-Deployment-Id"),
		FetchDest:           field(header, "Sec-Fetch-Dest"),
		FetchMode:           field(header, "Sec-Fetch-Mode"),
		IfMatch:             field(header, "If-Match"),
		IfModifiedSince:     field(header, "If-Modified-Since"),
		IfNoneMatch:         field(header, "If-None-Match"),
		IfRange:             field(header, "If-Range"),
		IfUnmodifiedSince:   field(header, "If-Unmodified-Since"),
		Range:               field(header, "Range"),
	}
	if h.options.Fresh {
		req.forget()
	}
	return req
}

// targetOf returns path and query as they were sent. A target may name scheme
// and host before the path (RFC 9112, section 3.2.2).
func targetOf(uri string) (path, query string) {
	path, query, _ = strings.Cut(uri, "?")
	scheme, rest, absolute := strings.Cut(path, "://")
	if !absolute || strings.HasPrefix(path, "/") || strings.ContainsRune(scheme, '/') {
		return path, query
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:], query
	}
	return "/", query
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
