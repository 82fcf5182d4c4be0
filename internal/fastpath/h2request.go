package fastpath

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// headerBlock is the header of a request, possibly in several frames.
type headerBlock struct {
	id       uint32 // of the stream; 0 between requests
	ended    bool   // nothing follows the header
	trailer  bool   // it is a trailer: decoded only to maintain the tables
	selfDep  bool
	compress int // bytes received

	head2
}

// head2 is a request head in HTTP/2 form.
type head2 struct {
	head
	scheme    string
	authority string
	length    int64 // of the content, as declared; -1 if it was not
	expects   bool  // the client waits for a sign before it sends content
	priority  string

	fields    int
	size      int  // as RFC 9113, section 10.5.1, counts it
	regular   bool // a regular field was seen
	malformed bool
	table     *fieldTable
}

// add processes a decoded field.
func (b *headerBlock) add(f hpack.HeaderField) {
	b.fields++
	b.size += len(f.Name) + len(f.Value) + 32
	if b.tooLarge() || b.malformed {
		return
	}
	if f.IsPseudo() {
		b.malformed = b.regular || b.trailer || !b.pseudo(f.Name, f.Value) || !validValue(f.Value)
		return
	}
	b.regular = true
	b.malformed = !isLowerToken(f.Name) || !validValue(f.Value) || !b.field(f.Name, f.Value)
}

func (b *head2) tooLarge() bool { return b.fields > maxFields || b.size > maxHead }

// pseudo processes a pseudo-header field (RFC 9113, section 8.3.1), each of which may
// occur once.
func (b *head2) pseudo(name, value string) bool {
	var to *string
	switch name {
	case ":method":
		to = &b.Method
	case ":path":
		to = &b.target
	case ":scheme":
		to = &b.scheme
	case ":authority":
		to = &b.authority
	default:
		return false
	}
	if *to != "" || value == "" {
		return name == ":authority" && *to == "" // which may be empty
	}
	*to = value
	return true
}

// field processes a regular field, and is false for one that HTTP/2 forbids (RFC 9113,
// section 8.2.2).
func (b *head2) field(name, value string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return false
	case "te":
		return value == "trailers"
	case "content-length":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || b.length >= 0 && b.length != int64(n) { //nolint:gosec // 63 bits
			return false
		}
		b.length = int64(n) //nolint:gosec // 63 bits
	case "expect":
		b.expects = true
	case "priority":
		b.priority = value
	case "host":
		if b.Host != "" {
			return false
		}
		b.Host = value
	case "user-agent":
		b.agent = value
	case "referer":
		b.referer = value
	case "forwarded":
		b.forwarded = joined(b.forwarded, value)
	case "x-forwarded-for":
		b.forwardedFor = joined(b.forwardedFor, value)
	default:
		if f := b.table.find(name); f != nil && f.In != nil {
			to := f.In(&b.Request)
			if b.seen&f.bit != 0 {
				value = joined(*to, value)
			}
			b.seen |= f.bit
			*to = value
		}
	}
	return true
}

// complete checks a request that was received completely, and returns the status with
// which it is refused, if it is well-formed.
func (b *head2) complete() (r refusal, ok bool) {
	if b.tooLarge() {
		return refusal{http.StatusRequestHeaderFieldsTooLarge, "the header is longer than 32 KiB, or has more than 100 fields"}, true
	}
	if b.malformed || b.Method == "" || !isToken(b.Method) || b.Method == http.MethodConnect || b.scheme == "" || !isTarget(b.target) {
		return r, false
	}
	if b.target[0] != '/' && (b.target != "*" || b.Method != http.MethodOptions) {
		return r, false
	}
	if b.authority != "" {
		b.Host = b.authority // RFC 9113, section 8.3.1
	}
	if !isHost(b.Host) {
		return r, false
	}
	if len(b.target) > maxLine {
		return refusal{http.StatusRequestURITooLong, "the path is longer than 8 KiB"}, true
	}
	b.Path, b.Query, _ = strings.Cut(b.target, "?")
	return r, true
}

