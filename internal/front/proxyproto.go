package front

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

const (
	// proxyHeaderTimeout bounds how long a proxy may take to say who its client is.
	proxyHeaderTimeout = 5 * time.Second
	// strangersEvery is how often the log tells of connections that were refused.
	strangersEvery = time.Minute
)

// proxied is a listener for proxies that say who their client is at the beginning of each
// connection, in the PROXY protocol, version 1 or 2.
type proxied struct {
	net.Listener
	proxies Proxies
	log     *slog.Logger

	strangers, headless refusals
}

// refusals counts connections that were refused for one reason.
type refusals struct {
	mu      sync.Mutex
	told    time.Time
	refused int
}

// Proxied has each connection of l begin with a header of the PROXY protocol, and its
// RemoteAddr be the client's. It closes connections that do not begin with one, and those
// that are not from proxies: anybody could claim to be anybody.
func Proxied(l net.Listener, proxies Proxies, log *slog.Logger) net.Listener {
	return &proxied{Listener: l, proxies: proxies, log: log}
}

// Accept implements net.Listener. The header is read later, by who asks for the address.
func (p *proxied) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err == nil && p.proxies.Trust(plainAddress(from.Addr())) {
			heard := &heard{Conn: conn}
			return &headed{
				Conn: proxyproto.NewConn(heard, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(proxyHeaderTimeout)),
				by:   p, heard: heard,
			}, nil
		}
		_ = conn.Close() // nothing was said on it
		p.strangers.tell(p.log, "connections refused: not from a trusted proxy", conn.RemoteAddr())
	}
}

// headed is the connection of a proxy. The first Read finds out whether it begins with a
// header.
type headed struct {
	*proxyproto.Conn
	by    *proxied
	heard *heard
	begun atomic.Bool
}

func (c *headed) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.begun.CompareAndSwap(false, true) && err != nil && c.heard.something && c.ProxyHeader() == nil {
		c.by.headless.tell(c.by.log, "connections refused: a trusted proxy sent no header of the PROXY protocol; is it set up to?", c.Raw().RemoteAddr())
	}
	return n, err
}

// heard is a connection that knows whether something came: who only looks whether
// anybody listens is no fault of the proxy.
type heard struct {
	net.Conn
	something bool
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if n > 0 && !h.something {
		h.something = true
	}
	return n, err
}

// tell counts a connection that was refused, and tells the log once in a while.
func (r *refusals) tell(log *slog.Logger, message string, from net.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused++
	if now := time.Now(); now.Sub(r.told) >= strangersEvery {
		log.Warn(message, "from", from.String(), "refused", r.refused)
		r.told, r.refused = now, 0
	}
}
