package front

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
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
			return proxyproto.NewConn(conn, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(proxyHeaderTimeout)), nil
		}
		_ = conn.Close() // nothing was said on it
		p.refuse(conn.RemoteAddr())
	}
}

func (p *proxied) refuse(from net.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused++
	if now := time.Now(); now.Sub(p.told) >= strangersEvery {
		p.log.Warn("connections refused: not from a trusted proxy", "from", from.String(), "refused", p.refused)
		p.told, p.refused = now, 0
	}
}
