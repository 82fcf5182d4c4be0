package fastpath

import (
	"errors"
	"time"

	"golang.org/x/net/http2"
)

// headerLength is the length of a frame's header (RFC 9113, section 4.1).
const headerLength = 9

// handleFrames handles all frames that were read completely.
func (h *h2conn) handleFrames() error {
	if !h.greeted {
		if ok, err := h.preface(); !ok {
			return err
		}
	}
	for h.hasFrame() {
		f, err := h.framer.ReadFrame()
		if err == nil {
			err = h.handle(f)
		}
		var bad http2.StreamError
		switch {
		case errors.As(err, &bad):
			h.refuse(bad)
		case errors.Is(err, http2.ErrFrameTooLarge):
			return http2.ConnectionError(http2.ErrCodeFrameSize)
		case err != nil:
			return err
		}
		if err := h.flushIfMuch(); err != nil {
			return err
		}
		if h.block.id == 0 {
			h.partial = time.Time{}
		}
	}
	if h.partial.IsZero() && (h.pos < len(h.input) || h.block.id != 0) {
		h.partial = time.Now()
	}
	return nil
}

// preface reads the client's preface (RFC 9113, section 3.4). It is false while more is
// to come.
func (h *h2conn) preface() (ok bool, err error) {
	got := h.input[:min(len(h.input), len(http2.ClientPreface))]
	if string(got) != http2.ClientPreface[:len(got)] {
		return false, http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if len(got) < len(http2.ClientPreface) {
		return false, nil
	}
	h.greeted, h.pos = true, len(got)
	return true, nil
}

// hasFrame reports whether there is a whole frame, or one that is too long.
func (h *h2conn) hasFrame() bool {
	b := h.input[h.pos:]
	if len(b) < headerLength {
		return false
	}
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	return n > frameSize || len(b) >= headerLength+n
}

// handle handles a frame. The error is an http2.StreamError, an http2.ConnectionError, or
// that of a write.
func (h *h2conn) handle(f http2.Frame) error {
	if settings, ok := f.(*http2.SettingsFrame); ok {
		return h.settings(settings)
	}
	if !h.settled { // RFC 9113, section 3.4
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return h.headers(f)
	case *http2.ContinuationFrame:
		return h.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.DataFrame:
		return h.data(f)
	case *http2.WindowUpdateFrame:
		return h.windowUpdate(f)
	case *http2.RSTStreamFrame:
		return h.peerReset(f)
	case *http2.PriorityUpdateFrame:
		if st := h.streams[f.PrioritizedStreamID]; st != nil {
			st.prioritize(f.Priority)
		}
		return h.bother()
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
		}
		return h.bother()
	case *http2.PingFrame:
		return h.ping(f)
	case *http2.PushPromiseFrame: // RFC 9113, section 8.4: clients cannot push
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return h.bother() // GOAWAY, and unknown frames
}

// bother counts a frame that causes work and carries no request.
func (h *h2conn) bother() error {
	h.nuisance++
	if h.nuisance < maxNuisance {
		return nil
	}
	if now := time.Now(); now.Sub(h.calm) > calmAfter {
		h.nuisance, h.calm = 0, now
		return nil
	}
	return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
}

// settings applies the client's settings (RFC 9113, section 6.5.2). There is no dynamic
// table, nothing is pushed, and frames have the minimum size limit, so only the window
// matters.
func (h *h2conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return h.bother()
	}
	h.settled = true
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		if s.ID != http2.SettingInitialWindowSize {
			return nil
		}
		change := int64(s.Val) - h.initial
		h.initial = int64(s.Val)
		for _, st := range h.streams {
			if st.window += change; st.window > maxWindow {
				return http2.ConnectionError(http2.ErrCodeFlowControl)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_ = h.framer.WriteSettingsAck()
	return h.bother()
}

func (h *h2conn) ping(f *http2.PingFrame) error {
	switch {
	case !f.IsAck():
		_ = h.framer.WritePing(true, f.Data)
	case string(f.Data[:]) == drainPing && h.goAway == announced:
		h.sayLast()
	}
	return h.bother()
}

// windowUpdate lets more be sent. One for a stream that has ended is not an error.
func (h *h2conn) windowUpdate(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if h.window += int64(f.Increment); h.window > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
	} else if st := h.streams[f.StreamID]; st != nil {
		if st.window += int64(f.Increment); st.window > maxWindow {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
		}
	} else if h.idle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if len(h.sending) > 0 {
		return nil // this lets a body make progress
	}
	return h.bother()
}

// idle reports whether the client has not used a stream yet.
func (h *h2conn) idle(id uint32) bool { return id > h.lastID || id%2 == 0 }

// peerReset drops a stream that the client has canceled.
func (h *h2conn) peerReset(f *http2.RSTStreamFrame) error {
	if h.idle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	if st := h.streams[f.StreamID]; st != nil {
		h.drop(st)
	}
	return h.bother()
}

// data reads content (RFC 9113, section 6.1), all of which counts against windows.
func (h *h2conn) data(f *http2.DataFrame) error {
	if h.idle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	length := int64(f.Length)
	if h.credit -= length; h.credit < 0 {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	if missing := receiveWindow - h.credit; missing >= receiveWindow/2 {
		_ = h.framer.WriteWindowUpdate(0, uint32(missing)) //nolint:gosec // at most the window
		h.credit = receiveWindow
	}
	st := h.streams[f.StreamID]
	switch {
	case st == nil || !st.receiving:
		if st == nil && h.wasReset(f.StreamID) {
			return h.bother() // it was on its way
		}
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
	case length > st.credit:
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
	}
	st.credit -= length
	st.received += int64(len(f.Data()))
	if f.StreamEnded() {
		return h.contentEnded(st)
	}
	if st.credit == 0 {
		h.cutContent(st)
		return nil
	}
	if len(f.Data()) == 0 {
		return h.bother()
	}
	return nil
}

// contentEnded answers a request whose content was received. It must match its declared
// length (RFC 9113, section 8.1.1).
func (h *h2conn) contentEnded(st *h2stream) error {
	st.receiving = false
	if st.head.length >= 0 && st.head.length != st.received {
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeProtocol}
	}
	return h.answer(st)
}

// cutContent answers a request whose content is no longer awaited. A reset without an
// error tells the client that it may stop sending (RFC 9113, section 8.1).
func (h *h2conn) cutContent(st *h2stream) {
	st.receiving, st.cut = false, true
	_ = h.answer(st)
}

// refuse ends a stream with an error.
func (h *h2conn) refuse(e http2.StreamError) {
	if st := h.streams[e.StreamID]; st != nil {
		h.drop(st)
	}
	h.reset(e.StreamID, e.Code)
}

// reset tells the client that a stream has ended, and records that frames for it may be
// on their way.
func (h *h2conn) reset(id uint32, code http2.ErrCode) {
	_ = h.framer.WriteRSTStream(id, code)
	h.resets[h.nextGone] = id
	h.nextGone = (h.nextGone + 1) % len(h.resets)
}

func (h *h2conn) wasReset(id uint32) bool {
	for _, gone := range h.resets {
		if gone == id {
			return true
		}
	}
	return false
}
