package fastpath

import (
	"net/http"
	"time"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// answer answers c.head. It is false if the connection must not be used again.
func (c *conn) answer() bool {
	now := time.Now()
	c.head.Now = now.Unix()
	p := c.s.config.Handler.Answer(c.s.ctx, &c.head.Request, &c.d)
	defer p.Close()
	if c.head.close || c.s.leaving.Load() || c.s.draining.Load() {
		c.d.Close = true
	}
	c.putHeader(&p, now)
	sent, err := c.body(&p)
	c.s.config.Handler.Report(&c.d, &p, sent, time.Since(now), c.request)
	if err != nil {
		return false
	}
	if c.d.Close {
		_ = c.flush() // the connection is closed next
		return false
	}
	return true
}

// put appends a whole answer whose body is in memory and short.
func (c *conn) put(p *serve.Payload) {
	c.putHeader(p, time.Now())
	c.out = append(c.out, p.Bytes()...)
}

func (c *conn) putHeader(p *serve.Payload, now time.Time) {
	c.out = c.s.config.Handler.AppendHeader(c.out, &c.d, p)
	c.out = append(c.out, c.s.dateAt(now).text...)
	c.out = append(c.out, "\r\n"...)
}

// body sends the body, or queues it after its header if it is short.
func (c *conn) body(p *serve.Payload) (sent int64, err error) {
	n := p.Len()
	if n == 0 || c.head.Method == http.MethodHead {
		return 0, c.flushAt()
	}
	b := p.Bytes()
	if n <= copyMost && b != nil {
		c.out = append(c.out, b...)
		return n, c.flushAt()
	}
	if b != nil {
		first := b[:min(n, pieceSize)]
		if err := c.flushWith(first); err != nil {
			return 0, err
		}
		sent = int64(len(first))
	} else if err := c.flush(); err != nil {
		return 0, err
	}
	for sent < n {
		if err := c.deadline(); err != nil {
			return sent, err
		}
		k, err := p.WriteRange(c.nc, sent, min(n-sent, pieceSize))
		sent += k
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// flushAt writes the queued bytes if there are many. Answers to requests that arrived
// together go out together.
func (c *conn) flushAt() error {
	if len(c.out) < flushAt {
		return nil
	}
	return c.flush()
}

// flush writes the queued bytes.
func (c *conn) flush() error {
	if c.buffers == nil || len(c.out) == 0 {
		return nil
	}
	if err := c.deadline(); err != nil {
		return err
	}
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	return err
}

// flushWith writes the queued bytes, and b, with one call.
func (c *conn) flushWith(b []byte) error {
	if err := c.deadline(); err != nil {
		return err
	}
	c.pair = [2][]byte{c.out, b}
	c.vector = c.pair[:] // which WriteTo changes
	_, err := c.vector.WriteTo(c.nc)
	c.pair = [2][]byte{}
	c.out = c.out[:0]
	return err
}

// deadline makes sure that a write has at least Config.Write, and less than twice that.
func (c *conn) deadline() error {
	now := time.Now()
	if c.write.Sub(now) >= c.s.config.Write {
		return nil
	}
	c.write = now.Add(c.s.config.Write + c.s.config.Write/2)
	return c.nc.SetWriteDeadline(c.write)
}

// request converts c.head for net/http, with the fields that access logs use.
func (c *conn) request() *http.Request {
	r := c.head.asRequest(c.nc.RemoteAddr().String())
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	return r
}

func (h *head) asRequest(remote string) *http.Request {
	r := &http.Request{Method: h.Method, Host: h.Host, RequestURI: h.target, RemoteAddr: remote, Header: make(http.Header, 4)}
	for name, value := range map[string]string{"Referer": h.referer, "User-Agent": h.agent, "Forwarded": h.forwarded, "X-Forwarded-For": h.forwardedFor} {
		if value != "" {
			r.Header[name] = []string{value}
		}
	}
	return r
}
