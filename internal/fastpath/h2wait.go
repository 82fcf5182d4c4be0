package fastpath

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// await waits for bytes, for an answer, or until a deadline has passed.
func (h *h2conn) await(now time.Time) error {
	until := h.until(now)
	if slack := until.Sub(now) / 4; h.said.Before(until) || h.said.After(until.Add(slack)) {
		h.said = until.Add(slack) // so that a deadline is not set for each request
		if err := h.nc.SetReadDeadline(h.said); err != nil {
			return err
		}
	}
	h.mu.Lock()
	if len(h.mail) > 0 || h.poked {
		h.poked = false
		h.mu.Unlock()
		return nil
	}
	h.blocked = true
	h.mu.Unlock()
	h.releaseOutput()
	err := h.more()
	h.takeOutput()
	h.mu.Lock()
	poked := h.poked
	h.blocked, h.poked = false, false
	h.mu.Unlock()
	if poked {
		h.said = time.Time{}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || poked {
		return notDeadline(err)
	}
	return h.overdue(time.Now())
}

func notDeadline(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// until is when await must return at the latest. Each phase has its own limit: an
// unfinished frame, content, a body that the client does not accept, and the wait for the
// next request.
func (h *h2conn) until(now time.Time) time.Time {
	until := now.Add(h.s.config.Idle)
	earlier := func(t time.Time) {
		if t.Before(until) {
			until = t
		}
	}
	if len(h.sending) > 0 {
		earlier(h.progress.Add(h.s.config.Write))
	}
	if !h.partial.IsZero() {
		earlier(h.partial.Add(h.s.config.Head))
	}
	if h.goAway == announced {
		earlier(h.goAwayAt.Add(goAwayPatience))
	}
	for _, st := range h.streams {
		if st.receiving {
			earlier(st.began.Add(serve.BodyTimeout))
		}
	}
	return until
}

// errOverdue ends a connection whose client missed a deadline.
var errOverdue = errors.New("the client is too slow")

// overdue handles a passed deadline.
func (h *h2conn) overdue(now time.Time) error {
	switch {
	case !h.partial.IsZero() && now.Sub(h.partial) >= h.s.config.Head:
		return errOverdue
	case len(h.sending) > 0 && now.Sub(h.progress) >= h.s.config.Write:
		return errOverdue
	case len(h.streams) == 0 && h.goAway == staying:
		h.sayLast() // it was idle for long enough
		return nil
	}
	for _, st := range h.streams {
		if st.receiving && now.Sub(st.began) >= serve.BodyTimeout {
			h.cutContent(st)
		}
	}
	return nil
}

// poke ends a wait for bytes.
func (h *h2conn) poke() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pokeLocked()
}

func (h *h2conn) pokeLocked() {
	h.poked = true
	if h.blocked {
		_ = h.nc.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection
	}
}

// deliver hands a stream with a finished answer to the goroutine of the connection.
func (h *h2conn) deliver(st *h2stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mail = append(h.mail, st)
	h.pokeLocked()
}

// look reads the available bytes.
func (h *h2conn) look() error {
	if h.poll == nil {
		if h.sinceLook < pollEvery {
			return nil
		}
		h.sinceLook, h.said = 0, time.Time{}
		if err := h.nc.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			return err
		}
		return notDeadline(h.more())
	}
	h.poll.now = true
	err := h.more()
	h.poll.now = false
	return notDeadline(err)
}

// more reads once.
func (h *h2conn) more() error {
	h.input = h.input[:copy(h.input, h.input[h.pos:])]
	h.pos = 0
	if len(h.input) == cap(h.input) {
		h.input = append(make([]byte, 0, 2*cap(h.input)), h.input...) // at most a frame and what was read with it
	}
	n, err := h.nc.Read(h.input[len(h.input):cap(h.input)])
	h.input = h.input[:len(h.input)+n]
	if n > 0 {
		return nil
	}
	return err
}

// flush writes the queued bytes.
func (h *h2conn) flush() error {
	if len(h.output) == 0 {
		return nil
	}
	if err := h.c.deadline(); err != nil {
		return err
	}
	h.sinceLook += len(h.output)
	_, err := h.nc.Write(h.output)
	h.output = h.output[:0]
	return err
}

// takeOutput gets a buffer to write from, and releaseOutput returns it when there is
// nothing to write: most connections are idle.
func (h *h2conn) takeOutput() {
	b, ok := h.s.outputs.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, 0, bufferSize)
		b = &fresh
	}
	h.outputOf, h.output = b, (*b)[:0]
}

func (h *h2conn) releaseOutput() {
	if cap(h.output) <= 2*keepMost {
		*h.outputOf = h.output
		h.s.outputs.Put(h.outputOf)
	}
	h.outputOf, h.output = nil, nil
}

// fromInput reads whole frames that are in memory.
type fromInput struct{ h *h2conn }

func (i fromInput) Read(p []byte) (int, error) {
	n := copy(p, i.h.input[i.h.pos:])
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	i.h.pos += n
	return n, nil
}

// toOutput takes frames.
type toOutput struct{ h *h2conn }

func (o toOutput) Write(p []byte) (int, error) {
	o.h.output = append(o.h.output, p...)
	return len(p), nil
}
