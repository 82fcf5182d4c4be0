package fastpath

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Limits of an HTTP/2 connection.
const (
	maxStreams     = 250       // open at once
	frameSize      = 16 << 10  // bytes of payload that a frame has at most, read or sent
	receiveWindow  = 1<<16 - 1 // bytes of content that a client may send before it gets credit
	maxWindow      = 1<<31 - 1 // RFC 9113, section 6.9.1
	maxNuisance    = 10_000    // frames that ask for work and carry no request, within calmAfter
	calmAfter      = 100 * time.Second
	goAwayPatience = time.Second // from the first GOAWAY to the last
	pollEvery      = 1 << 20     // bytes sent between two looks for frames, where a look has to wait
)

// h2conn is a connection that speaks HTTP/2 (RFC 9113). One goroutine reads frames,
// answers at once where possible, and writes; an answer that has to wait for the registry
// or for bytes has its own goroutine, which hands it to the first with deliver.
//
// Request content is not used: a stream that sends some is answered when the content has
// ended, or no longer fits its window.
type h2conn struct {
	c        *conn // for its write deadline
	s        *Server
	nc       net.Conn
	poll     *polled // nc or what lies under it; nil if that cannot be read without waiting
	framer   *http2.Framer
	fields   *hpack.Decoder
	input    []byte  // bytes read
	pos      int     // of input, what was handled
	output   []byte  // what was not written yet
	outputOf *[]byte // the buffer, as the pool has it

	block    headerBlock // of the request that is being received
	spare    *h2stream   // for reuse
	streams  map[uint32]*h2stream
	sending  []*h2stream // those with a body to send, by age
	lastID   uint32      // the highest that the client used
	resets   [64]uint32  // the last streams that were reset here: the client may not know yet
	nextGone int

	initial   int64 // window of a new stream
	window    int64 // bytes that the client accepts on the connection
	credit    int64 // bytes of content that the client may still send
	sized     bool  // the client knows that there is no dynamic table
	greeted   bool  // the client's preface was read
	settled   bool  // and its settings
	nuisance  int
	calm      time.Time // when nuisance was zero
	sinceLook int       // bytes sent since the last check for frames

	partial  time.Time // when the first byte of an unfinished frame or header came; zero for none
	progress time.Time // when a body last made progress
	goAway   goAwayState
	goAwayAt time.Time

	waiting int            // streams whose answers are pending
	answers sync.WaitGroup // of their goroutines

	mu      sync.Mutex
	mail    []*h2stream // those with a finished answer
	blocked bool        // a read is waiting
	poked   bool        // it was interrupted for mail or a shutdown
	said    time.Time   // the read deadline that is set
}

// goAwayState is the progress of a graceful shutdown (RFC 9113, section 6.8).
type goAwayState uint8

const (
	staying   goAwayState = iota
	announced             // the client was told, and may have sent requests before it heard
	final                 // the client knows which requests are the last ones
)

// drainPing is the PING that shows that the client heard the first GOAWAY.
const drainPing = "holdfast"

// speakHTTP2 serves c, from which read was already read. It returns when the connection
// can be closed.
func (c *conn) speakHTTP2(read []byte) {
	h := &h2conn{
		c: c, s: c.s, nc: c.nc, poll: c.poll, input: append(make([]byte, 0, bufferSize), read...),
		streams: make(map[uint32]*h2stream), initial: receiveWindow, window: receiveWindow, credit: receiveWindow,
		calm: time.Now(), partial: time.Now(),
	}
	h.takeOutput()
	h.framer = http2.NewFramer(toOutput{h}, fromInput{h})
	h.framer.SetMaxReadFrameSize(frameSize)
	h.framer.SetReuseFrames()
	h.fields = hpack.NewDecoder(4<<10, h.block.add)
	h.fields.SetMaxStringLength(maxHead)
	c.http2.Store(h)
	defer h.end()
	if err := h.run(); err != nil {
		var code http2.ConnectionError
		if !errors.As(err, &code) {
			return // the client is gone, or too slow
		}
		_ = h.framer.WriteGoAway(h.lastID, http2.ErrCode(code), nil) // to a buffer
	}
	if h.flush() == nil {
		c.discard()
	}
}

// end stops pending work, and frees the streams' resources.
func (h *h2conn) end() {
	for _, st := range h.streams {
		st.stop()
	}
	h.answers.Wait()
	h.mu.Lock()
	mail := h.mail
	h.mu.Unlock()
	for _, st := range mail {
		st.payload.Close()
	}
	for _, st := range h.sending {
		st.payload.Close()
	}
}

// run answers until there is nothing left to do. The error is an http2.ConnectionError if
// the client should be told.
func (h *h2conn) run() error {
	h.greet()
	for {
		err := h.handleFrames()
		if err != nil {
			return err
		}
		if err = h.collect(); err != nil {
			return err
		}
		h.drain(time.Now())
		more := h.sendBodies()
		if err = h.flush(); err != nil || h.finished() {
			return err
		}
		if more {
			err = h.look()
		} else {
			err = h.await(time.Now())
		}
		if err != nil {
			return err
		}
	}
}

// greet is the server's connection preface (RFC 9113, section 3.4). Priorities follow
// only RFC 9218 (section 2.1 there).
func (h *h2conn) greet() {
	const noRFC7540Priorities = 9
	_ = h.framer.WriteSettings( // to a buffer, as all that follows
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: maxStreams},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHead},
		http2.Setting{ID: noRFC7540Priorities, Val: 1},
	)
}

// drain tells a client to go during a shutdown: first that it should, then, after time to
// hear that, which of its requests are the last.
func (h *h2conn) drain(now time.Time) {
	switch {
	case h.goAway == staying && (h.s.draining.Load() || h.s.leaving.Load()):
		h.goAway, h.goAwayAt = announced, now
		_ = h.framer.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
		_ = h.framer.WritePing(false, [8]byte([]byte(drainPing)))
	case h.goAway == announced && now.Sub(h.goAwayAt) >= goAwayPatience:
		h.sayLast()
	}
}

// sayLast is the GOAWAY that names the last request.
func (h *h2conn) sayLast() {
	if h.goAway != final {
		h.goAway = final
		_ = h.framer.WriteGoAway(h.lastID, http2.ErrCodeNo, nil)
	}
}

func (h *h2conn) finished() bool {
	return h.goAway == final && len(h.streams) == 0 && h.waiting == 0
}

// answerLater makes the answer in a separate goroutine.
func (h *h2conn) answerLater(st *h2stream) {
	var ctx context.Context
	ctx, st.cancel = context.WithCancel(h.s.ctx)
	h.waiting++
	h.answers.Go(func() {
		defer h.deliver(st)
		defer func() {
			if r := recover(); r != nil { // one request must not end the node
				h.s.panicked(r)
				st.failed = true
			}
		}()
		st.payload = h.s.config.Handler.Answer(ctx, &st.head.Request, &st.d)
	})
}

// collect queues the answers that were pending.
func (h *h2conn) collect() error {
	h.mu.Lock()
	mail := h.mail
	h.mail = nil
	h.mu.Unlock()
	for _, st := range mail {
		h.waiting--
		st.stop()
		switch {
		case st.failed:
			st.payload.Close()
			h.reset(st.id, http2.ErrCodeInternal)
		case st.dead:
			st.payload.Close()
		default:
			h.begin(st)
		}
		if err := h.flushIfMuch(); err != nil {
			return err
		}
	}
	return nil
}

func (h *h2conn) flushIfMuch() error {
	if len(h.output) < flushAt {
		return nil
	}
	return h.flush()
}
