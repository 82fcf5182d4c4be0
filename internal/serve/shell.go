package serve

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// A RequestField is a header field that matters for an answer.
type RequestField struct {
	Name string // in canonical form
	In   func(*Request) *string
}

// RequestFields returns all of them.
func RequestFields() []RequestField {
	return []RequestField{
		{"Accept", func(r *Request) *string { return &r.Accept }},
		{"Accept-Encoding", func(r *Request) *string { return &r.AcceptEncoding }},
		{"Available-Dictionary", func(r *Request) *string { return &r.AvailableDictionary }},
		{"X-Deployment-Id", func(r *Request) *string { return &r.DeploymentID }},
		{"Sec-Fetch-Dest", func(r *Request) *string { return &r.FetchDest }},
		{"Sec-Fetch-Mode", func(r *Request) *string { return &r.FetchMode }},
		{"If-Match", func(r *Request) *string { return &r.IfMatch }},
		{"If-Modified-Since", func(r *Request) *string { return &r.IfModifiedSince }},
		{"If-None-Match", func(r *Request) *string { return &r.IfNoneMatch }},
		{"If-Range", func(r *Request) *string { return &r.IfRange }},
		{"If-Unmodified-Since", func(r *Request) *string { return &r.IfUnmodifiedSince }},
		{"Range", func(r *Request) *string { return &r.Range }},
	}
}

// Answer decides r, and gets the body: everything that a shell other than net/http needs,
// which sends AppendHeader's bytes and then the body. A wait for the registry or for
// bytes ends with ctx. The caller closes the payload.
func (h *Handler) Answer(ctx context.Context, r *Request, d *Decision) Payload {
	h.decide(ctx, r, d)
	p := h.body(ctx, r, d)
	d.count()
	return p
}

// AnswerNow is Answer for a request that need not wait for the registry or for bytes. It
// is false, with d undefined, if this one must.
func (h *Handler) AnswerNow(r *Request, d *Decision) (Payload, bool) {
	Decide(h.tables.Table(), r, d)
	if d.Wait != "" {
		return Payload{}, false
	}
	h.upgrade(r, d)
	p, ok := h.atHand(r, d)
	if ok {
		d.count()
	}
	return p, ok
}

// Report passes an answer to the meter and the access log, if there are any, with its
// duration and the bytes sent. request makes the request for net/http; the log keeps no
// part of it.
func (h *Handler) Report(d *Decision, p *Payload, sent int64, took time.Duration, request func() *http.Request) {
	if h.options.Meter != nil {
		h.options.Meter.Observe(d, sent, took)
	}
	if h.options.Access == nil {
		return
	}
	a := Access{Status: d.Status, Sent: sent, Hot: p.hot, Delta: d.Delta != nil, Duration: took}
	if d.App != nil {
		a.App = d.App.Name.String()
	}
	if d.Release != nil {
		a.Release = d.Release.ID.String()
	}
	h.options.Access(request(), a)
}

// AppendHeader appends the status line and the header of d, whose body is p, for HTTP/1.1
// (RFC 9112, section 2.1), without Date and the empty line.
func (h *Handler) AppendHeader(b []byte, d *Decision, p *Payload) []byte {
	b = append(b, statusLine(d.Status)...)
	b = d.Entry.appendTo(b)
	b = d.Class.appendTo(b)
	b = d.Offer.appendTo(b)
	h.eachOther(d, p.hot, func(name, value string) { b = appendField(b, name, value) })
	return b
}

func (b *Block) appendTo(to []byte) []byte {
	if b == nil {
		return to
	}
	return append(to, b.wire...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// statusLine is ready-made for frequent statuses.
func statusLine(status int) string {
	switch status {
	case http.StatusOK:
		return "HTTP/1.1 200 OK\r\n"
	case http.StatusPartialContent:
		return "HTTP/1.1 206 Partial Content\r\n"
	case http.StatusNotModified:
		return "HTTP/1.1 304 Not Modified\r\n"
	case http.StatusNotFound:
		return "HTTP/1.1 404 Not Found\r\n"
	}
	return "HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n"
}

// Refuse makes d the answer to an invalid request, in the form of every failure: it is
// never cached, and the connection is closed.
func Refuse(d *Decision, status int, why string) {
	*d = Decision{ContentLength: -1, Close: true}
	c := decider{r: &Request{Method: http.MethodGet}, d: d}
	c.fail(status, why)
}
