package fastpath

import (
	"encoding/binary"
	"net/http"
	"slices"
	"time"

	"golang.org/x/net/http2"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// answer answers a request at once if it can, or starts waiting for the answer.
func (h *h2conn) answer(st *h2stream) error {
	st.head.Now = st.began.Unix()
	h.nuisance = max(0, h.nuisance-1)
	if st.refused.status != 0 {
		serve.Refuse(&st.d, st.refused.status, st.refused.why)
		st.payload = serve.TextOf(&st.d)
		h.begin(st)
		return nil
	}
	p, ok := h.s.config.Handler.AnswerNow(&st.head.Request, &st.d)
	if !ok {
		h.streams[st.id] = st
		h.answerLater(st)
		return nil
	}
	st.payload = p
	h.begin(st)
	return nil
}

// begin queues the header of an answer, and its body if that is short and fits.
func (h *h2conn) begin(st *h2stream) {
	n := st.payload.Len()
	if st.head.Method == http.MethodHead {
		n = 0
	}
	h.putHeader(st, n == 0)
	if n == 0 {
		h.finish(st)
		return
	}
	if b := st.payload.Bytes(); b != nil && n <= frameSize && n <= st.window && n <= h.window {
		at := len(h.output)
		h.output = append(h.output, make([]byte, headerLength)...)
		h.output = append(h.output, b...)
		h.putFrame(at, http2.FrameData, http2.FlagDataEndStream, st.id)
		h.window -= n
		st.sent = n
		h.finish(st)
		return
	}
	if len(h.sending) == 0 {
		h.progress = time.Now()
	}
	h.streams[st.id] = st
	h.sending = append(h.sending, st)
}

// putHeader appends the header of an answer.
func (h *h2conn) putHeader(st *h2stream, last bool) {
	at := len(h.output)
	h.output = append(h.output, make([]byte, headerLength)...)
	if !h.sized {
		h.sized = true
		const noTable = 0x20 // RFC 7541, section 6.3
		h.output = append(h.output, noTable)
	}
	h.output = h.s.config.Handler.AppendHeaderHPACK(h.output, &st.d, &st.payload)
	h.output = append(h.output, h.s.dateAt(st.now()).hpack...)
	flags := http2.FlagHeadersEndHeaders
	if last {
		flags |= http2.FlagHeadersEndStream
	}
	if len(h.output)-at-headerLength <= frameSize {
		h.putFrame(at, http2.FrameHeaders, flags, st.id)
		return
	}
	block := slices.Clone(h.output[at+headerLength:])
	h.output = h.output[:at]
	_ = h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: st.id, BlockFragment: block[:frameSize], EndStream: last})
	for block = block[frameSize:]; len(block) > 0; block = block[min(frameSize, len(block)):] {
		_ = h.framer.WriteContinuation(st.id, len(block) <= frameSize, block[:min(frameSize, len(block))])
	}
}

// now is the Date of the answer: a pending answer gets the current time.
func (st *h2stream) now() time.Time {
	if st.failed || st.d.RetryAfter > 0 {
		return time.Now()
	}
	return st.began
}

// putFrame fills in the header of the last frame, which begins at at (RFC 9113, section
// 4.1).
func (h *h2conn) putFrame(at int, t http2.FrameType, flags http2.Flags, id uint32) {
	b := h.output[at:]
	n := len(b) - headerLength
	b[0], b[1], b[2], b[3], b[4] = byte(n>>16), byte(n>>8), byte(n), byte(t), byte(flags)
	binary.BigEndian.PutUint32(b[5:], id)
}

// finish ends a stream whose answer was queued.
func (h *h2conn) finish(st *h2stream) {
	if st.cut {
		h.reset(st.id, http2.ErrCodeNo)
	}
	h.s.config.Handler.Report(&st.d, &st.payload, st.sent, time.Since(st.began), func() *http.Request { return st.request(h) })
	st.payload.Close()
	delete(h.streams, st.id)
	*st = h2stream{}
	h.spare = st
}

// drop forgets a stream whose answer is not wanted.
func (h *h2conn) drop(st *h2stream) {
	delete(h.streams, st.id)
	if st.cancel != nil { // collect closes the payload
		st.dead = true
		st.cancel()
		return
	}
	if i := slices.Index(h.sending, st); i >= 0 {
		h.sending = slices.Delete(h.sending, i, i+1)
		h.s.config.Handler.Report(&st.d, &st.payload, st.sent, time.Since(st.began), func() *http.Request { return st.request(h) })
		st.payload.Close()
	}
}

// sendBodies queues pieces of bodies, the most urgent first, up to the size of one write.
// It reports whether there is more that the client would accept.
func (h *h2conn) sendBodies() (more bool) {
	for {
		i := h.next()
		if i < 0 || len(h.output) >= flushAt {
			return i >= 0
		}
		h.sendPiece(i)
	}
}

// next returns the index of the stream to send next: the lowest urgency; among equals the
// oldest or, where partial content is useful to the client, each in turn (RFC 9218,
// section 10). It is -1 if none may send.
func (h *h2conn) next() int {
	best := -1
	if h.window <= 0 {
		return best
	}
	for i, st := range h.sending {
		if st.window > 0 && (best < 0 || st.urgency < h.sending[best].urgency) {
			best = i
		}
	}
	return best
}

// sendPiece puts one DATA frame of a body.
func (h *h2conn) sendPiece(i int) {
	st := h.sending[i]
	total := st.payload.Len()
	n := min(total-st.sent, st.window, h.window, frameSize)
	at := len(h.output)
	h.output = append(h.output, make([]byte, headerLength)...)
	written, err := st.payload.WriteRange(toOutput{h}, st.sent, n)
	if err != nil || written != n {
		h.output = h.output[:at]
		h.drop(st)
		h.reset(st.id, http2.ErrCodeInternal)
		return
	}
	st.sent += n
	st.window -= n
	h.window -= n
	h.progress = time.Now()
	var flags http2.Flags
	if st.sent == total {
		flags = http2.FlagDataEndStream
	}
	h.putFrame(at, http2.FrameData, flags, st.id)
	switch {
	case st.sent == total:
		h.sending = slices.Delete(h.sending, i, i+1)
		h.finish(st)
	case st.incremental: // behind the others
		h.sending = append(slices.Delete(h.sending, i, i+1), st)
	}
}
