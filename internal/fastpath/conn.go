package fastpath

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-web/holdfast/internal/serve"
)

const (
	bufferSize = 4 << 10   // of a connection that has something to read
	copyMost   = 16 << 10  // bodies up to this are copied behind their header
	flushAt    = 64 << 10  // answers to pipelined requests are kept up to this
	pieceSize  = 256 << 10 // of a body that is sent under one deadline
	lingerMost = 64 << 10  // of the remaining data of a refused client
	linger     = time.Second
)

// freshFor is how long a new connection may stay during a shutdown for a request that is
// likely on its way, as in net/http.
const freshFor = 5 * time.Second

// conn is one connection. While it waits for a request it holds no buffers, unless it
// uses TLS.
type conn struct {
	s     *Server
	wire  net.Conn               // as it was accepted
	nc    net.Conn               // wire, or TLS over it
	poll  *polled                // wire, if TLS lies over it
	given bool                   // to net/http; under the lock of s
	http2 atomic.Pointer[h2conn] // the protocol it switched to; nil for HTTP/1.1
	began time.Time
	raw   syscall.RawConn // of nc, where reading can wait without a buffer; else nil
	until time.Time       // the read deadline that is set
	write time.Time       // the write deadline that is set
	*buffers

	reading func(fd uintptr) bool // c.readRaw
	err     error                 // of the last readRaw
	idle    atomic.Bool           // nothing of the next request was read
	fresh   atomic.Bool           // nothing at all was read: a request is likely on its way
}

// buffers are needed while a connection answers.
type buffers struct {
	in     []byte    // what was read, from the first request not answered on
	seen   int       // of in, already searched for the end of a head
	out    []byte    // what was not written yet
	pair   [2][]byte // of vector
	vector net.Buffers
	head   head
	d      serve.Decision
}

// A buffer that grew beyond this is not kept.
const keepMost = 64 << 10

func newPool() *sync.Pool {
	return &sync.Pool{New: func() any {
		return &buffers{in: make([]byte, 0, bufferSize), out: make([]byte, 0, bufferSize)}
	}}
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, wire: nc, nc: nc, began: time.Now()}
	c.idle.Store(true)
	c.fresh.Store(true)
	return c
}

// wake ends a wait for the next request. A request that is being read continues, and a
// new connection gets a little time for its first one. It requires the lock of s.
func (c *conn) wake() {
	h := c.http2.Load()
	switch {
	case h != nil:
		h.poke()
	case c.given || !c.idle.Load():
	case c.fresh.Load():
		_ = c.wire.SetReadDeadline(c.began.Add(freshFor)) // fails only on a closed connection
	default:
		_ = c.wire.SetReadDeadline(time.Unix(1, 0)) // the same
	}
}

func (c *conn) run() {
	defer c.s.forget(c)
	defer func() {
		if r := recover(); r != nil { // one request must not end the node
			c.s.panicked(r)
			_ = c.nc.Close() // is being closed
		}
	}()
	gone, ok := c.secure()
	if ok && !gone {
		if t, ok := c.nc.(*net.TCPConn); ok {
			c.raw, _ = t.SyscallConn() // without it there is Read
			c.reading = c.readRaw
		}
		gone = c.requests()
	}
	if !gone {
		_ = c.nc.Close() // all was written
	}
	c.release()
}

func (s *Server) panicked(r any) {
	s.config.Logger.Error("answering failed", "panic", r, "stack", string(debug.Stack()))
}

// secure makes the TLS handshake, if there is one, and is ok if it succeeds. A client
// that chose HTTP/2 is answered here; nothing is left to do then.
func (c *conn) secure() (gone, ok bool) {
	if c.s.config.TLS == nil {
		return false, true
	}
	wire := c.wire
	if c.poll = pollable(wire); c.poll != nil {
		wire = c.poll
	}
	t := tls.Server(wire, c.s.config.TLS)
	if t.SetDeadline(time.Now().Add(c.s.config.Head)) != nil {
		return false, false
	}
	if err := t.HandshakeContext(c.s.ctx); err != nil {
		c.inClear(err)
		return false, false
	}
	c.nc = t
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		c.speakHTTP2(nil)
		return false, false
	}
	return false, true
}

// inClear answers a client that speaks plain HTTP to a TLS port, like net/http.
func (c *conn) inClear(err error) {
	var header tls.RecordHeaderError
	if !errors.As(err, &header) || header.Conn == nil {
		return
	}
	switch string(header.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		_, _ = io.WriteString(c.wire, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n") // is closed next
	}
}

// requests answers one request after the other. It is true if the connection was handed
// over.
func (c *conn) requests() (gone bool) {
	for {
		n, r, err := c.next()
		if err != nil {
			return false
		}
		v := refused
		if r.status == 0 {
			v, r = parse(c.in[:n], c.s.fields, &c.head)
		}
		switch v {
		case others:
			if c.head.Method == methodPRI {
				c.clearHTTP2()
				return false
			}
			return c.flush() == nil && c.handOver(c.replay())
		case refused:
			c.refuse(r)
			return false
		}
		if !c.answer() {
			return false
		}
		c.consume(n)
	}
}

// clearHTTP2 speaks HTTP/2 with a client that has prior knowledge (RFC 9113, section
// 3.3).
func (c *conn) clearHTTP2() {
	if c.flush() != nil {
		return
	}
	if c.poll = pollable(c.wire); c.poll != nil {
		c.nc = c.poll
	}
	read := append([]byte(nil), c.in...)
	c.release()
	c.speakHTTP2(read)
}

// next returns the length of the next head in c.in, all of which was read.
func (c *conn) next() (int, refusal, error) {
	for {
		if c.buffers != nil {
			if len(c.in) > 0 {
				n, r := headEnd(c.in, c.seen)
				if n > 0 || r.status != 0 {
					return n, r, nil
				}
				c.seen = searched(c.in)
			}
			if err := c.flush(); err != nil {
				return 0, refusal{}, err
			}
		}
		if err := c.await(); err != nil {
			return 0, refusal{}, err
		}
	}
}

// searched is how much of b, which has no end of a head, need not be searched again:
// everything up to its last line.
func searched(b []byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '\n' {
			return i + 1
		}
	}
	return 0
}

