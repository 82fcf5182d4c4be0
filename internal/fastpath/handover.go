package fastpath

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// handover is the listener through which net/http gets connections.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	addr  atomic.Pointer[net.Addr]
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handover) at(a net.Addr) { h.addr.Store(&a) }

// give hands over nc; it is false, and the caller keeps nc, if it is no longer accepted.
func (h *handover) give(nc net.Conn) bool {
	select {
	case h.conns <- nc:
		return true
	case <-h.done:
		return false
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case nc := <-h.conns:
		return nc, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The listener may be closed twice.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return *h.addr.Load() }

// replayed is a connection of which some bytes were already read.
type replayed struct {
	net.Conn
	read   []byte
	closed func() // called when it is
}

// Close implements net.Conn.
func (r *replayed) Close() error {
	err := r.Conn.Close()
	r.closed()
	return err
}

// Read implements io.Reader.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.read) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.read)
	r.read = r.read[n:]
	return n, nil
}

// ReadFrom implements io.ReaderFrom: files are sent by sendfile(2) if the connection can.
func (r *replayed) ReadFrom(from io.Reader) (int64, error) { return io.Copy(r.Conn, from) }

// CloseWrite is called by net/http before it closes a connection whose client is still
// sending.
func (r *replayed) CloseWrite() error { return closeWrite(r.Conn) }

func closeWrite(nc net.Conn) error {
	if w, ok := nc.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
