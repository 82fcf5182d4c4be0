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
	// proxyHeaderTimeout bounds how long a proxy may take to send its header.
	proxyHeaderTimeout = 5 * time.Second
	// strangersEvery is how often refused connections are logged.
	strangersEvery = time.Minute
)

// proxied is a listener for proxies that report their client at the beginning of each
// connection, in the PROXY protocol, version 1 or 2.
type proxied struct {
	net.Listener
	proxies Proxies
	log     *slog.Logger

	strangers, headless refusals
}

// refusals counts connections refused for one reason.
type refusals struct {
	mu      sync.Mutex
	told    time.Time
	refused int
}

// Proxied requires each connection of l to begin with a PROXY protocol header, and sets
// its RemoteAddr to the client's. It closes connections without a header, and those that
// are not from proxies: any client could claim any address.
func Proxied(l net.Listener, proxies Proxies, log *slog.Logger) net.Listener {
	return &proxied{Listener: l, proxies: proxies, log: log}
}

// Accept implements net.Listener. The header is read later, by the first caller that
// needs the address.
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

// heard is a connection that records whether anything arrived: a mere health check is not
// a proxy's fault.
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

// tell counts a refused connection, and logs now and then.
func (r *refusals) tell(log *slog.Logger, message string, from net.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused++
	if now := time.Now(); now.Sub(r.told) >= strangersEvery {
		log.Warn(message, "from", from.String(), "refused", r.refused)
		r.told, r.refused = now, 0
	}
}