// headers begins a request, or the trailer of one (RFC 9113, section 8.1).
func (h *h2conn) headers(f *http2.HeadersFrame) error {
	id, trailer := f.StreamID, false
	switch {
	case id%2 == 0:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case id <= h.lastID:
		st := h.streams[id]
		if st == nil && !h.wasReset(id) || st != nil && !st.receiving && !st.cut {
			return http2.ConnectionError(http2.ErrCodeStreamClosed)
		}
		if st != nil && !f.StreamEnded() {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		trailer = true
	default:
		h.lastID = id
	}
	h.block = headerBlock{id: id, ended: f.StreamEnded(), trailer: trailer, head2: head2{length: -1, table: h.s.fields}}
	h.block.selfDep = f.HasPriority() && f.Priority.StreamDep == id
	return h.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

// fragment processes a piece of a header.
func (h *h2conn) fragment(b []byte, last bool) error {
	h.block.compress += len(b)
	if h.block.compress > maxHead {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	if _, err := h.fields.Write(b); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	if !last {
		return h.bother()
	}
	if err := h.fields.Close(); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	return h.headerEnded()
}

// headerEnded answers a request, or waits for its content.
func (h *h2conn) headerEnded() error {
	b := &h.block
	id := b.id
	b.id = 0
	if b.trailer {
		return h.trailerEnded(id)
	}
	failed := func(code http2.ErrCode) error { return http2.StreamError{StreamID: id, Code: code} }
	if len(h.streams) >= maxStreams || h.waiting >= maxStreams || h.goAway == final {
		return failed(http2.ErrCodeRefusedStream)
	}
	r, ok := b.complete()
	if !ok || b.selfDep || b.ended && b.length > 0 {
		return failed(http2.ErrCodeProtocol)
	}
	st := h.newStream(id)
	st.refused = r
	if b.ended || r.status != 0 || b.expects {
		st.cut = !b.ended
		return h.answer(st)
	}
	st.receiving, st.head.HasBody = true, true
	h.streams[id] = st
	return nil
}

func (h *h2conn) trailerEnded(id uint32) error {
	st := h.streams[id]
	if st == nil || !st.receiving {
		return h.bother() // its stream was reset
	}
	if h.block.malformed {
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	}
	return h.contentEnded(st)
}

// h2stream is a request and its answer.
type h2stream struct {
	id      uint32
	head    head2
	refused refusal
	began   time.Time

	receiving bool  // its content
	cut       bool  // the client is still sending content
	received  int64 // bytes of content
	credit    int64 // that the client may still send

	d       serve.Decision
	payload serve.Payload
	cancel  func() // of a pending answer; otherwise nil
	failed  bool   // the answer failed
	dead    bool   // the answer is not wanted any more

	window      int64 // bytes that the client accepts
	sent        int64 // bytes of the body
	urgency     uint8 // RFC 9218, section 4.1
	incremental bool  // section 4.2
}

// newStream creates a stream from the received header. A stream that is answered at once
// needs no memory: the connection's is reused.
func (h *h2conn) newStream(id uint32) *h2stream {
	st := h.spare
	if h.spare = nil; st == nil {
		st = new(h2stream)
	}
	*st = h2stream{id: id, head: h.block.head2, began: time.Now(), credit: receiveWindow, window: h.initial, urgency: 3}
	if st.head.priority != "" {
		st.prioritize(st.head.priority)
	}
	return st
}

// stop ends the wait for the answer.
func (st *h2stream) stop() {
	if st.cancel != nil {
		st.cancel()
		st.cancel = nil
	}
}

// prioritize reads a Priority field (RFC 9218, section 4): members u and i of a
// dictionary. Invalid ones change nothing.
func (st *h2stream) prioritize(field string) {
	st.urgency, st.incremental = 3, false
	for member := range strings.SplitSeq(field, ",") {
		switch key, value, _ := strings.Cut(strings.Trim(member, " \t"), "="); {
		case key == "u" && len(value) == 1 && value[0] >= '0' && value[0] <= '7':
			st.urgency = value[0] - '0'
		case key == "i":
			st.incremental = value == "" || value == "?1"
		}
	}
}

// request converts the head for net/http, with the fields that access logs use.
func (st *h2stream) request(h *h2conn) *http.Request {
	r := st.head.asRequest(h.nc.RemoteAddr().String())
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	return r
}

// isLowerToken reports whether a field name is valid in HTTP/2 (RFC 9113, section 8.2).
func isLowerToken(name string) bool {
	for i := range len(name) {
		if name[i] >= 'A' && name[i] <= 'Z' {
			return false
		}
	}
	return isToken(name)
}

// validValue reports whether a field may have the value (RFC 9113, section 8.2.1).
func validValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return v == strings.Trim(v, " \t")
}
