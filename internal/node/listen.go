package node

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/holdfast-web/holdfast/internal/admin"
	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// Inherited are listeners that a service manager opened for the node. Each may be missing.
type Inherited struct{ Site, Admin, Peers net.Listener }

// fronts are the sockets of a node, each of which may be missing.
type fronts struct {
	site, admin, peers *front.Socket
}

// open binds the configured addresses.
func (f *fronts) open(ctx context.Context, c *Config) (err error) {
	take := func(inherited net.Listener, address, complaint string) *front.Socket {
		switch {
		case err != nil:
			return nil
		case inherited != nil:
			return front.Inherit(inherited)
		case address == "":
			return nil
		}
		s, failure := front.Bind(ctx, address, c.ReusePort)
		if failure != nil {
			err = fmt.Errorf(complaint, failure)
		}
		return s
	}
	f.site = take(c.Inherited.Site, c.Listen, "listen for sites: %w")
	f.admin = take(c.Inherited.Admin, c.Admin, "listen for admin: %w")
	if c.Peering != nil {
		f.peers = take(c.Inherited.Peers, c.Peering.Listen, "listen for peers: %w")
	}
	for _, s := range []*front.Socket{f.admin, f.peers} { // these answer from the start
		if s != nil && err == nil {
			_, err = s.Listen()
		}
	}
	if err != nil || f.peers == nil {
		return err
	}
	return c.Peering.settle(f.peers.Addr())
}

// close gives up those that no server has closed yet.
func (f *fronts) close() error {
	var errs []error
	for _, s := range []*front.Socket{f.site, f.admin, f.peers} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// Addr returns the address that the sites are served on, or nil if this node does
// not do that.
func (n *Node) Addr() net.Addr { return addressOf(n.site) }

// AdminAddr returns the address of the admin listener, or nil without one.
func (n *Node) AdminAddr() net.Addr { return addressOf(n.admin) }

func addressOf(s *front.Socket) net.Addr {
	if s == nil {
		return nil
	}
	return s.Addr()
}

// address is the node's address in the registry.
func (n *Node) address() string {
	if n.config.Address == "" && n.site != nil {
		return n.site.Addr().String()
	}
	return n.config.Address
}

// server is one of a node and the socket it answers on.
type server struct {
	*front.Server
	socket *front.Socket
	wrap   func(net.Listener) net.Listener
	run    func(context.Context, *server) error
	given  chan struct{} // closed when it is shut down
}

// servers returns those of the sockets that there are, the sites' first. ctx is that of
// their requests.
func (n *Node) servers(ctx context.Context) (all []*server) {
	add := func(at *front.Socket, c front.ServerConfig) *server {
		c.Log = n.config.Logger
		s := &server{front.NewServer(ctx, c), at, func(l net.Listener) net.Listener { return l }, serveNow, make(chan struct{})}
		all = append(all, s)
		return s
	}
	if n.site != nil {
		h := n.handler()
		c := front.ServerConfig{Handler: h}
		if !n.config.Standard {
			c.Fast = h
		}
		if n.config.Certificates != nil {
			c.TLS = n.config.Certificates.TLS()
		}
		s := add(n.site, c)
		s.run = n.answer
		if proxies := n.config.ProxyProtocol; proxies != nil {
			s.wrap = func(l net.Listener) net.Listener { return front.Proxied(l, proxies, n.config.Logger) }
		}
	}
	if n.admin != nil {
		add(n.admin, front.ServerConfig{Handler: admin.Handler(n.Status, n.config.Metrics, n.config.Packs)})
	}
	if n.peers != nil {
		add(n.peers, n.peerServer())
	}
	return all
}

// serveNow answers at once.
func serveNow(_ context.Context, s *server) error {
	l, err := s.socket.Listen()
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// shutdown lets the requests in flight finish, the sites' first.
func (n *Node) shutdown(servers []*server) {
	ctx, cancel := context.WithTimeout(context.Background(), n.config.Drain)
	defer cancel()
	for _, s := range servers {
		close(s.given)
		if err := s.Shutdown(ctx); err != nil {
			n.config.Logger.Warn("requests cut off at shutdown", "after", n.config.Drain)
		}
	}
}

func (n *Node) handler() *serve.Handler {
	o := serve.Options{Logger: n.config.Logger, Access: n.config.Access, Meter: n.config.Meter}
	if n.config.DebugHeaders {
		o.Node = n.config.Name
	}
	if n.config.Deltas != nil {
		o.Deltas = n.config.Deltas
	}
	return serve.NewHandler(n, n.config.Blobs, o)
}
