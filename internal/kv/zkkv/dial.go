package zkkv

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"time"
)

// dialTimeout bounds one connection, including its TLS handshake.
const dialTimeout = 2 * time.Second

// dial connects to a server.
func (c *Config) dial(ctx context.Context, server string) (net.Conn, error) {
	conn, err := c.Dial(ctx, "tcp", server)
	if err != nil || c.TLS == nil {
		return conn, err
	}
	config := c.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(server) // complete has checked the form
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secure, nil
}

// wire is a connection on which the library cannot wait indefinitely: its handshake waits
// for ten receive timeouts, and for the second half of the answer without any limit.
type wire struct {
	net.Conn
	s    *session
	head []byte // of the handshake's answer
}

// answerHead is the length of the answer up to the granted timeout: length, protocol
// version, timeout in ms, 4 bytes each.
const answerHead = 12

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if missing := answerHead - len(w.head); missing > 0 && n > 0 {
		w.head = append(w.head, p[:min(n, missing)]...)
		if len(w.head) == answerHead {
			ms := binary.BigEndian.Uint32(w.head[8:])
			w.s.granted.Store(int64(time.Duration(ms) * time.Millisecond))
		}
	}
	return n, err
}

func (w *wire) SetReadDeadline(t time.Time) error { return w.Conn.SetReadDeadline(w.s.clamp(t)) }

func (w *wire) SetWriteDeadline(t time.Time) error { return w.Conn.SetWriteDeadline(w.s.clamp(t)) }

// clamp shortens a deadline while the handshake lasts.
func (s *session) clamp(t time.Time) time.Time {
	if !s.greeting.Load() {
		return t
	}
	if latest := time.Now().Add(s.patience); t.IsZero() || t.After(latest) {
		return latest
	}
	return t
}

// hosts cycles through the servers.
type hosts struct {
	servers []string
	next    int
	failed  int // servers tried since the last session
}

func (h *hosts) Init([]string) error { return nil }
func (h *hosts) Len() int            { return len(h.servers) }
func (h *hosts) Connected()          { h.failed = 0 }

// Next implements zk.HostProvider; after a full round of failures the library waits for a
// second. One goroutine of the library makes all calls.
func (h *hosts) Next() (server string, retryStart bool) {
	server = h.servers[h.next%len(h.servers)]
	retryStart = h.failed > 0 && h.failed%len(h.servers) == 0
	h.next++
	h.failed++
	return server, retryStart
}
