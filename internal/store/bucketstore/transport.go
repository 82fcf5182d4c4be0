package bucketstore

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// newTransport returns one whose connections end when they make no progress for a while.
// A deadline for a whole transfer would be too short for some links or far too long to
// notice a hanging server.
func newTransport(config *tls.Config, timeout time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: timeout}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &restlessConn{conn, timeout}, nil
		},
		TLSClientConfig:     config,
		TLSHandshakeTimeout: timeout,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     timeout / 2, // before the deadline of its pending read
		DisableCompression:  true,
	}
}

// restlessConn fails when nothing is read or written for a while. It supports only
// HTTP/1: an HTTP/2 connection may be idle.
type restlessConn struct {
	net.Conn
	timeout time.Duration
}

func (c *restlessConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write also extends the deadline of a pending read: the answer comes after the body.
func (c *restlessConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
