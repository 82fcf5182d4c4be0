package fastpath

import (
	"io"
	"net"
	"os"
	"syscall"
)

// polled is a TCP connection that can be read without waiting.
type polled struct {
	*net.TCPConn
	raw syscall.RawConn
	now bool // Read does not wait, and returns os.ErrDeadlineExceeded if there is nothing

	to   []byte // the result of try
	n    int
	err  error
	once func(fd uintptr) bool
}

// pollable returns nil for a connection that is not plain TCP.
func pollable(nc net.Conn) *polled {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	p := &polled{TCPConn: t, raw: raw}
	p.once = p.try
	return p
}

// Read implements net.Conn.
func (p *polled) Read(b []byte) (int, error) {
	if !p.now {
		return p.TCPConn.Read(b)
	}
	p.to = b
	err := p.raw.Read(p.once)
	p.to = nil
	if err != nil {
		return 0, err
	}
	return p.n, p.err
}

// try reads once without blocking.
func (p *polled) try(fd uintptr) bool {
	for {
		n, err := syscall.Read(int(fd), p.to)
		p.n, p.err = max(n, 0), err
		switch {
		case err == syscall.EINTR: //nolint:errorlint // an errno
			continue
		case err == syscall.EAGAIN: //nolint:errorlint // an errno
			p.err = os.ErrDeadlineExceeded // which crypto/tls does not treat as an end
		case err == nil && n == 0:
			p.err = io.EOF
		}
		return true
	}
}