// await reads more, with the deadline of the phase: the wait for a request, or the rest
// of a head.
func (c *conn) await() error {
	idle := c.buffers == nil || len(c.in) == 0
	now := time.Now()
	switch {
	case idle:
		// Renewed only now and then: a deadline costs as much as parsing.
		if left := c.until.Sub(now); left < c.s.config.Idle {
			c.until = now.Add(c.s.config.Idle + c.s.config.Idle/4)
			if err := c.nc.SetReadDeadline(c.until); err != nil {
				return err
			}
		}
		c.idle.Store(true)
		if c.s.draining.Load() {
			return c.last()
		}
	case c.idle.Swap(false): // the first bytes of a head
		c.fresh.Store(false)
		c.until = now.Add(c.s.config.Head)
		if err := c.nc.SetReadDeadline(c.until); err != nil {
			return err
		}
	}
	return c.read()
}

// last reads the request that a new connection was made for, while the server drains.
func (c *conn) last() error {
	if !c.fresh.Load() {
		return net.ErrClosed
	}
	if err := c.nc.SetReadDeadline(c.began.Add(freshFor)); err != nil {
		return err
	}
	return c.read()
}

// read appends the next bytes to c.in.
func (c *conn) read() error {
	if c.raw != nil {
		if err := c.raw.Read(c.reading); err != nil {
			return err
		}
		return c.err
	}
	c.room()
	n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 {
		return nil
	}
	return err
}

// readRaw is called when there may be something to read; false means to wait.
func (c *conn) readRaw(fd uintptr) bool {
	c.room()
	for {
		n, err := syscall.Read(int(fd), c.in[len(c.in):cap(c.in)])
		switch {
		case err == syscall.EINTR: //nolint:errorlint // an errno
			continue
		case err == syscall.EAGAIN: //nolint:errorlint // an errno
			if len(c.in) == 0 {
				c.release()
			}
			return false
		case err != nil:
			c.err = err
		case n == 0:
			c.err = io.EOF
		default:
			c.in, c.err = c.in[:len(c.in)+n], nil
		}
		return true
	}
}

// room makes sure that there is a buffer with room in it. A head longer than maxHead is
// refused, which bounds its growth.
func (c *conn) room() {
	if c.buffers == nil {
		c.buffers = c.s.pool.Get().(*buffers)
	}
	if len(c.in) == cap(c.in) {
		c.in = append(make([]byte, 0, 2*cap(c.in)), c.in...)
	}
}

// release gives the buffers back.
func (c *conn) release() {
	b := c.buffers
	c.buffers = nil
	if b == nil || cap(b.in) > keepMost || cap(b.out) > 2*keepMost {
		return
	}
	b.in, b.out, b.seen = b.in[:0], b.out[:0], 0
	b.head, b.d = head{}, serve.Decision{}
	c.s.pool.Put(b)
}

// consume drops the n bytes of a head that was answered.
func (c *conn) consume(n int) {
	c.in = c.in[:copy(c.in, c.in[n:])]
	c.seen = 0
	c.fresh.Store(false)
	c.idle.Store(true) // so that the next head gets a new deadline
}

// replay is the connection including the bytes already read. Shutdown waits until it is
// closed.
func (c *conn) replay() *replayed {
	c.s.handed.Add(1)
	return &replayed{Conn: c.nc, read: append([]byte(nil), c.in...), closed: sync.OnceFunc(c.s.handed.Done)}
}

// handOver hands the connection, as nc, to net/http. From then on wake leaves its
// deadlines alone.
func (c *conn) handOver(nc net.Conn) bool {
	c.s.mu.Lock()
	c.given = true
	c.s.mu.Unlock()
	if nc.SetDeadline(time.Time{}) == nil && c.s.standard.give(nc) {
		return true
	}
	_ = nc.Close() // it is not accepted
	return false
}

// refuse answers an invalid request, and closes the connection so that the client can
// still read the answer: with unread data a close would be a reset.
func (c *conn) refuse(r refusal) {
	serve.Refuse(&c.d, r.status, r.why)
	p := serve.TextOf(&c.d)
	c.put(&p)
	if c.flush() == nil {
		c.discard()
	}
}

// discard ends an answer so that the client can read it.
func (c *conn) discard() {
	if closeWrite(c.nc) != nil || c.nc.SetReadDeadline(time.Now().Add(linger)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.nc, lingerMost) // any error
}
